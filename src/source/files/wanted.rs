//! Which columns of a file are read.

use std::collections::{HashMap, HashSet};

use crate::domain::files::CellKind;
use crate::domain::schema::Schema;

/// Which columns of a file are read.
#[derive(Clone, Copy)]
pub(super) enum Wanted<'a> {
    All,
    /// Those that a model may mean; more do no harm.
    Mentioned(&'a Mentions),
    Columns(&'a Selection),
}

/// The words of a model, of which any may be a column.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    /// In lower case.
    pub(super) words: HashSet<String>,
    /// Whether it takes columns that it does not name.
    pub(super) everything: bool,
    /// What the schema's columns hold, by their names in lower case.
    pub(super) written: HashMap<String, CellKind>,
}

impl Mentions {
    /// The columns of a file.
    pub(super) fn select(&self, columns: &[String]) -> Selection {
        let written = columns.iter().map(|column| {
            let written = self.written.get(&column.to_lowercase());
            written.copied().unwrap_or(CellKind::AsIs)
        });
        Selection {
            written: written.collect(),
            ..Selection::named(columns.to_vec())
        }
    }

    pub(super) fn include(&self, column: &str) -> bool {
        self.everything || self.words.contains(&column.to_lowercase())
    }
}

/// Columns as the frames will call them.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) names: Vec<String>,
    /// Positions in `names` of the match key.
    pub(super) key: Vec<usize>,
    /// What each of `names` holds.
    pub(super) written: Vec<CellKind>,
}

impl Selection {
    /// Columns that nothing is known of but their names.
    pub(super) fn named(names: Vec<String>) -> Self {
        Self {
            written: vec![CellKind::AsIs; names.len()],
            names,
            key: Vec::new(),
        }
    }

    /// The columns of a schema.
    pub(super) fn of(schema: &Schema) -> Self {
        let columns = schema.columns.iter();
        Self {
            names: columns.clone().map(|column| column.name.clone()).collect(),
            key: schema.key.clone(),
            written: columns
                .map(|column| CellKind::of(column.column_type))
                .collect(),
        }
    }
}
