//! What became of a record, and the sums that must balance.

use std::fmt;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};
use strum::{EnumCount, VariantArray};

use super::doubt::Replay;
use super::request_fate::RequestFate;

/// How far a rejected record came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, EnumCount, VariantArray)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stage {
    /// The value is not what the schema declares.
    Schema,
    /// The destination's column cannot hold the value exactly.
    Mapping,
    /// The key is not unique, in the source or in the object.
    Match,
    /// The destination refused it.
    Destination,
}

impl Stage {
    pub(crate) const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Mapping => "mapping",
            Self::Match => "match",
            Self::Destination => "destination",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Why a record was left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SkipReason {
    NoMatch,
    AlreadyExists,
    /// Somebody changed what an earlier run wrote, which was to be taken back.
    ChangedSince,
    /// Somebody changed what was last written back, and the job says to keep that.
    Kept,
    /// A request wrote it since the records were pulled.
    WrittenAtOnce,
    /// The row is none of those that the write-back is limited to.
    Unfit,
    /// An earlier run made the row, and removing rows was not asked for.
    CreatedByRun,
    /// An earlier run made the row, or somebody else did while the run's batch was in doubt.
    CreatedInDoubt,
}

impl SkipReason {
    /// As reports write it.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::NoMatch => "no match",
            Self::AlreadyExists => "already exists",
            Self::ChangedSince => "changed since",
            Self::Kept => "kept: changed since it was last written back",
            Self::WrittenAtOnce => "kept: written by a request since it was pulled",
            Self::Unfit => "does not fit `only_where`",
            Self::CreatedByRun => "created by the run",
            Self::CreatedInDoubt => "it is not known whether the run made this row",
        }
    }
}

/// Why a record is rejected at stage `match`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RejectReason {
    /// The match key was found in several rows of the object.
    AmbiguousMatch { found: u64 },
    /// The match key occurs several times in the source.
    DuplicateKey { occurs: u64 },
}

impl fmt::Display for RejectReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AmbiguousMatch { found } => {
                write!(formatter, "the key matches {found} rows of the destination")
            }
            Self::DuplicateKey { occurs } => {
                write!(formatter, "the key occurs {occurs} times in the source")
            }
        }
    }
}

/// What is wrong with one column of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flaw {
    pub(crate) column: String,
    /// As [`Rejection::value`].
    pub(crate) value: Option<String>,
    pub(crate) reason: String,
}

/// A record that was not written, nor will be until it or the job changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// Position of the record in what was pulled, from 0.
    pub(crate) record: u64,
    /// The match key as [`super::record::key_text`] writes it; absent when it could not be read.
    pub(crate) key: Option<String>,
    pub(crate) stage: Stage,
    /// The source column (stage `schema`) or destination column (other stages) at fault, if it is
    /// one column.
    pub(crate) column: Option<String>,
    /// The source's value at fault as text, cut to [`FLAWED_VALUE_CHARACTERS_MAX`]; absent if it is
    /// NULL, or no single value is at fault.
    pub(crate) value: Option<String>,
    /// What is wrong with the value, never the value itself; or the destination's own words.
    pub(crate) reason: String,
    /// What is wrong with further columns of the record.
    pub(crate) others: Vec<Flaw>,
}

/// Characters of a value at fault that are kept: enough to see what is wrong with it, and few
/// enough that a million of them do no harm.
pub(crate) const FLAWED_VALUE_CHARACTERS_MAX: usize = 200;

/// What became of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Inserted,
    Updated,
    Unchanged,
    /// Equal to what was last delivered, so that nobody looked at the row: unchanged, as far as this
    /// program wrote it.
    AsWritten,
    /// A row that an earlier run had created was taken back.
    Deleted,
    Skipped(SkipReason),
    Rejected(Box<Rejection>),
}

impl Outcome {
    /// The outcome of a record whose batch was sent twice because nobody knew whether its first
    /// commit had held: what the first sending did (`first`) is what the run did, unless the record
    /// was written only now (`self`). Where there is no first before-image to tell, equality does,
    /// and a row that differs from what an insert writes was created by somebody else in the
    /// meantime.
    pub(crate) fn after_unknown_commit(self, first: &Self, replay: Replay) -> Self {
        let Replay::Compared { differs } = replay else {
            return if replay == Replay::Again {
                self
            } else {
                first.clone()
            };
        };
        match (first, self) {
            // What the first writing left out of the row, the second one finds kept; and it may
            // have made the row another than those that are written to.
            (
                Self::Updated,
                Self::Unchanged
                | Self::Skipped(SkipReason::Kept | SkipReason::WrittenAtOnce | SkipReason::Unfit),
            ) => Self::Updated,
            (Self::Deleted, Self::Skipped(SkipReason::NoMatch)) => Self::Deleted,
            (Self::Inserted, Self::Unchanged | Self::Skipped(SkipReason::AlreadyExists))
                if !differs =>
            {
                Self::Inserted
            }
            (_, second) => second,
        }
    }

    /// As reports write it, whatever the reason.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Inserted => "inserted",
            Self::Updated => "updated",
            Self::Unchanged | Self::AsWritten => "unchanged",
            Self::Deleted => "deleted",
            Self::Skipped(_) => SKIPPED,
            Self::Rejected(_) => "rejected",
        }
    }

    /// Why the record was left alone, if it was.
    pub(crate) fn skip_reason(&self) -> Option<SkipReason> {
        if let Self::Skipped(reason) = self {
            Some(*reason)
        } else {
            None
        }
    }

    /// Why the record was refused, if it was.
    pub(crate) fn rejection(&self) -> Option<&Rejection> {
        if let Self::Rejected(rejection) = self {
            Some(rejection)
        } else {
            None
        }
    }

    /// Whether the row holds what the record says.
    pub(crate) fn is_held(&self) -> bool {
        match self {
            Self::Inserted | Self::Updated | Self::Unchanged | Self::AsWritten => true,
            Self::Deleted | Self::Skipped(_) | Self::Rejected(_) => false,
        }
    }

    /// As what a request is answered that came to this.
    pub(crate) fn fate(&self) -> RequestFate {
        match self {
            Self::Inserted => RequestFate::Created,
            Self::Updated | Self::Deleted => RequestFate::Updated,
            Self::Unchanged | Self::AsWritten => RequestFate::Unchanged,
            Self::Skipped(SkipReason::ChangedSince) => RequestFate::Conflict,
            Self::Skipped(_) => RequestFate::Skipped,
            Self::Rejected(_) => RequestFate::Rejected,
        }
    }

    /// Whether the record's row became another.
    pub(crate) fn is_write(&self) -> bool {
        match self {
            Self::Inserted | Self::Updated | Self::Deleted => true,
            Self::Unchanged | Self::AsWritten | Self::Skipped(_) | Self::Rejected(_) => false,
        }
    }
}

/// Records that were left alone, for whatever reason.
pub(crate) const SKIPPED: &str = "skipped";

/// The term that only an undo has.
pub(crate) const DELETED: &str = "deleted";

/// How many records were read and what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) read: u64,
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) unchanged: u64,
    /// Of those unchanged, the ones that equal what was last delivered and were not looked up.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) as_written: u64,
    /// Only an undo deletes, and says so only then.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) deleted: u64,
    pub(crate) skipped: u64,
    pub(crate) rejected: u64,
}

impl Tally {
    /// Counts an outcome; `read` counts elsewhere, where records are read.
    pub(crate) fn count(&mut self, outcome: &Outcome) {
        self.as_written += u64::from(*outcome == Outcome::AsWritten);
        let bucket = match outcome {
            Outcome::Inserted => &mut self.inserted,
            Outcome::Updated => &mut self.updated,
            Outcome::Unchanged | Outcome::AsWritten => &mut self.unchanged,
            Outcome::Deleted => &mut self.deleted,
            Outcome::Skipped(_) => &mut self.skipped,
            Outcome::Rejected(_) => &mut self.rejected,
        };
        *bucket += 1;
    }

    /// How many records came to what, each of them once.
    pub(crate) fn terms(&self) -> [(u64, &'static str); 6] {
        [
            (self.inserted, "inserted"),
            (self.updated, "updated"),
            (self.unchanged, "unchanged"),
            (self.deleted, DELETED),
            (self.skipped, SKIPPED),
            (self.rejected, "rejected"),
        ]
    }

    /// Records that have an outcome.
    pub(crate) fn accounted(&self) -> u64 {
        self.terms().iter().map(|(records, _)| records).sum()
    }

    /// Whether every record read has exactly one outcome.
    pub(crate) fn balances(&self) -> bool {
        self.read == self.accounted()
    }
}

/// The sum as people read it, terms of zero left out: `10 000 read = 9 980 updated + 20 skipped`.
impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.terms().into_iter().filter(|(records, _)| *records > 0);
        let named: Vec<String> = named
            .map(|(records, name)| format!("{} {name}", grouped(records)))
            .collect();
        let right = if named.is_empty() {
            "0".to_owned()
        } else {
            named.join(" + ")
        };
        write!(formatter, "{} read = {right}", grouped(self.read))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(records: &u64) -> bool {
    *records == 0
}

/// A count with its thousands set apart: `10 000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.inserted += other.inserted;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.as_written += other.as_written;
        self.deleted += other.deleted;
        self.skipped += other.skipped;
        self.rejected += other.rejected;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_not_sent_again_counts_as_first_recorded_and_one_that_is_as_it_was_written_now()
     {
        let every = [
            Outcome::Inserted,
            Outcome::Updated,
            Outcome::Unchanged,
            Outcome::Deleted,
            Outcome::Skipped(SkipReason::NoMatch),
        ];
        for first in &every {
            for second in &every {
                assert_eq!(
                    &second.clone().after_unknown_commit(first, Replay::AsSent),
                    first
                );
                assert_eq!(
                    &second.clone().after_unknown_commit(first, Replay::Again),
                    second
                );
            }
        }
    }

    #[test]
    fn a_batch_written_twice_without_a_before_image_counts_as_its_first_writing_where_rows_are_equal()
     {
        let compared = |differs| Replay::Compared { differs };
        let twice =
            |first: &Outcome, second: Outcome| second.after_unknown_commit(first, compared(false));
        assert_eq!(
            twice(&Outcome::Updated, Outcome::Unchanged),
            Outcome::Updated
        );
        assert_eq!(
            twice(&Outcome::Updated, Outcome::Skipped(SkipReason::Kept)),
            Outcome::Updated
        );
        assert_eq!(
            twice(
                &Outcome::Inserted,
                Outcome::Skipped(SkipReason::AlreadyExists)
            ),
            Outcome::Inserted
        );
        let gone = Outcome::Skipped(SkipReason::NoMatch);
        assert_eq!(twice(&Outcome::Deleted, gone.clone()), Outcome::Deleted);
        assert_eq!(twice(&Outcome::Updated, gone.clone()), gone);
        let exists = Outcome::Skipped(SkipReason::AlreadyExists);
        assert_eq!(
            exists
                .clone()
                .after_unknown_commit(&Outcome::Inserted, compared(true)),
            exists
        );
        assert_eq!(
            twice(&Outcome::Unchanged, Outcome::Updated),
            Outcome::Updated
        );
        assert_eq!(
            twice(&Outcome::Unchanged, Outcome::Unchanged),
            Outcome::Unchanged
        );
    }

    #[test]
    fn a_tally_balances_only_when_every_record_has_an_outcome() {
        let mut tally = Tally {
            read: 2,
            ..Tally::default()
        };
        tally.count(&Outcome::Updated);
        assert!(!tally.balances());
        tally.count(&Outcome::Skipped(SkipReason::NoMatch));
        assert!(tally.balances());
        tally.count(&Outcome::Inserted);
        assert!(!tally.balances(), "one record has two outcomes");
    }

    #[test]
    fn tallies_add_up_count_by_count_and_are_told_without_their_zeros() {
        let mut tally = Tally {
            read: 1_011,
            inserted: 1,
            updated: 10,
            unchanged: 1_000,
            ..Tally::default()
        };
        assert_eq!(
            tally.to_string(),
            "1 011 read = 1 inserted + 10 updated + 1 000 unchanged"
        );
        tally += Tally {
            read: 18,
            inserted: 2,
            updated: 2,
            unchanged: 2,
            as_written: 1,
            deleted: 4,
            skipped: 3,
            rejected: 5,
        };
        let sum = Tally {
            read: 1_029,
            inserted: 3,
            updated: 12,
            unchanged: 1_002,
            as_written: 1,
            deleted: 4,
            skipped: 3,
            rejected: 5,
        };
        assert_eq!(tally, sum);
        assert!(tally.balances());
        assert_eq!(Tally::default().to_string(), "0 read = 0");
    }
}
