//! References that were met with the objects they lead to. A record brings a value of a row there (an
//! e-mail address), and what is written is the row's id.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use polars::prelude::{Column, DataFrame, IntoColumn, PolarsResult, Series, StringChunked};

use super::columnar::{Converted, Fault};
use super::conform::Sifted;
use super::conversion::Misfit;
use super::dependent::retyped;
use super::layout::{Demand, Layout, LayoutField};
use super::moment::Zones;
use super::object::{Object, ObjectColumn};
use super::outcome::Stage;
use super::record::column_texts;
use super::reference::NotFound;
use super::sieve::{KeyPart, Sieve};
use super::value::Kind;

/// Ids that are told of a value which several rows have.
pub(crate) const CANDIDATES_MAX: usize = 10;

/// A column of an object that names rows of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReferenceColumn {
    pub(crate) column: String,
    /// By what else it is known: the name of the relationship, or of the table that it leads to.
    pub(crate) relationship: Option<String>,
    pub(crate) targets: Vec<ReferenceTarget>,
}

impl ReferenceColumn {
    /// What a path may call it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.relationship
            .as_deref()
            .into_iter()
            .chain([self.column.as_str()])
    }
}

/// Where a reference leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReferenceTarget {
    pub(crate) path: Vec<String>,
    /// The column whose value stands in the reference.
    pub(crate) column: String,
}

/// A reference that was met with its object and the one it leads to.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Referral {
    /// The field that is written.
    pub(crate) column: ObjectColumn,
    /// The object that it leads to.
    pub(crate) object: Object,
    /// What rows are found by: part of a match key.
    pub(crate) value: LayoutField,
    /// What is written of the row that is found.
    pub(crate) id: LayoutField,
    pub(crate) only_where: Vec<Demand>,
    pub(crate) not_found: NotFound,
}

/// What of a write-back was met with other objects than its own, and with conditions of its own.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Referrals {
    /// By the field's position.
    pub(crate) by_field: BTreeMap<usize, Referral>,
    /// By the field's position: the values of its list, by what people see of them, where that is
    /// something else.
    pub(crate) labels: BTreeMap<usize, ValuesSeen>,
    /// What a row of the write-back's own object must hold to be written to.
    pub(crate) only_where: Vec<Demand>,
}

/// Values of a list by what people see of them.
pub(crate) type ValuesSeen = BTreeMap<String, String>;

/// The rows that one value finds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Referents {
    pub(crate) rows: u64,
    /// Ids of a few of them.
    pub(crate) ids: Vec<String>,
}

impl Referents {
    /// Adds rows that the same value finds in another way.
    pub(crate) fn add(&mut self, others: Self) {
        self.rows += others.rows;
        self.ids.extend(others.ids);
        self.ids.truncate(CANDIDATES_MAX);
    }
}

/// What becomes of a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Resolution<'a> {
    Id(&'a str),
    /// The field is sent empty, and a policy of its own says what that means.
    Empty,
    NotFound,
    Ambiguous,
}

impl NotFound {
    /// What becomes of a reference whose value finds these rows.
    fn resolve(self, found: &Referents) -> Resolution<'_> {
        match (found.rows, found.ids.as_slice(), self) {
            (0, _, Self::Reject) => Resolution::NotFound,
            (0, _, Self::Keep | Self::Null) => Resolution::Empty,
            (1, [id], _) => Resolution::Id(id),
            (1.., _, _) => Resolution::Ambiguous,
        }
    }
}

impl Referral {
    /// The layout by which rows are found: the value, then what they must hold besides.
    pub(crate) fn layout(&self) -> Layout {
        let demands = self.only_where.iter().map(|demand| demand.field.clone());
        let fields: Vec<LayoutField> = [self.value.clone()].into_iter().chain(demands).collect();
        Layout {
            key: (0..fields.len()).collect(),
            fields,
            ..Layout::of_rows(self.object.clone())
        }
    }

    /// Why no id of the object fits the field; `None` if one may.
    pub(crate) fn misfit(&self, zones: Zones) -> Option<Misfit> {
        let none = StringChunked::from_iter(std::iter::empty::<Option<&str>>());
        self.ids(&none, zones).err()
    }

    /// Ids, as the system writes them, as values of the field.
    fn ids(&self, texts: &StringChunked, zones: Zones) -> Result<Converted, Misfit> {
        // A text takes ids as the system writes them.
        let from = match self.column.holds.kind() {
            Some(Kind::Text) => &self.column,
            _ => &self.id.column,
        };
        retyped(texts, from, &self.column, zones)
    }

    /// Puts ids in the place of the values that found them. `found` has every value but NULL.
    /// Errors: no id fits.
    fn resolved(
        &self,
        values: &StringChunked,
        found: &HashMap<String, Referents>,
        zones: Zones,
    ) -> Result<Converted, Misfit> {
        let mut faults = Vec::new();
        let nothing = Referents::default();
        let id = |(index, value): (usize, Option<&str>)| {
            let found = found.get(value?).unwrap_or(&nothing);
            match self.not_found.resolve(found) {
                Resolution::Id(id) => Some(id),
                Resolution::Empty => None,
                Resolution::NotFound | Resolution::Ambiguous => {
                    let reason = Objection {
                        referral: self,
                        found,
                    };
                    faults.push(Fault {
                        index,
                        reason: reason.to_string(),
                    });
                    None
                }
            }
        };
        let ids: StringChunked = values.iter().enumerate().map(id).collect();
        let mut converted = self.ids(&ids, zones)?;
        let object = self.object.display_name();
        for fault in &mut converted.faults {
            fault.reason = format!(
                "the id that `{object}` has for it does not fit: {}",
                fault.reason
            );
        }
        converted.faults.extend(faults);
        Ok(converted)
    }
}

/// Why a value leads to no row, or to none that could be told.
struct Objection<'a> {
    referral: &'a Referral,
    found: &'a Referents,
}

impl fmt::Display for Objection<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Referral {
            object,
            value,
            only_where,
            ..
        } = self.referral;
        let (object, field) = (object.display_name(), &value.column.name);
        let among = match only_where.is_empty() {
            true => "",
            false => " among those of `only_where`",
        };
        match self.found.rows {
            0 => write!(formatter, "no `{object}` has this `{field}`{among}"),
            rows => {
                let told = self.found.ids.join(", ");
                write!(
                    formatter,
                    "{rows} of `{object}` have this `{field}`{among}: {told}"
                )
            }
        }
    }
}

/// What was found for the values of one reference.
pub(crate) struct KnownReferents<'a> {
    pub(crate) referral: &'a Referral,
    /// By the value's text; every value of the records but NULL.
    pub(crate) found: &'a HashMap<String, Referents>,
}

/// The texts of the values that a field's reference goes by.
pub(crate) fn value_texts(records: &DataFrame, referral: &Referral) -> PolarsResult<StringChunked> {
    column_texts(records.column(&referral.column.name)?)
}

/// Puts ids in the place of values in every field that is a reference; a record of which one leads
/// nowhere is rejected at stage `match`. Shape: as [`super::mapping::Mapping::apply`] yields it;
/// the same with the fields of references in their own columns' representations.
pub(crate) fn settle(
    records: &DataFrame,
    key_columns: &[String],
    known: &[KnownReferents<'_>],
    zones: Zones,
) -> PolarsResult<Sifted> {
    let mut sieve = Sieve::new(Stage::Match);
    let mut settled = records.clone();
    for KnownReferents { referral, found } in known {
        let name = referral.column.name.as_str();
        let given = Series::from(value_texts(records, referral)?);
        let resolved = referral.resolved(given.str()?, found, zones);
        let resolved = resolved.unwrap_or_else(|misfit| never_fits(referral, &given, &misfit));
        sieve.add(name, resolved.faults, Some(&given));
        settled.with_column(resolved.values.with_name(name.into()).into_column())?;
    }
    let key: Vec<KeyPart> = match sieve.is_clean() {
        true => Vec::new(),
        false => key_columns
            .iter()
            .map(|name| key_part(records, name))
            .collect(),
    };
    Ok(sieve.sift(settled, &key))
}

/// What a plan would have found already, were the ids what they are said to be.
fn never_fits(referral: &Referral, given: &Series, misfit: &Misfit) -> Converted {
    let kind = referral.column.holds.kind().unwrap_or(Kind::Text);
    let values = Series::full_null("".into(), given.len(), &kind.representation());
    let reason = misfit.to_string();
    let faults = (0..given.len()).map(|index| Fault {
        index,
        reason: reason.clone(),
    });
    Converted {
        values,
        faults: faults.collect(),
    }
}

fn key_part(records: &DataFrame, name: &str) -> KeyPart {
    let column = records
        .column(name)
        .ok()
        .map(Column::as_materialized_series)?;
    Some((column.clone(), Kind::of_representation(column.dtype())?))
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    use super::*;
    use crate::domain::object::{Holds, ObjectKind, Repertoire, RowLocks, Spelling};

    fn text(name: &str) -> ObjectColumn {
        let holds = Holds::Text {
            limit: None,
            repertoire: Repertoire::Unicode { nul: false },
        };
        ObjectColumn::plain(name, "text", holds)
    }

    fn number(name: &str) -> ObjectColumn {
        let holds = Holds::Integer {
            min: -100,
            max: 100,
        };
        ObjectColumn::plain(name, "integer", holds)
    }

    fn referral(not_found: NotFound) -> Referral {
        let object = Object {
            path: vec!["crm".to_owned(), "owners".to_owned()],
            spelling: Spelling {
                quote: '"',
                account: None,
            },
            kind: ObjectKind::Table,
            columns: vec![number("id"), text("email")],
            unique_keys: Vec::new(),
            indexes: Vec::new(),
            may_enter: true,
            hides_columns: false,
            may_select: true,
            may_select_rows: true,
            locks: RowLocks::Each,
            primary_key: vec!["id".to_owned()],
            followed: Vec::new(),
            obstacles: Vec::new(),
        };
        Referral {
            column: number("owner_id"),
            object,
            value: LayoutField {
                key: true,
                ..LayoutField::plain(text("email"), Kind::Text)
            },
            id: LayoutField::plain(number("id"), Kind::Integer),
            only_where: Vec::new(),
            not_found,
        }
    }

    fn found() -> HashMap<String, Referents> {
        let ids = |ids: &[&str]| Referents {
            rows: u64::try_from(ids.len()).unwrap_or_default(),
            ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        };
        [
            ("ada", ids(&["7"])),
            ("bob", ids(&["8", "9"])),
            ("far", ids(&["1000"])),
        ]
        .into_iter()
        .map(|(value, found)| (value.to_owned(), found))
        .collect()
    }

    fn settled(not_found: NotFound) -> (Vec<Option<i64>>, Vec<String>) {
        let records = df!(
            "id" => ["A", "B", "C", "D", "E"],
            "owner_id" => [Some("ada"), Some("bob"), Some("eve"), None, Some("far")],
        );
        let referral = referral(not_found);
        let known = KnownReferents {
            referral: &referral,
            found: &found(),
        };
        let sifted = settle(
            &records.expect("a frame"),
            &["id".to_owned()],
            &[known],
            Zones::default(),
        );
        let sifted = sifted.expect("columns");
        let ids = sifted.records.column("owner_id").expect("a column");
        let ids = ids.i64().expect("numbers").iter().collect();
        let told = sifted.rejections.iter().map(|rejection| {
            format!(
                "{} {:?} {}",
                rejection.key.as_deref().unwrap_or_default(),
                rejection.value.as_deref().unwrap_or_default(),
                rejection.reason
            )
        });
        (ids, told.collect())
    }

    #[test]
    fn a_value_that_finds_one_row_becomes_its_id_and_no_other_is_guessed() {
        let (ids, told) = settled(NotFound::Reject);
        assert_eq!(ids, [Some(7), None]);
        assert_eq!(
            told,
            [
                "B \"bob\" 2 of `crm.owners` have this `email`: 8, 9",
                "C \"eve\" no `crm.owners` has this `email`",
                "E \"far\" the id that `crm.owners` has for it does not fit: outside the range of integer, -100 to 100",
            ]
        );
    }

    #[test]
    fn a_value_that_finds_none_empties_the_field_where_that_is_asked_for() {
        for not_found in [NotFound::Keep, NotFound::Null] {
            let (ids, told) = settled(not_found);
            assert_eq!(ids, [Some(7), None, None]);
            assert_eq!(told.len(), 2, "several rows are never guessed between");
        }
    }

    #[test]
    fn ids_that_no_field_holds_are_known_before_any_is_looked_up() {
        assert_eq!(referral(NotFound::Reject).misfit(Zones::default()), None);
        let mut other = referral(NotFound::Reject);
        other.column = ObjectColumn::plain("owner_id", "date", Holds::Date);
        assert!(other.misfit(Zones::default()).is_some());
    }
}
