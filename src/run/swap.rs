//! Writing only where a row still holds what is expected. Two kinds of work are alike in that, and
//! mirror one another: an undo expects what a run sent and restores what its rows held before, and
//! a saved plan expects what rows held when they were previewed and writes what was shown. Whether
//! rows do is asked of the database's own equality, in the transaction that writes and with the
//! rows locked.
//!
//! Shape of the records: as a segment of before-images without `record`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use polars::prelude::{BooleanChunked, Column, DataFrame, IdxSize, PolarsResult};

use super::conflicts::Conflicts;
use super::images::{CREATED, IN_DOUBT, before_column, sent_column, written_column};
use super::write::effect::Effect;
use super::write::judge::Decided;
use super::write::mask::Mask;
use crate::destination::seam::{Found, LookUp, LookedUp, records_at};
use crate::domain::before::{Before, BeforeImagesBuilder};
use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
use crate::domain::field::{NullPolicy, When};
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::list::ListMode;
use crate::domain::match_key::KeyKinds;
use crate::domain::match_rule::Decision;
use crate::domain::outcome::{RejectReason, SkipReason};

/// What becomes of rows that the run created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CreatedRows {
    Keep,
    /// They are deleted where they still hold all that the run sent.
    Delete,
}

/// What becomes of rows that no longer hold what the run sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangedRows {
    Keep,
    /// They are taken back all the same: a trigger may have changed them as they were written, and
    /// what somebody else made of them is given up.
    Restore,
}

/// How the records of one write-back are written where their rows hold what is expected.
#[derive(Debug)]
pub(crate) struct Swap {
    direction: Direction,
    /// What is or was sent, in the form it is sent in.
    sent: Arc<Layout>,
    /// What rows held before: but for the key, the database's own text.
    before: Arc<Layout>,
    key_columns: Vec<String>,
}

/// What is expected, and what takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// What was sent is expected, and what was before is restored.
    Back {
        created: CreatedRows,
        changed: ChangedRows,
    },
    /// What was before is expected, and what is to be sent is written.
    Forward,
}

impl Direction {
    /// What becomes of a record whose row was looked up for what is expected of it; `created` tells
    /// that the row is or was made by the run. One that somebody else made meanwhile is theirs,
    /// unless it holds all that would be sent; and one that either may have made, as its batch is
    /// `in_doubt`, is left.
    fn decide(self, created: bool, in_doubt: bool, found: Found) -> Decision {
        match (self, created, found.rows, found.differs) {
            (Self::Back { .. }, true, 0, _) if in_doubt => Decision::Leave,
            (Self::Back { .. }, true, 1.., _) if in_doubt => {
                Decision::Skip(SkipReason::CreatedInDoubt)
            }
            (_, _, 2.., _) => Decision::Reject(RejectReason::AmbiguousMatch { found: found.rows }),
            (Self::Forward, true, 0, _) => Decision::Insert,
            (_, _, 0, _) => Decision::Skip(SkipReason::NoMatch),
            (
                Self::Forward
                | Self::Back {
                    changed: ChangedRows::Keep,
                    ..
                },
                _,
                1,
                true,
            ) => Decision::Skip(SkipReason::ChangedSince),
            (Self::Forward, true, 1, false) => Decision::Leave,
            (Self::Back { .. }, true, 1, _) => Decision::Delete,
            (_, false, 1, _) => Decision::Update,
        }
    }
}

/// Records that an earlier sending may have left half way, by their places, and the positions of the
/// fields that are emptied before they are written.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HalfWay<'a> {
    pub(super) records: Option<&'a BTreeSet<usize>>,
    pub(super) emptied: &'a [usize],
}

/// The same records with nothing in their last field.
fn without_last(values: &DataFrame) -> PolarsResult<DataFrame> {
    let mut columns = values.columns().to_vec();
    if let Some(last) = columns.last_mut() {
        *last = Column::full_null(last.name().clone(), last.len(), last.dtype());
    }
    DataFrame::new(values.height(), columns)
}

/// Which of a record's values are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Sent,
    Before,
}

/// Records of which the same fields are written.
struct Group {
    /// Positions in the layout, the key's included.
    fields: Vec<usize>,
    /// Positions in the batch, ascending.
    records: Vec<IdxSize>,
    /// Whether their rows are or were made by the run.
    created: bool,
    /// Whether nobody knows that they were.
    in_doubt: bool,
}

impl Swap {
    /// Takes a run back; `sent` is the layout of what it sent, with every field but the key
    /// compared.
    pub(super) fn back(sent: Layout, created: CreatedRows, changed: ChangedRows) -> Self {
        Self::new(Direction::Back { created, changed }, sent)
    }

    /// Writes what was previewed with this layout. Which fields of a row are written was decided
    /// then.
    pub(super) fn forward(layout: &Layout) -> Self {
        let decided = |field: &LayoutField| LayoutField {
            when: When::Always,
            keeps_null: false,
            keeps_foreign: false,
            yields: false,
            list: ListMode::Replace,
            ..field.clone()
        };
        let fields = layout.fields.iter().map(decided).collect();
        Self::new(
            Direction::Forward,
            Layout {
                nulls: NullPolicy::Write,
                only_where: Vec::new(),
                fields,
                ..layout.clone()
            },
        )
    }

    fn new(direction: Direction, sent: Layout) -> Self {
        let held = |field: &LayoutField| LayoutField {
            own_text: !field.key || field.own_text,
            ..field.clone()
        };
        let before = Layout {
            fields: sent.fields.iter().map(held).collect(),
            ..sent.clone()
        };
        let key_columns = sent
            .key_fields()
            .map(|field| sent_column(&field.column.name))
            .collect();
        Self {
            direction,
            sent: Arc::new(sent),
            before: Arc::new(before),
            key_columns,
        }
    }

    /// What batches write.
    pub(super) fn layout(&self) -> &Arc<Layout> {
        self.layout_of(self.written_side())
    }

    pub(super) fn key_columns(&self) -> &[String] {
        &self.key_columns
    }

    pub(super) fn key_kinds(&self) -> KeyKinds {
        KeyKinds::new(self.sent.key_fields().map(|field| field.kind))
    }

    fn written_side(&self) -> Side {
        match self.direction {
            Direction::Back { .. } => Side::Before,
            Direction::Forward => Side::Sent,
        }
    }

    fn layout_of(&self, side: Side) -> &Arc<Layout> {
        match side {
            Side::Sent => &self.sent,
            Side::Before => &self.before,
        }
    }

    /// Whether records have the columns of before-images of this layout, each in its
    /// representation.
    pub(super) fn accepts(&self, records: &DataFrame) -> bool {
        let has = |name: &str, kind: &LayoutField| {
            let representation = match kind.own_text {
                true => polars::prelude::DataType::String,
                false => kind.kind.representation(),
            };
            records
                .column(name)
                .is_ok_and(|values| *values.dtype() == representation)
        };
        let sent = self
            .sent
            .fields
            .iter()
            .all(|field| has(&sent_column(&field.column.name), field));
        let restored = self.before.fields.iter().filter(|field| !field.key);
        sent && restored
            .into_iter()
            .all(|field| has(&before_column(&field.column.name), field))
            && records
                .column(CREATED)
                .is_ok_and(|created| created.bool().is_ok())
    }

    /// What is or was sent of the records. Shape: a batch's, in the layout's order.
    pub(super) fn sent(&self, records: &DataFrame) -> PolarsResult<DataFrame> {
        self.values(Side::Sent, records, &self.every_field())
    }

    /// For each field which records it is written of; `None` if of all.
    pub(super) fn written(&self, records: &DataFrame) -> Mask {
        self.sent
            .fields
            .iter()
            .map(|field| mask(records, field).cloned())
            .collect()
    }

    /// What is written to rows. Shape: as batches of the layout.
    pub(super) fn writes(&self, records: &DataFrame) -> PolarsResult<DataFrame> {
        self.values(self.written_side(), records, &self.every_field())
    }

    /// What writing the records does to their rows.
    pub(super) fn effect<'a>(
        &'a self,
        records: &DataFrame,
        decided: &'a Decided,
    ) -> PolarsResult<Effect<'a>> {
        let sent = self.writes(records)?;
        let takes_back = matches!(self.direction, Direction::Back { .. });
        let written = self.written(records);
        Ok(Effect::told(
            self.layout(),
            sent,
            decided,
            written,
            takes_back,
        ))
    }

    pub(super) fn sent_layout(&self) -> &Layout {
        &self.sent
    }

    /// What was or is sent to rows that are expected to be there. To lock others would ask for more
    /// rights than making them takes.
    pub(super) fn expected_there(&self, records: &DataFrame) -> PolarsResult<DataFrame> {
        let sent = self.sent(records)?;
        match self.direction {
            Direction::Back { .. } => Ok(sent),
            Direction::Forward => {
                let created = records.column(CREATED)?.bool()?;
                sent.filter(&!created)
            }
        }
    }

    /// Decides about each record; writes nothing.
    pub(super) async fn judge(
        &self,
        destination: &mut impl LookUp<Error = SystemError>,
        connection: &Connection,
        records: &DataFrame,
        before: Before,
        half_way: HalfWay<'_>,
    ) -> Result<Decided, SystemError> {
        // Of those that no group has.
        let mut decisions = vec![Decision::Skip(SkipReason::CreatedByRun); records.height()];
        let mut all = LookedUp {
            found: vec![Found::default(); records.height()],
            ..LookedUp::default()
        };
        let mut images = BeforeImagesBuilder::new(records.height(), self.sent.fields.len());
        for group in shaped(connection, self.groups(records))? {
            let own = records_at(records, &group.records);
            let expected = self.expected_side(&group);
            let values = shaped(connection, self.values(expected, &own, &group.fields))?;
            let layout = self.layout_of(expected).narrowed(&group.fields);
            let looked_up = destination.look_up(&layout, &values, before).await?;
            let mut decided: Vec<Decision> = looked_up
                .found
                .iter()
                .map(|found| self.direction.decide(group.created, group.in_doubt, *found))
                .collect();
            let differing = looked_up.differing();
            if !group.created && !differing.is_empty() {
                let side = self.written_side();
                let values = shaped(
                    connection,
                    self.values(side, &records_at(&own, &differing), &group.fields),
                )?;
                let layout = self.layout_of(side).narrowed(&group.fields);
                let held = destination
                    .look_up(&layout, &values, Before::Unread)
                    .await?
                    .found;
                for (record, held) in differing.iter().zip(held) {
                    if let (Some(decision), false) = (
                        decided.get_mut(index(*record)),
                        held.differs || held.rows != 1,
                    ) {
                        *decision = Decision::Leave;
                    }
                }
            }
            let may_be_ours = |(record, decision): (&IdxSize, &Decision)| {
                let is_doubted = half_way
                    .records
                    .is_some_and(|all| all.contains(&index(*record)));
                is_doubted && *decision == Decision::Skip(SkipReason::ChangedSince)
            };
            let candidates = group.records.iter().zip(&decided).map(may_be_ours);
            let candidates: Vec<IdxSize> = (0..)
                .zip(candidates)
                .filter_map(|(place, is_one)| is_one.then_some(place))
                .collect();
            if !group.created && !candidates.is_empty() {
                let ours = self.left_half_way(
                    destination,
                    connection,
                    (&own, candidates),
                    (&group.fields, half_way.emptied),
                );
                for place in ours.await? {
                    if let Some(decision) = decided.get_mut(index(place)) {
                        *decision = Decision::Update;
                    }
                }
            }
            for (own, (record, decision)) in group.records.iter().zip(decided).enumerate() {
                if let Some(found) = all.found.get_mut(index(*record)) {
                    *found = looked_up.found.get(own).copied().unwrap_or_default();
                }
                if before.is_read() && matches!(decision, Decision::Update | Decision::Delete) {
                    let held = |field: usize| {
                        let position = group.fields.iter().position(|known| *known == field)?;
                        looked_up.before.exact(own, position)
                    };
                    images.push(index(*record), (0..self.sent.fields.len()).map(held));
                }
                if let Some(place) = decisions.get_mut(index(*record)) {
                    *place = decision;
                }
            }
            all.know_rows(&group.records, looked_up.stored, looked_up.candidates);
        }
        all.before = images.finish();
        Ok(Decided {
            looked_up: all,
            decisions,
            conflicts: Conflicts::default(),
        })
    }

    /// Which of the records at these places stand half way between what was before and what was sent:
    /// each field holds one of the two, or nothing, where it is emptied first. They are written by
    /// nobody else.
    async fn left_half_way(
        &self,
        destination: &mut impl LookUp<Error = SystemError>,
        connection: &Connection,
        (records, mut places): (&DataFrame, Vec<IdxSize>),
        (fields, emptied): (&[usize], &[usize]),
    ) -> Result<Vec<IdxSize>, SystemError> {
        let is_key = |position: &usize| {
            let field = self.sent.fields.get(*position);
            field.is_some_and(|field| field.key)
        };
        let (key, others): (Vec<usize>, Vec<usize>) = fields
            .iter()
            .copied()
            .partition(|position| is_key(position));
        for field in others {
            if places.is_empty() {
                break;
            }
            let narrow = [key.as_slice(), &[field]].concat();
            let own = records_at(records, &places);
            let mut holds = vec![false; places.len()];
            for side in [Side::Sent, Side::Before] {
                let values = shaped(connection, self.values(side, &own, &narrow))?;
                let layout = Layout {
                    nulls: NullPolicy::Write,
                    ..self.layout_of(side).narrowed(&narrow)
                };
                let mut asked = vec![values.clone()];
                if emptied.contains(&field) {
                    asked.push(shaped(connection, without_last(&values))?);
                }
                for values in asked {
                    let found = destination
                        .look_up(&layout, &values, Before::Unread)
                        .await?;
                    for (holds, found) in holds.iter_mut().zip(found.found) {
                        *holds |= found.rows == 1 && !found.differs;
                    }
                }
            }
            let mut holds = holds.into_iter();
            places.retain(|_| holds.next().unwrap_or_default());
        }
        Ok(places)
    }

    /// What rows of a group are looked up for first: of rows that a run makes there is nothing
    /// before.
    fn expected_side(&self, group: &Group) -> Side {
        match self.direction {
            Direction::Forward if !group.created => Side::Before,
            Direction::Forward | Direction::Back { .. } => Side::Sent,
        }
    }

    /// The records whose rows are to be judged. Created rows are one group: all of what they are
    /// created with counts.
    fn groups(&self, records: &DataFrame) -> PolarsResult<Vec<Group>> {
        let created = records.column(CREATED)?.bool()?;
        let in_doubt = records
            .column(IN_DOUBT)
            .and_then(|in_doubt| in_doubt.bool())
            .ok();
        let masks: Vec<Option<&BooleanChunked>> = self
            .sent
            .fields
            .iter()
            .map(|field| mask(records, field))
            .collect();
        let mut groups: BTreeMap<(bool, bool, Vec<usize>), Vec<IdxSize>> = BTreeMap::new();
        for (record, position) in (0..records.height()).zip(0..) {
            let is_created = created.get(record).unwrap_or_default();
            let is_in_doubt = is_created
                && in_doubt
                    .and_then(|in_doubt| in_doubt.get(record))
                    .unwrap_or_default();
            let keeps_created = matches!(
                self.direction,
                Direction::Back {
                    created: CreatedRows::Keep,
                    ..
                }
            );
            if is_created && !is_in_doubt && keeps_created {
                continue;
            }
            let is_written = |field: &usize| {
                let mask = masks.get(*field).copied().flatten();
                is_created || mask.is_none_or(|mask| mask.get(record).unwrap_or(true))
            };
            let fields = self.every_field().into_iter().filter(is_written).collect();
            groups
                .entry((is_created, is_in_doubt, fields))
                .or_default()
                .push(position);
        }
        let group = |((created, in_doubt, fields), records)| Group {
            fields,
            records,
            created,
            in_doubt,
        };
        Ok(groups.into_iter().map(group).collect())
    }

    fn every_field(&self) -> Vec<usize> {
        (0..self.sent.fields.len()).collect()
    }

    /// The values of one side in these fields. Shape: as a batch of the side's layout with these
    /// fields.
    fn values(&self, side: Side, records: &DataFrame, fields: &[usize]) -> PolarsResult<DataFrame> {
        let fields = fields
            .iter()
            .filter_map(|position| self.sent.fields.get(*position));
        let columns = fields.map(|field| {
            let name = &field.column.name;
            let values = records.column(&match side {
                Side::Before if !field.key => before_column(name),
                Side::Before | Side::Sent => sent_column(name),
            })?;
            Ok(values.clone().with_name(name.as_str().into()))
        });
        DataFrame::new(records.height(), columns.collect::<PolarsResult<Vec<_>>>()?)
    }
}

/// Packages are looked at before they are pushed: what is not shaped as it should be is an error of
/// this program.
pub(super) fn shaped<T>(
    connection: &Connection,
    shaped: PolarsResult<T>,
) -> Result<T, SystemError> {
    shaped.map_err(|error| SystemError::Failed {
        connection: connection.name.clone(),
        doing: "reading before-images".to_owned(),
        source: error.into(),
        hint: None,
    })
}

/// For which records a field is written; `None` if for all.
fn mask<'a>(records: &'a DataFrame, field: &LayoutField) -> Option<&'a BooleanChunked> {
    records
        .column(&written_column(&field.column.name))
        .ok()?
        .bool()
        .ok()
}

fn index(position: IdxSize) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACK: Direction = Direction::Back {
        created: CreatedRows::Delete,
        changed: ChangedRows::Keep,
    };

    fn decided(direction: Direction, created: bool, rows: u64, differs: bool) -> Decision {
        direction.decide(
            created,
            false,
            Found {
                rows,
                differs,
                ..Found::default()
            },
        )
    }

    #[test]
    fn a_row_that_holds_what_is_expected_is_written() {
        assert_eq!(decided(BACK, false, 1, false), Decision::Update);
        assert_eq!(
            decided(Direction::Forward, false, 1, false),
            Decision::Update
        );
        assert_eq!(decided(BACK, true, 1, false), Decision::Delete);
        assert_eq!(
            decided(Direction::Forward, true, 0, false),
            Decision::Insert
        );
    }

    #[test]
    fn a_row_that_holds_something_else_is_left() {
        for (direction, created) in [
            (BACK, false),
            (BACK, true),
            (Direction::Forward, false),
            (Direction::Forward, true),
        ] {
            assert_eq!(
                decided(direction, created, 1, true),
                Decision::Skip(SkipReason::ChangedSince)
            );
            let ambiguous = Decision::Reject(RejectReason::AmbiguousMatch { found: 2 });
            assert_eq!(decided(direction, created, 2, false), ambiguous);
        }
        assert_eq!(
            decided(Direction::Forward, true, 1, false),
            Decision::Leave,
            "somebody else has made just this row"
        );
    }

    #[test]
    fn a_row_that_holds_something_else_is_taken_back_when_that_is_asked_for() {
        let all = Direction::Back {
            created: CreatedRows::Delete,
            changed: ChangedRows::Restore,
        };
        assert_eq!(decided(all, false, 1, true), Decision::Update);
        assert_eq!(decided(all, true, 1, true), Decision::Delete);
    }

    #[test]
    fn a_row_that_somebody_else_may_have_made_is_left_whatever_is_asked_for() {
        for changed in [ChangedRows::Keep, ChangedRows::Restore] {
            let back = Direction::Back {
                created: CreatedRows::Delete,
                changed,
            };
            let decided = |rows, differs| {
                back.decide(
                    true,
                    true,
                    Found {
                        rows,
                        differs,
                        ..Found::default()
                    },
                )
            };
            for (rows, differs) in [(1, false), (1, true), (2, false)] {
                assert_eq!(
                    decided(rows, differs),
                    Decision::Skip(SkipReason::CreatedInDoubt)
                );
            }
            assert_eq!(
                decided(0, false),
                Decision::Leave,
                "there is nothing to take back"
            );
        }
    }

    #[test]
    fn a_row_that_is_gone_is_not_made_again() {
        for (direction, created) in [(BACK, false), (BACK, true), (Direction::Forward, false)] {
            assert_eq!(
                decided(direction, created, 0, false),
                Decision::Skip(SkipReason::NoMatch)
            );
        }
    }
}
