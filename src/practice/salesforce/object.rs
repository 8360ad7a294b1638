//! Objects as their describe answers tell of them: fields, types, rights.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// The type of a field, as far as it decides how values are taken and given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    Id,
    Reference,
    Text,
    Email,
    Picklist,
    MultiPicklist,
    Boolean,
    Integer,
    Decimal,
    Date,
    DateTime,
    Time,
    /// An address or a location: made of other fields, and read only.
    Compound,
    Other,
}

impl FieldKind {
    fn of(type_name: &str) -> Self {
        match type_name {
            "id" => Self::Id,
            "reference" => Self::Reference,
            "string" | "textarea" | "phone" | "url" | "combobox" | "encryptedstring" => Self::Text,
            "email" => Self::Email,
            "picklist" => Self::Picklist,
            "multipicklist" => Self::MultiPicklist,
            "boolean" => Self::Boolean,
            "int" | "long" => Self::Integer,
            "double" | "currency" | "percent" => Self::Decimal,
            "date" => Self::Date,
            "datetime" => Self::DateTime,
            "time" => Self::Time,
            "address" | "location" => Self::Compound,
            _ => Self::Other,
        }
    }

    /// Whether its values are written without quotes in SOQL.
    pub(super) fn is_bare(self) -> bool {
        matches!(
            self,
            Self::Boolean
                | Self::Integer
                | Self::Decimal
                | Self::Date
                | Self::DateTime
                | Self::Time
        )
    }
}

/// A choice of a picklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) is_default: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) kind: FieldKind,
    /// As describe names its type.
    pub(super) type_name: String,
    pub(super) length: usize,
    pub(super) precision: usize,
    pub(super) scale: usize,
    pub(super) nillable: bool,
    pub(super) createable: bool,
    pub(super) updateable: bool,
    pub(super) defaulted_on_create: bool,
    pub(super) default: Option<Value>,
    pub(super) external_id: bool,
    pub(super) id_lookup: bool,
    pub(super) unique: bool,
    pub(super) case_sensitive: bool,
    pub(super) filterable: bool,
    pub(super) sortable: bool,
    pub(super) restricted: bool,
    pub(super) cascade_delete: bool,
    pub(super) reference_to: Vec<String>,
    pub(super) relationship: Option<String>,
    pub(super) choices: Vec<Choice>,
    pub(super) custom: bool,
}

impl Field {
    fn read(told: &Value) -> Option<Self> {
        let text = |key: &str| told.get(key).and_then(Value::as_str);
        let flag = |key: &str| told.get(key).and_then(Value::as_bool).unwrap_or_default();
        let count = |key: &str| {
            let number = told.get(key).and_then(Value::as_u64).unwrap_or_default();
            usize::try_from(number).unwrap_or_default()
        };
        let name = text("name")?.to_owned();
        let type_name = text("type")?.to_owned();
        let references = told.get("referenceTo").and_then(Value::as_array);
        let references = references.into_iter().flatten().filter_map(Value::as_str);
        let choices = told.get("picklistValues").and_then(Value::as_array);
        Some(Self {
            label: text("label").unwrap_or(&name).to_owned(),
            kind: FieldKind::of(&type_name),
            length: count("length"),
            precision: count("precision"),
            scale: count("scale"),
            nillable: flag("nillable"),
            createable: flag("createable"),
            updateable: flag("updateable"),
            defaulted_on_create: flag("defaultedOnCreate"),
            default: told
                .get("defaultValue")
                .filter(|value| !value.is_null())
                .cloned(),
            external_id: flag("externalId"),
            id_lookup: flag("idLookup"),
            unique: flag("unique"),
            // Two ids may differ in nothing but the case of a letter.
            case_sensitive: flag("caseSensitive")
                || matches!(type_name.as_str(), "id" | "reference"),
            filterable: told
                .get("filterable")
                .and_then(Value::as_bool)
                .unwrap_or(true),
            sortable: told
                .get("sortable")
                .and_then(Value::as_bool)
                .unwrap_or(true),
            restricted: flag("restrictedPicklist"),
            cascade_delete: flag("cascadeDelete"),
            reference_to: references.map(str::to_owned).collect(),
            relationship: text("relationshipName").map(str::to_owned),
            choices: choices.into_iter().flatten().filter_map(choice).collect(),
            custom: flag("custom"),
            name,
            type_name,
        })
    }

    /// Whether rows may be found by it in an upsert or through a reference.
    pub(super) fn is_key(&self) -> bool {
        self.external_id || self.id_lookup
    }

    /// Whether a record cannot be made without it.
    pub(super) fn is_required(&self) -> bool {
        !self.nillable
            && self.createable
            && !self.defaulted_on_create
            && self.kind != FieldKind::Boolean
    }
}

/// A choice that is offered; those that are retired are not.
fn choice(told: &Value) -> Option<Choice> {
    let flag = |key: &str, usual| told.get(key).and_then(Value::as_bool).unwrap_or(usual);
    let value = told.get("value").and_then(Value::as_str)?.to_owned();
    let label = told.get("label").and_then(Value::as_str);
    flag("active", true).then(|| Choice {
        label: label.unwrap_or(&value).to_owned(),
        is_default: flag("defaultValue", false),
        value,
    })
}

#[derive(Debug)]
pub(super) struct ObjectType {
    pub(super) name: String,
    pub(super) label: String,
    /// The three signs that ids of it begin with.
    pub(super) prefix: String,
    pub(super) fields: Vec<Field>,
    by_name: HashMap<String, usize>,
    by_relationship: HashMap<String, usize>,
    pub(super) describe: Value,
    pub(super) is_deleted: Option<usize>,
}

impl ObjectType {
    /// Errors: it is no describe answer; says what is missing.
    pub(super) fn read(describe: Value, prefix: Option<&str>) -> Result<Self, String> {
        let text = |key: &str| describe.get(key).and_then(Value::as_str);
        let name = text("name")
            .ok_or("no `name`: not a describe answer")?
            .to_owned();
        let told = describe.get("fields").and_then(Value::as_array);
        let told = told.ok_or("no `fields`: not a describe answer")?;
        let fields: Option<Vec<Field>> = told.iter().map(Field::read).collect();
        let fields = fields.ok_or("a field without `name` or `type`")?;
        let prefix = text("keyPrefix")
            .or(prefix)
            .filter(|prefix| prefix.len() == 3);
        let prefix = prefix.ok_or("no `keyPrefix` of three signs")?.to_owned();
        let by_name: HashMap<String, usize> = (0..)
            .zip(&fields)
            .map(|(index, field)| (field.name.to_lowercase(), index))
            .collect();
        if !by_name.contains_key("id") {
            return Err("no field `Id`".to_owned());
        }
        let by_relationship = (0..)
            .zip(&fields)
            .filter(|(_, field)| field.kind == FieldKind::Reference)
            .filter_map(|(index, field)| Some((field.relationship.as_ref()?.to_lowercase(), index)))
            .collect();
        Ok(Self {
            label: text("label").unwrap_or(&name).to_owned(),
            prefix,
            is_deleted: by_name.get("isdeleted").copied(),
            by_name,
            by_relationship,
            fields,
            name,
            describe,
        })
    }

    /// A field by its name, whatever its case.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_lowercase()).copied()
    }

    /// The field of a reference by its relationship's name, whatever its case.
    pub(super) fn find_relationship(&self, name: &str) -> Option<usize> {
        self.by_relationship.get(&name.to_lowercase()).copied()
    }

    /// Panics: never; an index that this object gave out has a field.
    pub(super) fn field(&self, index: usize) -> &Field {
        self.fields
            .get(index)
            .expect("indexes of fields come from this object")
    }

    pub(super) fn named(&self, name: &str) -> Option<&Field> {
        self.find(name).map(|index| self.field(index))
    }

    /// Whether a name is put together from a first and a last one.
    pub(super) fn has_joined_name(&self) -> bool {
        let is_joined = self.named("Name").is_some_and(|field| !field.createable);
        is_joined && self.find("LastName").is_some()
    }

    /// Whether the object allows something, as a flag of its describe answer says.
    pub(super) fn allows(&self, flag: &str) -> bool {
        self.describe
            .get(flag)
            .and_then(Value::as_bool)
            .unwrap_or(true)
    }

    /// Its entry in the global describe.
    pub(super) fn entry(&self) -> Map<String, Value> {
        let of_fields = [
            "fields",
            "childRelationships",
            "recordTypeInfos",
            "supportedScopes",
            "actionOverrides",
            "namedLayoutInfos",
        ];
        let all = self.describe.as_object().into_iter().flatten();
        all.filter(|(key, _)| !of_fields.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }
}

/// The describe answer of an object that every org has and that need not stand in the folder.
pub(super) fn built_in(name: &str, prefix: &str, fields: &[Value]) -> Value {
    let common = [
        plain_field("Id", "id", 18),
        plain_field("CreatedDate", "datetime", 0),
        plain_field("LastModifiedDate", "datetime", 0),
        plain_field("SystemModstamp", "datetime", 0),
    ];
    let fields: Vec<Value> = common.iter().chain(fields).cloned().collect();
    json!({
        "name": name, "label": name, "labelPlural": format!("{name}s"), "keyPrefix": prefix, "custom": false,
        "customSetting": false, "createable": false, "updateable": true, "deletable": false, "undeletable": false,
        "mergeable": false, "queryable": true, "retrieveable": true, "searchable": true, "layoutable": false,
        "triggerable": false, "replicateable": true, "deprecatedAndHidden": false, "feedEnabled": false,
        "hasSubtypes": false, "isSubtype": false, "isInterface": false, "activateable": false, "mruEnabled": false,
        "recordTypeInfos": [], "childRelationships": [], "fields": fields,
        "urls": {
            "sobject": format!("/services/data/v67.0/sobjects/{name}"),
            "describe": format!("/services/data/v67.0/sobjects/{name}/describe"),
            "rowTemplate": format!("/services/data/v67.0/sobjects/{name}/{{ID}}"),
        },
    })
}

/// A field of a built-in object; what is not `Id` or a date may be updated.
pub(super) fn plain_field(name: &str, type_name: &str, length: u32) -> Value {
    let is_system = matches!(
        name,
        "Id" | "CreatedDate" | "LastModifiedDate" | "SystemModstamp"
    );
    let soap_type = match type_name {
        "id" | "reference" => "tns:ID",
        "boolean" => "xsd:boolean",
        "datetime" => "xsd:dateTime",
        _ => "xsd:string",
    };
    let mut field = json!({
        "name": name, "label": name, "type": type_name, "length": length, "byteLength": length * 3,
        "nillable": !is_system, "updateable": !is_system, "defaultedOnCreate": is_system,
        "idLookup": matches!(name, "Id" | "Username"), "unique": name == "Username", "nameField": name == "Name",
        "permissionable": !is_system, "soapType": soap_type, "picklistValues": [], "referenceTo": [],
        "relationshipName": null, "defaultValue": null, "controllerName": null, "compoundFieldName": null,
        "calculatedFormula": null, "inlineHelpText": null, "precision": 0, "scale": 0, "digits": 0,
    });
    if let Some(field) = field.as_object_mut() {
        let on = ["filterable", "sortable", "groupable", "aggregatable"].map(|flag| (flag, true));
        let off = [
            "createable",
            "calculated",
            "autoNumber",
            "externalId",
            "caseSensitive",
            "custom",
            "restrictedPicklist",
            "dependentPicklist",
            "polymorphicForeignKey",
            "cascadeDelete",
            "deprecatedAndHidden",
            "encrypted",
            "htmlFormatted",
            "namePointing",
        ]
        .map(|flag| (flag, false));
        field.extend(
            on.into_iter()
                .chain(off)
                .map(|(flag, told)| (flag.to_owned(), Value::from(told))),
        );
    }
    field
}
