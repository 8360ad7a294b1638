//! The agencies of all jobs: what each has switched on, how much its file changes, and what waits.

use std::sync::Arc;

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::{parts, paths};
use crate::domain::counted::counted;
use crate::domain::outcome::grouped;
use crate::ledger::RunEntry;
use crate::report::agencies::AgencyFound;
use crate::report::pending;

/// An agency with what is known of its job.
pub(super) struct Seen {
    job: String,
    base: String,
    found: AgencyFound,
    pending: u64,
    last_run: Option<RunEntry>,
}

/// Every agency that somebody may see, in the order of their jobs.
pub(super) async fn see(house: &House, frame: &Frame) -> Result<Vec<Seen>, Refusal> {
    let project = house.project()?;
    let mut jobs = project.job_names();
    jobs.retain(|job| job.contains('/') && frame.caller.may_see(job));
    let names: Vec<&str> = jobs.iter().map(String::as_str).collect();
    let mut last_runs = house.ledger.last_runs(&names).await?;
    let pending = house.ledger.pending_of(&names).await?;
    let mut seen = Vec::new();
    for job in &jobs {
        let (base, agency) = job.split_once('/').unwrap_or((job, ""));
        seen.push(Seen {
            base: base.to_owned(),
            found: AgencyFound::of(&project, base, agency),
            pending: pending
                .get(job)
                .map_or(0, |pending| pending::count(pending)),
            last_run: last_runs.remove(job),
            job: job.clone(),
        });
    }
    Ok(seen)
}

impl Seen {
    /// Whether a text stands in how it is called, in whatever case.
    fn is_like(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let names = [Some(self.job.as_str()), self.found.called()];
        let mut names = names.into_iter().flatten();
        names.any(|name| name.to_lowercase().contains(&text))
    }

    pub(super) fn json(&self) -> Value {
        let mut told = self.found.json();
        if let Some(object) = told.as_object_mut() {
            object.insert("job".to_owned(), json!(self.job));
            object.insert("base".to_owned(), json!(self.base));
            object.insert("pending".to_owned(), json!(self.pending));
            let last = self.last_run.as_ref().map(|run| run.run);
            object.insert("last_run".to_owned(), json!(last));
        }
        told
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Search {
    #[serde(default)]
    q: String,
}

pub(super) async fn list(
    State(house): State<Arc<House>>,
    frame: Frame,
    Query(search): Query<Search>,
) -> Result<Markup, Refusal> {
    let mut seen = see(&house, &frame).await?;
    seen.retain(|one| one.is_like(search.q.trim()));
    let content = html! {
        form.line method="get" action="/agencies" {
            label for="q" { "Agency" }
            input #q name="q" type="search" value=(search.q);
            button { "Search" }
        }
        @if seen.is_empty() { p.empty { "No such agency." } } @else { (table(&frame, &seen)) }
        (parts::same("writeback agencies JOB"))
    };
    Ok(frame.page("Agencies", content))
}

fn table(frame: &Frame, seen: &[Seen]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Agencies" { table {
            thead { tr {
                th scope="col" { "agency" } th scope="col" { "called" } th scope="col" { "write-backs" }
                th.num scope="col" { "settings changed" } th.num scope="col" { "pending" } th scope="col" { "last run" }
            } }
            tbody { @for one in seen { tr {
                th scope="row" { a href=(paths::job(&one.job)) { (one.job) } }
                td { (one.found.called().unwrap_or("–")) }
                td { (switches(&one.found)) }
                td.num { a href=(paths::settings(&one.job)) { (one.found.changed) } }
                td.num { (grouped(one.pending)) }
                td { @if let Some(run) = &one.last_run {
                    a href=(paths::run(run.run)) { "run " (run.run) } ", " (frame.zone.time(run.started_at)) " " (parts::status(run.status))
                } @else { span.quiet { "never ran" } } }
            } } }
        } }
    }
}

/// What is switched on; why it cannot run, if it cannot.
fn switches(found: &AgencyFound) -> Markup {
    html! { @match &found.checked {
        Ok(checked) => {
            @for one in &checked.job.write_backs { div.nowrap { (one.name) ": "
                @if one.enabled { span.good { "✓ on" } } @else { span.quiet { "off" } } } }
        }
        Err(problems) => span.bad { "✕ cannot run: " (counted(problems.len(), "problem")) },
    } }
}
