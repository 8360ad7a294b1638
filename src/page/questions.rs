//! What a job's records were asked, to choose a question from: for each its words, how many
//! answered and which field takes it already. Choosing one writes nothing: it leads to the
//! difference in the file, as any setting does.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::{files, parts, paths, settings};
use crate::config::CheckedJob;
use crate::domain::access::Role;
use crate::domain::error::chain;
use crate::domain::field::{FieldValue, NullPolicy};
use crate::domain::job::{RecordsOf, WriteBack};
use crate::domain::outcome::grouped;
use crate::run::answers::QuestionFacts;
use crate::run::questions::{self, JobQuestions, Unread};

/// How long reading all records and their answers may take.
const READING_DURATION_MAX: Duration = Duration::from_secs(30);

/// The questions of a job, as `questions` tells them; whose one agency is, those of its records.
/// Errors: they cannot be read, or not in time.
pub(super) async fn of_job(
    house: &House,
    frame: &Frame,
    job: &str,
) -> Result<(CheckedJob, JobQuestions), Refusal> {
    frame.caller.expect_job(job)?;
    let project = house.project()?;
    house.job(&project, job)?;
    let checked = project.load_job(job).map_err(Refusal::mistakes)?;
    let reading = questions::of_job(&project, &checked.job);
    let read = tokio::time::timeout(READING_DURATION_MAX, reading).await;
    let late = |_| {
        let seconds = READING_DURATION_MAX.as_secs();
        let title = format!("the questions were not read within {seconds} s");
        let hint = format!("`writeback questions {job}` takes as long as it needs");
        Refusal::new(StatusCode::FAILED_DEPENDENCY, title).hint(hint)
    };
    let asked = read.map_err(late)?.map_err(unread)?;
    let mut asked = asked.unwrap_or_default();
    if let (Some(_), Some(agency)) = (&frame.caller.job, agency_of(&checked)) {
        asked
            .facts
            .retain(|_, facts| facts.agencies.contains(agency));
        for facts in asked.facts.values_mut() {
            facts.agencies.retain(|one| one == agency);
        }
    }
    Ok((checked, asked))
}

fn unread(error: Unread) -> Refusal {
    let told = chain(&error.source).join(": ");
    let title = format!(
        "{}: the questions could not be read: {told}",
        error.location
    );
    let refusal = Refusal::new(StatusCode::FAILED_DEPENDENCY, title);
    match error.source.hint() {
        Some(hint) => refusal.hint(hint),
        None => refusal,
    }
}

/// The agency whose records a job takes, as they name it.
fn agency_of(checked: &CheckedJob) -> Option<&str> {
    let mut all = checked.job.write_backs.iter();
    all.find_map(|one| match &one.records_of {
        RecordsOf::Agency { agency, .. } => Some(agency.as_str()),
        RecordsOf::All | RecordsOf::None | RecordsOf::Strangers { .. } => None,
    })
}

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    write_back: String,
}

pub(super) async fn page(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Markup, Refusal> {
    let (checked, asked) = of_job(&house, &frame, &job).await?;
    let one = house.write_back(&checked, &wanted.write_back)?;
    let edits = frame.may(Role::Admin)
        && house.settings.edit
        && files::may_edit(&frame, &settings::file_of(&job))
        && settings::path_of(one).is_some();
    let agency = agency_of(&checked);
    let is_own = |facts: &QuestionFacts| agency.is_none_or(|own| facts.agencies.contains(own));
    let mut sorted: Vec<(&String, &QuestionFacts)> = asked.facts.iter().collect();
    sorted.sort_by_key(|(_, facts)| !is_own(facts));
    let table = html! {
        div.scroll tabindex="0" role="region" aria-labelledby="questions" { table {
            thead { tr {
                @if edits { th scope="col" { "choose" } }
                th scope="col" { "question" } th scope="col" { "words" } th scope="col" { "asked by" }
                th.num scope="col" { "answered" } th scope="col" { "taken by" }
            } }
            tbody { @for (number, (id, facts)) in (1_usize..).zip(&sorted) {
                (question_row(one, (number, id), facts, (edits, asked.records)))
            } }
        } }
    };
    let content = html! {
        @if let Some(agency) = agency { p.lead { "Questions of " b { (agency) } " stand first." } }
        h2 #questions { "Questions" }
        @if sorted.is_empty() { p.empty { "No record was asked anything." } }
        @else if edits { form method="get" action=(format!("{}/change", paths::settings(&job))) {
            input type="hidden" name="write_back" value=(one.name);
            input type="hidden" name="what" value="field";
            input type="hidden" name="source" value="question";
            fieldset.plain { legend { "One of them fills a field of " (one.told_object()) } (table) }
            div.sheet {
                label for="field" { "Field" }
                input #field name="field" required list="fields";
                datalist #fields { @for field in &one.fields { option value=(field.column.text) {} } }
                label for="unanswered" { "A record that has no answer" }
                select #unanswered name="unanswered" { (settings::unanswered_options(one.nulls == NullPolicy::Keep)) }
                button.primary { "Show the difference" }
            }
        } } @else { (table) }
        (parts::same(&format!("writeback questions {job}")))
    };
    let above = [
        (paths::job(&job), job.as_str()),
        (paths::settings(&job), "Settings"),
    ];
    Ok(frame.page_within(&format!("Questions for {}", one.name), &above, content))
}

fn question_row(
    one: &WriteBack,
    (number, id): (usize, &str),
    facts: &QuestionFacts,
    (edits, records): (bool, u64),
) -> Markup {
    let agencies: Vec<&str> = facts.agencies.iter().map(String::as_str).collect();
    let answered = facts.answered;
    html! { tr {
        @if edits { td { input type="radio" name="value" value=(id) required id=(format!("q{number}")); } }
        th scope="row" { @if edits { label for=(format!("q{number}")) { (parts::cut(id)) } } @else { (parts::cut(id)) } }
        td.long { (parts::cut(facts.text.as_deref().unwrap_or("–"))) }
        td.long { (parts::cut(&agencies.join(", "))) }
        td.num { (grouped(answered)) " of " (grouped(records)) span.quiet { ", " (questions::share(answered, records)) } }
        td { (taken_by(one, id)) }
    } }
}

/// The fields that take the answers to a question.
fn taken_by(one: &WriteBack, id: &str) -> String {
    let asked = one.questions.iter().flat_map(|questions| &questions.asked);
    let column = asked
        .filter(|(question, _)| question == id)
        .map(|(_, column)| column.name.as_str())
        .next();
    let takes = |value: &FieldValue| {
        let FieldValue::Answer { column: taken, .. } = value else {
            return false;
        };
        let taken = one.columns().nth(*taken);
        column.is_some() && taken.map(|taken| taken.name.as_str()) == column
    };
    let fields = one.fields.iter().filter(|field| takes(&field.value));
    let names: Vec<&str> = fields.map(|field| field.column.text.as_str()).collect();
    names.join(", ")
}
