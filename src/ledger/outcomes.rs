//! A batch's outcomes as the ledger keeps them: one byte a record, in the batch's order. What a
//! rejected record's byte cannot say stands in the table of rejections.

use crate::domain::outcome::{Outcome, Rejection, SkipReason};

/// What one byte says. The numbers are in every ledger: they are added to, never changed. No release
/// ever wrote 10 or 11, which were kept free for work that came to need none; they stay unused, so
/// that a ledger that holds one is known to be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    Inserted,
    Updated,
    Unchanged,
    NoMatch,
    AlreadyExists,
    Rejected,
    Deleted,
    ChangedSince,
    CreatedByRun,
    Kept,
    CreatedInDoubt,
    AsWritten,
    WrittenAtOnce,
    Unfit,
}

impl From<Code> for u8 {
    fn from(code: Code) -> Self {
        match code {
            Code::Inserted => 1,
            Code::Updated => 2,
            Code::Unchanged => 3,
            Code::NoMatch => 4,
            Code::AlreadyExists => 5,
            Code::Rejected => 6,
            Code::Deleted => 7,
            Code::ChangedSince => 8,
            Code::CreatedByRun => 9,
            Code::Kept => 12,
            Code::CreatedInDoubt => 13,
            Code::AsWritten => 14,
            Code::WrittenAtOnce => 15,
            Code::Unfit => 16,
        }
    }
}

impl TryFrom<u8> for Code {
    type Error = String;

    fn try_from(byte: u8) -> Result<Self, Self::Error> {
        Ok(match byte {
            1 => Self::Inserted,
            2 => Self::Updated,
            3 => Self::Unchanged,
            4 => Self::NoMatch,
            5 => Self::AlreadyExists,
            6 => Self::Rejected,
            7 => Self::Deleted,
            8 => Self::ChangedSince,
            9 => Self::CreatedByRun,
            12 => Self::Kept,
            13 => Self::CreatedInDoubt,
            14 => Self::AsWritten,
            15 => Self::WrittenAtOnce,
            16 => Self::Unfit,
            other => return Err(format!("no outcome has the code {other}")),
        })
    }
}

impl Code {
    fn skip_reason(self) -> Option<SkipReason> {
        match self {
            Self::NoMatch => Some(SkipReason::NoMatch),
            Self::AlreadyExists => Some(SkipReason::AlreadyExists),
            Self::ChangedSince => Some(SkipReason::ChangedSince),
            Self::CreatedByRun => Some(SkipReason::CreatedByRun),
            Self::Kept => Some(SkipReason::Kept),
            Self::CreatedInDoubt => Some(SkipReason::CreatedInDoubt),
            Self::WrittenAtOnce => Some(SkipReason::WrittenAtOnce),
            Self::Unfit => Some(SkipReason::Unfit),
            Self::Inserted
            | Self::Updated
            | Self::Unchanged
            | Self::AsWritten
            | Self::Deleted
            | Self::Rejected => None,
        }
    }
}

impl From<&Outcome> for Code {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Inserted => Self::Inserted,
            Outcome::Updated => Self::Updated,
            Outcome::Unchanged => Self::Unchanged,
            Outcome::AsWritten => Self::AsWritten,
            Outcome::Skipped(SkipReason::NoMatch) => Self::NoMatch,
            Outcome::Skipped(SkipReason::AlreadyExists) => Self::AlreadyExists,
            Outcome::Skipped(SkipReason::ChangedSince) => Self::ChangedSince,
            Outcome::Skipped(SkipReason::CreatedByRun) => Self::CreatedByRun,
            Outcome::Skipped(SkipReason::Kept) => Self::Kept,
            Outcome::Skipped(SkipReason::CreatedInDoubt) => Self::CreatedInDoubt,
            Outcome::Skipped(SkipReason::WrittenAtOnce) => Self::WrittenAtOnce,
            Outcome::Skipped(SkipReason::Unfit) => Self::Unfit,
            Outcome::Deleted => Self::Deleted,
            Outcome::Rejected(_) => Self::Rejected,
        }
    }
}

pub(super) fn encode(outcomes: &[Outcome]) -> Vec<u8> {
    outcomes
        .iter()
        .map(|outcome| Code::from(outcome).into())
        .collect()
}

/// Shape: one byte a record, and the rejected records with their places in the batch, ascending;
/// one outcome a byte out. Errors: a byte that is no code, a rejected record without its rejection,
/// or a rejection without its record.
pub(crate) fn decode(
    bytes: &[u8],
    rejections: Vec<(u32, Rejection)>,
) -> Result<Vec<Outcome>, String> {
    let mut rejections = rejections.into_iter();
    let outcomes = (0..).zip(bytes).map(|(index, byte)| {
        Ok(match Code::try_from(*byte)? {
            Code::Inserted => Outcome::Inserted,
            Code::Updated => Outcome::Updated,
            Code::Unchanged => Outcome::Unchanged,
            Code::AsWritten => Outcome::AsWritten,
            Code::NoMatch => Outcome::Skipped(SkipReason::NoMatch),
            Code::AlreadyExists => Outcome::Skipped(SkipReason::AlreadyExists),
            Code::ChangedSince => Outcome::Skipped(SkipReason::ChangedSince),
            Code::CreatedByRun => Outcome::Skipped(SkipReason::CreatedByRun),
            Code::Kept => Outcome::Skipped(SkipReason::Kept),
            Code::CreatedInDoubt => Outcome::Skipped(SkipReason::CreatedInDoubt),
            Code::WrittenAtOnce => Outcome::Skipped(SkipReason::WrittenAtOnce),
            Code::Unfit => Outcome::Skipped(SkipReason::Unfit),
            Code::Deleted => Outcome::Deleted,
            Code::Rejected => match rejections.next() {
                Some((at, rejection)) if at == index => Outcome::Rejected(Box::new(rejection)),
                Some(_) | None => {
                    return Err(format!(
                        "the reason why record {index} of a batch is rejected is missing"
                    ));
                }
            },
        })
    });
    let outcomes = outcomes.collect::<Result<Vec<Outcome>, String>>()?;
    match rejections.next() {
        None => Ok(outcomes),
        Some((at, _)) => Err(format!("record {at} of a batch is rejected and is not")),
    }
}

/// Why records were skipped, one after the other.
/// Errors: a byte that is no code.
pub(super) fn skip_reasons(bytes: &[u8]) -> impl Iterator<Item = Result<SkipReason, String>> {
    bytes.iter().filter_map(|byte| match Code::try_from(*byte) {
        Ok(code) => code.skip_reason().map(Ok),
        Err(error) => Some(Err(error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::outcome::Stage;

    fn rejection() -> Rejection {
        Rejection {
            record: 7,
            key: None,
            stage: Stage::Destination,
            column: None,
            value: None,
            reason: "no".to_owned(),
            others: Vec::new(),
        }
    }

    fn every_outcome() -> Vec<Outcome> {
        vec![
            Outcome::Skipped(SkipReason::AlreadyExists),
            Outcome::Rejected(Box::new(rejection())),
            Outcome::Inserted,
            Outcome::Updated,
            Outcome::Unchanged,
            Outcome::Skipped(SkipReason::NoMatch),
            Outcome::Deleted,
            Outcome::Skipped(SkipReason::ChangedSince),
            Outcome::Skipped(SkipReason::CreatedByRun),
            Outcome::Skipped(SkipReason::Kept),
            Outcome::Skipped(SkipReason::CreatedInDoubt),
            Outcome::AsWritten,
            Outcome::Skipped(SkipReason::WrittenAtOnce),
            Outcome::Skipped(SkipReason::Unfit),
        ]
    }

    #[test]
    fn outcomes_survive_being_kept() {
        let bytes = encode(&every_outcome());
        assert_eq!(bytes, [5, 6, 1, 2, 3, 4, 7, 8, 9, 12, 13, 14, 15, 16]);
        assert_eq!(decode(&bytes, vec![(1, rejection())]), Ok(every_outcome()));
    }

    #[test]
    fn bytes_and_rejections_that_disagree_are_noticed() {
        assert!(decode(&[0], Vec::new()).is_err());
        assert!(decode(&[1, 6], Vec::new()).is_err());
        assert!(decode(&[1, 6], vec![(0, rejection())]).is_err());
        assert!(decode(&[1], vec![(0, rejection())]).is_err());
    }
}
