//! What is one's own: who one is here, the clock that instants are shown on, and the sessions that
//! are open.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use chrono::Utc;
use maud::{Markup, html};
use serde::Deserialize;

use super::clock::Zone;
use super::door::{Lasts, set_cookie};
use super::frame::{Frame, KEYS_COOKIE, KEYS_OFF, ZONE_COOKIE};
use super::house::House;
use super::people;
use super::refusal::Refusal;
use super::sign_in::own_place;
use crate::access::BrowserSession;
use crate::domain::access::Role;

/// Zones that are offered by name; any other may be typed.
const ZONES_OFFERED: [&str; 9] = [
    "UTC",
    "America/Los_Angeles",
    "America/New_York",
    "Europe/London",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Australia/Sydney",
];

pub(super) async fn page(State(house): State<Arc<House>>, frame: Frame) -> Result<Markup, Refusal> {
    let sessions = seen_by(&frame, house.access.sessions().await?);
    let content = html! {
        dl.facts {
            dt { "Signed in as" } dd { (frame.caller.name) }
            dt { "Role" } dd { (frame.caller.role.name())
                @if let Some(own) = &frame.caller.job { " of job " a href=(super::paths::job(own)) { (own) } " and no other" } }
        }
        @if frame.may(Role::Admin) && frame.caller.job.is_none() {
            p { "Who may see the page: " a href="/people" { "People" } " · " a href="/tokens" { "Tokens" } }
        }
        h2 #clock { "Clock" }
        (zone_form(&frame))
        h2 #keys { "Keys" }
        (keys_form(frame.keys))
        h2 #sessions { "Open sessions" }
        (sessions_table(&frame, &sessions))
    };
    Ok(frame.page("Account", content))
}

/// An admin sees all sessions, anybody else their own.
pub(super) fn seen_by(frame: &Frame, sessions: Vec<BrowserSession>) -> Vec<BrowserSession> {
    let sees_all = frame.may(Role::Admin) && frame.caller.job.is_none();
    let seen = |session: &BrowserSession| sees_all || session.name == frame.caller.name;
    sessions.into_iter().filter(seen).collect()
}

fn zone_form(frame: &Frame) -> Markup {
    html! {
        form.line method="post" action="/zone" {
            input type="hidden" name="back" value="/account";
            label for="zone" { "Show instants in" }
            input #zone name="zone" list="zones" value=(frame.zone.name()) required;
            datalist #zones { @for zone in ZONES_OFFERED { option value=(zone) {} } }
            button { "Use it" }
        }
    }
}

fn keys_form(on: bool) -> Markup {
    html! {
        @if on {
            p { "Single keys lead about where a script runs: " kbd { "?" } " tells which." }
        } @else {
            p { "Single keys lead nowhere." }
        }
        form.line method="post" action="/keys" {
            input type="hidden" name="keys" value=(if on { KEYS_OFF } else { "on" });
            button { @if on { "Switch them off" } @else { "Switch them on" } }
        }
    }
}

fn sessions_table(frame: &Frame, sessions: &[BrowserSession]) -> Markup {
    let now = Utc::now();
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="sessions" {
            table {
                thead { tr {
                    th scope="col" { "who" } th scope="col" { "role" } th scope="col" { "from" }
                    th scope="col" { "began" } th scope="col" { "last used" } th scope="col" { "end" }
                } }
                tbody { @for session in sessions { tr {
                    th scope="row" { (session.name) }
                    td { (session.role.name()) }
                    td { (session.address) }
                    td { (frame.zone.time_and_age(session.began_at, now)) }
                    td { (frame.zone.time_and_age(session.seen_at, now)) }
                    td { @if frame.caller.session() == Some(session.session) { "this one" } @else {
                        form method="post" action=(format!("/sessions/{}/end", session.session)) {
                            button { "End it" }
                        }
                    } }
                } } }
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Chosen {
    zone: String,
    #[serde(default)]
    back: Option<String>,
}

/// Keeps the zone in the browser; nothing is changed here.
pub(super) async fn choose_zone(
    State(house): State<Arc<House>>,
    Form(chosen): Form<Chosen>,
) -> Result<Response, Refusal> {
    let zone = Zone::parse(&chosen.zone)
        .map_err(|why| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why))?;
    let handed = set_cookie(&house, ZONE_COOKIE, zone.name(), Lasts::Year);
    let headers = AppendHeaders([(header::SET_COOKIE, handed)]);
    let back = Redirect::to(own_place(chosen.back.as_deref()));
    Ok((headers, back).into_response())
}

#[derive(Debug, Deserialize)]
pub(super) struct KeysChosen {
    keys: String,
}

/// Keeps in the browser whether single keys lead about.
pub(super) async fn choose_keys(
    State(house): State<Arc<House>>,
    Form(chosen): Form<KeysChosen>,
) -> Response {
    let lasts = match chosen.keys == KEYS_OFF {
        true => Lasts::Year,
        false => Lasts::Not,
    };
    let handed = set_cookie(&house, KEYS_COOKIE, KEYS_OFF, lasts);
    let headers = AppendHeaders([(header::SET_COOKIE, handed)]);
    (headers, Redirect::to("/account#keys")).into_response()
}

pub(super) async fn end_session(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(session): Path<i64>,
) -> Result<Redirect, Refusal> {
    end_known_session(&house, &frame, session).await?;
    Ok(Redirect::to("/account#sessions"))
}

/// Ends a session that somebody may see. Errors: there is none.
pub(super) async fn end_known_session(
    house: &House,
    frame: &Frame,
    session: i64,
) -> Result<(), Refusal> {
    let seen = seen_by(frame, house.access.sessions().await?);
    if !seen.iter().any(|known| known.session == session) {
        return Err(Refusal::absent(format!("there is no session {session}")));
    }
    people::end_session(house, frame, session).await
}
