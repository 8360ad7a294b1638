//! The settings of the project's files, as the pages of `docs/` tell them. The pages are part of the
//! program, so that what it tells is what they say.

use super::table::wrapped;

/// The pages that have tables of settings, by the names that people ask for.
const PAGES: [(&str, &str); 7] = [
    ("configuration", include_str!("../../docs/configuration.md")),
    ("salesforce", include_str!("../../docs/salesforce.md")),
    ("hubspot", include_str!("../../docs/hubspot.md")),
    ("bullhorn", include_str!("../../docs/bullhorn.md")),
    ("dataverse", include_str!("../../docs/dataverse.md")),
    ("references", include_str!("../../docs/references.md")),
    ("real-time", include_str!("../../docs/real-time.md")),
];

/// How the first column of a table of settings is headed.
const HEADINGS: [&str; 5] = ["setting", "guard", "key", "`list`", "flow"];

/// One line of a table: settings that are told of together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DocumentedSetting {
    pub(crate) page: &'static str,
    /// The heading that it stands under.
    pub(crate) section: &'static str,
    /// As the page writes them: `connect_timeout`, `request_timeout`.
    shown: String,
    pub(crate) default: String,
    pub(crate) meaning: String,
}

impl DocumentedSetting {
    /// Names of the settings, without what they are set to.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let marked = self.shown.split('`').skip(1).step_by(2);
        marked.map(|name| name.split([' ', '=']).next().unwrap_or_default())
    }

    /// Whether somebody who asks by this name means it: by its own, by its section or by its page.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let lower = name.to_lowercase();
        let own = self.names().any(|known| {
            known == name
                || known.trim_matches('"') == name
                || known.rsplit('.').next() == Some(name)
        });
        let section = self.section.to_lowercase();
        own || self.page == lower || section == lower
    }
}

/// Every setting that a page tells of, in the order of the pages.
pub(crate) fn documented() -> Vec<DocumentedSetting> {
    PAGES
        .into_iter()
        .flat_map(|(page, text)| of_page(page, text))
        .collect()
}

fn of_page(page: &'static str, text: &'static str) -> Vec<DocumentedSetting> {
    let mut settings = Vec::new();
    let (mut section, mut is_open) = ("", false);
    let mut has_default = false;
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading.trim();
        }
        let Some(cells) = cells_of(line) else {
            is_open = false;
            continue;
        };
        let first = cells.first().map_or("", String::as_str);
        let heads = HEADINGS.iter().any(|heading| first.starts_with(heading));
        match (is_open, heads) {
            (false, heads) => {
                is_open = heads;
                has_default = cells.get(1).is_some_and(|cell| cell == "default");
            }
            (true, _) if first.starts_with("---") => {}
            (true, _) => {
                let cell = |place: usize| cells.get(place).cloned().unwrap_or_default();
                let (default, meaning) = match has_default {
                    true => (cell(1), cell(2)),
                    false => (String::new(), cell(1)),
                };
                settings.push(DocumentedSetting {
                    page,
                    section,
                    shown: cell(0),
                    default,
                    meaning,
                });
            }
        }
    }
    settings
}

/// The cells of a table's line; `None` of any other line.
fn cells_of(line: &str) -> Option<Vec<String>> {
    let inner = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let cells = inner.replace("\\|", "\u{1}");
    let cells = cells
        .split('|')
        .map(|cell| cell.trim().replace('\u{1}', "|"));
    Some(cells.collect())
}

/// Settings as people read them in a terminal, section by section.
pub(crate) fn told(settings: &[&DocumentedSetting]) -> String {
    let mut text = String::new();
    let mut before: Option<(&str, &str)> = None;
    for setting in settings {
        let place = (setting.page, setting.section);
        if before != Some(place) {
            let gap = if before.is_none() { "" } else { "\n" };
            text += &format!("{gap}{} (docs/{}.md)\n", setting.section, setting.page);
            before = Some(place);
        }
        let default = match setting.default.as_str() {
            "" => String::new(),
            default => format!("  [default: {}]", plain(default)),
        };
        text += &format!("  {}{default}\n", plain(&setting.shown));
        if !setting.meaning.is_empty() {
            text += &wrapped(&plain(&setting.meaning), "      ");
        }
    }
    text
}

/// Text of a page without its marks: links by their words, code as it is.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('[') {
        let link = behind.split_once("](").and_then(|(words, behind)| {
            let (_, rest) = behind.split_once(')')?;
            (!words.contains(['[', ']'])).then_some((words, rest))
        });
        plain += before;
        match link {
            Some((words, after)) => {
                plain += words;
                rest = after;
            }
            None => {
                plain.push('[');
                rest = behind;
            }
        }
    }
    (plain + rest).replace('`', "").replace("**", "")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_line_of_a_table_is_read_with_its_names_and_told_without_marks() {
        let text = "## Bounds\n\n| setting | default | meaning |\n| --- | --- | --- |\n\
                    | `one`, `two = true` | `\"5s\"` | how long, see [here](x.md#y), `a \\| b` |\n";
        let settings = of_page("page", Box::leak(text.to_owned().into_boxed_str()));
        let names: Vec<&str> = settings.iter().flat_map(DocumentedSetting::names).collect();
        assert_eq!(names, ["one", "two"]);
        let all: Vec<&DocumentedSetting> = settings.iter().collect();
        assert_eq!(
            told(&all),
            "Bounds (docs/page.md)\n  one, two = true  [default: \"5s\"]\n      how long, see here, a | b\n"
        );
    }

    #[test]
    fn every_key_that_files_may_have_is_documented() {
        let all = documented();
        let names: BTreeSet<&str> = all.iter().flat_map(DocumentedSetting::names).collect();
        let missing = crate::config::every_key();
        let missing: Vec<&str> = missing
            .into_iter()
            .filter(|key| !names.contains(key))
            .collect();
        assert!(
            missing.is_empty(),
            "no page of `docs/` tells of {missing:?}"
        );
    }
}
