//! A text file after an edit: every byte as it was, except for lines that were changed. A form
//! brings lines with other ends than the file has, and without its byte order mark; neither is an
//! edit.

use similar::{Algorithm, DiffOp, TextDiff, capture_diff_slices};

/// Lines around a change that a difference shows.
const CONTEXT_LINES: usize = 3;

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// The text of a file as a form shows it: without a byte order mark, lines ending in `\n`.
/// Errors: it is no text, or holds what a form cannot bring back.
pub(crate) fn shown(bytes: &[u8]) -> Result<String, &'static str> {
    let text = str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let text = text.replace("\r\n", "\n");
    match text.contains(['\r', '\0']) {
        true => Err("it holds characters that a form cannot bring back"),
        false => Ok(text),
    }
}

/// The bytes of a file whose text is to be `text`, with whatever line ends. Lines that stay keep
/// their bytes, and new ones end as most lines of the file do.
/// Errors: as [`shown`].
pub(crate) fn edited(old: &[u8], text: &str) -> Result<Vec<u8>, &'static str> {
    let before = shown(old)?;
    let after = shown(text.as_bytes())?;
    let old_text = str::from_utf8(old).map_err(|_| "it is not UTF-8")?;
    let (mark, old_text) = match old_text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => (BYTE_ORDER_MARK, rest),
        None => ("", old_text),
    };
    let ends: Vec<&str> = old_text.split_inclusive('\n').map(end_of).collect();
    let (old_lines, new_lines): (Vec<&str>, Vec<&str>) =
        (before.lines().collect(), after.lines().collect());
    let usual = usual_end(&ends);
    let mut lines: Vec<(&str, &str)> = Vec::with_capacity(new_lines.len());
    for op in capture_diff_slices(Algorithm::Myers, &old_lines, &new_lines) {
        let kept = matches!(op, DiffOp::Equal { .. });
        for (offset, line) in new_lines
            .get(op.new_range())
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let replaced = op.old_range().nth(offset);
            let end = replaced.filter(|_| kept || op.old_range().len() == op.new_range().len());
            let end = end
                .and_then(|index| ends.get(index))
                .copied()
                .unwrap_or(usual);
            lines.push((line, end));
        }
    }
    let mut bytes = mark.as_bytes().to_vec();
    let last = lines.len().saturating_sub(1);
    for (index, (line, end)) in lines.into_iter().enumerate() {
        bytes.extend_from_slice(line.as_bytes());
        let ends_here = index < last || after.ends_with('\n');
        if ends_here {
            let end = if end.is_empty() { usual } else { end };
            bytes.extend_from_slice(end.as_bytes());
        }
    }
    Ok(bytes)
}

fn end_of(line: &str) -> &str {
    let content = line.trim_end_matches(['\r', '\n']);
    line.get(content.len()..).unwrap_or_default()
}

/// The end that most lines have.
fn usual_end(ends: &[&str]) -> &'static str {
    let carriage = ends.iter().filter(|end| **end == "\r\n").count();
    let plain = ends.iter().filter(|end| **end == "\n").count();
    if carriage > plain { "\r\n" } else { "\n" }
}

/// One line of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Changed {
    /// Where it stands, as `@@ -22,4 +22,5 @@`.
    Place,
    Kept,
    Removed,
    Added,
}

/// What differs between two texts, line by line, as `git diff` shows it.
pub(crate) fn difference(before: &str, after: &str) -> Vec<(Changed, String)> {
    let diff = TextDiff::from_lines(before, after);
    let unified = diff
        .unified_diff()
        .context_radius(CONTEXT_LINES)
        .missing_newline_hint(false)
        .to_string();
    let line = |line: &str| {
        let kind = match line.chars().next() {
            Some('@') => Changed::Place,
            Some('-') => Changed::Removed,
            Some('+') => Changed::Added,
            _ => Changed::Kept,
        };
        (kind, line.to_owned())
    };
    unified.lines().map(line).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_lines_that_were_changed_are_other_bytes() {
        let old = "\u{feff}a = 1\r\n\r\n# why\r\nb = 2\r\n";
        let text = shown(old.as_bytes()).unwrap();
        assert_eq!(text, "a = 1\n\n# why\nb = 2\n");
        let changed = edited(old.as_bytes(), &text.replace("b = 2", "b = 3\nc = 4")).unwrap();
        assert_eq!(
            String::from_utf8(changed).unwrap(),
            "\u{feff}a = 1\r\n\r\n# why\r\nb = 3\r\nc = 4\r\n"
        );
        // As browsers send it.
        let sent = text.replace('\n', "\r\n");
        assert_eq!(edited(old.as_bytes(), &sent).unwrap(), old.as_bytes());
    }

    #[test]
    fn lines_with_other_ends_than_the_rest_keep_theirs() {
        let old = "a\nb\r\nc\nd";
        assert_eq!(
            edited(old.as_bytes(), "a\nb\nc\nd").unwrap(),
            old.as_bytes()
        );
        assert_eq!(edited(old.as_bytes(), "x\nb\nd").unwrap(), b"x\nb\r\nd");
        assert_eq!(
            edited(old.as_bytes(), "a\nb\nc\nd\n").unwrap(),
            b"a\nb\r\nc\nd\n"
        );
        assert_eq!(edited(b"", "a\n").unwrap(), b"a\n");
        assert_eq!(edited(b"a\n", "").unwrap(), b"");
    }

    #[test]
    fn what_a_form_cannot_bring_back_is_not_edited() {
        assert!(edited(b"a\rb\n", "a\nb\n").is_err());
        assert!(edited(b"a\0b\n", "a").is_err());
        assert!(edited(b"\xff", "a").is_err());
    }

    #[test]
    fn a_difference_tells_what_goes_and_what_comes() {
        let told = difference("a\nb\nc\n", "a\nx\nc\n");
        let lines: Vec<&str> = told.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(lines, ["@@ -1,3 +1,3 @@", " a", "-b", "+x", " c"]);
        assert_eq!(told.first().unwrap().0, Changed::Place);
    }

    fn file() -> impl Strategy<Value = String> {
        let line = prop_oneof![Just(""), Just("a = 1"), Just("# x"), Just("b"), Just("[t]")];
        let lines = proptest::collection::vec(line, 0..12);
        (lines, any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(lines, mark, carriage, ended)| {
                let end = if carriage { "\r\n" } else { "\n" };
                let mut text = lines.join(end);
                if ended && !lines.is_empty() {
                    text.push_str(end);
                }
                if mark {
                    format!("\u{feff}{text}")
                } else {
                    text
                }
            },
        )
    }

    proptest! {
        #[test]
        fn an_edit_and_its_inverse_leave_the_same_bytes(old in file(), other in file()) {
            let (before, between) = (shown(old.as_bytes()).unwrap(), shown(other.as_bytes()).unwrap());
            let changed = edited(old.as_bytes(), &between).unwrap();
            prop_assert_eq!(shown(&changed).unwrap(), between.clone());
            // Of a file without any line end nothing tells which it would have.
            if between.contains('\n') || !before.contains('\n') {
                prop_assert_eq!(edited(&changed, &before).unwrap(), old.as_bytes());
            }
        }
    }
}
