//! One write-back: which source column goes where, with the unique identifier in bold, and what
//! guards it. And one record of it: who wrote what, and when.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use maud::{Markup, html};

use super::clock::length;
use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::{files, parts, paths, switch, tending};
use crate::domain::access::Role;
use crate::domain::counted::counted;
use crate::domain::field::{Field, FieldValue, NullPolicy, OnConflict, When};
use crate::domain::job::{Job, WriteBack};
use crate::domain::outcome::grouped;
use crate::domain::schema::SchemaColumn;
use crate::report::guards;
use crate::run::history::{self, By, Entry, RecordHistory, RowFate};
use crate::run::journal::Unknown;
use crate::run::record_writes::RecordOf;

pub(super) async fn page(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((job, name)): Path<(String, String)>,
) -> Result<Markup, Refusal> {
    frame.caller.expect_job(&job)?;
    let project = house.project()?;
    let checked = house.job(&project, &job)?;
    let is_of_all = |one: &WriteBack| one.common_name.as_deref() == Some(name.as_str());
    if checked.job.write_backs.iter().any(is_of_all) {
        return Ok(destinations_page(&frame, &job, &name, &checked.job));
    }
    let one = house.write_back(&checked, &name)?;
    let content = html! {
        dl.facts {
            dt { "From" } dd { a href=(format!("/files/{}", paths::encoded_path(&one.schema.file))) { (one.schema.file) } " of " code { (one.source) } }
            dt { "To" } dd { code { (one.told_object()) } " of " code { (one.destination) } }
            dt { "Matching" } dd { (one.mode.name().replace('_', " ")) }
            dt { "Batch size" } dd { (grouped(one.batch_records_max.get() as u64)) " records" }
            dt { "Guards" } dd { (guards::in_force(&one.guards)) }
            dt { "Can be undone" } dd { @match one.before_images_kept {
                Some(kept) => { "for " (length(kept.as_secs())) }
                None => "no: before-images are not kept",
            } }
            dt { "File" } dd { a href=(files::address(&one.location.file, one.location.line)) { (one.location.file) ":" (one.location.line) } }
        }
        h2 #schema { "Schema and fields" }
        (fields_table(&Shown { house: &house, frame: &frame, job: &checked.job.name, others: &project.jobs_beside(&checked.job.name) }, one))
        form.line method="get" action=(format!("{}/records", paths::write_back(&job, &name))) {
            label for="key" { "Look at one record: its key" }
            input.key #key name="key" required;
            button { "Look" }
        }
    };
    let above = [(paths::job(&job), job.as_str())];
    Ok(frame.page_within(&name, &above, content))
}

/// What is read once and goes to several destinations, each a write-back with a page of its own.
fn destinations_page(frame: &Frame, job: &str, name: &str, all: &Job) -> Markup {
    let content = html! {
        p.lead { "It is read once and goes to several destinations. Each is a write-back of its own:" }
        ul { @for one in all.write_backs.iter().filter(|one| one.is_called(name)) {
            li { a href=(paths::write_back(job, &one.name)) { (one.name) } ": " code { (one.told_object()) } " of " code { (one.destination) } }
        } }
    };
    frame.page_within(name, &[(paths::job(job), job)], content)
}

/// What a table of fields is shown with.
struct Shown<'a> {
    house: &'a House,
    frame: &'a Frame,
    job: &'a str,
    others: &'a [Job],
}

fn fields_table(shown: &Shown<'_>, one: &WriteBack) -> Markup {
    let of_column = |position: usize| {
        one.fields
            .iter()
            .filter(move |field| column_of(field) == Some(position))
    };
    let alone = one.fields.iter().filter(|field| column_of(field).is_none());
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="schema" { table {
            thead { tr {
                th scope="col" { "source column" } th scope="col" { "type" } th scope="col" { "destination column" }
                th scope="col" { "value" } th scope="col" { "real time" } th scope="col" { "policy" }
            } }
            tbody {
                @for (position, column) in one.schema.columns.iter().enumerate() {
                    @let key = one.schema.key.contains(&position);
                    @let mut fields = of_column(position).peekable();
                    @if fields.peek().is_none() {
                        tr { (source_cells(column, key)) td.quiet { "goes nowhere (ignored)" } td {} td {} td {} }
                    }
                    @for field in fields { tr { (source_cells(column, key)) (field_cells(shown, one, field, key)) } }
                }
                @for field in alone { tr { th scope="row" { "–" } td {} (field_cells(shown, one, field, false)) } }
            }
        } }
    }
}

/// The schema column that a field is made of, if it is made of one.
fn column_of(field: &Field) -> Option<usize> {
    match field.value.columns() {
        [only] => Some(*only),
        _ => None,
    }
}

fn source_cells(column: &SchemaColumn, key: bool) -> Markup {
    html! {
        th scope="row" {
            a.unique[key] href=(files::address(&column.location.file, column.location.line)) { (column.name) }
            @if key { " " span.chip { "unique" } }
        }
        td.nowrap { (column.column_type) @if !column.nullable && !key { " NOT NULL" } }
    }
}

fn field_cells(shown: &Shown<'_>, one: &WriteBack, field: &Field, key: bool) -> Markup {
    html! {
        td { a href=(files::address(&field.location.file, field.location.line)) { (field.column.text) } }
        td.long { @match &field.value {
            FieldValue::Column(_) => "column",
            FieldValue::String(text) => { "String " code { (parts::cut(text)) } }
            FieldValue::Answer { column, .. } => {
                "Question " code { (one.columns().nth(*column).map_or("", |column| column.name.trim_start_matches("question "))) }
            }
            FieldValue::IdOf(step) => { "Id of " code { (step) } }
            FieldValue::About => @if one.creation.is_some() { "Id of the record that the note is about" }
                @else { "Id of the row that is written" }
            FieldValue::Marker(_) => "Marker of the note",
            FieldValue::Text { columns, .. } => { "Text with " (counted(columns.len(), "column")) }
            FieldValue::Method(call) => {
                "Method " a href="/methods" { (call.method.name()) } span.quiet { ": " (call.method.purpose()) }
            }
        } }
        td { (switch::cell(shown.house, shown.frame, (shown.job, shown.others), one, field)) }
        td { (policy(one, field, key)) }
    }
}

fn policy(one: &WriteBack, field: &Field, key: bool) -> String {
    if key && matches!(field.value, FieldValue::Column(_)) {
        return "match key".to_owned();
    }
    let mut words = vec![match field.when {
        When::Always => "always",
        When::IfEmpty => "only if empty",
    }];
    if field.on_conflict == OnConflict::Keep {
        words.push("keep others' changes");
    }
    if one.nulls == NullPolicy::Keep {
        words.push("NULL keeps what is there");
    }
    words.join(", ")
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Wanted {
    key: String,
}

/// Leads to the record that a form asked for.
pub(super) async fn find(
    Path((job, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> axum::response::Redirect {
    axum::response::Redirect::to(&paths::record(&job, &name, wanted.key.trim()))
}

/// Writes into a record that are told at once; older ones are a link away.
const WRITES_MAX: usize = 25;
/// Runs named of which it is not known what they wrote.
const UNKNOWN_SHOWN_MAX: usize = 20;

/// Which part of a record's history an address asks for.
#[derive(Debug, Default, serde::Deserialize)]
pub(super) struct PartWanted {
    /// `next` of the part before.
    pub(super) before: Option<i64>,
}

/// What is known to have been written into one record's row, as `history` tells it: a part.
pub(super) async fn biography(
    house: &House,
    of: RecordOf<'_>,
    wanted: &PartWanted,
) -> Result<RecordHistory, Refusal> {
    let project = house.project()?;
    let checked = house.job(&project, of.job)?;
    house.write_back(&checked, of.write_back)?;
    let (ledger, before) = (&house.ledger, wanted.before);
    Ok(history::part_of_record(&project, ledger, of, WRITES_MAX, before).await?)
}

pub(super) async fn record(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((job, name, key)): Path<(String, String, String)>,
    Query(wanted): Query<PartWanted>,
) -> Result<Markup, Refusal> {
    frame.caller.expect_job(&job)?;
    let of = RecordOf {
        job: &job,
        write_back: &name,
        record: &key,
    };
    let told = biography(&house, of, &wanted).await?;
    let parked = tending::parked_record(&house, &job, &name, &key).await?;
    let values = house.shows_values_to(frame.caller.role);
    let content = html! {
        @if let Some(parked) = &parked {
            p { span.chip.warn { "parked" } " until " (parts::until(&frame, parked.until)) ": " (parked.reason) }
        }
        @if frame.may(Role::Operator) { (tending::record_acts(&frame, &job, &name, &key, parked.is_some())?) }
        h2 #history { "History" }
        @if told.entries.is_empty() {
            p.empty { (nothing_told(&told, &wanted)) }
        } @else { (entries_table(&frame, &told.entries, values)) }
        @if !values { p.quiet { "Values are shown to operators and admins." } }
        (parts_links(&paths::record(&job, &name, &key), &told, &wanted))
        @if told.next.is_none() { p.quiet { @match &told.since {
            Some(since) => { "The journal reaches back to " a href=(paths::run(since.run)) { "run " (since.run) } ", " (frame.zone.time(since.started_at)) "." }
            None => "The journal is empty.",
        } } }
        (unknown_runs(&told.unknown))
        (parts::same(&format!("writeback history {name} --job {job} --record {key}")))
    };
    let above = [
        (paths::job(&job), job.as_str()),
        (paths::write_back(&job, &name), name.as_str()),
    ];
    Ok(frame.page_within(&parts::cut(&key), &above, content))
}

fn nothing_told(told: &RecordHistory, wanted: &PartWanted) -> &'static str {
    match (told.next, wanted.before) {
        (None, None) => "Nothing is known to have been written into this record.",
        (None, Some(_)) => "Nothing older is known to have been written into this record.",
        (Some(_), _) => "The latest batches did not write this record; older ones may have.",
    }
}

/// Links to the other parts of a history.
fn parts_links(address: &str, told: &RecordHistory, wanted: &PartWanted) -> Markup {
    html! { @if told.next.is_some() || wanted.before.is_some() {
        nav.pages aria-label="More" {
            @if wanted.before.is_some() { a href=(format!("{address}#history")) { "◂ Newest" } }
            @if let Some(next) = told.next { a href=(format!("{address}?before={next}#history")) { "Older ▸" } }
        }
    } }
}

/// Runs of which it is not known what they wrote: each of the first, and how many more there are.
fn unknown_runs(unknown: &[Unknown]) -> Markup {
    let shown = unknown.get(..UNKNOWN_SHOWN_MAX).unwrap_or(unknown);
    let rest = unknown.len() - shown.len();
    html! {
        @for one in shown {
            p.quiet { "What " a href=(paths::run(one.run.run)) { "run " (one.run.run) } " wrote is not known: " (one.why.words()) "." }
        }
        @if rest > 0 { p.quiet { "Nor is it of " (counted(rest, "more run")) "." } }
    }
}

fn entries_table(frame: &Frame, entries: &[Entry], values: bool) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="history" { table {
            thead { tr {
                th scope="col" { "by" } th scope="col" { "when" } th scope="col" { "cycle" }
                th scope="col" { "column" } @if values { th scope="col" { "old" } th scope="col" { "new" } }
            } }
            tbody { @for entry in entries { (entry_rows(frame, entry, values)) } }
        } }
    }
}

fn entry_rows(frame: &Frame, entry: &Entry, values: bool) -> Markup {
    let what = match entry.row {
        RowFate::Created => Some("the row was created"),
        RowFate::Removed => Some("the row was removed"),
        RowFate::Changed if entry.changes.is_empty() => Some("no value changed"),
        RowFate::Changed => None,
    };
    let rows = usize::from(what.is_some()) + entry.changes.len();
    let by = html! {
        th scope="row" rowspan=(rows) { @match entry.by {
            By::Run(kind) => { a href=(paths::run(entry.run)) { (kind.name()) " " (entry.run) }
                @if let Some(undo) = entry.undone_by { span.quiet { ", undone by " a href=(paths::run(undo)) { "run " (undo) } } }
                @if entry.in_doubt { span.warn { ", in doubt" } } }
            By::SomeoneElse => { span.warn { "someone else" } span.quiet { ", before run " (entry.run) } }
        } }
        td rowspan=(rows) { @if matches!(entry.by, By::Run(_)) { (frame.zone.time(entry.started_at)) } }
        td rowspan=(rows) { @if matches!(entry.by, By::Run(_)) { (parts::cut(&entry.cycle)) } }
    };
    let span = if values { 3 } else { 1 };
    html! {
        @if let Some(what) = what { tr { (by) td.quiet colspan=(span) { (what) } } }
        @for (index, change) in entry.changes.iter().enumerate() { tr {
            @if index == 0 && what.is_none() { (by) }
            td { (change.column) }
            @if values {
                td.long { @if entry.row != RowFate::Created { (value(change.before.as_deref())) } }
                td.long { (value(change.after.as_deref())) }
            }
        } }
    }
}

/// A value of a record; that there is none is no empty text.
fn value(text: Option<&str>) -> Markup {
    html! { @match text {
        None => span.quiet { "NULL" },
        Some("") => span.quiet { "(empty)" },
        Some(text) => (text),
    } }
}
