//! The records of one object, by their ids, and what the search still sees of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::object::ObjectType;

pub(super) const ALIASES: &str = "hs_additional_emails";
pub(super) const MERGED_IDS: &str = "hs_merged_object_ids";
pub(super) const ID: &str = "hs_object_id";

/// A record. A property that holds nothing is not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) properties: BTreeMap<String, String>,
    pub(super) created: DateTime<Utc>,
    pub(super) updated: DateTime<Utc>,
    #[serde(default)]
    pub(super) archived: bool,
    /// The record that it was merged into.
    #[serde(default)]
    pub(super) merged_into: Option<u64>,
    /// What it was before, as long as the search may see that.
    #[serde(default)]
    past: Vec<Past>,
}

/// What a record was until then; nothing, if it was not there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Past {
    until: DateTime<Utc>,
    properties: Option<BTreeMap<String, String>>,
}

impl Record {
    pub(super) fn new(properties: BTreeMap<String, String>, now: DateTime<Utc>) -> Self {
        Self {
            properties,
            created: now,
            updated: now,
            archived: false,
            merged_into: None,
            past: Vec::new(),
        }
    }

    /// Notes what it was until now, before it is changed; what is older than `since` is forgotten.
    pub(super) fn remember(&mut self, now: DateTime<Utc>, since: DateTime<Utc>) {
        let properties = (!self.archived).then(|| self.properties.clone());
        self.past.retain(|past| past.until > since);
        self.past.push(Past {
            until: now,
            properties,
        });
    }

    /// Notes that it was not there until now.
    pub(super) fn remember_absence(&mut self, now: DateTime<Utc>) {
        self.past.push(Past {
            until: now,
            properties: None,
        });
    }

    /// What the search sees of it, whose index stands where it stood at that time.
    pub(super) fn seen_at(&self, time: DateTime<Utc>) -> Option<&BTreeMap<String, String>> {
        match self.past.iter().find(|past| past.until > time) {
            Some(past) => past.properties.as_ref(),
            None if self.archived => None,
            None => Some(&self.properties),
        }
    }
}

#[derive(Debug)]
pub(super) struct Table {
    pub(super) object: Arc<ObjectType>,
    records: BTreeMap<u64, Record>,
    /// Which record holds a value of a property that no two share, in lower case; addresses of
    /// contacts and their further ones among them.
    unique: HashMap<String, HashMap<String, u64>>,
}

impl Table {
    pub(super) fn new(object: ObjectType) -> Self {
        Self {
            object: Arc::new(object),
            records: BTreeMap::new(),
            unique: HashMap::new(),
        }
    }

    pub(super) fn records(&self) -> impl Iterator<Item = (u64, &Record)> {
        self.records.iter().map(|(id, record)| (*id, record))
    }

    pub(super) fn record(&self, id: u64) -> Option<&Record> {
        self.records.get(&id)
    }

    /// A record that is there, or the one that it was merged into.
    pub(super) fn live(&self, id: u64) -> Option<(u64, &Record)> {
        let mut id = id;
        // Each merge leads to a record that was made before or after, so this ends.
        for _ in 0..=self.records.len() {
            let record = self.records.get(&id)?;
            match record.merged_into {
                Some(winner) => id = winner,
                None => return (!record.archived).then_some((id, record)),
            }
        }
        None
    }

    /// The record that holds a value of a property that no two share.
    pub(super) fn holder(&self, property: &str, value: &str) -> Option<u64> {
        self.unique
            .get(property)?
            .get(&value.trim().to_lowercase())
            .copied()
    }

    pub(super) fn put(&mut self, id: u64, record: Record) {
        if let Some(before) = self.records.remove(&id) {
            for (property, value) in self.unique_values(&before) {
                if let Some(holders) = self.unique.get_mut(&property)
                    && holders.get(&value) == Some(&id)
                {
                    holders.remove(&value);
                }
            }
        }
        for (property, value) in self.unique_values(&record) {
            self.unique.entry(property).or_default().insert(value, id);
        }
        self.records.insert(id, record);
    }

    fn unique_values(&self, record: &Record) -> Vec<(String, String)> {
        if record.archived {
            return Vec::new();
        }
        let mut values = Vec::new();
        for (name, value) in &record.properties {
            let property = self.object.properties.get(name);
            if property.is_some_and(|property| property.unique) {
                values.push((name.clone(), value.to_lowercase()));
            }
            if self.object.is_contact() && (name == "email" || name == ALIASES) {
                let addresses = value.split(';').filter(|address| !address.is_empty());
                let own = |address: &str| ("email".to_owned(), address.trim().to_lowercase());
                values.extend(addresses.map(own));
            }
        }
        values
    }
}
