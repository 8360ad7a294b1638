//! A table: its definition, as `writeback describe` saves it, and its rows, found by id and by
//! alternate key.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::filter::form;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnKind {
    Id,
    Text,
    Integer,
    Number,
    Boolean,
    Date,
    Instant,
    /// One of numbered choices.
    Choice,
    /// Several of them.
    Choices,
    Lookup,
    Other,
}

impl ColumnKind {
    fn named(attribute_type: &str, type_name: &str, is_date: bool) -> Self {
        match (attribute_type, type_name) {
            ("Uniqueidentifier", _) => Self::Id,
            ("String" | "Memo", _) => Self::Text,
            ("Integer" | "BigInt", _) => Self::Integer,
            ("Decimal" | "Double" | "Money", _) => Self::Number,
            ("Boolean", _) => Self::Boolean,
            ("DateTime", _) if is_date => Self::Date,
            ("DateTime", _) => Self::Instant,
            ("Picklist" | "State" | "Status", _) => Self::Choice,
            (_, "MultiSelectPicklistType") => Self::Choices,
            ("Lookup" | "Customer" | "Owner", _) => Self::Lookup,
            _ => Self::Other,
        }
    }
}

/// One of the numbered choices of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) value: i64,
    /// Of a status: the state that it belongs to.
    pub(super) state: Option<i64>,
    pub(super) label: String,
}

/// A column, as its definition tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ColumnDefinition {
    pub(super) name: String,
    pub(super) kind: ColumnKind,
    pub(super) for_create: bool,
    pub(super) for_update: bool,
    pub(super) required: bool,
    pub(super) secured: bool,
    pub(super) length_max: Option<usize>,
    pub(super) number_min: Option<f64>,
    pub(super) number_max: Option<f64>,
    pub(super) precision: Option<u32>,
    pub(super) choices: Vec<Choice>,
    /// Tables that a lookup may lead to.
    pub(super) targets: Vec<String>,
}

impl ColumnDefinition {
    fn read(told: &Value) -> Option<Self> {
        let flag = |name: &str| told.get(name).and_then(Value::as_bool).unwrap_or(true);
        let text =
            |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |name: &str| told.get(name).and_then(Value::as_f64);
        let level = text(told.pointer("/RequiredLevel/Value"));
        let is_date = text(told.pointer("/DateTimeBehavior/Value")) == "DateOnly";
        let type_name = text(told.pointer("/AttributeTypeName/Value"));
        let targets = told.get("Targets").and_then(Value::as_array);
        Some(Self {
            name: told.get("LogicalName")?.as_str()?.to_owned(),
            kind: ColumnKind::named(&text(told.get("AttributeType")), &type_name, is_date),
            for_create: flag("IsValidForCreate"),
            for_update: flag("IsValidForUpdate"),
            required: level == "SystemRequired",
            secured: told.get("IsSecured") == Some(&json!(true)),
            length_max: told
                .get("MaxLength")
                .and_then(Value::as_u64)
                .and_then(|length| usize::try_from(length).ok()),
            number_min: number("MinValue"),
            number_max: number("MaxValue"),
            precision: told
                .get("Precision")
                .and_then(Value::as_u64)
                .and_then(|digits| u32::try_from(digits).ok()),
            choices: choices(told),
            targets: targets
                .into_iter()
                .flatten()
                .filter_map(|target| Some(target.as_str()?.to_owned()))
                .collect(),
        })
    }
}

fn choices(told: &Value) -> Vec<Choice> {
    let set = ["OptionSet", "GlobalOptionSet"]
        .into_iter()
        .find_map(|name| told.get(name)?.get("Options")?.as_array());
    set.into_iter()
        .flatten()
        .filter_map(|option| {
            let label = option.pointer("/Label/UserLocalizedLabel/Label");
            Some(Choice {
                value: option.get("Value")?.as_i64()?,
                state: option.get("State").and_then(Value::as_i64),
                label: label.and_then(Value::as_str).unwrap_or_default().to_owned(),
            })
        })
        .collect()
}

/// An alternate key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AlternateKey {
    pub(super) columns: Vec<String>,
    pub(super) is_active: bool,
}

/// A lookup's name in a payload, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Navigation {
    pub(super) column: String,
    pub(super) name: String,
    pub(super) target: String,
}

/// A relationship of many to many, as one of its two tables sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listing {
    /// The name under which a row shows the others.
    pub(super) name: String,
    /// The table of the others, and the name under which these show the row.
    pub(super) target: String,
    pub(super) back: String,
    /// Whether rows of this table keep it.
    pub(super) is_first: bool,
}

impl Listing {
    /// As a definition tells it: twice where it leads to its own table, once for either way.
    fn read(told: &Value, table: &str) -> Vec<Self> {
        let part = |name: &str| Some(told.get(name)?.as_str()?.to_owned());
        let sides = [("Entity1", "Entity2"), ("Entity2", "Entity1")];
        let sides = sides.map(|(own, other)| {
            Some((
                part(&format!("{own}LogicalName"))?,
                Self {
                    name: part(&format!("{own}NavigationPropertyName"))?,
                    target: part(&format!("{other}LogicalName"))?,
                    back: part(&format!("{other}NavigationPropertyName"))?,
                    is_first: own == "Entity1",
                },
            ))
        });
        let sides = sides.into_iter().flatten();
        let own = sides.filter(|(own, _)| own == table);
        own.map(|(_, list)| list).collect()
    }
}

/// A table's definition.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) set: String,
    pub(super) id_column: String,
    pub(super) is_elastic: bool,
    /// Whether a write may be guarded by an ETag.
    pub(super) guards: bool,
    pub(super) columns: Vec<ColumnDefinition>,
    pub(super) keys: Vec<AlternateKey>,
    pub(super) navigations: Vec<Navigation>,
    pub(super) lists: Vec<Listing>,
    /// Bulk messages that it takes.
    pub(super) messages: Vec<String>,
    pub(super) described: Value,
}

impl Definition {
    /// Errors: what a definition lacks.
    pub(super) fn read(described: Value) -> Result<Self, String> {
        let text = |name: &str| {
            let value = described.get(name).and_then(Value::as_str);
            value
                .map(str::to_owned)
                .ok_or_else(|| format!("a table's definition has no `{name}`"))
        };
        let list = |name: &str| {
            let values = described.get(name).and_then(Value::as_array);
            values.cloned().unwrap_or_default()
        };
        let words = |value: &Value, name: &str| -> Vec<String> {
            let words = value.get(name).and_then(Value::as_array);
            words
                .into_iter()
                .flatten()
                .filter_map(|word| Some(word.as_str()?.to_owned()))
                .collect()
        };
        let keys = list("Keys")
            .iter()
            .map(|key| AlternateKey {
                columns: words(key, "KeyAttributes"),
                is_active: key.get("EntityKeyIndexStatus") == Some(&json!("Active")),
            })
            .collect();
        let navigations = list("ManyToOneRelationships")
            .iter()
            .filter_map(|told| {
                let part = |name: &str| Some(told.get(name)?.as_str()?.to_owned());
                Some(Navigation {
                    column: part("ReferencingAttribute")?,
                    name: part("ReferencingEntityNavigationPropertyName")?,
                    target: part("ReferencedEntity")?,
                })
            })
            .collect();
        let name = text("LogicalName")?;
        let lists = list("ManyToManyRelationships");
        let lists = lists.iter().flat_map(|told| Listing::read(told, &name));
        Ok(Self {
            lists: lists.collect(),
            name,
            set: text("EntitySetName")?,
            id_column: text("PrimaryIdAttribute")?,
            is_elastic: described.get("TableType") == Some(&json!("Elastic")),
            guards: described.get("IsOptimisticConcurrencyEnabled") == Some(&json!(true)),
            columns: list("Attributes")
                .iter()
                .filter_map(ColumnDefinition::read)
                .collect(),
            keys,
            navigations,
            messages: words(&described, "Messages"),
            described,
        })
    }

    pub(super) fn column(&self, name: &str) -> Option<&ColumnDefinition> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The column that a name of a query stands for: `_primarycontactid_value` is a lookup's.
    pub(super) fn read_column(&self, name: &str) -> Option<&ColumnDefinition> {
        if let Some(column) = self.column(name) {
            return (column.kind != ColumnKind::Lookup).then_some(column);
        }
        let name = name.strip_prefix('_')?.strip_suffix("_value")?;
        self.column(name)
            .filter(|column| column.kind == ColumnKind::Lookup)
    }

    /// The relationship of many to many that goes by this name.
    pub(super) fn list(&self, name: &str) -> Option<&Listing> {
        self.lists.iter().find(|list| list.name == name)
    }

    /// The key of exactly these columns.
    pub(super) fn key_of(&self, columns: &BTreeSet<&str>) -> Option<&AlternateKey> {
        self.keys.iter().find(|key| {
            key.columns.len() == columns.len()
                && key
                    .columns
                    .iter()
                    .all(|column| columns.contains(column.as_str()))
        })
    }
}

/// One row: what its columns hold, those that hold something. A lookup holds
/// `{"table": …, "id": …}`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct TableRow {
    pub(super) values: BTreeMap<String, Value>,
    /// Moves with every write.
    pub(super) version: u64,
}

impl TableRow {
    pub(super) fn get(&self, column: &str) -> Value {
        self.values.get(column).cloned().unwrap_or_default()
    }

    pub(super) fn set(&mut self, column: &str, value: Value) {
        match value.is_null() {
            true => {
                self.values.remove(column);
            }
            false => {
                self.values.insert(column.to_owned(), value);
            }
        }
    }

    /// What it holds in a column, as a filter sees it: of a lookup the id.
    pub(super) fn plain(&self, column: &str) -> Value {
        match self.values.get(column) {
            Some(Value::Object(lookup)) => lookup.get("id").cloned().unwrap_or_default(),
            Some(value) => value.clone(),
            None => Value::Null,
        }
    }

    pub(super) fn etag(&self) -> String {
        format!("W/\"{}\"", self.version)
    }
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) definition: Arc<Definition>,
    rows: BTreeMap<String, TableRow>,
    /// By the place of the key: ids of the rows that have such a key.
    keyed: Vec<HashMap<String, BTreeSet<String>>>,
}

impl Table {
    pub(super) fn new(definition: Definition) -> Self {
        Self {
            keyed: definition.keys.iter().map(|_| HashMap::new()).collect(),
            definition: Arc::new(definition),
            rows: BTreeMap::new(),
        }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = (&String, &TableRow)> {
        self.rows.iter()
    }

    pub(super) fn row(&self, id: &str) -> Option<&TableRow> {
        self.rows.get(id)
    }

    /// Puts a row in the place of what stood there; gives that back.
    pub(super) fn put(&mut self, id: &str, row: Option<TableRow>) -> Option<TableRow> {
        let before = self.rows.remove(id);
        for (key, keyed) in self.definition.keys.iter().zip(&mut self.keyed) {
            let of = |row: &Option<TableRow>| row.as_ref().and_then(|row| key_text(key, row));
            let (was, is) = (of(&before), of(&row));
            if was == is {
                continue;
            }
            if let Some(ids) = was.and_then(|was| keyed.get_mut(&was)) {
                ids.remove(id);
            }
            if let Some(is) = is {
                keyed.entry(is).or_default().insert(id.to_owned());
            }
        }
        if let Some(row) = row {
            self.rows.insert(id.to_owned(), row);
        }
        before
    }

    /// Ids of the rows that hold what `values` says in a key's columns.
    pub(super) fn with_key(
        &self,
        key: &AlternateKey,
        values: &BTreeMap<String, Value>,
    ) -> Vec<String> {
        let place = self.definition.keys.iter().position(|known| known == key);
        let row = TableRow {
            values: values.clone(),
            version: 0,
        };
        let found = place
            .and_then(|place| self.keyed.get(place))
            .zip(key_text(key, &row))
            .and_then(|(keyed, text)| keyed.get(&text));
        found.into_iter().flatten().cloned().collect()
    }

    /// Rows, by their id, among which are all that hold one of these forms in a column; `None` if
    /// no index is kept of it.
    pub(super) fn holding(&self, column: &str, forms: &BTreeSet<String>) -> Option<Vec<&TableRow>> {
        let mut keys = self.definition.keys.iter();
        let place = keys.position(|key| key.columns == [column])?;
        let keyed = self.keyed.get(place)?;
        let ids: BTreeSet<&String> = forms
            .iter()
            .filter_map(|form| keyed.get(form))
            .flatten()
            .collect();
        Some(ids.into_iter().filter_map(|id| self.rows.get(id)).collect())
    }

    /// Another row that holds the same as `row` in the columns of some key.
    pub(super) fn holder(&self, id: &str, row: &TableRow) -> Option<(&AlternateKey, String)> {
        self.definition
            .keys
            .iter()
            .zip(&self.keyed)
            // An index that is not there keeps nobody from anything.
            .filter(|(key, _)| key.is_active)
            .find_map(|(key, keyed)| {
                let ids = keyed.get(&key_text(key, row)?)?;
                let other = ids.iter().find(|other| *other != id)?;
                Some((key, other.clone()))
            })
    }
}

/// A row's key as one text; `None` if it lacks a part of it.
fn key_text(key: &AlternateKey, row: &TableRow) -> Option<String> {
    let parts = key.columns.iter().map(|column| {
        let value = row.plain(column);
        (!value.is_null()).then(|| form(&value))
    });
    let parts: Vec<String> = parts.collect::<Option<_>>()?;
    Some(parts.join("\u{1f}"))
}

/// Ids as a file of rows has them, with semicolons between.
pub(super) fn members_from_cell(cell: &Value) -> Result<Value, String> {
    let ids = cell.as_str().unwrap_or_default().split(';').map(str::trim);
    let ids = ids.filter(|id| !id.is_empty()).map(|id| {
        let id = uuid::Uuid::parse_str(id).map_err(|_| format!("`{id}` is no GUID"))?;
        Ok(id.to_string())
    });
    let ids: BTreeSet<String> = ids.collect::<Result<_, String>>()?;
    Ok(json!(ids))
}

/// A row as it is kept.
pub(super) fn stored(row: &TableRow) -> String {
    let mut kept: Map<String, Value> = row.values.clone().into_iter().collect();
    kept.insert("@version".to_owned(), json!(row.version));
    Value::Object(kept).to_string()
}

pub(super) fn restored(text: &str) -> Option<TableRow> {
    let mut values: BTreeMap<String, Value> = serde_json::from_str(text).ok()?;
    let version = values.remove("@version")?.as_u64()?;
    Some(TableRow { values, version })
}
