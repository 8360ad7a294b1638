//! Methods: the named functions a field's value may come from. Pure; `writeback methods` prints this registry.

use super::schema::SchemaType;

/// A named function that yields a field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    CycleCompletedAt,
    CycleId,
    RunStartedAt,
    RunId,
    JobName,
    Trim,
    Lower,
    Upper,
    PercentOfOne,
    Label,
}

/// A method as a field calls it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MethodCall {
    pub(crate) method: Method,
    /// Position of the schema column it works on; present exactly if [`Method::takes_column`].
    pub(crate) column: Option<usize>,
    /// For [`Method::Label`]: rising bounds, the last one open; empty for every other method.
    pub(crate) labels: Vec<Label>,
}

/// One line of a label method: `{ below = 40, label = "at risk" }`, the last `{ label = "healthy" }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Label {
    /// A decimal number as written; `None` takes whatever no earlier bound took.
    pub(crate) below: Option<String>,
    pub(crate) label: String,
}

impl Method {
    pub(crate) const ALL: [Self; 10] = [
        Self::CycleCompletedAt,
        Self::CycleId,
        Self::RunStartedAt,
        Self::RunId,
        Self::JobName,
        Self::Trim,
        Self::Lower,
        Self::Upper,
        Self::PercentOfOne,
        Self::Label,
    ];

    /// As job files write it.
    pub(crate) fn name(self) -> &'static str {
        unimplemented!()
    }

    /// What it is for, in one sentence.
    pub(crate) fn purpose(self) -> &'static str {
        unimplemented!()
    }

    /// A line of a job file, and what it yields.
    pub(crate) fn example(self) -> &'static str {
        unimplemented!()
    }

    /// Whether it works on a schema column; the others yield one value for the whole run and are stamps.
    pub(crate) fn takes_column(self) -> bool {
        unimplemented!()
    }

    /// The type it yields from a column of type `input`.
    /// Errors: which types it takes, if not this one.
    pub(crate) fn result_type(self, _input: Option<SchemaType>) -> Result<SchemaType, String> {
        unimplemented!()
    }
}
