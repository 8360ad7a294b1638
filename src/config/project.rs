//! What a project's files come to: the project, its dashboards, a job.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::alerts::AlertSettings;
use super::http::ReadHttp;
use super::page::PageSettings;
use crate::domain::canary::Canary;
use crate::domain::connection::{Connection, ServiceKind};
use crate::domain::field::NullPolicy;
use crate::domain::gate::Gate;
use crate::domain::guard::Guards;
use crate::domain::job::Job;
use crate::domain::object::ObjectName;
use crate::domain::problem::{Location, Problem};

/// A project's folder and what its `writeback.toml` says.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) root: PathBuf,
    /// What tells the time: some settings deserve a warning only once their time has passed.
    pub(super) clock: fn() -> DateTime<Utc>,
    /// Those that can be used: none whose password or URL is not where it should be.
    pub(crate) connections: BTreeMap<String, Connection>,
    pub(crate) dashboards: BTreeMap<String, Dashboard>,
    pub(crate) defaults: Defaults,
    pub(super) alerts: AlertSettings,
    pub(crate) page: PageSettings,
    pub(super) http: ReadHttp,
    /// Every connection by its name, with what is to be told to whoever uses it: why it cannot be
    /// used now, and warnings.
    pub(super) told_to_users: BTreeMap<String, Vec<Problem>>,
    /// Connections that nothing is written to, and why.
    pub(super) read_only: BTreeMap<String, &'static str>,
    /// Connections to web APIs, which nothing is read from.
    pub(super) services: BTreeMap<String, ServiceKind>,
    /// By the job of an agency, what is wrong with the connections of its own.
    pub(super) told_to_agencies: BTreeMap<String, Vec<Problem>>,
}

/// What write-backs do that do not say themselves.
#[derive(Debug, Clone)]
pub(crate) struct Defaults {
    pub(crate) batch_records_max: NonZeroUsize,
    pub(crate) nulls: NullPolicy,
    pub(crate) guards: Guards,
    /// What goes first; `None`: all goes at once.
    pub(crate) canary: Option<Canary>,
    /// The table that tells what was written, in each destination, and where that is said.
    pub(crate) journal_table: Option<(ObjectName, Location)>,
    /// How long before-images are kept; `None`: not at all.
    pub(crate) before_images_kept: Option<Duration>,
}

/// One `[dashboards.NAME]`: how a finished cycle is noticed.
#[derive(Debug, Clone)]
pub(crate) struct Dashboard {
    pub(crate) name: String,
    pub(crate) signal: Signal,
    /// How often a marker or a query is looked at.
    pub(crate) poll: Duration,
}

/// What tells that a dashboard's automation has finished.
#[derive(Debug, Clone)]
pub(crate) enum Signal {
    /// A JSON file with `cycle_id`, `completed_at` and `status`.
    Marker { file: PathBuf },
    /// A query on a source connection that yields `cycle_id`, `completed_at` and `status`; the
    /// latest counts.
    Query { connection: String, sql: String },
    /// Nothing does: its automation is known to begin at these instants, and taken for finished
    /// `margin` later.
    Clock { gate: Box<Gate>, margin: Duration },
    /// Somebody says so: `writeback cycle`.
    Announced,
}

/// A job, and what deserves a look though it stops nothing.
#[derive(Debug)]
pub(crate) struct CheckedJob {
    pub(crate) job: Job,
    pub(crate) warnings: Vec<Problem>,
    /// XXH3 (128 bits, hexadecimal) of the job file and the schema files it names: another digest,
    /// another job.
    pub(crate) digest: String,
    /// The same of each of these files alone, by its name in the project.
    pub(crate) files: BTreeMap<String, String>,
}
