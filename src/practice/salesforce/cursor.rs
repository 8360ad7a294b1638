//! What is left of a query's result, kept for the call that asks for more.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::soql::Query;

/// What a query gives back of each record.
#[derive(Debug, Clone, Default)]
pub(super) struct Shape {
    pub(super) columns: Vec<Column>,
}

#[derive(Debug, Clone)]
pub(super) enum Column {
    /// A field, by its name.
    Field(String),
    /// What is wanted of the record that a reference leads to.
    Parent {
        relationship: String,
        field: String,
        shape: Shape,
    },
    Children {
        relationship: String,
        place: usize,
        /// The field of the child that leads here.
        field: usize,
        query: Box<Query>,
    },
}

/// What a query found.
#[derive(Debug, Clone)]
pub(super) enum Rows {
    Records(Vec<Arc<str>>),
    /// Finished, as JSON.
    Groups(Vec<String>),
}

/// The rest of a query's result.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    pub(super) text: String,
    pub(super) place: usize,
    pub(super) shape: Shape,
    pub(super) rows: Rows,
    pub(super) now: DateTime<Utc>,
}

impl Cursor {
    pub(super) fn len(&self) -> usize {
        match &self.rows {
            Rows::Records(ids) => ids.len(),
            Rows::Groups(groups) => groups.len(),
        }
    }
}
