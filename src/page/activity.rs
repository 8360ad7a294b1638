//! What people and programs did, newest first.

use std::sync::Arc;

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use crate::ledger::Action;

/// Acts on a page.
const ACTIONS_MAX: u32 = 100;

#[derive(Debug, Deserialize)]
pub(super) struct Place {
    /// Only acts before this one.
    before: Option<i64>,
}

pub(super) async fn page(
    State(house): State<Arc<House>>,
    frame: Frame,
    Query(place): Query<Place>,
) -> Result<Markup, Refusal> {
    frame.caller.expect_every_job()?;
    let actions = house.ledger.actions(place.before, ACTIONS_MAX).await?;
    let older = actions
        .last()
        .filter(|last| last.action > 1)
        .map(|last| last.action);
    let content = html! {
        p.lead { "Who did what. Looking is not written down; " code { "writeback activity --verify" }
            " tells whether a row was altered." }
        @if actions.is_empty() { p.empty { "Nothing was done yet." } } @else {
            (table(&frame, &actions))
        }
        nav.pages aria-label="More" {
            @if place.before.is_some() { a href="/activity" { "◂ Newest" } }
            @if let Some(older) = older {
                a href=(format!("/activity?before={older}")) { "Older ▸" }
            }
        }
    };
    Ok(frame.page("Activity", content))
}

fn table(frame: &Frame, actions: &[Action]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Acts" {
            table {
                thead { tr {
                    th scope="col" { "act" } th scope="col" { "when" } th scope="col" { "who" }
                    th scope="col" { "through" } th scope="col" { "to what" } th scope="col" { "result" }
                } }
                tbody { @for action in actions { tr {
                    th scope="row" { (action.act) }
                    td { (frame.zone.time(action.at)) }
                    td { (who(action)) }
                    td { (action.through) @if let Some(from) = &action.address { ", " (from) } }
                    td { (action.target.as_deref().unwrap_or_default())
                        @if let Some(arguments) = &action.arguments { " " code { (arguments) } } }
                    td { @if action.result == "done" { span.good { "✓ done" } } @else {
                        span.bad { "✕ " (action.result) }
                    } }
                } } }
            }
        }
    }
}

fn who(action: &Action) -> String {
    match (&action.who, &action.role) {
        (Some(who), Some(role)) => format!("{who} · {role}"),
        (Some(who), None) => who.clone(),
        (None, _) => "nobody known".to_owned(),
    }
}
