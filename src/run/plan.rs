//! Planning: each write-back of a job met with its source and its object, so that every mistake is
//! known before the first record is read.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use chrono::DateTime;
use futures_util::future::join_all;
use polars::prelude::DataFrame;

use crate::config::Project;
use crate::destination::seam::Destination;
use crate::destination::{AnyDestination, sqlite};
use crate::domain::connection::{Connection, System};
use crate::domain::counted::counted;
use crate::domain::cycle::Cycle;
use crate::domain::dependent::Dependents;
use crate::domain::error::{SystemError, chain};
use crate::domain::field::Field;
use crate::domain::guard::{Forecast, Objection};
use crate::domain::job::{Creation, Job, RowWay, WriteBack};
use crate::domain::journal_table;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::mapping::{Mapping, NO_RUN, RunFacts};
use crate::domain::match_key::{KeyKinds, RecordKinds};
use crate::domain::match_rule::MatchMode;
use crate::domain::moment::Zones;
use crate::domain::object::{NamePart, Object, ObjectColumn, ObjectName, resolve_name};
use crate::domain::problem::{Location, PlacedCause, Problem, did_you_mean, has_mistake};
use crate::domain::real_time;
use crate::domain::record::RECORD_KEY;
use crate::domain::referral::Referrals;
use crate::domain::value::Kind;
use crate::heap::on_heap;
use crate::ledger::{Ledger, LedgerError, MappedField, MappedFor, WriteBackId};
use crate::package::Package;
use crate::run::answers::Answers;
use crate::run::conflicts::LastWrittenError;
use crate::run::conflicts::last_written::{LastWritten, Subject};
use crate::run::dependents;
use crate::run::mirror;
use crate::run::prepared::{self, Home};
use crate::run::push::{Assignment, CanaryRule, Contents};
use crate::run::references::{self, Met, Unmet};
use crate::run::sight::IdPlace;
use crate::run::snapshot::{DeliveredRecords, Recollection, Snapshot, SnapshotOf};
use crate::run::swap::Swap;
use crate::run::ways::{self, MetWay, PlannedWay};
use crate::source::{AnySource, Source};

/// Why a job cannot be planned.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// Mistakes in the project's files, or systems that could not be asked.
    #[error("job `{job}` has {count}", count = counted(problems.len(), "problem"))]
    Problems { job: String, problems: Vec<Problem> },
    /// Others were delivered to.
    #[error("{}", told.join("; "))]
    Absent {
        /// Of each destination that could not be connected to, why.
        told: Vec<String>,
    },
    #[error("there is no write-back `{name}` in job `{job}`")]
    NoSuchWriteBack {
        name: String,
        job: String,
        known: Vec<String>,
    },
}

impl PlanError {
    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Problems { .. } => None,
            Self::Absent { .. } => {
                Some("the next run of the cycle delivers to all of its destinations".to_owned())
            }
            Self::NoSuchWriteBack { known, .. } => Some(format!("it has {}", known.join(", "))),
        }
    }
}

/// A write-back that can be carried out.
pub(crate) struct Plan {
    pub(crate) write_back: WriteBack,
    pub(crate) source: Connection,
    pub(crate) destination: Connection,
    pub(crate) layout: Arc<Layout>,
    pub(crate) mapping: Arc<Mapping>,
    /// The table that tells what is written.
    pub(crate) journal_table: Option<Layout>,
    pub(crate) warnings: Vec<Problem>,
    /// How it is written, if that is as a saved plan has it.
    swap: Option<Arc<Swap>>,
    /// What its records answered; absent before the first of them is read, and if nothing is asked.
    pub(super) answers: Option<Answers>,
    /// Absent before it is gathered, and if no field keeps someone else's values.
    pub(crate) last_written: Option<LastWritten>,
    /// What is known of records as last delivered; nothing before it is asked.
    recollection: Recollection,
    /// Where its references lead.
    pub(super) referrals: Referrals,
    /// What is read back with what requests write.
    pub(super) dependents: Vec<Dependents>,
    object: Object,
    /// How its records come to their rows, if these are not their own.
    pub(super) way: Option<PlannedWay>,
    /// How its rows are found, made and told apart, if it is a step or adds notes.
    pub(super) creation: Option<PlannedCreation>,
    /// The database that the object stands in.
    pub(super) home: Home,
    /// The source as opened for the check, until a pull takes it.
    opened: Option<AnySource>,
    /// The driver that reads its records, with its version, where one does.
    driver: Option<String>,
}

/// A creation met with its objects.
#[derive(Debug, Clone)]
pub(super) struct PlannedCreation {
    /// Where the id of a row of its own stands.
    pub(super) id: IdPlace,
    pub(super) about: Option<PlannedAbout>,
    /// What the steps before it make rows of, by their names.
    pub(super) made_by: BTreeMap<String, String>,
}

/// What notes are about, met with its object.
#[derive(Debug, Clone)]
pub(super) struct PlannedAbout {
    pub(super) object: Object,
    pub(super) id: IdPlace,
}

/// Up to when what was last written is gathered.
#[derive(Clone, Copy)]
pub(crate) enum Until<'a> {
    /// Before the run of this number, for it to know when it is taken up.
    Run(i64),
    /// For the while, in this folder.
    Now(&'a Path),
}

impl Plan {
    /// Of its write-back.
    pub(crate) fn name(&self) -> &str {
        &self.write_back.name
    }

    /// Of its write-back.
    pub(crate) fn version(&self) -> &str {
        &self.write_back.version
    }

    /// The source, at its first record.
    pub(crate) async fn open_source(&mut self) -> Result<AnySource, SystemError> {
        self.read_answers().await?;
        match self.opened.take() {
            Some(source) => Ok(source),
            None => AnySource::open(&self.source, &self.write_back.schema).await,
        }
    }

    /// Reads what its records answered, if anything is asked.
    pub(super) async fn read_answers(&mut self) -> Result<(), SystemError> {
        let asked = self.write_back.questions.as_ref();
        if let Some(questions) = asked.filter(|questions| !questions.asked.is_empty()) {
            self.answers = Some(Answers::read(&self.source, questions).await?);
        }
        Ok(())
    }

    /// Conformed records with what they answered beside them.
    pub(super) fn with_answers(&self, conformed: DataFrame) -> DataFrame {
        match &self.answers {
            Some(answers) => {
                let keys = self.mapping.source_keys(&conformed);
                answers.beside(conformed, &keys)
            }
            None => conformed,
        }
    }

    /// The kinds of its match key.
    pub(super) fn record_kinds(&self) -> RecordKinds {
        RecordKinds {
            source: KeyKinds::of_source(&self.write_back.schema),
            destination: match self.mapping.key_columns() == [RECORD_KEY] {
                true => KeyKinds::new([Kind::Text]),
                false => KeyKinds::new(self.layout.key_fields().map(|field| field.kind)),
            },
        }
    }

    /// The driver that reads its records, with its version, where one does.
    pub(crate) fn driver(&self) -> Option<&str> {
        self.driver.as_deref()
    }

    /// What is pushed of it, and where to.
    pub(crate) fn assignment(&self) -> Assignment<'_> {
        Assignment {
            write_back: &self.write_back.name,
            destination: &self.destination,
            layout: &self.layout,
            batch_records_max: self.write_back.batch_records_max,
            keeps_before_images: self.write_back.before_images_kept.is_some(),
            journal_table: self.journal_table.as_ref(),
            canary: self.canary(),
            contents: match &self.swap {
                Some(swap) => Contents::Swapped(swap),
                None => Contents::Mapped(&self.mapping),
            },
            last_written: self.last_written.as_ref(),
            snapshot: self.snapshot(),
        }
    }

    /// Gathers what was last written into fields in which someone else's values are kept: before a
    /// run, or in `folder` until now.
    pub(crate) async fn remember(
        &mut self,
        project: &Project,
        ledger: &Ledger,
        job: &str,
        until: Until<'_>,
    ) -> Result<(), LastWrittenError> {
        let (write_back, destination) = (
            self.write_back.name.as_str(),
            self.destination.name.as_str(),
        );
        let is_alone = match until {
            Until::Run(_) => true,
            Until::Now(_) => !ledger.is_running(job)?,
        };
        let subject = Subject {
            project,
            ledger,
            job,
            write_back,
            destination,
            layout: &self.layout,
            is_alone,
        };
        self.last_written = match until {
            Until::Run(run) => subject.before_run(run).await?,
            Until::Now(folder) => subject.until_now(folder).await?,
        };
        Ok(())
    }

    /// The snapshot that its run relies on.
    pub(crate) fn snapshot(&self) -> Option<&Snapshot> {
        self.recollection.snapshot.as_ref()
    }

    /// Finds out what is known of records as last delivered, for a run of this number, which may
    /// take only some of the source's records.
    pub(crate) async fn recall(
        &mut self,
        project: &Project,
        ledger: &Ledger,
        job: &str,
        run: i64,
        takes_all: bool,
    ) -> Result<(), LedgerError> {
        let prepared = self.mapped_for().layout;
        let subject = self.snapshot_of(project, ledger, job, &prepared, takes_all);
        let recollection = subject.recall(run).await?;
        self.recollection = recollection;
        Ok(())
    }

    fn snapshot_of<'a>(
        &'a self,
        project: &'a Project,
        ledger: &'a Ledger,
        job: &'a str,
        prepared: &'a str,
        takes_all: bool,
    ) -> SnapshotOf<'a> {
        SnapshotOf {
            project,
            ledger,
            job,
            write_back: &self.write_back.name,
            compare: self.write_back.compare,
            version: &self.write_back.version,
            prepared,
            takes_all,
        }
    }

    /// Keeps what its run delivered, for later ones to know.
    pub(crate) async fn take_snapshot(
        &self,
        project: &Project,
        ledger: &Ledger,
        job: &str,
        (id, package): (WriteBackId, &Package),
        kept_keys: &[String],
    ) {
        let prepared = self.mapped_for().layout;
        let subject = self.snapshot_of(project, ledger, job, &prepared, true);
        let delivered = DeliveredRecords {
            id,
            package,
            layout: &self.layout,
            mapping: &self.mapping,
            kept_keys,
        };
        subject.take(&self.recollection, &delivered).await;
    }

    /// Tells the ledger what a test wrote, for later runs to know.
    pub(crate) async fn record_test(
        &self,
        ledger: &Ledger,
        job: &str,
        segment: &[u8],
    ) -> Result<(), LedgerError> {
        let (write_back, destination) = (
            self.write_back.name.as_str(),
            self.destination.name.as_str(),
        );
        ledger
            .record_tested_values(
                job,
                write_back,
                destination,
                &self.layout.object.path,
                segment,
            )
            .await
    }

    /// The object that records are found in beside its own.
    fn about(&self) -> Option<&Object> {
        let about = self.creation.as_ref().and_then(|one| one.about.as_ref());
        let start = || self.way.as_ref().map(|way| &way.start);
        about.map(|about| &about.object).or_else(start)
    }

    fn canary(&self) -> Option<CanaryRule> {
        if self.creation.is_some() {
            // Each of its records is looked for before it is made.
            return None;
        }
        let rejected_max = self.write_back.guards.max_rejected;
        self.write_back.canary.map(|canary| CanaryRule {
            canary,
            rejected_max,
        })
    }

    /// What its guards have against a run that would do this.
    pub(super) fn objections(&self, forecast: &Forecast) -> Vec<Objection> {
        let reasons = self.write_back.guards.objections(forecast).into_iter();
        reasons
            .map(|reason| Objection {
                write_back: self.write_back.name.clone(),
                reason,
            })
            .collect()
    }

    /// Positions of a batch's fields that the guard of NULLs watches: they bring some to where
    /// values may stand.
    pub(super) fn watched_nulls(&self, batch: &DataFrame) -> Vec<usize> {
        if self.write_back.guards.max_nulls.is_none() {
            return Vec::new();
        }
        let mut positions = self.layout.nullable_by_source();
        positions.retain(|position| {
            batch
                .columns()
                .get(*position)
                .is_some_and(|column| column.null_count() > 0)
        });
        positions
    }

    /// Its records are those of a saved plan from now on, written where rows hold what was shown.
    pub(super) fn follow_saved(&mut self) {
        self.swap = Some(Arc::new(Swap::forward(&self.layout)));
    }

    /// Layout, mapping and references of the records of which these of the schema's columns are
    /// given, the match key's among them. Where a row cannot be made of them, none is.
    /// Errors: mistakes that a plan of the whole would have.
    pub(super) fn of_columns(
        &self,
        columns: &BTreeSet<usize>,
    ) -> Result<(Layout, Mapping, Referrals), PlanError> {
        let mut narrow = self.write_back.clone();
        let key = narrow.schema.key.clone();
        let is_asked_for = |field: &Field| real_time::is_asked_for(field, &key, columns);
        let asked_for =
            |(position, field): (usize, &Field)| is_asked_for(field).then_some(position);
        let positions = narrow.fields.iter().enumerate().filter_map(asked_for);
        let positions: Vec<usize> = positions.collect();
        narrow.fields.retain(is_asked_for);
        let zones = zones(&self.source, &self.destination);
        let facts = RunFacts {
            run: NO_RUN,
            job: String::new(),
            cycle: Cycle {
                id: String::new(),
                completed_at: DateTime::UNIX_EPOCH,
            },
            started_at: DateTime::UNIX_EPOCH,
        };
        let referral = |position| self.referrals.by_field.get(position).cloned();
        let by_field = positions.iter().map(referral).enumerate();
        let by_field = by_field.filter_map(|(position, referral)| Some((position, referral?)));
        let labels = |position| self.referrals.labels.get(position).cloned();
        let labels = positions.iter().map(labels).enumerate();
        let labels = labels.filter_map(|(position, labels)| Some((position, labels?)));
        let referrals = Referrals {
            by_field: by_field.collect(),
            labels: labels.collect(),
            only_where: self.referrals.only_where.clone(),
        };
        let mut plan = |mode| {
            narrow.mode = mode;
            Mapping::plan(&narrow, &self.object, None, &referrals, zones, &facts)
        };
        let planned = match plan(self.write_back.mode) {
            Err(_) if self.write_back.mode.inserts() => plan(MatchMode::UpdateOnly),
            planned => planned,
        };
        match planned {
            Ok((layout, mapping, _)) => Ok((layout, mapping, referrals)),
            Err(problems) => Err(PlanError::Problems {
                job: self.write_back.name.clone(),
                problems,
            }),
        }
    }

    /// The object that it writes to.
    pub(super) fn object(&self) -> &Object {
        &self.object
    }

    /// What records of a layout are mapped for.
    pub(super) fn mapped_for_layout(&self, layout: &Layout) -> MappedFor {
        MappedFor {
            layout: prepared::told(layout, &self.home),
            fields: mapped_fields(layout),
            ..self.mapped_for()
        }
    }

    /// What its records are mapped for.
    pub(crate) fn mapped_for(&self) -> MappedFor {
        MappedFor {
            layout: prepared::told(&self.layout, &self.home),
            destination: self.destination.name.clone(),
            object: self.layout.object.path.clone(),
            fields: mapped_fields(&self.layout),
            journal: self
                .journal_table
                .as_ref()
                .map(|journal| journal.object.path.clone()),
        }
    }

    /// Plans again once the run's number is known, which stamps may carry.
    pub(crate) fn settle(&mut self, facts: &RunFacts) -> Result<(), PlanError> {
        let zones = zones(&self.source, &self.destination);
        let about = self.about();
        let planned = Mapping::plan(
            &self.write_back,
            &self.object,
            about,
            &self.referrals,
            zones,
            facts,
        );
        let (layout, mapping, _) = planned.map_err(|problems| PlanError::Problems {
            job: facts.job.clone(),
            problems,
        })?;
        self.layout = Arc::new(layout);
        self.mapping = Arc::new(mapping);
        Ok(())
    }
}

/// The fields of a layout as an undo must know them.
pub(crate) fn mapped_fields(layout: &Layout) -> Vec<MappedField> {
    let key_position = |field: usize| layout.key.iter().position(|key| *key == field);
    let mapped = |(position, field): (usize, &LayoutField)| MappedField {
        name: field.column.name.clone(),
        declared: field.column.declared.clone(),
        key: key_position(position),
        own_text: field.own_text,
    };
    layout.fields.iter().enumerate().map(mapped).collect()
}

fn zones(source: &Connection, destination: &Connection) -> Zones {
    Zones {
        source: source.timezone,
        destination: destination.timezone,
    }
}

/// Plans a job's write-backs, or those named `only`.
/// Errors: `Problems` with all mistakes of all write-backs at once.
pub(crate) async fn plan_job(
    project: &Project,
    job: &Job,
    only: Option<&str>,
    facts: &RunFacts,
) -> Result<Vec<Plan>, PlanError> {
    let chosen = choose(job, only)?;
    let of = (project, job);
    let planned = plan_all(of, chosen, facts, Sources::Opened, Absence::Refused);
    Ok(planned.await?.0)
}

/// As [`plan_job`]; of the destinations of one write-back, those that cannot be connected to are
/// absent, as long as one of them is there.
pub(super) async fn plan_present(
    project: &Project,
    job: &Job,
    only: Option<&str>,
    facts: &RunFacts,
) -> Result<(Vec<Plan>, Vec<Absent>), PlanError> {
    plan_all(
        (project, job),
        choose(job, only)?,
        facts,
        Sources::Opened,
        Absence::Tolerated,
    )
    .await
}

/// As [`plan_job`], of the write-backs of these names, which a run began with. The others are absent:
/// their destinations were, when it began.
pub(super) async fn plan_begun(
    project: &Project,
    job: &Job,
    only: Option<&str>,
    facts: &RunFacts,
    names: &[String],
) -> Result<(Vec<Plan>, Vec<Absent>), PlanError> {
    let (begun, others): (Vec<_>, Vec<_>) = choose(job, only)?
        .into_iter()
        .partition(|write_back| names.contains(&write_back.name));
    let planned = plan_all(
        (project, job),
        begun,
        facts,
        Sources::Opened,
        Absence::Refused,
    );
    let (plans, _) = planned.await?;
    let absent = others.into_iter().map(|write_back| {
        let message = format!(
            "`{}` could not be connected to when run {} began",
            write_back.destination, facts.run
        );
        Absent {
            problem: Problem::mistake(write_back.location.clone(), message),
            write_back: write_back.clone(),
        }
    });
    Ok((plans, absent.collect()))
}

/// As [`plan_job`], without a look at any source: the records are here already.
pub(super) async fn plan_without_sources(
    project: &Project,
    job: &Job,
    only: Option<&str>,
    facts: &RunFacts,
) -> Result<Vec<Plan>, PlanError> {
    let planned = plan_all(
        (project, job),
        choose(job, only)?,
        facts,
        Sources::Unopened,
        Absence::Refused,
    );
    Ok(planned.await?.0)
}

/// A write-back whose destination cannot be connected to, while that of a sibling can.
#[derive(Debug)]
pub(crate) struct Absent {
    write_back: WriteBack,
    problem: Problem,
}

impl Absent {
    /// Why what is absent was not written, once all the rest is.
    pub(super) fn error(absent: &[Self]) -> PlanError {
        let told = absent.iter().map(|absent| {
            let name = &absent.write_back.name;
            format!("`{name}` is not delivered: {}", absent.problem.message)
        });
        PlanError::Absent {
            told: told.collect(),
        }
    }
}

/// Whether sources are looked at while a job is planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sources {
    Opened,
    Unopened,
}

/// What is thought of a destination that cannot be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absence {
    Refused,
    Tolerated,
}

async fn plan_all(
    (project, job): (&Project, &Job),
    chosen: Vec<&WriteBack>,
    facts: &RunFacts,
    sources: Sources,
    absence: Absence,
) -> Result<(Vec<Plan>, Vec<Absent>), PlanError> {
    let mut planner = Planner {
        project,
        facts,
        sources,
        written: chosen
            .iter()
            .map(|write_back| write_back.destination.clone())
            .collect(),
        services: HashMap::new(),
        destinations: HashMap::new(),
        absent: Vec::new(),
        made_by: BTreeMap::new(),
        problems: Vec::new(),
    };
    on_heap(|| planner.meet_services(&chosen)).await;
    let mut plans = Vec::new();
    for write_back in chosen {
        plans.extend(on_heap(|| planner.plan(write_back)).await);
    }
    planner.refuse_two_writers(&plans);
    planner.refuse_moved_ways(&plans);
    tell_once(&mut plans);
    let absent = planner.tolerated(&plans, absence);
    let Planner {
        destinations,
        mut problems,
        ..
    } = planner;
    for destination in destinations.into_values().flatten() {
        destination.close().await;
    }
    if has_mistake(&problems) {
        problems.sort_by(|left, right| left.location.cmp(&right.location));
        return Err(PlanError::Problems {
            job: job.name.clone(),
            problems,
        });
    }
    Ok((plans, absent))
}

/// Leaves each warning with the first of the write-backs that it would be told of.
fn tell_once(plans: &mut [Plan]) {
    let mut told: HashSet<(String, Option<String>)> = HashSet::new();
    for plan in plans {
        plan.warnings
            .retain(|warning| told.insert((warning.message.clone(), warning.hint.clone())));
    }
}

/// A job's write-backs, or those named `only`.
/// Errors: `NoSuchWriteBack`.
pub(crate) fn choose<'a>(
    job: &'a Job,
    only: Option<&str>,
) -> Result<Vec<&'a WriteBack>, PlanError> {
    let chosen: Vec<_> = job
        .write_backs
        .iter()
        .filter(|write_back| only.is_none_or(|name| write_back.is_called(name)))
        .collect();
    match (chosen.is_empty(), only) {
        (true, Some(name)) => Err(PlanError::NoSuchWriteBack {
            name: name.to_owned(),
            job: job.name.clone(),
            known: job
                .write_backs
                .iter()
                .map(|write_back| format!("`{}`", write_back.name))
                .collect(),
        }),
        _ => Ok(chosen),
    }
}

struct Planner<'a> {
    project: &'a Project,
    facts: &'a RunFacts,
    sources: Sources,
    /// Names of the connections that the job writes through.
    written: HashSet<String>,
    /// Connections to web APIs that no write-back has used yet.
    services: HashMap<String, Result<AnyDestination, SystemError>>,
    /// One connection each, however many write-backs use it; `None` if it could not be made.
    destinations: HashMap<String, Option<AnyDestination>>,
    /// Write-backs whose connection could not be made.
    absent: Vec<Absent>,
    /// What steps make rows of, by their names.
    made_by: BTreeMap<String, String>,
    problems: Vec<Problem>,
}

impl Planner<'_> {
    /// Connects to all web APIs at once, and has described at once what the files name there: each
    /// answer takes a while.
    async fn meet_services(&mut self, chosen: &[&WriteBack]) {
        let mut named: Vec<(Connection, Vec<ObjectName>)> = Vec::new();
        for write_back in chosen {
            let destination = self.project.connections.get(&write_back.destination);
            let service = destination.filter(|destination| destination.system.service().is_some());
            let Some(service) = service else {
                continue;
            };
            let objects = named_objects(write_back);
            match named
                .iter_mut()
                .find(|(known, _)| known.name == service.name)
            {
                Some((_, known)) => known.extend(objects),
                None => named.push((with_options(service.clone(), write_back), objects)),
            }
        }
        let met = named.iter().map(async |(connection, objects)| {
            let destination = AnyDestination::connect(connection).await?;
            destination.foresee(objects).await;
            Ok(destination)
        });
        let met = join_all(met).await;
        let names = named.iter().map(|(connection, _)| connection.name.clone());
        self.services = names.zip(met).collect();
    }

    async fn plan(&mut self, write_back: &WriteBack) -> Option<Plan> {
        let source = self.connection(&write_back.source, &write_back.location)?;
        let destination = self.connection(&write_back.destination, &write_back.location)?;
        let source = self.told_what_is_written(source);
        let destination = with_options(destination, write_back);
        // Opening a source finds the tables and columns that are not there.
        let opened = match self.sources {
            Sources::Opened => on_heap(|| self.open_source(write_back, &source)).await,
            Sources::Unopened => None,
        };
        let object = self.describe(write_back, &destination).await?;
        let home = self.home(write_back, &destination).await?;
        let journal_table = self.journal_table(write_back, &destination).await;
        let zones = zones(&source, &destination);
        let led = match &write_back.way {
            Some(way) => {
                let met = self.meet_way((write_back, way), &destination, object, zones);
                let MetWay {
                    write_back,
                    object,
                    way,
                } = met.await?;
                (write_back, object, Some(way))
            }
            None => (write_back.clone(), object, None),
        };
        let (write_back, object, way) = led;
        let (met, told) = self.meet(&write_back, &destination, &object, zones).await?;
        let Met {
            write_back,
            referrals,
        } = met;
        let write_back = &write_back;
        let (dependents, told_of_dependents) = self
            .dependents(write_back, &destination, &object, &referrals)
            .await?;
        if self.sources == Sources::Opened {
            self.mirror(write_back, &source, &dependents, zones).await;
        }
        let creation = match &write_back.creation {
            Some(creation) => Some(
                self.creation(write_back, creation, &object, &destination)
                    .await?,
            ),
            None => None,
        };
        let about = creation.as_ref().and_then(|one| one.about.as_ref());
        let start = || way.as_ref().map(|way| &way.start);
        let about = about.map(|about| &about.object).or_else(start);
        match Mapping::plan(write_back, &object, about, &referrals, zones, self.facts) {
            Ok((layout, mapping, mut warnings)) => {
                warnings.extend(told);
                warnings.extend(told_of_dependents);
                warnings.extend(lost_keys(write_back, &destination, &layout));
                self.expect_taken(write_back, &destination, &layout).await?;
                Some(Plan {
                    write_back: write_back.clone(),
                    source,
                    destination,
                    layout: Arc::new(layout),
                    mapping: Arc::new(mapping),
                    journal_table,
                    warnings,
                    swap: None,
                    last_written: None,
                    recollection: Recollection::default(),
                    answers: None,
                    referrals,
                    dependents,
                    object,
                    way,
                    creation,
                    home,
                    driver: opened
                        .as_ref()
                        .and_then(AnySource::driver)
                        .map(str::to_owned),
                    opened,
                })
            }
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    /// Asks the destination whether it takes what is to be written; what it says else is noted.
    async fn expect_taken(
        &mut self,
        write_back: &WriteBack,
        connection: &Connection,
        layout: &Layout,
    ) -> Option<()> {
        let destination = self.destinations.get_mut(&connection.name)?.as_mut()?;
        let taken = destination.expect_taken(layout).await;
        taken
            .map_err(|error| {
                let problem = problem_of(&error, write_back.table_location.clone());
                self.problems.push(problem);
            })
            .ok()
    }

    async fn open_source(
        &mut self,
        write_back: &WriteBack,
        source: &Connection,
    ) -> Option<AnySource> {
        let opened = AnySource::open(source, &write_back.schema).await;
        let place = || Location {
            line: 1,
            column: 1,
            file: write_back.schema.file.clone(),
        };
        opened
            .map_err(|error| {
                let known = PlacedCause::location_of(&error).cloned();
                let location = known.unwrap_or_else(place);
                self.problems.push(problem_of(&error, location));
            })
            .ok()
    }

    /// A source that is told whether the job writes to the file that it reads.
    fn told_what_is_written(&self, mut source: Connection) -> Connection {
        let is_written = source.file_of_driver().is_some_and(|file| {
            let mut written = self.written.iter();
            written.any(|name| {
                let connection = self.project.connections.get(name);
                connection.and_then(Connection::file_of_driver) == Some(file)
            })
        });
        if let System::Adbc(settings) = &mut source.system {
            settings.is_written_meanwhile = is_written;
        }
        source
    }

    fn connection(&mut self, name: &str, location: &Location) -> Option<Connection> {
        let connection = self.project.connections.get(name).cloned();
        if connection.is_none() {
            let message = format!("there is no connection `{name}` in `writeback.toml`");
            self.problems
                .push(Problem::mistake(location.clone(), message));
        }
        connection
    }

    async fn creation(
        &mut self,
        write_back: &WriteBack,
        creation: &Creation,
        object: &Object,
        connection: &Connection,
    ) -> Option<PlannedCreation> {
        let id = match creation.makes_notes() {
            // Nothing names a note.
            true => Some(IdPlace::Told),
            false => self.id_place(object, creation.id.as_ref(), &write_back.table_location),
        };
        let about = match &creation.about {
            None => None,
            Some(about) => {
                let named = (&about.table, &about.table_location);
                let object = self.describe_named(write_back, named, connection).await?;
                let id = self.id_place(&object, about.id.as_ref(), &about.table_location);
                Some(PlannedAbout { object, id: id? })
            }
        };
        let made = object.path.last().cloned().unwrap_or_default();
        let made_by = self.made_by.clone();
        self.made_by.insert(write_back.name.clone(), made);
        Some(PlannedCreation {
            id: id?,
            about,
            made_by,
        })
    }

    /// Where the id of an object's rows stands: in the column that is named, or in the one that is
    /// its primary key.
    fn id_place(
        &mut self,
        object: &Object,
        wanted: Option<&NamePart>,
        location: &Location,
    ) -> Option<IdPlace> {
        if object.kind.is_of_service() {
            return Some(IdPlace::Told);
        }
        let names = || object.columns.iter().map(|column| column.name.as_str());
        let found = match (wanted, object.primary_key.as_slice()) {
            (Some(wanted), _) => resolve_name(wanted, names()).ok(),
            (None, [only]) => Some(only.as_str()),
            (None, _) => None,
        };
        let column = found.and_then(|name| object.columns.iter().find(|one| one.name == name));
        if column.is_none() {
            let shown = object.display_name();
            let (message, hint) = match wanted {
                Some(wanted) => (
                    format!("column `{}` is not in `{shown}`", wanted.text),
                    did_you_mean(&wanted.text, names()),
                ),
                None => (
                    format!(
                        "`{shown}` has no primary key of one column, so that nothing tells the id of its rows"
                    ),
                    Some("name the column that holds it: `id = \"…\"`".to_owned()),
                ),
            };
            self.problems
                .push(Problem::mistake(location.clone(), message).hint_if(hint));
        }
        column.cloned().map(IdPlace::Column)
    }

    async fn describe(
        &mut self,
        write_back: &WriteBack,
        connection: &Connection,
    ) -> Option<Object> {
        let named = (&write_back.table, &write_back.table_location);
        self.describe_named(write_back, named, connection).await
    }

    async fn describe_named(
        &mut self,
        write_back: &WriteBack,
        (name, location): (&ObjectName, &Location),
        connection: &Connection,
    ) -> Option<Object> {
        if !self.destinations.contains_key(&connection.name) {
            let connected = match self.services.remove(&connection.name) {
                Some(met) => met,
                None => AnyDestination::connect(connection).await,
            };
            let connected = match connected {
                Ok(destination) => Some(destination),
                Err(error) => {
                    self.absent.push(Absent {
                        write_back: write_back.clone(),
                        problem: problem_of(&error, write_back.location.clone()),
                    });
                    None
                }
            };
            self.destinations.insert(connection.name.clone(), connected);
        } else if let Some(problem) = self.absence_of(&connection.name) {
            let write_back = write_back.clone();
            self.absent.push(Absent {
                write_back,
                problem,
            });
        }
        let destination = self.destinations.get_mut(&connection.name)?.as_mut()?;
        destination.follow(connection);
        let fields = write_back.fields.iter();
        let named: Vec<&str> = fields.map(|field| field.column.text.as_str()).collect();
        let described = match destination.describe(name).await {
            Ok(object) => destination.completed(object, &named).await,
            Err(error) => Err(error),
        };
        match described {
            Ok(object) => Some(object),
            Err(error) => {
                self.problems.push(problem_of(&error, location.clone()));
                None
            }
        }
    }

    /// What is wrong with the way is told at once.
    async fn meet_way(
        &mut self,
        led: (&WriteBack, &RowWay),
        connection: &Connection,
        start: Object,
        zones: Zones,
    ) -> Option<MetWay> {
        let destination = self.destinations.get_mut(&connection.name)?.as_mut()?;
        match ways::meet_way(led, start, destination, zones).await {
            Ok(met) => Some(met),
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    /// What is wrong with its references is told at once.
    async fn meet(
        &mut self,
        write_back: &WriteBack,
        connection: &Connection,
        object: &Object,
        zones: Zones,
    ) -> Option<(Met, Vec<Problem>)> {
        let destination = self.destinations.get_mut(&connection.name)?.as_mut()?;
        match references::meet(write_back, object, destination, zones).await {
            Ok(met) => Some(met),
            Err(Unmet {
                problems,
                met,
                fields,
            }) => {
                self.problems.extend(problems);
                // What else is wrong is told along, where no other object has a part in it.
                if write_back.creation.is_none() && write_back.way.is_none() {
                    let (referrals, facts) = (&met.referrals, self.facts);
                    let write_back = &met.write_back;
                    let others = Mapping::mistakes_beside(
                        &fields, write_back, object, referrals, zones, facts,
                    );
                    self.problems.extend(others);
                }
                None
            }
        }
    }

    /// What is wrong with what is read back is told at once.
    async fn dependents(
        &mut self,
        write_back: &WriteBack,
        connection: &Connection,
        object: &Object,
        referrals: &Referrals,
    ) -> Option<(Vec<Dependents>, Vec<Problem>)> {
        let destination = self.destinations.get_mut(&connection.name)?.as_mut()?;
        match dependents::meet(write_back, object, referrals, destination).await {
            Ok(met) => Some(met),
            Err(problems) => {
                self.problems.extend(problems);
                None
            }
        }
    }

    /// Finds what keeps the mirror from working. A request meets it by itself, and is written
    /// whatever becomes of it.
    async fn mirror(
        &mut self,
        write_back: &WriteBack,
        source: &Connection,
        dependents: &[Dependents],
        zones: Zones,
    ) {
        if !write_back.read_back.mirror.is_empty()
            && let Err(problems) = mirror::meet(write_back, source, dependents, zones).await
        {
            self.problems.extend(problems);
        }
    }

    /// Why a connection could not be made, if it could not.
    fn absence_of(&self, connection: &str) -> Option<Problem> {
        let mut absent = self.absent.iter();
        let known = absent.find(|absent| absent.write_back.destination == connection);
        known.map(|absent| absent.problem.clone())
    }

    async fn home(&mut self, write_back: &WriteBack, connection: &Connection) -> Option<Home> {
        let destination = self.destinations.get_mut(&connection.name)?.as_mut()?;
        let home = Home::of(destination, connection).await;
        home.map_err(|error| {
            self.problems
                .push(problem_of(&error, write_back.location.clone()))
        })
        .ok()
    }

    /// The table that is to tell what is written. What it lacks becomes a problem, with the
    /// statement that makes it.
    async fn journal_table(
        &mut self,
        write_back: &WriteBack,
        connection: &Connection,
    ) -> Option<Layout> {
        let (name, location) = write_back.journal_table.as_ref()?;
        let destination = self.destinations.get_mut(&connection.name)?.as_mut()?;
        let problems = match destination.describe(name).await {
            Ok(object) => match journal_table::layout(&connection.system, &object) {
                Ok(layout) => return Some(layout),
                Err(problems) => problems,
            },
            Err(SystemError::NotFound { .. }) => {
                let statement = journal_table::create_table(&connection.system, name);
                vec![(
                    format!("there is none in `{}`", connection.name),
                    Some(format!("make it: {statement}")),
                )]
            }
            Err(error) => {
                self.problems.push(problem_of(&error, location.clone()));
                return None;
            }
        };
        for (what, hint) in problems {
            let problem = Problem::mistake(
                location.clone(),
                format!("`{name}` cannot be the journal: {what}"),
            );
            let problem = problem.hint_if(hint);
            // One that several write-backs share is told of once.
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
        None
    }

    /// Write-backs that may be absent, as a sibling of theirs is there. The others are problems.
    fn tolerated(&mut self, plans: &[Plan], absence: Absence) -> Vec<Absent> {
        let has_sibling = |absent: &Absent| {
            let mut write_backs = plans.iter().map(|plan| &plan.write_back);
            write_backs.any(|there| there.is_pulled_with(&absent.write_back))
        };
        let is_tolerated = |absent: &Absent| absence == Absence::Tolerated && has_sibling(absent);
        let absent = std::mem::take(&mut self.absent).into_iter();
        let (tolerated, refused): (Vec<_>, Vec<_>) = absent.partition(is_tolerated);
        for Absent { problem, .. } in refused {
            // One connection is told of once.
            if !self.problems.contains(&problem) {
                self.problems.push(problem);
            }
        }
        tolerated
    }

    /// A way that leads over a reference which the same run re-points would lead to one row or to
    /// another, as it happens.
    fn refuse_moved_ways(&mut self, plans: &[Plan]) {
        for plan in plans {
            for (path, column) in plan.way.iter().flat_map(PlannedWay::references) {
                let moves = |other: &&Plan| {
                    other.destination.name == plan.destination.name
                        && other.layout.object.path == path
                        && (other.layout.written_fields()).any(|field| field.column.name == column)
                };
                let Some(other) = plans.iter().find(moves) else {
                    continue;
                };
                let message = format!(
                    "`{}` leads over `{column}` of `{}`, which `{}` writes",
                    plan.name(),
                    path.join("."),
                    other.name()
                );
                let location = plan.write_back.fields.get(1).map(|field| &field.location);
                let location = location.unwrap_or(&plan.write_back.location).clone();
                let hint = "re-point the reference in one job, and edit through it in another that runs after it";
                self.problems
                    .push(Problem::mistake(location, message).hint(hint));
            }
        }
    }

    /// Names that differ on paper may be one column in the catalogue; only here can that be seen.
    fn refuse_two_writers(&mut self, plans: &[Plan]) {
        let mut writers: HashMap<(&str, &[String], &str), &str> = HashMap::new();
        // What only makes rows of its own takes nothing from others.
        for plan in plans.iter().filter(|plan| plan.creation.is_none()) {
            for field in plan.layout.written_fields() {
                let column = field.column.name.as_str();
                let place = (
                    plan.destination.name.as_str(),
                    plan.layout.object.path.as_slice(),
                    column,
                );
                let Some(other) = writers.insert(place, &plan.write_back.name) else {
                    continue;
                };
                let message = format!(
                    "column `{column}` of `{}` is written by `{other}` and by `{}`",
                    plan.layout.object.display_name(),
                    plan.write_back.name
                );
                let hint = "a destination column has one writer; take it out of one of them";
                self.problems
                    .push(Problem::mistake(plan.write_back.location.clone(), message).hint(hint));
            }
        }
    }
}

/// Warnings of keys that a column keeps as numbers, though they are texts: `00123` has no row then,
/// and gets none.
fn lost_keys(write_back: &WriteBack, destination: &Connection, layout: &Layout) -> Vec<Problem> {
    let is_lost = |field: &&LayoutField| {
        matches!(destination.system, System::Sqlite(_))
            && field.kind == Kind::Text
            && sqlite::is_text_kept_as_number(&field.column)
    };
    let warning = |field: &LayoutField| {
        let ObjectColumn { name, declared, .. } = &field.column;
        let message = format!(
            "`{name}` is declared {declared}, which makes SQLite keep texts that look like numbers as numbers: a key such as \
             `00123` or `1e5` is no longer itself there, and a record whose key looks like a number is not written"
        );
        let hint = "declare the column TEXT, or VARCHAR(n), in the database";
        Problem::warning(write_back.table_location.clone(), message).hint(hint)
    };
    layout.key_fields().filter(is_lost).map(warning).collect()
}

/// The objects that a write-back names in so many words.
fn named_objects(write_back: &WriteBack) -> Vec<ObjectName> {
    let about = write_back.creation.as_ref();
    let about = about.and_then(|creation| creation.about.as_ref());
    let references = write_back
        .fields
        .iter()
        .filter_map(|field| field.reference.as_ref());
    let referred = references.filter_map(|reference| reference.refers_to.as_ref());
    std::iter::once(&write_back.table)
        .chain(about.map(|about| &about.table))
        .chain(referred.map(|(name, _, _)| name))
        .cloned()
        .collect()
}

/// A connection that writes as the write-back says.
fn with_options(mut connection: Connection, write_back: &WriteBack) -> Connection {
    if let System::Service(settings) = &mut connection.system {
        settings.options = write_back.salesforce;
        settings.dataverse = write_back.dataverse.clone();
    }
    connection
}

fn problem_of(error: &SystemError, location: Location) -> Problem {
    Problem::mistake(location, chain(error).join(": ")).hint_if(error.hint())
}
