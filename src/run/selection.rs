//! Which of the records pulled go on: all of them in most runs, without any cost. A record that
//! people parked is left alone, whatever would become of it, and a retry takes no others than those
//! that were rejected before.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use polars::prelude::{BooleanChunked, DataFrame, NewChunkedArray, PlSmallStr};
use xxhash_rust::xxh3::Xxh3Default;

use crate::domain::conform::{self, Sifted};
use crate::domain::mapping::{Mapping, RunFacts};
use crate::domain::match_key::{ByKey, RecordKinds, ToldBy};
use crate::domain::parking::{LeftAlone, MetParking, Parked};
use crate::domain::record::{RECORD_POSITION, key_texts};
use crate::ledger::{Ledger, LedgerError};
use crate::run::own_records::own_records;
use crate::run::plan::Plan;
use crate::source::Pulled;

/// The choice of one write-back's records in one run.
#[derive(Debug)]
pub(crate) struct Selection {
    parked: ByKey<Parked>,
    /// When the run began.
    at: DateTime<Utc>,
    /// Match keys of the records that are taken; absent, all are.
    wanted: Option<ByKey<String>>,
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
    /// Of a run that began at `at`; `parked` are the write-back's own. `wanted` are match keys of the
    /// records that are taken.
    pub(crate) fn new(
        parked: Vec<Parked>,
        wanted: Option<HashSet<String>>,
        at: DateTime<Utc>,
        kinds: &RecordKinds,
    ) -> Self {
        let parked = parked.into_iter().map(|one| (one.key.clone(), one));
        let wanted = wanted.map(|keys| {
            let keys = keys.into_iter().map(|key| (key.clone(), key));
            ByKey::new(kinds.clone(), keys)
        });
        Self {
            parked: ByKey::new(kinds.clone(), parked),
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
        plan: &Plan,
        wanted: Option<HashSet<String>>,
    ) -> Result<Self, LedgerError> {
        let mut parked = ledger.parked(&facts.job, facts.started_at).await?;
        parked.retain(|parked| parked.write_back == plan.name());
        let kinds = plan.record_kinds();
        Ok(Self::new(parked, wanted, facts.started_at, &kinds))
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

    /// How a record with this key in the destination is parked, if it was parked after `instant`.
    pub(crate) fn parked_after(&self, instant: DateTime<Utc>, key: &str) -> Option<&Parked> {
        let record = ToldBy {
            destination: Some(key),
            ..ToldBy::default()
        };
        self.parked
            .get(record)
            .filter(|parked| parked.parked_at > instant)
    }

    /// Conforms a chunk and maps it: every record of it that is not left out comes back as a record
    /// of the package, as a rejection, or as one that is left alone.
    pub(crate) fn sift(&mut self, plan: &Plan, pulled: Pulled) -> Selected {
        let pulled = own_records(&plan.write_back, pulled);
        if !plan.write_back.enabled {
            return switched_off(plan, &pulled, self.wanted.as_ref());
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
        let told_by = |position: u64| ToldBy {
            pulled: pulled_keys.get(&position).map(String::as_str),
            source: source_keys.get(&position).map(String::as_str),
            destination: None,
        };
        let mut left_alone = Vec::new();
        let keys = key_texts(&sifted.records, plan.mapping.key_columns());
        let mut passes = Vec::with_capacity(keys.len());
        for (position, key) in positions(&sifted.records).into_iter().zip(&keys) {
            let record = ToldBy {
                destination: Some(key),
                ..told_by(position)
            };
            passes.push(self.passes(&raw, position, record, &mut left_alone));
        }
        let mut rejections = sifted.rejections;
        rejections.retain(|rejection| {
            let told_by = told_by(rejection.record);
            let record = ToldBy {
                pulled: told_by.pulled.or(rejection.key.as_deref()),
                ..told_by
            };
            self.passes(&raw, rejection.record, record, &mut left_alone)
        });
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
        record: ToldBy<'_>,
        left_alone: &mut Vec<LeftAlone>,
    ) -> bool {
        match self.choose(raw, position, record) {
            Choice::GoesOn => true,
            Choice::LeftOut => false,
            Choice::LeftAlone(record) => {
                left_alone.push(record);
                false
            }
        }
    }

    fn choose(&mut self, raw: &RawRecords<'_>, position: u64, record: ToldBy<'_>) -> Choice {
        let reported = record.reported().unwrap_or_default();
        if let Some(wanted) = &self.wanted {
            let Some(wanted) = wanted.get(record) else {
                return Choice::LeftOut;
            };
            // Of one that is told by another key now, no report could say that it did not land.
            if wanted == reported {
                self.taken.insert(reported.to_owned());
            }
        }
        let Some(parked) = self.parked.get(record) else {
            return Choice::GoesOn;
        };
        let fingerprint = raw.fingerprint(position);
        let first = || parked.holds(self.at, &fingerprint);
        match *self.met.entry(parked.key.clone()).or_insert_with(first) {
            true => Choice::LeftAlone(LeftAlone {
                record: position,
                key: reported.to_owned(),
                reason: parked.told(),
                parked: true,
                met: Some(MetParking {
                    key: parked.key.clone(),
                    fingerprint,
                }),
            }),
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
fn switched_off(plan: &Plan, pulled: &Pulled, wanted: Option<&ByKey<String>>) -> Selected {
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
    let is_wanted = |(_, key): &(u64, Option<String>)| {
        let record = ToldBy {
            pulled: key.as_deref(),
            ..ToldBy::default()
        };
        wanted.is_none_or(|wanted| wanted.get(record).is_some())
    };
    let all = read.chain(unread).filter(is_wanted).map(of_record);
    let left_alone: Vec<LeftAlone> = all
        .map(|(record, key)| LeftAlone {
            record,
            key,
            reason: reason.clone(),
            parked: false,
            met: None,
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
