//! The conflict guard: a value that someone else changed since it was last written back is left
//! alone, in fields whose job says so. Whether a row still holds what was last written is asked of
//! the database's own equality, in the transaction that writes and with the rows locked; values
//! that are spelled alike are taken for equal without asking.

mod error;
mod found;
pub(crate) mod kept;
mod last_values;
pub(crate) mod last_written;

use std::collections::BTreeSet;

use polars::prelude::{Column, DataFrame, IdxSize, IntoColumn};

pub(crate) use self::error::LastWrittenError;
pub(crate) use self::found::Conflicts;
use self::found::{Kept, index};
use self::last_values::LastField;
pub(crate) use self::last_values::LastValues;
use crate::destination::seam::{LookUp, LookedUp, records_at};
use crate::domain::before::{Before, BeforeImages};
use crate::domain::field::{NullPolicy, When};
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::match_rule::Decision;
use crate::domain::outcome::SkipReason;
use crate::domain::record::column_texts;
use crate::run::write::judge::{Decided, chosen};
use crate::run::write::terms::Reserved;
use crate::run::write::transaction::narrowed;

/// Finds the values that are to be left alone, of records that were looked up with before-images of
/// those that differ. A record of which nothing else differs is skipped. Writes nothing.
pub(crate) async fn judge<By: LookUp>(
    by: &mut By,
    layout: &Layout,
    records: &DataFrame,
    last: &LastValues,
    decided: &mut Decided,
) -> Result<(), By::Error> {
    let Decided {
        looked_up: LookedUp { before, .. },
        decisions,
        ..
    } = decided;
    let mut conflicts = Conflicts {
        kept: Vec::new(),
        agreed: agreed(layout, records, last, decisions),
    };
    let updates = chosen(decisions, &Decision::Update);
    let mut same: Vec<(usize, usize)> = Vec::new();
    for field in &last.fields {
        let Suspects { changed, as_sent } =
            suspects(by, layout, records, field, before, &updates).await?;
        same.extend(as_sent.into_iter().map(|record| (record, field.position)));
        conflicts
            .kept
            .extend(changed.into_iter().map(|record| Kept {
                record,
                position: field.position,
                last: field.text(record).map(str::to_owned),
                held: before.value(record, field.position).map(str::to_owned),
            }));
    }
    conflicts
        .kept
        .sort_by_key(|kept| (kept.record, kept.position));
    skip_left_alone(by, layout, records, &conflicts, decisions, SkipReason::Kept).await?;
    // Of a record that is written, the before-images tell.
    same.retain(|(record, _)| decisions.get(*record) == Some(&Decision::Skip(SkipReason::Kept)));
    conflicts.agreed.extend(same);
    decided.conflicts = conflicts;
    Ok(())
}

/// Leaves alone what requests wrote of records that were looked up with before-images of those that
/// differ. A record of which nothing else differs is skipped. Writes nothing.
pub(crate) async fn yield_to_requests<By: LookUp>(
    by: &mut By,
    layout: &Layout,
    records: &DataFrame,
    reserved: &Reserved,
    decided: &mut Decided,
) -> Result<(), By::Error> {
    let Decided {
        looked_up: LookedUp { before, .. },
        decisions,
        conflicts,
    } = decided;
    for (record, columns) in reserved {
        if decisions.get(*record) != Some(&Decision::Update) {
            continue;
        }
        let is_written = |field: &LayoutField| !field.key && columns.contains(&field.column.name);
        for position in layout.positions(is_written) {
            if conflicts.keeps(*record, position) {
                continue;
            }
            let held = before.value(*record, position).map(str::to_owned);
            conflicts.kept.push(Kept {
                record: *record,
                position,
                last: held.clone(),
                held,
            });
            conflicts
                .kept
                .sort_by_key(|kept| (kept.record, kept.position));
        }
    }
    let reason = SkipReason::WrittenAtOnce;
    skip_left_alone(by, layout, records, conflicts, decisions, reason).await
}

/// Skips the records to be updated of which nothing differs but what is left alone.
async fn skip_left_alone<By: LookUp>(
    by: &mut By,
    layout: &Layout,
    records: &DataFrame,
    conflicts: &Conflicts,
    decisions: &mut [Decision],
    reason: SkipReason,
) -> Result<(), By::Error> {
    for (left_alone, mut updates) in conflicts.groups() {
        updates.retain(|record| decisions.get(index(*record)) == Some(&Decision::Update));
        if updates.is_empty() {
            continue;
        }
        let (layout, records) = without(layout, &records_at(records, &updates), &left_alone);
        let differs: Vec<bool> = match layout.fields.iter().any(LayoutField::is_compared) {
            true => by
                .look_up(&layout, &records, Before::Unread)
                .await?
                .found
                .iter()
                .map(|found| found.differs)
                .collect(),
            false => vec![false; updates.len()],
        };
        for (record, _) in updates
            .into_iter()
            .map(index)
            .zip(differs)
            .filter(|(_, differs)| !differs)
        {
            if let Some(made) = decisions.get_mut(record) {
                *made = Decision::Skip(reason);
            }
        }
    }
    Ok(())
}

/// Records, of those to be updated, whose row is not known to hold what was last written into a
/// field.
struct Suspects {
    /// Someone else changed it, to something else than is to be written.
    changed: Vec<usize>,
    /// The row holds what is to be written.
    as_sent: Vec<usize>,
}

async fn suspects<By: LookUp>(
    by: &mut By,
    layout: &Layout,
    records: &DataFrame,
    field: &LastField,
    before: &BeforeImages,
    updates: &[IdxSize],
) -> Result<Suspects, By::Error> {
    let spelled_otherwise = |record: &usize| {
        field.is_known(*record) && field.exact(*record) != before.exact(*record, field.position)
    };
    let records_of_field = updates
        .iter()
        .map(|record| index(*record))
        .filter(spelled_otherwise);
    let (own, others): (Vec<usize>, Vec<usize>) =
        records_of_field.partition(|record| field.is_own(*record));
    let mut differing = Vec::new();
    for (own_text, asked) in [(true, own), (false, others)] {
        if !asked.is_empty() {
            let (layout, batch) = last_written(layout, records, field, &asked, own_text);
            let found = by.look_up(&layout, &batch, Before::Unread).await?.found;
            differing.extend(
                asked
                    .into_iter()
                    .zip(found)
                    .filter(|(_, found)| found.differs)
                    .map(|(record, _)| record),
            );
        }
    }
    differing.sort_unstable();
    if differing.is_empty() {
        return Ok(Suspects {
            changed: Vec::new(),
            as_sent: Vec::new(),
        });
    }
    let fields: Vec<usize> = layout
        .positions(|_| true)
        .into_iter()
        .filter(|position| is_or_key(layout, *position, field.position))
        .collect();
    let batch = narrowed(&records_at(records, &positions(&differing)), &fields);
    let found = by
        .look_up(&layout.narrowed(&fields), &batch, Before::Unread)
        .await?
        .found;
    let (changed, as_sent): (Vec<_>, Vec<_>) = differing
        .into_iter()
        .zip(found)
        .partition(|(_, found)| found.differs);
    let holds = |record: &usize| is_held_when_left(layout, records, field.position, *record);
    Ok(Suspects {
        changed: changed.into_iter().map(|(record, _)| record).collect(),
        as_sent: as_sent
            .into_iter()
            .map(|(record, _)| record)
            .filter(holds)
            .collect(),
    })
}

/// What was last written into a field of the records at `asked`, whatever the job's rules for it.
/// Shape: as a batch of the layout, which has that field beside the key.
fn last_written(
    layout: &Layout,
    records: &DataFrame,
    field: &LastField,
    asked: &[usize],
    own_text: bool,
) -> (Layout, DataFrame) {
    let fields = layout.positions(|_| true);
    let fields: Vec<usize> = fields
        .into_iter()
        .filter(|position| is_or_key(layout, *position, field.position))
        .collect();
    let plain = |laid: LayoutField| match laid.key {
        true => laid,
        false => LayoutField {
            when: When::Always,
            keeps_null: false,
            own_text,
            ..laid
        },
    };
    let narrow = layout.narrowed(&fields);
    let narrow = Layout {
        nulls: NullPolicy::Write,
        fields: narrow.fields.iter().cloned().map(plain).collect(),
        ..narrow
    };
    let column = |(position, laid): (&usize, &LayoutField)| {
        let values = match (*position == field.position, own_text) {
            (true, true) => field.own.clone().into_column(),
            (true, false) => field.values.clone(),
            (false, _) => records
                .columns()
                .get(*position)
                .cloned()
                .unwrap_or_default(),
        };
        values.with_name(laid.column.name.as_str().into())
    };
    let columns: Vec<Column> = fields.iter().zip(&narrow.fields).map(column).collect();
    let batch = DataFrame::new(records.height(), columns)
        .expect("last written values stand beside their records");
    let batch = records_at(&batch, &positions(asked));
    (narrow, batch)
}

fn is_or_key(layout: &Layout, position: usize, wanted: usize) -> bool {
    position == wanted || layout.key.contains(&position)
}

/// Records and fields that are left as they are because the row holds what was to be written,
/// unless that is known.
fn agreed(
    layout: &Layout,
    records: &DataFrame,
    last: &LastValues,
    decisions: &[Decision],
) -> Vec<(usize, usize)> {
    let left: Vec<usize> = chosen(decisions, &Decision::Leave)
        .into_iter()
        .map(index)
        .collect();
    let mut agreed = BTreeSet::new();
    for field in last.fields.iter().filter(|_| !left.is_empty()) {
        let texts = records.columns().get(field.position).map(column_texts);
        let texts = texts
            .transpose()
            .expect("a batch has its values in their kinds' representations");
        let sent = |record: usize| texts.as_ref().and_then(|texts| texts.get(record));
        let is_news = |record: &&usize| {
            let is_known = field.is_known(**record)
                && !field.is_own(**record)
                && field.text(**record) == sent(**record);
            !is_known && is_held_when_left(layout, records, field.position, **record)
        };
        agreed.extend(
            left.iter()
                .filter(is_news)
                .map(|record| (*record, field.position)),
        );
    }
    agreed.into_iter().collect()
}

/// Whether a field that an update would not change holds what is sent, and not merely what the
/// job's rules keep.
fn is_held_when_left(layout: &Layout, records: &DataFrame, position: usize, record: usize) -> bool {
    let sends_null = || {
        let value = records
            .columns()
            .get(position)
            .map(|column| column.get(record));
        !matches!(value, Some(Ok(value)) if !value.is_null())
    };
    let always = layout
        .fields
        .get(position)
        .is_some_and(|field| field.when == When::Always);
    let keeps_null = layout
        .fields
        .get(position)
        .is_some_and(|field| layout.keeps_null(field));
    always && !(keeps_null && sends_null())
}

/// Layout and batch without the fields at `left_alone`.
fn without(layout: &Layout, records: &DataFrame, left_alone: &[usize]) -> (Layout, DataFrame) {
    if left_alone.is_empty() {
        return (layout.clone(), records.clone());
    }
    let fields: Vec<usize> = layout
        .positions(|_| true)
        .into_iter()
        .filter(|position| !left_alone.contains(position))
        .collect();
    (layout.narrowed(&fields), narrowed(records, &fields))
}

fn positions(records: &[usize]) -> Vec<IdxSize> {
    records
        .iter()
        .filter_map(|record| IdxSize::try_from(*record).ok())
        .collect()
}
