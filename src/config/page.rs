//! `[page]` of the project file: where people reach the page of `serve`, and what they see there.

use std::collections::BTreeMap;

use url::Url;

use super::document::{Table, Value};
use crate::domain::access::{Right, Rights, Role};

pub(super) const KEYS: &[&str] = &[
    "url",
    "viewers_see_values",
    "edit",
    "approve_by_another",
    "rights",
    "proxy",
];
/// The names of [`Right::ALL`].
const RIGHT_KEYS: &[&str] = &["approve", "apply", "undo"];
const PROXY_KEYS: &[&str] = &["user", "groups", "roles", "role"];

/// A project's `[page]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct PageSettings {
    /// Where people reach the page, if not at the address that it listens on.
    pub(crate) url: Option<Url>,
    /// Whether those who may only look see values of records too, not only counts and keys.
    pub(crate) viewers_see_values: bool,
    /// Whether admins may edit the project's files there.
    pub(crate) edit: bool,
    /// Whether whoever asked for a run, or changed what it carries, may not let it go ahead.
    pub(crate) approve_by_another: bool,
    /// The least role for what takes an admin otherwise.
    pub(crate) rights: Rights,
    /// How a proxy says who asks, over a socket in the file system.
    pub(crate) proxy: Option<ProxySettings>,
}

/// What a proxy that signs people in says of them.
#[derive(Debug, Clone)]
pub(crate) struct ProxySettings {
    /// The header with somebody's name.
    pub(crate) user: String,
    /// The header with their groups, between commas.
    pub(crate) groups: Option<String>,
    /// By group.
    pub(crate) roles: BTreeMap<String, Role>,
    /// Of everybody, whatever their groups.
    pub(crate) role: Option<Role>,
}

/// Reads `[page]`.
pub(super) fn read_page(root: &Table<'_>) -> PageSettings {
    let Some(table) = root
        .get("page")
        .and_then(|value| value.table("`[page]`".to_owned()))
    else {
        return PageSettings::default();
    };
    table.expect_keys(KEYS);
    let url = table.get("url").and_then(|value| {
        let text = value.text()?;
        let url = Url::parse(text).ok().filter(is_origin);
        if url.is_none() {
            let hint = "write `url = \"https://writeback.example.com\"`".to_owned();
            let message =
                "`url` is not the address of a site: `http` or `https`, and a host, without a path";
            value.mistake(message.to_owned(), Some(hint));
        }
        url
    });
    let sees = table
        .get("viewers_see_values")
        .and_then(|value| value.boolean());
    let edit = table.get("edit").and_then(|value| value.boolean());
    let by_another = table
        .get("approve_by_another")
        .and_then(|value| value.boolean());
    PageSettings {
        url,
        viewers_see_values: sees.unwrap_or(false),
        edit: edit.unwrap_or(false),
        approve_by_another: by_another.unwrap_or(false),
        rights: table
            .get("rights")
            .map_or_else(Rights::default, |value| read_rights(&value)),
        proxy: table.get("proxy").and_then(|value| read_proxy(&value)),
    }
}

fn read_rights(value: &Value<'_>) -> Rights {
    let Some(table) = value.table("`[page.rights]`".to_owned()) else {
        return Rights::default();
    };
    table.expect_keys(RIGHT_KEYS);
    Right::ALL
        .into_iter()
        .fold(Rights::default(), |rights, right| {
            let least = table
                .get(right.name())
                .and_then(|value| match role_of(&value)? {
                    Role::Viewer => {
                        let hint = "write `operator`, or leave it to admins".to_owned();
                        value.mistake("viewers only look".to_owned(), Some(hint));
                        None
                    }
                    role @ (Role::Operator | Role::Admin) => Some(role),
                });
            least.map_or(rights, |least| rights.with(right, least))
        })
}

fn read_proxy(value: &Value<'_>) -> Option<ProxySettings> {
    let table = value.table("`[page.proxy]`".to_owned())?;
    table.expect_keys(PROXY_KEYS);
    let (_, user) = table.require_text("user", "write `user = \"X-Forwarded-User\"`")?;
    let mut roles = BTreeMap::new();
    let groups = table
        .get("roles")
        .and_then(|value| value.table("`roles`".to_owned()));
    for entry in groups.iter().flat_map(Table::entries) {
        roles.extend(role_of(&entry).map(|role| (entry.key.to_owned(), role)));
    }
    Some(ProxySettings {
        user: user.to_ascii_lowercase(),
        groups: table
            .text("groups")
            .map(|(_, name)| name.to_ascii_lowercase()),
        roles,
        role: table.get("role").and_then(|value| role_of(&value)),
    })
}

fn role_of(value: &Value<'_>) -> Option<Role> {
    let role = Role::parse(value.text()?);
    role.map_err(|why| value.mistake(why, None)).ok()
}

/// Whether a URL names a site and nothing within it.
fn is_origin(url: &Url) -> bool {
    let plain = url.username().is_empty() && url.password().is_none();
    let whole = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    matches!(url.scheme(), "http" | "https") && url.host().is_some() && plain && whole
}
