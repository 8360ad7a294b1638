//! What a record is compared with: its row in the destination, or what was last delivered of it. The
//! latter costs no look-up, and is blind to what others do to rows; so every so often all records are
//! compared with their rows all the same.

use std::fmt;
use std::num::NonZeroU32;

/// What a write-back compares its records with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Compare {
    /// Their rows, in every run.
    #[default]
    Destination,
    /// What was last delivered of them, but for every n-th run.
    LastWritten { full_every: NonZeroU32 },
}

/// How often all records are compared with their rows where nobody says: once a week of daily runs
/// or so.
pub(crate) const FULL_EVERY: NonZeroU32 = NonZeroU32::new(10).expect("ten is not zero");

/// What the snapshot of a write-back was taken of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotFacts {
    /// It tells of all that was delivered up to this run.
    pub(crate) run: i64,
    /// Of the write-back.
    pub(crate) version: String,
    /// What records were mapped for, and the database that they were written to.
    pub(crate) prepared: String,
    /// Runs since all records were last compared with their rows.
    pub(crate) partial_runs: u32,
    /// Why it is not to be relied on any more.
    pub(crate) distrusted: Option<String>,
}

/// A run that would rely on a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relying<'a> {
    pub(crate) version: &'a str,
    pub(crate) prepared: &'a str,
    /// Another run than the snapshot's, of whatever sort, that sent records of the write-back after
    /// that one began to.
    pub(crate) sent_since: Option<i64>,
    /// How often all records are compared with their rows; `None`: this run is not counted, as it
    /// takes only some of them.
    pub(crate) full_every: Option<NonZeroU32>,
}

/// Why all records are compared with their rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WhyFull {
    NothingDelivered,
    OtherVersion,
    OtherDestination,
    /// A run sent records of which the snapshot knows nothing: an undo, a saved plan, requests, or one
    /// that did not finish.
    SentSince {
        run: i64,
    },
    Distrusted {
        why: String,
    },
    Due {
        every: NonZeroU32,
    },
}

impl fmt::Display for WhyFull {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingDelivered => {
                formatter.write_str("it is not known what was last delivered")
            }
            Self::OtherVersion => {
                formatter.write_str("the write-back was changed since it last delivered")
            }
            Self::OtherDestination => formatter.write_str(
                "the destination's object was altered, or it is another database, since it last delivered",
            ),
            Self::SentSince { run } => write!(
                formatter,
                "run {run}, an undo, a saved plan, requests or one that did not finish, sent records since"
            ),
            Self::Distrusted { why } => formatter.write_str(why),
            Self::Due { every } => write!(formatter, "`full_every = {every}`: it is its turn"),
        }
    }
}

impl Relying<'_> {
    /// Why a run is not to rely on a snapshot; `None` if it may.
    pub(crate) fn why_full(&self, snapshot: Option<&SnapshotFacts>) -> Option<WhyFull> {
        let Some(snapshot) = snapshot else {
            return Some(WhyFull::NothingDelivered);
        };
        if snapshot.version != self.version {
            return Some(WhyFull::OtherVersion);
        }
        if snapshot.prepared != self.prepared {
            return Some(WhyFull::OtherDestination);
        }
        if let Some(run) = self.sent_since {
            return Some(WhyFull::SentSince { run });
        }
        if let Some(why) = &snapshot.distrusted {
            return Some(WhyFull::Distrusted { why: why.clone() });
        }
        let every = self.full_every?;
        (snapshot.partial_runs.saturating_add(1) >= every.get()).then_some(WhyFull::Due { every })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    fn snapshot() -> SnapshotFacts {
        SnapshotFacts {
            run: 7,
            version: "v1".to_owned(),
            prepared: "layout@home".to_owned(),
            partial_runs: 0,
            distrusted: None,
        }
    }

    fn relying() -> Relying<'static> {
        Relying {
            version: "v1",
            prepared: "layout@home",
            sent_since: None,
            full_every: NonZeroU32::new(3),
        }
    }

    #[test]
    fn a_snapshot_is_relied_on_until_its_turn_is_over() {
        let partial_runs = |partial_runs| SnapshotFacts {
            partial_runs,
            ..snapshot()
        };
        let why = |partial_runs_of| relying().why_full(Some(&partial_runs(partial_runs_of)));
        assert_eq!((why(0), why(1)), (None, None));
        let every = NonZeroU32::new(3).unwrap();
        assert_eq!(why(2), Some(WhyFull::Due { every }));
        let always = Relying {
            full_every: NonZeroU32::new(1),
            ..relying()
        };
        assert!(always.why_full(Some(&snapshot())).is_some());
        let some_records = Relying {
            full_every: None,
            ..relying()
        };
        assert_eq!(some_records.why_full(Some(&partial_runs(99))), None);
    }

    #[test]
    fn a_snapshot_of_something_else_is_not_relied_on() {
        let why = |relying: Relying<'_>| relying.why_full(Some(&snapshot()));
        assert_eq!(relying().why_full(None), Some(WhyFull::NothingDelivered));
        let version = "v2";
        assert_eq!(
            why(Relying {
                version,
                ..relying()
            }),
            Some(WhyFull::OtherVersion)
        );
        let prepared = "layout@elsewhere";
        let other = Relying {
            prepared,
            ..relying()
        };
        assert_eq!(why(other), Some(WhyFull::OtherDestination));
    }

    #[test]
    fn what_wrote_without_the_snapshot_ends_it() {
        let sent = |run| Relying {
            sent_since: run,
            ..relying()
        };
        assert_eq!(
            sent(Some(8)).why_full(Some(&snapshot())),
            Some(WhyFull::SentSince { run: 8 })
        );
        assert_eq!(
            sent(Some(6)).why_full(Some(&snapshot())),
            Some(WhyFull::SentSince { run: 6 }),
            "a day's requests are a run that may be older"
        );
        assert_eq!(sent(None).why_full(Some(&snapshot())), None);
        let distrusted = SnapshotFacts {
            distrusted: Some("a test wrote".to_owned()),
            ..snapshot()
        };
        assert_eq!(
            relying().why_full(Some(&distrusted)),
            Some(WhyFull::Distrusted {
                why: "a test wrote".to_owned()
            })
        );
    }
}
