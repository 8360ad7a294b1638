//! Fields of several members: what a text says which these are, and what becomes of those that a
//! row holds. Between members as they are written stands a semicolon; their order does not count.

use polars::prelude::{IntoSeries, StringChunked};

use super::columnar::{Converted, Fault};

/// What becomes of the members that a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ListMode {
    /// They are these.
    #[default]
    Replace,
    /// These are among them.
    Add,
    /// These are not among them.
    Remove,
}

impl ListMode {
    /// Whether members that a record does not name stay.
    pub(crate) fn keeps_others(self) -> bool {
        self != Self::Replace
    }
}

/// What a field of several members takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) mode: ListMode,
    /// Stands between members in a text that is no JSON array.
    pub(crate) separator: String,
}

const BETWEEN: &str = ";";

/// Texts as fields of several members are written: those that are a JSON array by its elements, any
/// other by what stands between separators. None is named by NULL.
pub(crate) fn listed(given: &StringChunked, separator: &str) -> Converted {
    let mut faults = Vec::new();
    let mut text = |(index, given): (usize, Option<&str>)| match members(given?, separator) {
        Ok(members) if members.is_empty() => None,
        Ok(members) => Some(members.join(BETWEEN)),
        Err(reason) => {
            faults.push(Fault { index, reason });
            None
        }
    };
    let values: StringChunked = given.iter().enumerate().map(&mut text).collect();
    Converted {
        values: values.with_name(given.name().clone()).into_series(),
        faults,
    }
}

/// Errors: in words, what is no list, or which member cannot be one.
fn members(text: &str, separator: &str) -> Result<Vec<String>, String> {
    let text = text.trim();
    let named: Vec<String> = match text.starts_with('[') {
        true => elements(text)?,
        false => text.split(separator).map(str::to_owned).collect(),
    };
    let mut members: Vec<String> = Vec::new();
    for member in named.iter().map(|member| member.trim()) {
        if member.contains(BETWEEN) {
            return Err(format!(
                "a member holds `{BETWEEN}`, which stands between members"
            ));
        }
        if !member.is_empty() && !members.iter().any(|known| known == member) {
            members.push(member.to_owned());
        }
    }
    Ok(members)
}

fn elements(text: &str) -> Result<Vec<String>, String> {
    let array: Vec<serde_json::Value> = serde_json::from_str(text)
        .map_err(|_| "it begins with `[` and is no JSON array".to_owned())?;
    let element = |element: serde_json::Value| match element {
        serde_json::Value::Null => Ok(String::new()),
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => Ok(element.to_string()),
        serde_json::Value::Array(_) | serde_json::Value::Object(_) => {
            Err("a member is an array or an object".to_owned())
        }
    };
    array.into_iter().map(element).collect()
}

/// The members of a row that holds `held` after `sent` were added or taken out; what it held keeps
/// its order. `held` and `sent` are in one form, so that members are the same where their texts are.
pub(crate) fn merged<'a>(mode: ListMode, held: &[&'a str], sent: &[&'a str]) -> Vec<&'a str> {
    let mut members: Vec<&str> = match mode {
        ListMode::Replace => Vec::new(),
        ListMode::Add => held.to_vec(),
        ListMode::Remove => {
            let stays = held.iter().filter(|member| !sent.contains(member));
            return stays.copied().collect();
        }
    };
    for member in sent {
        if !members.contains(member) {
            members.push(member);
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_json_array_or_a_text_with_separators() {
        for (text, separator, told) in [
            ("a;b", ";", "a;b"),
            (" b , a,b ,", ",", "b;a"),
            (r#"["a", "b c", 7, null, true]"#, ";", "a;b c;7;true"),
            ("[]", ";", ""),
            ("a;b", "|", ""),
        ] {
            let listed = listed(&StringChunked::from_iter([Some(text)]), separator);
            let values = listed
                .values
                .str()
                .map(|values| values.get(0).map(str::to_owned));
            let expected = Some(told.to_owned()).filter(|told| !told.is_empty());
            assert_eq!(values.ok(), Some(expected), "{text}");
        }
        for (text, separator, why) in [
            ("a;b", "|", "a member holds `;`"),
            (r#"["a;b"]"#, ";", "a member holds `;`"),
            ("[a", ";", "no JSON array"),
            ("[[1]]", ";", "an array or an object"),
        ] {
            let told = members(text, separator).err().unwrap_or_default();
            assert!(told.contains(why), "{text}: {told}");
        }
    }

    #[test]
    fn members_that_nobody_named_stay_where_they_are() {
        let held = ["b", "x"];
        assert_eq!(merged(ListMode::Add, &held, &["a", "b"]), ["b", "x", "a"]);
        assert_eq!(merged(ListMode::Remove, &held, &["a", "b"]), ["x"]);
        assert_eq!(merged(ListMode::Replace, &held, &["a", "a"]), ["a"]);
        assert_eq!(merged(ListMode::Add, &[], &["a"]), ["a"]);
        assert!(merged(ListMode::Remove, &[], &["a"]).is_empty());
    }
}
