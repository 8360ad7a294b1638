//! `writeback schema`: a CREATE TABLE to start a schema file from.

use std::path::Path;

use super::{CommandError, Ending, load_project, print, warn_of};
use crate::cli::SchemaArguments;
use crate::report::schema::create_table;
use crate::source::describe_table;

pub(super) async fn schema(
    root: &Path,
    arguments: &SchemaArguments,
) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let name = &arguments.connection;
    let (connection, warnings) =
        project
            .connection(name)
            .map_err(|problems| CommandError::Problems {
                title: format!("connection `{name}` cannot be used"),
                problems,
            })?;
    warn_of(&warnings);
    let table = describe_table(connection, &arguments.table)
        .await
        .map_err(|source| CommandError::Describe {
            table: arguments.table.clone(),
            connection: name.clone(),
            source: Box::new(source),
        })?;
    print(&create_table(&table, name));
    Ok(Ending::Done)
}
