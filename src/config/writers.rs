//! One writer per field: which columns of a job other jobs of the project write as well.

use super::names::may_be_same;
use crate::domain::field::Field;
use crate::domain::job::{Job, WriteBack};
use crate::domain::match_rule::MatchMode;
use crate::domain::object::ObjectName;
use crate::domain::problem::{Problem, quoted_list};

/// What is to be told of the columns that `other` writes as well: a mistake where both write them
/// whenever somebody asks, else a warning.
pub(super) fn shared(job: &Job, other: &Job) -> Vec<Problem> {
    let pairs = job.write_backs.iter().flat_map(|here| {
        let met = other.write_backs.iter().filter(|there| meet(here, there));
        met.map(move |there| (here, there))
    });
    pairs
        .filter_map(|(here, there)| told_of(here, other, there))
        .collect()
}

/// The field of another job that writes a field's column whenever somebody asks, if one does.
pub(crate) fn other_at_once<'a>(
    (here, field): (&WriteBack, &Field),
    other: &'a Job,
) -> Option<(&'a WriteBack, &'a Field)> {
    let is_twin = |theirs: &&Field| theirs.real_time && may_be_same(&theirs.column, &field.column);
    let mut met = other.write_backs.iter().filter(|there| meet(here, there));
    met.find_map(|there| Some((there, fields_but_key(there).into_iter().find(is_twin)?)))
}

/// Whether two may write into the same rows.
fn meet(here: &WriteBack, there: &WriteBack) -> bool {
    is_writer(here)
        && is_writer(there)
        && here.destination == there.destination
        && may_be_same_table(&here.table, &there.table)
}

/// Whether it writes into rows of its table that others may write to. What only makes rows does
/// not; where a way leads, files do not tell.
fn is_writer(write_back: &WriteBack) -> bool {
    write_back.enabled
        && write_back.creation.is_none()
        && write_back
            .way
            .as_ref()
            .is_none_or(|way| way.steps.is_empty())
        && write_back.mode != MatchMode::CreateOnly
}

fn told_of(here: &WriteBack, other: &Job, there: &WriteBack) -> Option<Problem> {
    let their_fields = fields_but_key(there);
    let twin = |field: &Field| {
        let mut fields = their_fields.iter();
        fields.find(|theirs| may_be_same(&theirs.column, &field.column))
    };
    let own = fields_but_key(here);
    let both: Vec<(&Field, &Field)> = own
        .into_iter()
        .filter_map(|field| Some((field, *twin(field)?)))
        .collect();
    let at_once: Vec<&Field> = both
        .iter()
        .filter(|(ours, theirs)| ours.real_time && theirs.real_time)
        .map(|(ours, _)| *ours)
        .collect();
    let names = |fields: &[&Field]| {
        let names = fields.iter().map(|field| field.column.text.as_str());
        quoted_list(names)
    };
    let (table, destination) = (&here.table, &here.destination);
    let writer = format!("`{}` of job `{}`", there.name, other.name);
    if let [first, ..] = at_once.as_slice() {
        let message = format!(
            "{} of {table} at `{destination}` has another writer with `realtime = true`: {writer}",
            names(&at_once)
        );
        let problem = Problem::mistake(first.location.clone(), message);
        return Some(problem.hint("take `realtime = true` away from one of the two"));
    }
    let shared: Vec<&Field> = both.iter().map(|(ours, _)| *ours).collect();
    let first = shared.first()?;
    let message = format!(
        "{} of {table} at `{destination}` has another writer: {writer}; whoever runs last has its \
         way",
        names(&shared)
    );
    let problem = Problem::warning(first.location.clone(), message);
    Some(problem.hint("let one of the two write it, unless their records differ"))
}

/// The fields that are written: records are found by the others.
fn fields_but_key(write_back: &WriteBack) -> Vec<&Field> {
    let keys = write_back.key_fields();
    let fields = write_back.fields.iter().enumerate();
    let written = fields.filter(|(place, _)| !keys.contains(place));
    written.map(|(_, field)| field).collect()
}

/// Whether two tables may be the same: their parts are, as far as both have them.
fn may_be_same_table(left: &ObjectName, right: &ObjectName) -> bool {
    let mut parts = left.parts.iter().rev().zip(right.parts.iter().rev());
    parts.all(|(left, right)| may_be_same(left, right))
}
