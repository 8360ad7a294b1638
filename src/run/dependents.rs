//! Which fields depend on what requests write (`read_back`): met with the rows that they stand in.

use super::references::{exactly, known_column, step_of};
use crate::destination::AnyDestination;
use crate::destination::seam::Destination;
use crate::domain::connection::ServiceKind;
use crate::domain::dependent::{Dependents, NamedField};
use crate::domain::error::chain;
use crate::domain::job::WriteBack;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::object::{NamePart, Object, ObjectColumn, ObjectName};
use crate::domain::problem::{Problem, did_you_mean, has_mistake, quoted_list};
use crate::domain::referral::{ReferenceColumn, ReferenceTarget, Referrals};

/// Meets the fields that a write-back reads back with their rows; `write_back` has its references
/// met already. Errors: all mistakes.
pub(super) async fn meet(
    write_back: &WriteBack,
    object: &Object,
    referrals: &Referrals,
    destination: &mut AnyDestination,
) -> Result<(Vec<Dependents>, Vec<Problem>), Vec<Problem>> {
    let mut meeting = Meeting {
        write_back,
        object,
        referrals,
        destination,
        references: None,
        met: Vec::new(),
        problems: Vec::new(),
    };
    for field in &write_back.read_back.fields {
        match known_column(object, &field.column) {
            Some(column) => meeting.own(field, column),
            None => {
                meeting.through(field).await;
            }
        }
    }
    match has_mistake(&meeting.problems) {
        true => Err(meeting.problems),
        false => Ok((meeting.met, meeting.problems)),
    }
}

struct Meeting<'a> {
    write_back: &'a WriteBack,
    object: &'a Object,
    referrals: &'a Referrals,
    destination: &'a mut AnyDestination,
    /// The object's references, once they were asked for.
    references: Option<Vec<ReferenceColumn>>,
    met: Vec<Dependents>,
    problems: Vec<Problem>,
}

impl Meeting<'_> {
    fn mistake(&mut self, field: &NamedField, message: String, hint: Option<String>) {
        let mistake = Problem::mistake(field.location.clone(), message);
        self.problems.push(mistake.hint_if(hint));
    }

    /// A column of the row that is written.
    fn own(&mut self, field: &NamedField, column: &ObjectColumn) {
        let mut keys = self.write_back.key_fields().into_iter();
        let is_key = keys.any(|position| {
            let key = self.write_back.fields.get(position);
            let key = key.and_then(|key| known_column(self.object, &key.column));
            key.is_some_and(|key| key.name == column.name)
        });
        if is_key {
            let message = format!("`{}` is what records are found by", field.text);
            return self.mistake(field, message, Some("leave it out".to_owned()));
        }
        if let Some(read) = self.readable(field, self.object, column) {
            self.add(field, None, (self.object, &[]), read);
        }
    }

    /// A column of the row that a reference leads to.
    async fn through(&mut self, field: &NamedField) -> Option<()> {
        let shown = self.object.display_name();
        let [step, value] = field.path.as_slice() else {
            let (message, hint) = match field.path.is_empty() {
                true => {
                    let names = self.object.columns.iter();
                    let names = names.map(|column| column.name.as_str());
                    (
                        format!("column `{}` is not in `{shown}`", field.text),
                        did_you_mean(&field.column.text, names),
                    )
                }
                false => (
                    format!("`{}` is a path of several references", field.text),
                    Some("read back over one: `Owner.Name`".to_owned()),
                ),
            };
            self.mistake(field, message, hint);
            return None;
        };
        if self.object.kind.service() == Some(ServiceKind::HubSpot) {
            let message = format!(
                "`{}`: nothing is read back over references of HubSpot",
                field.text
            );
            let hint = "name a property of the object itself".to_owned();
            self.mistake(field, message, Some(hint));
            return None;
        }
        let references = self.references(field).await?;
        let Some(reference) = step_of(&references, step) else {
            let message = format!(
                "`{}` is neither a column of `{shown}` nor a path: it has no reference `{}` that leads to one record",
                field.text, step.text
            );
            let hint = self.known_references(&references, &step.text);
            self.mistake(field, message, Some(hint));
            return None;
        };
        let target = self.target(field, reference, value)?.clone();
        let column = known_column(self.object, &exactly(&reference.column))?.clone();
        self.warn_unless_written(field, &column);
        let name = ObjectName {
            parts: target.path.iter().map(|part| exactly(part)).collect(),
        };
        let object = match self.destination.describe(&name).await {
            Ok(object) => object,
            Err(error) => {
                self.mistake(field, chain(&error).join(": "), error.hint());
                return None;
            }
        };
        let shown = object.display_name();
        let Some(read) = known_column(&object, value) else {
            let names = object.columns.iter().map(|column| column.name.as_str());
            let hint = did_you_mean(&value.text, names);
            let message = format!("column `{}` is not in `{shown}`", value.text);
            self.mistake(field, message, hint);
            return None;
        };
        let read = self.readable(field, &object, read)?;
        let id = known_column(&object, &exactly(&target.column));
        let id = id.and_then(|id| Some(LayoutField::plain(id.clone(), id.holds.kind()?)));
        let Some(id) = id else {
            let message = format!("the id of `{shown}` is of a type that nothing is found by");
            self.mistake(field, message, None);
            return None;
        };
        let id = LayoutField { key: true, ..id };
        self.add(field, Some(column), (&object, &[id]), read);
        Some(())
    }

    /// Adds a field to those of its row; `key` is what the row is found by.
    fn add(
        &mut self,
        field: &NamedField,
        reference: Option<ObjectColumn>,
        (object, key): (&Object, &[LayoutField]),
        read: LayoutField,
    ) {
        let is_same = |known: &Dependents| {
            let name = |column: &Option<ObjectColumn>| column.as_ref().map(|one| one.name.clone());
            name(&known.reference) == name(&reference) && known.layout.object.path == object.path
        };
        if !self.met.iter().any(is_same) {
            self.met.push(Dependents {
                reference: reference.clone(),
                layout: Layout {
                    fields: key.to_vec(),
                    key: (0..key.len()).collect(),
                    ..Layout::of_rows(object.clone())
                },
                named: Vec::new(),
            });
        }
        let mut met = self.met.iter_mut();
        let Some(known) = met.find(|known| is_same(known)) else {
            return;
        };
        let fields = &mut known.layout.fields;
        let position = fields
            .iter()
            .position(|known| known.column.name == read.column.name);
        let position = position.unwrap_or_else(|| {
            fields.push(read);
            fields.len() - 1
        });
        known.named.push((field.text.clone(), position));
    }

    fn readable(
        &mut self,
        field: &NamedField,
        object: &Object,
        column: &ObjectColumn,
    ) -> Option<LayoutField> {
        let shown = object.display_name();
        if !(object.may_select && column.may_select) {
            let message = format!("`{}` of `{shown}` may not be read", column.name);
            let right = format!("SELECT ({})", object.spelling.quoted(&column.name));
            self.mistake(field, message, object.grant(&right));
            return None;
        }
        let kind = column.holds.kind();
        if kind.is_none() {
            let message = format!(
                "`{}` of `{shown}` is {}, a type that is not read back",
                column.name, column.declared
            );
            self.mistake(field, message, None);
        }
        Some(LayoutField::plain(column.clone(), kind?))
    }

    /// Where a reference leads: to its only object, or to the one that the write-back looks its
    /// values up in.
    fn target<'r>(
        &mut self,
        field: &NamedField,
        reference: &'r ReferenceColumn,
        value: &NamePart,
    ) -> Option<&'r ReferenceTarget> {
        if let [only] = reference.targets.as_slice() {
            return Some(only);
        }
        let referrals = self.referrals.by_field.values();
        let mut own = referrals.filter(|referral| referral.column.name == reference.column);
        let own = own.next().map(|referral| &referral.object.path);
        let mut targets = reference.targets.iter();
        let chosen = targets.find(|target| Some(&target.path) == own);
        if chosen.is_none() {
            let targets = reference.targets.iter();
            let targets: Vec<String> = targets.map(|target| target.path.join(".")).collect();
            let message = format!(
                "`{}` may lead to {}",
                reference.column,
                quoted_list(targets.iter().map(String::as_str))
            );
            let hint = format!(
                "say to which where it is written: `{} = {{ column = \"…\", refers_to = \"{}.…\" }}`; `{}` is then of that one",
                reference.column,
                targets.last().map_or("Object", String::as_str),
                value.text
            );
            self.mistake(field, message, Some(hint));
        }
        chosen
    }

    fn known_references(&self, references: &[ReferenceColumn], wanted: &str) -> String {
        let names = || references.iter().flat_map(ReferenceColumn::names);
        did_you_mean(wanted, names()).unwrap_or_else(|| match references.is_empty() {
            true => "no column of it is a reference".to_owned(),
            false => format!("references are {}", quoted_list(names())),
        })
    }

    /// It is read back with the reference, which some request should write.
    fn warn_unless_written(&mut self, field: &NamedField, reference: &ObjectColumn) {
        let mut fields = self.write_back.fields.iter();
        let is_written = fields.any(|own| {
            let column = known_column(self.object, &own.column);
            own.real_time && column.is_some_and(|column| column.name == reference.name)
        });
        if !is_written {
            let message = format!(
                "`{}` is read back when a request writes `{}`, and no field with `realtime = true` does",
                field.text, reference.name
            );
            let hint = format!("write `realtime = true` at `{}`", reference.name);
            let warning = Problem::warning(field.location.clone(), message);
            self.problems.push(warning.hint(hint));
        }
    }

    async fn references(&mut self, field: &NamedField) -> Option<Vec<ReferenceColumn>> {
        if self.references.is_none() {
            match self.destination.references(self.object).await {
                Ok(references) => self.references = Some(references),
                Err(error) => self.mistake(field, chain(&error).join(": "), error.hint()),
            }
        }
        self.references.clone()
    }
}

/// As what each field is answered, and the field itself.
pub(super) fn all_named(dependents: &[Dependents]) -> impl Iterator<Item = (&str, &LayoutField)> {
    dependents.iter().flat_map(|one| {
        let named = one.named.iter();
        named
            .filter_map(|(name, position)| Some((name.as_str(), one.layout.fields.get(*position)?)))
    })
}
