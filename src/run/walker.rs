//! Leading records to the rows that they are written to, where these are not their own: reference by
//! reference, as the rows hold them when records are pulled. What goes into the package from there
//! on is the row's id, so that it is what is judged, previewed, kept and taken back.

use std::collections::{BTreeSet, HashMap};

use polars::prelude::{
    BooleanChunked, Column, DataFrame, IntoColumn, NewChunkedArray, PlSmallStr, PolarsResult,
    Series, StringChunked,
};

use serde::Serialize;

use crate::domain::error::SystemError;
use crate::domain::mapping::{Mapping, about_column};
use crate::domain::object::ObjectColumn;
use crate::domain::outcome::{RejectReason, Rejection, SkipReason, Stage};
use crate::domain::parking::LeftAlone;
use crate::domain::record::{RECORD_KEY, RECORD_POSITION};
use crate::domain::reference::NotFound;
use crate::run::asker::{Asker, REMEMBERED_MAX, VALUES_MAX};
use crate::run::plan::Plan;
use crate::run::sight::{Rows, Sight, Unseen};
use crate::run::ways::{PlannedWay, WayStep};

/// Leads the records of one write-back.
pub(super) struct Walker<'a> {
    way: &'a PlannedWay,
    mapping: &'a Mapping,
    /// Records that are looked up at once.
    records_max: usize,
    /// By step, and then by the id of a row: what its reference holds.
    led: Vec<HashMap<String, Rows>>,
    /// By step, and then by the id that references hold: how many rows hold it.
    sharers: Vec<HashMap<String, u64>>,
    sharing: Sharing,
}

/// How many rows are edited, and how many refer to these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Sharing {
    pub(crate) rows: u64,
    pub(crate) sharers: u64,
}

/// Records with the ids of their rows, and what became of the others.
pub(super) struct Walked {
    pub(super) records: DataFrame,
    pub(super) rejections: Vec<Rejection>,
    pub(super) left_alone: Vec<LeftAlone>,
}

/// What becomes of a record on its way.
enum Fate {
    /// It stands at the row of this id; before the first step, at none.
    Leads(Option<String>),
    LeftAlone(String),
    Rejected {
        column: Option<String>,
        reason: String,
    },
}

impl<'a> Walker<'a> {
    /// `None` where records are written to rows of their own.
    pub(super) fn of(plan: &'a Plan) -> Option<Self> {
        let way = plan.way.as_ref()?;
        let empty = || (0..way.steps.len()).map(|_| HashMap::new()).collect();
        Some(Self {
            way,
            mapping: &plan.mapping,
            records_max: plan.write_back.batch_records_max.get(),
            led: empty(),
            sharers: (0..way.steps.len()).map(|_| HashMap::new()).collect(),
            sharing: Sharing::default(),
        })
    }

    /// `None` where the records' own rows are written.
    pub(super) fn sharing(&self) -> Option<Sharing> {
        (!self.way.steps.is_empty()).then_some(self.sharing)
    }

    /// Leads records from their own rows to those that they are written to.
    pub(super) async fn walk(
        &mut self,
        asker: &mut Asker<'_>,
        records: &DataFrame,
    ) -> Result<Walked, SystemError> {
        let way = self.way;
        let mut fates: Vec<Fate> = (0..records.height()).map(|_| Fate::Leads(None)).collect();
        if let Some(own) = &way.own {
            for (index, rows) in self.look_at_own(asker, own, records).await? {
                if let Some(fate) = fates.get_mut(index) {
                    *fate = fate_at_own(rows);
                }
            }
        }
        for (number, step) in way.steps.iter().enumerate() {
            let rows = match number {
                0 => self.look_at_own(asker, &step.sight, records).await?,
                _ => self.go_on(asker, number, step, &fates).await?,
            };
            for (index, rows) in rows {
                if let Some(fate) = fates.get_mut(index) {
                    *fate = self.fate(number, step, rows);
                }
            }
            self.refuse_shared(asker, number, step, &mut fates).await?;
        }
        let walked = self.arrived(records, fates);
        walked.map_err(|error| asker.unreadable(error))
    }

    /// What is seen of the records' own rows.
    async fn look_at_own(
        &self,
        asker: &mut Asker<'_>,
        sight: &Sight,
        records: &DataFrame,
    ) -> Result<Vec<(usize, Rows)>, SystemError> {
        let own = |ObjectColumn { name, .. }: &ObjectColumn| {
            let values = records.column(&about_column(name))?;
            Ok(values.clone().with_name(name.as_str().into()))
        };
        let columns: PolarsResult<Vec<Column>> = self.way.key.iter().map(own).collect();
        let keys = columns.and_then(|columns| DataFrame::new(records.height(), columns));
        let keys = keys.map_err(|error| asker.unreadable(error))?;
        self.look(asker, sight, &keys).await
    }

    /// What the rows hold that records stand at: each row is asked for once.
    async fn go_on(
        &mut self,
        asker: &mut Asker<'_>,
        number: usize,
        step: &WayStep,
        fates: &[Fate],
    ) -> Result<Vec<(usize, Rows)>, SystemError> {
        let mut known = self
            .led
            .get_mut(number)
            .map(std::mem::take)
            .unwrap_or_default();
        if known.len() > REMEMBERED_MAX {
            known.clear();
        }
        let wanted = unknown(fates, &known);
        if let (false, Some(column)) = (wanted.is_empty(), step.key_column()) {
            let ids: StringChunked = wanted.iter().map(|id| Some(*id)).collect();
            let ids = self.mapping.ids(column, &ids);
            let ids = ids.map_err(|misfit| asker.unreadable(misfit.to_string()))?;
            let ids = ids.with_name(column.name.as_str().into()).into_column();
            let keys = DataFrame::new(wanted.len(), vec![ids]);
            let keys = keys.map_err(|error| asker.unreadable(error))?;
            let seen = self.look(asker, &step.sight, &keys).await?;
            let texts: Vec<String> = wanted.iter().map(|id| (*id).to_owned()).collect();
            let seen = seen.into_iter();
            known.extend(seen.filter_map(|(place, rows)| Some((texts.get(place)?.clone(), rows))));
        }
        let stands = |(index, fate): (usize, &Fate)| match fate {
            Fate::Leads(Some(id)) => Some((index, known.get(id).cloned().unwrap_or(Rows::None))),
            Fate::Leads(None) | Fate::LeftAlone(_) | Fate::Rejected { .. } => None,
        };
        let rows = fates.iter().enumerate().filter_map(stands).collect();
        if let Some(place) = self.led.get_mut(number) {
            *place = known;
        }
        Ok(rows)
    }

    async fn look(
        &self,
        asker: &mut Asker<'_>,
        sight: &Sight,
        keys: &DataFrame,
    ) -> Result<Vec<(usize, Rows)>, SystemError> {
        let every: Vec<usize> = (0..keys.height()).collect();
        let mut seen = Vec::with_capacity(every.len());
        for some in every.chunks(self.records_max.max(1)) {
            match sight.look(asker, keys, some).await {
                Ok(rows) => seen.extend(rows),
                Err(Unseen::Unasked(error)) => return Err(error),
                Err(Unseen::Misshapen(error)) => return Err(asker.unreadable(error)),
            }
        }
        Ok(seen)
    }

    /// What becomes of a record whose row at this step is one of these.
    fn fate(&self, number: usize, step: &WayStep, rows: Rows) -> Fate {
        match rows {
            Rows::One(Some(id)) => match step.several(&id) {
                Some(named) => Fate::Rejected {
                    column: Some(step.reference.name.clone()),
                    reason: step.told_several(named),
                },
                None => Fate::Leads(Some(id)),
            },
            Rows::One(None) => self.lost(step, step.told_empty()),
            Rows::None if number == 0 => Fate::LeftAlone(SkipReason::NoMatch.words().to_owned()),
            Rows::None => self.lost(step, step.told_missing()),
            Rows::Unfit => Fate::LeftAlone(SkipReason::Unfit.words().to_owned()),
            Rows::Several(found) => Fate::Rejected {
                column: None,
                reason: RejectReason::AmbiguousMatch { found }.to_string(),
            },
        }
    }

    /// What becomes of a record whose way ends before its row.
    fn lost(&self, step: &WayStep, why: String) -> Fate {
        match self.way.not_found {
            NotFound::Reject => Fate::Rejected {
                column: Some(step.reference.name.clone()),
                reason: why,
            },
            NotFound::Keep | NotFound::Null => Fate::LeftAlone(why),
        }
    }

    /// Rejects records that were led to a row which too many rows refer to.
    async fn refuse_shared(
        &mut self,
        asker: &mut Asker<'_>,
        number: usize,
        step: &WayStep,
        fates: &mut [Fate],
    ) -> Result<(), SystemError> {
        let mut known = self
            .sharers
            .get_mut(number)
            .map(std::mem::take)
            .unwrap_or_default();
        if known.len() > REMEMBERED_MAX {
            known.clear();
        }
        let shared_max = u64::from(self.way.shared_max.get());
        let wanted: Vec<String> = unknown(fates, &known)
            .into_iter()
            .map(str::to_owned)
            .collect();
        for ids in wanted.chunks(VALUES_MAX) {
            let texts: StringChunked = ids.iter().map(|id| Some(id.as_str())).collect();
            let values = self.mapping.ids(&step.reference, &texts);
            let values: Series = values.map_err(|misfit| asker.unreadable(misfit.to_string()))?;
            let found = asker.refer(&step.sharers, &values).await?;
            let counts = ids.iter().zip(found.iter().map(|found| found.rows));
            if number + 1 == self.way.steps.len() {
                for (_, rows) in counts.clone().filter(|(_, rows)| *rows <= shared_max) {
                    self.sharing.rows += 1;
                    self.sharing.sharers += rows;
                }
            }
            known.extend(counts.map(|(id, rows)| (id.clone(), rows)));
        }
        for fate in fates.iter_mut() {
            let Fate::Leads(Some(id)) = &*fate else {
                continue;
            };
            let rows = known.get(id).copied().unwrap_or_default();
            if rows > shared_max {
                *fate = Fate::Rejected {
                    column: Some(step.reference.name.clone()),
                    reason: step.told_shared(id, rows, shared_max),
                };
            }
        }
        if let Some(place) = self.sharers.get_mut(number) {
            *place = known;
        }
        Ok(())
    }

    /// Parts the records that stand at a row from the others, and adds its id.
    fn arrived(&self, records: &DataFrame, mut fates: Vec<Fate>) -> PolarsResult<Walked> {
        let id = |fate: &Fate| match fate {
            Fate::Leads(id) => id.clone(),
            Fate::LeftAlone(_) | Fate::Rejected { .. } => None,
        };
        let ids: StringChunked = fates.iter().map(id).collect();
        let (mut filled, faults) = match self.mapping.fill(records, |_, _| ids.clone()) {
            Ok(filled) => filled,
            Err(misfit) => polars::prelude::polars_bail!(SchemaMismatch: "{misfit}"),
        };
        for (column, fault) in faults {
            if let Some(fate) = fates.get_mut(fault.index) {
                *fate = Fate::Rejected {
                    column: Some(column),
                    reason: fault.reason,
                };
            }
        }
        for column in &self.way.key {
            filled = filled.drop(&about_column(&column.name))?;
        }
        let arrived: Vec<bool> = fates
            .iter()
            .map(|fate| matches!(fate, Fate::Leads(_)))
            .collect();
        let mask = BooleanChunked::from_slice(PlSmallStr::EMPTY, &arrived);
        let (left_alone, rejections) = told(records, fates)?;
        Ok(Walked {
            records: filled.filter(&mask)?,
            rejections,
            left_alone,
        })
    }
}

/// What becomes of a record whose own row is what is written.
fn fate_at_own(rows: Rows) -> Fate {
    match rows {
        Rows::One(Some(id)) => Fate::Leads(Some(id)),
        Rows::None | Rows::One(None) => Fate::LeftAlone(SkipReason::NoMatch.words().to_owned()),
        Rows::Unfit => Fate::LeftAlone(SkipReason::Unfit.words().to_owned()),
        Rows::Several(found) => Fate::Rejected {
            column: None,
            reason: RejectReason::AmbiguousMatch { found }.to_string(),
        },
    }
}

/// Ids at which records stand and of which nothing is known, each once.
fn unknown<'f, T>(fates: &'f [Fate], known: &HashMap<String, T>) -> Vec<&'f str> {
    let unknown: BTreeSet<&str> = fates
        .iter()
        .filter_map(|fate| match fate {
            Fate::Leads(Some(id)) => Some(id.as_str()),
            Fate::Leads(None) | Fate::LeftAlone(_) | Fate::Rejected { .. } => None,
        })
        .filter(|id| !known.contains_key(*id))
        .collect();
    unknown.into_iter().collect()
}

/// The records that are not led to a row, as they are accounted for.
fn told(records: &DataFrame, fates: Vec<Fate>) -> PolarsResult<(Vec<LeftAlone>, Vec<Rejection>)> {
    let keys = records.column(RECORD_KEY)?.str()?;
    let positions = records.column(RECORD_POSITION)?.u64()?;
    let (mut left_alone, mut rejections) = (Vec::new(), Vec::new());
    for (index, fate) in fates.into_iter().enumerate() {
        let key = keys.get(index).map(str::to_owned);
        let record = positions.get(index).unwrap_or_default();
        match fate {
            Fate::Leads(_) => {}
            Fate::LeftAlone(reason) => left_alone.push(LeftAlone {
                record,
                key: key.unwrap_or_default(),
                reason,
                parked: false,
                met: None,
            }),
            Fate::Rejected { column, reason } => rejections.push(Rejection {
                record,
                key,
                stage: Stage::Match,
                column,
                value: None,
                reason,
                others: Vec::new(),
            }),
        }
    }
    Ok((left_alone, rejections))
}
