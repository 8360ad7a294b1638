//! Dashboards: how each tells that it finished a cycle, and the cycles that were noticed.

use std::sync::Arc;

use axum::extract::{Path, State};
use maud::{Markup, html};

use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::{parts, paths, tending};
use crate::config::{Dashboard, Project, Signal};
use crate::domain::access::Role;
use crate::domain::method::Method;
use crate::ledger::cycles::{Noticed, Watch};

/// Cycles on a dashboard's page.
pub(super) const CYCLES_MAX: u32 = 50;

pub(super) async fn page(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(name): Path<String>,
) -> Result<Markup, Refusal> {
    frame.caller.expect_every_job()?;
    let project = house.project()?;
    let dashboard = house.dashboard(&project, &name)?;
    let cycles = house.ledger.cycles_noticed(&name, CYCLES_MAX).await?;
    let watches = house.ledger.watches().await?;
    let watch = watches.iter().find(|watch| watch.dashboard == name);
    let content = html! {
        (facts(&frame, &project, dashboard, watch))
        h2 #cycles { "Cycles" }
        @if frame.may(Role::Operator) && matches!(dashboard.signal, Signal::Announced) {
            (tending::announce_form(&name))
        }
        @if cycles.is_empty() { p.empty { "No cycle noticed yet." } }
        @else { (cycles_table(&frame, &cycles)) }
    };
    Ok(frame.page_within(&name, &[("/".to_owned(), "Dashboards")], content))
}

fn facts(frame: &Frame, project: &Project, dashboard: &Dashboard, watch: Option<&Watch>) -> Markup {
    let followers = followers(project, &dashboard.name);
    html! {
        dl.facts {
            dt { "A cycle is finished when" } dd { (told_by(&dashboard.signal)) }
            @if let Some(watch) = watch {
                dt { "Looked at" } dd { (frame.zone.time(watch.looked_at)) ": " (parts::quoted(&parts::cut(&watch.saw))) }
            }
            dt { "Followed by" } dd {
                @if followers.is_empty() { "no job" }
                @for (index, job) in followers.iter().enumerate() {
                    @if index > 0 { ", " } a href=(paths::job(job)) { (job) }
                }
            }
        }
    }
}

fn told_by(signal: &Signal) -> String {
    match signal {
        Signal::Marker { .. } => "a marker file says so".to_owned(),
        Signal::Query { connection, .. } => format!("a query on {connection} says so"),
        Signal::Clock { margin, .. } => {
            format!(
                "its clock has struck, and {} later",
                humantime::format_duration(*margin)
            )
        }
        Signal::Announced => "somebody announces it".to_owned(),
    }
}

fn followers(project: &Project, dashboard: &str) -> Vec<String> {
    let follows = |name: &String| {
        let checked = project.read_job(name);
        checked.is_ok_and(|checked| checked.job.dashboard() == Some(dashboard))
    };
    project.job_names().into_iter().filter(follows).collect()
}

fn cycles_table(frame: &Frame, cycles: &[Noticed]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="cycles" { table {
            thead { tr {
                th scope="col" { "cycle" } th scope="col" { "completed" } th scope="col" { "noticed" } th scope="col" { "runs" }
            } }
            tbody { @for noticed in cycles { tr {
                th scope="row" { (parts::cut(&noticed.cycle.id)) }
                td { (frame.zone.time(noticed.cycle.completed_at)) }
                td { (frame.zone.time(noticed.noticed_at)) }
                td { a href=(format!("/runs?cycle={}", paths::encoded_value(&noticed.cycle.id))) { "Show" } }
            } } }
        } }
    }
}

/// The value methods, each with its purpose and an example.
pub(super) async fn methods(frame: Frame) -> Markup {
    let content = html! {
        div.scroll tabindex="0" role="region" aria-label="Methods" { table {
            thead { tr { th scope="col" { "method" } th scope="col" { "purpose" } th scope="col" { "example" } } }
            tbody { @for method in Method::ALL { tr {
                th scope="row" { code { (method.name()) } }
                td.long { (method.purpose()) }
                td.long { code { (method.example()) } }
            } } }
        } }
        (parts::same("writeback methods"))
    };
    frame.page("Methods", content)
}
