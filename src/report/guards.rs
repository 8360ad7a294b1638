//! Guards as people read them: what stopped a run and what to do about it, and the bounds in force.

use crate::domain::guard::{Guards, Objection, Reason};
use crate::domain::outcome::grouped;
use crate::domain::printable::printable;

/// A line for each objection, and under it what it asks for.
pub(crate) fn lines(job: &str, objections: &[Objection]) -> Vec<String> {
    let lines = objections.iter().flat_map(|objection| {
        let line = format!(
            "  {}: {}",
            objection.write_back,
            printable(&objection.reason.to_string())
        );
        [
            Some(line),
            demand(job, objection).map(|demand| format!("    hint: {demand}")),
        ]
    });
    lines.flatten().collect()
}

/// What settles an objection for good, if anything but an approval does.
fn demand(job: &str, Objection { write_back, reason }: &Objection) -> Option<String> {
    match reason {
        Reason::RequireTest => Some(format!(
            "`writeback test {job} --write-back {write_back} --record KEY --rollback` tests it, then run again"
        )),
        Reason::MinRead { .. }
        | Reason::MaxRejected { .. }
        | Reason::MaxSkipped { .. }
        | Reason::MaxChanged { .. }
        | Reason::MaxNulls { .. }
        | Reason::MaxCalls { .. } => None,
    }
}

/// The bounds in force, in one line.
pub(crate) fn in_force(guards: &Guards) -> String {
    let Guards {
        min_read,
        max_changed,
        max_nulls,
        max_rejected,
        max_skipped,
        max_calls,
        require_test,
    } = guards;
    let at_most =
        |bound: &Option<_>, what: &str| bound.map(|bound| format!("at most {bound} {what}"));
    let parts = [
        (*min_read > 0).then(|| format!("at least {} read", grouped(*min_read))),
        at_most(max_rejected, "rejected"),
        at_most(max_skipped, "skipped"),
        at_most(max_changed, "changed"),
        at_most(max_nulls, "of a column's values lost to NULL"),
        max_calls.map(|calls| format!("at most {} calls", grouped(calls))),
        require_test.then(|| "tested before its first run".to_owned()),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        "none".to_owned()
    } else {
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::share::{Percent, RecordsMax};

    #[test]
    fn bounds_in_force_are_one_line() {
        assert_eq!(in_force(&Guards::default()), "at least 1 read");
        assert_eq!(
            in_force(&Guards {
                min_read: 0,
                ..Guards::default()
            }),
            "none"
        );
        let all = Guards {
            min_read: 1_000,
            max_changed: Percent::parse("30 %").map(RecordsMax::Share),
            max_nulls: Some(RecordsMax::Count(0)),
            max_rejected: Some(RecordsMax::Count(20)),
            max_skipped: Some(RecordsMax::Count(30)),
            max_calls: Some(1_500),
            require_test: true,
        };
        assert_eq!(
            in_force(&all),
            "at least 1 000 read, at most 20 rejected, at most 30 skipped, at most 30 % changed, at most 0 of a column's values lost to NULL, \
             at most 1 500 calls, tested before its first run"
        );
    }
}
