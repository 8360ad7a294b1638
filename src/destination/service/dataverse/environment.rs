//! What an environment tells of itself, of the user that is logged in, and of its tables.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::super::report::{AccountReport, Version};
use super::DataverseDestination;
use super::describe::{Granted, TableDescription};
use super::queries::encoded;
use crate::domain::error::SystemError;
use crate::domain::problem::did_you_mean;

/// Properties of a table that are made use of.
const TABLE_PROPERTIES: &str = "LogicalName,SchemaName,EntitySetName,PrimaryIdAttribute,PrimaryNameAttribute,TableType,IsOptimisticConcurrencyEnabled,DisplayName,Privileges";

/// Kinds of attributes whose choices are told by paths of their own.
const CHOICE_KINDS: [&str; 4] = ["Picklist", "MultiSelectPicklist", "State", "Status"];

/// A role that may do whatever there is.
const ADMINISTRATOR: &str = "System Administrator";

#[derive(Deserialize)]
struct Listed<T> {
    value: Vec<T>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NamedTable {
    pub(super) logical_name: String,
    #[serde(default)]
    pub(super) entity_set_name: Option<String>,
    #[serde(default)]
    primary_id_attribute: Option<String>,
    #[serde(default)]
    display_name: Value,
}

#[derive(Deserialize)]
struct User {
    fullname: Option<String>,
    #[serde(default, rename = "systemuserroles_association")]
    roles: Vec<Role>,
}

#[derive(Deserialize)]
struct Role {
    name: String,
}

/// As a field permission says that something is allowed.
const ALLOWED: i64 = 4;

/// A column security profile.
#[derive(Deserialize)]
struct Profile {
    #[serde(default, rename = "lk_fieldpermission_fieldsecurityprofileid")]
    permissions: Vec<FieldPermission>,
}

#[derive(Deserialize)]
struct FieldPermission {
    entityname: String,
    attributelogicalname: String,
    #[serde(default)]
    canread: i64,
    #[serde(default)]
    canupdate: i64,
    #[serde(default)]
    cancreate: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RolePrivileges {
    role_privileges: Vec<RolePrivilege>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RolePrivilege {
    #[serde(default)]
    privilege_name: Option<String>,
}

/// What one connection has asked for that is no table's own.
#[derive(Debug, Default)]
pub(super) struct Surroundings {
    /// Names of the privileges that the user holds; `None` if it is not told.
    held: OnceCell<Option<Vec<String>>>,
    tables: OnceCell<Vec<NamedTable>>,
}

impl DataverseDestination {
    /// Tells of the environment and of the user. What the user may not ask is left out.
    pub(in super::super) async fn report(&self) -> Result<AccountReport, SystemError> {
        let user: Option<User> = match &self.user {
            Some(id) => {
                let path = format!(
                    "{}/systemusers({id})?$select=fullname&$expand=systemuserroles_association($select=name)",
                    self.base
                );
                self.tell(path).await?
            }
            None => None,
        };
        let is_administrator = user
            .as_ref()
            .map(|user| user.roles.iter().any(|role| role.name == ADMINISTRATOR));
        let told = user
            .and_then(|user| user.fullname)
            .map(|name| format!("`{name}`"));
        let (usage, quota_share) = self.session.usage();
        Ok(AccountReport {
            account: self
                .account
                .as_ref()
                .map(|id| format!("environment `{id}`")),
            user: told.or_else(|| self.user.as_ref().map(|id| format!("user `{id}`"))),
            is_administrator,
            version: Version {
                name: self.base.rsplit('v').next().unwrap_or_default().to_owned(),
                // It answered to it, and the platform promises no end of a version.
                is_spoken: Some(true),
                promised_until: None,
            },
            usage,
            quota_share,
        })
    }

    /// What is answered, if this user is answered at all and in this shape.
    async fn tell<T: for<'a> Deserialize<'a>>(
        &self,
        path: String,
    ) -> Result<Option<T>, SystemError> {
        let response = self.get(path).await?;
        let is_success = response.is_success();
        Ok(serde_json::from_slice(&response.body)
            .ok()
            .filter(|_| is_success))
    }

    /// The description of a table, put together from what its paths answer.
    /// Errors: `NotFound`, with the tables that may be meant.
    pub(super) async fn described(&self, name: &str) -> Result<Value, SystemError> {
        let doing = format!("describing `{name}`");
        // Within quotes a quote is doubled; a name has none, and a foreign one finds nothing.
        let entity = format!(
            "{}/EntityDefinitions(LogicalName='{}')",
            self.base,
            encoded(&name.replace('\'', "''"))
        );
        let list = async |rest: String| -> Result<Vec<Value>, SystemError> {
            let listed: Listed<Value> = self.read(format!("{entity}/{rest}"), &doing).await?;
            Ok(listed.value)
        };
        let choices = CHOICE_KINDS.map(|kind| {
            list(format!(
                "Attributes/Microsoft.Dynamics.CRM.{kind}AttributeMetadata?$select=LogicalName\
                 &$expand=OptionSet($select=Options),GlobalOptionSet($select=Options)"
            ))
        });
        let keys = "Keys?$select=SchemaName,LogicalName,KeyAttributes,EntityKeyIndexStatus";
        let relationships = "ManyToOneRelationships?$select=ReferencingAttribute,ReferencingEntityNavigationPropertyName,ReferencedEntity,ReferencedAttribute";
        let lists = "ManyToManyRelationships?$select=SchemaName,IntersectEntityName,Entity1LogicalName,Entity1NavigationPropertyName,Entity2LogicalName,Entity2NavigationPropertyName";
        let (definition, attributes, choices, keys, relationships, lists, messages) = tokio::join!(
            self.get(format!("{entity}?$select={TABLE_PROPERTIES}")),
            list("Attributes".to_owned()),
            join_all(choices),
            list(keys.to_owned()),
            list(relationships.to_owned()),
            list(lists.to_owned()),
            self.messages(name, &doing)
        );
        let definition = definition?;
        if definition.status == 404 {
            return Err(self.no_table(name).await?);
        }
        if !definition.is_success() {
            return Err(self.failure(&definition, &doing));
        }
        let mut table: Value = self.parsed(&definition.body, &doing)?;
        let mut attributes = attributes?;
        for told in choices {
            let told = told?;
            told.iter().for_each(|told| complete(&mut attributes, told));
        }
        if let Some(table) = table.as_object_mut() {
            table.remove("@odata.context");
            let parts = [
                ("Attributes", json!(attributes)),
                ("Keys", json!(keys?)),
                ("ManyToOneRelationships", json!(relationships?)),
                ("ManyToManyRelationships", json!(lists?)),
                ("Messages", json!(messages?)),
            ];
            table.extend(parts.map(|(name, value)| (name.to_owned(), value)));
        }
        Ok(table)
    }

    /// Bulk messages that the table takes, of those that are made use of.
    async fn messages(&self, table: &str, doing: &str) -> Result<Vec<&'static str>, SystemError> {
        const MESSAGE: &str = "UpdateMultiple";
        let filter = encoded("sdkmessageid/name eq @m and primaryobjecttypecode eq @t");
        let path = format!(
            "{}/sdkmessagefilters?$select=sdkmessagefilterid&$filter={filter}&@m={}&@t={}",
            self.base,
            encoded(&format!("'{MESSAGE}'")),
            encoded(&format!("'{table}'"))
        );
        let found: Listed<Value> = self.read(path, doing).await?;
        Ok((!found.value.is_empty())
            .then_some(MESSAGE)
            .into_iter()
            .collect())
    }

    /// What is told of a table, and what is known beside it: the user's privileges, and the sets of
    /// the tables that its lookups lead to.
    pub(super) async fn ask_about(&self, name: &str) -> Result<TableDescription, SystemError> {
        let held = self.surroundings.held.get_or_try_init(|| self.privileges());
        // Hardly any table is without a lookup: whoever has made a row is one.
        let tables = self.surroundings.tables.get_or_try_init(|| self.tables());
        let (described, held, tables) = tokio::join!(self.described(name), held, tables);
        let described = serde_json::from_value(described?);
        let mut table: TableDescription = described.map_err(|source| SystemError::Failed {
            connection: self.session.connection().to_owned(),
            doing: format!("describing `{name}`"),
            source: source.into(),
            hint: None,
        })?;
        table.held = held?.clone();
        if table.has_secured() {
            table.granted = self.granted(&table.logical_name).await?;
        }
        if !table.targets().is_empty() {
            let tables = tables?;
            let targets = table.targets();
            let is_target = |known: &&NamedTable| targets.contains(&known.logical_name.as_str());
            let known: Vec<&NamedTable> = tables.iter().filter(is_target).collect();
            let named = |name_of: fn(&NamedTable) -> &Option<String>| {
                let names = known.iter();
                let names = names.filter_map(|known| {
                    Some((known.logical_name.clone(), name_of(known).clone()?))
                });
                names.collect()
            };
            let sets = named(|known| &known.entity_set_name);
            let ids = named(|known| &known.primary_id_attribute);
            (table.target_sets, table.target_ids) = (sets, ids);
        }
        Ok(table)
    }

    /// Names of the privileges that the user holds; `None` if it is not told.
    async fn privileges(&self) -> Result<Option<Vec<String>>, SystemError> {
        let Some(user) = &self.user else {
            return Ok(None);
        };
        let path = format!(
            "{}/systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges",
            self.base
        );
        let told: Option<RolePrivileges> = self.tell(path).await?;
        let names = told.map(|told| {
            let names = told.role_privileges.into_iter();
            names
                .filter_map(|privilege| privilege.privilege_name)
                .collect::<Vec<_>>()
        });
        // A list without a single name tells nothing.
        Ok(names.filter(|names| !names.is_empty()))
    }

    /// What the column security profiles of the user grant of a table's columns; nothing, where it
    /// is not told.
    async fn granted(&self, table: &str) -> Result<BTreeMap<String, Granted>, SystemError> {
        let mut granted: BTreeMap<String, Granted> = BTreeMap::new();
        let Some(user) = &self.user else {
            return Ok(granted);
        };
        let path = format!(
            "{}/systemusers({user})/systemuserprofiles_association?$select=fieldsecurityprofileid\
             &$expand=lk_fieldpermission_fieldsecurityprofileid($select=entityname,attributelogicalname,canread,canupdate,cancreate)",
            self.base
        );
        let profiles: Option<Listed<Profile>> = self.tell(path).await?;
        let profiles = profiles.map_or_else(Vec::new, |profiles| profiles.value);
        let permissions = profiles.into_iter().flat_map(|profile| profile.permissions);
        for permission in permissions.filter(|permission| permission.entityname == table) {
            let column = granted.entry(permission.attributelogicalname).or_default();
            column.reads |= permission.canread == ALLOWED;
            column.updates |= permission.canupdate == ALLOWED;
            column.creates |= permission.cancreate == ALLOWED;
        }
        Ok(granted)
    }

    async fn tables(&self) -> Result<Vec<NamedTable>, SystemError> {
        let path = format!(
            "{}/EntityDefinitions?$select=LogicalName,EntitySetName,PrimaryIdAttribute,DisplayName",
            self.base
        );
        let tables: Listed<NamedTable> = self.read(path, "listing the tables").await?;
        Ok(tables.value)
    }

    /// Logical names of the environment's tables.
    pub(in super::super) async fn object_names(&self) -> Result<Vec<String>, SystemError> {
        let tables = self.surroundings.tables.get_or_try_init(|| self.tables());
        let names = tables.await?.iter().map(|table| table.logical_name.clone());
        Ok(names.collect())
    }

    async fn no_table(&self, name: &str) -> Result<SystemError, SystemError> {
        let tables = self.surroundings.tables.get_or_try_init(|| self.tables());
        let tables = tables.await?;
        let label = |table: &NamedTable| {
            let label = table.display_name.pointer("/UserLocalizedLabel/Label")?;
            Some(label.as_str()?.to_owned())
        };
        let of_set = tables
            .iter()
            .find(|table| table.entity_set_name.as_deref() == Some(name));
        let labelled = tables
            .iter()
            .find(|table| label(table).as_deref() == Some(name));
        let names = tables.iter().map(|table| table.logical_name.as_str());
        let hint = match (of_set, labelled) {
            (Some(table), _) => Some(format!(
                "`{name}` is what `{}` is called in URLs: write that",
                table.logical_name
            )),
            (None, Some(table)) => Some(format!(
                "`{name}` is the label of `{}`: write that",
                table.logical_name
            )),
            (None, None) => did_you_mean(name, names).or_else(|| {
                Some(
                    "write the table's logical name, as Power Apps › Tables › Properties shows it"
                        .to_owned(),
                )
            }),
        };
        Ok(SystemError::NotFound {
            what: format!("table `{name}` of `{}`", self.session.connection()),
            hint,
        })
    }
}

/// Takes the choices that are told of an attribute into the one of its name.
fn complete(attributes: &mut [Value], told: &Value) {
    let name = told.get("LogicalName");
    let attribute = attributes
        .iter_mut()
        .find(|known| known.get("LogicalName") == name);
    if let Some(attribute) = attribute.and_then(Value::as_object_mut) {
        for set in ["OptionSet", "GlobalOptionSet"] {
            if let Some(options) = told.get(set).filter(|options| !options.is_null()) {
                attribute.insert(set.to_owned(), options.clone());
            }
        }
    }
}
