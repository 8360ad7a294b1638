//! History, newest first; one run in full; and the records that it rejected.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use chrono::Utc;
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::{acts, parts, paths};
use crate::domain::access::{Right, Role};
use crate::domain::outcome::{Rejection, Stage, grouped};
use crate::domain::printable::harmless;
use crate::ledger::{
    BatchEntry, GROUPS_KEPT, RejectedWanted, RejectionGroup, RetryWish, RunEntry, RunStatus,
    RunsWanted, WriteBackEntry, WriteBackId,
};
use crate::report::account;
use crate::run::place::LEFT_ALONE_MAX;

/// Runs, or rejected records, on a page.
pub(super) const ROWS_MAX: u32 = 100;
/// Batches on a run's page: more is for programs to read.
const BATCHES_SHOWN_MAX: usize = 200;
/// Rejected records taken from the ledger at once for a download.
const DOWNLOADED_AT_ONCE: u32 = 1_000;

/// Which runs an address asks for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    job: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    cycle: String,
    before: Option<i64>,
}

impl Filter {
    pub(super) fn wanted(&self) -> RunsWanted<'_> {
        let status = RunStatus::ALL
            .into_iter()
            .find(|status| status.name() == self.status);
        RunsWanted {
            job: Some(self.job.as_str()).filter(|job| !job.is_empty()),
            within: None,
            status,
            cycle: Some(self.cycle.as_str()).filter(|cycle| !cycle.is_empty()),
            before: self.before,
        }
    }

    fn address(&self, before: Option<i64>) -> String {
        format!("/runs?{}", self.query(before))
    }

    fn query(&self, before: Option<i64>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [
            ("job", &self.job),
            ("status", &self.status),
            ("cycle", &self.cycle),
        ] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if let Some(before) = before {
            query.append_pair("before", &before.to_string());
        }
        query.finish()
    }
}

pub(super) async fn list(
    State(house): State<Arc<House>>,
    frame: Frame,
    Query(filter): Query<Filter>,
) -> Result<Markup, Refusal> {
    let wanted = RunsWanted {
        within: frame.caller.job.as_deref(),
        ..filter.wanted()
    };
    let runs = house.ledger.runs_wanted(wanted, ROWS_MAX).await?;
    let mut jobs = house
        .load()
        .map(|project| project.job_names())
        .unwrap_or_default();
    jobs.retain(|job| frame.caller.may_see(job));
    let older = runs
        .last()
        .filter(|_| runs.len() == ROWS_MAX as usize)
        .map(|last| last.run);
    let content = html! {
        (filter_form(&filter, &jobs))
        @if runs.is_empty() { p.empty { "No such run." } } @else {
            (parts::runs_table(&frame, "Runs, newest first", &runs, true))
            p { a.button href=(format!("/runs.csv?{}", filter.query(None))) { "Download CSV" } }
        }
        nav.pages aria-label="More" {
            @if filter.before.is_some() { a href=(filter.address(None)) { "◂ Newest" } }
            @if let Some(older) = older { a href=(filter.address(Some(older))) { "Older ▸" } }
        }
        (parts::same("writeback runs"))
    };
    Ok(frame.page("Runs", content))
}

fn filter_form(filter: &Filter, jobs: &[String]) -> Markup {
    html! {
        form.line.filter method="get" action="/runs" {
            label for="job" { "Job" }
            select #job name="job" {
                option value="" { "any" }
                @for job in jobs { option value=(job) selected[*job == filter.job] { (job) } }
            }
            label for="status" { "Ended" }
            select #status name="status" {
                option value="" { "in any way" }
                @for status in RunStatus::ALL {
                    option value=(status.name()) selected[status.name() == filter.status] { (parts::status_words(status)) }
                }
            }
            label for="cycle" { "Cycle" }
            input #cycle name="cycle" value=(filter.cycle) size="12";
            button { "Show" }
        }
    }
}

pub(super) async fn page(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(run): Path<i64>,
) -> Result<Markup, Refusal> {
    let entry = house.run_for(&frame, run).await?;
    let batches = house.ledger.batches(run).await?;
    let mut left_alone = Vec::new();
    for (write_back, position) in entry.write_backs.iter().zip(0..) {
        let id = WriteBackId { run, position };
        for record in house.ledger.left_alone(id, LEFT_ALONE_MAX).await? {
            left_alone.push((write_back.name.as_str(), record));
        }
    }
    let tally = parts::tally_of(&entry);
    let content = html! {
        p.lead { (parts::status(entry.status)) @if let Some(kind) = parts::kind(&entry) { " " (kind) } }
        @if entry.status == RunStatus::Running {
            (acts::progress(&entry))
            @if frame.may(Role::Operator) { p { a.button href=(format!("/runs/{run}/stop")) { "Stop…" } } }
        }
        @if frame.caller.holds(Right::Undo) && parts::can_be_undone(&entry) {
            p { a.button href=(format!("/runs/{run}/undo")) { "Take it back…" } }
        }
        (stopped(&frame, &entry, house.shows_values_to(frame.caller.role)))
        (parts::sum(&tally))
        (facts(&frame, &entry))
        h2 #write-backs { "Write-backs" }
        (write_backs_table(&entry))
        @if !left_alone.is_empty() {
            h2 #parked { "Left alone" }
            ul { @for (write_back, record) in &left_alone {
                li { a.key href=(paths::record(&entry.job, write_back, &record.key)) { (parts::cut(&record.key)) } ": " (record.reason) }
            } }
        }
        @if !batches.is_empty() { (batches_table(&batches)) }
        (parts::same(&format!("writeback runs {run}")))
    };
    let above = [
        ("/runs".to_owned(), "Runs"),
        (paths::job(&entry.job), entry.job.as_str()),
    ];
    Ok(frame.page_within(&format!("Run {run}"), &above, content))
}

/// Why guards stopped it, who let it go ahead, or why it could not finish.
fn stopped(frame: &Frame, run: &RunEntry, values: bool) -> Markup {
    html! {
        @if !run.guards.is_empty() {
            div.card {
                p { b { "Guards stopped it before its first write:" } }
                ul { @for objection in &run.guards {
                    li { (parts::quoted(&objection.to_string())) }
                } }
                @match &run.approval {
                    Some(approval) => p {
                        "Approved by " (approval.approved_by.as_deref().unwrap_or("somebody")) ", " (frame.zone.time(approval.approved_at))
                        @if let Some(reason) = &approval.reason { ": " (parts::cut(reason)) } "."
                    },
                    None => {
                        @if run.status == RunStatus::Guarded && frame.caller.holds(Right::Approve) {
                            p { a.button href=(format!("/runs/{}/approve", run.run)) { "Look and decide…" } }
                        }
                        p.quiet {
                            "It goes ahead when somebody lets it: "
                            code { "writeback run " (run.job) " --cycle " (run.cycle) " --approve" }
                        }
                    },
                }
            }
        }
        @if let Some(error) = run.error.as_ref().filter(|_| run.status != RunStatus::Guarded) {
            p.refused { @if values { (error) } @else { "It could not finish; operators see why." } }
        }
    }
}

fn facts(frame: &Frame, run: &RunEntry) -> Markup {
    html! {
        dl.facts {
            dt { "Cycle" } dd { (run.cycle) ", completed " (frame.zone.time(run.cycle_completed_at)) }
            dt { "Started" } dd { (frame.zone.time_and_age(run.started_at, Utc::now())) }
            @if let Some(finished_at) = run.finished_at {
                dt { "Finished" } dd { (frame.zone.time(finished_at)) ", after " (parts::took(run).unwrap_or_default()) }
            }
            @for calls in &run.calls { dt { "Calls made" } dd { (account::made(calls)) } }
            @if let Some(plan) = &run.plan { dt { "Plan" } dd.key { "SHA-256 " (plan) } }
        }
    }
}

fn write_backs_table(run: &RunEntry) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="write-backs" { table {
            thead { tr {
                th scope="col" { "write-back" } th.num scope="col" { "read" } th.num scope="col" { "inserted" }
                th.num scope="col" { "updated" } th.num scope="col" { "unchanged" } th.num scope="col" { "skipped" }
                th.num scope="col" { "rejected" } th.num scope="col" { "batches" } th.num scope="col" { "took" }
            } }
            tbody { @for one in &run.write_backs { (write_back_row(run, one)) } }
        } }
    }
}

fn write_back_row(run: &RunEntry, one: &WriteBackEntry) -> Markup {
    let tally = &one.tally;
    html! { tr {
        th scope="row" { a href=(paths::write_back(&run.job, &one.name)) { (one.name) }
            @if run.status == RunStatus::Failed && tally.read > tally.accounted() {
                " " span.chip.bad { "✕ " (grouped(tally.read - tally.accounted())) " not written" } }
            @if one.in_doubt > 0 { " " span.chip.warn { (grouped(one.in_doubt)) " in doubt" } }
            @if let Some(canary) = &one.canary { " " span.chip { "canary of " (grouped(canary.records)) " checked" } } }
        td.num { (grouped(tally.read)) } td.num { (grouped(tally.inserted)) }
        td.num { (grouped(tally.updated)) @if tally.deleted > 0 { " + " (grouped(tally.deleted)) " deleted" } }
        td.num { (grouped(tally.unchanged)) } td.num { (grouped(tally.skipped)) }
        td.num { @if tally.rejected > 0 {
            a.bad href=(paths::rejected(run.run, &one.name)) { (grouped(tally.rejected)) }
        } @else { "0" } }
        td.num { (grouped(one.batches)) } td.num { (format!("{:.1} s", one.seconds)) }
    } }
}

fn batches_table(batches: &[BatchEntry]) -> Markup {
    let rest = batches.len().saturating_sub(BATCHES_SHOWN_MAX);
    html! {
        details open[batches.len() <= 20] {
            summary { h2 #batches { "Batches (" (grouped(batches.len() as u64)) ")" } }
            div.scroll tabindex="0" role="region" aria-labelledby="batches" { table {
                thead { tr {
                    th scope="col" { "write-back" } th.num scope="col" { "partition" } th.num scope="col" { "first" }
                    th.num scope="col" { "records" } th.num scope="col" { "attempts" } th scope="col" { "committed" }
                    th.num scope="col" { "took" }
                } }
                tbody { @for batch in batches.iter().take(BATCHES_SHOWN_MAX) { tr {
                    th scope="row" { (batch.write_back) } td.num { (batch.partition) } td.num { (grouped(batch.first.into())) }
                    td.num { (grouped(batch.records.into())) } td.num { (batch.attempts) }
                    td { @if batch.committed { "yes" } @else { span.warn { "in doubt" } } }
                    td.num { (format!("{:.1} s", batch.seconds)) }
                } } }
            } }
            @if rest > 0 { p.quiet { "… and " (grouped(rest as u64)) " more" } }
        }
    }
}

/// Which rejected records an address asks for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct RejectedFilter {
    #[serde(default)]
    stage: String,
    #[serde(default)]
    column: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    q: String,
    after: Option<u64>,
}

impl RejectedFilter {
    pub(super) fn wanted(&self) -> RejectedWanted<'_> {
        let given = |text: &'_ str| !text.is_empty();
        RejectedWanted {
            stage: Stage::ALL
                .into_iter()
                .find(|stage| stage.name() == self.stage),
            column: Some(self.column.as_str()).filter(|text| given(text)),
            reason: Some(self.reason.as_str()).filter(|text| given(text)),
            text: Some(self.q.as_str()).filter(|text| given(text)),
        }
    }

    /// After which position; none is larger than the ledger can keep.
    pub(super) fn after(&self) -> Option<u64> {
        self.after.map(|after| after.min(i64::MAX.unsigned_abs()))
    }

    /// What it is of, as a request tells it.
    pub(super) fn arguments(&self, run: i64, records: u64) -> RetryWish {
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        RetryWish {
            run: Some(run),
            stage: given(&self.stage),
            column: given(&self.column),
            reason: given(&self.reason),
            text: given(&self.q),
            records,
        }
    }

    /// What it asks for, for people.
    pub(super) fn told(&self) -> Vec<(&'static str, &str)> {
        let all = [
            ("Stage", &self.stage),
            ("Column", &self.column),
            ("Reason", &self.reason),
            ("Key or reason", &self.q),
        ];
        let given = all.into_iter().filter(|(_, text)| !text.is_empty());
        given.map(|(what, text)| (what, text.as_str())).collect()
    }

    /// The same in a form.
    pub(super) fn hidden(&self) -> Markup {
        let all = [
            ("stage", &self.stage),
            ("column", &self.column),
            ("reason", &self.reason),
            ("q", &self.q),
        ];
        html! { @for (name, value) in all { @if !value.is_empty() {
            input type="hidden" name=(name) value=(value);
        } } }
    }

    fn is_whole(&self) -> bool {
        [&self.stage, &self.column, &self.reason, &self.q]
            .iter()
            .all(|text| text.is_empty())
    }

    fn query(&self, after: Option<u64>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let texts = [
            ("stage", &self.stage),
            ("column", &self.column),
            ("reason", &self.reason),
            ("q", &self.q),
        ];
        for (name, value) in texts {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if let Some(after) = after {
            query.append_pair("after", &after.to_string());
        }
        query.finish()
    }

    fn of_group(group: &RejectionGroup) -> Self {
        Self {
            stage: group.stage.clone(),
            column: group.column.clone().unwrap_or_default(),
            reason: group.reason.clone(),
            ..Self::default()
        }
    }
}

pub(super) async fn rejected(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((run, name)): Path<(i64, String)>,
    Query(filter): Query<RejectedFilter>,
) -> Result<Markup, Refusal> {
    let entry = house.run_for(&frame, run).await?;
    let (id, one) = house.write_back_of(&entry, &name)?;
    let values = house.shows_values_to(frame.caller.role);
    let groups = house.ledger.rejection_groups(id, GROUPS_KEPT).await?;
    let found = house
        .ledger
        .rejections_wanted(id, filter.wanted(), filter.after(), ROWS_MAX)
        .await?;
    let matching = match filter.is_whole() {
        true => one.tally.rejected,
        false => house.ledger.count_rejections(id, filter.wanted()).await?,
    };
    let address = paths::rejected(run, &name);
    let run_name = format!("Run {run}");
    let older = found
        .last()
        .filter(|_| found.len() == ROWS_MAX as usize)
        .map(|last| last.record);
    let content = html! {
        p.lead { (grouped(one.tally.rejected)) " rejected of " (grouped(one.tally.read)) " read" }
        @if one.tally.rejected > 0 {
            h2 #reasons { "By reason" }
            (groups_table(&address, &groups, values))
            h2 #records { "Records" }
            (rejected_form(&address, &filter))
            p.line { span { b { (grouped(matching)) } " match" }
                a.button href=(format!("{address}.csv?{}", filter.query(None))) { "Download CSV" }
                @if frame.may(Role::Operator) && matching > 0 {
                    a.button href=(format!("/runs/{run}/{}/chosen?{}", paths::encoded(&name), filter.query(None))) { "Take again or park these…" }
                } }
            @if found.is_empty() { p.empty { "No rejected record matches." } }
            @else { (rejections_table(&entry.job, &name, &found, values)) }
            nav.pages aria-label="More" {
                @if filter.after.is_some() { a href=(format!("{address}?{}", filter.query(None))) { "◂ First" } }
                @if let Some(older) = older { a href=(format!("{address}?{}", filter.query(Some(older)))) { "Next ▸" } }
            }
        }
        (parts::same(&format!("writeback runs {run}")))
    };
    let above = [
        ("/runs".to_owned(), "Runs"),
        (paths::run(run), run_name.as_str()),
        (paths::write_back(&entry.job, &name), name.as_str()),
    ];
    Ok(frame.page_within("Rejected records", &above, content))
}

fn groups_table(address: &str, groups: &[RejectionGroup], values: bool) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="reasons" { table {
            thead { tr {
                th scope="col" { "stage" } th scope="col" { "column" } th scope="col" { "reason" } th.num scope="col" { "records" }
            } }
            tbody { @for group in groups {
                @let query = RejectedFilter::of_group(group).query(None);
                tr {
                    th scope="row" { (group.stage) }
                    td { (group.column.as_deref().unwrap_or_default()) }
                    td.long { (reason(&group.reason, values || group.stage != Stage::Destination.name())) }
                    td.num { a href=(format!("{address}?{query}#records")) { (grouped(group.records)) } }
                }
            } }
        } }
    }
}

/// Why a record was rejected. A destination's own words may hold values.
fn reason(text: &str, shown: bool) -> Markup {
    html! { @if shown { (parts::cut(text)) } @else { span.quiet { "the destination's own words, for operators" } } }
}

fn rejected_form(address: &str, filter: &RejectedFilter) -> Markup {
    html! {
        form.line.filter method="get" action=(format!("{address}#records")) {
            label for="q" { "Key or reason" }
            input #q name="q" type="search" value=(filter.q);
            label for="stage" { "Stage" }
            select #stage name="stage" {
                option value="" { "any" }
                @for stage in Stage::ALL {
                    option value=(stage.name()) selected[stage.name() == filter.stage] { (stage.name()) }
                }
            }
            @if !filter.reason.is_empty() { input type="hidden" name="reason" value=(filter.reason); }
            @if !filter.column.is_empty() { input type="hidden" name="column" value=(filter.column); }
            button { "Search" }
            @if !filter.is_whole() { a href=(format!("{address}#records")) { "Show all" } }
        }
    }
}

fn rejections_table(job: &str, write_back: &str, found: &[Rejection], values: bool) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="records" { table {
            thead { tr {
                th scope="col" { "key" } th scope="col" { "stage" } th scope="col" { "column" } th scope="col" { "reason" }
            } }
            tbody { @for one in found { tr {
                th.key scope="row" { @match &one.key {
                    Some(key) => a href=(paths::record(job, write_back, key)) { (parts::cut(key)) },
                    None => span.quiet { "none that could be read" },
                } }
                td { (one.stage) } td { (one.column.as_deref().unwrap_or_default()) }
                td.long { (reason(&one.reason, values || one.stage != Stage::Destination)) }
            } } }
        } }
    }
}

/// The same records as `rejected.csv` beside the run holds them, piece by piece.
pub(super) async fn download(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((run, name)): Path<(i64, String)>,
    Query(filter): Query<RejectedFilter>,
) -> Result<Response, Refusal> {
    let entry = house.run_for(&frame, run).await?;
    let (id, _) = house.write_back_of(&entry, &name)?;
    let values = house.shows_values_to(frame.caller.role);
    let filter = Arc::new(filter);
    let begin = Some((None, true));
    let pieces = futures_util::stream::try_unfold(begin, move |state| {
        let (house, filter) = (Arc::clone(&house), Arc::clone(&filter));
        async move {
            let Some((after, first)) = state else {
                return Ok::<_, std::io::Error>(None);
            };
            let found = house
                .ledger
                .rejections_wanted(id, filter.wanted(), after, DOWNLOADED_AT_ONCE)
                .await
                .map_err(std::io::Error::other)?;
            let next = found
                .last()
                .filter(|_| found.len() == DOWNLOADED_AT_ONCE as usize)
                .map(|last| (Some(last.record), false));
            Ok(Some((lines(&found, first, values)?, next)))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"rejected.csv\"",
        ),
    ];
    Ok((headers, axum::body::Body::from_stream(pieces)).into_response())
}

fn lines(found: &[Rejection], first: bool, values: bool) -> Result<Vec<u8>, std::io::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if first {
        writer.write_record(["record", "key", "stage", "column", "reason"])?;
    }
    for one in found {
        let shown = values || one.stage != Stage::Destination;
        let reason = if shown { one.reason.as_str() } else { "" };
        let column = one.column.as_deref().unwrap_or_default();
        let key = one.key.as_deref().unwrap_or_default();
        let record = one.record.to_string();
        let cells = [&record, key, one.stage.name(), column, reason].map(harmless);
        writer.write_record(&cells)?;
    }
    writer.into_inner().map_err(|error| error.into_error())
}
