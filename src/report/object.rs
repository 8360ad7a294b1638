//! The fields of a destination's object, for whoever chooses what to write back.

use comfy_table::presets;
use serde_json::{Value, json};

use super::table::{fitted, table};
use crate::domain::object::{Holds, Object, ObjectColumn};
use crate::domain::printable::printable;

/// Words of a field that are shown; the `--json` form has all.
const WORDS_SHOWN_MAX: usize = 12;

/// The fields of an object as people read them.
pub(crate) fn fields(object: &Object, destination: &str) -> String {
    let mut table = table(presets::UTF8_FULL_CONDENSED);
    table.set_header(["field", "type", "written", "words it takes"]);
    table.add_rows(object.columns.iter().map(row));
    format!(
        "fields of `{}` of `{}`\n{}\n",
        printable(&object.display_name()),
        printable(destination),
        fitted(table, &[0, 3])
    )
}

/// As `show --object --json` prints an object.
pub(crate) fn fields_json(object: &Object, destination: &str) -> Value {
    let field = |column: &ObjectColumn| {
        json!({
            "field": column.name,
            "type": column.declared,
            "written": written(column) != NEVER,
            "needed": written(column) == NEEDED,
            "words": words(column),
        })
    };
    json!({
        "destination": destination,
        "object": object.display_name(),
        "fields": object.columns.iter().map(field).collect::<Vec<_>>(),
    })
}

const NEVER: &str = "no";
const NEEDED: &str = "new rows need it";

fn row(column: &ObjectColumn) -> [String; 4] {
    let words = words(column).unwrap_or_default();
    let shown = words.iter().take(WORDS_SHOWN_MAX);
    let mut shown = shown.cloned().collect::<Vec<_>>().join(", ");
    if let Some(further) = words
        .len()
        .checked_sub(WORDS_SHOWN_MAX)
        .filter(|more| *more > 0)
    {
        shown += &format!(", and {further} more");
    }
    [
        printable(&column.name),
        printable(&column.declared),
        written(column).to_owned(),
        printable(&shown),
    ]
}

/// Whether a field can be written.
fn written(column: &ObjectColumn) -> &'static str {
    let is_unfit = column.generated || column.holds == Holds::Unsupported;
    match (is_unfit, column.may_update, column.may_insert) {
        (true, _, _) | (false, false, false) => NEVER,
        (false, _, true) if !column.nullable && !column.has_default => NEEDED,
        (false, true, true) => "yes",
        (false, true, false) => "to rows that are there",
        (false, false, true) => "to new rows",
    }
}

/// The words that a field takes, where there is a list of them.
fn words(column: &ObjectColumn) -> Option<&[String]> {
    match &column.holds {
        Holds::Label(words) | Holds::Labels(words) => Some(words),
        Holds::Text { .. }
        | Holds::Integer { .. }
        | Holds::Decimal { .. }
        | Holds::DecimalAsFloat { .. }
        | Holds::Float { .. }
        | Holds::Boolean
        | Holds::Date
        | Holds::Time { .. }
        | Holds::Timestamp { .. }
        | Holds::Instant { .. }
        | Holds::Uuid
        | Holds::Json
        | Holds::Unsupported => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_tells_whether_it_is_written_and_the_first_of_its_words() {
        let plain = ObjectColumn::plain("action", "picklist", Holds::Json);
        let labels = (1..=14).map(|number| format!("w{number}")).collect();
        for (column, row_of) in [
            (plain.clone(), ["yes", ""]),
            (
                ObjectColumn {
                    nullable: false,
                    holds: Holds::Label(labels),
                    ..plain.clone()
                },
                [
                    NEEDED,
                    "w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, and 2 more",
                ],
            ),
            (
                ObjectColumn {
                    may_insert: false,
                    ..plain.clone()
                },
                ["to rows that are there", ""],
            ),
            (
                ObjectColumn {
                    generated: true,
                    ..plain
                },
                [NEVER, ""],
            ),
        ] {
            let [_, _, written, words] = row(&column);
            assert_eq!([written.as_str(), words.as_str()], row_of);
        }
    }
}
