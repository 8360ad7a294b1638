//! What people and machines read of the account behind a web API.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::destination::service::report::{AccountReport, VersionTrouble};
use crate::domain::account_calls::AccountCalls;
use crate::domain::outcome::grouped;
use crate::domain::printable::printable;
use crate::domain::problem::Problem;
use crate::report::table;

/// What `check` prints under a job.
pub(crate) fn line(connection: &str, report: &AccountReport) -> String {
    let account = report
        .account
        .as_deref()
        .unwrap_or("an account that is not told");
    let user = report
        .user
        .as_deref()
        .map(|user| format!(", last modified by {}", printable(user)));
    let until = report
        .version
        .promised_until
        .map(|until| format!(" (promised until {} at least)", until.format("%Y-%m")));
    let calls = report.usage.map(|usage| {
        format!(
            ", {} of {} calls used and {} of them may be",
            grouped(usage.used),
            grouped(usage.allowed),
            report.quota_share
        )
    });
    let told = format!(
        "{connection}: {}{}, version {}{}{}",
        printable(account),
        user.unwrap_or_default(),
        printable(&report.version.name),
        until.unwrap_or_default(),
        calls.unwrap_or_default()
    );
    table::line(&told, "  ")
}

/// ``calls made: 8 to `crm`; 14 992 of its 15 000 are left``
pub(crate) fn made_line(calls: &AccountCalls) -> String {
    format!("calls made: {}", made(calls))
}

/// ``8 to `crm`; 14 992 of its 15 000 are left``
pub(crate) fn made(calls: &AccountCalls) -> String {
    let left = calls.used.zip(calls.allowed).map(|(used, allowed)| {
        let left = grouped(allowed.saturating_sub(used));
        format!("; {left} of its {} are left", grouped(allowed))
    });
    format!(
        "{} to `{}`{}",
        grouped(calls.made),
        printable(&calls.connection),
        left.unwrap_or_default()
    )
}

pub(crate) fn account_json(connection: &str, report: &AccountReport) -> Value {
    json!({
        "connection": connection,
        "account": report.account,
        "user": report.user,
        "is_administrator": report.is_administrator,
        "version": report.version.name,
        "version_promised_until": report.version.promised_until.map(|until| until.to_string()),
        "calls_used": report.usage.map(|usage| usage.used),
        "calls_allowed": report.usage.map(|usage| usage.allowed),
        "quota_share": report.quota_share.to_string(),
    })
}

/// What is wrong with the account, or deserves a look.
pub(crate) fn problems(
    connection: &str,
    report: &AccountReport,
    now: DateTime<Utc>,
) -> Vec<Problem> {
    let version = &report.version.name;
    let newer = format!(
        "take `api_version` out of `[connections.{connection}]`, or have a newer version of this program"
    );
    let ended = match report.version.trouble(now) {
        VersionTrouble::None => None,
        VersionTrouble::EndsSoon(until) => Some(Problem::warning(
            None,
            format!("version {version} of `{connection}` is promised until {until} only"),
        )),
        VersionTrouble::Ended => Some(Problem::mistake(
            None,
            format!("`{connection}` no longer speaks version {version}"),
        )),
    };
    let administrator = (report.is_administrator == Some(true)).then(|| {
        let message = format!(
            "the user of `{connection}` may change whatever there is (Modify All Data)"
        );
        let hint = "give the connection a user of its own, with a permission set for the fields that are written";
        Problem::warning(None, message).hint(hint)
    });
    let ended = ended.map(|problem| problem.hint(newer));
    ended.into_iter().chain(administrator).collect()
}
