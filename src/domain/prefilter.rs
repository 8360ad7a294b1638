//! Reading a destination's rows in the order of their keys before records are looked up: records
//! whose row holds the very same values are unchanged, and need no look-up. It never decides a
//! write: whatever it cannot tell for sure is looked up as ever. Here stands of which write-backs it
//! may tell anything, and when it is worth the reading.

use super::layout::Layout;
use super::object::ObjectKind;

/// Records of a package from which on rows are read ahead of look-ups. Fewer are looked up within
/// a tenth of a second.
pub(crate) const RECORDS_MIN: u64 = 20_000;

/// Of so many rows that are read ahead, one must have a record that is unchanged: a look-up takes
/// about twice as long as reading a row.
const ROWS_PER_UNCHANGED: usize = 2;

/// Records of a partition whose rows are read before those of all its others, where it is not known
/// whether that pays: few enough that nobody misses the time.
pub(crate) const PROBE_RECORDS: usize = 2_048;

/// Partitions that are passed over at most until it is tried again.
const PASSED_OVER_MAX: u32 = 64;

/// Whether a record whose one row holds its values is unchanged, and nothing else is to be found
/// out about it. Not where its row is left alone for another reason, where somebody else has the
/// last word about a value, and where several rows may have its key.
pub(crate) fn is_possible(layout: &Layout) -> bool {
    let table = match layout.object.kind {
        ObjectKind::Table => true,
        ObjectKind::View { .. } | ObjectKind::Records(_) => false,
    };
    table
        && layout.mode.updates()
        && layout.only_where.is_empty()
        && layout.keeping().is_empty()
        && layout.key_is_unique()
        && !layout.fields.iter().any(|field| field.own_text)
}

/// Rows that are read at most for so many records: where a table has more between two keys, a
/// look-up of the records costs less than reading them all.
pub(crate) fn rows_max(records: usize) -> usize {
    records.saturating_mul(ROWS_PER_UNCHANGED)
}

/// Whether it pays, going by the partitions before: whatever share of them was unchanged, that of
/// the next one will not be far from it. Where it does not pay, twice as many partitions are passed
/// over each time until it is tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Worth {
    /// Partitions still to be passed over.
    left: u32,
    /// Partitions that are passed over the next time it does not pay.
    next: u32,
    /// Whether the last one that was read paid.
    is_proven: bool,
}

impl Worth {
    /// Whether the rows of the next partition are read ahead.
    pub(crate) fn takes_next(&mut self) -> bool {
        match self.left {
            0 => true,
            _ => {
                self.left -= 1;
                false
            }
        }
    }

    /// How many of a partition's records are tried first; `None`, if all of them are read at once.
    pub(crate) fn probe(&self, records: usize) -> Option<usize> {
        (!self.is_proven && records > PROBE_RECORDS).then_some(PROBE_RECORDS)
    }

    /// Of so many records so many were unchanged. Returns whether that paid.
    pub(crate) fn learn(&mut self, records: usize, unchanged: usize) -> bool {
        if unchanged >= records.div_ceil(ROWS_PER_UNCHANGED) {
            *self = Self {
                is_proven: true,
                ..Self::default()
            };
            return true;
        }
        self.is_proven = false;
        self.next = self.next.saturating_mul(2).clamp(1, PASSED_OVER_MAX);
        self.left = self.next;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::layout::{Demand, LayoutField};
    use crate::domain::match_rule::MatchMode;
    use crate::domain::object::{Holds, Object, ObjectColumn, RowLocks, Spelling};
    use crate::domain::value::Kind;

    fn layout() -> Layout {
        let holds = Holds::Integer { min: 0, max: 9 };
        let field = |name: &str, key| LayoutField {
            key,
            ..LayoutField::plain(
                ObjectColumn::plain(name, "integer", holds.clone()),
                Kind::Integer,
            )
        };
        let fields = vec![field("id", true), field("score", false)];
        let object = Object {
            path: vec!["accounts".to_owned()],
            spelling: Spelling {
                quote: '"',
                account: None,
            },
            kind: ObjectKind::Table,
            columns: fields.iter().map(|field| field.column.clone()).collect(),
            unique_keys: vec![vec!["id".to_owned()]],
            indexes: Vec::new(),
            may_enter: true,
            hides_columns: false,
            may_select: true,
            may_select_rows: true,
            locks: RowLocks::Each,
            primary_key: Vec::new(),
            followed: Vec::new(),
            obstacles: Vec::new(),
        };
        Layout {
            fields,
            key: vec![0],
            ..Layout::of_rows(object)
        }
    }

    /// The layout, but for its second field.
    fn with(change: impl Fn(&mut LayoutField)) -> Layout {
        let mut layout = layout();
        layout.fields.iter_mut().skip(1).for_each(change);
        layout
    }

    #[test]
    fn equal_values_say_nothing_where_something_else_counts() {
        assert!(is_possible(&layout()));
        assert!(is_possible(&Layout {
            mode: MatchMode::Upsert,
            ..layout()
        }));
        let create_only = Layout {
            mode: MatchMode::CreateOnly,
            ..layout()
        };
        assert!(!is_possible(&create_only), "a row is skipped there");
        let mut several = layout();
        several.object.unique_keys.clear();
        assert!(!is_possible(&several), "a second row would be missed");
        let mut view = layout();
        view.object.kind = ObjectKind::View { updatable: true };
        assert!(!is_possible(&view));
        let demand = layout().fields.first().map(|field| Demand {
            field: field.clone(),
            values: Vec::new(),
        });
        let unfit = Layout {
            only_where: demand.into_iter().collect(),
            ..layout()
        };
        assert!(!is_possible(&unfit));
        assert!(!is_possible(&with(|field| field.keeps_foreign = true)));
        assert!(!is_possible(&with(|field| field.yields = true)));
        assert!(!is_possible(&with(|field| field.own_text = true)));
        assert!(is_possible(&with(|field| field.stamp = true)));
    }

    #[test]
    fn it_is_given_up_for_longer_and_longer_where_it_does_not_pay() {
        let mut worth = Worth::default();
        let mut tried = Vec::new();
        for partition in 0..200 {
            if worth.takes_next() {
                tried.push(partition);
                worth.learn(100, 49);
            }
        }
        assert_eq!(tried, [0, 2, 5, 10, 19, 36, 69, 134, 199]);
        assert!(worth.learn(100, 50) && worth.takes_next());
        assert!(
            worth.learn(0, 0) && worth.takes_next(),
            "nothing tells nothing"
        );
    }

    #[test]
    fn a_few_records_are_tried_first_until_it_has_paid() {
        let mut worth = Worth::default();
        assert_eq!(worth.probe(PROBE_RECORDS), None, "they are all there are");
        assert_eq!(worth.probe(100_000), Some(PROBE_RECORDS));
        worth.learn(100, 100);
        assert_eq!(worth.probe(100_000), None);
        worth.learn(100, 0);
        assert_eq!(worth.probe(100_000), Some(PROBE_RECORDS));
    }
}
