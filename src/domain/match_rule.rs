//! The match rule: what a write-back may do in its object, and what follows for one record.

use strum::{EnumCount, VariantArray};

use super::outcome::{RejectReason, SkipReason};

/// What a write-back may do in its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, EnumCount, VariantArray)]
pub(crate) enum MatchMode {
    /// Writes only what is already there; the default.
    #[default]
    UpdateOnly,
    /// Updates what is there and creates what is not.
    Upsert,
    /// Creates what is not there and leaves the rest alone.
    CreateOnly,
}

/// What a run means to do with a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Insert,
    Update,
    /// The row already holds the values: nothing is sent.
    Leave,
    /// Only an undo removes rows, those that the run it undoes had created.
    Delete,
    Skip(SkipReason),
    Reject(RejectReason),
}

impl Decision {
    /// Whether the record's row becomes another.
    pub(crate) fn is_write(&self) -> bool {
        match self {
            Self::Insert | Self::Update | Self::Delete => true,
            Self::Leave | Self::Skip(_) | Self::Reject(_) => false,
        }
    }
}

impl MatchMode {
    pub(crate) const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    /// As job files write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::UpdateOnly => "update_only",
            Self::Upsert => "upsert",
            Self::CreateOnly => "create_only",
        }
    }

    pub(crate) fn updates(self) -> bool {
        matches!(self, Self::UpdateOnly | Self::Upsert)
    }

    pub(crate) fn inserts(self) -> bool {
        matches!(self, Self::CreateOnly | Self::Upsert)
    }

    /// Decides what happens to a record whose match key was found `found` times in the object,
    /// `differs` telling whether the one row found holds other values and `is_unfit` whether it is none
    /// of those that the write-back is limited to. Two or more matches are
    /// never guessed between, whatever the mode.
    pub(crate) fn decide(self, found: u64, differs: bool, is_unfit: bool) -> Decision {
        match (self, found) {
            (Self::UpdateOnly | Self::Upsert, 1) if is_unfit => Decision::Skip(SkipReason::Unfit),
            (Self::UpdateOnly | Self::Upsert, 1) if differs => Decision::Update,
            (Self::UpdateOnly | Self::Upsert, 1) => Decision::Leave,
            (Self::CreateOnly | Self::Upsert, 0) => Decision::Insert,
            (Self::UpdateOnly, 0) => Decision::Skip(SkipReason::NoMatch),
            (Self::CreateOnly, 1) => Decision::Skip(SkipReason::AlreadyExists),
            (_, 2..) => Decision::Reject(RejectReason::AmbiguousMatch { found }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_match_is_updated_only_when_it_differs() {
        assert_eq!(
            MatchMode::UpdateOnly.decide(1, true, false),
            Decision::Update
        );
        assert_eq!(MatchMode::Upsert.decide(1, false, false), Decision::Leave);
    }

    #[test]
    fn update_only_never_inserts() {
        for differs in [true, false] {
            assert_eq!(
                MatchMode::UpdateOnly.decide(0, differs, false),
                Decision::Skip(SkipReason::NoMatch)
            );
        }
    }

    #[test]
    fn what_is_missing_is_inserted_where_that_is_asked_for() {
        for differs in [true, false] {
            assert_eq!(
                MatchMode::Upsert.decide(0, differs, false),
                Decision::Insert
            );
            assert_eq!(
                MatchMode::CreateOnly.decide(0, differs, false),
                Decision::Insert
            );
        }
    }

    #[test]
    fn create_only_never_updates() {
        for differs in [true, false] {
            assert_eq!(
                MatchMode::CreateOnly.decide(1, differs, false),
                Decision::Skip(SkipReason::AlreadyExists)
            );
        }
    }

    #[test]
    fn two_matches_are_refused_in_every_mode() {
        for mode in MatchMode::ALL {
            assert_eq!(
                mode.decide(2, true, false),
                Decision::Reject(RejectReason::AmbiguousMatch { found: 2 })
            );
        }
    }

    #[test]
    fn a_row_that_the_write_back_is_not_about_is_left_alone_and_not_doubled() {
        for mode in [MatchMode::UpdateOnly, MatchMode::Upsert] {
            assert_eq!(
                mode.decide(1, true, true),
                Decision::Skip(SkipReason::Unfit)
            );
        }
        assert_eq!(
            MatchMode::UpdateOnly.decide(2, true, true),
            Decision::Reject(RejectReason::AmbiguousMatch { found: 2 })
        );
    }
}
