//! What tests make of the tables of their database.

use super::dialect::Does;
use super::server::Server;
use super::workspace::Workspace;

impl Workspace {
    /// What the test's tables stand in, as a name says it before theirs.
    pub(crate) fn schema(&self) -> &str {
        match self.server {
            Server::Sqlite => "main",
            Server::Postgres => "public",
            Server::MariaDb => self.database_name(),
        }
    }

    /// Lets no row of a table be made or changed so that a column holds such a value; the
    /// constraint is of this name. Rows that are so already may stay so.
    pub(crate) fn forbid(&self, name: &str, table: &str, column: &str, values: &str) -> &Self {
        let constraint =
            format!("ALTER TABLE {table} ADD CONSTRAINT {name} CHECK (NOT ({column} {values}))");
        match self.server {
            Server::Postgres => self.execute(&format!("{constraint} NOT VALID")),
            Server::MariaDb => self.execute(&constraint),
            Server::Sqlite => {
                for event in ["INSERT", "UPDATE"] {
                    self.trigger(
                        &format!("{name}_{event}"),
                        &format!("{event} ON {table}"),
                        &format!("NEW.{column} {values}"),
                        Does::Refuse(name),
                    );
                }
                self
            }
        }
    }

    /// Makes a trigger, as [`Server::trigger`] tells.
    pub(crate) fn trigger(&self, name: &str, change: &str, when: &str, does: Does<'_>) -> &Self {
        self.execute(&self.server.trigger(name, change, when, does))
    }

    /// Lets a trigger write every note of `accounts` in capitals.
    pub(crate) fn shout(&self, name: &str, event: &str) -> &Self {
        let change = format!("{event} ON accounts");
        self.trigger(name, &change, "true", Does::Set("note", "upper(NEW.note)"))
    }

    pub(crate) fn drop_trigger(&self, name: &str) -> &Self {
        self.execute(&match self.server {
            Server::Postgres => format!("DROP TRIGGER {name} ON accounts"),
            Server::Sqlite | Server::MariaDb => format!("DROP TRIGGER {name}"),
        })
    }

    /// The type of a column that takes only these words, made where it must be.
    pub(crate) fn one_of(&self, column: &str, words: &str) -> String {
        match self.server {
            Server::Sqlite if !self.is_duckdb() => {
                format!("VARCHAR(20) CHECK ({column} IN ({words}))")
            }
            Server::Sqlite | Server::MariaDb => format!("ENUM({words})"),
            Server::Postgres => {
                self.execute(&format!("CREATE TYPE {column} AS ENUM ({words})"));
                column.to_owned()
            }
        }
    }
}
