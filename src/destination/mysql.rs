//! Writes to MySQL and MariaDB.

use polars::prelude::DataFrame;

use super::{Destination, Found};
use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
use crate::domain::layout::Layout;
use crate::domain::object::{Object, ObjectName};

/// One writer's connection.
pub(crate) struct MysqlDestination {}

impl Destination for MysqlDestination {
    async fn connect(_connection: &Connection) -> Result<Self, SystemError> {
        unimplemented!()
    }

    async fn describe(&mut self, _name: &ObjectName) -> Result<Object, SystemError> {
        unimplemented!()
    }

    async fn begin(&mut self) -> Result<(), SystemError> {
        unimplemented!()
    }

    async fn look_up(
        &mut self,
        _layout: &Layout,
        _batch: &DataFrame,
        _before: bool,
    ) -> Result<Vec<Found>, SystemError> {
        unimplemented!()
    }

    async fn update(&mut self, _layout: &Layout, _batch: &DataFrame) -> Result<u64, SystemError> {
        unimplemented!()
    }

    async fn insert(&mut self, _layout: &Layout, _batch: &DataFrame) -> Result<u64, SystemError> {
        unimplemented!()
    }

    async fn commit(&mut self) -> Result<(), SystemError> {
        unimplemented!()
    }

    async fn rollback(&mut self) -> Result<(), SystemError> {
        unimplemented!()
    }

    async fn close(self) {
        unimplemented!()
    }
}
