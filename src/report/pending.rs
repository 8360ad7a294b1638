//! Rejected records that have not landed, as people and machines read them.

use serde_json::{Value, json};

use crate::domain::outcome::grouped;
use crate::domain::printable::printable;
use crate::ledger::Pending;
use crate::run::report::RetryReport;

/// How many records of a job are pending.
pub(crate) fn count(pending: &[Pending]) -> u64 {
    pending.iter().map(|one| one.records).sum()
}

/// What is pending of a job, and how it is taken again; nothing if nothing is.
pub(crate) fn line(job: &str, pending: &[Pending]) -> Option<String> {
    let job = printable(job);
    let (records, without_key) = (count(pending), without_key(pending));
    if records == 0 {
        return None;
    }
    let mut line = format!("{job}: {} pending", counted(records));
    if without_key > 0 {
        line += &format!(", {} without a key", grouped(without_key));
    }
    let retry = format!("`writeback run {job} --only-rejected` takes");
    line += &match without_key {
        0 => format!("; {retry} them again"),
        _ if without_key == records => {
            format!("; only a run of all records, `writeback run {job}`, takes those")
        }
        _ => format!("; {retry} the others again"),
    };
    Some(line)
}

/// Of which run it was a retry, and what is still pending.
pub(crate) fn after_retry(job: &str, retry: &RetryReport) -> Vec<String> {
    let of = retry.of.map(|run| format!("retry of run {run}"));
    of.into_iter().chain(line(job, &retry.pending)).collect()
}

/// Why a retry took nothing.
pub(crate) fn nothing_to_take(job: &str, retry: &RetryReport) -> String {
    let shown = printable(job);
    match line(job, &retry.pending) {
        Some(line) => format!("{shown}  nothing new: no pending record has a key\n{line}\n"),
        None => format!("{shown}  nothing new: no rejected record is pending\n"),
    }
}

/// By job and write-back.
pub(crate) fn json(jobs: &[(String, Vec<Pending>)]) -> Vec<Value> {
    let one = |(job, pending): &(String, Vec<Pending>)| json!({ "job": job, "records": count(pending), "write_backs": pending });
    jobs.iter()
        .filter(|(_, pending)| !pending.is_empty())
        .map(one)
        .collect()
}

fn without_key(pending: &[Pending]) -> u64 {
    pending.iter().map(|one| one.without_key).sum()
}

fn counted(records: u64) -> String {
    format!(
        "{} rejected {} still",
        grouped(records),
        if records == 1 {
            "record is"
        } else {
            "records are"
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(records: u64, without_key: u64) -> Vec<Pending> {
        vec![Pending {
            write_back: "scores".to_owned(),
            run: 7,
            records,
            without_key,
        }]
    }

    #[test]
    fn what_is_pending_is_told_with_what_takes_it() {
        assert_eq!(line("weekly", &[]), None);
        assert_eq!(
            line("weekly", &pending(1_200, 3)).as_deref(),
            Some(
                "weekly: 1 200 rejected records are still pending, 3 without a key; \
                 `writeback run weekly --only-rejected` takes the others again"
            )
        );
        assert_eq!(
            line("weekly", &pending(1, 1)).as_deref(),
            Some(
                "weekly: 1 rejected record is still pending, 1 without a key; \
                 only a run of all records, `writeback run weekly`, takes those"
            )
        );
    }
}
