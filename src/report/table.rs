//! Tables that fit where they are read: as wide as the terminal, or as a page of text where there
//! is none.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width};

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
    if table.width().is_none() {
        table.set_width(WIDTH_WITHOUT_TERMINAL);
    }
    table
}

/// The table as text. Cells of the columns `texts` may go over several lines; those of the others,
/// numbers and single words, stay whole, even if the table then becomes wider than the terminal.
pub(crate) fn fitted(mut table: Table, texts: &[usize]) -> String {
    let widths = table.column_max_content_widths();
    for (index, (column, content)) in table.column_iter_mut().zip(widths).enumerate() {
        column.set_constraint(match texts.contains(&index) {
            true => ColumnConstraint::LowerBoundary(Width::Fixed(
                content.min(TEXT_WIDTH_MIN) + column.padding_width(),
            )),
            false => ColumnConstraint::ContentWidth,
        });
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use comfy_table::presets;

    use super::*;

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
