//! Which of the records pulled go on: all of them in most runs, without any cost. A record that
//! people parked is left alone, whatever would become of it, and a retry takes no others than those
//! that were rejected before.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use polars::prelude::{BooleanChunked, DataFrame, NewChunkedArray, PlSmallStr};
use xxhash_rust::xxh3::Xxh3Default;

use crate::domain::conform::{self, Sifted};
use crate::domain::mapping::{Mapping, RunFacts};
use crate::domain::outcome::Rejection;
use crate::domain::parking::{LeftAlone, Parked};
use crate::domain::record::{RECORD_POSITION, key_texts};
use crate::ledger::{Ledger, LedgerError};
use crate::run::own_records::own_records;
use crate::run::plan::Plan;
use crate::source::Pulled;

/// The choice of one write-back's records in one run.
#[derive(Debug)]
pub(crate) struct Selection {
    /// By match key.
    parked: HashMap<String, Parked>,
    /// When the run began.
    at: DateTime<Utc>,
    /// Match keys of a retry's records; absent, all are taken.
    wanted: Option<HashSet<String>>,
    /// Parked keys that were met, and whether they are left alone. A key that occurs several times
    /// is decided by the first of its records: were one of them left alone and another one not,
    /// that one would be written.
    met: HashMap<String, bool>,
    /// Wanted keys that were met.
    taken: BTreeSet<String>,
}

/// What came of a chunk of pulled records.
#[derive(Debug)]
pub(crate) struct Selected {
    pub(crate) sifted: Sifted,
    pub(crate) left_alone: Vec<LeftAlone>,
    /// Records that the run took notice of: those of both.
    pub(crate) read: u64,
}

/// What becomes of one record of a chunk.
enum Choice {
    GoesOn,
    LeftAlone(LeftAlone),
    /// The run has nothing to do with it.
    LeftOut,
}

impl Selection {
    /// Of a run that began at `at`; `parked` are the write-back's own. `wanted` are the match keys
    /// of a retry's records.
    pub(crate) fn new(
        parked: Vec<Parked>,
        wanted: Option<HashSet<String>>,
        at: DateTime<Utc>,
    ) -> Self {
        let parked = parked
            .into_iter()
            .map(|parked| (parked.key.clone(), parked))
            .collect();
        Self {
            parked,
            at,
            wanted,
            met: HashMap::new(),
            taken: BTreeSet::new(),
        }
    }

    /// Of a run with these facts, or of one that would have them; `wanted` as in
    /// [`Selection::new`].
    pub(crate) async fn of(
        ledger: &Ledger,
        facts: &RunFacts,
        write_back: &str,
        wanted: Option<HashSet<String>>,
    ) -> Result<Self, LedgerError> {
        let mut parked = ledger.parked(&facts.job, facts.started_at).await?;
        parked.retain(|parked| parked.write_back == write_back);
        Ok(Self::new(parked, wanted, facts.started_at))
    }

    /// Keys of records whose values changed, which ended their parking.
    pub(crate) fn ended(&self) -> Vec<String> {
        self.met
            .iter()
            .filter(|(_, left_alone)| !**left_alone)
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Keys of a retry's records that the source still has.
    pub(crate) fn taken(&self) -> Vec<String> {
        self.taken.iter().cloned().collect()
    }

    /// How a record is parked, if it was parked after `instant`.
    pub(crate) fn parked_after(&self, instant: DateTime<Utc>, key: &str) -> Option<&Parked> {
        self.parked
            .get(key)
            .filter(|parked| parked.parked_at > instant)
    }

    /// Conforms a chunk and maps it: every record of it that is not left out comes back as a record
    /// of the package, as a rejection, or as one that is left alone.
    pub(crate) fn sift(&mut self, plan: &Plan, pulled: Pulled) -> Selected {
        let pulled = own_records(&plan.write_back, pulled);
        if !plan.write_back.enabled {
            return switched_off(plan, &pulled);
        }
        if self.parked.is_empty() && self.wanted.is_none() {
            let read = pulled.read;
            return Selected {
                sifted: sift(plan, pulled).0,
                left_alone: Vec::new(),
                read,
            };
        }
        let raw = RawRecords {
            records: pulled.records.clone(),
            mapping: &plan.mapping,
        };
        let pulled_keys = conform::pulled_keys(&plan.write_back.schema, &pulled.records);
        let pulled_keys = by_position(&pulled.records, pulled_keys);
        let (sifted, conformed) = sift(plan, pulled);
        let source_keys = by_position(&conformed, plan.mapping.source_keys(&conformed));
        let spellings = |position: u64, key: Option<&str>| {
            let others =
                [&source_keys, &pulled_keys].map(|keys| keys.get(&position).map(String::as_str));
            let spellings = [key].into_iter().chain(others).flatten();
            spellings.map(str::to_owned).collect::<Vec<_>>()
        };
        let mut left_alone = Vec::new();
        let keys = key_texts(&sifted.records, plan.mapping.key_columns());
        let mut passes = Vec::with_capacity(keys.len());
        for (position, key) in positions(&sifted.records).into_iter().zip(&keys) {
            passes.push(self.passes(
                &raw,
                position,
                &spellings(position, Some(key)),
                &mut left_alone,
            ));
        }
        let goes_on = |rejection: &Rejection| {
            let spellings = spellings(rejection.record, rejection.key.as_deref());
            self.passes(&raw, rejection.record, &spellings, &mut left_alone)
        };
        let mut rejections = sifted.rejections;
        rejections.retain(goes_on);
        let mask = BooleanChunked::from_slice(PlSmallStr::EMPTY, &passes);
        let records = sifted
            .records
            .filter(&mask)
            .expect("the mask is as long as the frame");
        let read = u64::try_from(records.height() + rejections.len() + left_alone.len())
            .unwrap_or(u64::MAX);
        Selected {
            sifted: Sifted {
                records,
                rejections,
            },
            left_alone,
            read,
        }
    }

    /// Whether a record goes on; one that is parked is noted.
    fn passes(
        &mut self,
        raw: &RawRecords<'_>,
        position: u64,
        spellings: &[String],
        left_alone: &mut Vec<LeftAlone>,
    ) -> bool {
        match self.choose(raw, position, spellings) {
            Choice::GoesOn => true,
            Choice::LeftOut => false,
            Choice::LeftAlone(record) => {
                left_alone.push(record);
                false
            }
        }
    }

    /// `spellings` are a record's match key as its reports tell it, and then as it was before it
    /// was converted, which earlier reports may have told.
    fn choose(&mut self, raw: &RawRecords<'_>, position: u64, spellings: &[String]) -> Choice {
        if let Some(wanted) = &self.wanted {
            match spellings
                .iter()
                .position(|spelling| wanted.contains(spelling))
            {
                None => return Choice::LeftOut,
                // Of one that is told by another key now, no report could say that it did not land.
                Some(0) => self.taken.extend(spellings.first().cloned()),
                Some(_) => {}
            }
        }
        let Some(parked) = spellings
            .iter()
            .find_map(|spelling| self.parked.get(spelling))
        else {
            return Choice::GoesOn;
        };
        let fingerprint = raw.fingerprint(position);
        let first = || parked.holds(self.at, &fingerprint);
        match *self.met.entry(parked.key.clone()).or_insert_with(first) {
            true => {
                let (key, reason) = (parked.key.clone(), parked.told());
                Choice::LeftAlone(LeftAlone {
                    record: position,
                    key,
                    reason,
                    fingerprint: Some(fingerprint),
                    parked: true,
                })
            }
            false => Choice::GoesOn,
        }
    }
}

/// Conforms a chunk and maps it: every record of it comes back as a record of the package or as a
/// rejection. The conformed records come back beside them.
fn sift(plan: &Plan, pulled: Pulled) -> (Sifted, DataFrame) {
    let mut conformed = conform::conform(&plan.write_back.schema, &pulled.records);
    conformed.records = plan.with_answers(conformed.records);
    let mapped = plan.mapping.apply(&conformed.records);
    let rejections = [pulled.rejections, conformed.rejections, mapped.rejections]
        .into_iter()
        .flatten()
        .collect();
    (
        Sifted {
            records: mapped.records,
            rejections,
        },
        conformed.records,
    )
}

/// Positions of a frame's records in what was pulled.
fn positions(records: &DataFrame) -> Vec<u64> {
    let positions = records
        .column(RECORD_POSITION)
        .and_then(|column| column.u64());
    positions.map_or(Vec::new(), |positions| positions.iter().flatten().collect())
}

fn by_position(records: &DataFrame, keys: Vec<Option<String>>) -> HashMap<u64, String> {
    positions(records)
        .into_iter()
        .zip(keys)
        .filter_map(|(position, key)| Some((position, key?)))
        .collect()
}

/// A write-back that is switched off leaves its records alone, whatever they hold.
fn switched_off(plan: &Plan, pulled: &Pulled) -> Selected {
    let reason = plan.write_back.reason_off();
    let nothing = sift(
        plan,
        Pulled {
            read: 0,
            records: pulled.records.clear(),
            rejections: Vec::new(),
            places: Vec::new(),
        },
    );
    let keys = conform::pulled_keys(&plan.write_back.schema, &pulled.records);
    let of_record = |(record, key): (u64, Option<String>)| (record, key.unwrap_or_default());
    let read = positions(&pulled.records).into_iter().zip(keys);
    let unread = pulled.rejections.iter();
    let unread = unread.map(|rejection| (rejection.record, rejection.key.clone()));
    let all = read.chain(unread).map(of_record);
    let left_alone: Vec<LeftAlone> = all
        .map(|(record, key)| LeftAlone {
            record,
            key,
            reason: reason.clone(),
            parked: false,
            fingerprint: None,
        })
        .collect();
    Selected {
        sifted: nothing.0,
        read: u64::try_from(left_alone.len()).unwrap_or(u64::MAX),
        left_alone,
    }
}

/// A chunk's records as they were pulled.
struct RawRecords<'a> {
    records: DataFrame,
    mapping: &'a Mapping,
}

impl RawRecords<'_> {
    /// Tells the values of the columns that fields read from others; columns that no field reads
    /// may change freely. All records that could not be read as records have the same.
    fn fingerprint(&self, position: u64) -> String {
        let mut hash = Xxh3Default::new();
        let index = positions(&self.records)
            .iter()
            .position(|at| *at == position);
        for (name, index) in self.mapping.source_columns().zip(std::iter::repeat(index)) {
            let value = index.and_then(|index| self.records.column(name).ok()?.get(index).ok());
            let told = format!("{name:?} {value:?}");
            hash.update(&u64::try_from(told.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(told.as_bytes());
        }
        format!("{:032x}", hash.digest128())
    }
}
