//! Making rows of which each is there once: the records of a step, or of notes, are looked for
//! before they are pushed. What is there already is left alone, with its id; what names a row that
//! is not known yet waits; what is left goes into a package of its own, and is pushed as any other.
//!
//! A row is looked for right before it is made, by all that would tell it, and again within the
//! transaction that makes it. After a kill the same is done again, so that nothing is made twice.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use polars::prelude::{
    BooleanChunked, Column, DataFrame, IntoColumn, NewChunkedArray, PlSmallStr, StringChunked,
};
use tokio::task::block_in_place;

use super::at_work::AtWork;
use super::foresight::{ForeseenStep, Foresight};
use super::plan::{Plan, PlannedCreation};
use super::push;
use super::push::error::PushError;
use super::reader::Reader;
use super::report::WriteBackReport;
use super::sight::{IdPlace, Rows, Sight, Unseen};
use super::stop::Stop;
use crate::destination::service;
use crate::domain::columnar::Fault;
use crate::domain::mapping::{NO_RUN, Named, about_column};
use crate::domain::object::{Object, ObjectColumn};
use crate::domain::outcome::{RejectReason, Rejection, Stage, Tally};
use crate::domain::parking::LeftAlone;
use crate::domain::record::{KeyTexts, RECORD_KEY, RECORD_POSITION};
use crate::ledger::{Ledger, RowsOf, WriteBackId};
use crate::package::{Package, PackageError, PackageWriter};

/// What becomes of a record before it is pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    /// A row is made of it.
    Made,
    /// It is left alone, for this reason.
    LeftAlone(String),
    Rejected {
        column: Option<String>,
        reason: String,
    },
}

/// Pushes the package of a write-back, or of one that makes rows, those of its records of which a
/// row is to be made; `counted` is what the pull counted if this process made it, and how long it
/// took.
pub(super) async fn deliver(
    plan: &Plan,
    work: AtWork<'_>,
    id: WriteBackId,
    pulled: &Package,
    (counted, pulling): (Option<Tally>, Duration),
) -> Result<WriteBackReport, PushError> {
    if plan.creation.is_none() || !plan.write_back.enabled {
        return work
            .deliver(plan.assignment(), id, pulled, counted, pulling)
            .await;
    }
    let begun = Instant::now();
    let (made, others) = package(plan, pulled, work, id).await?;
    let counted = counted.zip(others).map(|(mut counted, others)| {
        counted += others;
        counted
    });
    let spent = pulling + begun.elapsed();
    let report = work
        .deliver(plan.assignment(), id, &made, counted, spent)
        .await?;
    remember(plan, &made, work).await?;
    Ok(report)
}

/// The package of the records of which rows are to be made: the one that stands, or a new one of
/// those of `pulled`, with what it counted of the others.
async fn package(
    plan: &Plan,
    pulled: &Package,
    work: AtWork<'_>,
    id: WriteBackId,
) -> Result<(Package, Option<Tally>), PushError> {
    let folder = work.package_folder(&format!("{}.made", plan.write_back.name))?;
    match block_in_place(|| Package::open(&folder)) {
        Ok(package) => return Ok((package, None)),
        Err(PackageError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    work.ledger.restart_creation(id).await?;
    let mut writer = block_in_place(|| PackageWriter::create(&folder, plan.mapping.key_columns()))?;
    let mut judge = Judge::new(plan, work.ledger, &work.facts.job, work.stop);
    let mut tally = Tally::default();
    for partition in 0..pulled.partition_count() {
        let loaded = block_in_place(|| pulled.load(partition))?;
        let doubled = push::duplicates(plan.assignment().contents, &loaded.duplicates);
        tally.rejected += u64::try_from(doubled.len()).unwrap_or(u64::MAX);
        work.ledger.record_rejections(id, &doubled).await?;
        for records in chunks(&loaded.records, plan.write_back.batch_records_max.get()) {
            if work.stop.is_asked() {
                return Err(PushError::Interrupted);
            }
            let judged = judge.judge(&records).await?;
            let (left_alone, rejections) = judged.others();
            tally.skipped += u64::try_from(left_alone.len()).unwrap_or(u64::MAX);
            tally.rejected += u64::try_from(rejections.len()).unwrap_or(u64::MAX);
            work.ledger.record_left_alone(id, &left_alone).await?;
            work.ledger.record_rejections(id, &rejections).await?;
            let (known, unknown) = judged.rows();
            let rows = rows_of(plan, &work.facts.job);
            work.ledger.remember_rows(rows, id.run, &known).await?;
            work.ledger.forget_rows(rows, &unknown).await?;
            block_in_place(|| writer.push(&judged.made()))?;
        }
    }
    judge.reader.close().await;
    let package = block_in_place(|| writer.finish())?;
    Ok((package, Some(tally)))
}

/// Tells the ledger which rows a step made, for later steps to name them.
async fn remember(plan: &Plan, package: &Package, work: AtWork<'_>) -> Result<(), PushError> {
    let mut reader = Reader::new(&plan.write_back.name, &plan.destination, work.stop);
    for partition in 0..package.partition_count() {
        let loaded = block_in_place(|| package.load(partition))?;
        let made = rows_made(plan, &loaded.records, &mut reader).await?;
        let rows = rows_of(plan, &work.facts.job);
        work.ledger
            .remember_rows(rows, work.facts.run, &made)
            .await?;
    }
    reader.close().await;
    Ok(())
}

/// The rows of records that were pushed, by the keys of the records. Nothing names a note.
async fn rows_made(
    plan: &Plan,
    records: &DataFrame,
    reader: &mut Reader<'_>,
) -> Result<Vec<(String, String)>, PushError> {
    let creation = plan.creation.as_ref().filter(|one| one.about.is_none());
    let (Some(creation), Some(key)) = (creation, keys_of(plan).into_iter().next()) else {
        return Ok(Vec::new());
    };
    let sight = Sight::of(&plan.layout.object, &key, &creation.id);
    let complete = plan.mapping.complete(records);
    let keys = record_keys(records);
    let every: Vec<usize> = (0..complete.height()).collect();
    let seen = look(&sight, reader, &complete, &every, plan).await?;
    let made = seen.into_iter().filter_map(|(index, rows)| match rows {
        Rows::One(id) => Some((keys.get(index)?.clone(), id?)),
        Rows::None | Rows::Unfit | Rows::Several(_) => None,
    });
    Ok(made.collect())
}

/// What becomes of one record.
pub(super) enum One {
    /// A row is made of it. Shape: the record with the fields that name rows.
    Made(DataFrame),
    LeftAlone(String),
    Rejected {
        column: Option<String>,
        reason: String,
    },
}

/// Decides what becomes of one record, and tells the ledger of the row that it has already.
pub(super) async fn judge_one(
    plan: &Plan,
    record: &DataFrame,
    ledger: &Ledger,
    job: &str,
) -> Result<One, PushError> {
    let stop = Stop::new();
    let mut judge = Judge::new(plan, ledger, job, &stop);
    let judged = judge.judge(record).await?;
    judge.reader.close().await;
    let (known, _) = judged.rows();
    ledger
        .remember_rows(rows_of(plan, job), NO_RUN, &known)
        .await?;
    Ok(match judged.fates.first() {
        Some(Fate::LeftAlone(reason)) => One::LeftAlone(reason.clone()),
        Some(Fate::Rejected { column, reason }) => One::Rejected {
            column: column.clone(),
            reason: reason.clone(),
        },
        Some(Fate::Made) | None => One::Made(judged.made()),
    })
}

/// Tells the ledger which row was made of one record.
pub(super) async fn remember_one(
    plan: &Plan,
    record: &DataFrame,
    ledger: &Ledger,
    job: &str,
) -> Result<(), PushError> {
    let stop = Stop::new();
    let mut reader = Reader::new(&plan.write_back.name, &plan.destination, &stop);
    let made = rows_made(plan, record, &mut reader).await?;
    reader.close().await;
    Ok(ledger
        .remember_rows(rows_of(plan, job), NO_RUN, &made)
        .await?)
}

/// What foretelling knows.
#[derive(Clone, Copy)]
pub(super) struct Foreknowledge<'a> {
    /// Absent where nothing ran yet.
    pub(super) ledger: Option<&'a Ledger>,
    pub(super) job: &'a str,
    /// Of the steps that were previewed before.
    pub(super) foresight: &'a Foresight,
}

/// What a run would do with the records of a package: how many rows it would make, and what would
/// become of the others; `shown` is given the records of which rows would be made, piece by piece.
pub(super) async fn foresee(
    plan: &Plan,
    pulled: &Package,
    known: Foreknowledge<'_>,
    stop: &Stop,
    mut shown: impl FnMut(&DataFrame),
) -> Result<Foreseen, PushError> {
    let mut judge = Judge {
        ledger: known.ledger,
        foresight: Some(known.foresight),
        ..Judge::bare(plan, known.job, stop)
    };
    let mut foreseen = Foreseen {
        made: 0,
        left_alone: Vec::new(),
        rejections: Vec::new(),
        step: ForeseenStep::of(&plan.layout),
    };
    for partition in 0..pulled.partition_count() {
        let loaded = block_in_place(|| pulled.load(partition))?;
        let doubled = push::duplicates(plan.assignment().contents, &loaded.duplicates);
        foreseen.rejections.extend(doubled);
        for records in chunks(&loaded.records, plan.write_back.batch_records_max.get()) {
            let judged = judge.judge(&records).await?;
            let (left_alone, rejections) = judged.others();
            foreseen.left_alone.extend(left_alone);
            foreseen.rejections.extend(rejections);
            let made = judged.made();
            foreseen.made += u64::try_from(made.height()).unwrap_or(u64::MAX);
            if made.height() > 0 {
                block_in_place(|| shown(&made));
            }
            let (known, unknown) = judged.rows();
            foreseen.step.finds(known);
            foreseen.step.makes(unknown);
            foreseen.step.makes(judged.sharers());
        }
    }
    judge.reader.close().await;
    Ok(foreseen)
}

/// What a run would do.
pub(super) struct Foreseen {
    pub(super) made: u64,
    pub(super) left_alone: Vec<LeftAlone>,
    pub(super) rejections: Vec<Rejection>,
    /// For later steps to know.
    pub(super) step: ForeseenStep,
}

fn rows_of<'a>(plan: &'a Plan, job: &'a str) -> RowsOf<'a> {
    RowsOf {
        job,
        write_back: &plan.write_back.name,
        destination: &plan.destination.name,
    }
}

/// Records in pieces of a bounded size; one piece of none if there are none.
fn chunks(records: &DataFrame, records_max: usize) -> Vec<DataFrame> {
    let height = records.height();
    let firsts = (0..height.max(1)).step_by(records_max.max(1));
    let piece = |first: usize| {
        let offset = i64::try_from(first).unwrap_or(i64::MAX);
        records.slice(offset, records_max)
    };
    firsts.map(piece).collect()
}

fn record_keys(records: &DataFrame) -> Vec<String> {
    let keys = records.column(RECORD_KEY).and_then(Column::str);
    keys.map_or_else(
        |_| Vec::new(),
        |keys| {
            keys.iter()
                .map(|key| key.unwrap_or_default().to_owned())
                .collect()
        },
    )
}

fn positions(records: &DataFrame) -> Vec<u64> {
    let positions = records.column(RECORD_POSITION).and_then(Column::u64);
    positions.map_or_else(
        |_| Vec::new(),
        |positions| positions.iter().map(Option::unwrap_or_default).collect(),
    )
}

/// The fields that rows are found by, group by group.
fn keys_of(plan: &Plan) -> Vec<Vec<ObjectColumn>> {
    let groups = plan.write_back.creation.iter();
    let groups = groups.flat_map(|creation| &creation.exists_by);
    let column = |position: &usize| Some(plan.layout.fields.get(*position)?.column.clone());
    groups
        .map(|group| group.iter().filter_map(column).collect())
        .collect()
}

/// Decides what becomes of records, a piece at a time.
struct Judge<'a> {
    plan: &'a Plan,
    /// Absent where nothing ran yet.
    ledger: Option<&'a Ledger>,
    job: &'a str,
    /// What is foreseen of earlier steps, whose rows then count as there though they are not; absent
    /// where nothing is foretold.
    foresight: Option<&'a Foresight>,
    reader: Reader<'a>,
    /// By group and key: the record that is to make the row.
    claimed: HashMap<(usize, String), String>,
}

impl<'a> Judge<'a> {
    fn new(plan: &'a Plan, ledger: &'a Ledger, job: &'a str, stop: &'a Stop) -> Self {
        Self {
            ledger: Some(ledger),
            ..Self::bare(plan, job, stop)
        }
    }

    fn bare(plan: &'a Plan, job: &'a str, stop: &'a Stop) -> Self {
        Self {
            plan,
            ledger: None,
            job,
            foresight: None,
            reader: Reader::new(&plan.write_back.name, &plan.destination, stop),
            claimed: HashMap::new(),
        }
    }

    async fn judge(&mut self, records: &DataFrame) -> Result<Judged, PushError> {
        let mut judged = Judged::begin(records);
        let named = self.name_rows(&mut judged).await?;
        let filled = self.plan.mapping.fill(records, |names, column| {
            let ids = named.get(names).into_iter().flatten();
            let spelled = ids.map(|id| Some(spelled_id(self.plan, names, column, id.as_deref()?)));
            spelled.collect()
        });
        let (filled, faults) = filled.map_err(|misfit| self.never_fits(&misfit.to_string()))?;
        judged.fault(faults);
        judged.records = filled;
        judged.promise();
        self.find(&mut judged).await?;
        self.find_by_known_id(&mut judged).await?;
        judged.refuse_ambiguous();
        self.claim(&mut judged);
        Ok(judged)
    }

    fn never_fits(&self, why: &str) -> PushError {
        PushError::NeverFits {
            write_back: self.plan.write_back.name.clone(),
            why: why.to_owned(),
        }
    }

    /// The ids of the rows that fields name, record by record. What names a row that is not there
    /// is left alone.
    async fn name_rows(
        &mut self,
        judged: &mut Judged,
    ) -> Result<BTreeMap<Named, Vec<Option<String>>>, PushError> {
        let named: Vec<Named> = self.plan.mapping.named().into_iter().cloned().collect();
        let mut all = BTreeMap::new();
        for names in named {
            if all.contains_key(&names) {
                continue;
            }
            let ids = match &names {
                Named::OfStep(step) => self.step_ids(step, judged).await?,
                Named::About => self.about_ids(judged).await?,
            };
            all.insert(names, ids);
        }
        Ok(all)
    }

    async fn step_ids(
        &self,
        step: &str,
        judged: &mut Judged,
    ) -> Result<Vec<Option<String>>, PushError> {
        let rows = RowsOf {
            write_back: step,
            ..rows_of(self.plan, self.job)
        };
        let keys: Vec<&str> = judged.keys.iter().map(String::as_str).collect();
        let known = match self.ledger {
            Some(ledger) => ledger.row_ids(rows, &keys).await?,
            None => BTreeMap::new(),
        };
        let foreseen = self.foresight.and_then(|foresight| foresight.of(step));
        let id = |key: &String| {
            let found = foreseen.and_then(|step| step.id(key));
            found.or_else(|| known.get(key)).cloned()
        };
        let ids: Vec<Option<String>> = judged.keys.iter().map(id).collect();
        let short = step.rsplit_once('.').map_or(step, |(_, step)| step);
        for (index, id) in ids.iter().enumerate() {
            if id.is_some() {
                continue;
            }
            let key = judged.keys.get(index).map(String::as_str);
            // A step that was not previewed is taken to make what is missing.
            let is_made = |step: &ForeseenStep| key.is_some_and(|key| step.will_make(key));
            match self.foresight.is_some() && foreseen.is_none_or(is_made) {
                true => judged.await_row(index),
                false => judged.leave(index, format!("waits for step `{short}`")),
            }
        }
        Ok(ids)
    }

    async fn about_ids(&mut self, judged: &mut Judged) -> Result<Vec<Option<String>>, PushError> {
        let mut ids = vec![None; judged.keys.len()];
        let Some(about) = self
            .plan
            .creation
            .as_ref()
            .and_then(|one| one.about.as_ref())
        else {
            return Ok(ids);
        };
        let key = about_key(&about.object, &judged.records);
        let sight = Sight::of(&about.object, &key, &about.id);
        let records = about_records(&key, &judged.records)?;
        let open = judged.open();
        let seen = look(&sight, &mut self.reader, &records, &open, self.plan).await?;
        for (index, rows) in seen {
            match rows {
                Rows::One(id) => {
                    if let Some(place) = ids.get_mut(index) {
                        *place = id;
                    }
                }
                Rows::None | Rows::Unfit => {
                    let key = judged.keys.get(index).map(String::as_str);
                    let is_made = self.foresight.zip(key).is_some_and(|(foresight, key)| {
                        foresight.will_make(&about.object.path, key)
                    });
                    match is_made {
                        true => judged.await_row(index),
                        false => judged.leave(index, "no match".to_owned()),
                    }
                }
                Rows::Several(found) => {
                    judged.reject(
                        index,
                        None,
                        RejectReason::AmbiguousMatch { found }.to_string(),
                    );
                }
            }
        }
        Ok(ids)
    }

    /// Looks for rows by one group of fields after the other.
    async fn find(&mut self, judged: &mut Judged) -> Result<(), PushError> {
        let Some(PlannedCreation { id, .. }) = &self.plan.creation else {
            return Ok(());
        };
        let complete = self.plan.mapping.complete(&judged.records);
        for (number, key) in keys_of(self.plan).into_iter().enumerate() {
            let sight = Sight::of(&self.plan.layout.object, &key, id);
            let open = judged.open();
            let (whole, lacking) = whole_keys(&complete, &key, &open);
            if number == 0 {
                for (index, column) in lacking {
                    let reason = format!("`{column}` is empty, and rows are found by it");
                    judged.reject(index, Some(column), reason);
                }
            }
            let seen = look(&sight, &mut self.reader, &complete, &whole, self.plan).await?;
            for (index, rows) in seen {
                match rows {
                    Rows::One(id) => judged.exists(index, id),
                    Rows::Several(found) => judged.ambiguous(index, found),
                    Rows::None | Rows::Unfit => {}
                }
            }
        }
        Ok(())
    }

    /// Somebody may have changed what rows are found by: those that earlier runs made are known by
    /// their ids.
    async fn find_by_known_id(&mut self, judged: &mut Judged) -> Result<(), PushError> {
        let Some(column) = id_column(self.plan) else {
            return Ok(());
        };
        let open = judged.open();
        let keys: Vec<&str> = open
            .iter()
            .filter_map(|index| judged.keys.get(*index).map(String::as_str))
            .collect();
        let Some(ledger) = self.ledger else {
            return Ok(());
        };
        let known = ledger.row_ids(rows_of(self.plan, self.job), &keys).await?;
        if known.is_empty() {
            return Ok(());
        }
        let ids: StringChunked = judged
            .keys
            .iter()
            .map(|key| known.get(key).map(String::as_str))
            .collect();
        let values = self.plan.mapping.ids(column, &ids);
        let values = values.map_err(|misfit| self.never_fits(&misfit.to_string()))?;
        let column_of_ids = values.with_name(column.name.as_str().into()).into_column();
        let records = DataFrame::new(ids.len(), vec![column_of_ids])
            .map_err(|error| self.never_fits(&error.to_string()))?;
        let key = [column.clone()];
        let (whole, _) = whole_keys(&records, &key, &open);
        let place = IdPlace::Column(column.clone());
        let sight = Sight::of(&self.plan.layout.object, &key, &place);
        let seen = look(&sight, &mut self.reader, &records, &whole, self.plan).await?;
        for (index, rows) in seen {
            if let Rows::One(id) = rows {
                judged.exists(index, id);
            }
        }
        Ok(())
    }

    /// Of several records that would make the same row, the first makes it.
    fn claim(&mut self, judged: &mut Judged) {
        let complete = self.plan.mapping.complete(&judged.records);
        let groups = keys_of(self.plan);
        let texts: Vec<Option<KeyTexts>> = groups
            .iter()
            .map(|group| {
                let names: Vec<String> = group.iter().map(|column| column.name.clone()).collect();
                KeyTexts::of(&complete, &names).ok()
            })
            .collect();
        for index in judged.open() {
            if judged.is_awaited(index) {
                continue;
            }
            let claims: Vec<(usize, String)> = texts
                .iter()
                .enumerate()
                .filter_map(|(group, texts)| Some((group, texts.as_ref()?.text(index)?)))
                .collect();
            let first = claims.iter().find_map(|claim| self.claimed.get(claim));
            if let Some(first) = first {
                judged.share(index, first);
                continue;
            }
            let key = judged.keys.get(index).cloned().unwrap_or_default();
            self.claimed
                .extend(claims.into_iter().map(|claim| (claim, key.clone())));
        }
    }
}

/// The id of a row that a field names, as its column spells it: where that may name rows of several
/// objects, it tells which.
fn spelled_id(plan: &Plan, names: &Named, column: &ObjectColumn, id: &str) -> String {
    let creation = plan.creation.as_ref();
    let object = creation.and_then(|creation| match names {
        Named::OfStep(step) => creation.made_by.get(step).map(String::as_str),
        Named::About => {
            let about = creation.about.as_ref()?;
            about.object.path.last().map(String::as_str)
        }
    });
    match (plan.layout.object.kind.service(), object) {
        (Some(kind), Some(object)) => service::reference_text(kind, column, object, id),
        (_, _) => id.to_owned(),
    }
}

/// The rows of the records at these indexes.
async fn look(
    sight: &Sight,
    reader: &mut Reader<'_>,
    records: &DataFrame,
    indexes: &[usize],
    plan: &Plan,
) -> Result<Vec<(usize, Rows)>, PushError> {
    let seen = sight.look(reader, records, indexes).await;
    seen.map_err(|unseen| match unseen {
        Unseen::Unasked(error) => error.into(),
        Unseen::Misshapen(error) => PushError::NeverFits {
            write_back: plan.write_back.name.clone(),
            why: error.to_string(),
        },
    })
}

/// The column by which a row is found whose id is known; a web API's records have one, too.
fn id_column(plan: &Plan) -> Option<&ObjectColumn> {
    let creation = plan.creation.as_ref()?;
    match (&creation.id, plan.layout.object.primary_key.as_slice()) {
        (IdPlace::Column(column), _) => Some(column),
        (IdPlace::Told, [only]) if creation.about.is_none() => {
            let mut columns = plan.layout.object.columns.iter();
            columns.find(|column| column.name == *only)
        }
        (IdPlace::Told, _) => None,
    }
}

/// What of a note's record is found by, as its object has it.
fn about_key(object: &Object, records: &DataFrame) -> Vec<ObjectColumn> {
    let is_given = |column: &&ObjectColumn| records.column(&about_column(&column.name)).is_ok();
    object.columns.iter().filter(is_given).cloned().collect()
}

fn about_records(key: &[ObjectColumn], records: &DataFrame) -> Result<DataFrame, PushError> {
    let column = |column: &ObjectColumn| {
        let values = records.column(&about_column(&column.name))?;
        Ok(values.clone().with_name(column.name.as_str().into()))
    };
    let columns: polars::prelude::PolarsResult<Vec<Column>> = key.iter().map(column).collect();
    let found = columns.and_then(|columns| DataFrame::new(records.height(), columns));
    found.map_err(|error| PushError::NeverFits {
        write_back: "notes".to_owned(),
        why: error.to_string(),
    })
}

/// The records, of those that are open, that have a value in every column; and of the others a
/// column in which they have none.
fn whole_keys(
    records: &DataFrame,
    key: &[ObjectColumn],
    open: &[usize],
) -> (Vec<usize>, Vec<(usize, String)>) {
    let (mut whole, mut lacking) = (Vec::new(), Vec::new());
    for index in open {
        let is_empty = |column: &&ObjectColumn| {
            let value = records.column(&column.name).ok();
            let value = value.and_then(|values| values.get(*index).ok());
            value.is_none_or(|value| value.is_null())
        };
        match key.iter().find(is_empty) {
            None => whole.push(*index),
            Some(column) => lacking.push((*index, column.name.clone())),
        }
    }
    (whole, lacking)
}

/// Records, and what becomes of each.
struct Judged {
    records: DataFrame,
    keys: Vec<String>,
    positions: Vec<u64>,
    /// Of those that are decided; all others are made.
    fates: Vec<Fate>,
    decided: Vec<bool>,
    /// Ids of rows that are there.
    found: Vec<Option<String>>,
    ambiguous: Vec<Option<u64>>,
    /// Those that name a row which a run would make before.
    awaited: Vec<bool>,
    /// Those whose row is made of another record.
    shared: Vec<bool>,
}

impl Judged {
    fn begin(records: &DataFrame) -> Self {
        let keys = record_keys(records);
        let count = records.height();
        Self {
            records: records.clone(),
            positions: positions(records),
            fates: vec![Fate::Made; count],
            decided: vec![false; count],
            found: vec![None; count],
            ambiguous: vec![None; count],
            awaited: vec![false; count],
            shared: vec![false; count],
            keys,
        }
    }

    fn open(&self) -> Vec<usize> {
        let decided = self.decided.iter().enumerate();
        decided
            .filter(|(_, decided)| !**decided)
            .map(|(index, _)| index)
            .collect()
    }

    fn decide(&mut self, index: usize, fate: Fate) {
        if let (Some(place), Some(decided)) =
            (self.fates.get_mut(index), self.decided.get_mut(index))
            && !*decided
        {
            *place = fate;
            *decided = true;
        }
    }

    fn leave(&mut self, index: usize, reason: String) {
        self.decide(index, Fate::LeftAlone(reason));
    }

    fn reject(&mut self, index: usize, column: Option<String>, reason: String) {
        self.decide(index, Fate::Rejected { column, reason });
    }

    fn exists(&mut self, index: usize, id: Option<String>) {
        let reason = match &id {
            Some(id) => format!("already exists: `{id}`"),
            None => "already exists".to_owned(),
        };
        if let Some(place) = self.found.get_mut(index) {
            *place = id;
        }
        self.leave(index, reason);
    }

    /// The row is made of the record that goes by this key.
    fn share(&mut self, index: usize, first: &str) {
        if let Some(shared) = self.shared.get_mut(index) {
            *shared = true;
        }
        self.leave(index, format!("already exists: made of record `{first}`"));
    }

    /// Keys of records whose rows are made of others.
    fn sharers(&self) -> impl Iterator<Item = &str> {
        let keys = self.keys.iter().zip(&self.shared);
        keys.filter_map(|(key, shared)| shared.then_some(key.as_str()))
    }

    fn ambiguous(&mut self, index: usize, found: u64) {
        if let Some(place) = self.ambiguous.get_mut(index) {
            *place = Some(place.unwrap_or(found));
        }
    }

    /// What no group of fields told from others is never guessed at.
    fn refuse_ambiguous(&mut self) {
        for index in self.open() {
            if let Some(found) = self.ambiguous.get(index).copied().flatten() {
                let reason = RejectReason::AmbiguousMatch { found }.to_string();
                self.reject(index, None, reason);
            }
        }
    }

    fn await_row(&mut self, index: usize) {
        if let Some(awaited) = self.awaited.get_mut(index) {
            *awaited = true;
        }
    }

    fn is_awaited(&self, index: usize) -> bool {
        self.awaited.get(index).copied().unwrap_or_default()
    }

    /// What names a row that a run would make is made as well: nothing can name it now.
    fn promise(&mut self) {
        for index in 0..self.awaited.len() {
            if self.is_awaited(index) {
                self.decide(index, Fate::Made);
            }
        }
    }

    fn fault(&mut self, faults: Vec<(String, Fault)>) {
        for (column, fault) in faults {
            self.reject(fault.index, Some(column), fault.reason);
        }
    }

    /// The records of which rows are to be made.
    fn made(&self) -> DataFrame {
        let made: Vec<bool> = self.fates.iter().map(|fate| *fate == Fate::Made).collect();
        let mask = BooleanChunked::from_slice(PlSmallStr::EMPTY, &made);
        self.records
            .filter(&mask)
            .expect("the mask is as long as the frame")
    }

    fn others(&self) -> (Vec<LeftAlone>, Vec<Rejection>) {
        let (mut left_alone, mut rejections) = (Vec::new(), Vec::new());
        for (index, fate) in self.fates.iter().enumerate() {
            let record = self.positions.get(index).copied().unwrap_or_default();
            let key = self.keys.get(index).cloned().unwrap_or_default();
            match fate {
                Fate::Made => {}
                Fate::LeftAlone(reason) => left_alone.push(LeftAlone {
                    record,
                    key,
                    reason: reason.clone(),
                    parked: false,
                    met: None,
                }),
                Fate::Rejected { column, reason } => rejections.push(Rejection {
                    record,
                    key: Some(key),
                    stage: Stage::Match,
                    column: column.clone(),
                    value: None,
                    reason: reason.clone(),
                    others: Vec::new(),
                }),
            }
        }
        (left_alone, rejections)
    }

    /// Rows that are there, by the keys of their records; and keys of records whose rows are not.
    fn rows(&self) -> (Vec<(String, String)>, Vec<&str>) {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for ((key, found), fate) in self.keys.iter().zip(&self.found).zip(&self.fates) {
            match (found, fate) {
                (Some(id), _) => known.push((key.clone(), id.clone())),
                (None, Fate::Made) => unknown.push(key.as_str()),
                (None, Fate::LeftAlone(_) | Fate::Rejected { .. }) => {}
            }
        }
        (known, unknown)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use polars::prelude::df;

    use super::*;

    fn judged() -> Judged {
        let records = df!(RECORD_KEY => ["R1", "R2", "R3"], RECORD_POSITION => [0_u64, 1, 2]);
        Judged::begin(&records.unwrap())
    }

    #[test]
    fn a_record_is_decided_once_and_every_other_is_made() {
        let mut judged = judged();
        judged.exists(0, Some("17".to_owned()));
        judged.leave(0, "another reason".to_owned());
        judged.ambiguous(0, 2);
        judged.ambiguous(1, 3);
        judged.refuse_ambiguous();
        assert_eq!(judged.made().height(), 1);
        let (left_alone, rejections) = judged.others();
        let reasons: Vec<&str> = left_alone.iter().map(|one| one.reason.as_str()).collect();
        assert_eq!(reasons, ["already exists: `17`"]);
        let reasons: Vec<&str> = rejections.iter().map(|one| one.reason.as_str()).collect();
        assert_eq!(reasons, ["the key matches 3 rows of the destination"]);
        let (known, unknown) = judged.rows();
        assert_eq!(known, [("R1".to_owned(), "17".to_owned())]);
        assert_eq!(unknown, ["R3"]);
    }

    #[test]
    fn pieces_hold_every_record_once() {
        let records = df!("number" => [1, 2, 3, 4, 5]).unwrap();
        let heights = |size| {
            let pieces = chunks(&records, size);
            pieces.iter().map(DataFrame::height).collect::<Vec<_>>()
        };
        assert_eq!(heights(2), [2, 2, 1]);
        assert_eq!(heights(9), [5]);
        assert_eq!(chunks(&records.clear(), 2).len(), 1);
    }
}
