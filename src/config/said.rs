//! Saying a setting of a job or an agency otherwise, in the text of its file: every byte stays that
//! does not say so.

use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value};

const OF_ANOTHER_FORM: &str = "it is written in a form that is edited in the file";

/// What a setting is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewSetting<'a> {
    Switch(bool),
    Text(&'a str),
    /// Keys with their texts, and further settings as TOML: `region = "US"`.
    Table {
        keys: &'a [(&'a str, &'a str)],
        more: &'a str,
    },
}

/// The text of a file in which the setting at a path is this. A table of a list is named on the path
/// by its `name`. What is new stands beside its neighbours, or in a table of its own.
/// Errors: it is not written in a form that could be changed here.
pub(crate) fn with_setting(
    text: &str,
    path: &[&str],
    new: NewSetting<'_>,
) -> Result<String, &'static str> {
    let mut document: DocumentMut = text.parse().map_err(|_| "the file is no longer TOML")?;
    let whole = document.to_string();
    if whole != text && whole.strip_suffix('\n') != Some(text) {
        return Err(OF_ANOTHER_FORM);
    }
    let (key, tables) = path.split_last().ok_or(OF_ANOTHER_FORM)?;
    put(reach(document.as_table_mut(), tables)?, key, value(new)?)?;
    let mut said = document.to_string();
    if !text.ends_with('\n') && said.ends_with('\n') {
        said.pop();
    }
    Ok(said)
}

/// A setting as TOML. Errors: what is said further is none.
fn value(new: NewSetting<'_>) -> Result<Value, &'static str> {
    Ok(match new {
        NewSetting::Switch(on) => on.into(),
        NewSetting::Text(text) => text.into(),
        NewSetting::Table { keys, more } => {
            let mut table = InlineTable::new();
            for (key, text) in keys {
                table.insert(*key, Value::from(*text));
            }
            let further = format!("more = {{ {} }}", more.trim());
            let further = further.parse::<DocumentMut>().ok();
            let further = further.filter(|further| further.len() == 1);
            let further = further.as_ref().and_then(|further| {
                let further = further.get("more")?;
                further.as_inline_table()
            });
            let further =
                further.ok_or("further settings are written as in the file: `region = \"US\"`")?;
            for (key, value) in further {
                let mut value = value.clone();
                value.decor_mut().clear();
                table.insert(key, value);
            }
            Value::InlineTable(table)
        }
    })
}

/// The table at a path, which is made where it is missing, and whether it stands in one line.
fn reach<'t>(
    root: &'t mut Table,
    path: &[&str],
) -> Result<(&'t mut dyn TableLike, bool), &'static str> {
    let mut table: &mut dyn TableLike = root;
    let (mut has_head, mut is_inline) = (false, false);
    let mut names = path.iter();
    while let Some(name) = names.next() {
        if !table.contains_key(name) {
            let is_last = names.len() == 0;
            let mut new = Table::new();
            new.set_implicit(!is_last);
            new.set_dotted(is_last && has_head);
            table.insert(name, Item::Table(new));
        }
        (table, has_head, is_inline) = match table.get_mut(name).ok_or(OF_ANOTHER_FORM)? {
            Item::ArrayOfTables(all) => {
                let wanted = names.next().ok_or(OF_ANOTHER_FORM)?;
                let is_wanted =
                    |one: &&mut Table| one.get("name").and_then(Item::as_str) == Some(wanted);
                let one = all.iter_mut().find(is_wanted).ok_or(OF_ANOTHER_FORM)?;
                (one as &mut dyn TableLike, true, false)
            }
            Item::Table(one) => {
                let has_head = !one.is_implicit() && !one.is_dotted();
                (one as &mut dyn TableLike, has_head, false)
            }
            item @ (Item::None | Item::Value(_)) => {
                let one = item.as_table_like_mut().ok_or(OF_ANOTHER_FORM)?;
                (one, false, true)
            }
        };
    }
    Ok((table, is_inline))
}

/// Puts a value in place of what stands there, or beside its neighbours.
fn put(
    (table, is_inline): (&mut dyn TableLike, bool),
    key: &str,
    mut value: Value,
) -> Result<(), &'static str> {
    match table.get_mut(key) {
        Some(Item::Value(old)) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        Some(Item::Table(_) | Item::ArrayOfTables(_)) => return Err(OF_ANOTHER_FORM),
        Some(Item::None) | None if is_inline => return Err(OF_ANOTHER_FORM),
        Some(Item::None) | None => {
            let (width, indent) = (common_width(table), last_indent(table));
            table.insert(key, Item::Value(value));
            if let Some(mut key) = table.key_mut(key) {
                let gap = width.unwrap_or_default();
                let gap = gap.saturating_sub(key.display_repr().len()).max(1);
                key.leaf_decor_mut().set_prefix(indent);
                key.leaf_decor_mut().set_suffix(" ".repeat(gap));
            }
        }
    }
    Ok(())
}

/// What stands before the last key of a table in its line.
fn last_indent(table: &dyn TableLike) -> String {
    let last = table.iter().filter(|(_, item)| item.is_value()).last();
    let before = last.and_then(|(name, _)| table.key(name)?.leaf_decor().prefix()?.as_str());
    let line = before.and_then(|before| before.rsplit('\n').next());
    line.unwrap_or_default().to_owned()
}

/// How far from the line's begin the `=` of a table's values stand, if they all stand one below the
/// other.
fn common_width(table: &dyn TableLike) -> Option<usize> {
    let widths = table.iter().filter_map(|(name, item)| {
        item.as_value()?;
        let key = table.key(name)?;
        let gap = key.leaf_decor().suffix().and_then(|gap| gap.as_str());
        Some(key.display_repr().len() + gap.map_or(1, str::len))
    });
    let mut widths: Vec<usize> = widths.collect();
    widths.dedup();
    match widths.as_slice() {
        [width] => Some(*width),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGENCY: &str = "# Northwind\nagency = \"Northwind\"   # as records have it\n\n\
        [write_back.note]\nenabled     = false # not yet\nnote.action = '19381'\n\n\
        [write_back.referral.steps.candidate.fields]\n  phone = \"mobile\"\n# the end\n";

    fn changed(path: &[&str], new: NewSetting<'_>) -> String {
        with_setting(AGENCY, path, new).unwrap()
    }

    #[test]
    fn what_is_said_already_is_said_otherwise_where_it_stands() {
        let on = changed(&["write_back", "note", "enabled"], NewSetting::Switch(true));
        assert_eq!(on, AGENCY.replace("= false #", "= true #"));
        let action = ["write_back", "note", "note", "action"];
        assert_eq!(
            changed(&action, NewSetting::Text("20411")),
            AGENCY.replace("'19381'", "\"20411\"")
        );
    }

    const FIELDS: [&str; 5] = ["write_back", "referral", "steps", "candidate", "fields"];

    fn field(name: &'static str) -> Vec<&'static str> {
        [&FIELDS[..], &[name]].concat()
    }

    #[test]
    fn what_is_new_stands_beside_its_neighbours() {
        let source = NewSetting::Table {
            keys: &[("string", "Sense \"Referral\"")],
            more: "",
        };
        let line = "  phone = \"mobile\"\n";
        let expected = format!("{line}  source = {{ string = 'Sense \"Referral\"' }}\n");
        assert_eq!(
            changed(&field("source"), source),
            AGENCY.replace(line, &expected)
        );
        let method = NewSetting::Table {
            keys: &[("method", "phone"), ("column", "mobile")],
            more: "region = \"US\"",
        };
        let said = changed(&field("phone"), method);
        let now = "phone = { method = \"phone\", column = \"mobile\", region = \"US\" }\n";
        assert_eq!(said, AGENCY.replace("phone = \"mobile\"\n", now));
    }

    #[test]
    fn what_has_no_table_yet_gets_one() {
        let text = "agency = \"x\"\n";
        let said = with_setting(
            text,
            &["write_back", "note", "enabled"],
            NewSetting::Switch(true),
        );
        let said = said.unwrap();
        assert_eq!(said, format!("{text}\n[write_back.note]\nenabled = true\n"));
        let action = ["write_back", "note", "note", "action"];
        let said = with_setting(&said, &action, NewSetting::Text("1")).unwrap();
        assert!(
            said.ends_with("enabled = true\nnote.action = \"1\"\n"),
            "{said}"
        );
        let listed = "[[write_back]]\nname  = \"a\"\ntable = \"t\"\n\n[[write_back]]\nname = \"b\"\n\
                      [write_back.fields]\nid = \"id\"\n";
        let said = with_setting(
            listed,
            &["write_back", "b", "fields", "x"],
            NewSetting::Text("y"),
        );
        assert_eq!(said.unwrap(), format!("{listed}x  = \"y\"\n"));
        let said = with_setting(
            listed,
            &["write_back", "a", "enabled"],
            NewSetting::Switch(false),
        );
        let now = listed.replace("\"t\"\n", "\"t\"\nenabled = false\n");
        assert_eq!(said.unwrap(), now);
    }

    #[test]
    fn what_is_written_otherwise_or_is_no_setting_is_refused() {
        for more in ["} x = {", "x", "x = 1 }, y = { z = 1"] {
            let new = NewSetting::Table {
                keys: &[("method", "label")],
                more,
            };
            assert!(value(new).is_err(), "{more}");
        }
        let inline = "[write_back]\na = { enabled = true }\n";
        let path = ["write_back", "a", "other"];
        assert!(with_setting(inline, &path, NewSetting::Switch(true)).is_err());
        let list = ["write_back", "c", "enabled"];
        assert!(
            with_setting(
                "[[write_back]]\nname = \"a\"\n",
                &list,
                NewSetting::Switch(true)
            )
            .is_err()
        );
        assert!(with_setting("a = ", &["a"], NewSetting::Switch(true)).is_err());
        let table = ["write_back", "note"];
        assert!(with_setting(AGENCY, &table, NewSetting::Switch(true)).is_err());
    }

    proptest! {
        #[test]
        fn every_line_but_the_one_stays_as_it_is(
            text in "[ -~\u{e4}\t]{0,20}",
            gap in " {0,3}",
            end in prop_oneof![Just(""), Just("\n"), Just("\n# the end\n")],
        ) {
            let file = format!("# {text}\n[write_back.a]\n\tother{gap}={gap}1 # {text}\nenabled{gap}={gap}true{end}");
            let path = ["write_back", "a", "enabled"];
            let off = with_setting(&file, &path, NewSetting::Switch(false)).unwrap();
            prop_assert_eq!(&off, &file.replace("true", "false"));
            prop_assert_eq!(with_setting(&off, &path, NewSetting::Switch(true)).unwrap(), file);
        }
    }
}
