//! Every setting of a job or an agency with the file and line that says it, and forms that say it
//! otherwise: a switch, the code of an action, where a field's value comes from. A form writes
//! nothing: it leads to the difference in the file, and what is wrong with it, as any edit does.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use tokio::task::block_in_place;

use super::editing::{self, EditForm};
use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::{files, parts, paths};
use crate::config::said::{NewSetting, with_setting};
use crate::config::{SCHEDULES_FOLDER, SettingLine};
use crate::domain::access::Role;
use crate::domain::field::NullPolicy;
use crate::domain::job::{Creation, Job, RowWay, WriteBack};
use crate::domain::method::Method;

/// The settings of a job, as its files say them. What may be a secret is not among their values.
pub(super) fn of_job(house: &House, job: &str) -> Result<Vec<SettingLine>, Refusal> {
    let project = house.project()?;
    house.job(&project, job)?;
    let mut settings = project.settings(job).map_err(Refusal::mistakes)?;
    for setting in &mut settings {
        let (folder, key) = match setting.path.rsplit_once('.') {
            Some((folder, key)) => (folder, key),
            None => ("", setting.path.as_str()),
        };
        let line = format!("{key} = {}", setting.value);
        if folder.starts_with("connections") && !files::is_open_setting(&line) {
            setting.value = "***".to_owned();
        }
    }
    Ok(settings)
}

pub(super) async fn page(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
) -> Result<Markup, Refusal> {
    frame.caller.expect_job(&job)?;
    let project = house.project()?;
    let checked = house.job(&project, &job)?;
    let settings = of_job(&house, &job)?;
    let file = file_of(&job);
    let edits = frame.may(Role::Admin) && house.settings.edit && files::may_edit(&frame, &file);
    let command = match job.split_once('/') {
        Some((base, agency)) => format!("writeback show {base} --agency {agency}"),
        None => format!("writeback show {job}"),
    };
    let content = html! {
        (whose(&checked.job))
        @if edits {
            h2 #change { "Change" }
            p.quiet { "Nothing is written before the difference was shown and checked." }
            @for (number, one) in (1_usize..).zip(&checked.job.write_backs) {
                @if path_of(one).is_some() { (editor(&checked.job, one, number, &settings)) }
            }
        }
        @else if frame.may(Role::Operator) {
            @for one in &checked.job.write_backs { (questions_link(&checked.job, one)) }
        }
        h2 #settings { "Settings" }
        (table(&settings))
        (parts::same(&command))
    };
    Ok(frame.page_within("Settings", &[(paths::job(&job), job.as_str())], content))
}

/// The file that says what is said of a job and no other.
pub(super) fn file_of(job: &str) -> String {
    format!("{SCHEDULES_FOLDER}/{job}.toml")
}

fn whose(job: &Job) -> Markup {
    let base = job.name.split_once('/').map(|(base, _)| base);
    html! { @match (base, &job.agencies) {
        (Some(base), _) => p.lead {
            b { (job.agency.as_deref().unwrap_or(&job.name)) } " is an agency of " a href=(paths::settings(base)) { (base) }
            ". What its own file says is marked; all else is as the base has it."
        },
        (None, Some(agencies)) => p.lead {
            "It is the base of " a href=(format!("/agencies?q={}%2F", paths::encoded_value(&job.name))) { (agencies.names.len()) " agencies" }
            ": what it says holds for each that does not say otherwise."
        },
        (None, None) => {}
    } }
}

fn table(settings: &[SettingLine]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-labelledby="settings" { table {
            thead { tr { th scope="col" { "setting" } th scope="col" { "value" } th scope="col" { "said in" } } }
            tbody { @for setting in settings { tr {
                th.key scope="row" { (setting.path) }
                td.long { code { (parts::cut(&setting.value)) } }
                td { a.nowrap href=(files::address(&setting.location.file, setting.location.line)) {
                        (setting.location.file) ":" (setting.location.line) }
                    @if setting.changed { " " span.chip.good { "its own" } } }
            } } }
        } }
    }
}

/// The way to the questions that a field may take the answers of.
fn questions_link(job: &Job, one: &WriteBack) -> Markup {
    let name = paths::encoded_value(&one.name);
    let address = format!("{}/questions?write_back={name}", paths::settings(&job.name));
    html! { @if one.questions.is_some() {
        p { a href=(address) { "Choose from the questions that were asked" } }
    } }
}

/// What a write-back does, in a word.
fn kind(one: &WriteBack) -> &'static str {
    match &one.creation {
        Some(creation) if creation.makes_notes() => "notes",
        Some(_) => "objects",
        None => "fields",
    }
}

/// Forms that change one write-back.
fn editor(job: &Job, one: &WriteBack, number: usize, settings: &[SettingLine]) -> Markup {
    let notes = one.creation.as_ref().is_some_and(Creation::makes_notes);
    let action = format!("write_back.{}.note.action", one.name);
    let action = settings.iter().find(|setting| setting.path == action);
    let action = action.map_or("", |setting| setting.value.trim_matches('"'));
    html! {
        section.card aria-labelledby=(format!("w{number}")) {
            h3 #(format!("w{number}")) { (one.name) " " span.chip { (kind(one)) } " "
                @if one.enabled { span.chip.good { "✓ on" } } @else { span.chip { "off" } } }
            div.line {
                (form(job, one, "enabled", html! {
                    input type="hidden" name="on" value=(!one.enabled);
                    button aria-label=(format!("Switch {} {}", if one.enabled { "off" } else { "on" }, one.name)) {
                        @if one.enabled { "Switch off" } @else { "Switch on" } }
                }))
                @if notes { (form(job, one, "action", html! {
                    label for=(format!("a{number}")) { "Code of the action type" }
                    input id=(format!("a{number}")) name="value" value=(action) required size="10";
                    button { "Update" }
                })) }
            }
            details.act {
                summary.button { "Add or change a field…" }
                (field_form(job, one, number))
            }
            (questions_link(job, one))
        }
    }
}

fn form(job: &Job, one: &WriteBack, what: &str, content: Markup) -> Markup {
    html! { form.line method="get" action=(format!("{}/change", paths::settings(&job.name))) {
        input type="hidden" name="write_back" value=(one.name);
        input type="hidden" name="what" value=(what);
        (content)
    } }
}

/// Sources of a field's value, by the words that the form sends.
const SOURCES: [(&str, &str); 5] = [
    ("string", "String: the same text for every record"),
    ("column", "Column of the source"),
    ("question", "Question: what was answered"),
    ("method", "Method"),
    ("off", "None: this agency does not write it"),
];

const UNANSWERED: [(&str, &str); 3] = [
    ("skip", "leave the field alone"),
    ("empty", "write NULL"),
    ("reject", "reject the record"),
];

/// What may become of a record that does not answer. Where NULLs are written, leaving its field alone
/// would take the row's value away.
pub(super) fn unanswered_options(keeps_nulls: bool) -> Markup {
    let apt = UNANSWERED
        .iter()
        .filter(|(name, _)| keeps_nulls || *name != "skip");
    html! { @for (name, told) in apt { option value=(name) { (told) } } }
}

fn field_form(job: &Job, one: &WriteBack, number: usize) -> Markup {
    let id = |name: &str| format!("{name}{number}");
    let sources = SOURCES
        .iter()
        .filter(|(name, _)| *name != "off" || job.agency.is_some());
    let columns = one.columns().map(|column| column.name.as_str());
    html! {
        form.sheet method="get" action=(format!("{}/change", paths::settings(&job.name))) {
            input type="hidden" name="write_back" value=(one.name);
            input type="hidden" name="what" value="field";
            label for=(id("f")) { "Field of " (one.told_object()) }
            input id=(id("f")) name="field" required list=(id("fl"));
            datalist id=(id("fl")) { @for field in &one.fields { option value=(field.column.text) {} } }
            label for=(id("s")) { "Source type" }
            select id=(id("s")) name="source" { @for (name, told) in sources { option value=(name) { (told) } } }
            label for=(id("v")) { "Text, column or question" }
            input id=(id("v")) name="value" list=(id("vl"));
            datalist id=(id("vl")) { @for column in columns { option value=(column.trim_start_matches("question ")) {} } }
            label for=(id("m")) { "Of a method: which" }
            select id=(id("m")) name="method" { @for method in Method::ALL {
                option value=(method.name()) { (method.name()) ": " (method.purpose()) }
            } }
            label for=(id("o")) { "Of a method: further settings" }
            input.key id=(id("o")) name="more" placeholder="region = \"US\"";
            @if one.questions.is_some() {
                label for=(id("u")) { "Of a question: a record that has no answer" }
                select id=(id("u")) name="unanswered" { (unanswered_options(one.nulls == NullPolicy::Keep)) }
            }
            button.primary { "Show the difference" }
        }
    }
}

/// What a form asks for.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    write_back: String,
    /// `enabled`, `action` or `field`.
    what: String,
    #[serde(default)]
    on: bool,
    #[serde(default)]
    field: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    more: String,
    #[serde(default)]
    unanswered: String,
}

/// Where a write-back stands in its file, if it is written there under a name of its own.
pub(super) fn path_of(one: &WriteBack) -> Option<Vec<&str>> {
    let leads_on = |way: &RowWay| !way.steps.is_empty();
    if one.common_name.is_some() || one.way.as_ref().is_some_and(leads_on) {
        return None;
    }
    let step = one
        .creation
        .as_ref()
        .filter(|creation| !creation.makes_notes());
    match step {
        Some(step) => {
            let name = one.name.strip_prefix(&step.of)?.strip_prefix('.')?;
            Some(vec!["write_back", &step.of, "steps", name])
        }
        None => Some(vec!["write_back", &one.name]),
    }
}

/// The text of a file with what a form asks for. Errors: it asks for nothing that could be.
fn changed(text: &str, one: &WriteBack, wanted: &Wanted) -> Result<String, Refusal> {
    let unfit = editing::unfit;
    let path =
        path_of(one).ok_or_else(|| unfit("it is written in a form that is edited in the file"))?;
    let value = wanted.value.trim();
    let mut keys = Vec::new();
    let (rest, new) = match (wanted.what.as_str(), wanted.source.as_str()) {
        // Steps are switched with the write-back that they are of.
        ("enabled", _) => (vec!["enabled"], NewSetting::Switch(wanted.on)),
        ("action", _) if !value.is_empty() => (vec!["note", "action"], NewSetting::Text(value)),
        ("field", source) if !wanted.field.trim().is_empty() => {
            let new = match source {
                "column" if !value.is_empty() => NewSetting::Text(value),
                "off" => NewSetting::Text("off"),
                "string" => {
                    keys.push(("string", wanted.value.as_str()));
                    NewSetting::Table {
                        keys: &keys,
                        more: "",
                    }
                }
                "question" if !value.is_empty() => {
                    let unanswered =
                        Some(wanted.unanswered.as_str()).filter(|text| !text.is_empty());
                    keys.extend([
                        ("question", value),
                        ("unanswered", unanswered.unwrap_or("skip")),
                    ]);
                    NewSetting::Table {
                        keys: &keys,
                        more: "",
                    }
                }
                "method" => {
                    keys.push(("method", wanted.method.as_str()));
                    keys.extend(Some(("column", value)).filter(|_| !value.is_empty()));
                    NewSetting::Table {
                        keys: &keys,
                        more: &wanted.more,
                    }
                }
                _ => return Err(unfit("name the text, the column or the question")),
            };
            (vec!["fields", wanted.field.trim()], new)
        }
        _ => return Err(unfit("name what is to be changed, and to what")),
    };
    let within = match rest.as_slice() {
        ["enabled"] => path.get(..2).unwrap_or_default(),
        _ => path.as_slice(),
    };
    let path = [within, rest.as_slice()].concat();
    with_setting(text, &path, new).map_err(unfit)
}

/// The difference that a form makes in the file.
pub(super) async fn change(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(job): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    frame.caller.expect_job(&job)?;
    let project = house.project()?;
    let checked = house.job(&project, &job)?;
    let one = house.write_back(&checked, &wanted.write_back)?;
    let name = file_of(&job);
    let file = block_in_place(|| editing::read(&house, &frame, &name))?;
    let text = changed(&file.text()?, one, &wanted)?;
    let form = EditForm::proposed(&file, text);
    editing::submit(State(house), frame, Path(name), axum::Form(form)).await
}
