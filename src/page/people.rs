//! Who may see the page: people with passwords, and programs with tokens. What is done here is what
//! `writeback page user` and `writeback page token` do, by admins of every job, and is written down.

use std::sync::Arc;
use std::time::Duration;

use axum::Form;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use chrono::Utc;
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::{acts, parts, paths};
use crate::access::{AccessToken, PASSWORD_CHARACTERS_MIN, Passcode, Person, Standing};
use crate::domain::access::Role;

/// How long a token is good if nobody says otherwise.
const TOKEN_LASTS: &str = "90d";

/// Who is to be let in, and as what.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Newcomer {
    pub(super) name: String,
    pub(super) role: String,
    /// The only job that is to be theirs; empty, all of them are.
    #[serde(default)]
    pub(super) job: String,
}

impl Newcomer {
    /// Errors: there is no such role, or no such job.
    fn standing(&self, house: &House) -> Result<Standing, Refusal> {
        let role = Role::parse(&self.role)
            .map_err(|why| Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, why))?;
        let job = match self.job.trim() {
            "" => None,
            job => Some(house.job(&house.project()?, job)?.job.name),
        };
        Ok(Standing { role, job })
    }
}

/// As the command line tells it: `ada, operator of referral`.
fn told(name: &str, standing: &Standing) -> String {
    let of = standing.job.as_ref().map(|job| format!(" of {job}"));
    format!("{name}, {}{}", standing.role.name(), of.unwrap_or_default())
}

/// Lets somebody in. Errors: the name is taken, or the password too short.
pub(super) async fn add_person(
    house: &House,
    frame: &Frame,
    new: &Newcomer,
    password: String,
) -> Result<(), Refusal> {
    frame.caller.expect_every_job()?;
    let standing = new.standing(house)?;
    let target = told(&new.name, &standing);
    let added = house
        .access
        .add_person(&new.name, &standing, password)
        .await;
    let added = added.map_err(Refusal::from);
    acts::recorded(house, frame, "add user", &target, added).await
}

/// Lets somebody in no more. Errors: there is nobody of that name.
pub(super) async fn remove_person(house: &House, frame: &Frame, name: &str) -> Result<(), Refusal> {
    frame.caller.expect_every_job()?;
    let removed = house.access.remove_person(name).await;
    let removed = removed.map_err(Refusal::from);
    acts::recorded(house, frame, "remove user", name, removed).await
}

/// Makes a token. Errors: the name is taken, or the duration is none.
pub(super) async fn add_token(
    house: &House,
    frame: &Frame,
    new: &Newcomer,
    lasts: Option<&str>,
) -> Result<Passcode, Refusal> {
    frame.caller.expect_every_job()?;
    let standing = new.standing(house)?;
    let lasts = lasts.map(str::trim).filter(|text| !text.is_empty());
    let lasts: Duration =
        humantime::parse_duration(lasts.unwrap_or(TOKEN_LASTS)).map_err(|why| {
            let title = format!("that is no duration: {why}");
            Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, title).hint("write `90d`, or `12h`")
        })?;
    let target = told(&new.name, &standing);
    let (role, job) = (standing.role, standing.job.as_deref());
    let made = house.access.add_token(&new.name, role, job, lasts).await;
    let made = made.map_err(Refusal::from);
    acts::recorded(house, frame, "add token", &target, made).await
}

/// Makes a token good for nothing. Errors: there is none of that name.
pub(super) async fn remove_token(house: &House, frame: &Frame, name: &str) -> Result<(), Refusal> {
    frame.caller.expect_every_job()?;
    let removed = house.access.remove_token(name).await;
    let removed = removed.map_err(Refusal::from);
    acts::recorded(house, frame, "remove token", name, removed).await
}

/// Ends a session. Errors: there is none of that number.
pub(super) async fn end_session(house: &House, frame: &Frame, session: i64) -> Result<(), Refusal> {
    let target = format!("session {session}");
    let ended = house.access.end_session(session).await;
    let ended = ended.map_err(Refusal::from);
    acts::recorded(house, frame, "end session", &target, ended).await
}

/// What a form for a person brings.
#[derive(Deserialize)]
pub(super) struct PersonForm {
    #[serde(flatten)]
    new: Newcomer,
    password: String,
}

/// What a form for a token brings.
#[derive(Debug, Deserialize)]
pub(super) struct TokenForm {
    #[serde(flatten)]
    new: Newcomer,
    #[serde(default)]
    expires: String,
}

pub(super) async fn people(
    State(house): State<Arc<House>>,
    frame: Frame,
) -> Result<Markup, Refusal> {
    people_page(&house, &frame, &Newcomer::default(), None).await
}

pub(super) async fn new_person(
    State(house): State<Arc<House>>,
    frame: Frame,
    Form(form): Form<PersonForm>,
) -> Result<Response, Refusal> {
    match add_person(&house, &frame, &form.new, form.password).await {
        Ok(()) => Ok(Redirect::to("/people").into_response()),
        Err(refusal) if is_about_the_form(&refusal) => {
            let page = people_page(&house, &frame, &form.new, Some(&refusal)).await?;
            Ok((refusal.status(), page).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

/// Whether another form could be taken.
fn is_about_the_form(refusal: &Refusal) -> bool {
    matches!(
        refusal.status(),
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT | StatusCode::NOT_FOUND
    )
}

pub(super) async fn person_removed(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(name): Path<String>,
) -> Result<Redirect, Refusal> {
    remove_person(&house, &frame, &name).await?;
    Ok(Redirect::to("/people"))
}

async fn people_page(
    house: &House,
    frame: &Frame,
    new: &Newcomer,
    refused: Option<&Refusal>,
) -> Result<Markup, Refusal> {
    frame.caller.expect_every_job()?;
    let people = house.access.people().await?;
    let jobs = house
        .load()
        .map_or(Vec::new(), |project| project.job_names());
    let content = html! {
        (others("/tokens", "Tokens", "let programs in"))
        h2 #people { "People" }
        @if people.is_empty() { p.empty { "Nobody has a password: people come in by links that "
            code { "writeback page link" } " prints." } }
        @else { (people_table(frame, &people)) }
        h2 #new { "Let somebody in" }
        @if let Some(refused) = refused { div #wrong role="alert" { (refused.words()) } }
        form.sheet method="post" action="/people" {
            (newcomer_fields(new, &jobs, refused.is_some()))
            label for="password" { "Password" }
            input #password name="password" type="password" autocomplete="new-password" required
                minlength=(PASSWORD_CHARACTERS_MIN) aria-describedby="long";
            p.quiet #long { (PASSWORD_CHARACTERS_MIN) " characters or more; a few words in a row are easy to remember." }
            button.primary { "Let them in" }
        }
        (parts::same("writeback page user add NAME --role ROLE"))
    };
    Ok(frame.page_within("People", &[("/account".to_owned(), "Account")], content))
}

fn others(address: &str, name: &str, what: &str) -> Markup {
    html! { p { a href=(address) { (name) } " " (what) "." } }
}

fn newcomer_fields(new: &Newcomer, jobs: &[String], refused: bool) -> Markup {
    let roles = [
        (Role::Viewer, "looks"),
        (Role::Operator, "runs, tests and parks too"),
        (Role::Admin, "decides, and lets others in"),
    ];
    html! {
        label for="name" { "Name" }
        input #name name="name" value=(new.name) required maxlength="64" autocomplete="off"
            aria-describedby=[refused.then_some("wrong")];
        label for="role" { "Role" }
        select #role name="role" { @for (role, what) in roles {
            option value=(role.name()) selected[role.name() == new.role] { (role.name()) ": " (what) }
        } }
        label for="job" { "Only this job, with its agencies" }
        input #job name="job" value=(new.job) list="jobs" autocomplete="off" placeholder="all of them";
        datalist #jobs { @for job in jobs { option value=(job) {} } }
    }
}

fn people_table(frame: &Frame, people: &[Person]) -> Markup {
    let now = Utc::now();
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="people" { table {
            thead { tr {
                th scope="col" { "name" } th scope="col" { "role" } th scope="col" { "job" }
                th scope="col" { "since" } th scope="col" { "remove" }
            } }
            tbody { @for person in people { tr {
                th scope="row" { (parts::cut(&person.name)) }
                td { (person.role.name()) } (job_cell(person.job.as_deref()))
                td { (frame.zone.time_and_age(person.made_at, now)) }
                td { (removal("people", &person.name, "They are signed out at once.")) }
            } } }
        } }
    }
}

fn job_cell(job: Option<&str>) -> Markup {
    html! { td { @match job { Some(job) => a href=(paths::job(job)) { (job) }, None => span.quiet { "all" } } } }
}

/// A button behind another, so that one press removes nobody.
fn removal(what: &str, name: &str, effect: &str) -> Markup {
    let shown = parts::cut(name);
    html! { details.act {
        summary.button aria-label=(format!("Remove {shown}…")) { "Remove…" }
        form method="post" action=(format!("/{what}/{}/remove", paths::encoded(name))) {
            p.quiet { (effect) }
            button { "Remove " (shown) }
        }
    } }
}

pub(super) async fn tokens(
    State(house): State<Arc<House>>,
    frame: Frame,
) -> Result<Markup, Refusal> {
    tokens_page(&house, &frame, &TokenForm::usual(), None).await
}

impl TokenForm {
    fn usual() -> Self {
        Self {
            new: Newcomer::default(),
            expires: TOKEN_LASTS.to_owned(),
        }
    }
}

/// What came of a form for a token.
enum Made<'a> {
    Token(&'a Passcode),
    Refused(&'a Refusal),
}

/// The token is shown in the answer, and never again.
pub(super) async fn new_token(
    State(house): State<Arc<House>>,
    frame: Frame,
    Form(form): Form<TokenForm>,
) -> Result<Response, Refusal> {
    match add_token(&house, &frame, &form.new, Some(&form.expires)).await {
        Ok(secret) => {
            let made = Some(Made::Token(&secret));
            let page = tokens_page(&house, &frame, &TokenForm::usual(), made).await?;
            Ok(page.into_response())
        }
        Err(refusal) if is_about_the_form(&refusal) => {
            let made = Some(Made::Refused(&refusal));
            let page = tokens_page(&house, &frame, &form, made).await?;
            Ok((refusal.status(), page).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

pub(super) async fn token_removed(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(name): Path<String>,
) -> Result<Redirect, Refusal> {
    remove_token(&house, &frame, &name).await?;
    Ok(Redirect::to("/tokens"))
}

async fn tokens_page(
    house: &House,
    frame: &Frame,
    form: &TokenForm,
    made: Option<Made<'_>>,
) -> Result<Markup, Refusal> {
    frame.caller.expect_every_job()?;
    let tokens = house.access.tokens().await?;
    let jobs = house
        .load()
        .map_or(Vec::new(), |project| project.job_names());
    let content = html! {
        (others("/people", "People", "sign in by name and password"))
        @if let Some(Made::Token(secret)) = &made {
            div.card role="status" {
                p { b { "The new token. " } "It is shown this once: keep it where the program finds it." }
                p { code { (secret.reveal()) } }
            }
        }
        h2 #tokens { "Tokens" }
        @if tokens.is_empty() { p.empty { "No program has a token." } }
        @else { (tokens_table(frame, &tokens)) }
        h2 #new { "Let a program in" }
        @if let Some(Made::Refused(refused)) = &made { div #wrong role="alert" { (refused.words()) } }
        form.sheet method="post" action="/tokens" {
            (newcomer_fields(&form.new, &jobs, matches!(made, Some(Made::Refused(_)))))
            label for="expires" { "Good for" }
            input #expires name="expires" value=(form.expires) required autocomplete="off" placeholder=(TOKEN_LASTS);
            button.primary { "Make a token" }
        }
        p.quiet { "A program sends it as " code { "Authorization: Bearer wb_…" } "; "
            code { "/api/v1/openapi.json" } " tells what it may ask for." }
        (parts::same("writeback page token add NAME --role ROLE --expires 90d"))
    };
    Ok(frame.page_within("Tokens", &[("/account".to_owned(), "Account")], content))
}

fn tokens_table(frame: &Frame, tokens: &[AccessToken]) -> Markup {
    let now = Utc::now();
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="tokens" { table {
            thead { tr {
                th scope="col" { "name" } th scope="col" { "role" } th scope="col" { "job" }
                th scope="col" { "since" } th scope="col" { "good until" } th scope="col" { "remove" }
            } }
            tbody { @for token in tokens { tr {
                th scope="row" { (parts::cut(&token.name)) }
                td { (token.role.name()) } (job_cell(token.job.as_deref()))
                td { (frame.zone.time_and_age(token.made_at, now)) }
                td { (frame.zone.time(token.expires_at))
                    @if token.expires_at <= now { " " span.chip.warn { "! expired" } } }
                td { (removal("tokens", &token.name, "It is good for nothing from then on.")) }
            } } }
        } }
    }
}
