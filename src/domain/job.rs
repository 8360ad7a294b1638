//! A job: one file of `schedules/`, checked as far as files alone can tell.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::alert::Thresholds;
use super::cadence::Cadence;
use super::canary::Canary;
use super::compare::Compare;
use super::condition::Condition;
use super::connection::{DataverseOptions, SalesforceOptions};
use super::dependent::ReadBack;
use super::field::{Field, FieldValue, NullPolicy};
use super::guard::Guards;
use super::match_rule::MatchMode;
use super::object::{NamePart, ObjectName};
use super::problem::Location;
use super::reference::NotFound;
use super::schema::{Schema, SchemaColumn};

/// One file of `schedules/`.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// The file's name without its extension.
    pub(crate) name: String,
    /// Absent if the job follows no dashboard: it then runs by hand only.
    pub(crate) cadence: Option<Cadence>,
    /// From where on people are told of its runs.
    pub(crate) thresholds: Thresholds,
    pub(crate) write_backs: Vec<WriteBack>,
    /// What records call the agency that the job is of, if it is one's.
    pub(crate) agency: Option<String>,
    /// If it is the base of agencies, each of which has a job of its own.
    pub(crate) agencies: Option<Agencies>,
}

/// The agencies of a base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agencies {
    /// As their files call them, sorted.
    pub(crate) names: Vec<String>,
}

/// Which of a source's records a write-back takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecordsOf {
    All,
    /// None: they are its agencies' to take, all of them each.
    None,
    /// Those that name the agency in this column.
    Agency {
        column: String,
        agency: String,
    },
    /// Those that name none of the agencies, which are rejected.
    Strangers {
        column: String,
        agencies: Vec<String>,
        /// Where files of agencies stand.
        folder: String,
    },
}

/// One schema, source, object, fields and match rule.
#[derive(Debug, Clone)]
pub(crate) struct WriteBack {
    pub(crate) name: String,
    /// The name that it shares with those of the same `[[write_back]]` into other destinations, which
    /// are pulled along with it; absent, there is one destination.
    pub(crate) common_name: Option<String>,
    pub(crate) schema: Schema,
    pub(crate) records_of: RecordsOf,
    /// What records were asked, and what of it fields take.
    pub(crate) questions: Option<Questions>,
    /// Name of the connection that records are read from.
    pub(crate) source: String,
    /// Name of the connection that records are written to.
    pub(crate) destination: String,
    pub(crate) table: ObjectName,
    pub(crate) batch_records_max: NonZeroUsize,
    pub(crate) mode: MatchMode,
    pub(crate) nulls: NullPolicy,
    /// What records are compared with.
    pub(crate) compare: Compare,
    pub(crate) guards: Guards,
    /// What goes first; `None`: all goes at once.
    pub(crate) canary: Option<Canary>,
    /// The table of the destination that tells what was written, and where the job says so.
    pub(crate) journal_table: Option<(ObjectName, Location)>,
    /// How it writes, if that is to Salesforce.
    pub(crate) salesforce: SalesforceOptions,
    /// As `salesforce`, of Dataverse.
    pub(crate) dataverse: DataverseOptions,
    /// How long before-images are kept; `None`: not at all, and its runs cannot be undone.
    pub(crate) before_images_kept: Option<Duration>,
    /// XXH3 (128 bits, hexadecimal) of what it writes where: another version, another test. How
    /// much is written at once, how files are laid out, what guards it, what goes first and what
    /// tells of it makes no other version.
    pub(crate) version: String,
    /// In the order of the file. Every schema column stands in exactly one field or is ignored; the
    /// key columns stand in fields of the form [`FieldValue::Column`].
    pub(crate) fields: Vec<Field>,
    /// Whether it does anything: one that is switched off skips its records.
    pub(crate) enabled: bool,
    /// How it makes rows, if it is a step of several or adds notes.
    pub(crate) creation: Option<Creation>,
    /// How it comes to its rows, if they are not the records' own, or are found by other fields than
    /// the key: `table` is then where that begins.
    pub(crate) way: Option<RowWay>,
    /// What a row must hold to be written to.
    pub(crate) only_where: Vec<Condition>,
    /// What requests are told of besides what they write, and what of it the source takes.
    pub(crate) read_back: ReadBack,
    /// Of the `[[write_back]]` line.
    pub(crate) location: Location,
    /// Of the `table` line.
    pub(crate) table_location: Location,
}

/// Questions that records answer, in a table of their own beside them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Questions {
    /// Its key is that of the records, and then the question's id.
    pub(crate) schema: Schema,
    /// Position of the column of answers.
    pub(crate) answer: usize,
    /// Position of the column that tells the question in words, if there is one.
    pub(crate) text: Option<usize>,
    /// Ids of the questions that fields take, each with the column of its answers: these stand
    /// after the schema's.
    pub(crate) asked: Vec<(String, SchemaColumn)>,
    /// Of the `questions` line.
    pub(crate) location: Location,
}

/// How a write-back makes rows of which each is there once: a step of an object write-back, or
/// notes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Creation {
    /// The write-back that it is a step of, as the job calls it. Of notes: its own name.
    pub(crate) of: String,
    /// Positions of fields by which a row is found that is there already: the first that find
    /// exactly one tell it. The first of all are the match key.
    pub(crate) exists_by: Vec<Vec<usize>>,
    /// The column that holds the id of a row, where it is not the primary key.
    pub(crate) id: Option<NamePart>,
    /// What notes are about.
    pub(crate) about: Option<About>,
}

/// The record that a note is about.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct About {
    pub(crate) table: ObjectName,
    pub(crate) table_location: Location,
    /// What it is found by.
    pub(crate) fields: Vec<Field>,
    /// The column that holds its id, where it is not the primary key.
    pub(crate) id: Option<NamePart>,
}

/// The way from what a record names to the row that is written: to its own row, which is found by
/// other fields than its key, and over references from there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RowWay {
    /// The write-back whose fields these were, as the job calls it.
    pub(crate) of: String,
    /// What a record's own row is found by.
    pub(crate) key: Vec<Field>,
    /// What it must hold besides.
    pub(crate) only_where: Vec<Condition>,
    /// The references, one after the other; none where the record's own row is written.
    pub(crate) steps: Vec<NamePart>,
    /// How many rows may refer to a row on the way.
    pub(crate) shared_max: NonZeroU32,
    /// What becomes of a record that leads to no row: it is rejected, or left alone.
    pub(crate) not_found: NotFound,
}

impl Creation {
    pub(crate) fn makes_notes(&self) -> bool {
        self.about.is_some()
    }
}

impl Job {
    /// Name of the `[dashboards.*]` whose cycles the job follows, if it follows one.
    pub(crate) fn dashboard(&self) -> Option<&str> {
        self.cadence
            .as_ref()
            .map(|cadence| cadence.dashboard.as_str())
    }
}

impl WriteBack {
    /// The columns of its records: the schema's, and those of answers.
    pub(crate) fn columns(&self) -> impl Iterator<Item = &SchemaColumn> {
        let asked = self.questions.iter().flat_map(|questions| &questions.asked);
        self.schema
            .columns
            .iter()
            .chain(asked.map(|(_, column)| column))
    }

    /// Why it leaves records alone while it is switched off.
    pub(crate) fn reason_off(&self) -> String {
        let makes_notes = self.creation.as_ref().is_some_and(Creation::makes_notes);
        let what = if makes_notes {
            "notes are off"
        } else {
            "switched off"
        };
        match &self.records_of {
            RecordsOf::Agency { agency, .. } => format!("{what} for {agency}"),
            RecordsOf::All | RecordsOf::None | RecordsOf::Strangers { .. } => what.to_owned(),
        }
    }

    /// Whether it is called so, is a step of what is called so, or one of its destinations.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name
            || self.common_name.as_deref() == Some(name)
            || self.way.as_ref().is_some_and(|way| way.of == name)
            || self
                .creation
                .as_ref()
                .is_some_and(|creation| creation.of == name)
    }

    /// Whether the two are pulled at once.
    pub(crate) fn is_pulled_with(&self, other: &Self) -> bool {
        self.pull_name() == other.pull_name()
    }

    /// What all are called that are pulled at once.
    fn pull_name(&self) -> &str {
        let of = self.way.as_ref().map(|way| &way.of);
        let name = self.common_name.as_ref().or(of);
        name.unwrap_or(&self.name)
    }

    /// What another object's rows are found by that a record leads to: the one that a note is
    /// about, or the one where a way begins.
    pub(crate) fn about_fields(&self) -> &[Field] {
        let about = self.creation.as_ref().and_then(|one| one.about.as_ref());
        match (about, &self.way) {
            (Some(about), _) => &about.fields,
            (None, Some(way)) => &way.key,
            (None, None) => &[],
        }
    }

    /// What it writes to, as its file tells: `Contact`, or `Contact › Account`.
    pub(crate) fn told_object(&self) -> String {
        let steps = self.way.iter().flat_map(|way| &way.steps);
        let steps: String = steps.map(|step| format!(" › {}", step.text)).collect();
        format!("{}{steps}", self.table)
    }

    /// Positions in `fields` of the match key, in the key's order.
    pub(crate) fn key_fields(&self) -> Vec<usize> {
        if let Some(creation) = &self.creation {
            return creation.exists_by.first().cloned().unwrap_or_default();
        }
        if self.way.is_some() {
            // The row's id stands first.
            return vec![0];
        }
        let field_of = |column: &usize| {
            self.fields.iter().position(
                |field| matches!(&field.value, FieldValue::Column(position) if position == column),
            )
        };
        self.schema.key.iter().filter_map(field_of).collect()
    }
}
