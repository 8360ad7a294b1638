//! `writeback schema`: a CREATE TABLE to start a schema file from.

use std::path::Path;

use super::{CommandError, Ending, load_project, print};
use crate::cli::SchemaArguments;
use crate::domain::problem::did_you_mean;
use crate::report::schema::create_table;
use crate::source::describe_table;

pub(super) async fn schema(root: &Path, arguments: &SchemaArguments) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let name = &arguments.connection;
    let connection = project.connections.get(name).ok_or_else(|| CommandError::NoConnection {
        name: name.clone(),
        hint: did_you_mean(name, project.connections.keys().map(String::as_str)),
    })?;
    let table = describe_table(connection, &arguments.table).await.map_err(|source| CommandError::Describe {
        table: arguments.table.clone(),
        connection: name.clone(),
        source,
    })?;
    print(&create_table(&table, name))?;
    Ok(Ending::Done)
}
