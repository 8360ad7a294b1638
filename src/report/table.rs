//! Tables that fit where they are read: as wide as the terminal, or as a page of text where there
//! is none.

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Row, Table, Width};

/// Width of a table that goes to a file or a pipe, in characters.
const WIDTH_WITHOUT_TERMINAL: u16 = 100;
/// A column of text is not made narrower than this, in characters: words would be cut into pieces.
const TEXT_WIDTH_MIN: u16 = 20;

/// An empty table in this style.
pub(crate) fn table(style: &str) -> Table {
    let mut table = Table::new();
    table
        .load_preset(style)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(columns().count);
    table
}

/// Columns there are for a line.
struct Columns {
    count: u16,
    /// Whether lines are to stay within them, as a terminal breaks longer ones.
    is_bound: bool,
}

/// Those of the terminal; without one, those that `COLUMNS` says, if a page has more.
fn columns() -> Columns {
    let bound = |count| Columns {
        count,
        is_bound: true,
    };
    let said = || std::env::var("COLUMNS").ok()?.parse().ok();
    match Table::new().width() {
        Some(terminal) => bound(terminal),
        None => match said() {
            Some(count) if count < WIDTH_WITHOUT_TERMINAL => bound(count),
            Some(_) | None => Columns {
                count: WIDTH_WITHOUT_TERMINAL,
                is_bound: false,
            },
        },
    }
}

/// Text in lines that fit where they are read, each behind an indent.
pub(crate) fn wrapped(text: &str, indent: &str) -> String {
    let columns = usize::from(columns().count.max(TEXT_WIDTH_MIN));
    let mut lines = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let taken = indent.chars().count() + line.chars().count() + 1 + word.chars().count();
        if !line.is_empty() && taken > columns {
            lines += &format!("{indent}{line}\n");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines + &format!("{indent}{line}\n")
}

/// A line behind an indent, which goes over several where a terminal is too narrow for it.
pub(crate) fn line(text: &str, indent: &str) -> String {
    match columns().is_bound {
        true => wrapped(text, indent),
        false => format!("{indent}{text}\n"),
    }
}

/// The table as text. Cells of the columns `texts` may go over several lines; those of the others,
/// numbers and single words, stay whole; if the table then becomes wider than the terminal, each of
/// its rows is told as lines of a heading and a cell.
pub(crate) fn fitted(mut table: Table, texts: &[usize]) -> String {
    let stacked = stacked(&table);
    let widths = table.column_max_content_widths();
    for (index, (column, content)) in table.column_iter_mut().zip(widths).enumerate() {
        column.set_constraint(match texts.contains(&index) {
            true => ColumnConstraint::LowerBoundary(Width::Fixed(
                content.min(TEXT_WIDTH_MIN) + column.padding_width(),
            )),
            false => ColumnConstraint::ContentWidth,
        });
    }
    let told = table.trim_fmt();
    let width = table.width().map_or(usize::MAX, usize::from);
    match told.lines().all(|line| line.chars().count() <= width) || !columns().is_bound {
        true => told,
        false => stacked.unwrap_or(told),
    }
}

/// A table's rows one after the other, each as lines of a heading and a cell, of which empty ones
/// are left out; `None` without headings.
fn stacked(table: &Table) -> Option<String> {
    let headings: Vec<String> = table.header()?.cell_iter().map(Cell::content).collect();
    let widest = headings
        .iter()
        .map(|heading| heading.chars().count())
        .max()?;
    let below = format!("\n{:widest$}  ", "");
    let row = |row: &Row| {
        let cells = headings.iter().zip(row.cell_iter().map(Cell::content));
        let told = cells.filter(|(_, cell)| !cell.is_empty());
        told.map(|(heading, cell)| format!("{heading:<widest$}  {}", cell.replace('\n', &below)))
            .collect::<Vec<_>>()
            .join("\n")
    };
    Some(table.row_iter().map(row).collect::<Vec<_>>().join("\n\n"))
}

#[cfg(test)]
mod tests {
    use comfy_table::presets;

    use super::*;

    #[test]
    fn a_table_wider_than_a_narrow_terminal_is_told_row_by_row() {
        let mut table = table(presets::NOTHING);
        table.set_width(40).force_no_tty();
        table.set_header(["run", "a cycle of a long name", "rejected"]);
        table.add_row(["1", "2026-W46", ""]);
        table.add_row(["2", "2026-W47\nand W48", "12"]);
        let told = stacked(&table).expect("headings");
        assert_eq!(
            told,
            "run                     1\n\
             a cycle of a long name  2026-W46\n\n\
             run                     2\n\
             a cycle of a long name  2026-W47\n\
             \x20                       and W48\n\
             rejected                12"
        );
    }

    #[test]
    fn long_text_goes_over_several_lines_and_numbers_never_do() {
        let mut table = table(presets::NOTHING);
        table.set_width(40).set_header(["records", "reason"]);
        table.add_row([
            "1 000 000",
            "the value has 17 characters and the column takes 16 of them",
        ]);
        let text = fitted(table, &[1]);
        assert!(
            text.lines().count() > 2 && text.lines().all(|line| line.chars().count() <= 40),
            "{text}"
        );
        assert!(text.contains("1 000 000"), "{text}");
    }
}
