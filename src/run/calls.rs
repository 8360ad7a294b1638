//! The calls of web APIs that a run makes, from its first to its last.

use tracing::warn;

use super::at_work::AtWork;
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
    let report = CallTally::begin().over(work).await?;
    let calls = match run(&report) {
        Some(run) => ledger.calls(run).await.unwrap_or_else(|error| {
            // What the run did stands.
            warn!(run, %error, "could not read the calls of the run");
            Vec::new()
        }),
        None => Vec::new(),
    };
    Ok((report, calls))
}

impl AtWork<'_> {
    /// Tells the ledger the calls that this process made for the run, once it makes no more.
    pub(super) async fn count_calls(&self) {
        give_back_sessions().await;
        let counts = CallTally::current().unwrap_or_default().by_connection();
        let calls = counts.into_iter().map(|(connection, count)| AccountCalls {
            connection,
            made: count.made,
            used: count.usage.map(|usage| usage.used),
            allowed: count.usage.map(|usage| usage.allowed),
        });
        let calls: Vec<AccountCalls> = calls.collect();
        if calls.is_empty() {
            return;
        }
        let run = self.facts.run;
        if let Err(error) = self.ledger.add_calls(run, &calls).await {
            warn!(job = %self.facts.job, run, %error, "could not record the calls of the run");
        }
    }
}
