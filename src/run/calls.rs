//! The calls of web APIs that a run makes, from its first to its last.

use tracing::warn;

use super::error::RunError;
use crate::destination::service::give_back_sessions;
use crate::domain::account_calls::AccountCalls;
use crate::http::CallTally;
use crate::ledger::Ledger;

/// Does the work of a run, whose number `run` tells from what came of it; returns the run's calls as
/// well, those of processes counted that were at work on it before.
pub(super) async fn counted<Report>(
    ledger: &Ledger,
    work: impl Future<Output = Result<Report, RunError>>,
    run: impl Fn(&Report) -> Option<i64>,
) -> Result<(Report, Vec<AccountCalls>), RunError> {
    let tally = CallTally::begin();
    let work = async {
        let done = work.await;
        give_back_sessions().await;
        done
    };
    let done = tally.over(work).await;
    let calls = calls_of(&tally);
    let run = match &done {
        Ok(report) => run(report),
        Err(error) => error.run(),
    };
    let calls = match run {
        Some(run) => kept(ledger, run, calls).await,
        None => calls,
    };
    done.map(|report| (report, calls))
}

fn calls_of(tally: &CallTally) -> Vec<AccountCalls> {
    let counts = tally.by_connection().into_iter();
    let calls = counts.map(|(connection, count)| AccountCalls {
        connection,
        made: count.made,
        used: count.usage.map(|usage| usage.used),
        allowed: count.usage.map(|usage| usage.allowed),
    });
    calls.collect()
}

/// The calls of a run as the ledger knows them now; of this process only, if it cannot tell.
async fn kept(ledger: &Ledger, run: i64, calls: Vec<AccountCalls>) -> Vec<AccountCalls> {
    let told = match ledger.add_calls(run, &calls).await {
        Ok(()) => ledger.calls(run).await,
        Err(error) => Err(error),
    };
    told.unwrap_or_else(|error| {
        warn!(run, %error, "could not record the calls of the run");
        calls
    })
}
