//! Delivering the packages of a run, one write-back after the other. Where a write-back has several
//! destinations, one that fails keeps no other from being delivered.

use tracing::warn;

use super::at_work::AtWork;
use super::creating;
use super::error::RunError;
use super::packaging::Packaged;
use super::plan::Plan;
use super::report::WriteBackReport;
use super::resolve::Records;
use crate::domain::error::chain;

/// Delivers all packages, which are those of the plans; one that could not be made is an error of its
/// destination.
/// Errors: the first that was met; of siblings, once all of them were tried.
pub(super) async fn deliver(
    records: &Records<'_>,
    work: AtWork<'_>,
    plans: &[Plan],
    packages: Vec<Result<Packaged, RunError>>,
) -> Result<Vec<WriteBackReport>, RunError> {
    let mut reports = Vec::new();
    let mut failed: Option<(&Plan, RunError)> = None;
    for (plan, packaged) in plans.iter().zip(packages) {
        if let Some((before, error)) = failed.take_if(|(before, _)| !are_siblings(before, plan)) {
            warn!(write_back = %before.name(), "what follows was not begun");
            return Err(error);
        }
        match deliver_one(records, work, plan, packaged).await {
            Ok(report) => reports.push(report),
            Err(error) if has_sibling(plans, plan) && error.is_of_destination() => {
                let cause = chain(&error).join(": ");
                warn!(write_back = %plan.name(), error = %cause, "one destination failed; the others go on");
                failed = failed.or(Some((plan, error)));
            }
            Err(error) => return Err(error),
        }
    }
    match failed {
        Some((_, error)) => Err(error),
        None => Ok(reports),
    }
}

async fn deliver_one(
    records: &Records<'_>,
    work: AtWork<'_>,
    plan: &Plan,
    packaged: Result<Packaged, RunError>,
) -> Result<WriteBackReport, RunError> {
    let Packaged {
        id,
        package,
        counted,
        pulling,
    } = packaged?;
    let report = creating::deliver(plan, work, id, &package, (counted, pulling));
    let report = report.await?;
    records.keep(plan, work, (id, &package)).await?;
    Ok(report)
}

fn are_siblings(one: &Plan, other: &Plan) -> bool {
    one.write_back.is_pulled_with(&other.write_back)
}

fn has_sibling(plans: &[Plan], plan: &Plan) -> bool {
    let siblings = plans.iter().filter(|other| are_siblings(other, plan));
    siblings.count() > 1
}
