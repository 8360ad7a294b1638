//! Switching a field of a write-back on or off for requests in real time. The switch itself writes
//! nothing: it leads to the difference in the file, and what is wrong with it, as any edit does.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use tokio::task::block_in_place;

use super::editing::{self, EditForm};
use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::{files, paths};
use crate::config::switch::switched;
use crate::config::writers::other_at_once;
use crate::domain::access::Role;
use crate::domain::field::Field;
use crate::domain::job::{Job, WriteBack};
use crate::domain::problem::Location;
use crate::domain::real_time;

/// What keeps a field from being switched on.
enum Kept {
    /// What it is.
    Never(&'static str),
    /// Another one that writes the same is on already.
    By {
        job: String,
        write_back: String,
        location: Location,
    },
}

/// What keeps a field from being switched on, whether or not it is.
fn kept_off(others: &[Job], one: &WriteBack, field: &Field) -> Option<Kept> {
    if one.creation.is_some() {
        return Some(Kept::Never("its rows are made beside the records"));
    }
    if let Some(why) = real_time::obstacle(field, &one.schema.key, one.mode) {
        return Some(Kept::Never(why.words()));
    }
    others.iter().find_map(|other| {
        let (there, theirs) = other_at_once((one, field), other)?;
        Some(Kept::By {
            job: other.name.clone(),
            write_back: there.name.clone(),
            location: theirs.location.clone(),
        })
    })
}

/// Whether requests may write a field, why not, and the switch for whoever may press it.
pub(super) fn cell(
    house: &House,
    frame: &Frame,
    (job, others): (&str, &[Job]),
    one: &WriteBack,
    field: &Field,
) -> Markup {
    let kept = kept_off(others, one, field);
    let may = frame.may(Role::Admin) && house.settings.edit;
    html! {
        @match &kept {
            Some(Kept::Never(why)) => span.quiet { "no: " (why) },
            Some(Kept::By { job, write_back, location }) if !field.real_time => {
                span.quiet { "no: written by " a href=(paths::write_back(job, write_back)) { (write_back) } ", "
                    a href=(files::address(&location.file, location.line)) { (location.file) ":" (location.line) } }
            }
            _ => {
                @if field.real_time { span.chip.good { "✓ on" } } @else { span.chip { "off" } }
                @if may { " " form.within method="get" action=(format!("{}/switch", paths::write_back(job, &one.name))) {
                    input type="hidden" name="field" value=(field.column.text);
                    input type="hidden" name="on" value=(!field.real_time);
                    button aria-label=(format!("Switch {} {}", if field.real_time { "off" } else { "on" }, field.column.text)) {
                        @if field.real_time { "Switch off" } @else { "Switch on" } }
                } }
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    field: String,
    #[serde(default)]
    on: bool,
}

/// The difference that a switch makes in the file. Errors: what keeps it from being pressed.
pub(super) async fn page(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path((job, name)): Path<(String, String)>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    frame.caller.expect_job(&job)?;
    let project = house.project()?;
    let checked = house.job(&project, &job)?;
    let one = house.write_back(&checked, &name)?;
    let field = one
        .fields
        .iter()
        .find(|field| field.column.text == wanted.field);
    let field = field
        .ok_or_else(|| Refusal::absent(format!("`{name}` has no field `{}`", wanted.field)))?;
    if wanted.on {
        expect_free(&project.jobs_beside(&job), one, field)?;
    }
    let file_name = field.location.file.to_string();
    let file = block_in_place(|| editing::read(&house, &frame, &file_name))?;
    let text = switched(&file.text()?, &field.location, wanted.on).map_err(editing::unfit)?;
    let form = EditForm::proposed(&file, text);
    editing::submit(State(house), frame, Path(file_name), axum::Form(form)).await
}

fn expect_free(others: &[Job], one: &WriteBack, field: &Field) -> Result<(), Refusal> {
    let column = &field.column.text;
    let title = match kept_off(others, one, field) {
        None => return Ok(()),
        Some(Kept::Never(why)) => format!("`{column}` cannot be written in real time: {why}"),
        Some(Kept::By {
            write_back,
            location,
            ..
        }) => format!("`{column}` is written in real time by `{write_back}`, {location}"),
    };
    let hint = "a field has one writer in real time; switch that one off first";
    Err(Refusal::new(StatusCode::CONFLICT, title).hint(hint))
}
