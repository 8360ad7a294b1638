//! Systems that records are written to. Each looks records up ([`seam::LookUp`]) and describes its objects
//! ([`seam::Destination`]). A database writes within one transaction a batch ([`seam::Transact`]); a web API
//! answers for each record. What to do with each record is decided outside, by
//! [`crate::domain::match_rule`].

mod ahead;
pub(crate) mod duckdb;
pub(crate) mod mysql;
pub(crate) mod postgres;
pub(crate) mod seam;
pub(crate) mod service;
pub(crate) mod sqlite;

use polars::prelude::{DataFrame, Series};

use self::seam::{Claim, Destination, LookUp, LookedUp, Transact, mark_unfit, update_locked};
use crate::domain::before::Before;
use crate::domain::change::Change;
use crate::domain::connection::{Connection, WrittenDatabase};
use crate::domain::doubt::Fate;
use crate::domain::error::SystemError;
use crate::domain::layout::Layout;
use crate::domain::object::{Declaration, Object, ObjectName};
use crate::domain::referral::{ReferenceColumn, Referents, Referral, ValuesSeen};

/// The closed set of databases.
pub(crate) enum AnyDatabase {
    Sqlite(sqlite::SqliteDestination),
    Postgres(postgres::PostgresDestination),
    Mysql(mysql::MysqlDestination),
    Duckdb(duckdb::DuckdbDestination),
}

impl AnyDatabase {
    /// Whether it is a file, into which a commit ends with the process that makes it.
    pub(crate) fn is_file(&self) -> bool {
        match self {
            Self::Sqlite(_) | Self::Duckdb(_) => true,
            Self::Postgres(_) | Self::Mysql(_) => false,
        }
    }
}

/// Asks the same of whichever database it is.
macro_rules! whichever {
    ($any:ident, $database:ident => $answer:expr) => {
        match $any {
            AnyDatabase::Sqlite($database) => $answer,
            AnyDatabase::Postgres($database) => $answer,
            AnyDatabase::Mysql($database) => $answer,
            AnyDatabase::Duckdb($database) => $answer,
        }
    };
}

impl LookUp for AnyDatabase {
    type Error = SystemError;

    async fn look_up(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        let mut plain = Plain(self);
        let mut looked_up = plain.look_up(layout, batch, before).await?;
        mark_unfit(&mut plain, layout, batch, &mut looked_up).await?;
        Ok(looked_up)
    }

    async fn surely_unchanged(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        rows_max: usize,
    ) -> Result<Option<Vec<bool>>, SystemError> {
        whichever!(self, database => database.surely_unchanged(layout, records, rows_max).await)
    }
}

/// A database that is asked without heed to a layout's `only_where`.
struct Plain<'a>(&'a mut AnyDatabase);

impl LookUp for Plain<'_> {
    type Error = SystemError;

    async fn look_up(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        let any = &mut *self.0;
        whichever!(any, database => database.look_up(layout, batch, before).await)
    }
}

impl Destination for AnyDatabase {
    async fn connect(connection: &Connection) -> Result<Self, SystemError> {
        let never_written = || SystemError::NotFound {
            what: format!(
                "a destination behind `{}`, a connection of kind `{}`,",
                connection.name,
                connection.system.kind()
            ),
            hint: Some("it is read, never written; name a database as the destination".to_owned()),
        };
        let written = connection.system.written();
        Ok(match written.ok_or_else(never_written)? {
            WrittenDatabase::Sqlite => {
                Self::Sqlite(sqlite::SqliteDestination::connect(connection).await?)
            }
            WrittenDatabase::Postgres => {
                Self::Postgres(postgres::PostgresDestination::connect(connection).await?)
            }
            WrittenDatabase::Mysql => {
                Self::Mysql(mysql::MysqlDestination::connect(connection).await?)
            }
            WrittenDatabase::Duckdb => {
                Self::Duckdb(duckdb::DuckdbDestination::connect(connection).await?)
            }
        })
    }

    async fn describe(&mut self, name: &ObjectName) -> Result<Object, SystemError> {
        whichever!(self, database => database.describe(name).await)
    }

    async fn object_names(&mut self) -> Result<Vec<String>, SystemError> {
        whichever!(self, database => database.object_names().await)
    }

    async fn identity(&mut self) -> Result<String, SystemError> {
        whichever!(self, database => database.identity().await)
    }

    async fn triggers(&mut self, object: &Object) -> Result<Vec<String>, SystemError> {
        whichever!(self, database => database.triggers(object).await)
    }

    async fn dependents(&mut self, object: &Object) -> Result<Vec<String>, SystemError> {
        whichever!(self, database => database.dependents(object).await)
    }

    async fn expect_taken(&mut self, layout: &Layout) -> Result<(), SystemError> {
        whichever!(self, database => database.expect_taken(layout).await)
    }

    async fn references(&mut self, object: &Object) -> Result<Vec<ReferenceColumn>, SystemError> {
        whichever!(self, database => database.references(object).await)
    }

    async fn refer(
        &mut self,
        referral: &Referral,
        values: &Series,
    ) -> Result<Vec<Referents>, SystemError> {
        whichever!(self, database => database.refer(referral, values).await)
    }

    async fn close(self) {
        whichever!(self, database => database.close().await)
    }
}

impl Transact for AnyDatabase {
    async fn begin(&mut self) -> Result<(), SystemError> {
        whichever!(self, database => database.begin().await)
    }

    async fn defer_constraints(&mut self) -> Result<(), SystemError> {
        whichever!(self, database => database.defer_constraints().await)
    }

    async fn claim(&mut self, claim: Claim) -> Result<(), SystemError> {
        whichever!(self, database => database.claim(claim).await)
    }

    async fn look_up_locked(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        let looked_up =
            whichever!(self, database => database.look_up_locked(layout, batch, before).await);
        let mut looked_up = looked_up?;
        mark_unfit(&mut Plain(self), layout, batch, &mut looked_up).await?;
        Ok(looked_up)
    }

    async fn update_differing(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<(LookedUp, u64), SystemError> {
        if !layout.only_where.is_empty() {
            return update_locked(self, layout, batch, before).await;
        }
        whichever!(self, database => database.update_differing(layout, batch, before).await)
    }

    async fn declarations(&mut self, object: &Object) -> Result<Vec<Declaration>, SystemError> {
        whichever!(self, database => database.declarations(object).await)
    }

    async fn hindrances(
        &mut self,
        object: &Object,
        change: Change,
    ) -> Result<Vec<String>, SystemError> {
        whichever!(self, database => database.hindrances(object, change).await)
    }

    async fn may_alter_inserted(&mut self, object: &Object) -> Result<bool, SystemError> {
        whichever!(self, database => database.may_alter_inserted(object).await)
    }

    async fn update(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        whichever!(self, database => database.update(layout, batch).await)
    }

    async fn insert(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        whichever!(self, database => database.insert(layout, batch).await)
    }

    async fn lock(&mut self, layout: &Layout, batch: &DataFrame) -> Result<(), SystemError> {
        whichever!(self, database => database.lock(layout, batch).await)
    }

    async fn delete(&mut self, layout: &Layout, batch: &DataFrame) -> Result<u64, SystemError> {
        whichever!(self, database => database.delete(layout, batch).await)
    }

    async fn transaction_mark(&mut self) -> Result<Option<String>, SystemError> {
        whichever!(self, database => database.transaction_mark().await)
    }

    async fn fate_of(&mut self, mark: &str) -> Result<Fate, SystemError> {
        whichever!(self, database => database.fate_of(mark).await)
    }

    async fn set_savepoint(&mut self) -> Result<(), SystemError> {
        whichever!(self, database => database.set_savepoint().await)
    }

    async fn return_to_savepoint(&mut self) -> Result<(), SystemError> {
        whichever!(self, database => database.return_to_savepoint().await)
    }

    async fn commit(&mut self) -> Result<(), SystemError> {
        whichever!(self, database => database.commit().await)
    }

    async fn begin_trial(&mut self) -> Result<(), SystemError> {
        whichever!(self, database => database.begin_trial().await)
    }

    async fn try_commit(&mut self) -> Result<(), SystemError> {
        whichever!(self, database => database.try_commit().await)
    }

    async fn rollback(&mut self) -> Result<(), SystemError> {
        whichever!(self, database => database.rollback().await)
    }
}

/// The closed set of destinations: what they have in common is all that those ask for who write
/// nothing.
pub(crate) enum AnyDestination {
    Database(AnyDatabase),
    Service(service::AnyService),
}

impl AnyDestination {
    /// Writes from now on as the connection says, whatever the one said that it was made for: several
    /// write-backs share one.
    pub(crate) fn follow(&mut self, connection: &Connection) {
        if let (Self::Service(service), Some(settings)) = (self, connection.system.service()) {
            service.follow(settings);
        }
    }

    /// Has objects described that are going to be asked about, side by side, where asking takes long.
    pub(crate) async fn foresee(&self, names: &[ObjectName]) {
        if let Self::Service(service) = self {
            service.foresee(names).await;
        }
    }

    /// The object with those of its columns that are told only to whoever names them. What is not
    /// there stays away.
    pub(crate) async fn completed(
        &self,
        object: Object,
        names: &[&str],
    ) -> Result<Object, SystemError> {
        match self {
            Self::Database(_) => Ok(object),
            Self::Service(service) => service.completed(object, names).await,
        }
    }

    /// The values of a column's list by what people see of them, where a destination tells the two
    /// apart.
    pub(crate) async fn values_seen(
        &mut self,
        object: &Object,
        column: &str,
    ) -> Result<ValuesSeen, SystemError> {
        match self {
            Self::Database(_) => Ok(ValuesSeen::new()),
            Self::Service(service) => service.values_seen(object, column).await,
        }
    }
}

impl LookUp for AnyDestination {
    type Error = SystemError;

    async fn look_up(
        &mut self,
        layout: &Layout,
        batch: &DataFrame,
        before: Before,
    ) -> Result<LookedUp, SystemError> {
        match self {
            Self::Database(database) => database.look_up(layout, batch, before).await,
            Self::Service(service) => service.look_up(layout, batch, before).await,
        }
    }

    async fn surely_unchanged(
        &mut self,
        layout: &Layout,
        records: &DataFrame,
        rows_max: usize,
    ) -> Result<Option<Vec<bool>>, SystemError> {
        match self {
            Self::Database(database) => database.surely_unchanged(layout, records, rows_max).await,
            Self::Service(service) => service.surely_unchanged(layout, records, rows_max).await,
        }
    }
}

impl Destination for AnyDestination {
    async fn connect(connection: &Connection) -> Result<Self, SystemError> {
        Ok(match connection.system.service() {
            Some(_) => Self::Service(service::AnyService::connect(connection).await?),
            None => Self::Database(AnyDatabase::connect(connection).await?),
        })
    }

    async fn describe(&mut self, name: &ObjectName) -> Result<Object, SystemError> {
        match self {
            Self::Database(database) => database.describe(name).await,
            Self::Service(service) => service.describe(name).await,
        }
    }

    async fn object_names(&mut self) -> Result<Vec<String>, SystemError> {
        match self {
            Self::Database(database) => database.object_names().await,
            Self::Service(service) => service.object_names().await,
        }
    }

    async fn identity(&mut self) -> Result<String, SystemError> {
        match self {
            Self::Database(database) => database.identity().await,
            Self::Service(service) => service.identity().await,
        }
    }

    async fn triggers(&mut self, object: &Object) -> Result<Vec<String>, SystemError> {
        match self {
            Self::Database(database) => database.triggers(object).await,
            Self::Service(service) => service.triggers(object).await,
        }
    }

    async fn dependents(&mut self, object: &Object) -> Result<Vec<String>, SystemError> {
        match self {
            Self::Database(database) => database.dependents(object).await,
            Self::Service(service) => service.dependents(object).await,
        }
    }

    async fn expect_taken(&mut self, layout: &Layout) -> Result<(), SystemError> {
        match self {
            Self::Database(database) => database.expect_taken(layout).await,
            Self::Service(_) => Ok(()),
        }
    }

    async fn references(&mut self, object: &Object) -> Result<Vec<ReferenceColumn>, SystemError> {
        match self {
            Self::Database(database) => database.references(object).await,
            Self::Service(service) => service.references(object).await,
        }
    }

    async fn refer(
        &mut self,
        referral: &Referral,
        values: &Series,
    ) -> Result<Vec<Referents>, SystemError> {
        match self {
            Self::Database(database) => database.refer(referral, values).await,
            Self::Service(service) => service.refer(referral, values).await,
        }
    }

    async fn close(self) {
        match self {
            Self::Database(database) => database.close().await,
            Self::Service(service) => service.close().await,
        }
    }
}
