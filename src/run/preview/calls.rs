//! How many calls of a web API a run would make for its records, how long they take, and what part
//! of the quota they are.

use std::time::Duration;

use serde::Serialize;

use crate::destination::service::AnyService;
use crate::destination::service::seam::Service;
use crate::domain::connection::{Connection, ServiceKind, System};
use crate::domain::match_rule::Decision;
use crate::domain::object::Object;

/// Calls that a run would make for its records; what finds the account and the object comes on top.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct CallForecast {
    pub(crate) total: u64,
    pub(crate) look_ups: u64,
    pub(crate) updates: u64,
    pub(crate) inserts: u64,
    /// By the time that look-ups took, as many at once as the connection has writers.
    pub(crate) minutes: f64,
    /// Absent where the account does not tell.
    pub(crate) quota: Option<QuotaForecast>,
}

/// The account's calls, other programs' use counted too.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct QuotaForecast {
    pub(crate) used: u64,
    pub(crate) allowed: u64,
    /// Of those allowed, what the run would take.
    pub(crate) percent: f64,
}

/// What looking a batch up took: a run asks the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) calls: u64,
    pub(super) took: Duration,
}

/// Counts them while records are looked up.
#[derive(Debug, Default)]
pub(super) struct CallCounter {
    look_ups: u64,
    updates: u64,
    inserts: u64,
    asking: Duration,
}

impl CallCounter {
    /// Adds a batch that was looked up; a `guarded` one is written in smaller requests.
    pub(super) fn add(
        &mut self,
        service: &AnyService,
        object: &Object,
        decisions: &[Decision],
        guarded: bool,
        asked: Asked,
    ) {
        let writes = |wanted: &Decision| decisions.iter().filter(|made| *made == wanted).count();
        self.look_ups += asked.calls;
        self.updates += service.update_calls(object, writes(&Decision::Update), guarded);
        self.inserts += service.insert_calls(object, writes(&Decision::Insert));
        self.asking += asked.took;
    }

    pub(super) fn total(&self) -> u64 {
        self.look_ups + self.updates + self.inserts
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "nobody makes as many calls as a float stops counting at"
    )]
    pub(super) fn finish(&self, service: &AnyService, connection: &Connection) -> CallForecast {
        let total = self.total();
        let each = self.asking.as_secs_f64() / self.look_ups.max(1) as f64;
        let mut seconds = each * total as f64 / connection.limits.writers.max(1) as f64;
        if let System::Service(settings) = &connection.system
            && let Some(a_second) = settings.requests_per_second
        {
            seconds = seconds.max(total as f64 / f64::from(a_second.max(1)));
        }
        let quota = service.calls_used().map(|usage| QuotaForecast {
            used: usage.used,
            allowed: usage.allowed,
            percent: total as f64 * 100.0 / usage.allowed.max(1) as f64,
        });
        CallForecast {
            total,
            look_ups: self.look_ups,
            updates: self.updates,
            inserts: self.inserts,
            minutes: seconds / 60.0,
            quota,
        }
    }
}

/// Calls that looking a batch up takes at the most where nothing fails, but for those that go by the
/// number of its records.
const BATCH_LOOK_UPS_MAX: u64 = 30;

/// Calls that records take at the most where nothing fails, if all of them are written. It is far
/// more than most take: whoever asks for less has them looked up.
pub(crate) fn calls_most(kind: ServiceKind, records: u64, batch_records_max: usize) -> u64 {
    let batch = u64::try_from(batch_records_max).unwrap_or(u64::MAX).max(1);
    let by_record = match kind {
        // It is looked for, written, its lists are read and set, and it is read back.
        ServiceKind::Bullhorn => records.saturating_mul(6),
        // Of long keys a query has room for some ten.
        ServiceKind::Salesforce | ServiceKind::HubSpot | ServiceKind::Dataverse => {
            records.div_ceil(8)
        }
    };
    let by_batch = records.div_ceil(batch).saturating_mul(BATCH_LOOK_UPS_MAX);
    by_batch.saturating_add(by_record)
}
