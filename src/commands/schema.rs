//! `writeback schema`: a CREATE TABLE to start a schema file from, or the project's schemas as a
//! diagram.

use std::collections::BTreeMap;
use std::path::Path;

use super::{CommandError, Ending, load_project, print, read_job, warn_of};
use crate::cli::SchemaArguments;
use crate::config::Project;
use crate::config::dbml::write_dbml;
use crate::domain::schema::Schema;
use crate::report::schema::create_table;
use crate::source::describe_table;

pub(super) async fn schema(
    root: &Path,
    arguments: &SchemaArguments,
) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    match (&arguments.connection, &arguments.table) {
        (Some(connection), Some(table)) => describe(&project, connection, table).await,
        _ => draw(&project),
    }
}

/// The schemas of all write-backs, each once, in the order of their files.
fn draw(project: &Project) -> Result<Ending, CommandError> {
    let mut schemas = BTreeMap::new();
    for job in project.job_names() {
        for write_back in read_job(project, &job)?.job.write_backs {
            schemas.insert(write_back.schema.file.clone(), write_back.schema);
        }
    }
    let schemas: Vec<Schema> = schemas.into_values().collect();
    print(&write_dbml(&schemas));
    Ok(Ending::Done)
}

async fn describe(project: &Project, name: &str, table_name: &str) -> Result<Ending, CommandError> {
    let (connection, warnings) =
        project
            .connection(name)
            .map_err(|problems| CommandError::Problems {
                title: format!("connection `{name}` cannot be used"),
                problems,
            })?;
    warn_of(&warnings);
    let table = describe_table(connection, table_name)
        .await
        .map_err(|source| CommandError::Describe {
            table: table_name.to_owned(),
            connection: name.to_owned(),
            source: Box::new(source),
        })?;
    print(&create_table(&table, name));
    Ok(Ending::Done)
}
