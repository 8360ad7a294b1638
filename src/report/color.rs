//! Color for whoever reads in a terminal: the labels of errors and warnings, and the words for how
//! something ended. It adds nothing that the words do not say, and files, pipes and JSON have none.

use std::env;

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";
const GREEN: &str = "\x1b[32m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// Labels at the beginning of a line, or behind a place.
const LABELS: [(&str, &str); 4] = [
    ("error:", RED),
    ("warning:", YELLOW),
    ("cause:", RED),
    ("hint:", CYAN),
];

/// Words that are a cell, or a part of a line between wide gaps, by themselves.
const ENDINGS: [(&str, &str); 9] = [
    ("succeeded", GREEN),
    ("delivered", GREEN),
    ("ready", GREEN),
    ("failed", RED),
    ("rejected", YELLOW),
    ("guarded", YELLOW),
    ("interrupted", YELLOW),
    ("expired", YELLOW),
    ("running", CYAN),
];

/// What the environment says of color.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Wishes {
    /// `NO_COLOR` is set, to whatever. Source: <https://no-color.org/>.
    none: bool,
    /// `CLICOLOR_FORCE` is set, and not to 0. Source: <https://bixense.com/clicolors/>.
    forced: bool,
    /// `CLICOLOR=0`, or a terminal that has no colors.
    unusual: bool,
}

impl Wishes {
    pub(super) fn of_environment() -> Self {
        let says = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        Self {
            none: says("NO_COLOR").is_some(),
            forced: says("CLICOLOR_FORCE").is_some_and(|value| value != "0"),
            unusual: says("CLICOLOR").is_some_and(|value| value == "0")
                || says("TERM").is_some_and(|value| value == "dumb"),
        }
    }

    /// Whether what goes there has color.
    pub(super) fn colors(self, is_terminal: bool) -> bool {
        !self.none && (self.forced || (is_terminal && !self.unusual))
    }
}

/// Lines for people, with color.
pub(super) fn colored(text: &str) -> String {
    text.split_inclusive('\n').map(colored_line).collect()
}

fn colored_line(line: &str) -> String {
    for (label, color) in LABELS {
        if let Some(place) = line.find(label)
            && let Some((before, behind)) = line.split_at_checked(place)
            && (before.trim().is_empty() || before.ends_with(": "))
        {
            let behind = behind.strip_prefix(label).unwrap_or_default();
            return format!("{before}{color}{label}{PLAIN}{behind}");
        }
    }
    if line.contains(RULES) {
        let cells = line.split_inclusive(RULES);
        return cells.map(colored_cell).collect();
    }
    let cells: Vec<String> = line.split("  ").map(colored_cell).collect();
    cells.join("  ")
}

/// What stands between the cells of a table.
const RULES: [char; 2] = ['│', '┆'];

fn colored_cell(cell: &str) -> String {
    let word = cell.trim_matches(|sign: char| sign.is_whitespace() || RULES.contains(&sign));
    let known = ENDINGS.iter().find(|(known, _)| *known == word);
    match known {
        Some((_, color)) => cell.replacen(word, &format!("{color}{word}{PLAIN}"), 1),
        None => cell.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_color_unless_somebody_wants_none() {
        let usual = Wishes::default();
        assert!(usual.colors(true) && !usual.colors(false));
        let forced = Wishes {
            forced: true,
            ..usual
        };
        assert!(forced.colors(false));
        for wishes in [
            Wishes {
                none: true,
                ..forced
            },
            Wishes {
                unusual: true,
                ..usual
            },
        ] {
            assert!(!wishes.colors(true), "{wishes:?}");
        }
    }

    #[test]
    fn labels_and_endings_have_color_and_other_words_none() {
        for (line, painted) in [
            (
                "error: no such job\n",
                "\x1b[1;31merror:\x1b[0m no such job\n",
            ),
            (
                "  a.toml:1:2: warning: it is late\n",
                "  a.toml:1:2: \x1b[1;33mwarning:\x1b[0m it is late\n",
            ),
            ("weekly  ready\n", "weekly  \x1b[32mready\x1b[0m\n"),
            ("│ 7 ┆ failed │\n", "│ 7 ┆ \x1b[1;31mfailed\x1b[0m │\n"),
            ("2 of them failed\n", "2 of them failed\n"),
            ("it said error: no\n", "it said error: no\n"),
        ] {
            assert_eq!(colored(line), painted);
        }
    }
}
