//! Where the references of a write-back lead: all of it is known before the first record is read.

use std::collections::BTreeSet;

use crate::destination::AnyDestination;
use crate::destination::seam::Destination;
use crate::domain::condition::Condition;
use crate::domain::error::chain;
use crate::domain::field::{Field, FieldValue};
use crate::domain::job::WriteBack;
use crate::domain::layout::{Demand, LayoutField};
use crate::domain::mapping::literal_value;
use crate::domain::moment::Zones;
use crate::domain::object::{
    Holds, NameError, NamePart, Object, ObjectColumn, ObjectKind, ObjectName, resolve_name,
};
use crate::domain::problem::{Location, Problem, did_you_mean, has_mistake, quoted_list};
use crate::domain::reference::Reference;
use crate::domain::referral::{ReferenceColumn, ReferenceTarget, Referral, Referrals, ValuesSeen};

/// A write-back whose references were met with the objects they lead to.
pub(super) struct Met {
    /// With the column that is written in the place of a path.
    pub(super) write_back: WriteBack,
    pub(super) referrals: Referrals,
}

/// A write-back some of whose references lead nowhere.
pub(super) struct Unmet {
    /// All mistakes about references; of other fields nothing is said.
    pub(super) problems: Vec<Problem>,
    /// As far as it was met.
    pub(super) met: Met,
    /// Positions of the fields whose references were not.
    pub(super) fields: BTreeSet<usize>,
}

/// Meets the references of a write-back, and what its rows must hold, with the destination.
pub(super) async fn meet(
    write_back: &WriteBack,
    object: &Object,
    destination: &mut AnyDestination,
    zones: Zones,
) -> Result<(Met, Vec<Problem>), Unmet> {
    let mut meeting = Meeting::new(object, destination, zones);
    let mut met = Met {
        write_back: write_back.clone(),
        referrals: Referrals::default(),
    };
    let key = write_back.key_fields();
    let mut unmet = BTreeSet::new();
    for (position, field) in met.write_back.fields.iter_mut().enumerate() {
        let column = known_column(object, &field.column);
        if let Some(column) = column {
            let labels = meeting.spell_labels(field, column).await;
            if !labels.is_empty() {
                met.referrals.labels.insert(position, labels);
            }
        }
        let is_path = column.is_none() && !field.path.is_empty();
        if !is_path && field.reference.is_none() {
            continue;
        }
        if key.contains(&position) {
            meeting.refuse_key(field);
            unmet.insert(position);
        } else if let Some(referral) = meeting.referral(field, is_path).await {
            field.column = exactly(&referral.column.name);
            met.referrals.by_field.insert(position, referral);
        } else if column.is_some() || is_path {
            unmet.insert(position);
        }
    }
    met.referrals.only_where = meeting.own_demands(write_back);
    let problems = meeting.problems;
    match has_mistake(&problems) {
        true => Err(Unmet {
            problems,
            met,
            fields: unmet,
        }),
        false => Ok((met, problems)),
    }
}

/// An object whose references are met with those that they lead to.
pub(super) struct Meeting<'a> {
    object: &'a Object,
    destination: &'a mut AnyDestination,
    zones: Zones,
    /// The object's references, once they were asked for.
    columns: Option<Vec<ReferenceColumn>>,
    pub(super) problems: Vec<Problem>,
}

/// A path, as a job file names it.
pub(super) struct NamedPath<'a> {
    pub(super) text: &'a str,
    pub(super) location: &'a Location,
    /// Its last part, where a reference may say as well where it leads.
    pub(super) value: Option<&'a NamePart>,
}

/// Where a field's value is looked up.
struct Lookup<'a> {
    column: &'a ObjectColumn,
    /// What is written of the row that is found.
    id: Option<String>,
    object: Object,
    field: NamePart,
    location: Location,
}

impl<'a> Meeting<'a> {
    pub(super) fn new(
        object: &'a Object,
        destination: &'a mut AnyDestination,
        zones: Zones,
    ) -> Self {
        Self {
            object,
            destination,
            zones,
            columns: None,
            problems: Vec::new(),
        }
    }

    pub(super) fn mistake(&mut self, location: &Location, message: String, hint: Option<String>) {
        let mistake = Problem::mistake(location.clone(), message);
        self.problems.push(mistake.hint_if(hint));
    }

    fn refuse_key(&mut self, field: &Field) {
        let message = format!(
            "`{}` is looked up in another object, and it is the match key",
            field.column.text
        );
        let hint = "name a field of the object itself: records are matched on it".to_owned();
        self.mistake(&field.location, message, Some(hint));
    }

    async fn referral(&mut self, field: &Field, is_path: bool) -> Option<Referral> {
        let named = field
            .reference
            .as_ref()
            .and_then(|reference| reference.refers_to.clone());
        let lookup = match (named, is_path) {
            (Some((_, _, location)), true) => {
                let message = format!(
                    "`{}` is a path, and `refers_to` says where it leads once more",
                    field.column.text
                );
                let hint = "name the reference's own field, or leave `refers_to` out".to_owned();
                self.mistake(&location, message, Some(hint));
                return None;
            }
            (Some(named), false) => self.named(field, named).await?,
            (None, true) => self.path(field).await?,
            (None, false) => {
                let message = format!(
                    "`{}` is a column of `{}` and no path over references",
                    field.column.text,
                    self.object.display_name()
                );
                let hint = "leave `only_where` and `not_found` out, or add `refers_to`".to_owned();
                self.mistake(&field.location, message, Some(hint));
                return None;
            }
        };
        self.finish(field, lookup)
    }

    /// Where a field with `refers_to` leads.
    async fn named(
        &mut self,
        field: &Field,
        (name, value, location): (ObjectName, NamePart, Location),
    ) -> Option<Lookup<'a>> {
        // That there is no such column is told with those of the other fields.
        let column = known_column(self.object, &field.column)?;
        let name = beside(self.object, name);
        let object = self.describe(&name, &location).await?;
        let references = self.references(&field.location).await?;
        let own: Vec<&ReferenceColumn> = references
            .iter()
            .filter(|reference| reference.column == column.name)
            .collect();
        let targets = || own.iter().flat_map(|reference| &reference.targets);
        let target = targets().find(|target| target.path == object.path);
        let id = match target {
            Some(target) => Some(target.column.clone()),
            None if targets().next().is_some() => {
                let leads: Vec<String> = targets().map(|target| target.path.join(".")).collect();
                let message = format!(
                    "`{}` leads to {}, not to `{}`",
                    column.name,
                    quoted_list(leads.iter().map(String::as_str)),
                    object.display_name()
                );
                self.mistake(&location, message, None);
                return None;
            }
            None => self.without_foreign_key(column, &object, &location)?,
        };
        Some(Lookup {
            column,
            id,
            object,
            field: value,
            location,
        })
    }

    /// What is written of a row to which no foreign key leads: its primary key, if that is one
    /// column.
    fn without_foreign_key(
        &mut self,
        column: &ObjectColumn,
        object: &Object,
        location: &Location,
    ) -> Option<Option<String>> {
        let own = self.object.display_name();
        let other = object.display_name();
        match (self.object.kind, object.primary_key.as_slice()) {
            (ObjectKind::Table | ObjectKind::View { .. }, [only]) => {
                let message = format!(
                    "no foreign key of `{own}` leads from `{}` to `{other}`: its primary key `{only}` is written",
                    column.name
                );
                let hint = "let the database know: add a foreign key".to_owned();
                self.problems
                    .push(Problem::warning(location.clone(), message).hint(hint));
                Some(Some(only.clone()))
            }
            (ObjectKind::Records(_), _) => {
                let message = format!("`{}` of `{own}` is no reference", column.name);
                let names = self.names();
                let hint = format!(
                    "references are {}",
                    quoted_list(names.iter().map(String::as_str))
                );
                self.mistake(location, message, Some(hint));
                None
            }
            (_, _) => {
                let message = format!(
                    "no foreign key of `{own}` leads from `{}` to `{other}`, which has no primary key of one column",
                    column.name
                );
                let hint = "add a foreign key of one column".to_owned();
                self.mistake(location, message, Some(hint));
                None
            }
        }
    }

    /// The columns of the references that are known, once they were asked for.
    fn names(&self) -> Vec<String> {
        let references = self.columns.iter().flatten();
        references
            .map(|reference| reference.column.clone())
            .collect()
    }

    /// Where a field's name leads that is a path.
    async fn path(&mut self, field: &Field) -> Option<Lookup<'a>> {
        let [step, value] = field.path.as_slice() else {
            let message = format!("`{}` is a path of several references", field.column.text);
            let hint = "name the first of them without quotes around dots".to_owned();
            self.mistake(&field.location, message, Some(hint));
            return None;
        };
        let named = NamedPath {
            text: &field.column.text,
            location: &field.location,
            value: Some(value),
        };
        let (column, target) = self.step(step, &named).await?;
        Some(Lookup {
            column,
            object: self.target(&target, &field.location).await?,
            id: Some(target.column),
            field: value.clone(),
            location: field.location.clone(),
        })
    }

    /// The one column that a step of a path takes, and the one object to which it leads.
    pub(super) async fn step(
        &mut self,
        step: &NamePart,
        path: &NamedPath<'_>,
    ) -> Option<(&'a ObjectColumn, ReferenceTarget)> {
        let references = self.references(path.location).await?;
        let Some(reference) = step_of(&references, step) else {
            let own = self.object.display_name();
            let message = format!(
                "`{}` is neither a column of `{own}` nor a path: it has no reference `{}` that leads to one record",
                path.text, step.text
            );
            let names = || references.iter().flat_map(ReferenceColumn::names);
            let parts: Vec<&str> = self.object.parts_of(&step.text).collect();
            let others = || match references.is_empty() {
                true => "no column of it is a reference".to_owned(),
                false => format!("references are {}", quoted_list(names())),
            };
            let hint = match parts.is_empty() {
                false => format!("its parts are {}", quoted_list(parts)),
                true => did_you_mean(&step.text, names()).unwrap_or_else(others),
            };
            self.mistake(path.location, message, Some(hint));
            return None;
        };
        let column = known_column(self.object, &exactly(&reference.column))?;
        let [target] = reference.targets.as_slice() else {
            let targets: Vec<String> = reference
                .targets
                .iter()
                .map(|target| target.path.join("."))
                .collect();
            let message = format!(
                "`{}` may lead to {}",
                step.text,
                quoted_list(targets.iter().map(String::as_str))
            );
            let last = targets.last().map_or("Object", String::as_str);
            let hint = path.value.map(|value| {
                format!(
                    "say to which: `{} = {{ column = \"…\", refers_to = \"{last}.{}\" }}`",
                    column.name, value.text
                )
            });
            self.mistake(path.location, message, hint);
            return None;
        };
        Some((column, target.clone()))
    }

    /// The object that a reference leads to.
    pub(super) async fn target(
        &mut self,
        target: &ReferenceTarget,
        location: &Location,
    ) -> Option<Object> {
        let name = ObjectName {
            parts: target.path.iter().map(|part| exactly(part)).collect(),
        };
        self.describe(&name, location).await
    }

    fn finish(&mut self, field: &Field, lookup: Lookup<'a>) -> Option<Referral> {
        let Lookup {
            column,
            id,
            object,
            field: value,
            location,
        } = lookup;
        if !object.may_select {
            let message = format!(
                "`{}` may not be read, and values are looked up in it",
                object.display_name()
            );
            self.mistake(&location, message, object.grant("SELECT"));
            return None;
        }
        let value = self.found_by(&object, &value, &location)?;
        let id = known_column(&object, &exactly(&id?)).cloned();
        let id = id.and_then(|id| Some(LayoutField::plain(id.clone(), id.holds.kind()?)));
        let Some(id) = id else {
            let message = format!(
                "the id of `{}` is of a type that cannot be written",
                object.display_name()
            );
            self.mistake(&location, message, None);
            return None;
        };
        let none = Reference::default();
        let reference = field.reference.as_ref().unwrap_or(&none);
        let demands = self.demands(&object, &reference.only_where, &[&value.column.name])?;
        Some(Referral {
            column: column.clone(),
            object,
            value,
            id,
            only_where: demands,
            not_found: reference.not_found,
        })
    }

    /// What of another object values are looked up in.
    pub(super) fn found_by(
        &mut self,
        object: &Object,
        name: &NamePart,
        location: &Location,
    ) -> Option<LayoutField> {
        let column = self.column_of(object, name, location)?;
        let shown = object.display_name();
        let is_filtered = |index: &Vec<String>| *index == [column.name.clone()];
        if matches!(object.kind, ObjectKind::Records(_)) && !object.indexes.iter().any(is_filtered)
        {
            let message = format!(
                "`{}` of `{shown}` cannot be filtered by, so that no record is found by it",
                column.name
            );
            let hint = "look up by another field".to_owned();
            self.mistake(location, message, Some(hint));
            return None;
        }
        self.readable(object, &column, location)
    }

    /// A column as part of what rows are found by.
    fn readable(
        &mut self,
        object: &Object,
        column: &ObjectColumn,
        location: &Location,
    ) -> Option<LayoutField> {
        let shown = object.display_name();
        if !column.may_select {
            let message = format!("`{}` of `{shown}` may not be read", column.name);
            let right = format!("SELECT ({})", object.spelling.quoted(&column.name));
            self.mistake(location, message, object.grant(&right));
            return None;
        }
        let Some(kind) = column.holds.kind() else {
            let message = format!(
                "`{}` of `{shown}` is {}, a type that nothing is found by",
                column.name, column.declared
            );
            self.mistake(location, message, None);
            return None;
        };
        Some(LayoutField {
            key: true,
            ..LayoutField::plain(column.clone(), kind)
        })
    }

    fn column_of(
        &mut self,
        object: &Object,
        name: &NamePart,
        location: &Location,
    ) -> Option<ObjectColumn> {
        if let Some(column) = known_column(object, name) {
            return Some(column.clone());
        }
        let names = || object.columns.iter().map(|column| column.name.as_str());
        let hint = did_you_mean(&name.text, names());
        let message = format!(
            "column `{}` is not in `{}`",
            name.text,
            object.display_name()
        );
        self.mistake(location, message, hint);
        None
    }

    /// What rows of an object must hold; `found_by` are the columns that they are found by.
    pub(super) fn demands(
        &mut self,
        object: &Object,
        conditions: &[Condition],
        found_by: &[&String],
    ) -> Option<Vec<Demand>> {
        let mut demands: Vec<Demand> = Vec::new();
        let mut is_whole = true;
        for condition in conditions {
            match self.demand(object, condition, found_by, &demands) {
                Some(demand) => demands.push(demand),
                None => is_whole = false,
            }
        }
        is_whole.then_some(demands)
    }

    fn demand(
        &mut self,
        object: &Object,
        condition: &Condition,
        found_by: &[&String],
        others: &[Demand],
    ) -> Option<Demand> {
        let location = &condition.location;
        let column = self.column_of(object, &condition.column, location)?;
        let name = &column.name;
        let is_taken =
            found_by.contains(&name) || others.iter().any(|other| other.field.column.name == *name);
        if is_taken {
            let message = format!("`only_where` is on `{name}`, by which rows are found already");
            self.mistake(location, message, Some("leave it out".to_owned()));
            return None;
        }
        let field = self.readable(object, &column, location)?;
        let mut values = Vec::new();
        for text in &condition.values {
            match literal_value(&column, text, self.zones) {
                Ok(value) => values.push(value),
                Err(why) => {
                    let message = format!(
                        "a value of `only_where` does not fit `{name}` ({}): {why}",
                        column.declared
                    );
                    self.mistake(location, message, None);
                    return None;
                }
            }
        }
        Some(Demand { field, values })
    }

    fn own_demands(&mut self, write_back: &WriteBack) -> Vec<Demand> {
        let object = self.object;
        let key: Vec<&String> = write_back
            .key_fields()
            .into_iter()
            .filter_map(|position| {
                let field = write_back.fields.get(position)?;
                Some(&known_column(object, &field.column)?.name)
            })
            .collect();
        let demands = self.demands(object, &write_back.only_where, &key);
        demands.unwrap_or_default()
    }

    async fn describe(&mut self, name: &ObjectName, location: &Location) -> Option<Object> {
        match self.destination.describe(name).await {
            Ok(object) => Some(object),
            Err(error) => {
                let message = chain(&error).join(": ");
                self.mistake(location, message, error.hint());
                None
            }
        }
    }

    /// Puts the value in the place of what people see of it, where a field writes the same text
    /// always and the column's list does not have it; of a field whose texts vary, tells the values
    /// by what people see.
    async fn spell_labels(&mut self, field: &mut Field, column: &ObjectColumn) -> ValuesSeen {
        let (Holds::Label(words) | Holds::Labels(words)) = &column.holds else {
            return ValuesSeen::new();
        };
        let fixed = match &field.value {
            FieldValue::String(label) => Some(label),
            value if value.columns().is_empty() => return ValuesSeen::new(),
            FieldValue::Column(_)
            | FieldValue::Method(_)
            | FieldValue::Text { .. }
            | FieldValue::Answer { .. }
            | FieldValue::IdOf(_)
            | FieldValue::About
            | FieldValue::Marker(_) => None,
        };
        if fixed.is_some_and(|label| words.contains(label)) {
            return ValuesSeen::new();
        }
        let seen = self.destination.values_seen(self.object, &column.name);
        // What is no label either is told of with the list.
        let seen = seen.await.unwrap_or_default();
        let Some(label) = fixed else {
            return seen;
        };
        if let Some(value) = seen.get(label) {
            field.value = FieldValue::String(value.clone());
        }
        ValuesSeen::new()
    }

    async fn references(&mut self, location: &Location) -> Option<Vec<ReferenceColumn>> {
        if self.columns.is_none() {
            match self.destination.references(self.object).await {
                Ok(columns) => self.columns = Some(columns),
                Err(error) => {
                    let message = chain(&error).join(": ");
                    self.mistake(location, message, error.hint());
                }
            }
        }
        self.columns.clone()
    }
}

/// A name that means this and nothing that differs in case.
pub(super) fn exactly(name: &str) -> NamePart {
    NamePart {
        text: name.to_owned(),
        quoted: true,
    }
}

pub(super) fn known_column<'a>(object: &'a Object, name: &NamePart) -> Option<&'a ObjectColumn> {
    let names = || object.columns.iter().map(|column| column.name.as_str());
    match resolve_name(name, names()) {
        Ok(found) => object.columns.iter().find(|column| column.name == found),
        Err(NameError::Unknown | NameError::Ambiguous { .. }) => None,
    }
}

/// A name that stands beside an object, where it says nothing else.
fn beside(object: &Object, name: ObjectName) -> ObjectName {
    let missing = object.path.len().saturating_sub(name.parts.len());
    let outer = object.path.iter().take(missing).map(|part| exactly(part));
    ObjectName {
        parts: outer.chain(name.parts).collect(),
    }
}

/// The reference that a step of a path takes: by its relationship, or by its column.
pub(super) fn step_of<'a>(
    references: &'a [ReferenceColumn],
    step: &NamePart,
) -> Option<&'a ReferenceColumn> {
    let of_relationship = |reference: &&ReferenceColumn| reference.relationship.is_some();
    let relationships = || {
        references
            .iter()
            .filter_map(|reference| reference.relationship.as_deref())
    };
    let columns = || references.iter().map(|reference| reference.column.as_str());
    if let Ok(column) = resolve_name(step, columns()) {
        return references
            .iter()
            .find(|reference| reference.column == column);
    }
    let relationship = resolve_name(step, relationships()).ok()?;
    let mut known = references
        .iter()
        .filter(of_relationship)
        .filter(|reference| reference.relationship.as_deref() == Some(relationship));
    // Two foreign keys may lead to one table: which one is meant is not guessed.
    match (known.next(), known.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}
