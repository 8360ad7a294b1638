//! Job files: a cadence and write-backs, met with the project's connections and with the schemas
//! they name.

use std::collections::BTreeMap;
use std::fs;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::Path;

use chrono::{DateTime, Utc};
use toml::Spanned;
use toml::de::DeTable;
use xxhash_rust::xxh3::Xxh3;

use super::agencies::{
    Said, SettingLine, Whose, laid_over, own_connection, settings, tell_taken_out,
};
use super::alerts::read_job_alerts;
use super::cadence::read_cadence;
use super::creations::{read_note, read_steps};
use super::document::{Document, Laid, ReadError, Table, Value, read_text, shown};
use super::fields::{
    Asking, Excused, check_backwards, check_conflicts, check_real_time, read_conditions,
    read_fields,
};
use super::found_by::read_found_by;
use super::guards::{KEYS as GUARD_KEYS, joined, read_canary, read_guards};
use super::names::{PLAIN_NAME_HINT, PROJECT_FILE, is_plain_name, may_be_same};
use super::project::{CheckedJob, Project};
use super::project_file::{
    batch_size, before_images_kept, journal_table, known_connection, null_policy,
};
use super::questions::read_questions;
use super::read_back::{read_read_back, refuse_read_back};
use super::schema::parse_schema;
use super::ways::split;
use super::words::{table_name, word};
use super::write_back::{Common, Own};
use crate::domain::alert::Thresholds;
use crate::domain::cadence::Cadence;
use crate::domain::compare::{Compare, FULL_EVERY};
use crate::domain::condition::Condition;
use crate::domain::connection::{
    CustomLogic, DataverseOptions, RuleUse, SalesforceOptions, ServiceKind,
};
use crate::domain::field::{Field, FieldValue, NullPolicy};
use crate::domain::guard::Guards;
use crate::domain::job::{Job, RecordsOf, WriteBack};
use crate::domain::match_rule::MatchMode;
use crate::domain::object::ObjectName;
use crate::domain::problem::{Location, Problem, did_you_mean};
use crate::domain::schema::Schema;

/// What a key of a write-back decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decides {
    /// What is written where: another value makes another version of the write-back.
    Writing,
    /// How it is done, how far it may go, or what is kept of it.
    Manner,
}

/// The keys of a write-back but for its guards, none of which decides what is written.
const OWN_KEYS: [(&str, Decides); 25] = [
    ("name", Decides::Writing),
    ("schema", Decides::Writing),
    ("source", Decides::Writing),
    ("destination", Decides::Writing),
    ("table", Decides::Writing),
    ("batch_size", Decides::Manner),
    ("matching", Decides::Writing),
    ("nulls", Decides::Writing),
    ("ignore", Decides::Writing),
    ("compare", Decides::Manner),
    ("full_every", Decides::Manner),
    ("salesforce", Decides::Manner),
    ("dataverse", Decides::Manner),
    ("fields", Decides::Writing),
    ("questions", Decides::Writing),
    ("steps", Decides::Writing),
    ("note", Decides::Writing),
    ("enabled", Decides::Manner),
    ("only_where", Decides::Writing),
    ("found_by", Decides::Writing),
    ("read_back", Decides::Manner),
    ("mirror", Decides::Manner),
    ("journal_table", Decides::Manner),
    ("keep_before_images", Decides::Manner),
    ("retention", Decides::Manner),
];

/// The keys of a write-back into one destination.
const WRITE_BACK_KEYS: &[&str] =
    &joined::<25, { GUARD_KEYS.len() }, { 25 + GUARD_KEYS.len() }>(names_of(OWN_KEYS), GUARD_KEYS);

/// Those of a `[[write_back]]`, which may have several.
pub(super) const ALL_KEYS: &[&str] =
    &joined::<{ WRITE_BACK_KEYS.len() }, 1, { WRITE_BACK_KEYS.len() + 1 }>(
        *WRITE_BACK_KEYS.first_chunk().expect("all of them"),
        ["to"],
    );

/// Keys that each of several destinations tells for itself.
const OF_ONE_DESTINATION: &[&str] = &[
    "destination",
    "table",
    "fields",
    "found_by",
    "read_back",
    "mirror",
];

/// Keys of a `[[write_back]]` that do not pass to its destinations.
const NOT_PASSED_ON: &[&str] = &[
    "to",
    "name",
    "destination",
    "table",
    "fields",
    "found_by",
    "read_back",
    "mirror",
];

/// Keys of a `[[write_back]]` that are the same for all its destinations.
const OF_ALL_DESTINATIONS: &[&str] = &["schema", "source"];

#[expect(
    clippy::indexing_slicing,
    reason = "evaluated while compiling, where iterators are not to be had"
)]
const fn names_of<const KEYS: usize>(
    keys: [(&'static str, Decides); KEYS],
) -> [&'static str; KEYS] {
    let mut names = [""; KEYS];
    let mut at = 0;
    while at < KEYS {
        names[at] = keys[at].0;
        at += 1;
    }
    names
}

/// Runs from one that compares all records with their rows to the next: of an hourly job, more than
/// a month.
const FULL_EVERY_MAX: u32 = 1_000;
/// Reads a job file's text and the schema files it names, as things stand at `now`.
/// Errors: every mistake in them and, when there is one, every warning.
pub(super) fn read_job(
    project: &Project,
    name: &str,
    file: &str,
    text: &str,
    laid: Option<&Laid>,
    now: DateTime<Utc>,
) -> Result<CheckedJob, Vec<Problem>> {
    let document = Document::with(file, text, laid);
    let parsed = parse(&document, laid);
    let whose = Whose::of(&project.root, name);
    let mut schemas = Schemas {
        project,
        read: BTreeMap::new(),
        problems: Vec::new(),
    };
    let read = parsed.as_ref().and_then(|table| {
        read_tables(
            project,
            &whose,
            &Table::root(&document, table),
            &mut schemas,
            now,
        )
    });
    let own: Vec<(&str, &str)> = std::iter::once((file, text))
        .chain(laid.map(|laid| (&*laid.file, laid.text())))
        .collect();
    let (digest, files) = (schemas.digest(&own), schemas.files(&own));
    let mut problems = document.into_problems();
    problems.append(&mut schemas.problems);
    match read {
        Some(Read {
            cadence,
            thresholds,
            write_backs,
            agencies,
        }) if !super::has_mistake(&problems) => {
            let job = Job {
                name: name.to_owned(),
                cadence,
                thresholds,
                write_backs,
                agency: whose.called().map(str::to_owned),
                agencies: agencies.then(|| whose.agencies()),
            };
            Ok(CheckedJob {
                job,
                warnings: problems,
                digest,
                files,
            })
        }
        _ => Err(problems),
    }
}

/// The tables of a job's file, with an agency's laid over them.
fn parse<'a>(document: &Document<'a>, laid: Option<&Laid>) -> Option<Spanned<DeTable<'a>>> {
    let (base, over) = (document.parse(), document.parse_laid());
    match (base, over, laid) {
        (Some(base), Some(over), Some(_)) => {
            let span = base.span();
            Some(Spanned::new(
                span,
                laid_over(document, base.into_inner(), over),
            ))
        }
        (base, Some(_), None) => base,
        (None, _, _) | (_, None, _) => None,
    }
}

/// Every setting of a job, with where it is said.
/// Errors: the files are no TOML.
pub(super) fn job_settings(
    file: &str,
    text: &str,
    laid: Option<&Laid>,
) -> Result<Vec<SettingLine>, Vec<Problem>> {
    let document = Document::with(file, text, laid);
    let settings = parse(&document, laid).map(|table| {
        let over = laid.map(|laid| &*laid.file);
        let mut settings = settings(&Table::root(&document, &table), "", over);
        if let Some(over) = document.parse_laid() {
            tell_taken_out(&mut settings, &document, &over);
        }
        settings
    });
    settings.ok_or_else(|| document.into_problems())
}

/// What the tables of a job file say.
struct Read {
    /// Whether it is the base of agencies.
    agencies: bool,
    cadence: Option<Cadence>,
    thresholds: Thresholds,
    write_backs: Vec<WriteBack>,
}

fn read_tables(
    project: &Project,
    whose: &Whose<'_>,
    root: &Table<'_>,
    schemas: &mut Schemas<'_>,
    now: DateTime<Utc>,
) -> Option<Read> {
    match whose.agency {
        Some(_) => root.expect_keys(&["agency", "agencies", "cadence", "alerts", "write_back"]),
        None => root.expect_keys(&["agencies", "cadence", "alerts", "write_back"]),
    }
    let said = Said::of(root);
    whose.check(root.document, root.get("agency"));
    if let (Some(said), None) = (&said, whose.agency) {
        let names: Vec<String> = whose.all.keys().cloned().collect();
        said.expect_some(&names, whose.base);
    }
    let within = Within {
        project,
        whose,
        said: said.as_ref(),
    };
    let cadence = root
        .get("cadence")
        .and_then(|cadence| read_cadence(project, cadence, now));
    let thresholds = read_job_alerts(root, project.alerts.thresholds);
    let hint = "a job has one or more `[[write_back]]`";
    let value = root.require("write_back", hint)?;
    if value.is_table() {
        value.key_mistake(
            "`[write_back]` is a table, not a list of them",
            Some("write `[[write_back]]`".to_owned()),
        );
        return None;
    }
    let elements = value.list()?;
    if elements.is_empty() {
        value.mistake("the job has no write-back", Some(hint.to_owned()));
    }
    let mut claims = Claims::default();
    let mut write_backs = Vec::new();
    for element in elements {
        let label = element_name(element);
        if let Some(table) = element.table(label) {
            table.expect_keys(ALL_KEYS);
            match table.get("to") {
                None => {
                    let name = own_name(&table, &mut claims);
                    write_backs.extend(read_write_back(
                        &within,
                        &table,
                        name,
                        schemas,
                        &mut claims,
                    ));
                }
                Some(to) => {
                    write_backs.extend(read_several(&within, &table, to, schemas, &mut claims));
                }
            }
        }
    }
    Some(Read {
        agencies: said.is_some() && whose.agency.is_none(),
        cadence,
        thresholds,
        write_backs,
    })
}

/// What messages call a write-back.
fn element_name(element: Value<'_>) -> String {
    let entries = element
        .is_table()
        .then(|| element.table(String::new()))
        .flatten();
    let name = entries
        .and_then(|table| table.get("name"))
        .filter(Value::is_text)
        .and_then(|name| name.text());
    name.map_or_else(
        || "`[[write_back]]`".to_owned(),
        |name| format!("write-back {}", shown(name)),
    )
}

/// What a write-back is read within.
struct Within<'a> {
    project: &'a Project,
    whose: &'a Whose<'a>,
    said: Option<&'a Said<'a>>,
}

impl Within<'_> {
    /// The job without its agency.
    fn job(&self) -> &str {
        self.whose.base
    }

    /// The connection that a name means: the agency's own, if it has one.
    fn connection(&self, value: Value<'_>) -> Option<String> {
        let name = value.text()?;
        let own = self
            .whose
            .agency
            .map(|agency| own_connection(name, self.whose.base, agency));
        match own.filter(|own| self.project.told_to_users.contains_key(own)) {
            Some(own) => Some(own),
            None => known_connection(value, self.project).map(str::to_owned),
        }
    }
}

/// What a write-back is called.
struct Called {
    name: String,
    common_name: Option<String>,
}

fn own_name(table: &Table<'_>, claims: &mut Claims) -> Option<Called> {
    let name = table.require_text("name", "name the write-back, once in the job");
    let name = name.and_then(|name| claims.name(name))?.to_owned();
    Some(Called {
        name,
        common_name: None,
    })
}

/// Reads the destinations of a write-back that has several: each is a write-back of its own, over
/// what the whole says, and is called `NAME@DESTINATION`.
fn read_several(
    within: &Within<'_>,
    whole: &Table<'_>,
    to: Value<'_>,
    schemas: &mut Schemas<'_>,
    claims: &mut Claims,
) -> Vec<WriteBack> {
    let common = own_name(whole, claims);
    for value in OF_ONE_DESTINATION.iter().filter_map(|key| whole.get(key)) {
        value.key_mistake(
            format!("`{}` stands beside `to`", value.key),
            Some("write it into each `[[write_back.to]]`, or take `to` out".to_owned()),
        );
    }
    if to.is_table() {
        to.key_mistake(
            "`[write_back.to]` is a table, not a list of them",
            Some("write `[[write_back.to]]`".to_owned()),
        );
        return Vec::new();
    }
    let elements = to.list().unwrap_or_default();
    if elements.is_empty() {
        to.mistake("`to` names no destination", None);
    }
    let mut write_backs = Vec::new();
    for element in elements {
        let Some(table) = element.table("`[[write_back.to]]`".to_owned()) else {
            continue;
        };
        expect_keys_of_one(&table);
        let table = table.over(whole, NOT_PASSED_ON, WRITE_BACK_KEYS);
        let called = common
            .as_ref()
            .and_then(|common| name_of_one(&table, &common.name, claims));
        write_backs.extend(read_write_back(within, &table, called, schemas, claims));
    }
    write_backs
}

fn expect_keys_of_one(table: &Table<'_>) {
    for value in OF_ALL_DESTINATIONS.iter().filter_map(|key| table.get(key)) {
        value.key_mistake(
            format!("`{}` is of all destinations of the write-back", value.key),
            Some("write it once, above `[[write_back.to]]`".to_owned()),
        );
    }
    table.expect_keys(WRITE_BACK_KEYS);
}

/// The name of one destination of several: its own, or that of its connection.
fn name_of_one(table: &Table<'_>, common: &str, claims: &mut Claims) -> Option<Called> {
    let named = table.get("name").or_else(|| table.get("destination"))?;
    let part = named.text()?;
    let name = format!("{common}@{part}");
    claims.part_name((named, part), &name)?;
    Some(Called {
        name,
        common_name: Some(common.to_owned()),
    })
}

fn read_write_back(
    within: &Within<'_>,
    table: &Table<'_>,
    called: Option<Called>,
    schemas: &mut Schemas<'_>,
    claims: &mut Claims,
) -> Vec<WriteBack> {
    let common = read_common(within, table, called, schemas);
    match (table.get("steps"), table.get("note")) {
        (Some(steps), Some(note)) => {
            let hint = format!(
                "`note` is in line {}; give each a write-back",
                note.location().line
            );
            steps.key_mistake("a write-back has either `steps` or a `note`", Some(hint));
            Vec::new()
        }
        (Some(steps), None) => {
            refuse_read_back(table, "steps");
            read_steps(&common, table, steps, within.job())
        }
        (None, Some(note)) => {
            refuse_read_back(table, "note");
            let note = read_note(&common, table, note, within.job());
            note.into_iter().collect()
        }
        (None, None) => {
            let plain = read_plain(within, table, &common, claims);
            let split = |(plain, found_by): (_, Option<Vec<usize>>)| {
                split(plain, found_by.as_deref(), table)
            };
            let all = plain.map(split).unwrap_or_default();
            let is_own = |one: &WriteBack| {
                let mut ways = one.way.iter();
                ways.all(|way| way.steps.is_empty())
            };
            let named = |one: &WriteBack| is_own(one) || claims.way(table, &one.name);
            all.into_iter().filter(named).collect()
        }
    }
}

fn read_common(
    within: &Within<'_>,
    table: &Table<'_>,
    called: Option<Called>,
    schemas: &mut Schemas<'_>,
) -> Common {
    let project = within.project;
    let (name, common_name) = called.map_or((None, None), |called| {
        (Some(called.name), called.common_name)
    });
    let schema_file = table.require("schema", "name its file: `schema = \"sql/NAME.sql\"`");
    let schema = schema_file.and_then(|value| schemas.read(value));
    let hint = || format!("name one of the connections of {PROJECT_FILE}");
    let source = table
        .require("source", &hint())
        .and_then(|value| read_source(value, within));
    let destination = table
        .require("destination", &hint())
        .and_then(|value| read_destination(value, within));
    let service = destination.as_ref();
    let service = service.and_then(|name| project.services.get(name).copied());
    let nulls = table
        .get("nulls")
        .and_then(null_policy)
        .unwrap_or(project.defaults.nulls);
    let agency_column = schema
        .as_ref()
        .and_then(|schema| within.said?.column_in(schema));
    let records_of = match (within.said, &schema) {
        (Some(_), Some(schema)) => within.whose.records_of(schema, agency_column),
        (None, _) | (_, None) => RecordsOf::All,
    };
    let guards = match records_of {
        RecordsOf::All | RecordsOf::Agency { .. } => read_guards(table, &project.defaults.guards),
        // It writes nothing that could be too much.
        RecordsOf::None | RecordsOf::Strangers { .. } => Guards::NONE,
    };
    if let Some(calls) = table.get("max_calls").filter(|_| service.is_none()) {
        let hint = "take it out; calls are counted where a web API is written to";
        calls.key_mistake(
            "`max_calls` means nothing to a database",
            Some(hint.to_owned()),
        );
    }
    let enabled = table.get("enabled").and_then(|value| value.boolean());
    let questions = table.get("questions").zip(schema.as_ref());
    let questions = questions.and_then(|(value, schema)| {
        let questions = read_questions(value, schemas.read(value)?, schema)?;
        let asking = Asking {
            columns: schema.columns.len(),
            ..Asking::default()
        };
        Some((questions, asking))
    });
    Common {
        name,
        common_name,
        service,
        batch_records_max: batch_records_max(table, project, service),
        before_images_kept: before_images_kept(table, project.defaults.before_images_kept),
        journal_table: journal_table_of(table, project, service),
        salesforce: salesforce_options(table, service),
        dataverse: dataverse_options(table, service),
        version: schema_file
            .and_then(|value| value.plain_text())
            .map(|file| schemas.version(table, &file, nulls)),
        enabled: enabled.unwrap_or(true),
        location: table.location(),
        schema,
        source,
        destination,
        nulls,
        agency_column,
        records_of,
        guards,
        of_agency: within.whose.agency.is_some(),
        questions,
    }
}

/// A write-back without steps, which updates rows or makes them; with the positions of the fields
/// that its rows are found by, where these are named.
fn read_plain(
    within: &Within<'_>,
    table: &Table<'_>,
    common: &Common,
    claims: &mut Claims,
) -> Option<(WriteBack, Option<Vec<usize>>)> {
    let object = table
        .require("table", "write `table = '\"CRM\".\"ACCOUNTS\"'`")
        .and_then(table_name);
    let modes = MatchMode::ALL.map(|mode| (mode.name(), mode));
    let mode = table
        .get("matching")
        .map_or(Some(MatchMode::default()), |value| word(value, &modes));
    let finding = table.get("found_by");
    let excused = Excused {
        column: common.agency_column,
        key: finding.is_some(),
        unused: within.whose.agency.is_some(),
        questions: common.questions.as_ref().map(|(_, asking)| asking),
        keeps_nulls: common.nulls == NullPolicy::Keep,
        ..Excused::default()
    };
    let schema = common.schema.as_ref();
    let fields = read_fields(table, schema, mode, excused);
    if let (Some(fields), Some(mode)) = (&fields, mode) {
        let keeps_images = common.before_images_kept.is_some();
        check_conflicts(table, schema, mode, keeps_images, fields);
        check_backwards(table, common.service, fields);
        if let (Some(schema), None) = (schema, finding) {
            check_real_time(table, &schema.key, mode, fields);
        }
    }
    let found_by = match (finding, mode, &fields) {
        (Some(value), Some(mode), Some(fields)) => Some(read_found_by(value, table, mode, fields)?),
        (_, _, _) => None,
    };
    if let (Some(fields), Some(destination), Some((object, _))) =
        (&fields, &common.destination, &object)
    {
        let finds = |position: usize| found_by.iter().flatten().any(|one| *one == position);
        let own = fields.iter().enumerate();
        let own = own.filter(|(position, field)| field.way.is_none() && !finds(*position));
        let own = own.map(|(_, field)| field);
        let schema = schema.filter(|_| found_by.is_none());
        claims.columns(table, destination, object, own, schema);
    }
    let only_where = only_where(table, mode);
    let read_back = read_read_back(table, common, within.project, fields.as_deref());
    let plain = common.with(Own {
        name: common.name.clone()?,
        table: object?,
        mode: mode?,
        fields: fields?,
        canary: read_canary(table, within.project.defaults.canary),
        compare: read_compare(table),
        creation: None,
        only_where: only_where?,
        read_back: read_back?,
    })?;
    Some((plain, found_by))
}

/// What a row must hold to be written to.
fn only_where(table: &Table<'_>, mode: Option<MatchMode>) -> Option<Vec<Condition>> {
    let Some(value) = table.get("only_where") else {
        return Some(Vec::new());
    };
    if mode.is_some_and(|mode| !mode.updates()) {
        value.key_mistake(
            "`only_where` says which rows are updated, and none are",
            Some("leave it out".to_owned()),
        );
    }
    read_conditions(value)
}

fn read_source(value: Value<'_>, within: &Within<'_>) -> Option<String> {
    let name = within.connection(value)?;
    if within.project.services.contains_key(&name) {
        let hint = "it is written, never read from; name a database or a folder of files";
        value.mistake(
            format!("source `{name}` is a web API"),
            Some(hint.to_owned()),
        );
        return None;
    }
    Some(name)
}

/// Updates from which on they go in bulk where nobody says: fewer are done sooner in collections.
/// Source: the Bulk API guide, "any data operation that includes more than 2,000 records".
const BULK_FROM: NonZeroU32 = NonZeroU32::new(2_000).expect("it is not zero");

/// What only Salesforce knows, as the write-back says it.
fn salesforce_options(table: &Table<'_>, service: Option<ServiceKind>) -> SalesforceOptions {
    let value = table.get("salesforce");
    if service != Some(ServiceKind::Salesforce) {
        if let Some(value) = value {
            let hint = "take it out; the destination is none".to_owned();
            value.key_mistake("`[write_back.salesforce]` means nothing here", Some(hint));
        }
        return SalesforceOptions::default();
    }
    let usual = SalesforceOptions {
        bulk_from: Some(BULK_FROM),
        ..SalesforceOptions::default()
    };
    let Some(own) = value.and_then(|value| value.table("`[write_back.salesforce]`".to_owned()))
    else {
        return usual;
    };
    own.expect_keys(&["duplicate_rules", "assignment_rules", "bulk_from"]);
    let uses = [("enforce", RuleUse::Enforced), ("allow", RuleUse::Bypassed)];
    let duplicate_rules = own
        .get("duplicate_rules")
        .and_then(|value| word(value, &uses));
    let turns = [("off", false), ("on", true)];
    let assigns = own
        .get("assignment_rules")
        .and_then(|value| word(value, &turns));
    SalesforceOptions {
        duplicate_rules: duplicate_rules.unwrap_or_default(),
        assigns: assigns.unwrap_or_default(),
        bulk_from: own.get("bulk_from").map_or(usual.bulk_from, bulk_from),
    }
}

/// Steps of plug-ins that one request may pass over.
/// Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/bypass-custom-business-logic>.
const BYPASSED_STEPS_MAX: usize = 10;

/// What only Dataverse knows, as the write-back says it.
fn dataverse_options(table: &Table<'_>, service: Option<ServiceKind>) -> DataverseOptions {
    let Some(value) = table.get("dataverse") else {
        return DataverseOptions::default();
    };
    if service != Some(ServiceKind::Dataverse) {
        let hint = "take it out; the destination is none".to_owned();
        value.key_mistake("`[write_back.dataverse]` means nothing here", Some(hint));
        return DataverseOptions::default();
    }
    let Some(own) = value.table("`[write_back.dataverse]`".to_owned()) else {
        return DataverseOptions::default();
    };
    own.expect_keys(&["bypass_business_logic", "bypass_steps", "bypass_flows"]);
    let list = |key: &str| {
        own.get(key)
            .and_then(|value| value.list())
            .unwrap_or_default()
    };
    let words = [CustomLogic::Sync, CustomLogic::Async].map(|logic| (logic.name(), logic));
    let logic = list("bypass_business_logic");
    let steps = list("bypass_steps");
    if let Some(beyond) = steps.get(BYPASSED_STEPS_MAX) {
        beyond.mistake(
            format!("`bypass_steps` names {} steps", steps.len()),
            Some(format!("name {BYPASSED_STEPS_MAX} at most")),
        );
    }
    DataverseOptions {
        bypassed_logic: logic
            .iter()
            .filter_map(|value| word(*value, &words))
            .collect(),
        bypassed_steps: steps.iter().filter_map(step_id).collect(),
        bypasses_flows: own
            .get("bypass_flows")
            .and_then(|value| value.boolean())
            .unwrap_or_default(),
    }
}

/// The GUID of a plug-in's step.
fn step_id(value: &Value<'_>) -> Option<String> {
    let text = value.text()?;
    let id = uuid::Uuid::parse_str(text).ok();
    if id.is_none() {
        let hint = "write the GUID that the Plug-in Registration Tool shows as the step's id";
        value.mistake(format!("{} is no GUID", shown(text)), Some(hint.to_owned()));
    }
    id.map(|id| id.to_string())
}

/// A count of updates, or `"never"`.
fn bulk_from(value: Value<'_>) -> Option<NonZeroU32> {
    match value.is_text() && value.text() == Some("never") {
        true => None,
        false => value.integer(1, u32::MAX).and_then(NonZeroU32::new),
    }
}

/// What records are compared with; `full_every` says how often with their rows all the same.
fn read_compare(table: &Table<'_>) -> Compare {
    let ways = [("destination", false), ("last_written", true)];
    let relies = table.get("compare").and_then(|value| word(value, &ways));
    let every = table.get("full_every");
    if relies != Some(true) {
        if let Some(every) = every.filter(|_| relies.is_some() || table.get("compare").is_none()) {
            let hint = "write `compare = \"last_written\"` beside it, or take it out";
            every.mistake(
                "`full_every` is of no use: every run compares all records with their rows",
                Some(hint.to_owned()),
            );
        }
        return Compare::Destination;
    }
    let every = every.and_then(|every| every.integer(1, FULL_EVERY_MAX));
    Compare::LastWritten {
        full_every: every.and_then(NonZeroU32::new).unwrap_or(FULL_EVERY),
    }
}

/// Records per write: of a web API, those of one request, which takes no more than it does.
fn batch_records_max(
    table: &Table<'_>,
    project: &Project,
    service: Option<ServiceKind>,
) -> NonZeroUsize {
    let value = table.get("batch_size");
    let usual = project.defaults.batch_records_max;
    let Some(max) = service.map(ServiceKind::request_records_max) else {
        return value.and_then(batch_size).unwrap_or(usual);
    };
    let records = value.and_then(|value| value.integer(1, u32::from(max.get())));
    let records = records.and_then(|records| NonZeroUsize::new(usize::try_from(records).ok()?));
    records.unwrap_or_else(|| usual.min(max.into()))
}

/// The journal's table, which no web API can write in the same breath as a record.
fn journal_table_of(
    table: &Table<'_>,
    project: &Project,
    service: Option<ServiceKind>,
) -> Option<(ObjectName, Location)> {
    let journal = journal_table(table, project.defaults.journal_table.as_ref())?;
    let Some(kind) = service else {
        return Some(journal);
    };
    let message = format!(
        "`journal_table` cannot be kept in `{}`: it has no transaction in which a record and its line of the journal stand or fall together",
        kind.name()
    );
    let hint = "write `journal_table = \"off\"`; `writeback journal` and `writeback history` tell the same from the ledger";
    table.mistake(message, Some(hint.to_owned()));
    None
}

fn read_destination(value: Value<'_>, within: &Within<'_>) -> Option<String> {
    let name = within.connection(value)?;
    if let Some(why) = within.project.read_only.get(&name) {
        let hint = "it is read, never written; name a database".to_owned();
        value.mistake(format!("destination `{name}` {why}"), Some(hint));
        return None;
    }
    Some(name)
}

/// Schema files, each read once however many write-backs name it.
struct Schemas<'a> {
    project: &'a Project,
    /// By the file as the job names it: its text, and the schema unless it has a mistake.
    read: BTreeMap<String, (String, Option<Schema>)>,
    problems: Vec<Problem>,
}

impl Schemas<'_> {
    fn read(&mut self, value: Value<'_>) -> Option<Schema> {
        let file = value.text()?;
        if let Some((_, schema)) = self.read.get(file) {
            return schema.clone();
        }
        let text = match read_text(&self.project.root.join(file), file) {
            Ok(text) => text,
            Err(error) => {
                let hint = matches!(error, ReadError::Missing)
                    .then(|| self.near(file))
                    .flatten();
                let problem = error.problem(file, Some(value.location()));
                self.problems.push(if hint.is_some() {
                    problem.hint_if(hint)
                } else {
                    problem
                });
                return None;
            }
        };
        let (schema, mut problems) = match parse_schema(file, &text) {
            Ok((schema, warnings)) => (Some(schema), warnings),
            Err(problems) => (None, problems),
        };
        self.problems.append(&mut problems);
        self.read.insert(file.to_owned(), (text, schema.clone()));
        schema
    }

    /// A file beside a missing one that may be meant.
    fn near(&self, file: &str) -> Option<String> {
        let folder = Path::new(file).parent()?;
        let entries = fs::read_dir(self.project.root.join(folder)).ok()?;
        let beside = entries
            .flatten()
            .filter_map(|entry| folder.join(entry.file_name()).to_str().map(str::to_owned));
        let beside: Vec<String> = beside.collect();
        did_you_mean(file, beside.iter().map(String::as_str))
    }

    /// `own` are the job's own files, with their texts.
    fn digest(&self, own: &[(&str, &str)]) -> String {
        let schemas = self.read.values().map(|(text, _)| text.as_str());
        digest(own.iter().map(|(_, text)| *text).chain(schemas))
    }

    /// As [`Schemas::digest`], of each file alone.
    fn files(&self, own: &[(&str, &str)]) -> BTreeMap<String, String> {
        let schemas = self
            .read
            .iter()
            .map(|(file, (text, _))| (file.as_str(), text.as_str()));
        let all = schemas.chain(own.iter().copied());
        all.map(|(file, text)| (file.to_owned(), digest(std::iter::once(text))))
            .collect()
    }

    /// The version of a write-back: its settings as they are meant, and its schema.
    fn version(&self, table: &Table<'_>, schema_file: &str, nulls: NullPolicy) -> String {
        let counts = |value: &Value<'_>| OWN_KEYS.contains(&(value.key, Decides::Writing));
        let mut settings: Vec<String> = table
            .entries()
            .filter(counts)
            .map(|value| format!("{} = {}", value.key, value.plain()))
            .collect();
        settings.sort();
        let schema = self
            .read
            .get(schema_file)
            .map_or("", |(text, _)| text.as_str());
        // The one default that decides what is written.
        let nulls = if nulls == NullPolicy::Keep {
            "keep"
        } else {
            "write"
        };
        digest(settings.iter().map(String::as_str).chain([nulls, schema]))
    }
}

/// Each text goes in with its length, so that none can pass for part of another.
fn digest<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = Xxh3::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    format!("{:032x}", hasher.digest128())
}

/// What the write-backs of a job have taken: names, and columns of destinations.
#[derive(Default)]
struct Claims {
    names: Vec<String>,
    columns: Vec<Claim>,
}

/// One column that a write-back writes.
struct Claim {
    /// Where its write-back stands.
    write_back: Location,
    destination: String,
    object: ObjectName,
    field: Field,
    key: bool,
}

impl Claims {
    fn name<'a>(&mut self, (value, name): (Value<'a>, &'a str)) -> Option<&'a str> {
        self.part_name((value, name), name)?;
        Some(name)
    }

    /// Takes the name of a write-back that fields of another one are.
    fn way(&mut self, table: &Table<'_>, name: &str) -> bool {
        let is_free = self.names.iter().all(|taken| taken != name);
        match is_free {
            true => self.names.push(name.to_owned()),
            false => table.mistake(
                format!("its fields of another row are called `{name}`, as a write-back is"),
                Some("give that one another name".to_owned()),
            ),
        }
        is_free
    }

    /// Takes `whole` as a name, of which this part is told here.
    fn part_name(&mut self, (value, part): (Value<'_>, &str), whole: &str) -> Option<()> {
        if !is_plain_name(part) {
            value.mistake(
                format!("{} cannot be a write-back's name", shown(part)),
                Some(PLAIN_NAME_HINT.to_owned()),
            );
            return None;
        }
        if self.names.iter().any(|taken| taken == whole) {
            value.mistake(
                format!("there are two write-backs `{whole}`"),
                Some("give each its own name".to_owned()),
            );
            return None;
        }
        self.names.push(whole.to_owned());
        Some(())
    }

    /// Notes every column that has a writer already. Key columns are looked up and not written, so
    /// they may repeat in other write-backs.
    fn columns<'f>(
        &mut self,
        table: &Table<'_>,
        destination: &str,
        object: &ObjectName,
        fields: impl Iterator<Item = &'f Field>,
        schema: Option<&Schema>,
    ) {
        let is_key = |field: &Field| match (&field.value, schema) {
            (FieldValue::Column(position), Some(schema)) => schema.key.contains(position),
            _ => false,
        };
        for field in fields {
            let claim = Claim {
                write_back: table.location(),
                destination: destination.to_owned(),
                object: object.clone(),
                field: field.clone(),
                key: is_key(field),
            };
            if let Some(first) = self.columns.iter().find(|first| first.collides(&claim)) {
                let message = format!(
                    "column `{}` of `{}` has two writers",
                    field.column.text, claim.object
                );
                let hint = format!(
                    "the other is in line {}; keep one of them",
                    first.field.location.line
                );
                table
                    .document
                    .note(Problem::mistake(field.location.clone(), message).hint(hint));
            }
            self.columns.push(claim);
        }
    }
}

impl Claim {
    fn collides(&self, other: &Self) -> bool {
        let both_write = !self.key && !other.key;
        (both_write || self.write_back == other.write_back)
            && self.destination == other.destination
            && self.object.parts.len() == other.object.parts.len()
            && self
                .object
                .parts
                .iter()
                .zip(&other.object.parts)
                .all(|(left, right)| may_be_same(left, right))
            && may_be_same(&self.field.column, &other.field.column)
    }
}
