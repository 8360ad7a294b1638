//! A table's description as the SQL of a schema file.

use crate::domain::printable::printable;
use crate::source::{DescribedColumn, TableDescription};

/// A `CREATE TABLE` in standard SQL that a schema file can begin with. What cannot be carried
/// stands as a comment.
pub(crate) fn create_table(table: &TableDescription, connection: &str) -> String {
    let names: Vec<String> = table.name.iter().map(|part| identifier(part)).collect();
    let mut lines: Vec<(String, Option<String>)> = table
        .columns
        .iter()
        .map(|column| line(column, table))
        .collect();
    if table.primary_key.len() > 1 {
        let key: Vec<String> = table
            .primary_key
            .iter()
            .map(|column| identifier(column))
            .collect();
        lines.push((format!("PRIMARY KEY ({})", key.join(", ")), None));
    }
    let last = lines.iter().rposition(|(code, _)| !code.is_empty());
    let title = printable(&format!(
        "{} of connection {connection}",
        table.name.join(".")
    ));
    let mut text = format!(
        "-- {title}\nCREATE TABLE {} (\n",
        printable(&names.join("."))
    );
    for (index, (code, comment)) in lines.iter().enumerate() {
        let comma = if code.is_empty() || Some(index) == last {
            ""
        } else {
            ","
        };
        let comment = comment
            .as_ref()
            .map(|comment| format!("-- {comment}"))
            .unwrap_or_default();
        text += format!("    {code}{comma}  {comment}").trim_end();
        text.push('\n');
    }
    text += ");\n";
    if table.primary_key.is_empty() {
        text += "-- No unique identifier is declared: write PRIMARY KEY behind the column that identifies a record.\n";
    }
    text
}

/// A column's definition and its comment; only a comment if the column cannot be carried.
fn line(column: &DescribedColumn, table: &TableDescription) -> (String, Option<String>) {
    let name = identifier(&column.name);
    let shown = printable(&name);
    if shown != name {
        return (
            String::new(),
            Some(format!(
                "{shown}: a schema names no column with such characters"
            )),
        );
    }
    let Some(column_type) = column.column_type else {
        let declared = printable(&one_line(&column.declared));
        return (
            String::new(),
            Some(format!("{name}: write-backs do not carry {declared}")),
        );
    };
    let is_key = table.primary_key.contains(&column.name);
    let constraint = match (
        is_key && table.primary_key.len() == 1,
        column.nullable && !is_key,
    ) {
        (true, _) => " PRIMARY KEY",
        (false, false) => " NOT NULL",
        (false, true) => "",
    };
    (format!("{name} {column_type}{constraint}"), None)
}

/// A name as standard SQL writes it: bare where it can be, else in double quotes.
fn identifier(name: &str) -> String {
    let bare = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.chars().all(|character| {
            character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_'
        })
        && sqlparser::keywords::ALL_KEYWORDS
            .binary_search(&name.to_ascii_uppercase().as_str())
            .is_err();
    match bare {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('"', "\"\"")),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schema::{DecimalSize, SchemaType};

    fn column(name: &str, column_type: Option<SchemaType>, nullable: bool) -> DescribedColumn {
        DescribedColumn {
            name: name.to_owned(),
            column_type,
            declared: "geometry".to_owned(),
            nullable,
        }
    }

    #[test]
    fn a_described_table_reads_as_a_schema_file() {
        let table = TableDescription {
            name: vec!["health_score".to_owned()],
            columns: vec![
                column(
                    "account_id",
                    Some(SchemaType::Text {
                        characters_max: Some(18),
                    }),
                    false,
                ),
                column(
                    "Health Score",
                    Some(SchemaType::Decimal {
                        size: Some(DecimalSize {
                            precision: 5,
                            scale: 2,
                        }),
                    }),
                    true,
                ),
                column("place", None, true),
            ],
            primary_key: vec!["account_id".to_owned()],
            unique: Vec::new(),
        };
        assert_eq!(
            create_table(&table, "dashboard"),
            "-- health_score of connection dashboard\nCREATE TABLE health_score (\n    \
             account_id VARCHAR(18) PRIMARY KEY,\n    \"Health Score\" DECIMAL(5,2)\n      \
             -- place: write-backs do not carry geometry\n);\n"
        );
    }
}
