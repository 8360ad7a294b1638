//! What was seen of one record's row as it was written: what each field held, and holds since.

use crate::domain::match_rule::Decision;
use crate::domain::real_time::Fate;
use crate::domain::record::cell_text;
use crate::domain::sameness::same;
use crate::run::write::effect::Effect;
use crate::run::write::judge::Decided;

/// What was seen of one record.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// In the layout's order, without the match key; empty if there was no row.
    pub(crate) fields: Vec<SeenField>,
}

/// One field of it, as people read values; `None` for NULL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeenField {
    pub(crate) name: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) fate: Fate,
}

impl Seen {
    pub(super) fn of(effect: &Effect<'_>, decided: &Decided) -> Self {
        let is_there = match decided.decisions.first() {
            Some(Decision::Insert) => true,
            _ => decided.looked_up.before.of(0).is_some(),
        };
        let layout = effect.layout();
        let positions = layout.positions(|field| !field.key);
        let field = |position: usize| {
            let field = layout.fields.get(position)?;
            let sent = effect.sent().columns().get(position);
            let sent = sent.and_then(|column| cell_text(column, 0));
            let before = effect.before(0, position);
            let holds = same(field.kind, before, sent.as_deref());
            Some(SeenField {
                name: field.column.name.clone(),
                before: before.map(str::to_owned),
                after: effect.after(0, position).map(str::to_owned),
                fate: match (effect.is_taken(0, position), holds) {
                    (_, true) => Fate::Unchanged,
                    (true, false) => Fate::Updated,
                    (false, false) => Fate::Kept,
                },
            })
        };
        let fields = positions.into_iter().filter(|_| is_there);
        Self {
            fields: fields.filter_map(field).collect(),
        }
    }
}
