//! What stands between pulling and pushing: a write-back's package.

use std::time::Duration;

use super::guards::Pulled;
use super::plan::Plan;
use crate::domain::outcome::Tally;
use crate::ledger::WriteBackId;
use crate::package::Package;

/// A package that stands, with what a pull counted that was made just now.
pub(super) struct Packaged {
    pub(super) id: WriteBackId,
    pub(super) package: Package,
    pub(super) counted: Option<Tally>,
    pub(super) pulling: Duration,
}

/// Write-backs with the packages that stand for them.
pub(super) fn pulled<'a>(plans: &'a [Plan], packages: &'a [Packaged]) -> Vec<Pulled<'a>> {
    let pulled = |(plan, packaged): (&'a Plan, &'a Packaged)| Pulled {
        plan,
        id: packaged.id,
        package: &packaged.package,
    };
    plans.iter().zip(packages).map(pulled).collect()
}
