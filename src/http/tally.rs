//! How many calls a piece of work makes, by connection, and what each account told of its calls last.
//! A call is counted where it leaves, whoever makes it: asking, logging in, renewing, being sent on,
//! trying again. What goes on beside the work is none of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::quota::Usage;

tokio::task_local! {
    static TALLY: CallTally;
}

/// Calls of one connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CallCount {
    pub(crate) made: u64,
    /// The account's, other programs' use counted too; `None` where nothing tells.
    pub(crate) usage: Option<Usage>,
}

/// Counts the calls of one piece of work, and of whatever it is a part of.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallTally {
    counts: Arc<Mutex<BTreeMap<String, CallCount>>>,
    whole: Option<Arc<Self>>,
}

impl CallTally {
    /// A tally of nothing yet, as a part of the work that asks for it.
    pub(crate) fn begin() -> Self {
        Self {
            whole: Self::current().map(Arc::new),
            ..Self::default()
        }
    }

    /// That of the work which asks, if its calls are counted.
    pub(crate) fn current() -> Option<Self> {
        TALLY.try_with(Clone::clone).ok()
    }

    /// Counts the calls that this work makes.
    pub(crate) async fn over<T>(&self, work: impl Future<Output = T>) -> T {
        // Runs are deep: a box keeps their futures from being copied through this one.
        TALLY.scope(self.clone(), Box::pin(work)).await
    }

    pub(crate) fn made(&self) -> u64 {
        self.counts().values().map(|count| count.made).sum()
    }

    /// By connection.
    pub(crate) fn by_connection(&self) -> BTreeMap<String, CallCount> {
        self.counts().clone()
    }

    fn note(&self, connection: &str, note: impl Fn(&mut CallCount)) {
        let mut tally = Some(self);
        while let Some(CallTally { counts, whole }) = tally {
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            note(counts.entry(connection.to_owned()).or_default());
            tally = whole.as_deref();
        }
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<String, CallCount>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Work that goes on as a task of its own; its calls count as those of whoever begins it.
pub(crate) fn tallied_alike<W: Future>(work: W) -> impl Future<Output = W::Output> {
    TALLY.scope(CallTally::current().unwrap_or_default(), work)
}

/// One more call leaves.
pub(super) fn note_call(connection: &str) {
    if let Some(tally) = CallTally::current() {
        tally.note(connection, |count| count.made += 1);
    }
}

/// The account tells of its calls.
pub(super) fn note_usage(connection: &str, usage: Usage) {
    if let Some(tally) = CallTally::current() {
        tally.note(connection, |count| count.usage = Some(usage));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_counts_its_calls_and_the_whole_all_of_them() {
        note_call("crm");
        let whole = CallTally::begin();
        let part = whole
            .over(async {
                note_call("crm");
                let part = CallTally::begin();
                let work = async {
                    note_call("ats");
                    let task = tallied_alike(async { note_call("crm") });
                    tokio::spawn(task).await.expect("a call");
                };
                part.over(work).await;
                tokio::spawn(async { note_call("crm") })
                    .await
                    .expect("not ours");
                part
            })
            .await;
        assert_eq!(part.made(), 2);
        assert_eq!(whole.made(), 3);
        let made = |name: &str| whole.by_connection().get(name).map(|count| count.made);
        assert_eq!((made("ats"), made("crm")), (Some(1), Some(2)));
    }
}
