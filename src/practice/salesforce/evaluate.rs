//! Conditions of SOQL: checked once against what is described, then asked of each record.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::object::{Field, FieldKind, ObjectType};
use super::org::Org;
use super::soql::{Condition, Literal, Name, Operator, Query, QueryError, midnight};
use super::table::Record;
use super::value::{Held, moment_text};
use crate::domain::salesforce_id::canonical_id;

/// Where a value stands: in a field of the record, or of one that its references lead to.
#[derive(Debug, Clone)]
pub(super) struct Path {
    /// Fields of references, by name, each of the object that the one before leads to.
    steps: Vec<String>,
    name: String,
    /// The field at its end, as far as it is known beforehand.
    pub(super) field: Arc<Field>,
    /// Its place in the object, if the path is no longer than that.
    pub(super) own: Option<usize>,
}

/// A condition whose names and values are known to fit.
#[derive(Debug, Clone)]
pub(super) enum Test {
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    Among {
        path: Path,
        keys: HashSet<String>,
        null: bool,
        negated: bool,
    },
    Order {
        path: Path,
        operator: Operator,
        held: Held,
    },
    /// A date or moment within days: from the first one to before the second.
    Within {
        path: Path,
        operator: Operator,
        from: Held,
        to: Held,
    },
    Like {
        path: Path,
        pattern: Vec<PatternPart>,
    },
    Holds {
        path: Path,
        sets: Vec<Vec<String>>,
        negated: bool,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PatternPart {
    Any,
    One,
    Sign(char),
}

/// What a condition is read with.
pub(super) struct Reading<'a> {
    pub(super) org: &'a mut Org,
    pub(super) place: usize,
    /// The query's text, for showing where something is wrong.
    pub(super) text: &'a str,
    pub(super) now: DateTime<Utc>,
}

impl Reading<'_> {
    /// Errors: a field is not there or cannot be asked about so.
    pub(super) fn test(&mut self, condition: &Condition) -> Result<Test, QueryError> {
        Ok(match condition {
            Condition::And(all) => Test::And(self.tests(all)?),
            Condition::Or(all) => Test::Or(self.tests(all)?),
            Condition::Not(one) => Test::Not(Box::new(self.test(one)?)),
            Condition::Compare {
                field,
                operator,
                value,
            } => self.comparison(field, *operator, value)?,
            Condition::Among {
                field,
                negated,
                values,
            } => self.among(field, *negated, values)?,
            Condition::AmongFound {
                field,
                negated,
                query,
            } => self.among_found(field, *negated, query)?,
            Condition::Holds {
                field,
                negated,
                values,
            } => self.holds(field, *negated, values)?,
        })
    }

    fn tests(&mut self, all: &[Condition]) -> Result<Vec<Test>, QueryError> {
        all.iter().map(|one| self.test(one)).collect()
    }

    fn filtered(&self, name: &Name) -> Result<Path, QueryError> {
        let path = self.org.path(self.place, name, self.text)?;
        match path.field.filterable {
            true => Ok(path),
            false => {
                let what = format!(
                    "field '{}' can not be filtered in a query call",
                    path.field.name
                );
                Err(QueryError::at(self.text, name.at, "INVALID_FIELD", &what))
            }
        }
    }

    fn comparison(
        &mut self,
        name: &Name,
        operator: Operator,
        value: &Literal,
    ) -> Result<Test, QueryError> {
        let path = self.filtered(name)?;
        if operator == Operator::Like {
            return self.like(path, name, value);
        }
        if let Literal::Range(range) = value {
            let (from, to) = range
                .bounds(self.now)
                .ok_or_else(|| QueryError::malformed("date out of range"))?;
            let kind = path.field.kind;
            let held = |day: chrono::NaiveDate| {
                let moment = (kind == FieldKind::DateTime).then(|| Held::Moment(midnight(day)));
                moment.or_else(|| (kind == FieldKind::Date).then(|| Held::text(&day.to_string())))
            };
            let (Some(from), Some(to)) = (held(from), held(to)) else {
                return Err(self.wrong_type(name, &path));
            };
            return Ok(Test::Within {
                path,
                operator,
                from,
                to,
            });
        }
        let negated = operator == Operator::NotEqual;
        if matches!(operator, Operator::Equal | Operator::NotEqual) {
            return self.among(name, negated, std::slice::from_ref(value));
        }
        match self.held(name, &path, value)? {
            Some(held) => Ok(Test::Order {
                path,
                operator,
                held,
            }),
            None => Err(self.wrong_type(name, &path)),
        }
    }

    fn like(&self, path: Path, name: &Name, value: &Literal) -> Result<Test, QueryError> {
        let is_text = matches!(
            path.field.kind,
            FieldKind::Text
                | FieldKind::Email
                | FieldKind::Picklist
                | FieldKind::MultiPicklist
                | FieldKind::Other
        );
        let Literal::Text(text) = value else {
            return Err(self.wrong_type(name, &path));
        };
        if !is_text {
            let what = format!("invalid operator on {} field", path.field.type_name);
            return Err(QueryError::at(self.text, name.at, "INVALID_FIELD", &what));
        }
        Ok(Test::Like {
            path,
            pattern: pattern(text),
        })
    }

    fn among(&self, name: &Name, negated: bool, values: &[Literal]) -> Result<Test, QueryError> {
        let path = self.filtered(name)?;
        let sensitive = path.field.case_sensitive;
        let mut keys = HashSet::new();
        let mut null = false;
        for value in values {
            match self.held(name, &path, value)? {
                Some(held) => {
                    keys.insert(held.key(sensitive));
                }
                None => null = true,
            }
        }
        Ok(Test::Among {
            path,
            keys,
            null,
            negated,
        })
    }

    fn among_found(
        &mut self,
        name: &Name,
        negated: bool,
        query: &Query,
    ) -> Result<Test, QueryError> {
        let path = self.filtered(name)?;
        let keys = self.org.keys_of(query, self.text, self.now)?;
        Ok(Test::Among {
            path,
            keys,
            null: false,
            negated,
        })
    }

    fn holds(&self, name: &Name, negated: bool, values: &[Literal]) -> Result<Test, QueryError> {
        let path = self.filtered(name)?;
        if path.field.kind != FieldKind::MultiPicklist {
            let what = "includes or excludes operator only valid on multipicklist field";
            return Err(QueryError::at(self.text, name.at, "INVALID_FIELD", what));
        }
        let sets = values.iter().map(|value| {
            let Literal::Text(text) = value else {
                return Err(self.wrong_type(name, &path));
            };
            let parts = text.split(';').map(|part| part.trim().to_lowercase());
            Ok(parts.collect())
        });
        Ok(Test::Holds {
            sets: sets.collect::<Result<_, _>>()?,
            path,
            negated,
        })
    }

    /// What a value of a query is as one of the field; nothing for `null` and an empty text.
    fn held(&self, name: &Name, path: &Path, value: &Literal) -> Result<Option<Held>, QueryError> {
        let field = &path.field;
        let wrong = || Err(self.wrong_type(name, path));
        match (value, field.kind) {
            (Literal::Null, _) => Ok(None),
            (Literal::Boolean(boolean), FieldKind::Boolean) => Ok(Some(Held::Boolean(*boolean))),
            (Literal::Number(number, _), FieldKind::Integer | FieldKind::Decimal) => {
                Ok(Some(Held::Number(*number)))
            }
            (Literal::Date(date), FieldKind::Date) => Ok(Some(Held::text(date))),
            (Literal::Moment(moment), FieldKind::DateTime) => Ok(Some(Held::Moment(*moment))),
            // Compared with a date, a moment counts as its first instant.
            (Literal::Date(date), FieldKind::DateTime) => {
                Ok(super::value::read_moment(date).map(Held::Moment))
            }
            (Literal::Moment(moment), FieldKind::Date) => {
                let day = moment_text(*moment);
                Ok(Some(Held::text(day.get(..10).unwrap_or_default())))
            }
            (Literal::Text(text), FieldKind::Id | FieldKind::Reference) => {
                if text.is_empty() {
                    return Ok(None);
                }
                let id = canonical_id(text).ok_or_else(|| QueryError {
                    code: "INVALID_QUERY_FILTER_OPERATOR",
                    message: QueryError::at(
                        self.text,
                        name.at,
                        "",
                        &format!("invalid ID field: {text}"),
                    )
                    .message,
                })?;
                Ok(Some(Held::text(&id)))
            }
            (Literal::Text(text), kind) if !kind.is_bare() => {
                Ok((!text.is_empty()).then(|| Held::text(text)))
            }
            _ => wrong(),
        }
    }

    fn wrong_type(&self, name: &Name, path: &Path) -> QueryError {
        let field = &path.field;
        let quotes = match field.kind.is_bare() {
            true => "should not be enclosed in quotes",
            false => "should be enclosed in quotes",
        };
        let what = format!(
            "value of filter criterion for field '{}' must be of type {} and {quotes}",
            field.name, field.type_name
        );
        QueryError::at(self.text, name.at, "INVALID_FIELD", &what)
    }
}

/// A pattern of `LIKE`, in small letters.
fn pattern(text: &str) -> Vec<PatternPart> {
    let mut signs = text.chars();
    let mut parts = Vec::new();
    while let Some(sign) = signs.next() {
        match sign {
            '%' => parts.push(PatternPart::Any),
            '_' => parts.push(PatternPart::One),
            '\\' => parts.extend(signs.next().map(PatternPart::Sign)),
            sign => parts.extend(sign.to_lowercase().map(PatternPart::Sign)),
        }
    }
    parts
}

fn is_like(text: &[char], pattern: &[PatternPart]) -> bool {
    // Where to go on when what follows the last `%` does not fit after all.
    let (mut at, mut part) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let fits = match (pattern.get(part), text.get(at)) {
            (Some(PatternPart::Any), _) => {
                retry = Some((part + 1, at));
                part += 1;
                continue;
            }
            (Some(PatternPart::One), Some(_)) => true,
            (Some(PatternPart::Sign(sign)), Some(found)) => sign == found,
            (None, None) => return true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if fits {
            (at, part) = (at + 1, part + 1);
            continue;
        }
        let Some((next_part, from)) = retry.filter(|(_, from)| *from < text.len()) else {
            return false;
        };
        retry = Some((next_part, from + 1));
        (at, part) = (from + 1, next_part);
    }
}

impl Org {
    /// The field that a name of a query leads to, from an object.
    pub(super) fn path(&self, place: usize, name: &Name, text: &str) -> Result<Path, QueryError> {
        let mut object = self.object(place);
        let mut parts = name.parts.as_slice();
        // The object's own name may stand before.
        if let [first, rest @ ..] = parts
            && !rest.is_empty()
            && first.eq_ignore_ascii_case(&object.name)
            && object.find_relationship(first).is_none()
        {
            parts = rest;
        }
        let Some((last, references)) = parts.split_last() else {
            return Err(QueryError::malformed("unexpected token: '<EOF>'"));
        };
        let mut steps = Vec::new();
        for reference in references {
            let index = object.find_relationship(reference).ok_or_else(|| {
                let what = format!(
                    "Didn't understand relationship '{reference}' in field path. If you are attempting to use a custom \
                     relationship, be sure to append the '__r' after the custom relationship name. Please reference your \
                     WSDL or the describe call for the appropriate names."
                );
                QueryError::at(text, name.at, "INVALID_FIELD", &what)
            })?;
            let field = object.field(index);
            steps.push(field.name.clone());
            object = self
                .parent_with(field, last)
                .ok_or_else(|| no_column(text, name, reference, last))?;
        }
        let index = object
            .find(last)
            .ok_or_else(|| no_column(text, name, &object.name, last))?;
        Ok(Path {
            own: steps.is_empty().then_some(index),
            steps,
            name: object.field(index).name.clone(),
            field: Arc::new(object.field(index).clone()),
        })
    }

    /// The object that a reference leads to: the first that has the field, where there are several.
    fn parent_with(&self, field: &Field, name: &str) -> Option<Arc<ObjectType>> {
        let parents = field.reference_to.iter();
        let mut known = parents
            .filter_map(|of| self.table(of))
            .map(|place| self.object(place));
        let parents: Vec<_> = known.by_ref().collect();
        let with = parents.iter().find(|parent| parent.find(name).is_some());
        with.or(parents.first()).cloned()
    }

    /// What stands at the end of a path; nothing where a reference on the way is empty.
    pub(super) fn at_path<'a>(
        &'a self,
        record: &'a Record,
        place: usize,
        path: &Path,
    ) -> Option<&'a Held> {
        if let Some(index) = path.own {
            return record.get(index);
        }
        let (mut record, mut place) = (record, place);
        for step in &path.steps {
            let id = self.held(place, record, step)?.as_text()?;
            place = self.place_of(id)?;
            record = self.at(place).record(id)?;
        }
        self.held(place, record, &path.name)
    }

    /// Whether a record fits a condition.
    pub(super) fn passes(&self, record: &Record, place: usize, test: &Test) -> bool {
        match test {
            Test::And(all) => all.iter().all(|one| self.passes(record, place, one)),
            Test::Or(all) => all.iter().any(|one| self.passes(record, place, one)),
            Test::Not(one) => !self.passes(record, place, one),
            Test::Among {
                path,
                keys,
                null,
                negated,
            } => {
                let held = self.held_at(record, place, path);
                let found = held.map_or(*null, |held| {
                    keys.contains(&held.key(path.field.case_sensitive))
                });
                found != *negated
            }
            Test::Order {
                path,
                operator,
                held,
            } => {
                let found = self.held_at(record, place, path);
                found.is_some_and(|found| {
                    ordered(found.order(held, path.field.case_sensitive), *operator)
                })
            }
            Test::Within {
                path,
                operator,
                from,
                to,
            } => {
                let found = self.held_at(record, place, path);
                found.map_or(*operator == Operator::NotEqual, |found| {
                    let after_from = found.order(from, true).is_ge();
                    let before_to = found.order(to, true).is_lt();
                    match operator {
                        Operator::Equal | Operator::Like => after_from && before_to,
                        Operator::NotEqual => !(after_from && before_to),
                        Operator::Less => !after_from,
                        Operator::LessOrEqual => before_to,
                        Operator::Greater => !before_to,
                        Operator::GreaterOrEqual => after_from,
                    }
                })
            }
            Test::Like { path, pattern } => {
                let found = self.held_at(record, place, path).and_then(Held::as_text);
                let text: Vec<char> = found.unwrap_or_default().to_lowercase().chars().collect();
                found.is_some() && is_like(&text, pattern)
            }
            Test::Holds {
                path,
                sets,
                negated,
            } => {
                let found = self.held_at(record, place, path).and_then(Held::as_text);
                let chosen: HashSet<String> = found
                    .unwrap_or_default()
                    .split(';')
                    .map(str::to_lowercase)
                    .collect();
                let any = sets
                    .iter()
                    .any(|set| set.iter().all(|choice| chosen.contains(choice)));
                any != *negated
            }
        }
    }

    /// As [`Org::at_path`]; a checkbox that was never set is off.
    fn held_at<'a>(&'a self, record: &'a Record, place: usize, path: &Path) -> Option<&'a Held> {
        const OFF: &Held = &Held::Boolean(false);
        let off = (path.field.kind == FieldKind::Boolean).then_some(OFF);
        self.at_path(record, place, path).or(off)
    }

    /// Errors: a condition of the settings does not fit the object.
    pub(super) fn check_condition(
        &self,
        object: &ObjectType,
        condition: &Condition,
    ) -> Result<(), String> {
        let place = self.table(&object.name).unwrap_or_default();
        let check = |name: &Name| {
            self.path(place, name, &name.text())
                .map(|_| ())
                .map_err(|error| error.message.trim().replace('\n', " "))
        };
        match condition {
            Condition::And(all) | Condition::Or(all) => all
                .iter()
                .try_for_each(|one| self.check_condition(object, one)),
            Condition::Not(one) => self.check_condition(object, one),
            Condition::Compare { field, .. }
            | Condition::Among { field, .. }
            | Condition::AmongFound { field, .. }
            | Condition::Holds { field, .. } => check(field),
        }
    }

    /// Whether a record that is not stored yet fits a condition of the settings.
    pub(super) fn fits(
        &mut self,
        place: usize,
        id: &str,
        record: &Record,
        condition: &Condition,
        now: DateTime<Utc>,
    ) -> bool {
        let text = format!("{id} {condition:?}");
        let mut reading = Reading {
            org: self,
            place,
            text: &text,
            now,
        };
        let test = reading.test(condition);
        test.is_ok_and(|test| self.passes(record, place, &test))
    }
}

fn ordered(order: std::cmp::Ordering, operator: Operator) -> bool {
    match operator {
        Operator::Equal | Operator::Like => order.is_eq(),
        Operator::NotEqual => order.is_ne(),
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        Operator::GreaterOrEqual => order.is_ge(),
    }
}

fn no_column(text: &str, name: &Name, entity: &str, column: &str) -> QueryError {
    let what = format!(
        "No such column '{column}' on entity '{entity}'. If you are attempting to use a custom field, be sure to append \
         the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate \
         names."
    );
    QueryError::at(text, name.at, "INVALID_FIELD", &what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_they_are_written() {
        let like = |text: &str, like: &str| {
            let text: Vec<char> = text.to_lowercase().chars().collect();
            is_like(&text, &pattern(like))
        };
        assert!(like("Cedar Freight plc", "cedar%"));
        assert!(like("Cedar Freight plc", "%FREIGHT%"));
        assert!(like("Cedar", "C_dar"));
        assert!(like("100%", r"100\%"));
        assert!(!like("1000", r"100\%"));
        assert!(!like("Cedar", "edar"));
        assert!(like("aXbXc", "a%b%c"));
        assert!(!like("aXbX", "a%b%c"));
        assert!(like("", "%"));
    }
}
