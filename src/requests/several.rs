//! Requests about a write-back that has several destinations: each of them is written by a request
//! of its own, at the same time as the others and whatever becomes of these, and one answer tells
//! of all.

use std::sync::Arc;

use axum::http::StatusCode;
use chrono::Utc;
use futures_util::future::join_all;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tracing::warn;

use super::answer::{Answered, DestinationAnswer, Refused, word};
use super::body::ReadChange;
use super::desk::{Desk, From, TURN_WAIT_MAX, TakenIn, answer_of, broken, busy, random_id, unkept};
use crate::config::CheckedJob;
use crate::domain::error::chain;
use crate::domain::job::WriteBack;
use crate::domain::printable::hexadecimal;
use crate::domain::real_time::RequestFate;
use crate::ledger::{LedgerError, PartFate, RequestOfSeveral, RequestPart};
use crate::run::real_time::{expect_writable, hold_request_key};

/// What an address names: a write-back, or those of one `[[write_back]]` into several destinations.
#[derive(Debug, Clone)]
pub(super) struct Addressed {
    job: Arc<CheckedJob>,
    positions: Vec<usize>,
    pub(super) is_several: bool,
}

impl Addressed {
    /// `None`: there is none that is called so.
    pub(super) fn of(job: &Arc<CheckedJob>, name: &str) -> Option<Self> {
        let find = |is_it: &dyn Fn(&WriteBack) -> bool| {
            let all = job.job.write_backs.iter().enumerate();
            let found = all.filter(|(_, one)| is_it(one));
            found.map(|(position, _)| position).collect::<Vec<usize>>()
        };
        let alone = find(&|one| one.name == name);
        let several = find(&|one| one.common_name.as_deref() == Some(name));
        let (positions, is_several) = match alone.is_empty() {
            true => (several, true),
            false => (alone, false),
        };
        (!positions.is_empty()).then(|| Self {
            job: Arc::clone(job),
            positions,
            is_several,
        })
    }

    /// At least one.
    pub(super) fn write_backs(&self) -> impl Iterator<Item = &WriteBack> {
        let all = &self.job.job.write_backs;
        self.positions
            .iter()
            .filter_map(|position| all.get(*position))
    }

    /// What of a change is for each destination that takes anything of it.
    fn parts(&self, change: &ReadChange) -> Vec<Part> {
        let part = |write_back: &WriteBack| {
            let mut change = change.clone();
            change
                .values
                .retain(|column, _| expect_writable(write_back, column).is_ok());
            let values = &change.values;
            change
                .expected
                .retain(|column, _| values.contains_key(column));
            (!values.is_empty()).then(|| Part {
                write_back: write_back.name.clone(),
                destination: write_back.destination.clone(),
                object: write_back.table.to_string(),
                change,
            })
        };
        self.write_backs().filter_map(part).collect()
    }
}

/// A change as it is for one destination.
#[derive(Clone)]
struct Part {
    write_back: String,
    destination: String,
    object: String,
    change: ReadChange,
}

impl Part {
    fn with(&self, fate: PartFate) -> RequestPart {
        RequestPart {
            destination: self.destination.clone(),
            object: self.object.clone(),
            fate,
        }
    }
}

impl Desk {
    /// Carries a change out at several destinations, or accepts it for later.
    /// Errors: nothing of it was begun.
    pub(super) async fn take_several(
        self: &Arc<Self>,
        job: &str,
        named: &Addressed,
        change: ReadChange,
        from: From,
    ) -> Result<TakenIn, Refused> {
        let parts = named.parts(&change);
        let places = self.places(parts.len())?;
        let work = Arc::clone(self).carry_out_several(job.to_owned(), parts, places, change, from);
        // Whoever asked may be gone: what has begun is brought to an end all the same.
        tokio::spawn(work).await.unwrap_or_else(|_| Err(broken()))
    }

    async fn carry_out_several(
        self: Arc<Self>,
        job: String,
        parts: Vec<Part>,
        places: Vec<OwnedSemaphorePermit>,
        change: ReadChange,
        from: From,
    ) -> Result<TakenIn, Refused> {
        let _held = match &from.idempotency_key {
            None => None,
            Some(key) => {
                let held = timeout(TURN_WAIT_MAX, hold_request_key(&from.caller, key)).await;
                Some(held.map_err(|_| busy("the same request is still being carried out"))?)
            }
        };
        let recorded = self.begin_several(&job, &parts, &change, &from).await?;
        let begun = recorded.parts.iter().zip(parts.iter().zip(places));
        let works = begun.map(|(recorded, (part, place))| {
            let key = from.idempotency_key.as_ref();
            let from = From {
                idempotency_key: key.map(|key| format!("{key}\n{}", part.write_back)),
                id: match &recorded.fate {
                    PartFate::Request(id) => Some(id.clone()),
                    PartFate::Refused { .. } => None,
                },
                ..from.clone()
            };
            self.carry_out_part(&job, part, place, from)
        });
        let taken = join_all(works).await;
        let fate = |taken: &Result<TakenIn, Refused>| match taken {
            Ok(TakenIn::Accepted(id)) => PartFate::Request(id.clone()),
            Ok(TakenIn::Answered(answered)) => PartFate::Request(answered.id.clone()),
            Err(refused) => refused.part(),
        };
        let ended = parts.iter().zip(&taken);
        let ended = ended.map(|(part, taken)| part.with(fate(taken)));
        let ended = RequestOfSeveral {
            parts: ended.collect(),
            ..recorded.clone()
        };
        if ended != recorded
            && let Err(error) = self.ledger().record_several(&ended, Utc::now()).await
        {
            // What is asked for by its id is then told as not begun, which it was not.
            warn!(
                error = chain(&error).join(": "),
                "the ledger cannot be written"
            );
        }
        if from.is_accepted {
            return Ok(TakenIn::Accepted(ended.id));
        }
        let told = ended.parts.iter().zip(taken).map(|(part, taken)| {
            told(
                part,
                match taken {
                    Ok(TakenIn::Answered(answered)) => Some(answered),
                    Ok(TakenIn::Accepted(_)) | Err(_) => None,
                },
            )
        });
        Ok(TakenIn::Answered(composed(&ended, told.collect())))
    }

    /// Records which requests are about to be made. Of one that its caller made before, parts that
    /// were carried out keep their requests.
    async fn begin_several(
        &self,
        job: &str,
        parts: &[Part],
        change: &ReadChange,
        from: &From,
    ) -> Result<RequestOfSeveral, Refused> {
        let names = parts.iter().map(|part| part.write_back.as_str());
        let asked =
            json!({ "job": job, "write_backs": names.collect::<Vec<_>>(), "change": change });
        let digest = hexadecimal(&Sha256::digest(asked.to_string()));
        let ledger = self.ledger();
        let known = match &from.idempotency_key {
            None => None,
            Some(key) => ledger
                .several_keyed(&from.caller, key)
                .await
                .map_err(|error| unkept(&error))?,
        };
        if known.as_ref().is_some_and(|known| known.digest != digest) {
            let title = "the `Idempotency-Key` was used for another request";
            let hint = "take a new key for each change; the same one asks for the same answer";
            return Err(Refused::new(StatusCode::CONFLICT, title).hint(hint));
        }
        let mut begun = Vec::with_capacity(parts.len());
        for (position, part) in parts.iter().enumerate() {
            let before = known.as_ref().and_then(|known| known.parts.get(position));
            let before = match before.map(|before| &before.fate) {
                Some(PartFate::Request(id)) => ledger
                    .record_request(id)
                    .await
                    .map_err(|error| unkept(&error))?,
                Some(PartFate::Refused { .. }) | None => None,
            };
            let not_written = word(RequestFate::NotWritten);
            let stands = before
                .filter(|request| !request.has_ended || answer_of(request).outcome != not_written);
            begun.push(part.with(PartFate::Request(match stands {
                Some(request) => request.id,
                None => random_id()?,
            })));
        }
        let id = match known {
            Some(known) => known.id,
            None => random_id()?,
        };
        let key = change.key.values().map(String::as_str);
        let several = RequestOfSeveral {
            id,
            caller: from.caller.clone(),
            idempotency_key: from.idempotency_key.clone(),
            digest,
            record: key.collect::<Vec<_>>().join(","),
            parts: begun,
        };
        let recorded = ledger.record_several(&several, Utc::now()).await;
        recorded.map_err(|error| unkept(&error))?;
        Ok(several)
    }

    async fn carry_out_part(
        self: &Arc<Self>,
        job: &str,
        part: &Part,
        place: OwnedSemaphorePermit,
        from: From,
    ) -> Result<TakenIn, Refused> {
        let change = part.change.clone();
        let ready = self.ready(job, &part.write_back, change, place).await?;
        self.take_ready(ready, from).await
    }

    /// What became of a request about several destinations, and whether all of it is known.
    pub(super) async fn told_of_several(
        &self,
        several: &RequestOfSeveral,
    ) -> Result<(Answered, bool), LedgerError> {
        let mut is_settled = true;
        let mut all = Vec::with_capacity(several.parts.len());
        for part in &several.parts {
            let request = match &part.fate {
                PartFate::Request(id) => self.ledger().record_request(id).await?,
                PartFate::Refused { .. } => None,
            };
            is_settled &= request.as_ref().is_none_or(|request| request.has_ended);
            all.push(told(part, request.as_ref().map(answer_of)));
        }
        Ok((composed(several, all), is_settled))
    }
}

/// What became of one part, and how long it took.
fn told(part: &RequestPart, answered: Option<Answered>) -> (DestinationAnswer, u64) {
    let own = |outcome, status| DestinationAnswer {
        destination: part.destination.clone(),
        object: part.object.clone(),
        outcome,
        status: Some(status),
        ..DestinationAnswer::default()
    };
    let not_written = |status, reason: &str, hint: Option<String>| DestinationAnswer {
        reason: Some(reason.to_owned()),
        hint,
        ..own(word(RequestFate::NotWritten), status)
    };
    match (answered, &part.fate) {
        (Some(answered), _) => {
            let own = own(answered.outcome, answered.status);
            let one = answered.destinations.into_iter().next();
            let one = one.unwrap_or_default();
            let told = DestinationAnswer {
                destination: own.destination,
                object: match one.object.is_empty() {
                    true => own.object,
                    false => one.object,
                },
                outcome: own.outcome,
                status: own.status,
                run: answered.run,
                request: Some(answered.id),
                reason: one.reason.or(answered.title),
                hint: answered.hint,
                ..one
            };
            (told, answered.milliseconds)
        }
        (
            None,
            PartFate::Refused {
                status,
                title,
                hint,
            },
        ) => (not_written(*status, title, hint.clone()), 0),
        (None, PartFate::Request(_)) => {
            let reason = "it was not begun, or it is forgotten";
            (
                not_written(RequestFate::NotWritten.status(), reason, None),
                0,
            )
        }
    }
}

/// One answer for all destinations.
fn composed(several: &RequestOfSeveral, all: Vec<(DestinationAnswer, u64)>) -> Answered {
    let milliseconds = all.iter().map(|(_, milliseconds)| *milliseconds).max();
    let destinations: Vec<DestinationAnswer> = all.into_iter().map(|(told, _)| told).collect();
    let told = destinations.iter();
    let told = told.map(|one| (one.status.unwrap_or_default(), one.outcome.as_str()));
    let (status, outcome) = overall(&told.collect::<Vec<_>>());
    let title = match status {
        200 => None,
        504 => Some("it is not known yet whether it was written".to_owned()),
        _ => Some("nothing was written".to_owned()),
    };
    let hint = (status == 504)
        .then(|| format!("it is being settled: ask `GET /v1/outcomes/{}`", several.id));
    Answered {
        status,
        outcome,
        id: several.id.clone(),
        record: several.record.clone(),
        run: None,
        milliseconds: milliseconds.unwrap_or_default(),
        title,
        hint,
        destinations,
    }
}

/// Statuses that tell of no success, the one that counts most first: what is not known, what the
/// caller can mend, what it can only wait for, and what is not there.
const WORST_FIRST: [u16; 6] = [504, 409, 422, 429, 502, 503];

/// Status and outcome of all destinations together: a success if one of them holds what was asked
/// for.
fn overall(all: &[(u16, &str)]) -> (u16, String) {
    let succeeded = all.iter().filter(|(status, _)| *status == 200);
    let outcomes: Vec<&str> = succeeded.map(|(_, outcome)| *outcome).collect();
    if outcomes.is_empty() {
        let worst = WORST_FIRST
            .iter()
            .find_map(|worst| all.iter().find(|(status, _)| status == worst));
        let (status, outcome) = worst.or(all.first()).copied().unwrap_or((404, "skipped"));
        return (status, outcome.to_owned());
    }
    if outcomes.len() < all.len() {
        return (200, "partly".to_owned());
    }
    let changed = ["updated", "created", "unchanged"];
    let outcome = changed.into_iter().find(|word| outcomes.contains(word));
    (200, outcome.unwrap_or("unchanged").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_destination_that_holds_it_is_a_success_and_otherwise_what_is_not_known_counts() {
        for (all, told) in [
            (
                &[(200, "updated"), (200, "unchanged")][..],
                (200, "updated"),
            ),
            (&[(200, "unchanged"), (200, "created")], (200, "created")),
            (
                &[(200, "unchanged"), (200, "unchanged")],
                (200, "unchanged"),
            ),
            (&[(502, "not_written"), (200, "unchanged")], (200, "partly")),
            (&[(504, "unknown"), (200, "updated")], (200, "partly")),
            (&[(502, "not_written"), (504, "unknown")], (504, "unknown")),
            (&[(404, "skipped"), (422, "rejected")], (422, "rejected")),
            (
                &[(404, "skipped"), (502, "not_written")],
                (502, "not_written"),
            ),
            (&[(404, "skipped"), (404, "skipped")], (404, "skipped")),
        ] {
            assert_eq!(overall(all), (told.0, told.1.to_owned()), "{all:?}");
        }
    }
}
