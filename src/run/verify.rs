//! Verifying: what was last written back, as the before-images tell, held against what the
//! destination holds now. Writes nothing. What was written goes through a package on disk, so that
//! memory does not grow with it, and the destination compares by its own equality.

mod written;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tokio::task::block_in_place;

use self::written::{Latest, Written};
use crate::config::Project;
use crate::destination::AnyDestination;
use crate::destination::seam::{Destination, Found, LookUp, LookedUp};
use crate::domain::before::{Before, BeforeImages};
use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
use crate::domain::job::WriteBack;
use crate::domain::object::{NamePart, Object, ObjectName};
use crate::domain::sameness::in_words;
use crate::ledger::{Commit, JournalRun, Ledger, SentImages};
use crate::run::Progress;
use crate::run::doubt::{self, FirstImages};
use crate::run::images::{ImageField, Segment};
use crate::run::journal::{Gap, JournalError, RunAt, Trace, Unknown};
use crate::run::reader::Reader;
use crate::run::stop::Stop;

/// What is verified.
pub(crate) struct VerifyRequest<'a> {
    pub(crate) project: &'a Project,
    pub(crate) ledger: &'a Ledger,
    pub(crate) job: &'a str,
    pub(crate) write_back: &'a WriteBack,
    /// Samples of each sort of drift.
    pub(crate) samples_max: usize,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) stop: &'a Stop,
}

/// How far the destination is from what was last written back.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Verification {
    pub(crate) name: String,
    /// A connection, and what was written to there; empty if nothing was.
    pub(crate) destination: String,
    pub(crate) table: String,
    /// Records that were compared.
    pub(crate) compared: u64,
    /// The first run whose values were.
    pub(crate) since: Option<RunAt>,
    /// The run before it that ends what is known.
    pub(crate) unknown: Option<Unknown>,
    /// Records that drifted, in whatever way.
    pub(crate) drifted: u64,
    /// One for each column that was written.
    pub(crate) columns: Vec<ColumnDrift>,
    /// Records whose row is gone.
    pub(crate) gone: RowDrift,
    /// Records whose key matches several rows.
    pub(crate) doubled: RowDrift,
    /// Columns that earlier runs wrote, and that are no longer there or of another type.
    pub(crate) not_compared: Vec<String>,
}

/// How far one column is.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ColumnDrift {
    pub(crate) column: String,
    /// Values that were written and have a row.
    pub(crate) compared: u64,
    pub(crate) drifted: u64,
    /// The first of them.
    pub(crate) samples: Vec<ValueSample>,
}

/// One value that is no longer what was written.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ValueSample {
    pub(crate) record: String,
    pub(crate) written: Option<String>,
    pub(crate) now: Option<String>,
    /// That wrote it.
    pub(crate) run: i64,
}

/// Rows that are not as they were left.
#[derive(Debug, Default, Serialize)]
pub(crate) struct RowDrift {
    pub(crate) records: u64,
    /// The first of them.
    pub(crate) samples: Vec<RowSample>,
}

impl RowDrift {
    fn add(&mut self, sample: RowSample, samples_max: usize) {
        self.records += 1;
        if self.samples.len() < samples_max {
            self.samples.push(sample);
        }
    }
}

/// One row that is not as it was left.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RowSample {
    pub(crate) record: String,
    /// That wrote it last.
    pub(crate) run: i64,
}

/// Compares the objects of write-backs of a job one after the other.
/// Errors: as [`verify`].
pub(crate) async fn verify_all(
    project: &Project,
    ledger: &Ledger,
    job: &str,
    write_backs: &[&WriteBack],
    samples_max: usize,
    progress: &dyn Progress,
) -> Result<Vec<Verification>, JournalError> {
    let stop = Stop::new();
    let mut verifications = Vec::new();
    for write_back in write_backs {
        let request = VerifyRequest {
            project,
            ledger,
            job,
            write_back,
            samples_max,
            progress,
            stop: &stop,
        };
        let verification = verify(&request).await?;
        if verification.drifted > 0 {
            let why = "`writeback verify` found rows that no longer hold what was written";
            ledger.distrust_snapshot(job, &write_back.name, why).await?;
        }
        verifications.push(verification);
    }
    Ok(verifications)
}

/// Compares one write-back's object with what was last written back.
/// Errors: whatever keeps it from comparing; drift is part of the answer.
pub(crate) async fn verify(request: &VerifyRequest<'_>) -> Result<Verification, JournalError> {
    let name = &request.write_back.name;
    let runs = request.ledger.journal(Some(request.job), name).await?;
    let Some(newest) = runs.last() else {
        return Ok(Verification {
            name: name.clone(),
            ..Verification::default()
        });
    };
    let (mut traced, unknown) = known(request, &runs, newest).await?;
    let connection = connection(request.project, &newest.destination)?;
    let fields = traced.iter().flat_map(|traced| &traced.fields);
    let named: Vec<&str> = fields.map(|field| field.name.as_str()).collect();
    let object = describe(connection, newest, (name, &named)).await?;
    let unwritten = unwritten(request, connection, &mut traced, &object).await?;
    let written = Written::meet(&traced, object)?;
    let folder = tempfile::tempdir()?;
    let package = block_in_place(|| {
        written.pack(&traced, &unwritten, &folder.path().join("written"), request)
    })?;
    let mut verification = Verification {
        name: name.clone(),
        destination: newest.destination.clone(),
        table: written.layout.object.display_name(),
        since: traced.first().map(|traced| RunAt::of(traced.run)),
        unknown,
        columns: written
            .values()
            .map(|field| ColumnDrift {
                column: field.column.name.clone(),
                ..ColumnDrift::default()
            })
            .collect(),
        not_compared: written.not_compared.clone(),
        ..Verification::default()
    };
    request.progress.push_begins(name, package.record_count());
    let mut comparison = Comparison {
        request,
        written: &written,
        reader: Reader::new(name, connection, request.stop),
        verification: &mut verification,
    };
    for partition in 0..package.partition_count() {
        let latest = block_in_place(|| written.latest(package.load(partition)?))?;
        comparison.partition(&latest).await?;
    }
    comparison.reader.close().await;
    request.progress.push_ends(name);
    if verification.drifted > 0 && request.ledger.journal(Some(request.job), name).await? != runs {
        return Err(JournalError::Overtaken {
            job: request.job.to_owned(),
            write_back: name.clone(),
        });
    }
    Ok(verification)
}

/// A run of which it is known what it wrote.
struct Traced<'a> {
    run: &'a JournalRun,
    trace: Trace,
    fields: Vec<ImageField>,
}

impl Traced<'_> {
    /// Names of the match key's fields, in the key's order.
    fn key(&self) -> Vec<&str> {
        let mut key: Vec<_> = self
            .fields
            .iter()
            .filter(|field| field.key.is_some())
            .collect();
        key.sort_by_key(|field| field.key);
        key.into_iter().map(|field| field.name.as_str()).collect()
    }
}

/// The runs into the object that was written to last, oldest first, as far back as all that was
/// written is known; and the one that ends it. Errors: `Unknown`, if that is the newest run.
async fn known<'a>(
    request: &VerifyRequest<'_>,
    runs: &'a [JournalRun],
    newest: &JournalRun,
) -> Result<(Vec<Traced<'a>>, Option<Unknown>), JournalError> {
    let mut traced: Vec<Traced<'a>> = Vec::new();
    let mut unknown = None;
    let of_object =
        |run: &&JournalRun| run.destination == newest.destination && run.object == newest.object;
    for run in runs.iter().rev().filter(of_object) {
        let trace = Trace::of(request.project, request.ledger, run).await?;
        let found = block_in_place(|| meet(run, trace, traced.first()))?;
        match found {
            Ok(run) => traced.push(run),
            Err(why) => {
                unknown = Some(Unknown {
                    run: RunAt::of(run),
                    why,
                });
                break;
            }
        }
    }
    traced.reverse();
    match (traced.is_empty(), unknown) {
        (true, Some(Unknown { run, why })) => {
            let write_back = request.write_back.name.clone();
            Err(JournalError::Unknown {
                write_back,
                run: run.run,
                gap: why,
            })
        }
        (_, unknown) => Ok((traced, unknown)),
    }
}

/// Of each run which records of which of its segments were not written, as rows are as they were
/// before: a batch in doubt is one that may be written.
type Unwritten = Vec<BTreeMap<i64, Vec<bool>>>;

/// Asks what became of batches in doubt; segments of sendings that were rolled back go.
async fn unwritten(
    request: &VerifyRequest<'_>,
    connection: &Connection,
    traced: &mut [Traced<'_>],
    object: &Object,
) -> Result<Unwritten, JournalError> {
    let failed = |error: SystemError| look_up_error(&request.write_back.name, connection, error);
    let is_running = request.ledger.is_running(request.job)?;
    let is_in_doubt = |images: &SentImages| images.commit == Commit::InDoubt;
    let mut unwritten = Vec::new();
    for Traced { run, trace, .. } in traced {
        let mut of_run = BTreeMap::new();
        if trace.images.iter().any(is_in_doubt) {
            if !is_running {
                let sendings = std::mem::take(&mut trace.images);
                trace.images = doubt::settled(connection, None, run.id, &run.object, sendings)
                    .await
                    .map_err(failed)?;
            }
            let mut destination = AnyDestination::connect(connection).await.map_err(failed)?;
            for images in trace.images.iter().filter(|images| is_in_doubt(images)) {
                let first =
                    block_in_place(|| FirstImages::read(&trace.folder, &images.segment, object))?;
                of_run.insert(
                    images.image,
                    first.still_to_do(&mut destination).await.map_err(failed)?,
                );
            }
            destination.close().await;
        }
        unwritten.push(of_run);
    }
    Ok(unwritten)
}

/// A run beside the newest one: whether what it wrote can be told, of the same records.
fn meet<'a>(
    run: &'a JournalRun,
    trace: Trace,
    newest: Option<&Traced<'_>>,
) -> Result<Result<Traced<'a>, Gap>, JournalError> {
    let Some(images) = trace.images.first().filter(|_| trace.gap.is_none()) else {
        return Ok(Err(trace.gap.unwrap_or(Gap::NotKept)));
    };
    let fields = Segment::read(&trace.folder, &images.segment)?.fields;
    let traced = Traced { run, trace, fields };
    match newest.is_none_or(|newest| newest.key() == traced.key()) {
        true => Ok(Ok(traced)),
        false => Ok(Err(Gap::OtherKey)),
    }
}

fn connection<'a>(project: &'a Project, name: &str) -> Result<&'a Connection, JournalError> {
    let found = project.connection(name).map(|(connection, _)| connection);
    found.map_err(|problems| JournalError::Connection {
        connection: name.to_owned(),
        problems,
    })
}

/// The object as the ledger names it.
async fn describe(
    connection: &Connection,
    newest: &JournalRun,
    (write_back, columns): (&str, &[&str]),
) -> Result<Object, JournalError> {
    let part = |text: &String| NamePart {
        text: text.clone(),
        quoted: true,
    };
    let object = ObjectName {
        parts: newest.object.iter().map(part).collect(),
    };
    let described = async {
        let mut destination = AnyDestination::connect(connection).await?;
        let described = destination.describe(&object).await?;
        let described = destination.completed(described, columns).await?;
        destination.close().await;
        Ok(described)
    };
    described
        .await
        .map_err(|error: SystemError| look_up_error(write_back, connection, error))
}

fn look_up_error(write_back: &str, connection: &Connection, source: SystemError) -> JournalError {
    let connection = connection.name.clone();
    JournalError::LookUp {
        write_back: write_back.to_owned(),
        connection,
        source: Box::new(source),
    }
}

/// A verification as it grows.
struct Comparison<'a> {
    request: &'a VerifyRequest<'a>,
    written: &'a Written,
    reader: Reader<'a>,
    verification: &'a mut Verification,
}

impl Comparison<'_> {
    /// Looks the records of a partition up batch by batch.
    async fn partition(&mut self, latest: &Latest) -> Result<(), JournalError> {
        let batch_records_max = self.request.write_back.batch_records_max.get();
        for range in latest
            .bytes()?
            .batches(0..latest.keys.len(), batch_records_max)
        {
            let batch = latest.slice(&range);
            self.batch(&batch).await?;
            self.request.progress.pushed(
                &self.request.write_back.name,
                counted_records(batch.keys.iter()),
            );
        }
        Ok(())
    }

    async fn batch(&mut self, batch: &Latest) -> Result<(), JournalError> {
        let LookedUp { found, before, .. } = self
            .reader
            .look_up(&self.written.layout, &batch.records, Before::OfDiffering)
            .await?;
        let mut drifted = self.compare_rows(batch, &found);
        let with_row: Vec<usize> = positions(&found, |_, found| found.rows == 1);
        let differing: Vec<usize> = positions(&found, |record, found| {
            found.rows == 1 && (found.differs || batch.has_own(record))
        });
        for (column, position) in self.written.value_positions().enumerate() {
            let Some(kind) = self.written.kind(position) else {
                continue;
            };
            let records = self
                .drifted(batch, &before, &differing, column, position)
                .await?;
            let sample = |record: &usize| ValueSample {
                record: batch.key(*record),
                written: in_words(kind, batch.text(column, *record)),
                now: in_words(kind, before.value(*record, position)),
                run: batch.run_of(column, *record),
            };
            if let Some(drift) = self.verification.columns.get_mut(column) {
                drift.compared += counted_records(
                    with_row
                        .iter()
                        .filter(|record| batch.is_known(column, **record)),
                );
                drift.drifted += counted_records(records.iter());
                let room = self.request.samples_max.saturating_sub(drift.samples.len());
                drift.samples.extend(records.iter().take(room).map(sample));
            }
            drifted.extend(records);
        }
        self.verification.compared += counted_records(batch.keys.iter());
        self.verification.drifted += counted_records(drifted.iter());
        Ok(())
    }

    /// Counts the records that no longer have one row, and tells which these are.
    fn compare_rows(&mut self, batch: &Latest, found: &[Found]) -> BTreeSet<usize> {
        let mut drifted = BTreeSet::new();
        for (record, found) in found.iter().enumerate() {
            let drift = match found.rows {
                0 => &mut self.verification.gone,
                1 => continue,
                2.. => &mut self.verification.doubled,
            };
            let sample = RowSample {
                record: batch.key(record),
                run: batch.latest_run(record),
            };
            drift.add(sample, self.request.samples_max);
            drifted.insert(record);
        }
        drifted
    }

    /// Which of the `differing` records hold another value in one column than was written, by the
    /// destination's own equality.
    async fn drifted(
        &mut self,
        batch: &Latest,
        before: &BeforeImages,
        differing: &[usize],
        column: usize,
        position: usize,
    ) -> Result<Vec<usize>, JournalError> {
        let spelled_otherwise = |record: &&usize| {
            batch.is_known(column, **record)
                && batch.text(column, **record) != before.value(**record, position)
        };
        let records = differing.iter().filter(spelled_otherwise).copied();
        let (own, others): (Vec<usize>, Vec<usize>) =
            records.partition(|record| batch.is_own(column, *record));
        let mut drifted = Vec::new();
        for (own_text, records) in [(true, own), (false, others)] {
            if records.is_empty() {
                continue;
            }
            let layout = self.written.layout_of(position, own_text);
            let asked = batch.taken(column, &layout, &records)?;
            let LookedUp { found, .. } =
                self.reader.look_up(&layout, &asked, Before::Unread).await?;
            let differs = records
                .into_iter()
                .zip(found)
                .filter(|(_, found)| found.differs || found.rows != 1);
            drifted.extend(differs.map(|(record, _)| record));
        }
        drifted.sort_unstable();
        Ok(drifted)
    }
}

/// Positions of the records that were found as `wanted`.
fn positions(found: &[Found], wanted: impl Fn(usize, &Found) -> bool) -> Vec<usize> {
    found
        .iter()
        .enumerate()
        .filter(|(record, found)| wanted(*record, found))
        .map(|(record, _)| record)
        .collect()
}

fn counted_records<T>(records: impl Iterator<Item = T>) -> u64 {
    u64::try_from(records.count()).unwrap_or(u64::MAX)
}
