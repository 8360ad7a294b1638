//! What an environment tells of itself, of its tables and of its user's privileges.
//! Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/webapi/query-metadata-web-api>.

use serde_json::{Map, Value, json};

use super::environment::Environment;
use super::errors::ODataError;
use super::table::Definition;
use crate::practice::call::Call;

/// Properties of a definition that are answered only if they are asked for by their own paths.
const PARTS: [&str; 5] = [
    "Attributes",
    "Keys",
    "ManyToOneRelationships",
    "ManyToManyRelationships",
    "Messages",
];

/// Properties of an attribute that are answered only if they are expanded.
const SETS: [&str; 2] = ["OptionSet", "GlobalOptionSet"];

/// Rights, as privileges are named.
const RIGHTS: [&str; 5] = ["Create", "Read", "Write", "Delete", "Append"];

impl Environment {
    pub(super) fn who_am_i(&self) -> Value {
        let environment = &self.settings.environment;
        json!({
            "@odata.context": "$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse",
            "BusinessUnitId": environment.business_unit,
            "UserId": environment.user,
            "OrganizationId": self.organization(),
        })
    }

    /// `EntityDefinitions`, and what is asked of one: `rest` is the path after it.
    pub(super) fn definitions(&self, call: &Call, rest: &[&str]) -> Result<Value, ODataError> {
        let listed = |values: Vec<Value>| json!({ "@odata.context": "$metadata#EntityDefinitions", "value": values });
        let (first, rest) = match rest {
            ["EntityDefinitions"] => {
                let all = self
                    .tables
                    .values()
                    .map(|table| self.entity(call, &table.definition));
                return Ok(listed(all.collect()));
            }
            [first, rest @ ..] => (*first, rest),
            [] => return Err(ODataError::no_segment("")),
        };
        let name = first
            .strip_prefix("EntityDefinitions(LogicalName='")
            .and_then(|rest| rest.strip_suffix("')"))
            .ok_or_else(|| ODataError::no_segment(first))?;
        let definition = self.definition(name).ok_or_else(|| {
            ODataError::new(
                404,
                "0x80060888",
                format!("Could not find an entity with name '{name}' and with id '00000000-0000-0000-0000-000000000000'."),
            )
        })?;
        match rest {
            [] => Ok(self.entity(call, &definition)),
            ["Attributes"] => Ok(listed(attributes(call, &definition, None))),
            ["Attributes", cast] => {
                let wanted = format!("#{cast}");
                Ok(listed(attributes(call, &definition, Some(&wanted))))
            }
            [part @ ("Keys" | "ManyToOneRelationships" | "ManyToManyRelationships")] => {
                let values = definition.described.get(*part).and_then(Value::as_array);
                let values = values.cloned().unwrap_or_default();
                Ok(listed(
                    values
                        .iter()
                        .map(|value| selected(call, value, &[]))
                        .collect(),
                ))
            }
            _ => Err(ODataError::no_segment(&rest.join("/"))),
        }
    }

    fn entity(&self, call: &Call, definition: &Definition) -> Value {
        let mut told = definition.described.clone();
        if let Some(told) = told.as_object_mut()
            && !told.contains_key("Privileges")
        {
            let schema_name = told
                .get("SchemaName")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let privileges = RIGHTS.map(|right| {
                json!({ "PrivilegeType": right, "Name": format!("prv{right}{schema_name}") })
            });
            told.insert("Privileges".to_owned(), json!(privileges));
        }
        selected(call, &told, &PARTS)
    }

    /// `systemusers(ID)/Microsoft.Dynamics.CRM.RetrieveUserPrivileges`: all there are, but for those
    /// that the settings take away.
    pub(super) fn privileges(&self) -> Value {
        let without = &self.settings.environment.without;
        let of = |definition: &Definition| {
            let schema_name = definition
                .described
                .get("SchemaName")
                .and_then(Value::as_str);
            let schema_name = schema_name.unwrap_or_default().to_owned();
            RIGHTS.map(|right| format!("prv{right}{schema_name}"))
        };
        let names = self.tables.values().flat_map(|table| of(&table.definition));
        let own = ["prvBypassCustomBusinessLogic".to_owned()];
        let held: Vec<Value> = names
            .chain(own)
            .filter(|name| !without.contains(name))
            .map(|name| {
                json!({ "Depth": "Global", "PrivilegeName": name, "BusinessUnitId": self.settings.environment.business_unit })
            })
            .collect();
        json!({ "@odata.context": "$metadata#Microsoft.Dynamics.CRM.RetrieveUserPrivilegesResponse", "RolePrivileges": held })
    }

    /// `systemusers(ID)/systemuserprofiles_association`: one profile with all that is granted.
    pub(super) fn profiles(&self) -> Value {
        let level = |allowed: bool| if allowed { 4 } else { 0 };
        let permissions: Vec<Value> = self
            .settings
            .grants
            .iter()
            .map(|grant| {
                json!({
                    "entityname": grant.table, "attributelogicalname": grant.column, "canread": level(grant.read),
                    "canupdate": level(grant.update), "cancreate": level(grant.create),
                })
            })
            .collect();
        json!({
            "@odata.context": "$metadata#fieldsecurityprofiles",
            "value": [{
                "fieldsecurityprofileid": "0a0e0000-0000-4000-8000-0000000000fe",
                "lk_fieldpermission_fieldsecurityprofileid": permissions,
            }],
        })
    }

    /// `sdkmessagefilters?$filter=…`: whether a table takes a bulk message.
    pub(super) fn messages(&self, call: &Call) -> Value {
        let alias = |name: &str| {
            let told = call.parameter(name).unwrap_or_default();
            told.trim_matches('\'').to_owned()
        };
        let filter = call.parameter("$filter").unwrap_or_default();
        let quoted: Vec<&str> = filter.split('\'').skip(1).step_by(2).collect();
        let (message, table) = match quoted.as_slice() {
            [message, table] => ((*message).to_owned(), (*table).to_owned()),
            _ => (alias("@m"), alias("@t")),
        };
        let takes = self
            .definition(&table)
            .is_some_and(|definition| definition.messages.contains(&message));
        let found: Vec<Value> = takes
            .then(|| json!({ "sdkmessagefilterid": "0a0e0000-0000-4000-8000-0000000000ff" }))
            .into_iter()
            .collect();
        json!({ "@odata.context": "$metadata#sdkmessagefilters(sdkmessagefilterid)", "value": found })
    }
}

fn attributes(call: &Call, definition: &Definition, cast: Option<&str>) -> Vec<Value> {
    let all = definition
        .described
        .get("Attributes")
        .and_then(Value::as_array);
    let of_type = |told: &&Value| {
        cast.is_none_or(|cast| told.get("@odata.type").and_then(Value::as_str) == Some(cast))
    };
    let expanded = call.parameter("$expand").unwrap_or_default();
    let hidden: Vec<&str> = SETS
        .into_iter()
        .filter(|set| {
            let mut asked = expanded.split([',', '(', ')']);
            !asked.any(|part| part == *set)
        })
        .collect();
    all.into_iter()
        .flatten()
        .filter(of_type)
        .map(|told| selected(call, told, &hidden))
        .collect()
}

/// What of a description is asked for: `hidden` properties are never, unless by other means.
fn selected(call: &Call, told: &Value, hidden: &[&str]) -> Value {
    let wanted: Option<Vec<&str>> = call
        .parameter("$select")
        .map(|names| names.split(',').map(str::trim).collect());
    let Some(told) = told.as_object() else {
        return told.clone();
    };
    let is_kept = |name: &str| {
        let is_asked = wanted.as_ref().is_none_or(|wanted| wanted.contains(&name));
        let is_set = SETS.contains(&name) || name == "@odata.type" || name == "MetadataId";
        (is_asked || is_set) && !hidden.contains(&name)
    };
    let kept: Map<String, Value> = told
        .iter()
        .filter(|(name, _)| is_kept(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Value::Object(kept)
}
