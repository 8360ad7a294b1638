//! The records of one object, found by id and by what their fields hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::object::ObjectType;
use super::value::{Held, to_stored};

/// One record: what its fields hold, by the field's index, those that hold something.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Record {
    values: Vec<(u16, Held)>,
}

impl Record {
    pub(super) fn get(&self, field: usize) -> Option<&Held> {
        let field = u16::try_from(field).ok()?;
        let place = self
            .values
            .binary_search_by_key(&field, |(index, _)| *index);
        place
            .ok()
            .and_then(|place| self.values.get(place))
            .map(|(_, held)| held)
    }

    pub(super) fn set(&mut self, field: usize, held: Option<Held>) {
        // No object has as many fields as that.
        let Ok(field) = u16::try_from(field) else {
            return;
        };
        let place = self
            .values
            .binary_search_by_key(&field, |(index, _)| *index);
        match (place, held) {
            (Ok(place), None) => {
                self.values.remove(place);
            }
            (Ok(place), Some(held)) => {
                if let Some((_, value)) = self.values.get_mut(place) {
                    *value = held;
                }
            }
            (Err(place), Some(held)) => self.values.insert(place, (field, held)),
            (Err(_), None) => {}
        }
    }
}

/// Ids of the records whose field holds a value, by the value's key.
type Index = HashMap<String, BTreeSet<Arc<str>>>;

#[derive(Debug)]
pub(super) struct Table {
    pub(super) object: Arc<ObjectType>,
    records: BTreeMap<Arc<str>, Record>,
    indexes: HashMap<usize, Index>,
}

impl Table {
    pub(super) fn new(object: ObjectType) -> Self {
        let keys = (0..).zip(&object.fields);
        let indexes = keys
            .filter(|(_, field)| field.is_key() || field.unique)
            .filter(|(_, field)| !field.name.eq_ignore_ascii_case("Id"))
            .map(|(index, _)| (index, Index::new()))
            .collect();
        Self {
            object: Arc::new(object),
            records: BTreeMap::new(),
            indexes,
        }
    }

    /// The id itself, if there is a record of it.
    pub(super) fn known(&self, id: &str) -> Option<Arc<str>> {
        self.records.get_key_value(id).map(|(id, _)| Arc::clone(id))
    }

    pub(super) fn records(&self) -> impl Iterator<Item = (&Arc<str>, &Record)> {
        self.records.iter()
    }

    /// A record, whether or not it is deleted.
    pub(super) fn record(&self, id: &str) -> Option<&Record> {
        self.records.get(id)
    }

    pub(super) fn is_deleted(&self, record: &Record) -> bool {
        let flag = self.object.is_deleted.and_then(|field| record.get(field));
        flag.is_some_and(Held::is_true)
    }

    /// A record that is not deleted.
    pub(super) fn live(&self, id: &str) -> Option<&Record> {
        self.record(id).filter(|record| !self.is_deleted(record))
    }

    /// Puts a record in the place of what stood there; gives that back.
    pub(super) fn put(&mut self, id: &str, record: Option<Record>) -> Option<Record> {
        let id: Arc<str> = self
            .records
            .get_key_value(id)
            .map_or_else(|| id.into(), |(id, _)| Arc::clone(id));
        let before = self.records.remove(&id);
        for (field, index) in &mut self.indexes {
            let sensitive = self.object.field(*field).case_sensitive;
            let key = |record: &Record| record.get(*field).map(|held| held.key(sensitive));
            let (was, is) = (before.as_ref().and_then(key), record.as_ref().and_then(key));
            if was == is {
                continue;
            }
            if let Some(ids) = was.as_ref().and_then(|was| index.get_mut(was)) {
                ids.remove(&id);
            }
            if let Some(is) = is {
                index.entry(is).or_default().insert(Arc::clone(&id));
            }
        }
        if let Some(record) = record {
            self.records.insert(id, record);
        }
        before
    }

    /// Makes the records of a field findable by its value.
    pub(super) fn index(&mut self, field: usize) {
        if self.indexes.contains_key(&field) {
            return;
        }
        let sensitive = self.object.field(field).case_sensitive;
        let mut index = Index::new();
        for (id, record) in &self.records {
            if let Some(held) = record.get(field) {
                let ids = index.entry(held.key(sensitive)).or_default();
                ids.insert(Arc::clone(id));
            }
        }
        self.indexes.insert(field, index);
    }

    /// Ids of the records whose field holds a value, deleted ones too; `None` where only a look at
    /// all of them tells.
    pub(super) fn found(&self, field: usize, key: &str) -> Option<Vec<Arc<str>>> {
        let index = self.indexes.get(&field)?;
        let ids = index.get(key).into_iter().flatten();
        Some(ids.cloned().collect())
    }

    /// Ids of the records that are not deleted and whose field holds a value.
    pub(super) fn found_live(&mut self, field: usize, held: &Held) -> Vec<Arc<str>> {
        if self.object.field(field).name.eq_ignore_ascii_case("Id") {
            let id = held.as_text().and_then(|id| self.records.get_key_value(id));
            let live = id.filter(|(_, record)| !self.is_deleted(record));
            return live.map(|(id, _)| Arc::clone(id)).into_iter().collect();
        }
        self.index(field);
        let key = held.key(self.object.field(field).case_sensitive);
        let mut ids = self.found(field, &key).unwrap_or_default();
        ids.retain(|id| self.live(id).is_some());
        ids
    }

    /// As the state file keeps it.
    pub(super) fn stored(&self, record: &Record) -> String {
        let named = record.values.iter().map(|(index, held)| {
            let name = self.object.field(usize::from(*index)).name.clone();
            (name, to_stored(held))
        });
        Value::Object(named.collect::<Map<_, _>>()).to_string()
    }
}
