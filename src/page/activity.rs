//! What people and programs did, newest first.

use std::sync::Arc;

use axum::extract::{Query, State};
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use crate::ledger::{Action, ActionsWanted, DONE};

/// Acts on a page.
const ACTIONS_MAX: u32 = 100;

/// Which acts an address asks for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Filter {
    #[serde(default)]
    act: String,
    #[serde(default)]
    who: String,
    #[serde(default)]
    target: String,
    /// `done` or `refused`; anything else, both.
    #[serde(default)]
    result: String,
    /// Only acts before this one.
    before: Option<i64>,
}

const REFUSED: &str = "refused";

impl Filter {
    fn wanted(&self) -> ActionsWanted {
        let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        ActionsWanted {
            act: given(&self.act),
            who: given(&self.who),
            target: given(&self.target),
            is_done: match self.result.as_str() {
                DONE => Some(true),
                REFUSED => Some(false),
                _ => None,
            },
            before: self.before,
        }
    }

    fn is_whole(&self) -> bool {
        let texts = [&self.act, &self.who, &self.target, &self.result];
        texts.iter().all(|text| text.is_empty())
    }

    /// The same acts from another one on.
    fn address(&self, before: Option<i64>) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let texts = [
            ("act", &self.act),
            ("who", &self.who),
            ("target", &self.target),
            ("result", &self.result),
        ];
        for (name, text) in texts.iter().filter(|(_, text)| !text.is_empty()) {
            query.append_pair(name, text);
        }
        if let Some(before) = before {
            query.append_pair("before", &before.to_string());
        }
        format!("/activity?{}", query.finish())
    }
}

pub(super) async fn page(
    State(house): State<Arc<House>>,
    frame: Frame,
    Query(filter): Query<Filter>,
) -> Result<Markup, Refusal> {
    frame.caller.expect_every_job()?;
    let wanted = filter.wanted();
    let actions = house.ledger.actions(&wanted, ACTIONS_MAX).await?;
    let acts = house.ledger.acts().await?;
    let is_full = actions.len() == ACTIONS_MAX as usize;
    let older = actions.last().filter(|_| is_full).map(|last| last.action);
    let content = html! {
        p.lead { "Who did what. Looking is not written down; " code { "writeback activity --verify" }
            " tells whether a row was altered." }
        (filter_form(&filter, &acts))
        @if actions.is_empty() {
            p.empty { @if filter.is_whole() { "Nothing was done yet." } @else { "No such act." } }
        } @else {
            (table(&frame, &actions))
        }
        nav.pages aria-label="More" {
            @if filter.before.is_some() { a href=(filter.address(None)) { "◂ Newest" } }
            @if let Some(older) = older { a href=(filter.address(Some(older))) { "Older ▸" } }
        }
    };
    Ok(frame.page("Activity", content))
}

fn filter_form(filter: &Filter, acts: &[String]) -> Markup {
    html! {
        form.line.filter method="get" action="/activity" {
            label for="act" { "Act" }
            select #act name="act" {
                option value="" { "any" }
                @for act in acts { option value=(act) selected[*act == filter.act] { (act) } }
            }
            label for="who" { "Who" }
            input #who name="who" value=(filter.who) size="12";
            label for="target" { "To what" }
            input #target name="target" value=(filter.target) size="12";
            label for="result" { "Result" }
            select #result name="result" {
                option value="" { "any" }
                @for result in [DONE, REFUSED] {
                    option value=(result) selected[result == filter.result] { (result) }
                }
            }
            button { "Show" }
            @if !filter.is_whole() { a href="/activity" { "Show all" } }
        }
    }
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
                    td { @if action.result == DONE { span.good { "✓ done" } } @else {
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
