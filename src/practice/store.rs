//! Keeps a practice's state in a SQLite file: documents of some kind under an id. Whatever was
//! answered is in it, so that a process that is killed loses nothing. Knows nothing of any API.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

/// A document that was written, or is gone where it has no body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DocumentChange {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) body: Option<String>,
}

/// A document as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) kind: String,
    pub(crate) id: String,
    pub(crate) body: String,
}

#[derive(Debug)]
pub(crate) struct Store {
    connection: SqliteConnection,
    pub(crate) file: PathBuf,
}

impl Store {
    /// Opens the file, or makes it. It survives the end of the process at any instant; a loss of
    /// power may take the last answers with it, which is enough for what is rehearsed only.
    pub(crate) async fn open(file: &Path) -> Result<Self, sqlx::Error> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
        let mut connection = options.connect().await?;
        sqlx::query(
            "CREATE TABLE IF NOT EXISTS documents (
                 kind TEXT NOT NULL, id TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (kind, id)
             ) WITHOUT ROWID",
        )
        .execute(&mut connection)
        .await?;
        Ok(Self {
            connection,
            file: file.to_owned(),
        })
    }

    /// All documents, by kind and id.
    pub(crate) async fn documents(&mut self) -> Result<Vec<Document>, sqlx::Error> {
        let rows = sqlx::query("SELECT kind, id, body FROM documents ORDER BY kind, id")
            .fetch_all(&mut self.connection)
            .await?;
        rows.into_iter()
            .map(|row| {
                Ok(Document {
                    kind: row.try_get("kind")?,
                    id: row.try_get("id")?,
                    body: row.try_get("body")?,
                })
            })
            .collect()
    }

    /// Writes all changes or none.
    pub(crate) async fn commit(&mut self, changes: &[DocumentChange]) -> Result<(), sqlx::Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut transaction = self.connection.begin().await?;
        for DocumentChange { kind, id, body } in changes {
            let statement = match body {
                Some(body) => sqlx::query(
                    "INSERT INTO documents (kind, id, body) VALUES (?, ?, ?)
                     ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body",
                )
                .bind(kind)
                .bind(id)
                .bind(body),
                None => sqlx::query("DELETE FROM documents WHERE kind = ? AND id = ?")
                    .bind(kind)
                    .bind(id),
            };
            statement.execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }
}
