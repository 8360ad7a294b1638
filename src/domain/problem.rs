//! A mistake in a user's file: what, where, and what to do. Mistakes are collected and shown all at
//! once.

use std::fmt;
use std::sync::Arc;

/// A place in one of the project's files. Lines and columns count from 1; columns count characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    /// As people type it: relative to the project's root.
    pub(crate) file: Arc<str>,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

impl Location {
    /// The place of byte `offset` within `text`.
    pub(crate) fn at(file: &Arc<str>, text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            file: Arc::clone(file),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A cause that knows its place in one of the project's files.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct PlacedCause {
    pub(crate) location: Location,
    pub(crate) message: String,
}

impl PlacedCause {
    /// The place that an error or one of its causes knows.
    pub(crate) fn location_of<'a>(
        error: &'a (dyn std::error::Error + 'static),
    ) -> Option<&'a Location> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(placed) = error.downcast_ref::<Self>() {
                return Some(&placed.location);
            }
            next = error.source();
        }
        None
    }
}

/// Whether a problem stops a job or only deserves a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    Mistake,
    Warning,
}

/// Whether one of them stops a job.
pub(crate) fn has_mistake(problems: &[Problem]) -> bool {
    problems
        .iter()
        .any(|problem| problem.severity == Severity::Mistake)
}

/// One mistake or warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) severity: Severity,
    pub(crate) location: Option<Location>,
    /// Lower case, no full stop, names the thing.
    pub(crate) message: String,
    /// The next thing to do.
    pub(crate) hint: Option<String>,
}

impl Problem {
    pub(crate) fn mistake(
        location: impl Into<Option<Location>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Mistake,
            location: location.into(),
            message: message.into(),
            hint: None,
        }
    }

    pub(crate) fn warning(
        location: impl Into<Option<Location>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::mistake(location, message)
        }
    }

    pub(crate) fn is_mistake(&self) -> bool {
        self.severity == Severity::Mistake
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the hint if there is one to give.
    pub(crate) fn hint_if(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into);
        self
    }
}

/// Names as messages list them: "`a`, `b`".
pub(crate) fn quoted_list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names
        .into_iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// What was meant by `wanted`, if one of `known` comes close: "did you mean `HEALTH_SCORE`?".
pub(crate) fn did_you_mean<'a>(
    wanted: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    nearest(wanted, known).map(|name| format!("did you mean `{name}`?"))
}

/// The one of `known` that comes closest to `wanted`, if any comes close.
pub(crate) fn nearest<'a>(
    wanted: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    /// Jaro-Winkler similarity below which a suggestion confuses more than it helps.
    const SIMILARITY_MIN: f64 = 0.8;
    let likeness = |name: &str| strsim::jaro_winkler(&wanted.to_lowercase(), &name.to_lowercase());
    known
        .into_iter()
        .map(|name| (likeness(name), name))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, name)| name)
}
