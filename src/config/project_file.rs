//! `writeback.toml`: connections, dashboards, defaults and alerts.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeTable;

use super::agencies::{self, SettingLine, job_of, own_connection, own_connections};
use super::alerts::read_project_alerts;
use super::connections::{ReadConnection, read_connection};
use super::dashboards::read_dashboard;
use super::document::{Document, Laid, NOT_TOML, Table, Value, read_text, shown};
use super::guards::{KEYS as GUARD_KEYS, is_off, joined, read_canary, read_guards};
use super::http::read_http;
use super::names::{PROJECT_FILE, named_tables};
use super::page::read_page;
use super::project::{Defaults, Project};
use super::secret::Surroundings;
use super::times::duration_within;
use super::words::{table_name, word};
use crate::domain::field::NullPolicy;
use crate::domain::guard::Guards;
use crate::domain::object::ObjectName;
use crate::domain::problem::{Location, Problem};

/// Records per write where nobody says otherwise: large enough that a database's work outweighs the
/// round trip, small enough that its locks are short.
const BATCH_RECORDS_USUAL: NonZeroUsize = NonZeroUsize::new(5000).expect("5000 is not zero");
/// Records per write that still make a transaction of sane size.
const BATCH_RECORDS_MAX: u32 = 1_000_000;

/// How long before-images are kept where nobody says otherwise.
const RETENTION_USUAL: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// An hour, so that a run can be undone when it is noticed; ten years, so that nobody has slipped a
/// digit.
const RETENTION_BOUNDS: RangeInclusive<Duration> =
    Duration::from_secs(60 * 60)..=Duration::from_secs(3_653 * 24 * 60 * 60);

/// The keys of `[defaults]` but for guards.
const OWN_DEFAULTS_KEYS: [&str; 5] = [
    "batch_size",
    "nulls",
    "journal_table",
    "keep_before_images",
    "retention",
];

const DEFAULTS_KEYS: &[&str] =
    &joined::<5, { GUARD_KEYS.len() }, { 5 + GUARD_KEYS.len() }>(OWN_DEFAULTS_KEYS, GUARD_KEYS);

/// Reads the project file's text.
/// Errors: every mistake in it.
pub(super) fn read_project(
    text: &str,
    surroundings: Surroundings<'_>,
) -> Result<Project, Vec<Problem>> {
    let document = Document::new(PROJECT_FILE, text);
    let parsed = document.parse();
    let project = parsed
        .as_ref()
        .map(|table| read_tables(&Table::root(&document, table), surroundings));
    let problems = document.into_problems();
    match project {
        Some(mut project) if problems.is_empty() => {
            read_own_connections(&mut project, text, surroundings);
            Ok(project)
        }
        _ => Err(problems),
    }
}

/// Reads the connections that agencies have for themselves. What is wrong with one is told to its
/// agency alone.
fn read_own_connections(project: &mut Project, text: &str, surroundings: Surroundings<'_>) {
    for (base, agency) in agencies::all(surroundings.root) {
        // A file that cannot be read is told of when its job is.
        let Ok(laid) = agencies::read_over(surroundings.root, text, &base, &agency) else {
            continue;
        };
        let document = Document::with(PROJECT_FILE, text, Some(&laid));
        let own = own_tables(&document);
        let read: Vec<(String, ReadConnection)> = own
            .iter()
            .flat_map(|own| named_tables(&Table::root(&document, own), "connections"))
            .map(|(name, table)| {
                let name = own_connection(name, &base, &agency);
                let read = read_connection(&name, &table, surroundings);
                (name, read)
            })
            .collect();
        for (name, connection) in read {
            project.take_in(&name, connection);
        }
        let mut told = document.into_problems();
        told.retain(|problem| !problem.message.starts_with(NOT_TOML));
        project
            .told_to_agencies
            .insert(job_of(&base, &agency), told);
    }
}

/// The connections of a file that is laid over the project's.
fn own_tables<'a>(document: &Document<'a>) -> Option<Spanned<DeTable<'a>>> {
    let (base, over) = (document.parse()?, document.parse_laid()?);
    let span = base.span();
    let own = own_connections(document, base.into_inner(), over)?;
    Some(Spanned::new(span, own))
}

/// Every setting of the connections that an agency has for itself.
pub(super) fn own_settings(root: &Path, laid: &Laid) -> Vec<SettingLine> {
    let text = read_text(&root.join(PROJECT_FILE), PROJECT_FILE).unwrap_or_default();
    let laid = Laid::over(&text, &laid.file, laid.text());
    let document = Document::with(PROJECT_FILE, &text, Some(&laid));
    let own = own_tables(&document);
    let settings = own.map(|own| {
        let root = Table::root(&document, &own);
        agencies::settings(&root, "", Some(&*laid.file))
    });
    settings.unwrap_or_default()
}

fn read_tables(root: &Table<'_>, surroundings: Surroundings<'_>) -> Project {
    root.expect_keys(&[
        "connections",
        "dashboards",
        "defaults",
        "alerts",
        "http",
        "page",
    ]);
    let mut project = Project {
        root: surroundings.root.to_owned(),
        clock: surroundings.clock,
        connections: BTreeMap::new(),
        dashboards: BTreeMap::new(),
        defaults: defaults(root),
        alerts: read_project_alerts(root, surroundings),
        page: read_page(root),
        http: read_http(root, surroundings),
        told_to_users: BTreeMap::new(),
        read_only: BTreeMap::new(),
        services: BTreeMap::new(),
        told_to_agencies: BTreeMap::new(),
    };
    for (name, table) in named_tables(root, "connections") {
        project.take_in(name, read_connection(name, &table, surroundings));
    }
    for (name, table) in named_tables(root, "dashboards") {
        if let Some(dashboard) = read_dashboard(name, &table, &project, surroundings.root) {
            project.dashboards.insert(name.to_owned(), dashboard);
        }
    }
    project
}

impl Project {
    /// Takes in a connection that was read.
    fn take_in(&mut self, name: &str, read: ReadConnection) {
        let ReadConnection {
            connection,
            service,
            told_to_users,
        } = read;
        if let Some(kind) = service {
            self.services.insert(name.to_owned(), kind);
        }
        if let Some(connection) = connection {
            if let Some(why) = connection.system.read_only() {
                self.read_only.insert(name.to_owned(), why);
            }
            self.connections.insert(name.to_owned(), connection);
        }
        self.told_to_users.insert(name.to_owned(), told_to_users);
    }
}

fn defaults(root: &Table<'_>) -> Defaults {
    let table = root
        .get("defaults")
        .and_then(|value| value.table("`[defaults]`".to_owned()));
    if let Some(table) = &table {
        table.expect_keys(DEFAULTS_KEYS);
    }
    let get = |key: &str| table.as_ref().and_then(|table| table.get(key));
    Defaults {
        batch_records_max: get("batch_size")
            .and_then(batch_size)
            .unwrap_or(BATCH_RECORDS_USUAL),
        nulls: get("nulls").and_then(null_policy).unwrap_or_default(),
        guards: table.as_ref().map_or_else(Guards::default, |table| {
            read_guards(table, &Guards::default())
        }),
        canary: table.as_ref().and_then(|table| read_canary(table, None)),
        journal_table: table.as_ref().and_then(|table| journal_table(table, None)),
        before_images_kept: table.as_ref().map_or(Some(RETENTION_USUAL), |table| {
            before_images_kept(table, Some(RETENTION_USUAL))
        }),
    }
}

/// How long before-images are kept, as a table says or as is `usual`; `None`: not at all.
pub(super) fn before_images_kept(table: &Table<'_>, usual: Option<Duration>) -> Option<Duration> {
    let keeps = table
        .get("keep_before_images")
        .and_then(|value| value.boolean());
    let retention = table
        .get("retention")
        .and_then(|value| duration_within(value, RETENTION_BOUNDS));
    match keeps {
        Some(false) => None,
        Some(true) => Some(retention.or(usual).unwrap_or(RETENTION_USUAL)),
        None => usual.map(|usual| retention.unwrap_or(usual)),
    }
}

/// The journal's table, as a table says or as is `usual`.
pub(super) fn journal_table(
    table: &Table<'_>,
    usual: Option<&(ObjectName, Location)>,
) -> Option<(ObjectName, Location)> {
    match table.get("journal_table") {
        None => usual.cloned(),
        Some(value) if is_off(&value) => None,
        Some(value) => table_name(value),
    }
}

/// The name of a connection that exists.
pub(super) fn known_connection<'a>(value: Value<'a>, project: &Project) -> Option<&'a str> {
    let name = value.text()?;
    let known = project.told_to_users.contains_key(name);
    if !known {
        value.mistake(
            format!("there is no connection {} in {PROJECT_FILE}", shown(name)),
            Some(project.connection_hint(name)),
        );
    }
    known.then_some(name)
}

/// Records per write.
pub(super) fn batch_size(value: Value<'_>) -> Option<NonZeroUsize> {
    value
        .integer(1, BATCH_RECORDS_MAX)
        .and_then(|records| NonZeroUsize::new(usize::try_from(records).ok()?))
}

pub(super) fn null_policy(value: Value<'_>) -> Option<NullPolicy> {
    word(
        value,
        &[("write", NullPolicy::Write), ("keep", NullPolicy::Keep)],
    )
}
