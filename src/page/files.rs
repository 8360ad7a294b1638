//! The project's files as they are now, each line with an address of its own: every problem, guard
//! and mapping leads here. Only what makes the project, and no secret that stands in it.

use std::fs;
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::extract::{Path, State};
use maud::{Markup, html};

use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use crate::config::{PROJECT_FILE, SCHEDULES_FOLDER};
use crate::domain::access::Role;

/// Bytes of a file that are shown: a schema with a long model has thousands.
const BYTES_MAX: u64 = 1024 * 1024;

/// Tables of the project file that hold no secret.
const OPEN_TABLES: [&str; 3] = ["dashboards", "defaults", "page"];

/// Settings in other tables that are no secret.
const OPEN_KEYS: [&str; 16] = [
    "account",
    "ca_file",
    "command_timeout",
    "database",
    "driver",
    "file",
    "folder",
    "host",
    "kind",
    "poll",
    "port",
    "practice",
    "read_change_max",
    "recent_runs",
    "rejected_max",
    "timezone",
];

pub(super) async fn page(
    State(house): State<Arc<House>>,
    frame: Frame,
    Path(name): Path<String>,
) -> Result<Markup, Refusal> {
    house.expect_file(&frame, &name)?;
    let text = tokio::task::block_in_place(|| text(&house.root, &name))?;
    let lines: Vec<&str> = text.lines().collect();
    let content = html! {
        p.quiet { (lines.len()) " lines, as the file is now."
            @if house.settings.edit && frame.may(Role::Admin) && name != PROJECT_FILE && may_edit(&frame, &name) {
                " " a.button href=(format!("/edit/{}", super::paths::encoded_path(&name))) { "Edit…" }
            }
            @if name == PROJECT_FILE { " What may be a secret shows as " code { "***" } "." } }
        pre.file tabindex="0" role="region" aria-label=(name) {
            @for (number, line) in (1_usize..).zip(&lines) {
                span id=(format!("L{number}")) {
                    a href=(format!("#L{number}")) aria-label=(format!("Line {number}")) { (number) }
                    (line)
                }
            }
        }
    };
    Ok(frame.page_within(&name, &above(&frame), content))
}

/// The way up from a file.
pub(super) fn above(frame: &Frame) -> Vec<(String, &'static str)> {
    let all = ("/problems".to_owned(), "Files");
    Some(all)
        .filter(|_| frame.caller.job.is_none())
        .into_iter()
        .collect()
}

/// Whether a file is theirs to edit: whose one job is, those are its own file and its agencies'.
pub(super) fn may_edit(frame: &Frame, name: &str) -> bool {
    let job = name.strip_prefix(SCHEDULES_FOLDER).and_then(|rest| {
        let rest = rest.strip_prefix('/')?;
        rest.strip_suffix(".toml")
    });
    frame.caller.job.is_none() || job.is_some_and(|job| frame.caller.may_see(job))
}

/// The address of a file's line.
pub(super) fn address(file: &str, line: usize) -> String {
    format!("/files/{}#L{line}", super::paths::encoded_path(file))
}

/// What may be shown of a file of the project.
/// Errors: it is none that makes the project, a link leads to it, or it is no text.
fn text(root: &FilePath, name: &str) -> Result<String, Refusal> {
    let absent = || Refusal::absent(format!("there is no file `{name}` that makes the project"));
    let file = file_of(root, name).ok_or_else(absent)?;
    let is_long = fs::metadata(&file).map_or(true, |found| found.len() > BYTES_MAX);
    if is_long {
        return Err(absent());
    }
    let text = fs::read_to_string(&file).map_err(|_| absent())?;
    Ok(match name == PROJECT_FILE {
        true => without_secrets(&text),
        false => text,
    })
}

/// Where a file of the project is, by its name in it.
pub(super) fn file_of(root: &FilePath, name: &str) -> Option<PathBuf> {
    let parts: Option<Vec<&str>> = FilePath::new(name)
        .components()
        .map(|part| {
            if let Component::Normal(part) = part {
                part.to_str().filter(|part| !part.starts_with('.'))
            } else {
                None
            }
        })
        .collect();
    let known = match parts?.as_slice() {
        [file] => *file == PROJECT_FILE,
        [folder, .., file] if *folder == SCHEDULES_FOLDER => file.ends_with(".toml"),
        [folder, .., file] => *folder == "sql" && file.ends_with(".sql"),
        [] => false,
    };
    let file = root.join(name);
    let links = |path: &FilePath| {
        fs::symlink_metadata(path).map_or(true, |found| found.file_type().is_symlink())
    };
    let mut within = file.ancestors().take_while(|path| *path != root);
    (known && !within.any(links) && file.is_file()).then_some(file)
}

/// The project file, where a setting that may be a secret, or a part of one, shows as `***`.
fn without_secrets(text: &str) -> String {
    let mut open = false;
    let mut lines = String::with_capacity(text.len());
    for line in text.lines() {
        let trimmed = line.trim_start();
        if let Some(table) = trimmed.strip_prefix('[') {
            open = is_open_table(table);
        }
        let shown = open
            || trimmed.is_empty()
            || trimmed.starts_with(['#', '['])
            || is_open_setting(trimmed);
        match (shown, trimmed.split_once('=')) {
            (true, _) => lines.push_str(line),
            (false, Some((key, _))) => lines.push_str(&format!("{}= ***", key)),
            (false, None) => lines.push_str("***"),
        }
        lines.push('\n');
    }
    lines
}

fn is_open_table(after_bracket: &str) -> bool {
    let name = after_bracket.trim_start_matches(['[', ' ', '"', '\'']);
    let name: String = name
        .chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect();
    OPEN_TABLES.contains(&name.as_str())
}

/// Whether a line sets what is no secret, and nothing else.
pub(super) fn is_open_setting(line: &str) -> bool {
    let Some((key, value)) = line.split_once('=') else {
        return false;
    };
    let value = value.trim();
    let elsewhere = value.starts_with("{ env = ") || value.starts_with("{ file = ");
    let plain =
        !value.starts_with(['{', '[']) && !value.contains("\"\"\"") && !value.contains("'''");
    (plain && OPEN_KEYS.contains(&key.trim())) || (elsewhere && value.matches('=').count() == 1)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        let text = r#"connections.old.password = "hunter1"
[connections.crm]
kind = "postgres"
password = "hunter2"
url = "postgres://ada:hunter3@db/crm"
password = { env = "CRM_PASSWORD" }
password = { env = "CRM_PASSWORD", fallback = "hunter4" }
note = """
hunter5
kind = hunter6"""
[connections]
other = { kind = "mysql", password = "hunter7" }
[alerts]
webhook = { url = "https://example.com/hunter8" }
[dashboards.scores]
marker = "done.json"
["connections".x]
password = 'hunter9'
"#;
        let shown = without_secrets(text);
        for number in [1, 2, 3, 4, 5, 7, 8, 9] {
            assert!(!shown.contains(&format!("hunter{number}")), "{shown}");
        }
        for line in [
            "kind = \"postgres\"",
            "password = { env = \"CRM_PASSWORD\" }",
            "marker = \"done.json\"",
        ] {
            assert!(shown.contains(line), "{line} in {shown}");
        }
        assert_eq!(shown.lines().count(), text.lines().count());
    }

    #[test]
    fn only_files_that_make_the_project_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for file in [
            "writeback.toml",
            "schedules/a.toml",
            "sql/a.sql",
            ".writeback/x.toml",
            "sql/.a.sql",
            "data.csv",
        ] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "x").unwrap();
        }
        std::os::unix::fs::symlink("/etc", root.join("sql/etc")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("sql/p.sql")).unwrap();
        for there in ["writeback.toml", "schedules/a.toml", "sql/a.sql"] {
            assert!(file_of(root, there).is_some(), "{there}");
        }
        for other in [
            "",
            ".",
            "/etc/passwd",
            "../a.toml",
            "schedules/../writeback.toml",
            "sql/p.sql",
            "sql/etc/a.sql",
            ".writeback/x.toml",
            "sql/.a.sql",
            "data.csv",
            "sql",
            "schedules/b.toml",
        ] {
            assert_eq!(file_of(root, other), None, "{other}");
        }
    }
}
