//! What the scheduler waits for, as people and machines read it. Texts only; who prints them is
//! decided elsewhere.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use comfy_table::{Cell, presets};
use serde_json::{Value, json};

use super::pending;
use super::table::{fitted, table};
use crate::domain::cadence::{Cadence, Next};
use crate::domain::gate::Opening;
use crate::domain::outcome::grouped;
use crate::domain::printable::printable;
use crate::ledger::cycles::{GateEntry, PassedOverEntry, Server};
use crate::ledger::{RunEntry, RunStatus};
use crate::report::clock::moment;
use crate::schedule::outlook::{Following, Outlook};

/// Of each job: its last run, its next instant, and why it runs now or does not.
pub(crate) fn status_text(outlooks: &[Outlook], server: Option<&Server>) -> String {
    let serving = match server {
        Some(server) => format!(
            "served by process {} since {}",
            server.process,
            moment(server.since)
        ),
        None => "nobody serves; `writeback serve` does".to_owned(),
    };
    let mut table = table(presets::NOTHING);
    table.set_header(
        [
            "job", "last run", "cycle", "status", "pending", "next", "now",
        ]
        .map(Cell::new),
    );
    for outlook in outlooks {
        table.add_row(status_cells(outlook).map(Cell::new));
    }
    let stopped: String = outlooks.iter().filter_map(stopped_line).collect();
    format!("{serving}\n{}\n{stopped}", fitted(table, &[0, 2, 6]))
}

/// What to do about a run that guards stopped.
fn stopped_line(outlook: &Outlook) -> Option<String> {
    let run = outlook.last_run.as_ref()?;
    if run.status != RunStatus::Guarded {
        return None;
    }
    let command = match run.plan {
        Some(_) => "the same `writeback run` with `--approve`".to_owned(),
        None => format!("`writeback run {} --approve`", printable(&run.job)),
    };
    Some(format!(
        "{}: guards stopped run {id}; `writeback runs {id}` says why,\n  {command} lets it go ahead\n",
        printable(&run.job),
        id = run.run,
    ))
}

fn status_cells(outlook: &Outlook) -> [String; 7] {
    let last = outlook.last_run.as_ref();
    let of_last = |text: &dyn Fn(&RunEntry) -> String| last.map(text).unwrap_or_default();
    [
        printable(&outlook.job),
        of_last(&|run| format!("run {}, {}", run.run, moment(run.started_at))),
        of_last(&|run| printable(&run.cycle)),
        of_last(&|run| run.status.name().replace('_', " ")),
        match pending::count(&outlook.pending) {
            0 => String::new(),
            records => grouped(records),
        },
        outlook
            .following
            .as_ref()
            .and_then(next_instant)
            .map(moment)
            .unwrap_or_default(),
        why(outlook.following.as_ref()),
    ]
}

/// The next instant at which a job will or may run, if a clock tells.
pub(crate) fn next_instant(following: &Following) -> Option<DateTime<Utc>> {
    let waited = match &following.next {
        Next::Run(_) => None,
        Next::Wait(wait) => wait.until(),
    };
    waited.or_else(|| following.openings.first().map(|opening| opening.at))
}

/// Why the job runs now or does not.
pub(crate) fn why(following: Option<&Following>) -> String {
    match following {
        None => "runs by hand only: it has no cadence".to_owned(),
        Some(Following {
            next: Next::Run(cycle),
            ..
        }) => format!("cycle `{}` is due", printable(&cycle.id)),
        Some(Following {
            next: Next::Wait(wait),
            ..
        }) => printable(&wait.to_string()),
    }
}

/// Of each job, why it would or would not run now, and its next instants.
pub(crate) fn next_text(outlooks: &[Outlook]) -> String {
    outlooks.iter().map(next_of).collect::<Vec<_>>().join("\n")
}

fn next_of(outlook: &Outlook) -> String {
    let mut lines = vec![printable(&outlook.job)];
    lines.extend(outlook.following.iter().flat_map(following_lines));
    let now = match &outlook.following {
        Some(Following {
            next: Next::Run(_), ..
        }) => "would run now",
        _ => "would not run now",
    };
    lines.insert(1, format!("  {now}: {}", why(outlook.following.as_ref())));
    if let Some(following) = &outlook.following {
        lines.extend(opening_lines(&following.openings));
    }
    lines.join("\n") + "\n"
}

fn following_lines(following: &Following) -> Vec<String> {
    let mut lines = Vec::new();
    let newest = match &following.newest_cycle {
        Some(noticed) => format!(
            "newest cycle `{}`, completed {}, noticed {}",
            printable(&noticed.cycle.id),
            moment(noticed.cycle.completed_at),
            moment(noticed.noticed_at)
        ),
        None => "no cycle noticed yet".to_owned(),
    };
    lines.push(format!(
        "  dashboard `{}`: {newest}",
        following.cadence.dashboard
    ));
    if let Some(watch) = &following.watch {
        lines.push(format!(
            "    looked at {}: {}",
            moment(watch.looked_at),
            printable(&watch.saw)
        ));
    }
    let passed_over = following
        .cycles_passed_over
        .iter()
        .map(|entry| &entry.passed);
    for passed in following.passed_over.iter().chain(passed_over) {
        let (cycle, why) = (printable(&passed.cycle), printable(&passed.why.to_string()));
        lines.push(format!("    cycle `{cycle}` is not written back: {why}"));
    }
    for gate in &following.gates_for_nothing {
        lines.push(format!(
            "    gate of {} opened for nothing: {}",
            moment(gate.opened_at),
            printable(&gate.reason)
        ));
    }
    lines
}

/// After which cycles a job runs, and when.
pub(crate) fn cadence_line(cadence: &Cadence) -> String {
    let cycles = match cadence.every_cycles.get() {
        1 => "each cycle".to_owned(),
        nth => format!("every {nth} cycles"),
    };
    let settle = if cadence.settle.is_zero() {
        String::new()
    } else {
        format!(", {} later", humantime::format_duration(cadence.settle))
    };
    let gates = if cadence.gates.is_empty() {
        ""
    } else {
        ", at the next of:"
    };
    format!(
        "runs after {cycles} of `{}`{settle}{gates}",
        cadence.dashboard
    )
}

/// Instants, a line each, on the clocks of their zone and in UTC; a day on which clocks change says
/// so.
pub(crate) fn opening_lines(openings: &[Opening]) -> Vec<String> {
    openings
        .iter()
        .map(|opening| format!("  {}", opening_text(opening)))
        .collect()
}

pub(crate) fn opening_text(opening: &Opening) -> String {
    let there = opening
        .at
        .with_timezone(&opening.zone)
        .format("%a %Y-%m-%d %H:%M:%S %Z");
    let zone = if opening.zone == Tz::UTC {
        String::new()
    } else {
        format!(" {}, {}", opening.zone, moment(opening.at))
    };
    let change = opening
        .clock_change
        .map(|seconds| format!("  (clocks go {} that day)", shift(seconds)));
    format!("{there}{zone}{}", change.unwrap_or_default())
}

/// `forward 1 h`, `back 30 min`.
fn shift(seconds: i32) -> String {
    let way = if seconds > 0 { "forward" } else { "back" };
    let length = std::time::Duration::from_secs(seconds.unsigned_abs().into());
    format!("{way} {}", humantime::format_duration(length))
}

/// As `status --json` and `next --json` print them.
pub(crate) fn outlooks_json(outlooks: &[Outlook], server: Option<&Server>) -> Value {
    json!({
        "server": server.map(|server| json!({ "process": server.process, "since": server.since })),
        "jobs": outlooks.iter().map(outlook_json).collect::<Vec<_>>(),
    })
}

fn outlook_json(outlook: &Outlook) -> Value {
    let following = outlook.following.as_ref();
    let due = following.and_then(|following| match &following.next {
        Next::Run(cycle) => Some(&cycle.id),
        Next::Wait(_) => None,
    });
    json!({
        "job": outlook.job,
        "dashboard": following.map(|following| &following.cadence.dashboard),
        "newest_cycle": following.and_then(|following| following.newest_cycle.as_ref()).map(|noticed| json!({
            "cycle": noticed.cycle.id,
            "completed_at": noticed.cycle.completed_at,
            "noticed_at": noticed.noticed_at,
        })),
        "last_run": outlook.last_run,
        "pending": outlook.pending,
        "due_cycle": due,
        "now": why(outlook.following.as_ref()),
        "next_at": following.and_then(next_instant),
        "openings": following.map(|following| openings_json(&following.openings)).unwrap_or_default(),
        "passed_over": following.map(passed_over_json).unwrap_or_default(),
        "gates_for_nothing": following.map(gates_json).unwrap_or_default(),
    })
}

fn passed_over_json(following: &Following) -> Vec<Value> {
    let one = |entry: &PassedOverEntry| {
        json!({
            "cycle": entry.passed.cycle,
            "why": entry.passed.why.to_string(),
            "decided_at": entry.decided_at,
            "error": entry.error,
        })
    };
    following.cycles_passed_over.iter().map(one).collect()
}

fn gates_json(following: &Following) -> Vec<Value> {
    let one = |gate: &GateEntry| json!({ "opened_at": gate.opened_at, "reason": gate.reason });
    following.gates_for_nothing.iter().map(one).collect()
}

/// As `--json` prints instants at which gates open.
pub(crate) fn openings_json(openings: &[Opening]) -> Vec<Value> {
    let one = |opening: &Opening| {
        json!({
            "at": opening.at,
            "there": opening.at.with_timezone(&opening.zone).to_rfc3339(),
            "timezone": opening.zone.name(),
            "clock_change_seconds": opening.clock_change,
        })
    };
    openings.iter().map(one).collect()
}
