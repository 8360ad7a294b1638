//! Where the way leads that fields take to rows other than the records' own: met with the objects on
//! it before the first record is read.

use std::num::NonZeroU32;

use super::references::{Meeting, NamedPath, exactly, known_column};
use super::sight::{IdPlace, Sight};
use crate::destination::AnyDestination;
use crate::domain::job::{RowWay, WriteBack};
use crate::domain::layout::LayoutField;
use crate::domain::moment::Zones;
use crate::domain::object::{NamePart, Object, ObjectColumn, ObjectName};
use crate::domain::problem::{Location, Problem};
use crate::domain::reference::NotFound;
use crate::domain::referral::Referral;

/// A way that was met with its objects.
pub(crate) struct PlannedWay {
    /// Columns by which the records' own rows are found.
    pub(super) key: Vec<ObjectColumn>,
    /// Tells the ids of these rows, where they are what is written.
    pub(super) own: Option<Sight>,
    /// None where the records' own rows are written.
    pub(super) steps: Vec<WayStep>,
    pub(super) shared_max: NonZeroU32,
    pub(super) not_found: NotFound,
    /// The object whose rows the records' own are.
    pub(super) start: Object,
}

/// One reference on the way.
pub(super) struct WayStep {
    /// Columns by which the row is found that has the reference.
    pub(super) key: Vec<ObjectColumn>,
    pub(super) reference: ObjectColumn,
    /// Reads the reference of a row.
    pub(super) sight: Sight,
    /// Finds the rows whose reference holds the same.
    pub(super) sharers: Referral,
    /// As people read it: what has the reference, and what it leads to.
    from: String,
    to: String,
    path: Vec<String>,
}

/// A write-back whose way was met.
pub(super) struct MetWay {
    /// With the object's table and the id of its rows.
    pub(super) write_back: WriteBack,
    /// That is written.
    pub(super) object: Object,
    pub(super) way: PlannedWay,
}

impl PlannedWay {
    /// Objects whose references it takes, with the column of each.
    pub(super) fn references(&self) -> impl Iterator<Item = (&[String], &str)> {
        let steps = self.steps.iter();
        steps.map(|step| (step.path.as_slice(), step.reference.name.as_str()))
    }
}

impl WayStep {
    /// Where its row is looked for by an id: the column that holds that.
    pub(super) fn key_column(&self) -> Option<&ObjectColumn> {
        self.key.first()
    }

    pub(super) fn told_empty(&self) -> String {
        format!("`{}` of `{}` is empty", self.reference.name, self.from)
    }

    /// How many rows a reference names that may name several; `None` if it is one.
    pub(super) fn several(&self, ids: &str) -> Option<usize> {
        let named = ids.split(';').filter(|id| !id.is_empty()).count();
        (self.reference.is_set && named > 1).then_some(named)
    }

    pub(super) fn told_several(&self, named: usize) -> String {
        format!(
            "`{}` of `{}` names {named} of `{}`, of which one is to be meant",
            self.reference.name, self.from, self.to
        )
    }

    pub(super) fn told_missing(&self) -> String {
        format!("the row of `{}` that leads on is not there", self.from)
    }

    pub(super) fn told_shared(&self, id: &str, rows: u64, shared_max: u64) -> String {
        format!(
            "{rows} of `{}` refer to `{}` {id} by `{}`, and `shared_max` is {shared_max}: raise it if the row is to change for all of them",
            self.from, self.to, self.reference.name
        )
    }
}

/// Meets the way of a write-back with the destination, from the object where it begins.
/// Errors: all mistakes.
pub(super) async fn meet_way(
    (write_back, way): (&WriteBack, &RowWay),
    start: Object,
    destination: &mut AnyDestination,
    zones: Zones,
) -> Result<MetWay, Vec<Problem>> {
    let field_ways = write_back.fields.iter().filter_map(|field| {
        let way = field.way.as_ref()?;
        Some((way.name.as_str(), &field.location))
    });
    let (name, location) = field_ways
        .clone()
        .next()
        .unwrap_or((&write_back.name, &write_back.location));
    let columns: Vec<Problem> = field_ways
        .filter(|(name, _)| known_column(&start, &plainly(name)).is_some())
        .map(|(name, location)| is_column(name, &start, location))
        .collect();
    if !columns.is_empty() {
        return Err(columns);
    }
    if way.steps.is_empty() {
        return meet_own((write_back, way), start, destination, zones);
    }
    let mut here = start.clone();
    let own_key: Vec<ObjectColumn> = way
        .key
        .iter()
        .filter_map(|field| known_column(&start, &field.column).cloned())
        .collect();
    let mut key = own_key.clone();
    let mut steps = Vec::new();
    for step in &way.steps {
        let path = NamedPath {
            text: name,
            location,
            value: None,
        };
        let mut meeting = Meeting::new(&here, destination, zones);
        let begins = steps.is_empty();
        let met = meet_step(
            &mut meeting,
            &here,
            (step, &path),
            key,
            begins.then_some(way),
        )
        .await;
        let problems = std::mem::take(&mut meeting.problems);
        let Some((met, next, id)) = met else {
            return Err(problems);
        };
        key = known_column(&next, &exactly(&id))
            .cloned()
            .into_iter()
            .collect();
        here = next;
        steps.push(met);
    }
    let id = key
        .first()
        .map_or_else(String::new, |column| column.name.clone());
    let mut write_back = write_back.clone();
    write_back.table = ObjectName {
        parts: here.path.iter().map(|part| exactly(part)).collect(),
    };
    if let Some(first) = write_back.fields.first_mut() {
        first.column = exactly(&id);
    }
    Ok(MetWay {
        write_back,
        object: here,
        way: PlannedWay {
            key: own_key,
            own: None,
            steps,
            shared_max: way.shared_max,
            not_found: way.not_found,
            start,
        },
    })
}

/// The way of a write-back whose records' own rows are found by other fields than their key.
/// Errors: all mistakes.
fn meet_own(
    (write_back, way): (&WriteBack, &RowWay),
    start: Object,
    destination: &mut AnyDestination,
    zones: Zones,
) -> Result<MetWay, Vec<Problem>> {
    let mut meeting = Meeting::new(&start, destination, zones);
    let key = way.key.iter().filter_map(|field| {
        let found_by = meeting.found_by(&start, &field.column, &field.location)?;
        Some(found_by.column)
    });
    let key: Vec<ObjectColumn> = key.collect();
    let names: Vec<&String> = key.iter().map(|column| &column.name).collect();
    let demands = meeting.demands(&start, &way.only_where, &names);
    let id = match start.primary_key.as_slice() {
        [only] => known_column(&start, &exactly(only)).cloned(),
        _ => None,
    };
    if id.is_none() {
        let message = format!(
            "`{}` has no primary key of one column, so that nothing tells the id of its rows",
            start.display_name()
        );
        let hint = "match on the key instead: a schema whose PRIMARY KEY is what rows are found by";
        meeting.mistake(&write_back.table_location, message, Some(hint.to_owned()));
    }
    let problems = std::mem::take(&mut meeting.problems);
    let (Some(id), Some(demands), true) = (id, demands, problems.is_empty()) else {
        return Err(problems);
    };
    let place = match start.kind.is_of_service() {
        true => IdPlace::Told,
        false => IdPlace::Column(id.clone()),
    };
    let mut write_back = write_back.clone();
    if let Some(first) = write_back.fields.first_mut() {
        first.column = exactly(&id.name);
    }
    Ok(MetWay {
        write_back,
        object: start.clone(),
        way: PlannedWay {
            own: Some(Sight::of(&start, &key, &place).among(demands)),
            key,
            steps: Vec::new(),
            shared_max: way.shared_max,
            not_found: way.not_found,
            start,
        },
    })
}

/// One step, what it leads to, and the column there whose value the reference holds. `begins` is the
/// way, of its first step.
async fn meet_step(
    meeting: &mut Meeting<'_>,
    here: &Object,
    (step, path): (&NamePart, &NamedPath<'_>),
    key: Vec<ObjectColumn>,
    begins: Option<&RowWay>,
) -> Option<(WayStep, Object, String)> {
    let (reference, target) = meeting.step(step, path).await?;
    let reference = reference.clone();
    let next = meeting.target(&target, path.location).await?;
    if !here.may_select {
        let message = format!(
            "`{}` may not be read, and the way leads over it",
            here.display_name()
        );
        meeting.mistake(path.location, message, here.grant("SELECT"));
        return None;
    }
    let value = meeting.found_by(here, &exactly(&reference.name), path.location)?;
    let sight = Sight::of(here, &key, &IdPlace::Column(reference.clone()));
    let found_by: Vec<&String> = key.iter().map(|column| &column.name).collect();
    let demands = match begins {
        Some(way) => meeting.demands(here, &way.only_where, &found_by)?,
        None => Vec::new(),
    };
    let step = WayStep {
        sight: sight.among(demands),
        sharers: Referral {
            column: reference.clone(),
            id: id_of(here, &value),
            object: here.clone(),
            value,
            only_where: Vec::new(),
            not_found: NotFound::Reject,
        },
        from: here.display_name(),
        to: next.display_name(),
        path: here.path.clone(),
        key,
        reference,
    };
    Some((step, next, target.column))
}

/// What tells a row that is counted from others: its id where it has one, or what it was found by.
fn id_of(object: &Object, found_by: &LayoutField) -> LayoutField {
    let id = match object.primary_key.as_slice() {
        [only] => known_column(object, &exactly(only)),
        _ => None,
    };
    let field = id.and_then(|id| Some(LayoutField::plain(id.clone(), id.holds.kind()?)));
    field.unwrap_or_else(|| LayoutField {
        key: false,
        ..found_by.clone()
    })
}

/// A column whose own name has dots in it is that column.
fn is_column(name: &str, object: &Object, location: &Location) -> Problem {
    let message = format!(
        "`{name}` is a column of `{}` and no way over references",
        object.display_name()
    );
    let hint = format!("write its name in double quotes: `'\"{name}\"'`");
    Problem::mistake(location.clone(), message).hint(hint)
}

fn plainly(name: &str) -> NamePart {
    NamePart {
        text: name.to_owned(),
        quoted: false,
    }
}
