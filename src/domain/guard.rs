//! Guards against the large mistake: bounds on what a run may do to an object, judged when all its
//! records are known and none is written. Knows no destination and no ledger: what the run would do
//! is given.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::outcome::{Tally, grouped};
use super::share::{Percent, RecordsMax};

/// The guards of one write-back. A bound that is absent stops nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Guards {
    /// Records that must be read: an empty export is a broken one more often than an empty company.
    pub(crate) min_read: u64,
    /// Records that may be inserted or updated; a share is one of those that have a row or would
    /// get one.
    pub(crate) max_changed: Option<RecordsMax>,
    /// Rows in which a column may lose its value to NULL; a share is one of the rows that records
    /// were found to have.
    pub(crate) max_nulls: Option<RecordsMax>,
    /// Records that may be rejected before the first write; a share is one of those read.
    pub(crate) max_rejected: Option<RecordsMax>,
    /// Records that may be left alone for want of a row, or because there is one; a share is one of
    /// those read. Parked records do not count.
    pub(crate) max_skipped: Option<RecordsMax>,
    /// Calls of a web API that records may take; it means nothing to a database.
    pub(crate) max_calls: Option<u64>,
    /// Whether the write-back's version must have been tested before it runs for the first time.
    pub(crate) require_test: bool,
}

/// How much is stopped where nobody says otherwise: only what is never meant. How many records
/// change from one cycle to the next, and how many lose a value, nobody but the user knows; and a
/// first run changes all of them.
impl Default for Guards {
    fn default() -> Self {
        Self {
            min_read: 1,
            ..Self::NONE
        }
    }
}

/// What is known of a write-back's records before the destination is asked about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outset {
    pub(crate) read: u64,
    pub(crate) rejected: u64,
    /// Records with a key of their own, on their way to the destination.
    pub(crate) records: u64,
    /// Records of them that bring a NULL which may replace a value, in the field that has most.
    pub(crate) nulls: u64,
    /// Whether the object itself guarantees that a key matches at most one row.
    pub(crate) key_is_unique: bool,
    /// Calls that they take if all of them are written; absent, it is no web API.
    pub(crate) calls: Option<u64>,
}

/// What a run would do with a write-back's records.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Forecast {
    pub(crate) tally: Tally,
    /// Parked records, of those skipped.
    pub(crate) parked: u64,
    /// By column: rows that would lose their value to NULL.
    pub(crate) emptied: BTreeMap<String, u64>,
    /// Calls of a web API that the records would take.
    pub(crate) calls: Option<u64>,
    /// Whether this version of the write-back was tested, or has run before.
    pub(crate) proven: bool,
}

/// What a guard has against a run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Objection {
    pub(crate) write_back: String,
    #[serde(flatten)]
    pub(crate) reason: Reason,
}

/// What was found and what is allowed, by the guard's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "guard", rename_all = "snake_case")]
pub(crate) enum Reason {
    RequireTest,
    MinRead {
        records: u64,
        bound: u64,
    },
    MaxRejected {
        records: u64,
        of: u64,
        bound: RecordsMax,
    },
    MaxSkipped {
        records: u64,
        of: u64,
        bound: RecordsMax,
    },
    MaxChanged {
        records: u64,
        of: u64,
        bound: RecordsMax,
    },
    MaxNulls {
        column: String,
        records: u64,
        of: u64,
        bound: RecordsMax,
    },
    MaxCalls {
        calls: u64,
        bound: u64,
    },
}

impl Guards {
    /// As files write them.
    pub(crate) const KEYS: [&str; 7] = [
        "min_read",
        "max_changed",
        "max_nulls",
        "max_rejected",
        "max_skipped",
        "max_calls",
        "require_test",
    ];

    /// What guards a job that only rejects.
    pub(crate) const NONE: Self = Self {
        min_read: 0,
        max_changed: None,
        max_nulls: None,
        max_rejected: None,
        max_skipped: None,
        max_calls: None,
        require_test: false,
    };

    /// What they are to a run that takes only some of the records again: shares are of all records,
    /// and that none of some is there any more is no broken export.
    pub(crate) fn of_some_records(&self) -> Self {
        let counted =
            |bound: Option<RecordsMax>| bound.filter(|bound| matches!(bound, RecordsMax::Count(_)));
        Self {
            min_read: 0,
            max_changed: counted(self.max_changed),
            max_nulls: counted(self.max_nulls),
            max_rejected: counted(self.max_rejected),
            max_skipped: counted(self.max_skipped),
            max_calls: self.max_calls,
            require_test: self.require_test,
        }
    }

    /// Whether only the destination can tell if one of the bounds is kept; if not, a forecast
    /// without any lookup is judged just as a whole one.
    pub(crate) fn needs_lookup(&self, outset: &Outset) -> bool {
        let may_exceed = |bound: Option<RecordsMax>, most: u64| match bound {
            None => false,
            Some(RecordsMax::Count(count)) => most > count,
            Some(RecordsMax::Share(percent)) => most > 0 && percent < Percent::ALL,
        };
        let ambiguous = if outset.key_is_unique {
            0
        } else {
            outset.records
        };
        over(self.max_calls, outset.calls).is_some()
            || may_exceed(self.max_changed, outset.records)
            || may_exceed(self.max_skipped, outset.records)
            || may_exceed(self.max_nulls, outset.nulls)
            || (ambiguous > 0
                && exceeded(
                    self.max_rejected,
                    outset.rejected.saturating_add(ambiguous),
                    outset.read,
                )
                .is_some())
    }

    /// What they have against a run that would do this.
    pub(crate) fn objections(&self, forecast: &Forecast) -> Vec<Reason> {
        let Tally {
            read,
            inserted,
            updated,
            unchanged,
            rejected,
            skipped,
            ..
        } = forecast.tally;
        let mut reasons = Vec::new();
        if self.require_test && !forecast.proven {
            reasons.push(Reason::RequireTest);
        }
        if read < self.min_read {
            reasons.push(Reason::MinRead {
                records: read,
                bound: self.min_read,
            });
        }
        if let Some(bound) = exceeded(self.max_rejected, rejected, read) {
            reasons.push(Reason::MaxRejected {
                records: rejected,
                of: read,
                bound,
            });
        }
        let unmatched = skipped.saturating_sub(forecast.parked);
        if let Some(bound) = exceeded(self.max_skipped, unmatched, read) {
            reasons.push(Reason::MaxSkipped {
                records: unmatched,
                of: read,
                bound,
            });
        }
        let (changed, with_row) = (inserted + updated, updated + unchanged);
        if let Some(bound) = exceeded(self.max_changed, changed, with_row + inserted) {
            reasons.push(Reason::MaxChanged {
                records: changed,
                of: with_row + inserted,
                bound,
            });
        }
        let emptied = forecast.emptied.iter().filter_map(|(column, emptied)| {
            let bound = exceeded(self.max_nulls, *emptied, with_row)?;
            Some(Reason::MaxNulls {
                column: column.clone(),
                records: *emptied,
                of: with_row,
                bound,
            })
        });
        reasons.extend(emptied);
        if let Some((calls, bound)) = over(self.max_calls, forecast.calls) {
            reasons.push(Reason::MaxCalls { calls, bound });
        }
        reasons
    }
}

/// The calls and their bound, if it is exceeded.
fn over(bound: Option<u64>, calls: Option<u64>) -> Option<(u64, u64)> {
    calls.zip(bound).filter(|(calls, bound)| calls > bound)
}

/// The bound, if it is exceeded.
fn exceeded(bound: Option<RecordsMax>, part: u64, whole: u64) -> Option<RecordsMax> {
    bound.filter(|bound| bound.is_exceeded_by(part, whole))
}

impl Reason {
    /// The guard's name, as files write it.
    pub(crate) fn guard(&self) -> &'static str {
        match self {
            Self::RequireTest => "require_test",
            Self::MinRead { .. } => "min_read",
            Self::MaxRejected { .. } => "max_rejected",
            Self::MaxSkipped { .. } => "max_skipped",
            Self::MaxChanged { .. } => "max_changed",
            Self::MaxNulls { .. } => "max_nulls",
            Self::MaxCalls { .. } => "max_calls",
        }
    }
}

/// What, how much, and the bound.
impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequireTest => write!(formatter, "this version of it was never tested")?,
            Self::MinRead { records, bound } => {
                write!(
                    formatter,
                    "{} read, at least {} expected",
                    counted(*records),
                    grouped(*bound)
                )?;
            }
            Self::MaxRejected { records, of, bound } => {
                write!(
                    formatter,
                    "{} would be rejected, {}",
                    part(*records, *of, *bound, "record"),
                    at_most(*bound)
                )?;
            }
            Self::MaxSkipped { records, of, bound } => {
                write!(
                    formatter,
                    "{} would be skipped, {}",
                    part(*records, *of, *bound, "record"),
                    at_most(*bound)
                )?;
            }
            Self::MaxChanged { records, of, bound } => {
                write!(
                    formatter,
                    "{} would change, {}",
                    part(*records, *of, *bound, "record"),
                    at_most(*bound)
                )?;
            }
            Self::MaxNulls {
                column,
                records,
                of,
                bound,
            } => {
                let rows = part(*records, *of, *bound, "row");
                write!(
                    formatter,
                    "{rows} would lose the value of `{column}`, {}",
                    at_most(*bound)
                )?;
            }
            Self::MaxCalls { calls, bound } => {
                write!(
                    formatter,
                    "it would take {} calls, at most {} may be made",
                    grouped(*calls),
                    grouped(*bound)
                )?;
            }
        }
        write!(formatter, " (`{}`)", self.guard())
    }
}

fn at_most(bound: RecordsMax) -> String {
    format!("at most {bound} may")
}

/// `1 record`, `12 000 records`.
fn counted(records: u64) -> String {
    format!(
        "{} {}",
        grouped(records),
        if records == 1 { "record" } else { "records" }
    )
}

/// `900 of 1 000 records`, and how many per cent they are where the bound is a share.
fn part(records: u64, of: u64, bound: RecordsMax, noun: &str) -> String {
    let plural = if of == 1 { "" } else { "s" };
    let share = match bound {
        RecordsMax::Count(_) => String::new(),
        RecordsMax::Share(_) => format!(" ({})", Percent::of(records, of)),
    };
    format!(
        "{} of {} {noun}{plural}{share}",
        grouped(records),
        grouped(of)
    )
}

/// The write-back and the reason.
impl fmt::Display for Objection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}`: {}", self.write_back, self.reason)
    }
}

/// As machines read it: the figures, and the message that people read.
impl Serialize for Objection {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Shown<'a> {
            write_back: &'a str,
            #[serde(flatten)]
            reason: &'a Reason,
            message: String,
        }
        Shown {
            write_back: &self.write_back,
            reason: &self.reason,
            message: self.reason.to_string(),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn share(text: &str) -> Option<RecordsMax> {
        Some(RecordsMax::Share(Percent::parse(text).unwrap()))
    }

    fn count(records: u64) -> Option<RecordsMax> {
        Some(RecordsMax::Count(records))
    }

    /// Of 1 000 records read 100 are rejected and 100 skipped; of the 800 left 50 are new and 350
    /// of the others change.
    fn forecast() -> Forecast {
        let tally = Tally {
            read: 1_000,
            inserted: 50,
            updated: 350,
            unchanged: 400,
            skipped: 100,
            rejected: 100,
            ..Tally::default()
        };
        let emptied = [("note".to_owned(), 75), ("score".to_owned(), 300)].into();
        Forecast {
            parked: 0,
            tally,
            emptied,
            calls: Some(1_200),
            proven: false,
        }
    }

    #[test]
    fn each_guard_has_its_key() {
        let told = serde_json::to_value(Guards::NONE).unwrap();
        let names: Vec<&str> = told
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(names, Guards::KEYS);
    }

    fn objections(guards: &Guards) -> Vec<String> {
        guards
            .objections(&forecast())
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn the_usual_guards_stop_an_empty_source_and_nothing_else() {
        let guards = Guards::default();
        assert_eq!(guards.objections(&forecast()), []);
        let empty = guards.objections(&Forecast::default());
        assert_eq!(
            empty,
            [Reason::MinRead {
                records: 0,
                bound: 1
            }]
        );
        assert_eq!(
            empty.first().map(ToString::to_string).as_deref(),
            Some("0 records read, at least 1 expected (`min_read`)")
        );
        assert_eq!(
            Guards {
                min_read: 0,
                ..guards
            }
            .objections(&Forecast::default()),
            []
        );
    }

    #[test]
    fn a_bound_that_is_met_stops_nothing_and_one_that_is_exceeded_says_by_how_much() {
        let with = |change: &dyn Fn(&mut Guards)| {
            let mut guards = Guards::default();
            change(&mut guards);
            objections(&guards)
        };
        for met in [
            with(&|guards| guards.min_read = 1_000),
            with(&|guards| guards.max_changed = count(400)),
            with(&|guards| guards.max_changed = share("50 %")),
            with(&|guards| guards.max_nulls = count(300)),
            with(&|guards| guards.max_nulls = share("40 %")),
            with(&|guards| guards.max_rejected = count(100)),
            with(&|guards| guards.max_rejected = share("10 %")),
        ] {
            assert_eq!(met, [""; 0]);
        }
        let told = with(&|guards| guards.min_read = 12_000);
        assert_eq!(
            told,
            ["1 000 records read, at least 12 000 expected (`min_read`)"]
        );
        let told = with(&|guards| guards.max_changed = count(399));
        assert_eq!(
            told,
            ["400 of 800 records would change, at most 399 may (`max_changed`)"]
        );
        let told = with(&|guards| guards.max_changed = share("49.99 %"));
        assert_eq!(
            told,
            ["400 of 800 records (50 %) would change, at most 49.99 % may (`max_changed`)"]
        );
        let told = with(&|guards| guards.max_nulls = share("39 %"));
        assert_eq!(
            told,
            [
                "300 of 750 rows (40 %) would lose the value of `score`, at most 39 % may (`max_nulls`)"
            ]
        );
        assert_eq!(
            with(&|guards| guards.max_nulls = count(0)).len(),
            2,
            "each column"
        );
        let told = with(&|guards| guards.max_rejected = share("9.5 %"));
        assert_eq!(
            told,
            ["100 of 1 000 records (10 %) would be rejected, at most 9.5 % may (`max_rejected`)"]
        );
        let told = with(&|guards| guards.require_test = true);
        assert_eq!(
            told,
            ["this version of it was never tested (`require_test`)"]
        );
        let proven = Forecast {
            proven: true,
            ..forecast()
        };
        assert_eq!(
            Guards {
                require_test: true,
                ..Guards::default()
            }
            .objections(&proven),
            []
        );
    }

    #[test]
    fn machines_read_figures_and_the_message_and_figures_are_read_back() {
        for (reason, json) in [
            (
                Reason::MaxChanged {
                    records: 9,
                    of: 10,
                    bound: share("30 %").unwrap(),
                },
                r#"{"write_back":"scores","guard":"max_changed","records":9,"of":10,"bound":"30 %","message":"9 of 10 records (90 %) would change, at most 30 % may (`max_changed`)"}"#,
            ),
            (
                Reason::MaxNulls {
                    column: "x".to_owned(),
                    records: 1,
                    of: 1,
                    bound: count(0).unwrap(),
                },
                r#"{"write_back":"scores","guard":"max_nulls","column":"x","records":1,"of":1,"bound":0,"message":"1 of 1 row would lose the value of `x`, at most 0 may (`max_nulls`)"}"#,
            ),
            (
                Reason::RequireTest,
                r#"{"write_back":"scores","guard":"require_test","message":"this version of it was never tested (`require_test`)"}"#,
            ),
        ] {
            let objection = Objection {
                write_back: "scores".to_owned(),
                reason,
            };
            assert_eq!(serde_json::to_string(&objection).unwrap(), json);
            assert_eq!(serde_json::from_str::<Objection>(json).unwrap(), objection);
        }
    }

    fn bounds() -> impl Strategy<Value = Option<RecordsMax>> {
        let share = (0_u32..=10_000).prop_map(|hundredths| {
            let text = format!("{}.{:02} %", hundredths / 100, hundredths % 100);
            Percent::parse(&text).map(RecordsMax::Share)
        });
        prop_oneof![Just(None), (0_u64..60).prop_map(count), share]
    }

    prop_compose! {
        fn guards()(
            min_read in 0_u64..60,
            max_changed in bounds(),
            max_nulls in bounds(),
            max_rejected in bounds(),
            max_skipped in bounds(),
            max_calls in proptest::option::of(0_u64..60),
            require_test in any::<bool>(),
        ) -> Guards {
            Guards { min_read, max_changed, max_nulls, max_rejected, max_skipped, max_calls, require_test }
        }
    }

    prop_compose! {
        /// What one run knows at its outset and what it would do; a row loses a value only where a
        /// record brings a NULL.
        fn histories()(
            [early, inserted, updated, unchanged, skipped, ambiguous] in any::<[u8; 6]>()
                .prop_map(|counts| counts.map(|count| u64::from(count % 20))),
            nulls in 0_u64..100,
            emptied in proptest::collection::vec(0_u64..20, 0..3),
            unique in any::<bool>(),
            proven in any::<bool>(),
            calls in proptest::option::of((0_u64..60, 0_u64..60)),
        ) -> (Outset, Forecast) {
            let ambiguous = if unique { 0 } else { ambiguous };
            let records = inserted + updated + unchanged + skipped + ambiguous;
            let nulls = nulls.min(records);
            let rejected = early + ambiguous;
            let tally = Tally { read: early + records, inserted, updated, unchanged, skipped, rejected, ..Tally::default() };
            let emptied = ["a", "b"].map(str::to_owned).into_iter().zip(emptied.into_iter().map(|rows| rows.min(nulls).min(updated)));
            let outset = Outset { read: tally.read, rejected: early, records, nulls, key_is_unique: unique, calls: calls.map(|(made, more)| made + more) };
            let calls = calls.map(|(made, _)| made);
            (outset, Forecast { tally, parked: 0, emptied: emptied.collect(), calls, proven })
        }
    }

    proptest! {
        #[test]
        fn what_needs_no_lookup_is_judged_as_if_it_had_been_looked_up(guards in guards(), (outset, forecast) in histories()) {
            let tally = Tally { read: outset.read, rejected: outset.rejected, ..Tally::default() };
            let blind = Forecast { tally, parked: 0, emptied: BTreeMap::new(), calls: outset.calls, proven: forecast.proven };
            if !guards.needs_lookup(&outset) {
                prop_assert_eq!(guards.objections(&blind), guards.objections(&forecast));
            }
        }

        #[test]
        fn a_wider_bound_never_stops_more(guards in guards(), (_, forecast) in histories()) {
            let wider = Guards {
                min_read: guards.min_read / 2,
                max_changed: None,
                max_nulls: guards.max_nulls.map(|_| RecordsMax::Share(Percent::ALL)),
                max_rejected: guards.max_rejected.map(|_| RecordsMax::Share(Percent::ALL)),
                max_skipped: None,
                max_calls: None,
                require_test: false,
            };
            let before = guards.objections(&forecast);
            for reason in wider.objections(&forecast) {
                prop_assert_eq!(reason.guard(), "min_read");
                prop_assert!(before.iter().any(|before| before.guard() == "min_read"));
            }
        }
    }
}
