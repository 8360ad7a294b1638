//! Foreign text where people read it: names, keys, values and messages of servers and files do
//! nothing to a terminal, and do not pass for lines of this program.

/// Text of one line that does nothing to a terminal: characters that act are shown by their codes.
pub(crate) fn printable(text: &str) -> String {
    shown(text, |_| false)
}

/// The same of several lines. That a foreign text holds no line end of its own is for [`printable`]
/// to see to.
pub(crate) fn printable_lines(text: &str) -> String {
    shown(text, |letter| matches!(letter, '\n' | '\t'))
}

/// The same of one line in color: the sequences that color it stay, and whoever made it has left no
/// other.
pub(crate) fn printable_colored(text: &str) -> String {
    shown(text, |letter| letter == '\x1b')
}

/// The same of JSON, which says what it said before: characters that act can only stand in its
/// strings, and JSON has codes of its own for them.
pub(crate) fn printable_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter {
            // White space of the layout: in strings JSON allows none of it.
            '\n' | '\t' | '\r' => text.push(letter),
            _ if acts(letter) => {
                let mut units = [0; 2];
                letter
                    .encode_utf16(&mut units)
                    .iter()
                    .for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
            }
            _ => text.push(letter),
        }
    }
    text
}

fn shown(text: &str, stays: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if acts(letter) && !stays(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    shown
}

/// Whether a character does something instead of being seen: control characters, those that turn
/// the direction of writing or break lines, and those that hide. The joiners, which scripts and
/// emoji need, do not count. Source: <https://www.unicode.org/reports/tr9/> and
/// <https://www.unicode.org/reports/tr36/>.
fn acts(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A cell that no spreadsheet takes for a formula: one that begins with `=`, `+`, `-`, `@` (their
/// full-width forms included), a tab or a line break gets an apostrophe before it, also where the
/// sign follows spaces or quotes, which spreadsheets trim. A key such as `-5` reads `'-5` in the
/// file for that reason: whether a program takes it for a number or a formula cannot be told from
/// here. Source: <https://owasp.org/www-community/attacks/CSV_Injection>.
pub(crate) fn harmless(cell: &str) -> String {
    const SIGNS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    let trimmed = cell
        .trim_start_matches(|letter: char| letter.is_whitespace() || matches!(letter, '"' | '\''));
    if cell.starts_with(['\t', '\r', '\n']) || trimmed.starts_with(SIGNS) {
        return format!("'{cell}");
    }
    cell.to_owned()
}

/// Bytes in hexadecimal digits, two for each.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "é\x1b[31m\x07\r\n\t\0\u{7f}\u{9b}1m\u{202e}x\u{2028}\u{feff}\u{e0001}";

    #[test]
    fn nothing_a_record_holds_reaches_the_terminal_as_a_command() {
        assert_eq!(
            printable(HOSTILE),
            "é\\u{1b}[31m\\u{7}\\r\\n\\t\\u{0}\\u{7f}\\u{9b}1m\\u{202e}x\\u{2028}\\u{feff}\\u{e0001}"
        );
        assert_eq!(printable_lines("a\x1bb\n\tc\r"), "a\\u{1b}b\n\tc\\r");
        let harmless = "Αθήνα 👩\u{200d}🚀 עברית \\ \"";
        assert_eq!(printable(harmless), harmless);
    }

    #[test]
    fn json_says_what_it_said() {
        let json = serde_json::to_string(&serde_json::json!({ "key": HOSTILE })).expect("JSON");
        let text = printable_json(&json);
        assert!(!text.chars().any(acts), "{text}");
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(parse(&text), parse(&json));
    }

    #[test]
    fn no_cell_is_a_formula_and_all_others_stay_as_they_are() {
        let formulas = [
            "=1", "+1", "-5", "@SUM", "\tx", "\rx", "\nx", " =1", "\"=1", "'=1", "\u{a0}=1",
            "\" '=1", "＝1", "=", "-",
        ];
        for cell in formulas {
            assert_eq!(harmless(cell), format!("'{cell}"));
        }
        for cell in [
            "", "5", "A=1", "a-b", "x@y.z", " x", "'x", "\"x\"", "’=1", "(=1)", "日本",
        ] {
            assert_eq!(harmless(cell), cell);
        }
    }
}
