//! Fields: which value goes to which destination column.

use super::list::List;
use super::method::MethodCall;
use super::object::NamePart;
use super::problem::Location;
use super::reference::{FieldWay, Reference};
use super::template::Template;

/// Where a field's value comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FieldValue {
    /// Position of a schema column.
    Column(usize),
    /// `{ string = "…" }`: the same text for every record.
    String(String),
    /// `{ method = "…", … }`.
    Method(MethodCall),
    /// `{ text = "… {column} …" }`: what it tells of each record.
    Text {
        template: Template,
        /// Positions of the schema columns that it names, in its order.
        columns: Vec<usize>,
    },
    /// `{ question = "…" }`: what was answered, at this position among the write-back's columns.
    Answer {
        column: usize,
        unanswered: Unanswered,
    },
    /// `{ id_of = "STEP" }`: the id of the row that the write-back of this name made of the
    /// record, or found.
    IdOf(String),
    /// The id of the record that a note is about, or to which the way of an edit leads.
    About,
    /// What tells a note from every other.
    Marker(NoteMarker),
}

/// What becomes of a record that has no answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// The field is left as it is.
    Skip,
    /// It loses its value.
    Empty,
    Reject,
    /// This text stands for the answer.
    Text(String),
}

/// What tells a note from every other: the same record makes the same note, and perhaps only if it
/// says the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoteMarker {
    /// The job and the write-back that notes are of.
    pub(crate) salt: String,
    /// Positions of the schema columns that identify a record, and then of those that the text
    /// tells of.
    pub(crate) columns: Vec<usize>,
    /// How many of them identify it.
    pub(crate) keys: usize,
    /// Absent if one note is all that a record ever makes.
    pub(crate) text: Option<Template>,
}

impl FieldValue {
    /// Positions of the schema columns that it is made of, in its order.
    pub(crate) fn columns(&self) -> &[usize] {
        match self {
            Self::Column(position)
            | Self::Answer {
                column: position, ..
            } => std::slice::from_ref(position),
            Self::String(_) | Self::IdOf(_) | Self::About => &[],
            Self::Method(call) => &call.columns,
            Self::Text { columns, .. } | Self::Marker(NoteMarker { columns, .. }) => columns,
        }
    }
}

/// When a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum When {
    #[default]
    Always,
    /// Only where the destination holds NULL or an empty string.
    IfEmpty,
}

/// What a NULL from the source does to the destination's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum NullPolicy {
    /// It is written.
    #[default]
    Write,
    /// The destination keeps what it has.
    Keep,
}

/// What becomes of a value that someone else changed since it was last written back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum OnConflict {
    /// It is overwritten.
    #[default]
    Overwrite,
    /// It is kept, and reported.
    Keep,
}

/// One line of `[write_back.fields]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    /// The destination's column, as the job file names it.
    pub(crate) column: NamePart,
    /// The parts of that name where it may be a path over references: at least two, or none.
    pub(crate) path: Vec<NamePart>,
    pub(crate) value: FieldValue,
    pub(crate) when: When,
    pub(crate) on_conflict: OnConflict,
    /// Whether a request may write it, at once.
    pub(crate) real_time: bool,
    /// How it comes to its row, if that is not the record's own. Column and path are then of that
    /// row's object.
    pub(crate) way: Option<FieldWay>,
    /// Of a stage that only goes forward: whether it is emptied first where it is to go back.
    pub(crate) clears_first: bool,
    /// The row of another object that the value is looked up as.
    pub(crate) reference: Option<Reference>,
    /// Of which members its value tells, if the field is of several.
    pub(crate) list: Option<List>,
    pub(crate) location: Location,
}
