//! Parking records: which of a job's write-backs know a key, and until when they are left alone.

use chrono::{DateTime, Utc};

use crate::domain::counted::counted;
use crate::domain::job::WriteBack;
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
        let parts = key_parts(typed).map_or(1, |parts| parts.len());
        let fits = |write_back: &&&WriteBack| write_back.schema.key.len() == parts;
        let parked = |write_back: &&WriteBack| Parked {
            write_back: write_back.name.clone(),
            key: key_of(typed),
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

/// A record's match key as the program itself writes it, however the user quoted it.
pub(crate) fn key_of(typed: &str) -> String {
    let key = key_parts(typed).map(|parts| key_text(parts.iter().map(String::as_str)));
    key.unwrap_or_else(|| typed.to_owned())
}
