//! Parking records: which of a job's write-backs know a key, and until when they are left alone.

use chrono::{DateTime, Utc};

use crate::domain::conform;
use crate::domain::counted::counted;
use crate::domain::job::WriteBack;
use crate::domain::match_key::KeyKinds;
use crate::domain::parking::{Parked, Until};
use crate::domain::record::{key_parts, key_text};

/// Why a record cannot be parked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParkingError {
    #[error("no write-back of job `{job}` has a match key of {parts}, as `{key}` has", parts = counted(*parts, "part"))]
    NoSuchKey {
        key: String,
        job: String,
        parts: usize,
    },
    #[error("{until} is over")]
    AlreadyOver { until: Until },
}

impl ParkingError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchKey { .. } => {
                Some("a key is one line of CSV: its parts in the order of PRIMARY KEY".to_owned())
            }
            Self::AlreadyOver { .. } => None,
        }
    }
}

/// How long records are left alone, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Parking<'a> {
    pub(crate) until: Until,
    pub(crate) reason: &'a str,
    /// Absent if the system does not tell.
    pub(crate) by: Option<&'a str>,
    pub(crate) now: DateTime<Utc>,
}

impl Parking<'_> {
    /// The record in each of a job's write-backs whose match key has as many parts.
    /// Errors: there is none, or the time has come already.
    pub(crate) fn of_record(
        &self,
        job: &str,
        write_backs: &[&WriteBack],
        typed: &str,
    ) -> Result<Vec<Parked>, ParkingError> {
        if self.until.is_over(self.now) {
            return Err(ParkingError::AlreadyOver { until: self.until });
        }
        let parts = parts_of(typed).len();
        let fits = |write_back: &&&WriteBack| write_back.schema.key.len() == parts;
        let parked = |write_back: &&WriteBack| Parked {
            write_back: write_back.name.clone(),
            key: spelt(write_back, typed),
            until: self.until,
            reason: self.reason.to_owned(),
            parked_by: self.by.map(str::to_owned),
            parked_at: self.now,
            fingerprint: None,
        };
        let records: Vec<Parked> = write_backs.iter().filter(fits).map(parked).collect();
        match records.is_empty() {
            true => Err(ParkingError::NoSuchKey {
                key: typed.to_owned(),
                job: job.to_owned(),
                parts,
            }),
            false => Ok(records),
        }
    }
}

/// Those of a job's parked records that are the one whose key was typed, however it is spelt.
pub(crate) fn those_of(
    mut parked: Vec<Parked>,
    write_backs: &[&WriteBack],
    typed: &str,
) -> Vec<Parked> {
    let key = key_of(typed);
    parked.retain(|one| {
        let mut own = write_backs.iter();
        let own = own.find(|write_back| write_back.name == one.write_back);
        own.is_some_and(|own| KeyKinds::of_source(&own.schema).are_one(&one.key, &key))
    });
    parked
}

/// Why only a record that is rejected can have a key that was typed, if that is so in all of these
/// write-backs that have one of as many parts.
pub(crate) fn only_rejected(write_backs: &[&WriteBack], typed: &str) -> Option<String> {
    let parts = parts_of(typed);
    let fitting = write_backs
        .iter()
        .filter(|write_back| write_back.schema.key.len() == parts.len());
    let mut why = None;
    for write_back in fitting {
        let (column, reason) = conform::spelt_key(&write_back.schema, &parts).err()?;
        let (name, declared) = (&column.name, column.column_type);
        let told = format!("`{name}` is {declared}: {reason}");
        why.get_or_insert(told);
    }
    why
}

/// The key as reports tell it. One that is no value of the schema's types stays as it was typed: a
/// record that is rejected for it has it.
fn spelt(write_back: &WriteBack, typed: &str) -> String {
    conform::spelt_key(&write_back.schema, &parts_of(typed)).unwrap_or_else(|_| key_of(typed))
}

fn parts_of(typed: &str) -> Vec<String> {
    key_parts(typed).unwrap_or_else(|| vec![typed.to_owned()])
}

/// A record's match key as the program itself writes it, however the user quoted it.
pub(crate) fn key_of(typed: &str) -> String {
    let key = key_parts(typed).map(|parts| key_text(parts.iter().map(String::as_str)));
    key.unwrap_or_else(|| typed.to_owned())
}
