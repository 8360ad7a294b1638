//! An entity, as `meta` describes it.

use serde_json::{Map, Value, json};

/// Keys that `meta` tells only when it is asked for all.
const FULL_KEYS: [&str; 5] = [
    "required",
    "readOnly",
    "multiValue",
    "optional",
    "inputType",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldType {
    Id,
    Scalar,
    Composite,
    ToOne,
    ToMany,
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) field_type: FieldType,
    pub(super) data_type: String,
    pub(super) length_max: Option<usize>,
    pub(super) is_confidential: bool,
    pub(super) is_multi_value: bool,
    /// Values of the field, where it has a list of them.
    pub(super) options: Vec<String>,
    /// The entity that it leads to.
    pub(super) target: Option<String>,
    /// The parts of an address.
    pub(super) parts: Vec<Field>,
    raw: Value,
}

#[derive(Debug, Clone)]
pub(super) struct Entity {
    pub(super) name: String,
    label: String,
    pub(super) fields: Vec<Field>,
}

impl Entity {
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let text = |name: &str| value.get(name).and_then(Value::as_str);
        let name = text("entity").ok_or("it has no `entity`")?;
        let fields = value.get("fields").and_then(Value::as_array);
        let fields = fields.ok_or("it has no `fields`")?;
        Ok(Self {
            name: name.to_owned(),
            label: text("label").unwrap_or(name).to_owned(),
            fields: fields.iter().map(Field::read).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.field(name).is_some()
    }

    /// The answer of `meta`, of these fields.
    pub(super) fn told<'a>(
        &self,
        url: &str,
        is_full: bool,
        fields: impl Iterator<Item = &'a Field>,
    ) -> Value {
        let told = fields.map(|field| field.told(is_full));
        json!({
            "entity": self.name,
            "entityMetaUrl": url,
            "label": self.label,
            "fields": told.collect::<Vec<Value>>(),
        })
    }
}

impl Field {
    fn read(value: &Value) -> Result<Self, String> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let flag = |name: &str| value.get(name).and_then(Value::as_bool) == Some(true);
        let name = text("name").ok_or("a field has no `name`")?;
        let field_type = match text("type").unwrap_or_default().as_str() {
            "ID" => FieldType::Id,
            "SCALAR" => FieldType::Scalar,
            "COMPOSITE" => FieldType::Composite,
            "TO_ONE" => FieldType::ToOne,
            "TO_MANY" => FieldType::ToMany,
            other => return Err(format!("field `{name}` is of type `{other}`")),
        };
        let options = value.get("options").and_then(Value::as_array);
        let option = |option: &Value| {
            let value = option.get("value")?;
            let text = value.as_str().map(str::to_owned);
            Some(text.unwrap_or_else(|| value.to_string()))
        };
        let target = value.pointer("/associatedEntity/entity");
        let length_max = value.get("maxLength").and_then(Value::as_u64);
        let parts = value.get("fields").and_then(Value::as_array);
        let parts = parts.filter(|_| field_type == FieldType::Composite);
        let parts = parts.into_iter().flatten().map(Self::read);
        Ok(Self {
            field_type,
            data_type: text("dataType").unwrap_or_default(),
            length_max: length_max.and_then(|length| usize::try_from(length).ok()),
            is_confidential: flag("confidential"),
            is_multi_value: flag("multiValue"),
            options: options.into_iter().flatten().filter_map(option).collect(),
            target: target.and_then(Value::as_str).map(str::to_owned),
            parts: parts.collect::<Result<_, _>>()?,
            raw: value.clone(),
            name,
        })
    }

    fn told(&self, is_full: bool) -> Value {
        let is_told = |key: &str| is_full || !FULL_KEYS.contains(&key);
        let members = self.raw.as_object().into_iter().flatten();
        let told = members.filter(|(key, _)| is_told(key));
        let told: Map<String, Value> = told
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        told.into()
    }
}

/// Entities that are found by `search`.
/// Source: <https://bullhorn.github.io/rest-api-docs/#get-search>.
const INDEXED: [&str; 10] = [
    "Candidate",
    "ClientContact",
    "ClientCorporation",
    "JobOrder",
    "JobSubmission",
    "Lead",
    "Note",
    "Opportunity",
    "Placement",
    "Task",
];

/// Of those, the ones that `query` finds as well.
const QUERIED_TOO: [&str; 2] = ["ClientCorporation", "JobSubmission"];

pub(super) fn is_searched(entity: &str) -> bool {
    INDEXED.contains(&entity)
}

pub(super) fn is_queried(entity: &str) -> bool {
    !INDEXED.contains(&entity) || QUERIED_TOO.contains(&entity)
}
