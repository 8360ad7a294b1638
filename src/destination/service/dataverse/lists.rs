//! Rows of other tables that a row lists, many to many: read along with the row, and set one by one
//! before it is written, so that a row that cannot be written can be given the lists that it had.
//! Source: <https://learn.microsoft.com/en-us/power-apps/developer/data-platform/webapi/associate-disassociate-entities-using-web-api>.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value;
use tracing::warn;

use super::super::look_up::Hit;
use super::super::patience::patiently;
use super::super::seam::Reply;
use super::answers::{ApiError, PartAnswer, parts};
use super::describe::TableDescription;
use super::manner::spoken;
use super::values::{ids_of, is_list};
use super::writes::{Act, ListChange, ReadyWrite, associations, bypass_headers};
use super::{BATCH_MAX, DataverseDestination, Row};
use crate::domain::error::{SystemError, chain};
use crate::domain::field::NullPolicy;
use crate::domain::layout::{Layout, LayoutField};
use crate::domain::match_rule::MatchMode;
use crate::domain::value::Kind;
use crate::fault;
use crate::http::Repeat;

/// What is there already, as it says where a row is listed once more.
const THERE_ALREADY: &str = "0x80040237";

/// A row of another table, as far as it is read.
type Member = BTreeMap<String, Value>;

/// Ids by the names of the lists that a row has them in.
pub(super) type Listed = BTreeMap<String, BTreeSet<String>>;

/// What rows listed before anything was changed, by their ids.
pub(super) type ListsBefore = Mutex<BTreeMap<String, Listed>>;

/// What of the lists of a layout is asked for along with rows: `cr_account_contact($select=contactid)`.
pub(super) fn expanded(layout: &Layout, table: &TableDescription) -> Vec<String> {
    let mut lists: Vec<String> = Vec::new();
    for field in layout.fields.iter().filter(|field| is_list(field)) {
        let name = &field.column.name;
        let list = match id_column(table, name) {
            Some(id) => format!("{name}($select={id})"),
            None => name.clone(),
        };
        if !lists.contains(&list) {
            lists.push(list);
        }
    }
    lists
}

/// The column that holds the ids of the rows that a list shows.
fn id_column<'t>(table: &'t TableDescription, list: &str) -> Option<&'t str> {
    let (_, target) = table.lists().find(|(name, _)| *name == list)?;
    table.target_ids.get(target).map(String::as_str)
}

/// The layout by which it is read what rows list: by their ids.
fn of_lists(layout: &Layout, table: &TableDescription) -> Option<Layout> {
    let columns = &layout.object.columns;
    let id = columns
        .iter()
        .find(|column| column.name == table.primary_id_attribute)?;
    let id = LayoutField {
        key: true,
        ..LayoutField::plain(id.clone(), Kind::Uuid)
    };
    let lists = layout.fields.iter().filter(|field| is_list(field)).cloned();
    Some(Layout {
        object: layout.object.clone(),
        mode: MatchMode::UpdateOnly,
        nulls: NullPolicy::Write,
        only_where: Vec::new(),
        fields: std::iter::once(id).chain(lists).collect(),
        key: vec![0],
    })
}

/// Rows that are to be listed and are not, and those that are and are not to be.
fn missing_and_stray<'w>(write: &'w ReadyWrite, held: &Listed) -> Vec<ListChange<'w>> {
    let mut all = Vec::new();
    for (list, wanted) in &write.lists {
        let none = BTreeSet::new();
        let held = held.get(list.as_str()).unwrap_or(&none);
        let one = |member: &String, adds| ListChange {
            write,
            list: list.as_str(),
            member: member.clone(),
            adds,
        };
        all.extend(wanted.difference(held).map(|member| one(member, true)));
        all.extend(held.difference(wanted).map(|member| one(member, false)));
    }
    all
}

/// What a row that was read lists, under its id.
fn listed(layout: &Layout, hit: &Hit) -> (String, Listed) {
    let fields = layout.fields.iter().zip(&hit.values);
    let lists = fields.filter(|(field, _)| is_list(field));
    let lists = lists.map(|(field, held)| {
        let ids = ids_of(held.as_deref().unwrap_or_default());
        (field.column.name.clone(), ids)
    });
    (hit.stored.id.0.to_lowercase(), lists.collect())
}

fn is_done(reply: &Reply) -> bool {
    matches!(reply, Reply::Done { .. })
}

/// What an answer says of the record whose list it is about. What is listed already, or not listed any
/// more, is as it is to be.
fn reply(answer: &PartAnswer, one: &ListChange<'_>) -> Reply {
    let code = ApiError::read(&answer.body).map(|error| error.code);
    let is_there = one.adds && code.as_deref() == Some(THERE_ALREADY);
    let is_done = is_there || (!one.adds && answer.status == 404);
    match answer.reply(Some(&one.write.id), &[]) {
        Reply::Refused { .. } if is_done => Reply::Done {
            id: one.write.id.clone(),
        },
        Reply::Refused { message, .. } => Reply::Refused {
            message,
            column: Some(one.list.to_owned()),
        },
        other @ (Reply::Done { .. }
        | Reply::Again { .. }
        | Reply::ChangedSince
        | Reply::Gone
        | Reply::Unknown) => other,
    }
}

impl DataverseDestination {
    /// What a row lists, by the names of the lists: ids with semicolons between. Of a long list the
    /// first page is shown along with the row.
    pub(super) async fn lists_of<'l>(
        &self,
        layout: &'l Layout,
        table: &TableDescription,
        row: &Row,
    ) -> Result<BTreeMap<&'l str, String>, SystemError> {
        let mut lists = BTreeMap::new();
        for field in layout.fields.iter().filter(|field| is_list(field)) {
            let name = field.column.name.as_str();
            let unreadable = || self.unreadable(&format!("a row has no `{name}`"));
            let id_column = id_column(table, name).ok_or_else(unreadable)?;
            let shown: Vec<Member> = told(row, name).ok_or_else(unreadable)?;
            let mut ids = BTreeSet::new();
            let mut take = |shown: &[Member]| -> Result<(), SystemError> {
                for member in shown {
                    let id = member.get(id_column).and_then(Value::as_str);
                    ids.insert(id.ok_or_else(unreadable)?.to_lowercase());
                }
                Ok(())
            };
            take(&shown)?;
            let mut seen = HashSet::new();
            let mut next = self.next_page(told(row, &format!("{name}@odata.nextLink")), &seen)?;
            while let Some(path) = next {
                let page = self.page(path.clone()).await?;
                seen.insert(path);
                for row in &page.value {
                    let member = told(row, id_column).ok_or_else(unreadable)?;
                    take(&[Member::from([(id_column.to_owned(), member)])])?;
                }
                next = self.next_page(page.next_link, &seen)?;
            }
            lists.insert(name, Vec::from_iter(ids).join(";"));
        }
        Ok(lists)
    }

    /// Sets the lists of rows that are updated, before the rows are; the replies of those whose lists
    /// cannot be set.
    pub(super) async fn list_first(
        &self,
        layout: &Layout,
        table: &TableDescription,
        writes: &[ReadyWrite],
        before: &ListsBefore,
    ) -> Result<Vec<Option<Reply>>, SystemError> {
        let mut replies = vec![None; writes.len()];
        let lists = |write: &ReadyWrite| {
            write.act == Act::Update && !write.lists.is_empty() && write.fault().is_none()
        };
        let own = writes.iter().enumerate().filter(|(_, write)| lists(write));
        let (places, own): (Vec<usize>, Vec<&ReadyWrite>) = own.unzip();
        if own.is_empty() {
            return Ok(replies);
        }
        let set = patiently(&own, BATCH_MAX, self.attempts_max, |portion| async move {
            self.set_lists(layout, table, &portion, before).await
        });
        for (place, reply) in places.into_iter().zip(set.await?) {
            if let (Some(slot), false) = (replies.get_mut(place), is_done(&reply)) {
                *slot = Some(reply);
            }
        }
        fault::point("lists set before their rows");
        Ok(replies)
    }

    /// Gives rows that were not written the lists that they had, and sets those of new rows. A new row
    /// whose list is refused was made without it: it is told, and the next run finds what it lacks.
    pub(super) async fn list_last(
        &self,
        layout: &Layout,
        table: &TableDescription,
        writes: &[ReadyWrite],
        before: ListsBefore,
        mut replies: Vec<Reply>,
    ) -> Vec<Reply> {
        let before = before.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (mut places, mut late) = (Vec::new(), Vec::new());
        for (place, (write, reply)) in writes.iter().zip(&replies).enumerate() {
            let had = before.get(&write.id.0.to_lowercase());
            let is_known = matches!(reply, Reply::Unknown);
            match (write.act, had) {
                (Act::Create, _) if is_done(reply) && !write.lists.is_empty() => {
                    late.push(write.clone());
                    places.push(place);
                }
                (Act::Update, Some(had)) if !is_done(reply) && !is_known => {
                    late.push(write.with_lists(had));
                    places.push(place);
                }
                (Act::Create | Act::Update | Act::Delete, _) => {}
            }
        }
        if late.is_empty() {
            return replies;
        }
        let (late, nothing): (Vec<&ReadyWrite>, _) =
            (late.iter().collect(), ListsBefore::default());
        let nothing = &nothing;
        let set = patiently(&late, BATCH_MAX, self.attempts_max, |portion| async move {
            self.set_lists(layout, table, &portion, nothing).await
        })
        .await;
        let set = set.unwrap_or_else(|error| {
            let (connection, why) = (self.session.connection(), chain(&error).join(": "));
            warn!(connection, why, "lists of rows are in doubt");
            vec![Reply::Unknown; late.len()]
        });
        for ((place, write), set) in places.into_iter().zip(late).zip(set) {
            let is_gone = set == Reply::Gone;
            if is_done(&set) || is_gone {
                continue;
            }
            let (connection, row) = (self.session.connection(), &write.id.0);
            if write.act == Act::Create {
                warn!(connection, row, reply = ?set, "a row was made without its list");
            } else if let Some(reply) = replies.get_mut(place) {
                // It is looked at again.
                *reply = Reply::Unknown;
            }
        }
        replies
    }

    /// Sets the lists of these rows: what is missing is added, and what is too much taken out. What
    /// they listed when that was read first is noted.
    async fn set_lists(
        &self,
        layout: &Layout,
        table: &TableDescription,
        writes: &[&ReadyWrite],
        before: &ListsBefore,
    ) -> Result<Vec<Reply>, SystemError> {
        let Some(own) = of_lists(layout, table) else {
            return Err(self.unreadable("the table has no id"));
        };
        let keys: Vec<Vec<String>> = writes
            .iter()
            .map(|write| vec![write.id.0.clone()])
            .collect();
        let found = self.rows(&own, &keys).await?;
        let found: BTreeMap<String, Listed> = found.iter().map(|hit| listed(&own, hit)).collect();
        let mut replies = Vec::with_capacity(writes.len());
        let mut changes = Vec::new();
        for (place, write) in writes.iter().enumerate() {
            let id = write.id.0.to_lowercase();
            let Some(held) = found.get(&id) else {
                replies.push(Reply::Gone);
                continue;
            };
            let mut known = before.lock().unwrap_or_else(PoisonError::into_inner);
            known.entry(id).or_insert_with(|| held.clone());
            let own = missing_and_stray(write, held).into_iter();
            changes.extend(own.map(|change| (place, change)));
            replies.push(Reply::Done {
                id: write.id.clone(),
            });
        }
        let mut has_begun = false;
        for portion in changes.chunks(BATCH_MAX) {
            let (places, portion): (Vec<usize>, Vec<ListChange<'_>>) =
                portion.iter().cloned().unzip();
            let told = match self.change(table, &portion).await {
                Ok(told) => told,
                Err(error) if !has_begun => return Err(error),
                // What was changed before is changed.
                Err(_) => vec![Reply::Unknown; portion.len()],
            };
            has_begun = true;
            for (place, told) in places.into_iter().zip(told) {
                if let Some(reply @ Reply::Done { .. }) = replies.get_mut(place) {
                    *reply = told;
                }
            }
        }
        Ok(replies)
    }

    /// Lists rows or takes them out of lists, each by itself; one reply each.
    async fn change(
        &self,
        table: &TableDescription,
        changes: &[ListChange<'_>],
    ) -> Result<Vec<Reply>, SystemError> {
        let root = self.session.manner.root();
        let request = associations((&self.base, &root), table, changes, &self.options);
        let headers = bypass_headers(&self.options).into_iter();
        let request = headers.fold(request, |request, (name, value)| {
            request.with_header(name, value)
        });
        // What was done is found to be done.
        let response = self
            .session
            .call(spoken(request), Repeat::SameTwice)
            .await?;
        let Some(answers) = parts(&response) else {
            return Err(self.failure(&response, "writing lists of rows"));
        };
        let told = |(place, one): (usize, &ListChange<'_>)| match answers.get(place) {
            Some(answer) if answers.len() == changes.len() => reply(answer, one),
            Some(_) | None => Reply::Unknown,
        };
        Ok(changes.iter().enumerate().map(told).collect())
    }
}

/// What a row tells under a name.
fn told<T: for<'a> Deserialize<'a>>(row: &Row, name: &str) -> Option<T> {
    serde_json::from_str(row.get(name)?.get()).ok()
}
