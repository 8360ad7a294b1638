//! An object as Salesforce describes it, made into what every destination's object is.
//! Source: <https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/resources_sobject_describe.htm>.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::change::Change;
use crate::domain::connection::ServiceKind;
use crate::domain::object::{
    Holds, Object, ObjectColumn, ObjectKind, Obstacle, Repertoire, RowLocks, Spelling, TextLimit,
};
use crate::domain::referral::{ReferenceColumn, ReferenceTarget};

/// What one record type offers, by picklist.
pub(super) type Offered = BTreeMap<String, Vec<String>>;

/// The answer of a describe, as far as it is made use of.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Described {
    pub(super) name: String,
    #[serde(default)]
    pub(super) createable: bool,
    #[serde(default)]
    pub(super) updateable: bool,
    #[serde(default)]
    pub(super) queryable: bool,
    #[serde(default)]
    pub(super) fields: Vec<Field>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Field {
    pub(super) name: String,
    #[serde(rename = "type")]
    field_type: String,
    #[serde(default)]
    length: u64,
    #[serde(default)]
    precision: u16,
    #[serde(default)]
    scale: u16,
    #[serde(default)]
    digits: u32,
    #[serde(default)]
    nillable: bool,
    #[serde(default)]
    pub(super) createable: bool,
    #[serde(default)]
    pub(super) updateable: bool,
    #[serde(default)]
    defaulted_on_create: bool,
    #[serde(default)]
    calculated: bool,
    #[serde(default)]
    auto_number: bool,
    #[serde(default)]
    pub(super) unique: bool,
    #[serde(default)]
    case_sensitive: bool,
    #[serde(default)]
    restricted_picklist: bool,
    #[serde(default)]
    pub(super) filterable: bool,
    #[serde(default)]
    reference_to: Vec<String>,
    /// Of a detail: it goes with its master.
    #[serde(default)]
    cascade_delete: bool,
    #[serde(default)]
    relationship_name: Option<String>,
    #[serde(default)]
    picklist_values: Vec<PicklistValue>,
}

#[derive(Debug, Clone, Deserialize)]
struct PicklistValue {
    value: String,
    #[serde(default)]
    active: bool,
}

impl Described {
    /// The object, as the run sees it.
    pub(super) fn object(&self) -> Object {
        let named = |wanted: &dyn Fn(&Field) -> bool| -> Vec<Vec<String>> {
            let fields = self.fields.iter().filter(|field| wanted(field));
            fields.map(|field| vec![field.name.clone()]).collect()
        };
        Object {
            path: vec![self.name.clone()],
            spelling: Spelling {
                quote: '"',
                account: None,
            },
            kind: ObjectKind::Records(ServiceKind::Salesforce),
            columns: self.fields.iter().map(Field::column).collect(),
            unique_keys: named(&|field| field.unique || field.field_type == "id"),
            // Whatever can be filtered by is found without reading every record one by one.
            indexes: named(&|field| field.filterable),
            may_enter: true,
            hides_columns: true,
            may_select: self.queryable,
            may_select_rows: self.queryable,
            locks: RowLocks::Each,
            primary_key: vec!["Id".to_owned()],
            followed: Vec::new(),
            obstacles: self.obstacles(),
        }
    }

    /// The fields that name records of other objects.
    pub(super) fn references(&self) -> Vec<ReferenceColumn> {
        let target = |object: &String| ReferenceTarget {
            path: vec![object.clone()],
            column: "Id".to_owned(),
        };
        let references = self.fields.iter();
        let references = references.filter(|field| !field.reference_to.is_empty());
        references
            .map(|field| ReferenceColumn {
                column: field.name.clone(),
                relationship: field.relationship_name.clone(),
                targets: field.reference_to.iter().map(target).collect(),
            })
            .collect()
    }

    /// The fields that name records which are locked along with this one.
    pub(super) fn parents(&self) -> Vec<String> {
        let fields = self.fields.iter().filter(|field| {
            let is_reference = !field.reference_to.is_empty();
            is_reference && (field.cascade_delete || field.name == "AccountId")
        });
        fields.map(|field| field.name.clone()).collect()
    }

    fn obstacles(&self) -> Vec<Obstacle> {
        let hint =
            "let a permission set of the user allow it: Setup › Permission Sets › Object Settings";
        let obstacle = |change, why: &str| Obstacle {
            against: vec![change],
            why: why.to_owned(),
            hint: hint.to_owned(),
        };
        let mut obstacles = Vec::new();
        if !self.updateable {
            obstacles.push(obstacle(Change::Update, "may not be updated by this user"));
        }
        if !self.createable {
            obstacles.push(obstacle(Change::Insert, "may not be created by this user"));
        }
        obstacles
    }
}

impl Field {
    fn column(&self) -> ObjectColumn {
        let generated = self.calculated || self.auto_number;
        let holds = self.holds();
        ObjectColumn {
            name: self.name.clone(),
            declared: self.declared(),
            loosely_compared: matches!(
                holds,
                Holds::Text { .. } | Holds::Label(_) | Holds::Labels(_)
            ) && !self.case_sensitive
                && !self.is_id(),
            holds,
            nullable: self.nillable,
            has_default: self.defaulted_on_create || !self.createable,
            generated,
            may_select: true,
            may_update: self.updateable,
            may_insert: self.createable,
            collation: None,
            drops_blanks: false,
            is_set: self.field_type == "multipicklist",
        }
    }

    fn is_id(&self) -> bool {
        matches!(self.field_type.as_str(), "id" | "reference")
    }

    /// Its type as people of the API would write it: `string(80)`, `double(18,2)`,
    /// `reference(User)`.
    fn declared(&self) -> String {
        let field_type = &self.field_type;
        match field_type.as_str() {
            "double" | "currency" | "percent" => {
                format!("{field_type}({},{})", self.precision, self.scale)
            }
            "int" | "long" if self.digits > 0 => format!("{field_type}({})", self.digits),
            "reference" => format!("{field_type}({})", self.reference_to.join(", ")),
            "string" | "textarea" | "email" | "phone" | "url" | "combobox" | "encryptedstring"
            | "multipicklist" => format!("{field_type}({})", self.length),
            _ => field_type.clone(),
        }
    }

    fn holds(&self) -> Holds {
        let text = |characters: u64| Holds::Text {
            limit: (characters > 0).then_some(TextLimit::Characters(characters)),
            repertoire: Repertoire::Unicode { nul: false },
        };
        match self.field_type.as_str() {
            "id" | "reference" => text(18),
            "picklist" if self.restricted_picklist => Holds::Label(self.active_values()),
            "multipicklist" if self.restricted_picklist => Holds::Labels(self.active_values()),
            "string" | "textarea" | "email" | "phone" | "url" | "combobox" | "encryptedstring"
            | "picklist" | "multipicklist" => text(self.length),
            "boolean" => Holds::Boolean,
            "int" => Holds::Integer {
                min: i128::from(i32::MIN).max(-self.integer_max()),
                max: i128::from(i32::MAX).min(self.integer_max()),
            },
            "long" => Holds::Integer {
                min: i128::from(i64::MIN).max(-self.integer_max()),
                max: i128::from(i64::MAX).min(self.integer_max()),
            },
            "double" | "currency" | "percent" => Holds::Decimal {
                size: (self.precision > 0).then_some((self.precision, self.scale)),
            },
            "date" => Holds::Date,
            "datetime" => Holds::Instant { fraction_digits: 3 },
            "time" => Holds::Time { fraction_digits: 3 },
            _ => Holds::Unsupported,
        }
    }

    /// The largest number of so many digits; any, where none are told.
    fn integer_max(&self) -> i128 {
        match self.digits {
            digits @ 1..=18 => 10_i128.pow(digits) - 1,
            _ => i128::from(i64::MAX),
        }
    }

    fn active_values(&self) -> Vec<String> {
        let active = self.picklist_values.iter().filter(|value| value.active);
        active.map(|value| value.value.clone()).collect()
    }
}
