//! Signing in, by a link that is good once or by a password, and out. Each is written down, and so
//! is what failed.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use super::door::{Caller, Lasts, Peer, cookie, session_cookie, set_cookie};
use super::frame::plain_page;
use super::house::House;
use super::refusal::Refusal;
use crate::access::{PasswordVerdict, Standing};
use crate::ledger::NewAction;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Whither {
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Given {
    name: String,
    password: String,
    #[serde(default)]
    next: Option<String>,
}

pub(super) async fn form(Query(whither): Query<Whither>) -> Markup {
    sign_in_page(whither.next.as_deref(), "", None)
}

fn sign_in_page(next: Option<&str>, name: &str, wrong: Option<&str>) -> Markup {
    let content = html! {
        @if let Some(wrong) = wrong {
            p.refused #wrong role="alert" { (wrong) }
        }
        form.sheet method="post" action="/login" {
            @if let Some(next) = next { input type="hidden" name="next" value=(next); }
            label for="name" { "Name" }
            input #name name="name" value=(name) autocomplete="username" required
                aria-describedby=[wrong.map(|_| "wrong")];
            label for="password" { "Password" }
            input #password name="password" type="password" autocomplete="current-password" required
                aria-describedby=[wrong.map(|_| "wrong")];
            button.primary { "Sign in" }
        }
        p.quiet {
            "No password? On the machine that serves, " code { "writeback page link" }
            " prints a link that lets you in."
        }
    };
    plain_page("Sign in", content)
}

pub(super) async fn with_password(
    State(house): State<Arc<House>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    Form(given): Form<Given>,
) -> Result<Response, Refusal> {
    let address = peer.told();
    let verdict = house
        .access
        .verdict(&given.name, given.password, &address)
        .await?;
    let told = |result| attempt(&given.name, "page", &address, result);
    match verdict {
        PasswordVerdict::Right => {
            house.ledger.record_action(&told("done")).await?;
            let next = given.next.as_deref();
            begin_session(&house, &headers, &given.name, None, &address, next).await
        }
        PasswordVerdict::Wrong => {
            house
                .ledger
                .record_action(&told("wrong name or password"))
                .await?;
            let wrong = "This name and this password do not belong together.";
            let page = sign_in_page(given.next.as_deref(), &given.name, Some(wrong));
            Ok((StatusCode::UNAUTHORIZED, page).into_response())
        }
        // Not written down: whoever knocks on a closed door could fill the ledger.
        PasswordVerdict::Closed { pause } => Ok(closed(&given.name, given.next.as_deref(), pause)),
    }
}

fn closed(name: &str, next: Option<&str>, pause: Duration) -> Response {
    let seconds = pause.as_secs();
    let wrong = format!("Too many wrong passwords. Try again in {seconds} s.");
    let page = sign_in_page(next, name, Some(&wrong));
    let after = [(header::RETRY_AFTER, seconds.to_string())];
    (StatusCode::TOO_MANY_REQUESTS, after, page).into_response()
}

/// The page that a link leads to. It does nothing yet: programs follow links to show what is there.
pub(super) async fn link(Path(code): Path<String>) -> Markup {
    let content = html! {
        form.sheet method="post" action=(format!("/enter/{code}")) {
            p { "This link lets one person in, once." }
            button.primary { "Sign in" }
        }
    };
    plain_page("Sign in", content)
}

pub(super) async fn with_link(
    State(house): State<Arc<House>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    Path(code): Path<String>,
) -> Result<Response, Refusal> {
    let address = peer.told();
    let Some((name, standing)) = house.access.use_link(&code).await? else {
        let refused = NewAction {
            who: None,
            ..attempt("", "link", &address, "the link is not good any more")
        };
        house.ledger.record_action(&refused).await?;
        let title = "this link was used already, or is older than five minutes";
        let hint = "`writeback page link` prints another";
        return Err(Refusal::new(StatusCode::FORBIDDEN, title).hint(hint));
    };
    let entered = NewAction {
        role: Some(standing.role.name()),
        ..attempt(&name, "link", &address, "done")
    };
    house.ledger.record_action(&entered).await?;
    begin_session(&house, &headers, &name, Some(&standing), &address, None).await
}

/// Whoever was signed in with this browser before is signed out.
async fn begin_session(
    house: &House,
    headers: &HeaderMap,
    name: &str,
    standing: Option<&Standing>,
    address: &str,
    next: Option<&str>,
) -> Result<Response, Refusal> {
    let cookie_name = session_cookie(house);
    if let Some(before) = cookie(headers, cookie_name)
        && let Some(session) = house.access.session_of(before).await?
    {
        house.access.end_session(session.session).await?;
    }
    let secret = house.access.begin_session(name, standing, address).await?;
    let handed = set_cookie(house, cookie_name, secret.reveal(), Lasts::Session);
    let headers = AppendHeaders([(header::SET_COOKIE, handed)]);
    Ok((headers, Redirect::to(own_place(next))).into_response())
}

/// A place of this page: an address that leads elsewhere leads to the overview.
pub(super) fn own_place(place: Option<&str>) -> &str {
    let own = |place: &&str| {
        place.starts_with('/')
            && !place.starts_with("//")
            && !place.contains(['\\', '\r', '\n', '\t'])
    };
    place.filter(own).unwrap_or("/")
}

pub(super) async fn out(
    State(house): State<Arc<House>>,
    axum::Extension(caller): axum::Extension<Caller>,
) -> Result<Response, Refusal> {
    if let Some(session) = caller.session() {
        house.access.end_session(session).await?;
    }
    let action = caller.action("sign out", "done");
    house.ledger.record_action(&action).await?;
    let taken = set_cookie(&house, session_cookie(&house), "", Lasts::Not);
    let headers = AppendHeaders([(header::SET_COOKIE, taken)]);
    Ok((headers, Redirect::to("/login")).into_response())
}

fn attempt<'a>(
    name: &'a str,
    through: &'a str,
    address: &'a str,
    result: &'a str,
) -> NewAction<'a> {
    NewAction {
        who: Some(name),
        role: None,
        through,
        address: Some(address),
        act: "sign in",
        target: None,
        arguments: None,
        seen: None,
        result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_to_this_page_only() {
        assert_eq!(own_place(Some("/runs/12?tz=UTC")), "/runs/12?tz=UTC");
        for elsewhere in [
            "//evil.com",
            "https://evil.com",
            "/\\evil.com",
            "javascript:alert(1)",
            "",
            "/\r\nSet-Cookie: a=b",
        ] {
            assert_eq!(own_place(Some(elsewhere)), "/", "{elsewhere}");
        }
        assert_eq!(own_place(None), "/");
    }
}
