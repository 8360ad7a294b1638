//! Errors and problems as people read them: what, where, why, and the next thing to do.

use std::error::Error;

use serde_json::{Value, json};

use crate::domain::error::chain;
use crate::domain::printable::printable;
use crate::domain::problem::{Problem, Severity};

/// `error: …`, its causes and its hint, a line each.
pub(crate) fn error_text(error: &(dyn Error + 'static), hint: Option<&str>) -> String {
    let messages = chain(error);
    let mut text = String::new();
    for (index, message) in messages.iter().enumerate() {
        let label = if index == 0 { "error" } else { "  cause" };
        text.push_str(&format!("{label}: {}\n", printable(message)));
    }
    if let Some(hint) = hint {
        text.push_str(&format!("  hint: {}\n", printable(hint)));
    }
    text
}

/// Problems, a line each, with their hints: `file:line:column: message`.
pub(crate) fn problems_text(problems: &[Problem]) -> String {
    problems.iter().map(problem_text).collect()
}

/// Problems as `--json` prints them.
pub(crate) fn problems_json(problems: &[Problem]) -> Value {
    problems.iter().map(problem_json).collect()
}

fn problem_json(problem: &Problem) -> Value {
    let location = problem.location.as_ref();
    json!({
        "severity": match problem.severity {
            Severity::Mistake => "mistake",
            Severity::Warning => "warning",
        },
        "file": location.map(|location| &*location.file),
        "line": location.map(|location| location.line),
        "column": location.map(|location| location.column),
        "message": problem.message,
        "hint": problem.hint,
    })
}

fn problem_text(problem: &Problem) -> String {
    let label = match problem.severity {
        Severity::Mistake => "",
        Severity::Warning => "warning: ",
    };
    let place = problem
        .location
        .as_ref()
        .map(|location| printable(&format!("{location}: ")))
        .unwrap_or_default();
    let hint = problem
        .hint
        .as_ref()
        .map(|hint| format!("    hint: {}\n", printable(hint)))
        .unwrap_or_default();
    format!("  {place}{label}{}\n{hint}", printable(&problem.message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::problem::Location;

    #[test]
    fn problems_name_their_place_and_what_to_do() {
        let location = Location {
            file: "schedules/weekly.toml".into(),
            line: 14,
            column: 1,
        };
        let problem = Problem::mistake(location, "field `HEALTHSCORE` is not in `CRM.ACCOUNTS`");
        let text = problems_text(&[problem.hint("did you mean `HEALTH_SCORE`?")]);
        assert_eq!(
            text,
            "  schedules/weekly.toml:14:1: field `HEALTHSCORE` is not in `CRM.ACCOUNTS`\n    \
             hint: did you mean `HEALTH_SCORE`?\n"
        );
    }
}
