//! `writeback describe`: a web API's own descriptions of its objects, saved as they are, to rehearse
//! against with a practice stand-in.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use serde::Deserialize;

use super::{CommandError, Ending, load_project, print, read_job, warn_of};
use crate::cli::DescribeArguments;
use crate::config::Project;
use crate::destination::seam::Destination;
use crate::destination::service::AnyService;
use crate::domain::connection::Connection;
use crate::domain::counted::counted;
use crate::domain::error::SystemError;
use crate::domain::printable::printable;
use crate::domain::problem::Problem;
use crate::state::AsideFile;

/// As a description calls its object.
#[derive(Deserialize)]
struct Described {
    #[serde(alias = "entity")]
    name: String,
}

pub(super) async fn describe(
    root: &Path,
    arguments: &DescribeArguments,
) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let connection = connection(&project, &arguments.connection)?;
    let objects = match arguments.objects.is_empty() {
        true => objects_of_jobs(&project, &connection.name)?,
        false => arguments.objects.clone(),
    };
    let unwritten = |source| CommandError::File {
        file: arguments.out.display().to_string(),
        source,
    };
    std::fs::create_dir_all(&arguments.out).map_err(unwritten)?;
    let failed = |table: &str| {
        let (table, connection) = (table.to_owned(), connection.name.clone());
        move |source: SystemError| CommandError::Describe {
            table,
            connection,
            source: Box::new(source),
        }
    };
    let service = AnyService::connect(connection);
    let service = service
        .await
        .map_err(failed(objects.first().map_or("", String::as_str)))?;
    for object in &objects {
        let text = service
            .describe_text(object)
            .await
            .map_err(failed(object))?;
        let name = save(&arguments.out, object, &text)?;
        print(&format!("{}\n", printable(&name)));
    }
    service.close().await;
    Ok(Ending::Done)
}

/// A connection to a web API.
fn connection<'a>(project: &'a Project, name: &str) -> Result<&'a Connection, CommandError> {
    let unusable = |problems: Vec<Problem>| CommandError::Problems {
        title: format!("connection `{name}` cannot be used"),
        problems,
    };
    let (connection, warnings) = project.connection(name).map_err(unusable)?;
    warn_of(&warnings);
    if connection.system.service().is_none() {
        let message = format!(
            "`{name}` is of kind `{}`, not a web API",
            connection.system.kind()
        );
        let hint = format!("`writeback schema {name} TABLE` prints what a table of it is");
        return Err(unusable(vec![Problem::mistake(None, message).hint(hint)]));
    }
    Ok(connection)
}

/// Names of the objects that the project's jobs write to through a connection.
fn objects_of_jobs(project: &Project, connection: &str) -> Result<Vec<String>, CommandError> {
    let mut objects = BTreeSet::new();
    for job in project.job_names() {
        let checked = read_job(project, &job)?;
        let write_backs = checked.job.write_backs.iter();
        let written = write_backs.filter(|write_back| write_back.destination == connection);
        objects.extend(written.filter_map(|write_back| {
            let part = write_back.table.parts.last()?;
            Some(part.text.clone())
        }));
    }
    if objects.is_empty() {
        let message = format!("no job writes through `{connection}`, so no object is known");
        let hint =
            format!("name them: `writeback describe {connection} Account Contact --out FOLDER`");
        return Err(CommandError::Problems {
            title: "nothing to describe".to_owned(),
            problems: vec![Problem::mistake(None, message).hint(hint)],
        });
    }
    Ok(objects.into_iter().collect())
}

/// Saves a description under the object's own name; returns the file and how large it is.
fn save(folder: &Path, object: &str, text: &str) -> Result<String, CommandError> {
    let described = serde_json::from_str::<Described>(text).ok();
    let name = described.map_or_else(|| object.to_owned(), |described| described.name);
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let name = name.replace(|letter| !is_plain(letter), "_");
    let file = folder.join(format!("{name}.json"));
    let unwritten = |source| CommandError::File {
        file: file.display().to_string(),
        source,
    };
    let aside = AsideFile::create_in_users_folder(&file).map_err(unwritten)?;
    aside
        .file()
        .write_all(text.as_bytes())
        .and_then(|()| aside.place())
        .map_err(unwritten)?;
    Ok(format!(
        "{}  {}",
        file.display(),
        counted(text.len(), "byte")
    ))
}
