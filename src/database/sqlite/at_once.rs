//! Several statements that SQLite's thread is given at once: to hand one over and to be told of it
//! takes longer than a small statement does. Of the drivers only SQLite's takes several, and may give
//! that up (<https://github.com/launchbadge/sqlx/issues/3108>): one by one would do, and take longer.

use futures_util::TryStreamExt as _;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Either, Executor as _, Sqlite, SqliteConnection};

/// Carries out the statements of a text, one after the other; `?` counts through all of them.
/// Returns the rows of each.
/// Errors: of the first that fails; what stands behind it is not begun.
pub(crate) async fn at_once(
    statements: Query<'_, Sqlite, SqliteArguments>,
    connection: &mut SqliteConnection,
) -> Result<Vec<Vec<SqliteRow>>, sqlx::Error> {
    let (mut answers, mut rows) = (Vec::new(), Vec::new());
    let mut told = connection.fetch_many(statements);
    while let Some(told) = told.try_next().await? {
        match told {
            Either::Right(row) => rows.push(row),
            Either::Left(_) => answers.push(std::mem::take(&mut rows)),
        }
    }
    Ok(answers)
}
