//! The run ledger: the durable account of runs, write-backs, batches, outcomes and rejected
//! records, in an embedded SQLite database (`.writeback/ledger.db`; WAL, `synchronous=FULL`). A
//! batch is recorded with its outcomes before its commit is asked for, and marked committed after;
//! so a run that was killed can be taken up where it stood.

mod account_calls;
mod actions;
mod alerts;
mod batches;
mod browse;
mod canaries;
mod codec;
mod counted;
pub(crate) mod cycles;
mod delivered;
mod error;
mod guards;
mod hands;
mod history;
mod images;
mod journal;
mod last_written;
mod lock;
mod outcomes;
mod parked;
mod parts;
mod paused;
mod pending;
mod record_requests;
mod rejections;
mod requests;
mod row_ids;
mod runs;
mod seal;
mod several;
mod snapshots;
mod sqlite;
mod status;
mod together;
mod write_backs;

pub(crate) use self::actions::{Action, ActionsWanted, Chain, DONE, NewAction};
pub(crate) use self::alerts::{Notification, Telling, Told};
pub(crate) use self::batches::{Left, SentBatch};
pub(crate) use self::browse::{RejectedWanted, RunsWanted};
pub(crate) use self::canaries::PassedCanary;
pub(crate) use self::counted::{GROUPS_KEPT, RejectionGroup};
pub(crate) use self::delivered::Versioned;
pub(crate) use self::error::LedgerError;
pub(crate) use self::guards::Approval;
pub(crate) use self::history::{BatchEntry, Pace, RunEntry, WriteBackEntry};
pub(crate) use self::images::{Commit, Earlier, ImageSegment, SentImages};
pub(crate) use self::journal::{ImagedBatch, JournalRun, RunKind};
pub(crate) use self::last_written::{LastWrittenEntry, SendingRun, SentSegments, TestedValues};
pub(crate) use self::lock::{ServeLock, file_name_of as job_file_name};
#[cfg(feature = "fuzzing")]
pub(crate) use self::outcomes::decode as decode_outcomes;
pub(crate) use self::parked::MayBeParked;
pub(crate) use self::parts::{BatchSpan, WriteBackId};
pub(crate) use self::pending::Pending;
pub(crate) use self::record_requests::{
    DayRun, NewRecordRequest, RecordRequest, RequestBegun, RequestEnd, RequestPlace, RequestTurn,
};
pub(crate) use self::rejections::ReasonCount;
pub(crate) use self::requests::{
    NewRequest, OfLook, PageRequest, RequestAct, RetryWish, TestWish, UndoWish,
};
pub(crate) use self::row_ids::RowsOf;
pub(crate) use self::runs::{NewRun, UnfinishedRun};
pub(crate) use self::several::{PartFate, RequestOfSeveral, RequestPart};
pub(crate) use self::sqlite::Ledger;
pub(crate) use self::status::RunStatus;
pub(crate) use self::write_backs::{MappedField, MappedFor, WrittenTo};

#[cfg(test)]
mod tests;
