//! `writeback agencies` and `writeback show`: who a job is for, and every setting with its place.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::{
    CommandError, Ending, job_problems, load_project, print, print_json, read_job, warn_of,
};
use crate::cli::{AgenciesArguments, ShowArguments};
use crate::config::{CheckedJob, Project, SettingLine, job_of, new_agency};
use crate::destination::AnyDestination;
use crate::destination::seam::Destination;
use crate::domain::connection::Connection;
use crate::domain::error::{SystemError, chain};
use crate::domain::job::Job;
use crate::domain::object::{Object, ObjectName};
use crate::domain::object_name::parse_object_name;
use crate::domain::printable::printable;
use crate::domain::problem::Problem;
use crate::report::agencies::{self as report, AgencyFound};
use crate::report::object::{fields, fields_json};

pub(super) fn agencies(root: &Path, arguments: &AgenciesArguments) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let base = read_job(&project, &arguments.job)?;
    let Some(agencies) = &base.job.agencies else {
        let message = format!("job `{}` has no agencies", base.job.name);
        let hint = "add `[agencies]` to its file, and a file for each to a folder of its name";
        let problem = Problem::mistake(None, message).hint(hint);
        return Err(job_problems(&arguments.job, vec![problem]));
    };
    if let Some(name) = &arguments.add {
        return add(&project, &base.job, name, arguments.called.as_deref());
    }
    let found: Vec<AgencyFound> = agencies
        .names
        .iter()
        .map(|name| AgencyFound::of(&project, &base.job.name, name))
        .collect();
    match arguments.json {
        true => print_json(&json!({
            "job": base.job.name,
            "agencies": found.iter().map(AgencyFound::json).collect::<Vec<_>>(),
        }))?,
        false => print(&report::listed(&found)),
    }
    for one in &found {
        if let Err(problems) = &one.checked {
            warn_of(problems);
        }
    }
    Ok(Ending::Done)
}

/// Writes the file of a new agency. What is wrong with it takes it away again.
fn add(
    project: &Project,
    base: &Job,
    name: &str,
    called: Option<&str>,
) -> Result<Ending, CommandError> {
    let job = job_of(&base.name, name);
    let refused = |problem| job_problems(&job, vec![problem]);
    let (file, text) = new_agency(base, name, called).map_err(refused)?;
    let path = project.root.join(&file);
    let failed = |source| CommandError::Io {
        doing: "write the agency's file",
        source,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut written) => written.write_all(text.as_bytes()).map_err(failed)?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let problem = Problem::mistake(None, format!("there is an agency `{name}` already"));
            return Err(refused(problem.hint(format!("change `{file}`"))));
        }
        Err(error) => return Err(failed(error)),
    }
    if let Err(problems) = project.read_job(&job) {
        fs::remove_file(&path).map_err(failed)?;
        return Err(job_problems(&job, problems));
    }
    print(&format!(
        "{file}\n\nIt writes as the base does, into the same accounts, until its file says otherwise:\n  \
         writeback show {base} --agency {name}\n  writeback check {job}\n  \
         writeback test {base} --agency {name} --record KEY\n",
        base = base.name,
    ));
    Ok(Ending::Done)
}

pub(super) async fn show(root: &Path, arguments: &ShowArguments) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let job = arguments.named();
    let settings = project
        .settings(&job)
        .map_err(|problems| job_problems(&job, problems))?;
    let checked = read_job(&project, &job)?;
    let mut supported = Vec::new();
    let destinations = checked.job.write_backs.iter();
    let destinations: BTreeSet<&str> = destinations
        .map(|write_back| write_back.destination.as_str())
        .collect();
    if let Some(name) = &arguments.object {
        return show_object(&project, &destinations, name, arguments.json).await;
    }
    for destination in destinations {
        supported.push((destination, objects(&project, destination).await));
    }
    match arguments.json {
        true => print_json(&as_json(&checked, &settings, &supported))?,
        false => print(&as_text(&settings, &supported)),
    }
    warn_of(&checked.warnings);
    Ok(Ending::Done)
}

/// Shows the fields of an object, of each destination that has it.
async fn show_object(
    project: &Project,
    destinations: &BTreeSet<&str>,
    name: &str,
    as_json: bool,
) -> Result<Ending, CommandError> {
    let parsed = parse_object_name(name).map_err(|why| {
        let problem = Problem::mistake(None, format!("it is no object's name: {why}"));
        CommandError::Problems {
            title: format!("`{name}` cannot be shown"),
            problems: vec![problem],
        }
    })?;
    let (mut found, mut missing) = (Vec::new(), None);
    for destination in destinations {
        let (connection, _) =
            project
                .connection(destination)
                .map_err(|problems| CommandError::Problems {
                    title: format!("connection `{destination}` cannot be used"),
                    problems,
                })?;
        match described(connection, &parsed).await {
            Ok(object) => found.push((*destination, object)),
            Err(source) => {
                let source = Box::new(source);
                missing = missing.or(Some(CommandError::Describe {
                    table: name.to_owned(),
                    connection: (*destination).to_owned(),
                    source,
                }));
            }
        }
    }
    match (found.is_empty(), missing) {
        (true, Some(missing)) => return Err(missing),
        (_, _) if as_json => {
            let objects = found.iter();
            let objects = objects.map(|(place, object)| fields_json(object, place));
            print_json(&Value::Array(objects.collect()))?;
        }
        (_, _) => {
            let texts = found.iter().map(|(place, object)| fields(object, place));
            print(&texts.collect::<Vec<_>>().join("\n"));
        }
    }
    Ok(Ending::Done)
}

async fn described(connection: &Connection, name: &ObjectName) -> Result<Object, SystemError> {
    let mut destination = AnyDestination::connect(connection).await?;
    let object = destination.describe(name).await;
    destination.close().await;
    object
}

/// Names of the objects that a destination has, or why it could not be asked.
async fn objects(project: &Project, destination: &str) -> Result<Vec<String>, String> {
    let (connection, _) = project.connection(destination).map_err(|problems| {
        let first = problems.into_iter().next();
        first.map_or_else(String::new, |problem| problem.message)
    })?;
    let told = |error| chain(&error).join(": ");
    let mut destination = AnyDestination::connect(connection).await.map_err(told)?;
    let names = destination.object_names().await.map_err(told);
    destination.close().await;
    names
}

type Supported<'a> = [(&'a str, Result<Vec<String>, String>)];

fn as_json(checked: &CheckedJob, settings: &[SettingLine], supported: &Supported<'_>) -> Value {
    let objects = |(destination, found): &(&str, Result<Vec<String>, String>)| {
        json!({
            "destination": destination,
            "objects": found.as_ref().ok(),
            "error": found.as_ref().err(),
        })
    };
    json!({
        "job": checked.job.name,
        "agency": checked.job.agency,
        "settings": report::settings_json(settings),
        "object_types": supported.iter().map(objects).collect::<Vec<_>>(),
    })
}

fn as_text(settings: &[SettingLine], supported: &Supported<'_>) -> String {
    let said = |setting: &SettingLine| format!("{} = {}", setting.path, printable(&setting.value));
    let width = settings.iter().map(|setting| said(setting).chars().count());
    // A long value pushes its own place aside, and no other.
    let width = width
        .filter(|width| *width <= SETTING_CHARACTERS_MAX)
        .max()
        .unwrap_or(0);
    let line = |setting: &SettingLine| {
        let mark = if setting.changed { '*' } else { ' ' };
        let place = format!("{}:{}", setting.location.file, setting.location.line);
        format!("{mark} {:width$}  {place}\n", said(setting))
    };
    let lines = settings.iter().map(line).collect::<String>();
    let objects = |(destination, found): &(&str, Result<Vec<String>, String>)| {
        let found = match found {
            Ok(names) => names.join(", "),
            Err(why) => format!("could not be asked: {why}"),
        };
        format!(
            "object types of `{destination}` (read-only): {}\n",
            printable(&found)
        )
    };
    lines + &supported.iter().map(objects).collect::<String>()
}

/// Characters of a setting beside which places still stand in a column.
const SETTING_CHARACTERS_MAX: usize = 90;
