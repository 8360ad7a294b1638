//! A batch's outcomes as the ledger keeps them: one byte a record, in the batch's order. What a
//! rejected record's byte cannot say stands in the table of rejections.

use sqlx::sqlite::SqliteRow;
use strum::{EnumCount, VariantArray};

use super::codec::count;
use super::error::Answer;
use crate::domain::outcome::{Outcome, Rejection, SkipReason, Tally};

/// What one byte says. The numbers are in every ledger: they are added to, never changed. No release
/// ever wrote 10 or 11, which were kept free for work that came to need none; they stay unused, so
/// that a ledger that holds one is known to be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumCount, VariantArray)]
#[repr(u8)]
enum Code {
    Inserted = 1,
    Updated = 2,
    Unchanged = 3,
    NoMatch = 4,
    AlreadyExists = 5,
    Rejected = 6,
    Deleted = 7,
    ChangedSince = 8,
    CreatedByRun = 9,
    Kept = 12,
    CreatedInDoubt = 13,
    AsWritten = 14,
    WrittenAtOnce = 15,
    Unfit = 16,
}

impl TryFrom<u8> for Code {
    type Error = String;

    fn try_from(byte: u8) -> Result<Self, Self::Error> {
        let known = Self::ALL.into_iter().find(|code| *code as u8 == byte);
        known.ok_or_else(|| format!("no outcome has the code {byte}"))
    }
}

impl Code {
    const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    /// The outcome that it says; `None` for a rejected record, whose rejection stands elsewhere.
    fn outcome(self) -> Option<Outcome> {
        Some(match self {
            Self::Inserted => Outcome::Inserted,
            Self::Updated => Outcome::Updated,
            Self::Unchanged => Outcome::Unchanged,
            Self::AsWritten => Outcome::AsWritten,
            Self::Deleted => Outcome::Deleted,
            Self::NoMatch => Outcome::Skipped(SkipReason::NoMatch),
            Self::AlreadyExists => Outcome::Skipped(SkipReason::AlreadyExists),
            Self::ChangedSince => Outcome::Skipped(SkipReason::ChangedSince),
            Self::CreatedByRun => Outcome::Skipped(SkipReason::CreatedByRun),
            Self::Kept => Outcome::Skipped(SkipReason::Kept),
            Self::CreatedInDoubt => Outcome::Skipped(SkipReason::CreatedInDoubt),
            Self::WrittenAtOnce => Outcome::Skipped(SkipReason::WrittenAtOnce),
            Self::Unfit => Outcome::Skipped(SkipReason::Unfit),
            Self::Rejected => return None,
        })
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

/// The counts of a tally by the columns that keep them, beside how many records there are.
pub(super) fn counts(tally: &Tally) -> [(&'static str, u64); 7] {
    let Tally {
        read: _,
        inserted,
        updated,
        unchanged,
        as_written,
        deleted,
        skipped,
        rejected,
    } = *tally;
    [
        ("inserted", inserted),
        ("updated", updated),
        ("unchanged", unchanged),
        ("as_written", as_written),
        ("deleted", deleted),
        ("skipped", skipped),
        ("rejected", rejected),
    ]
}

/// The columns of [`counts`].
pub(super) fn columns() -> [&'static str; 7] {
    counts(&Tally::default()).map(|(column, _)| column)
}

/// How a write-back's rejections are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejections {
    /// One by one.
    Each,
    /// As they were when the write-back was finished, if it is.
    AsCounted,
}

/// Columns that a write-back `w`, joined with its batches `b`, sums to: those of a tally. Records
/// that were left alone before they came into a batch are skipped ones, and rejections stand in a
/// table of their own.
pub(super) fn sums(rejections: Rejections) -> String {
    let sum = |column: &str| match column {
        "skipped" => "coalesce(sum(b.skipped), 0) + (SELECT count(*) FROM left_alone \
                       WHERE left_alone.write_back = w.write_back)"
            .to_owned(),
        "rejected" => {
            let each =
                "(SELECT count(*) FROM rejections WHERE rejections.write_back = w.write_back)";
            match rejections {
                Rejections::Each => each.to_owned(),
                Rejections::AsCounted => format!("coalesce(w.rejected_in_all, {each})"),
            }
        }
        column => format!("coalesce(sum(b.{column}), 0)"),
    };
    let sums = columns().map(|column| format!("{} AS {column}", sum(column)));
    format!("coalesce(w.read, 0) AS read, {}", sums.join(", "))
}

/// The counts of a row; `read` names the column that holds how many records there are.
pub(super) fn tally_in(row: &SqliteRow, read: &str) -> Answer<Tally> {
    Ok(Tally {
        read: count(row, read)?,
        inserted: count(row, "inserted")?,
        updated: count(row, "updated")?,
        unchanged: count(row, "unchanged")?,
        as_written: count(row, "as_written")?,
        deleted: count(row, "deleted")?,
        skipped: count(row, "skipped")?,
        rejected: count(row, "rejected")?,
    })
}

pub(super) fn encode(outcomes: &[Outcome]) -> Vec<u8> {
    outcomes
        .iter()
        .map(|outcome| Code::from(outcome) as u8)
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
        if let Some(outcome) = Code::try_from(*byte)?.outcome() {
            return Ok(outcome);
        }
        match rejections.next() {
            Some((at, rejection)) if at == index => Ok(Outcome::Rejected(Box::new(rejection))),
            Some(_) | None => Err(format!(
                "the reason why record {index} of a batch is rejected is missing"
            )),
        }
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
        Ok(code) => code.outcome()?.skip_reason().map(Ok),
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
