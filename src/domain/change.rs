//! Changes: what a statement does with a row.

/// What a statement is to do with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Update,
    Insert,
    Delete,
}

impl Change {
    /// Why a record is rejected whose row the database did not change so, without an error of its
    /// own; `hindrances` are what of the object may keep it from that: ``trigger `guard` ``.
    pub(crate) fn left_undone(self, hindrances: &[String]) -> String {
        let what = match self {
            Self::Update => "the database left the row as it was",
            Self::Insert => "the database made no row that can be found",
            Self::Delete => "the database did not delete the row",
        };
        match hindrances {
            [] => what.to_owned(),
            [one] => format!("{what}: {one}"),
            several => format!("{what}: one of {}", several.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_undone_is_told_with_what_may_have_kept_it() {
        assert_eq!(
            Change::Insert.left_undone(&[]),
            "the database made no row that can be found"
        );
        let guard = "trigger `guard`".to_owned();
        let told = Change::Update.left_undone(std::slice::from_ref(&guard));
        assert_eq!(told, "the database left the row as it was: trigger `guard`");
        let told = Change::Delete.left_undone(&[guard, "row-level security".to_owned()]);
        assert_eq!(
            told,
            "the database did not delete the row: one of trigger `guard`, row-level security"
        );
    }
}
