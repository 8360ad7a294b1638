//! Which of a destination's tables records most likely go to: the one that holds most of their
//! columns. A person looks at it in every case, so it is told why.

use super::reading::{name_of, near_names, plain};
use crate::config::draft::DraftColumn;
use crate::source::ListedTable;

/// What may be proposed of the tables that there are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Proposal {
    /// One suits better than all others; its name, and why.
    Table { name: String, why: String },
    /// None suits better than these.
    OneOf(Vec<String>),
    /// None has a column for the unique identifier and one for something else.
    None,
}

/// How well a table suits, the most telling thing first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Likeness {
    /// Columns that lead to one of its.
    columns: usize,
    /// Those of them that are called the same but for case and signs.
    same: usize,
    /// Whether its primary key is what records are known by.
    is_known_by: bool,
}

/// Proposes one of `tables` for records of these columns.
pub(super) fn propose(columns: &[DraftColumn], tables: &[ListedTable]) -> Proposal {
    let likely = tables
        .iter()
        .filter_map(|table| Some((likeness(columns, table)?, table)));
    let likely: Vec<(Likeness, &ListedTable)> = likely.collect();
    let best = likely.iter().map(|(likeness, _)| *likeness).max();
    let best: Vec<&ListedTable> = likely
        .iter()
        .filter(|(likeness, _)| Some(*likeness) == best)
        .map(|(_, table)| *table)
        .collect();
    match best.as_slice() {
        [] => Proposal::None,
        [only] => Proposal::Table {
            name: name_of(only),
            why: why(columns, only, tables.len()),
        },
        several => Proposal::OneOf(several.iter().copied().map(name_of).collect()),
    }
}

/// How well a table suits; `None` if it has no column for the unique identifier, or none but that.
fn likeness(columns: &[DraftColumn], table: &ListedTable) -> Option<Likeness> {
    let led = led(columns, table);
    let keys = columns.iter().filter(|column| column.key).count();
    let led_keys = led.iter().filter(|(column, _)| column.key);
    let has_more = led.len() > keys || keys == columns.len();
    if led_keys.count() < keys || !has_more {
        return None;
    }
    let same = led
        .iter()
        .filter(|(column, there)| plain(&column.name) == plain(there));
    let known_by = led.iter().filter(|(column, _)| column.key);
    let mut known_by: Vec<&String> = known_by.map(|(_, there)| there).collect();
    let mut primary_key: Vec<&String> = table.primary_key.iter().collect();
    known_by.sort();
    primary_key.sort();
    Some(Likeness {
        columns: led.len(),
        same: same.count(),
        is_known_by: known_by == primary_key,
    })
}

/// The columns that lead to one of a table's, each with the one it leads to.
fn led<'a>(columns: &'a [DraftColumn], table: &ListedTable) -> Vec<(&'a DraftColumn, String)> {
    let near = near_names(columns, &table.columns);
    let led = columns.iter().zip(near);
    led.filter_map(|(column, there)| Some((column, there?)))
        .collect()
}

fn why(columns: &[DraftColumn], table: &ListedTable, tables: usize) -> String {
    let shown = |(column, there): &(&DraftColumn, String)| match plain(&column.name) == plain(there)
    {
        true => format!("`{}`", column.name),
        false => format!("`{}` as `{there}`", column.name),
    };
    let shown: Vec<String> = led(columns, table).iter().map(shown).collect();
    let among = match tables {
        1 => "holds these columns".to_owned(),
        count => format!("holds most of these columns among {count} tables"),
    };
    format!("{among}: {}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schema::SchemaType;

    fn columns() -> Vec<DraftColumn> {
        let column = |name: &str| DraftColumn {
            name: name.to_owned(),
            column_type: SchemaType::Date,
            nullable: true,
            key: name == "account_id",
            goes_to: None,
        };
        ["account_id", "score", "risk"].map(column).to_vec()
    }

    fn table(name: &str, columns: &[&str], primary_key: &[&str]) -> ListedTable {
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ListedTable {
            path: texts(&[name]),
            columns: texts(columns),
            primary_key: texts(primary_key),
        }
    }

    #[test]
    fn the_table_that_holds_most_of_the_columns_is_proposed_with_the_reason() {
        let tables = [
            table("owners", &["ID", "SCORE", "RISK"], &["ID"]),
            table("visits", &["ACCOUNT_ID", "SCORE"], &[]),
            table(
                "My Accounts",
                &["ACCOUNT_ID", "SCORE", "RISKS"],
                &["ACCOUNT_ID"],
            ),
        ];
        assert_eq!(
            propose(&columns(), &tables),
            Proposal::Table {
                name: "\"My Accounts\"".to_owned(),
                why: "holds most of these columns among 3 tables: `account_id`, `score`, \
                      `risk` as `RISKS`"
                    .to_owned()
            }
        );
        assert_eq!(propose(&columns(), &tables[..1]), Proposal::None);
    }

    #[test]
    fn of_tables_that_hold_the_same_columns_the_key_decides_and_else_nobody() {
        let held = ["account_id", "score"];
        let tables = [
            table("a", &held, &[]),
            table("b", &held, &[]),
            table("c", &held, &["account_id"]),
        ];
        let name = |proposal| match proposal {
            Proposal::Table { name, .. } => vec![name],
            Proposal::OneOf(names) => names,
            Proposal::None => Vec::new(),
        };
        assert_eq!(name(propose(&columns(), &tables)), ["c"]);
        assert_eq!(name(propose(&columns(), &tables[..2])), ["a", "b"]);
        let only_the_key = [table("a", &["account_id"], &["account_id"])];
        assert_eq!(propose(&columns(), &only_the_key), Proposal::None);
    }
}
