//! What was last written into fields in which someone else's values are kept: a package for each
//! write-back, beside the ledger. It outlives before-images, which go after their `retention`.
//! Before a run is pushed, what earlier runs sent since is folded in, and the new package stands
//! beside the old one until the ledger knows of it: whoever is killed meanwhile folds again.
//!
//! Shape of its records: the match key; for each such field its values (NULL where they are the
//! database's own text), and the columns [`own_column`] and [`known_column`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use polars::prelude::{
    BooleanChunked, ChunkFull, ChunkFullNull, Column, DataFrame, DataType, IntoColumn, PolarsResult,
};
use tokio::task::block_in_place;

use super::error::LastWrittenError;
use super::last_values::{LastValues, known_column, own_column};
use crate::config::Project;
use crate::destination::AnyDestination;
use crate::destination::seam::Destination;
use crate::domain::layout::Layout;
use crate::domain::record::key_texts;
use crate::ledger::{
    Commit, ImageSegment, LastWrittenEntry, Ledger, SendingRun, SentImages, SentSegments,
    TestedValues, job_file_name,
};
use crate::package::{Beside, Package, PackageError, PackageWriter};
use crate::run::doubt::{self, FirstImages};
use crate::run::images::{self, ImageError, ImageField, Segment, image_field};
use crate::run::newest::{groups, in_order, newest_row, rows};
use crate::run::run_folder;
use crate::state;

/// The write-back that is asked about.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) project: &'a Project,
    pub(crate) ledger: &'a Ledger,
    pub(crate) job: &'a str,
    pub(crate) write_back: &'a str,
    /// Name of the connection.
    pub(crate) destination: &'a str,
    pub(crate) layout: &'a Layout,
    /// Whether nobody else is at work on the job.
    pub(crate) is_alone: bool,
}

/// What was last written of a write-back.
#[derive(Debug)]
pub(crate) struct LastWritten {
    package: Package,
    write_back: String,
    folder: PathBuf,
}

/// Goes through it beside the records of a package.
pub(crate) struct LastWrittenBeside<'a> {
    of: &'a LastWritten,
    beside: Beside<'a>,
}

/// Values that stand in the folder of an earlier run.
struct Base {
    entry: LastWrittenEntry,
    fields: Vec<ImageField>,
}

/// What is folded, one after the other.
enum Step {
    Base,
    Run(Trace),
    Tested(Segment),
}

/// What a run left of what it sent.
struct Trace {
    run: i64,
    folder: PathBuf,
    segments: SentSegments,
    /// Of each segment in doubt, which of its records are not written: their rows are as they were
    /// before.
    unwritten: Vec<Vec<bool>>,
}

/// How a segment tells of its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    /// They were written.
    Written,
    /// Their rows were found to hold some of it.
    Agreed,
}

/// Why what a run sent cannot be told.
enum Gap {
    /// It kept no before-images, or matched records by another key.
    Deliberate,
    /// A file is gone.
    Removed(ImageError),
}

impl Subject<'_> {
    /// What was written before `run` began to. Folds it, unless an earlier process of the run did;
    /// `None`, and it is forgotten, if no field keeps other people's values.
    pub(crate) async fn before_run(
        &self,
        run: i64,
    ) -> Result<Option<LastWritten>, LastWrittenError> {
        let entry = self.ledger.last_written(self.job, self.write_back).await?;
        if self.layout.keeping_foreign().is_empty() {
            if entry.is_some() {
                self.ledger
                    .forget_last_written(self.job, self.write_back)
                    .await?;
                self.remove_others(None);
            }
            return Ok(None);
        }
        let is_known = entry.is_some();
        let base = self.base(entry);
        if is_known && base.is_none() {
            let Self {
                job, write_back, ..
            } = self;
            tracing::warn!(
                job,
                write_back,
                "what was last written is of another object or key, and is forgotten"
            );
        }
        if base.as_ref().is_some_and(|base| base.entry.run == run) {
            return self.open(run).map(Some);
        }
        let steps = self.steps(base.as_ref(), run).await?;
        if let (Some(base), [Step::Base]) = (&base, steps.as_slice()) {
            return self.open(base.entry.run).map(Some);
        }
        let folder = self.folder();
        let made = state::make_folder_within(&self.project.state_folder(), &folder);
        made.map_err(|source| self.gathering(PackageError::io("make", &folder, source)))?;
        let place = folder.join(run.to_string());
        block_in_place(|| self.fold(base.as_ref(), &steps, &folder.join("gathered"), &place))?;
        let fields = serde_json::to_string(&self.fields())
            .map_err(|error| LastWrittenError::Io(error.into()))?;
        let (destination, object) = (self.destination.to_owned(), self.layout.object.path.clone());
        let entry = LastWrittenEntry {
            run,
            destination,
            object,
            fields,
        };
        self.ledger
            .record_last_written(self.job, self.write_back, &entry)
            .await?;
        self.remove_others(Some(run));
        self.open(run).map(Some)
    }

    /// What was written until now, gathered in `folder` for the while; `None` if no field keeps
    /// other people's values.
    pub(crate) async fn until_now(
        &self,
        folder: &Path,
    ) -> Result<Option<LastWritten>, LastWrittenError> {
        if self.layout.keeping_foreign().is_empty() {
            return Ok(None);
        }
        state::make_folder(folder)?;
        match self.gathered(folder).await {
            // A run may have put another in its place meanwhile.
            Err(LastWrittenError::Unusable { .. }) => self.gathered(folder).await.map(Some),
            gathered => gathered.map(Some),
        }
    }

    async fn gathered(&self, folder: &Path) -> Result<LastWritten, LastWrittenError> {
        let base = self.base(self.ledger.last_written(self.job, self.write_back).await?);
        let steps = self.steps(base.as_ref(), i64::MAX).await?;
        let place = folder.join("last_written");
        let package =
            block_in_place(|| self.fold(base.as_ref(), &steps, &folder.join("gathered"), &place))?;
        Ok(LastWritten {
            package,
            write_back: self.write_back.to_owned(),
            folder: place,
        })
    }

    fn folder(&self) -> PathBuf {
        let jobs = self.project.state_folder().join("last_written");
        jobs.join(job_file_name(self.job)).join(self.write_back)
    }

    fn open(&self, run: i64) -> Result<LastWritten, LastWrittenError> {
        let folder = self.folder().join(run.to_string());
        let package = block_in_place(|| Package::open(&folder))
            .map_err(|source| self.unusable(&folder, source))?;
        Ok(LastWritten {
            package,
            write_back: self.write_back.to_owned(),
            folder,
        })
    }

    /// Removes what stood before, or an interrupted fold left.
    fn remove_others(&self, kept: Option<i64>) {
        let kept = kept.map(|run| run.to_string());
        let entries = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| {
            kept.as_ref()
                .is_none_or(|kept| *kept.as_str() != *entry.file_name())
        }) {
            if let Err(error) = state::remove_folder_if_there(&entry.path()) {
                tracing::warn!(path = %entry.path().display(), %error, "could not remove what was last written before");
            }
        }
    }

    /// The fields that are told of, those of the match key first.
    fn fields(&self) -> Vec<ImageField> {
        let key = self.layout.key.iter().copied();
        let positions = key.chain(self.layout.keeping_foreign());
        positions
            .filter_map(|position| image_field(self.layout, position))
            .collect()
    }

    /// What stands already, if it is of the same object and the same records.
    fn base(&self, entry: Option<LastWrittenEntry>) -> Option<Base> {
        let entry = entry.filter(|entry| self.is_of(&entry.destination, &entry.object))?;
        let fields: Vec<ImageField> = serde_json::from_str(&entry.fields).unwrap_or_default();
        has_key(&fields, &self.fields()).then_some(Base { entry, fields })
    }

    fn is_of(&self, destination: &str, object: &[String]) -> bool {
        destination == self.destination && *object == *self.layout.object.path
    }

    /// What is to be folded of all that was written before `run`, oldest first, as far back as it
    /// is known. Errors: `Run`, if files of a run are gone that was to be folded.
    async fn steps(&self, base: Option<&Base>, run: i64) -> Result<Vec<Step>, LastWrittenError> {
        let since = base.map_or(i64::MAX, |base| base.entry.run);
        let runs = self
            .ledger
            .sending_runs(self.job, self.write_back, run)
            .await?;
        let mut runs: Vec<SendingRun> = runs
            .into_iter()
            .filter(|run| self.is_of(&run.destination, &run.object))
            .collect();
        let mut tested = self.ledger.tested_values(self.job, self.write_back).await?;
        tested.retain(|tested| self.is_of(&tested.destination, &tested.object));
        let mut steps = Vec::new();
        while let Some(run) = runs.pop_if(|run| run.id.run >= since) {
            self.take_tested(&mut steps, &mut tested, Some(&run))?;
            match self.trace(&run).await? {
                Ok(trace) => steps.extend(trace.tells_anything().then_some(Step::Run(trace))),
                Err(Gap::Removed(source)) => {
                    return Err(self.of_run(run.id.run, source));
                }
                Err(Gap::Deliberate) => return Ok(oldest_first(steps)),
            }
        }
        if let Some(base) = base {
            self.take_tested(&mut steps, &mut tested, None)?;
            steps.push(Step::Base);
            if self
                .fields()
                .iter()
                .all(|field| base.fields.contains(field))
            {
                return Ok(oldest_first(steps));
            }
        }
        while let Some(run) = runs.pop() {
            self.take_tested(&mut steps, &mut tested, Some(&run))?;
            match self.trace(&run).await? {
                Ok(trace) => steps.extend(trace.tells_anything().then_some(Step::Run(trace))),
                Err(_) => return Ok(oldest_first(steps)),
            }
        }
        self.take_tested(&mut steps, &mut tested, None)?;
        Ok(oldest_first(steps))
    }

    /// Takes what tests wrote after a run, or all of it.
    fn take_tested(
        &self,
        steps: &mut Vec<Step>,
        tested: &mut Vec<TestedValues>,
        after: Option<&SendingRun>,
    ) -> Result<(), LastWrittenError> {
        while let Some(newest) =
            tested.pop_if(|tested| after.is_none_or(|run| tested.after_run >= run.id.run))
        {
            let path = self.project.state_folder().join("ledger.db");
            let segment = Segment::parsed(path, newest.segment);
            let segment = segment.map_err(|source| self.of_run(newest.after_run, source))?;
            if has_key(&segment.fields, &self.fields()) {
                steps.push(Step::Tested(segment));
            }
        }
        Ok(())
    }

    async fn trace(&self, run: &SendingRun) -> Result<Result<Trace, Gap>, LastWrittenError> {
        let segments = self.ledger.sent_segments(run.id).await?;
        let folder = run_folder(self.project, run.id.run).join(self.write_back);
        let mut trace = Trace {
            run: run.id.run,
            folder,
            segments,
            unwritten: Vec::new(),
        };
        if run.unkept > 0 {
            return Ok(Err(Gap::Deliberate));
        }
        let told = block_in_place(|| trace.key_fields());
        Ok(match told {
            Ok(Some(fields)) if !has_key(&fields, &self.fields()) => Err(Gap::Deliberate),
            Ok(_) => {
                self.ask(run, &mut trace).await?;
                Ok(trace)
            }
            Err(ImageError::Unreadable { path, source })
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Err(Gap::Removed(ImageError::Unreadable { path, source }))
            }
            Err(source) => {
                return Err(self.of_run(run.id.run, source));
            }
        })
    }

    /// Asks the destination what became of a run's batches in doubt.
    async fn ask(&self, run: &SendingRun, trace: &mut Trace) -> Result<(), LastWrittenError> {
        let in_doubt = std::mem::take(&mut trace.segments.in_doubt);
        if in_doubt.is_empty() {
            return Ok(());
        }
        let path = &self.layout.object.path;
        let failed = |source| LastWrittenError::Destination {
            write_back: self.write_back.to_owned(),
            connection: self.destination.to_owned(),
            source: Box::new(source),
        };
        let Ok((connection, _)) = self.project.connection(self.destination) else {
            return Ok(());
        };
        let settled = match self.is_alone {
            true => doubt::settled(connection, None, run.id, path, in_doubt)
                .await
                .map_err(failed)?,
            false => in_doubt,
        };
        let mut destination = AnyDestination::connect(connection).await.map_err(failed)?;
        for sending in settled {
            if sending.commit != Commit::InDoubt {
                trace.segments.written.push(sending.segment);
                continue;
            }
            let folder = images::folder_in(&trace.folder);
            let images = block_in_place(|| {
                FirstImages::read(&folder, &sending.segment, &self.layout.object)
            });
            let images = images.map_err(|source| self.of_run(run.id.run, source))?;
            trace
                .unwritten
                .push(images.still_to_do(&mut destination).await.map_err(failed)?);
            trace.segments.in_doubt.push(sending);
        }
        destination.close().await;
        Ok(())
    }

    /// Packs what is to be folded in `gathered`, and of each key and field the newest value in
    /// `place`.
    fn fold(
        &self,
        base: Option<&Base>,
        steps: &[Step],
        gathered: &Path,
        place: &Path,
    ) -> Result<Package, LastWrittenError> {
        let key_columns: Vec<String> = self
            .layout
            .key_fields()
            .map(|field| field.column.name.clone())
            .collect();
        let failed = |source| self.gathering(source);
        let mut writer = PackageWriter::create(gathered, &key_columns).map_err(failed)?;
        for step in steps {
            match step {
                Step::Base => self.gather_base(base, &mut writer)?,
                Step::Run(trace) => self.gather_run(trace, &mut writer)?,
                Step::Tested(segment) => {
                    let told = self.conform(segment, Telling::Agreed);
                    let told = told.map_err(|source| self.of_run(0, source))?;
                    writer.push(&told).map_err(failed)?;
                }
            }
        }
        let all = writer.finish().map_err(failed)?;
        let mut writer = PackageWriter::create(place, &key_columns).map_err(failed)?;
        for partition in 0..all.partition_count() {
            let partition = all.load(partition).map_err(failed)?;
            let newest = in_order(&partition, &key_columns)
                .and_then(|sorted| self.newest(&sorted, &key_columns));
            writer
                .push(&newest.map_err(|source| self.frame(source))?)
                .map_err(failed)?;
        }
        let package = writer.finish().map_err(failed)?;
        let removed = state::remove_folder_if_there(gathered);
        removed.map_err(|source| failed(PackageError::io("remove", gathered, source)))?;
        Ok(package)
    }

    fn gather_base(
        &self,
        base: Option<&Base>,
        writer: &mut PackageWriter,
    ) -> Result<(), LastWrittenError> {
        let Some(base) = base else { return Ok(()) };
        let LastWritten {
            package, folder, ..
        } = self.open(base.entry.run)?;
        for partition in 0..package.partition_count() {
            let records = package
                .load(partition)
                .map_err(|source| self.unusable(&folder, source))?
                .records;
            let fitting = self
                .conform_base(base, &records)
                .map_err(|source| self.frame(source))?;
            writer
                .push(&fitting)
                .map_err(|source| self.gathering(source))?;
        }
        Ok(())
    }

    fn gather_run(
        &self,
        trace: &Trace,
        writer: &mut PackageWriter,
    ) -> Result<(), LastWrittenError> {
        let SentSegments {
            written,
            in_doubt,
            conflicts,
        } = &trace.segments;
        let images = images::folder_in(&trace.folder);
        let kept = super::kept::folder_in(&trace.folder);
        let of_run = |source| self.of_run(trace.run, source);
        for segment in written {
            let told = Segment::read(&images, segment)
                .and_then(|segment| self.conform(&segment, Telling::Written));
            writer
                .push(&told.map_err(of_run)?)
                .map_err(|source| self.gathering(source))?;
        }
        for (SentImages { segment, .. }, unwritten) in in_doubt.iter().zip(&trace.unwritten) {
            let told = Segment::read(&images, segment)
                .and_then(|segment| self.conform(&segment, Telling::Written));
            let may_be_written: BooleanChunked =
                unwritten.iter().map(|unwritten| !unwritten).collect();
            let told = told
                .map_err(of_run)?
                .filter(&may_be_written)
                .map_err(|source| self.frame(source))?;
            writer
                .push(&told)
                .map_err(|source| self.gathering(source))?;
        }
        for segment in conflicts {
            let told = Segment::read(&kept, segment)
                .and_then(|segment| self.conform(&segment, Telling::Agreed));
            writer
                .push(&told.map_err(of_run)?)
                .map_err(|source| self.gathering(source))?;
        }
        Ok(())
    }

    /// A segment's records in the form that all have.
    fn conform(&self, segment: &Segment, telling: Telling) -> Result<DataFrame, ImageError> {
        let frame = segment.frame()?;
        let mut columns = Vec::new();
        for field in self.fields() {
            let image = segment.fields.iter().find(|image| image.name == field.name);
            if field.key.is_some() {
                let image =
                    image.ok_or_else(|| segment.damaged(format!("it has no `{}`", field.name)))?;
                columns.push(segment.column(&frame, "sent", image)?);
                continue;
            }
            let fitting = image.filter(|image| image.kind == field.kind);
            let sent = fitting
                .map(|image| segment.column(&frame, "sent", image))
                .transpose()?;
            let (values, own) = match (sent, fitting) {
                (Some(sent), Some(image)) if image.own_text => (None, Some(sent)),
                (sent, _) => (sent, None),
            };
            let told = match image {
                Some(image) => told(segment, &frame, image, telling, fitting.is_some())?,
                None => BooleanChunked::full_null("".into(), frame.height()),
            };
            columns.extend(told_columns(&field, frame.height(), values, own, told));
        }
        DataFrame::new(frame.height(), columns).map_err(|error| segment.damaged(error.to_string()))
    }

    /// Records of the base in the form that all have: of fields that it does not tell of, it says
    /// nothing.
    fn conform_base(&self, base: &Base, records: &DataFrame) -> PolarsResult<DataFrame> {
        let mut columns = Vec::new();
        for field in self.fields() {
            if field.key.is_some() {
                columns.push(records.column(&field.name)?.clone());
            } else if base.fields.contains(&field) {
                for name in [
                    field.name.clone(),
                    own_column(&field.name),
                    known_column(&field.name),
                ] {
                    columns.push(records.column(&name)?.clone());
                }
            } else {
                let nothing = BooleanChunked::full_null("".into(), records.height());
                columns.extend(told_columns(&field, records.height(), None, None, nothing));
            }
        }
        DataFrame::new(records.height(), columns)
    }

    /// Of each key and field the newest value, as far as one is known.
    /// Shape: as the module says, in and out.
    fn newest(&self, sorted: &DataFrame, key_columns: &[String]) -> PolarsResult<DataFrame> {
        let groups = groups(&key_texts(sorted, key_columns));
        let last: Vec<usize> = groups.iter().map(|(_, last)| *last).collect();
        let mut columns = Vec::new();
        let mut any_known = BooleanChunked::full("".into(), false, groups.len());
        for field in self.fields() {
            if field.key.is_some() {
                columns.push(sorted.column(&field.name)?.take(&rows(&last))?);
                continue;
            }
            let known = sorted.column(&known_column(&field.name))?.bool()?.clone();
            let newest: Vec<usize> = groups
                .iter()
                .map(|group| newest_row(group, &known))
                .collect();
            let is_known: BooleanChunked = newest
                .iter()
                .map(|row| known.get(*row) == Some(true))
                .collect();
            any_known = &any_known | &is_known;
            columns.push(sorted.column(&field.name)?.take(&rows(&newest))?);
            columns.push(
                sorted
                    .column(&own_column(&field.name))?
                    .take(&rows(&newest))?,
            );
            columns.push(
                is_known
                    .with_name(known_column(&field.name).into())
                    .into_column(),
            );
        }
        DataFrame::new(groups.len(), columns)?.filter(&any_known)
    }

    fn gathering(&self, source: PackageError) -> LastWrittenError {
        LastWrittenError::Gathering {
            write_back: self.write_back.to_owned(),
            source: Box::new(source),
        }
    }

    fn unusable(&self, folder: &Path, source: PackageError) -> LastWrittenError {
        let folder = folder.display().to_string();
        LastWrittenError::Unusable {
            write_back: self.write_back.to_owned(),
            folder,
            source: Box::new(source),
        }
    }

    fn frame(&self, source: polars::error::PolarsError) -> LastWrittenError {
        LastWrittenError::Frame {
            write_back: self.write_back.to_owned(),
            source: Box::new(source),
        }
    }

    fn of_run(&self, run: i64, source: ImageError) -> LastWrittenError {
        LastWrittenError::Run {
            write_back: self.write_back.to_owned(),
            run,
            source: Box::new(source),
        }
    }
}

impl Trace {
    fn tells_anything(&self) -> bool {
        let SentSegments {
            written,
            in_doubt,
            conflicts,
        } = &self.segments;
        !(written.is_empty() && in_doubt.is_empty() && conflicts.is_empty())
    }

    /// The fields of its records, once all its files are found; `None` if it has none.
    fn key_fields(&self) -> Result<Option<Vec<ImageField>>, ImageError> {
        let SentSegments {
            written,
            in_doubt,
            conflicts,
        } = &self.segments;
        let images = images::folder_in(&self.folder);
        let kept = super::kept::folder_in(&self.folder);
        let in_doubt = in_doubt.iter().map(|images| &images.segment);
        let all = written
            .iter()
            .chain(in_doubt)
            .map(|segment| (&images, segment));
        let all: Vec<(&PathBuf, &ImageSegment)> = all
            .chain(conflicts.iter().map(|segment| (&kept, segment)))
            .collect();
        for (folder, segment) in &all {
            let path = folder.join(&segment.file);
            fs::symlink_metadata(&path).map_err(|source| ImageError::Unreadable {
                path: path.display().to_string(),
                source,
            })?;
        }
        let first = all
            .first()
            .map(|(folder, segment)| Segment::read(folder, segment))
            .transpose()?;
        Ok(first.map(|segment| segment.fields))
    }
}

impl LastWritten {
    pub(crate) fn beside(&self) -> LastWrittenBeside<'_> {
        LastWrittenBeside {
            of: self,
            beside: self.package.beside(),
        }
    }
}

impl LastWrittenBeside<'_> {
    /// What was last written of these records, which are sorted by key, each key once. From call to
    /// call keys ascend.
    pub(crate) fn values(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
    ) -> Result<LastValues, LastWrittenError> {
        let unusable = |source| LastWrittenError::Unusable {
            write_back: self.of.write_back.clone(),
            folder: self.of.folder.display().to_string(),
            source: Box::new(source),
        };
        let aligned = self.beside.records(records).map_err(unusable)?;
        let values = LastValues::of(layout, aligned.as_ref(), records.height());
        values.map_err(|source| LastWrittenError::Frame {
            write_back: self.of.write_back.clone(),
            source: Box::new(source),
        })
    }
}

fn oldest_first(mut steps: Vec<Step>) -> Vec<Step> {
    steps.reverse();
    steps
}

/// Whether records are matched by the same key.
fn has_key(fields: &[ImageField], wanted: &[ImageField]) -> bool {
    let key = |fields: &[ImageField]| {
        let mut key: Vec<ImageField> = fields
            .iter()
            .filter(|field| field.key.is_some())
            .cloned()
            .collect();
        key.sort_by_key(|field| field.key);
        key
    };
    key(fields) == key(wanted)
}

/// What a segment says of a field's values, record by record.
fn told(
    segment: &Segment,
    frame: &DataFrame,
    image: &ImageField,
    telling: Telling,
    fits: bool,
) -> Result<BooleanChunked, ImageError> {
    if telling == Telling::Agreed {
        let agreed = segment.column(frame, "agreed", image)?;
        let agreed = agreed
            .bool()
            .map_err(|error| segment.damaged(error.to_string()))?;
        return Ok(agreed
            .iter()
            .map(|agreed| (agreed == Some(true)).then_some(fits))
            .collect());
    }
    let (written, deleted) = (segment.written(frame, image)?, segment.deleted(frame)?);
    let said = |(written, deleted): (Option<bool>, Option<bool>)| match (written, deleted) {
        (_, Some(true)) => Some(false),
        (Some(true), _) => Some(fits),
        (_, _) => None,
    };
    Ok(written.iter().zip(deleted.iter()).map(said).collect())
}

/// The three columns of a field.
fn told_columns(
    field: &ImageField,
    records: usize,
    values: Option<Column>,
    own: Option<Column>,
    known: BooleanChunked,
) -> [Column; 3] {
    let name = field.name.as_str();
    let nothing = |kind: &DataType| Column::full_null(name.into(), records, kind);
    [
        values
            .unwrap_or_else(|| nothing(&field.kind.representation()))
            .with_name(name.into()),
        own.unwrap_or_else(|| nothing(&DataType::String))
            .with_name(own_column(name).into()),
        known.into_column().with_name(known_column(name).into()),
    ]
}
