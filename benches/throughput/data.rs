//! The data: accounts of a CRM and a dashboard's exports of scores for them. Every value is a
//! function of the seed and the account's number, so that data of any size needs no memory, and
//! what a table must hold afterwards is known.

use std::fs::File;
use std::io::{BufRead, BufWriter};
use std::path::Path;

use chrono::{Duration, NaiveDate, NaiveDateTime, NaiveTime};
use polars::prelude::{
    Column, DataFrame, DataType, IntoSeries, NamedFrom, ParquetCompression, ParquetWriter, Series,
    TimeUnit,
};

use crate::Fault;

pub(crate) const COLUMNS: [&str; 8] = [
    "account_id",
    "health_score",
    "churn_risk",
    "usage",
    "seats",
    "note",
    "scored_at",
    "region",
];

const RISKS: [&str; 3] = ["low", "medium", "high"];
const REGIONS: [&str; 3] = ["eu", "us", "ap"];

/// Bounds that the values stay below: hundredths of a score, ten-thousandths of usage, seats.
const HEALTH_SCORES: u64 = 10_001;
const USAGES: u64 = 10_000_000;
const SEATS: u64 = 5_000;

/// One in so many notes has quotes within, which a CSV file doubles.
const NOTES_PER_QUOTED: u64 = 4;

/// Records that are held in memory while a Parquet file is written.
const PARQUET_RECORDS: usize = 100_000;

/// Accounts 0 to `records`, each with the values it had and those that the dashboard has for it
/// now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Accounts {
    pub(crate) records: u64,
    seed: u64,
}

/// What a dashboard exports: scores for `records` of the accounts, of which `changed` are not what
/// they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Export {
    pub(crate) records: u64,
    pub(crate) changed: u64,
}

/// One account as it is exported, and as it stands in the CRM.
struct Account {
    id: u64,
    /// In hundredths.
    health_score: u64,
    churn_risk: &'static str,
    /// In ten-thousandths.
    usage: u64,
    seats: u64,
    note: String,
    scored_at: NaiveDateTime,
    region: &'static str,
}

/// The id of the account of this number.
pub(crate) fn id_text(id: u64) -> String {
    format!("001Hs{:011}AA", id)
}

impl Accounts {
    pub(crate) fn new(records: u64, seed: u64) -> Self {
        Self { records, seed }
    }

    /// More or fewer accounts of the same kind.
    pub(crate) fn with_records(self, records: u64) -> Self {
        Self { records, ..self }
    }

    /// All accounts, and all four scores of each are different.
    pub(crate) fn different(self) -> Export {
        Export {
            records: self.records,
            changed: self.records,
        }
    }

    /// Writes the accounts as the CRM has them, in the order of their keys, which is the order they
    /// were created in.
    pub(crate) fn write_originals(self, file: &Path) -> Result<(), Fault> {
        write_csv(file, (0..self.records).map(|id| self.account(id, false)))
    }

    /// Writes an export as CSV, in no order.
    pub(crate) fn write_csv(self, export: Export, file: &Path) -> Result<(), Fault> {
        write_csv(file, self.exported(export))
    }

    /// Writes an export as Parquet in the columns' own types, in no order.
    pub(crate) fn write_parquet(self, export: Export, file: &Path) -> Result<(), Fault> {
        let mut accounts = self.exported(export);
        let mut next = || frame(&accounts.by_ref().take(PARQUET_RECORDS).collect::<Vec<_>>());
        let mut records = next()?;
        let writer =
            ParquetWriter::new(File::create(file)?).with_compression(ParquetCompression::Snappy);
        let mut writer = writer.batched(records.schema())?;
        while records.height() > 0 {
            writer.write_batch(&records)?;
            records = next()?;
        }
        writer.finish()?;
        Ok(())
    }

    /// Compares a table's rows, in the order of their keys and with tabs between their values, with
    /// those that an export leaves. Errors: the first row that is not as it must be.
    pub(crate) fn compare(self, rows: impl BufRead, export: Export) -> Result<(), Fault> {
        let chosen = self.chosen();
        let mut rows = rows.lines();
        for id in 0..self.records {
            let expected = self
                .account(id, chosen.at(id) < export.changed)
                .texts()
                .join("\t");
            let found = rows
                .next()
                .transpose()?
                .unwrap_or_else(|| "no row".to_owned());
            if found != expected {
                return Err(
                    format!("wrong row\n  expected: {expected}\n  found:    {found}").into(),
                );
            }
        }
        match rows.next() {
            Some(row) => Err(format!("a row too many: {}", row?).into()),
            None => Ok(()),
        }
    }

    fn exported(self, export: Export) -> impl Iterator<Item = Account> {
        let (order, chosen) = (Shuffle::new(self.records, mix(self.seed)), self.chosen());
        let places = (0..self.records)
            .map(move |position| order.at(position))
            .map(move |id| (id, chosen.at(id)));
        places
            .filter(move |(_, place)| *place < export.records)
            .map(move |(id, place)| self.account(id, place < export.changed))
    }

    /// Which accounts come first when only some are exported or changed.
    fn chosen(self) -> Shuffle {
        Shuffle::new(self.records, mix(self.seed.wrapping_add(1)))
    }

    fn account(self, id: u64, changed: bool) -> Account {
        let number = |what: u64, below: u64| mix(self.seed ^ mix(id ^ (what << 56))) % below;
        let score = |what: u64, below: u64| match (number(what, below), changed) {
            (was, false) => was,
            (was, true) => (was + 1 + number(what + 128, below - 1)) % below,
        };
        let told = number(5, 1_000_000_000);
        let note = match told % NOTES_PER_QUOTED {
            0 => format!("note {told}, \"ok\""),
            _ => format!("note {told}, ok"),
        };
        Account {
            id,
            health_score: score(1, HEALTH_SCORES),
            churn_risk: pick(&RISKS, score(2, RISKS.len() as u64)),
            usage: score(3, USAGES),
            seats: score(4, SEATS) + 1,
            note,
            scored_at: scored_at(number(6, 10), number(7, 10)),
            region: pick(&REGIONS, number(8, REGIONS.len() as u64)),
        }
    }
}

impl Account {
    fn account_id(&self) -> String {
        id_text(self.id)
    }

    /// The values in the order of [`COLUMNS`], as every one of the databases writes them.
    fn texts(&self) -> [String; 8] {
        [
            self.account_id(),
            format!("{}.{:02}", self.health_score / 100, self.health_score % 100),
            self.churn_risk.to_owned(),
            format!("{}.{:04}", self.usage / 10_000, self.usage % 10_000),
            self.seats.to_string(),
            self.note.clone(),
            self.scored_at.to_string(),
            self.region.to_owned(),
        ]
    }
}

fn scored_at(day: u64, hour: u64) -> NaiveDateTime {
    let first =
        NaiveDateTime::new(NaiveDate::default(), NaiveTime::default()) + Duration::days(20_768);
    first + Duration::minutes(i64::try_from((day * 24 + hour) * 60 + 15).unwrap_or_default())
}

fn pick(among: &[&'static str], index: u64) -> &'static str {
    usize::try_from(index)
        .ok()
        .and_then(|index| among.get(index))
        .expect("an index below the length")
}

fn write_csv(file: &Path, accounts: impl Iterator<Item = Account>) -> Result<(), Fault> {
    let mut writer = csv::Writer::from_writer(BufWriter::new(File::create(file)?));
    writer.write_record(COLUMNS)?;
    for account in accounts {
        writer.write_record(account.texts())?;
    }
    writer.flush()?;
    Ok(())
}

/// Shape: `(accounts, 8)`, in the types of the schema.
fn frame(accounts: &[Account]) -> Result<DataFrame, Fault> {
    let texts = |text: fn(&Account) -> String| accounts.iter().map(text).collect::<Vec<String>>();
    let numbers = |number: fn(&Account) -> u64| {
        Ok::<_, Fault>(
            accounts
                .iter()
                .map(|account| i64::try_from(number(account)))
                .collect::<Result<Vec<_>, _>>()?,
        )
    };
    let decimal = |values: Vec<i64>, precision, scale| {
        let values: Vec<i128> = values.into_iter().map(i128::from).collect();
        Series::new("".into(), values).into_decimal(precision, scale)
    };
    let instants: Vec<i64> = accounts
        .iter()
        .map(|account| account.scored_at.and_utc().timestamp_micros())
        .collect();
    let columns = [
        Series::new("".into(), texts(Account::account_id)),
        decimal(numbers(|account| account.health_score)?, 5, 2)?,
        Series::new("".into(), texts(|account| account.churn_risk.to_owned())),
        decimal(numbers(|account| account.usage)?, 12, 4)?,
        Series::new("".into(), numbers(|account| account.seats)?).cast(&DataType::Int32)?,
        Series::new("".into(), texts(|account| account.note.clone())),
        Series::new("".into(), instants)
            .into_datetime(TimeUnit::Microseconds, None)
            .into_series(),
        Series::new("".into(), texts(|account| account.region.to_owned())),
    ];
    let named = COLUMNS
        .iter()
        .zip(columns)
        .map(|(name, column)| Column::from(column.with_name((*name).into())));
    Ok(DataFrame::new(accounts.len(), named.collect())?)
}

/// A permutation of 0 to `count` that needs no memory: a Feistel network over a power of four,
/// walked until it is back in range.
struct Shuffle {
    count: u64,
    half_bits: u32,
    seed: u64,
}

impl Shuffle {
    const ROUNDS: u64 = 4;

    fn new(count: u64, seed: u64) -> Self {
        let bits = u64::BITS - count.saturating_sub(1).leading_zeros();
        Self {
            count,
            half_bits: bits.div_ceil(2).max(1),
            seed,
        }
    }

    /// The number at a position, both below `count`.
    fn at(&self, position: u64) -> u64 {
        let mut number = self.step(position);
        while number >= self.count {
            number = self.step(number);
        }
        number
    }

    fn step(&self, number: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (number >> self.half_bits, number & mask);
        for round in 0..Self::ROUNDS {
            (left, right) = (
                right,
                left ^ (mix(self.seed ^ right ^ (round << 56)) & mask),
            );
        }
        left << self.half_bits | right
    }
}

/// Spreads a number over all 64 bits, as splitmix64 does.
/// Source: <https://prng.di.unimi.it/splitmix64.c>.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
