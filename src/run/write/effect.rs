//! What writing a batch does to its rows, record by record and field by field, be it foreseen or
//! done. Whoever keeps, tells or shows what rows hold afterwards asks this.

use std::sync::OnceLock;

use polars::prelude::{BooleanChunked, Column, DataFrame, IntoColumn, PolarsResult, StringChunked};

use crate::domain::before::{BeforeImages, unmarked};
use crate::domain::conversion::texts_of;
use crate::domain::field::When;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::list::ListMode;
use crate::domain::match_rule::Decision;
use crate::domain::real_time::RequestFate;
use crate::domain::sameness::{in_words, same};
use crate::run::seen::{Seen, SeenField};
use crate::run::write::judge::Decided;
use crate::run::write::mask::Mask;

/// What is sent of a batch, beside what was decided about its records and what their rows held.
pub(crate) struct Effect<'a> {
    layout: &'a Layout,
    /// Shape: a batch's, in the layout's order.
    sent: DataFrame,
    decisions: &'a [Decision],
    before: &'a BeforeImages,
    written: Mask,
    /// Whether it takes an earlier run back.
    takes_back: bool,
    /// What is sent as people read it, field by field; made when it is first asked for.
    texts: OnceLock<Vec<StringChunked>>,
}

impl<'a> Effect<'a> {
    /// The effect of records that are mapped: the layout's rules say which fields are written, but
    /// for values that are left alone.
    pub(crate) fn mapped(layout: &'a Layout, sent: &DataFrame, decided: &'a Decided) -> Self {
        let written = written_by_rules(layout, sent, decided);
        Self::told(
            layout,
            with_lists(layout, sent, decided),
            decided,
            written,
            false,
        )
    }

    /// The effect of records of which it was decided before which fields are written.
    pub(crate) fn told(
        layout: &'a Layout,
        sent: DataFrame,
        decided: &'a Decided,
        written: Mask,
        takes_back: bool,
    ) -> Self {
        Self {
            layout,
            sent,
            decisions: &decided.decisions,
            before: &decided.looked_up.before,
            written,
            takes_back,
            texts: OnceLock::new(),
        }
    }

    pub(crate) fn layout(&self) -> &'a Layout {
        self.layout
    }

    pub(crate) fn decisions(&self) -> &'a [Decision] {
        self.decisions
    }

    /// What is sent. Shape: a batch's, in the layout's order.
    pub(crate) fn sent(&self) -> &DataFrame {
        &self.sent
    }

    pub(crate) fn takes_back(&self) -> bool {
        self.takes_back
    }

    /// For which records an update writes a field; `None` if for all.
    pub(crate) fn mask(&self, position: usize) -> Option<&BooleanChunked> {
        self.written.get(position)?.as_ref()
    }

    /// Whether a record's row takes what is sent to a field.
    pub(crate) fn is_taken(&self, record: usize, position: usize) -> bool {
        match self.decisions.get(record) {
            Some(Decision::Insert) => true,
            Some(Decision::Update) => self.is_updated(record, position),
            Some(Decision::Leave | Decision::Delete | Decision::Skip(_) | Decision::Reject(_))
            | None => false,
        }
    }

    /// What a record's row held in a field, as people read it; `None` for NULL, and of a row that
    /// is made.
    pub(crate) fn before(&self, record: usize, position: usize) -> Option<&str> {
        self.before.value(record, position)
    }

    /// As [`Effect::before`], in the words by which the value is restored.
    pub(crate) fn exact_before(&self, record: usize, position: usize) -> Option<&str> {
        self.before.exact(record, position)
    }

    /// What a record's row holds in a field once the batch is written, as people read it.
    pub(crate) fn after(&self, record: usize, position: usize) -> Option<&str> {
        match self.decisions.get(record) {
            Some(Decision::Delete) => None,
            _ if self.is_taken(record, position) => self.text(record, position),
            _ => self.before(record, position),
        }
    }

    /// What is sent to a field of a record, as people read it.
    fn text(&self, record: usize, position: usize) -> Option<&str> {
        self.texts
            .get_or_init(|| self.read_texts())
            .get(position)?
            .get(record)
    }

    fn read_texts(&self) -> Vec<StringChunked> {
        let fields = self.layout.fields.iter().zip(self.sent.columns());
        let texts: PolarsResult<_> = fields.map(|(field, sent)| texts(field, sent)).collect();
        texts.expect("a batch has its values in their kinds' representations")
    }

    /// What is seen of the row of the only record.
    pub(crate) fn seen(&self) -> Seen {
        let is_made = self.decisions.first() == Some(&Decision::Insert);
        let is_there = is_made || self.before.of(0).is_some();
        let positions = self.layout.positions(|field| is_there && !field.key);
        let field = |position: usize| {
            let field = self.layout.fields.get(position)?;
            let before = self.before(0, position);
            let holds = same(field.kind, before, self.text(0, position));
            Some(SeenField {
                name: field.column.name.clone(),
                before: in_words(field.kind, before),
                after: in_words(field.kind, self.after(0, position)),
                fate: match (self.is_taken(0, position), holds) {
                    (_, true) => RequestFate::Unchanged,
                    (true, false) => RequestFate::Updated,
                    (false, false) => RequestFate::Kept,
                },
            })
        };
        Seen {
            fields: positions.into_iter().filter_map(field).collect(),
        }
    }

    fn is_updated(&self, record: usize, position: usize) -> bool {
        let is_key = self
            .layout
            .fields
            .get(position)
            .is_none_or(|field| field.key);
        let is_left = || self.mask(position).and_then(|mask| mask.get(record)) == Some(false);
        !is_key && !is_left()
    }
}

/// What is sent to a field, as people read it.
fn texts(field: &LayoutField, sent: &Column) -> PolarsResult<StringChunked> {
    match field.own_text {
        true => {
            let own = sent.str()?.iter();
            Ok(own
                .map(|text| text.map(|exact| unmarked(exact).1))
                .collect())
        }
        false => texts_of(sent.as_materialized_series(), field.kind),
    }
}

fn written_by_rules(layout: &Layout, sent: &DataFrame, decided: &Decided) -> Mask {
    let before = &decided.looked_up.before;
    let mask = |(position, (field, values)): (usize, (&LayoutField, &Column))| {
        // Whether there is one goes by the layout alone: all segments of a run have the same
        // columns.
        if field.key || is_always_written(layout, field) {
            return None;
        }
        let is_written = |(record, sends_null): (usize, Option<bool>)| {
            let held = before.value(record, position);
            layout.is_written(field, held, sends_null == Some(true))
                && !decided.conflicts.keeps(record, position)
        };
        let nulls = values.is_null();
        Some(nulls.iter().enumerate().map(is_written).collect())
    };
    let fields = layout.fields.iter().zip(sent.columns());
    fields.enumerate().map(mask).collect()
}

/// The records with what fields of several members are to hold in place of the members that are
/// added or taken out; from a row that is made, none can be taken.
fn with_lists(layout: &Layout, sent: &DataFrame, decided: &Decided) -> DataFrame {
    let mut sent = sent.clone();
    for position in layout.positions(|field| field.list.keeps_others()) {
        let Some(given) = sent.columns().get(position).cloned() else {
            continue;
        };
        let takes_out = layout
            .fields
            .get(position)
            .is_some_and(|field| field.list == ListMode::Remove);
        let lists = &decided.looked_up.lists;
        let member = |(record, given): (usize, Option<&str>)| {
            let merged = lists.get(&record).and_then(|lists| lists.get(&position));
            match (merged, decided.decisions.get(record)) {
                (Some(merged), _) => merged.clone(),
                (None, Some(Decision::Insert)) if takes_out => None,
                (None, _) => given.map(str::to_owned),
            }
        };
        let texts = given.str().expect("members are told by texts").iter();
        let texts: StringChunked = texts.enumerate().map(member).collect();
        let column = texts.with_name(given.name().clone()).into_column();
        sent.replace_column(position, column)
            .expect("a column takes the place of one as long");
    }
    sent
}

fn is_always_written(layout: &Layout, field: &LayoutField) -> bool {
    !layout.keeps_null(field) && field.when == When::Always && !field.keeps_foreign && !field.yields
}
