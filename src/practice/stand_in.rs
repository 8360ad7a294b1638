//! What every stand-in of a web API is to the HTTP frame around it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::call::{Answer, Call};
use super::faults::Mishap;
use super::store::DocumentChange;

/// A stand-in of one web API: a function of its state and of calls. It never waits, reads or
/// writes; whoever holds it makes its changes durable before an answer leaves.
pub(crate) trait StandIn: Send + 'static {
    /// What kind of call it is, by a name that counts and faults go by.
    fn kind_of(&self, call: &Call) -> String;

    /// Records that nobody else may write while the call is carried out.
    fn locks(&self, call: &Call) -> BTreeSet<String>;

    /// Long calls in flight, of which one more is refused.
    fn long_calls_max(&self) -> usize;

    /// Carries a call out.
    fn answer(&mut self, call: &Call) -> Answer;

    /// What a fault looks like in the API's own words; nothing else of the call is carried out.
    fn refuse(&mut self, fault: Mishap, call: &Call) -> Answer;

    /// Does a piece of what goes on behind the calls; says whether there was any.
    fn work(&mut self, now: DateTime<Utc>, locked: &BTreeSet<String>) -> bool;

    /// What has changed since this was last asked.
    fn take_changes(&mut self) -> Vec<DocumentChange>;

    /// Counts of its own, for `GET /practice/calls`.
    fn told(&self) -> Value;

    /// Carries out what `POST /practice/NAME` asks for; `None` if it knows no such thing.
    fn command(
        &mut self,
        name: &str,
        body: &Value,
        now: DateTime<Utc>,
    ) -> Option<Result<(), String>>;
}
