//! The HTTP frame around a stand-in: it takes calls in, lets faults strike, keeps writes of the same
//! records apart, makes changes durable before answers leave, and counts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until, timeout_at};
use tracing::{debug, error};

use super::call::{Answer, Call, Hindrance, Verb};
use super::clock::Clock;
use super::faults::{Faults, Mishap, Tempo};
use super::line::{Cut, Lines};
use super::stand_in::StandIn;
use super::store::Store;

/// Bytes of a body: what the largest upload of a bulk job may have, and some more.
const BODY_BYTES_MAX: usize = 160_000_000;

/// How long after the connection has ended a call is carried out whose answer is dropped meanwhile.
const DROP_IN_DELAY: Duration = Duration::from_millis(200);

const DOWN_PAGE: &str = "<!DOCTYPE html><html><head><title>We are down for maintenance.</title></head>\
    <body><h1>We are down for maintenance.</h1><p>Sorry for the inconvenience. We'll be back shortly.</p></body></html>\n";
const GATEWAY_PAGE: &str = "<html><head><title>502 Bad Gateway</title></head><body><center><h1>502 Bad Gateway</h1></center>\
    <hr><center>nginx</center></body></html>\n";
const LOGIN_PAGE: &str = "<!DOCTYPE html><html><head><title>Login</title></head><body>\
    <form id=\"login_form\" action=\"/login\" method=\"post\"></form></body></html>\n";

/// A stand-in and all that goes on around it.
pub(super) struct Desk<S> {
    inner: tokio::sync::Mutex<Inner<S>>,
    faults: Mutex<Faults>,
    counts: Mutex<Counts>,
    held: Mutex<BTreeSet<String>>,
    released: Notify,
    work: Notify,
    clock: Clock,
}

struct Inner<S> {
    stand_in: S,
    store: Store,
    /// Whether something could not be made durable: then nothing is answered any more.
    broken: bool,
}

#[derive(Default)]
struct Counts {
    /// Calls of each kind.
    calls: BTreeMap<String, u64>,
    total: u64,
    /// When calls began that are in flight.
    in_flight: BTreeMap<u64, Instant>,
    in_flight_max: usize,
    /// Faults that struck.
    faults: u64,
}

/// A lock that is held no longer than it takes to look, so that a panic elsewhere leaves it whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: StandIn> Desk<S> {
    pub(super) fn new(stand_in: S, store: Store, faults: Faults) -> Arc<Self> {
        Arc::new(Self {
            inner: tokio::sync::Mutex::new(Inner {
                stand_in,
                store,
                broken: false,
            }),
            faults: Mutex::new(faults),
            counts: Mutex::new(Counts::default()),
            held: Mutex::new(BTreeSet::new()),
            released: Notify::new(),
            work: Notify::new(),
            clock: Clock::default(),
        })
    }

    /// Makes durable what loading changed, and answers until the process ends.
    pub(super) async fn open(self: &Arc<Self>, lines: Lines) -> Result<(), sqlx::Error> {
        let mut inner = self.inner.lock().await;
        let changes = inner.stand_in.take_changes();
        inner.store.commit(&changes).await?;
        drop(inner);
        tokio::spawn(Arc::clone(self).work());
        self.work.notify_one();
        let routes = Router::new()
            .fallback(take::<S>)
            .with_state(Arc::clone(self));
        let service = routes.into_make_service_with_connect_info::<Cut>();
        tokio::spawn(axum::serve(lines, service).into_future());
        Ok(())
    }

    /// Does what goes on behind the calls, a piece at a time.
    async fn work(self: Arc<Self>) {
        loop {
            let locked = lock(&self.held).clone();
            let mut inner = self.inner.lock().await;
            let has_more = !inner.broken && inner.stand_in.work(self.clock.now(), &locked);
            inner.commit().await;
            drop(inner);
            match has_more {
                // Others come between two pieces.
                true => sleep(self.tempo().latency.max(Duration::from_millis(1))).await,
                false => self.work.notified().await,
            }
        }
    }

    fn tempo(&self) -> Tempo {
        lock(&self.faults).tempo
    }

    /// Counts a call in; gives its number, and how many long calls were in flight before it.
    fn begin(&self, kind: &str, tempo: Tempo) -> (u64, usize) {
        let mut counts = lock(&self.counts);
        counts.total += 1;
        *counts.calls.entry(kind.to_owned()).or_default() += 1;
        let number = counts.total;
        let is_long = |began: &&Instant| began.elapsed() >= tempo.long_call;
        let long = counts.in_flight.values().filter(is_long).count();
        counts.in_flight.insert(number, Instant::now());
        counts.in_flight_max = counts.in_flight_max.max(counts.in_flight.len());
        (number, long)
    }

    /// Holds records for a call, once others have let go of them; those that are still held after
    /// a while are given back.
    async fn hold(
        &self,
        wanted: BTreeSet<String>,
        tempo: Tempo,
    ) -> (Held<'_, S>, BTreeSet<String>) {
        let deadline = Instant::now() + tempo.lock_wait;
        let (own, locked) = loop {
            let released = self.released.notified();
            if let Some(taken) = self.take_free(&wanted, Instant::now() >= deadline) {
                break taken;
            }
            // Whether somebody let go or time is up is seen above.
            drop(timeout_at(deadline.into(), released).await);
        };
        (Held { desk: self, own }, locked)
    }

    /// Takes records that nobody holds: all of them or none, or at last those that are free. Gives
    /// what was taken, and what others hold.
    fn take_free(
        &self,
        wanted: &BTreeSet<String>,
        at_last: bool,
    ) -> Option<(BTreeSet<String>, BTreeSet<String>)> {
        let mut held = lock(&self.held);
        let locked: BTreeSet<String> = wanted.intersection(&held).cloned().collect();
        if !locked.is_empty() && !at_last {
            return None;
        }
        let own: BTreeSet<String> = wanted.difference(&locked).cloned().collect();
        held.extend(own.iter().cloned());
        Some((own, locked))
    }

    async fn take(self: Arc<Self>, mut call: Call, cut: Cut) -> Answer {
        let inner = self.inner.lock().await;
        let kind = inner.stand_in.kind_of(&call);
        let long_calls_max = inner.stand_in.long_calls_max();
        drop(inner);
        let tempo = self.tempo();
        let (number, long_calls) = self.begin(&kind, tempo);
        let struck = lock(&self.faults).draw(&kind);
        lock(&self.counts).faults += u64::try_from(struck.len()).unwrap_or_default();
        debug!(kind, number, faults = ?struck, "call");
        call.hindrance = Hindrance {
            locked: BTreeSet::new(),
            lock_some: struck.contains(&Mishap::Lock),
            page: tempo.page,
            short_page: struck.contains(&Mishap::ShortPage),
            bulk_fail: struck.contains(&Mishap::BulkFail),
            token_calls: tempo.token_calls,
            others: tempo.others,
            number,
        };
        let answer = match long_calls >= long_calls_max {
            true => self.refuse(Mishap::Concurrent, &call).await,
            false => self.carry_out(call, &struck, tempo, &cut).await,
        };
        lock(&self.counts).in_flight.remove(&number);
        answer
    }

    async fn carry_out(
        self: &Arc<Self>,
        mut call: Call,
        struck: &[Mishap],
        tempo: Tempo,
        cut: &Cut,
    ) -> Answer {
        let has = |fault| struck.contains(&fault);
        if has(Mishap::DropBefore) {
            cut.after(0);
            return Answer::new(500);
        }
        if let Some(answer) = page_of(struck) {
            return answer;
        }
        let in_words = [
            Mishap::Expire,
            Mishap::NoApi,
            Mishap::AppDetached,
            Mishap::Quota,
            Mishap::Concurrent,
            Mishap::TooLong,
            Mishap::Unavailable,
            Mishap::ServerError,
            Mishap::BareError,
            Mishap::Moved,
            Mishap::MovedAway,
        ];
        if let Some(fault) = in_words.into_iter().find(|fault| has(*fault)) {
            return self.refuse(fault, &call).await;
        }
        if has(Mishap::DropIn) {
            cut.after(0);
            let desk = Arc::clone(self);
            tokio::spawn(async move {
                sleep(DROP_IN_DELAY).await;
                desk.answer(&call).await;
            });
            return Answer::new(500);
        }
        let wanted = self.inner.lock().await.stand_in.locks(&call);
        let (held, locked) = self.hold(wanted, tempo).await;
        call.hindrance.locked = locked;
        // What is done takes its time within the call's: half of the way is there, half is back.
        let begun = Instant::now();
        sleep(tempo.latency / 2).await;
        let mut answer = self.answer(&call).await;
        sleep_until((begun + tempo.latency).into()).await;
        drop(held);
        if has(Mishap::ErrorAfter) {
            answer = self.refuse(Mishap::ErrorAfter, &call).await;
        }
        if has(Mishap::CutJson) {
            let half = answer.body.len() / 2;
            answer.body.truncate(half);
        }
        if has(Mishap::DropAfter) {
            // The head and a part of the body.
            cut.after(120 + answer.body.len() / 2);
        }
        answer
    }

    async fn answer(&self, call: &Call) -> Answer {
        let mut inner = self.inner.lock().await;
        let answer = match inner.broken {
            true => Answer::new(503),
            false => inner.stand_in.answer(call),
        };
        inner.commit().await;
        let broken = inner.broken;
        drop(inner);
        self.work.notify_one();
        match broken {
            true => Answer::text(
                503,
                "text/plain",
                "the practice could not save its state; its log says why\n",
            ),
            false => answer,
        }
    }

    async fn refuse(&self, fault: Mishap, call: &Call) -> Answer {
        let mut inner = self.inner.lock().await;
        let answer = inner.stand_in.refuse(fault, call);
        inner.commit().await;
        answer
    }

    /// `/practice/…`: for those who rehearse, never for clients of the API.
    async fn control(&self, call: &Call) -> Answer {
        let path = call.path();
        match (call.method, path.get(1..).unwrap_or_default()) {
            (Verb::Get, ["calls"]) => {
                let told = self.inner.lock().await.stand_in.told();
                let counts = lock(&self.counts);
                let told = json!({
                    "calls": counts.calls, "total": counts.total, "faults": counts.faults,
                    "in_flight_max": counts.in_flight_max, "org": told,
                });
                Answer::json(200, told.to_string())
            }
            (Verb::Post, ["calls", "reset"]) => {
                let mut counts = lock(&self.counts);
                counts.calls.clear();
                counts.total = 0;
                counts.faults = 0;
                counts.in_flight_max = counts.in_flight.len();
                Answer::new(204)
            }
            (Verb::Post, ["faults"]) => {
                match String::from_utf8_lossy(&call.body).parse::<Faults>() {
                    Ok(faults) => {
                        *lock(&self.faults) = faults;
                        Answer::new(204)
                    }
                    Err(error) => refused(&error.to_string()),
                }
            }
            (Verb::Post, ["clock"]) => self.advance(call),
            (Verb::Post, [name]) => {
                let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
                let mut inner = self.inner.lock().await;
                let done = inner.stand_in.command(name, &body, self.clock.now());
                inner.commit().await;
                match done {
                    Some(Ok(())) => Answer::new(204),
                    Some(Err(why)) => refused(&why),
                    None => Answer::new(404),
                }
            }
            _ => Answer::new(404),
        }
    }

    fn advance(&self, call: &Call) -> Answer {
        let text = String::from_utf8_lossy(&call.body);
        let duration = humantime::parse_duration(text.trim()).ok();
        let milliseconds = duration.and_then(|duration| u32::try_from(duration.as_millis()).ok());
        match milliseconds {
            Some(milliseconds) => {
                self.clock.advance(milliseconds);
                Answer::new(204)
            }
            None => refused("write a duration up to 49 days, such as `1h`"),
        }
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }
}

impl<S: StandIn> Inner<S> {
    /// Makes durable what has changed. If that cannot be done, nothing is answered from now on:
    /// what a client was told must be there after a restart.
    async fn commit(&mut self) {
        let changes = self.stand_in.take_changes();
        if let Err(failed) = self.store.commit(&changes).await {
            error!(error = %failed, file = %self.store.file.display(), "could not save the practice's state");
            self.broken = true;
        }
    }
}

/// Records that a call holds until it is dropped.
struct Held<'a, S: StandIn> {
    desk: &'a Desk<S>,
    own: BTreeSet<String>,
}

impl<S: StandIn> Drop for Held<'_, S> {
    fn drop(&mut self) {
        lock(&self.desk.held).retain(|id| !self.own.contains(id));
        self.desk.released.notify_waiters();
    }
}

/// An answer that no API gives but what stands before it.
fn page_of(struck: &[Mishap]) -> Option<Answer> {
    let html = |status, page: &str| Answer::text(status, "text/html; charset=UTF-8", page);
    let pages = [
        (Mishap::BadGateway, 502, GATEWAY_PAGE),
        (Mishap::Maintenance, 503, DOWN_PAGE),
        (Mishap::LoginPage, 200, LOGIN_PAGE),
    ];
    pages
        .into_iter()
        .find(|(fault, _, _)| struck.contains(fault))
        .map(|(_, status, page)| html(status, page))
}

fn refused(why: &str) -> Answer {
    Answer::text(400, "text/plain; charset=UTF-8", format!("{why}\n"))
}

/// Takes a call in. It is carried out even if the client is gone before its end.
async fn take<S: StandIn>(
    State(desk): State<Arc<Desk<S>>>,
    ConnectInfo(cut): ConnectInfo<Cut>,
    request: Request,
) -> Response {
    let is_local = is_local(cut.peer);
    let call = match read(request, desk.now()).await {
        Ok(call) => call,
        Err(status) => return respond(Answer::new(status.as_u16())),
    };
    let is_control = call
        .segments
        .first()
        .is_some_and(|first| first == "practice");
    let answered = tokio::spawn(async move {
        match is_control {
            true if is_local => desk.control(&call).await,
            true => Answer::new(404),
            false => desk.take(call, cut).await,
        }
    });
    respond(answered.await.unwrap_or_else(|_| Answer::new(500)))
}

fn is_local(peer: SocketAddr) -> bool {
    peer.ip().to_canonical().is_loopback()
}

async fn read(request: Request, now: DateTime<Utc>) -> Result<Call, StatusCode> {
    let (head, body) = request.into_parts();
    let method = Verb::named(head.method.as_str()).ok_or(StatusCode::METHOD_NOT_ALLOWED)?;
    let uri = head.uri.path_and_query().map_or("/", |uri| uri.as_str());
    let mut call = Call::new(method, uri, now);
    // For clients that know no PATCH.
    if let (Verb::Post, Some(method)) =
        (method, call.parameter("_HttpMethod").and_then(Verb::named))
    {
        call.method = method;
    }
    call.headers = head
        .headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect();
    let body: Bytes = to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    call.body = body.to_vec();
    Ok(call)
}

fn respond(answer: Answer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &answer.headers {
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_str(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}
