//! An object of a portal, as its schema describes it.

use std::collections::HashMap;

use serde_json::Value;

/// Names by which the objects of every portal are known in paths, beside those of their schemas.
const PLURALS: [(&str, &str); 6] = [
    ("0-1", "contacts"),
    ("0-2", "companies"),
    ("0-3", "deals"),
    ("0-5", "tickets"),
    ("0-27", "tasks"),
    ("0-46", "notes"),
];

/// What a new record of theirs cannot do without.
/// Source: <https://developers.hubspot.com/docs/api-reference/crm-objects-v3/guide>.
const REQUIRED: [(&str, &[&str]); 4] = [
    ("0-3", &["dealname", "dealstage", "pipeline"]),
    ("0-5", &["subject", "hs_pipeline_stage", "hs_pipeline"]),
    ("0-27", &["hs_timestamp"]),
    ("0-46", &["hs_timestamp"]),
];

pub(super) const CONTACTS: &str = "0-1";
pub(super) const COMPANIES: &str = "0-2";

#[derive(Debug)]
pub(super) struct ObjectType {
    /// `0-1`, `2-3604285`.
    pub(super) type_id: String,
    /// As errors call it: `CONTACT`.
    pub(super) name: String,
    /// As paths and files call it.
    pub(super) path_name: String,
    /// The schema as it is served.
    pub(super) schema: Value,
    pub(super) properties: HashMap<String, Property>,
    aliases: Vec<String>,
    pub(super) required: Vec<String>,
}

/// What a property takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Property {
    pub(super) name: String,
    pub(super) type_name: String,
    pub(super) field_type: String,
    /// Values of its options, in their order.
    pub(super) options: Vec<String>,
    pub(super) external_options: bool,
    pub(super) owner: bool,
    pub(super) unique: bool,
    pub(super) read_only: bool,
}

impl ObjectType {
    /// Reads a schema. Errors: it is none.
    pub(super) fn read(schema: Value) -> Result<Self, String> {
        let text = |name: &str| schema.get(name).and_then(Value::as_str).map(str::to_owned);
        let type_id = text("objectTypeId").ok_or("the schema has no `objectTypeId`")?;
        let name = text("name").ok_or("the schema has no `name`")?;
        let full = text("fullyQualifiedName").unwrap_or_else(|| name.clone());
        let plural = PLURALS.into_iter().find(|(id, _)| *id == type_id);
        let path_name = plural.map_or_else(|| full.clone(), |(_, plural)| plural.to_owned());
        let described = schema.get("properties").and_then(Value::as_array);
        let described = described.ok_or("the schema has no `properties`")?;
        let properties: HashMap<String, Property> = described
            .iter()
            .filter_map(Property::read)
            .map(|property| (property.name.clone(), property))
            .collect();
        let listed = schema.get("requiredProperties").and_then(Value::as_array);
        let listed = listed.into_iter().flatten().filter_map(Value::as_str);
        let usual = REQUIRED.into_iter().find(|(id, _)| *id == type_id);
        let usual = usual.map_or(&[][..], |(_, names)| names).iter().copied();
        Ok(Self {
            required: listed.chain(usual).map(str::to_owned).collect(),
            aliases: [&type_id, &name, &full, &path_name]
                .map(|alias| alias.to_lowercase())
                .to_vec(),
            type_id,
            name,
            path_name,
            properties,
            schema,
        })
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        self.aliases.contains(&name.to_lowercase())
    }

    pub(super) fn is_contact(&self) -> bool {
        self.type_id == CONTACTS
    }

    /// The property that moves with every change.
    pub(super) fn modified(&self) -> &'static str {
        match self.is_contact() {
            true => "lastmodifieddate",
            false => "hs_lastmodifieddate",
        }
    }
}

impl Property {
    fn read(told: &Value) -> Option<Self> {
        let text = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
        let flag = |name: &str| told.get(name).and_then(Value::as_bool).unwrap_or_default();
        let read_only = told.pointer("/modificationMetadata/readOnlyValue");
        let mut options: Vec<&Value> = told
            .get("options")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .collect();
        options.sort_by_key(|option| option.get("displayOrder").and_then(Value::as_i64));
        let value = |option: &&Value| Some(option.get("value")?.as_str()?.to_owned());
        Some(Self {
            name: text("name")?,
            type_name: text("type")?,
            field_type: text("fieldType").unwrap_or_default(),
            options: options.iter().filter_map(value).collect(),
            external_options: flag("externalOptions"),
            owner: text("referencedObjectType").as_deref() == Some("OWNER"),
            unique: flag("hasUniqueValue"),
            read_only: read_only.and_then(Value::as_bool).unwrap_or_default() || flag("calculated"),
        })
    }
}
