//! Carrying requests out: one after the other for each record, a bounded number at once, and all of
//! them to an end, whoever still waits for the answer. What is under way is in the ledger.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use chrono::Utc;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout, timeout_at};
use tracing::{error, info, warn};

use super::answer::{Answered, DestinationAnswer, Refused};
use super::body::ReadChange;
use super::several::Addressed;
use crate::config::{CheckedJob, Project};
use crate::domain::error::{SystemError, chain, own_words};
use crate::domain::match_key::ToldBy;
use crate::domain::outcome::Rejection;
use crate::domain::parking::Parked;
use crate::domain::printable::hexadecimal;
use crate::domain::real_time::RequestFate;
use crate::ledger::{
    Ledger, LedgerError, NewRecordRequest, RecordRequest, RequestBegun, RequestEnd, RequestPlace,
    RequestTurn,
};
use crate::run::PushError;
use crate::run::plan::PlanError;
use crate::run::real_time::{Asked, Mapped, Post, Settled, Unfit, Unresolved, rejection_at};
use crate::run::stop::Stop;

/// Requests that wait or are at work at once: each takes a few kilobytes. One more is told to come
/// back.
const REQUESTS_MAX: usize = 512;

/// Requests of one write-back at work at once, each with a connection of its own. More would wait
/// for one another in the ledger.
const AT_WORK_MAX: usize = 8;

/// How long a request waits for its turn before it is told to come back. With what follows it stays
/// below the ten seconds in which there is an answer.
pub(super) const TURN_WAIT_MAX: Duration = Duration::from_secs(4);

/// How long a request may take once it has begun before its caller is told to ask again.
const WORK_DURATION_MAX: Duration = Duration::from_millis(5_500);

/// Pauses between two looks at what became of a request in doubt.
const SETTLE_PAUSE_FIRST: Duration = Duration::from_millis(500);
const SETTLE_PAUSE_MAX: Duration = Duration::from_secs(30);

/// The files as the process that serves has read them.
#[derive(Debug, Clone)]
pub(crate) struct ServedFiles {
    pub(crate) project: Arc<Project>,
    pub(crate) jobs: BTreeMap<String, Arc<CheckedJob>>,
}

/// Who asks, and as what.
#[derive(Debug, Clone)]
pub(super) struct From {
    pub(super) caller: String,
    pub(super) idempotency_key: Option<String>,
    /// Of the request, if it has one already.
    pub(super) id: Option<String>,
    /// Whether it is accepted before it is carried out.
    pub(super) is_accepted: bool,
}

/// What carries requests out.
pub(super) struct Desk {
    ledger: Ledger,
    files: watch::Receiver<ServedFiles>,
    /// By job and write-back.
    posts: StdMutex<HashMap<(String, String), OpenedOnce>>,
    places: Arc<Semaphore>,
    stop: Stop,
}

/// A write-back that requests were made of.
#[derive(Clone)]
struct Opened {
    /// Of the files that it was opened with: others make another one.
    job: Arc<CheckedJob>,
    project: Arc<Project>,
    post: Arc<Post>,
    turns: Arc<Semaphore>,
}

/// Absent until it is met with its object, and once what is known of that may be old.
type OpenedOnce = Arc<Mutex<Option<Opened>>>;

/// What became of a change that was taken in.
pub(super) enum TakenIn {
    /// It is carried out later: the id to ask by.
    Accepted(String),
    Answered(Answered),
}

/// A request that has a place and may wait for its turn.
pub(super) struct Ready {
    opened: Opened,
    job: String,
    change: ReadChange,
    _place: OwnedSemaphorePermit,
}

/// A request that is recorded and not yet carried out.
struct Recorded {
    place: RequestPlace,
    id: String,
    record: String,
    begun: Instant,
}

impl Desk {
    pub(super) fn new(ledger: Ledger, files: watch::Receiver<ServedFiles>, stop: Stop) -> Self {
        Self {
            ledger,
            files,
            posts: StdMutex::default(),
            places: Arc::new(Semaphore::new(REQUESTS_MAX)),
            stop,
        }
    }

    pub(super) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// A write-back of a job, met with its object.
    /// Errors: there is none; it cannot be met now.
    pub(super) async fn post(&self, job: &str, write_back: &str) -> Result<Arc<Post>, Refused> {
        Ok(self.opened(job, write_back).await?.post)
    }

    async fn opened(&self, job: &str, write_back: &str) -> Result<Opened, Refused> {
        let files = self.files.borrow().clone();
        let checked = files.jobs.get(job).cloned();
        let checked = checked.filter(|checked| {
            let mut write_backs = checked.job.write_backs.iter();
            write_backs.any(|known| known.name == write_back)
        });
        let checked = checked.ok_or_else(|| no_such(job, write_back))?;
        let post = self.post_named(job, write_back);
        // Who comes while it is met waits for that, and for no other write-back.
        let mut post_opened = post.lock().await;
        if let Some(opened) = post_opened.as_ref()
            && Arc::ptr_eq(&opened.job, &checked)
            && Arc::ptr_eq(&opened.project, &files.project)
        {
            return Ok(opened.clone());
        }
        let (project, ledger) = (Arc::clone(&files.project), self.ledger.clone());
        let opening = Post::open(project, &checked, write_back, ledger);
        let post = match timeout(TURN_WAIT_MAX, opening).await {
            Ok(post) => post.map_err(|error| unmet(&error))?,
            Err(_) => return Err(busy("the destination takes long to describe itself")),
        };
        let opened = Opened {
            job: checked,
            project: files.project,
            post: Arc::new(post),
            turns: Arc::new(Semaphore::new(AT_WORK_MAX)),
        };
        *post_opened = Some(opened.clone());
        Ok(opened)
    }

    fn post_named(&self, job: &str, write_back: &str) -> OpenedOnce {
        let name = (job.to_owned(), write_back.to_owned());
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(posts.entry(name).or_default())
    }

    /// What is known of the object may be old: the next request meets it anew.
    async fn forget(&self, job: &str, post: &Arc<Post>) {
        let opened = self.post_named(job, post.write_back());
        let is_it = |opened: &mut Opened| Arc::ptr_eq(&opened.post, post);
        drop(opened.lock().await.take_if(is_it));
    }

    /// What a caller calls so.
    /// Errors: there is none.
    pub(super) fn named(&self, job: &str, write_back: &str) -> Result<Addressed, Refused> {
        let files = self.files.borrow();
        let named = files.jobs.get(job);
        let named = named.and_then(|checked| Addressed::of(checked, write_back));
        named.ok_or_else(|| no_such(job, write_back))
    }

    /// The project's jobs but this one.
    pub(super) fn other_jobs(&self, job: &str) -> Vec<Arc<CheckedJob>> {
        let files = self.files.borrow();
        let others = files.jobs.iter().filter(|(name, _)| *name != job);
        others.map(|(_, other)| Arc::clone(other)).collect()
    }

    /// Places for this many requests.
    /// Errors: 429.
    pub(super) fn places(&self, count: usize) -> Result<Vec<OwnedSemaphorePermit>, Refused> {
        if self.stop.is_asked() {
            return Err(busy("the process is about to stop"));
        }
        let place = || Arc::clone(&self.places).try_acquire_owned();
        let places: Result<Vec<_>, _> = (0..count).map(|_| place()).collect();
        places.map_err(|_| busy("as many requests as may be are under way"))
    }

    /// Carries a change out, or accepts it for later, as was asked for.
    pub(super) async fn take(
        self: &Arc<Self>,
        (job, write_back): (&str, &str),
        named: &Addressed,
        change: ReadChange,
        from: From,
    ) -> Result<TakenIn, Refused> {
        if named.is_several {
            return self.take_several(job, named, change, from).await;
        }
        let place = self.places(1)?.pop();
        let place = place.ok_or_else(broken)?;
        let ready = self.ready(job, write_back, change, place).await?;
        self.take_ready(ready, from).await
    }

    pub(super) async fn take_ready(
        self: &Arc<Self>,
        ready: Ready,
        from: From,
    ) -> Result<TakenIn, Refused> {
        Ok(match from.is_accepted {
            true => TakenIn::Accepted(self.accept(ready, from).await?),
            false => TakenIn::Answered(self.carry_out(ready, from).await?),
        })
    }

    /// A request that has a place.
    /// Errors: what [`Desk::post`] says.
    pub(super) async fn ready(
        &self,
        job: &str,
        write_back: &str,
        change: ReadChange,
        place: OwnedSemaphorePermit,
    ) -> Result<Ready, Refused> {
        Ok(Ready {
            opened: self.opened(job, write_back).await?,
            job: job.to_owned(),
            change,
            _place: place,
        })
    }

    /// Carries a request out and waits for its end, or until its caller is to be answered.
    async fn carry_out(self: &Arc<Self>, ready: Ready, from: From) -> Result<Answered, Refused> {
        let (begun, told) = tokio::sync::oneshot::channel();
        let work = tokio::spawn(Arc::clone(self).work(ready, from, begun));
        // Whoever asked may be gone: what has begun is brought to an end all the same.
        let Ok(recorded) = told.await else {
            return work.await.unwrap_or_else(|_| Err(broken()));
        };
        let deadline = tokio::time::Instant::now() + WORK_DURATION_MAX;
        match timeout_at(deadline, work).await {
            Ok(worked) => worked.unwrap_or_else(|_| Err(broken())),
            Err(_) => Ok(unknown(&recorded)),
        }
    }

    /// Records a request, which is carried out when its turn comes, however long that takes.
    /// Returns its id.
    async fn accept(self: &Arc<Self>, ready: Ready, from: From) -> Result<String, Refused> {
        let Ready {
            opened: Opened { post, turns, .. },
            job,
            change,
            _place,
        } = ready;
        let mapped = mapped(&post, &change)?;
        let record = record_of(&mapped);
        let begun = self
            .begin(&post, &job, &change, &from, &mapped, &record)
            .await?;
        let id = match begun {
            Ok((recorded, _)) => recorded.id,
            Err(known) => return Ok(known.id),
        };
        let desk = Arc::clone(self);
        tokio::spawn({
            let id = id.clone();
            async move {
                // The place is given back once it is carried out.
                let _place = _place;
                desk.go_on_with_accepted(&post, &turns, &record, &id).await;
            }
        });
        Ok(id)
    }

    /// Waits for the record's turn, records the request, and carries it out. `begun` is told of it
    /// once it is recorded.
    async fn work(
        self: Arc<Self>,
        ready: Ready,
        from: From,
        begun: tokio::sync::oneshot::Sender<Recorded>,
    ) -> Result<Answered, Refused> {
        let Ready {
            opened: Opened { post, turns, .. },
            job,
            change,
            _place,
        } = ready;
        let started = Instant::now();
        let mapped = mapped(&post, &change)?;
        let record = record_of(&mapped);
        let turn = async {
            let held = post.hold(&record).await;
            (held, turns.acquire_owned().await)
        };
        let Ok(_turn) = timeout(TURN_WAIT_MAX, turn).await else {
            return Err(busy("others write, and this request's turn did not come"));
        };
        let (recorded, parked) = match self
            .begin(&post, &job, &change, &from, &mapped, &record)
            .await?
        {
            Ok((place, parked)) => {
                let recorded = Recorded {
                    begun: started,
                    ..place
                };
                (recorded, parked)
            }
            Err(known) => return Ok(known),
        };
        let told = Recorded {
            id: recorded.id.clone(),
            record: recorded.record.clone(),
            ..recorded
        };
        drop(begun.send(told));
        let ended = self.write(&job, &post, &recorded, mapped, parked).await;
        let answered = ended
            .as_ref()
            .map_or(RequestFate::NotWritten, |(fate, _)| *fate);
        info!(job, write_back = post.write_back(), run = recorded.place.run, request = recorded.id, caller = from.caller,
            origin = change.origin, outcome = ?answered, milliseconds = started.elapsed().as_millis(), "a request");
        ended.map(|(_, answered)| answered)
    }

    /// Records a request, and says how its record is parked; or what was answered, if its caller
    /// asked for it before.
    async fn begin(
        self: &Arc<Self>,
        post: &Arc<Post>,
        job: &str,
        change: &ReadChange,
        from: &From,
        mapped: &Result<Mapped, Box<Rejection>>,
        record: &str,
    ) -> Result<Result<(Recorded, Option<Parked>), Answered>, Refused> {
        let told = json!({ "job": job, "write_back": post.write_back(), "change": change });
        let told = told.to_string();
        let digest = hexadecimal(&Sha256::digest(&told));
        let id = match &from.id {
            Some(id) => id.clone(),
            None => random_id()?,
        };
        let (none, told_by) = (Vec::new(), told_by(mapped));
        let new = NewRecordRequest {
            id: &id,
            caller: &from.caller,
            idempotency_key: from.idempotency_key.as_deref(),
            digest: &digest,
            job,
            write_back: post.write_back(),
            record,
            may_be_parked: post.may_be_parked(told_by),
            fields: mapped.as_ref().map_or(&none, |mapped| &mapped.fields),
            origin: change.origin.as_deref(),
            actor: change.actor.as_deref(),
            asked_at: Utc::now(),
            accepted: from.is_accepted.then_some(told.as_str()),
        };
        let (request, parked) = loop {
            if from.is_accepted {
                let begun = post.accept(&new).await.map_err(|error| unkept(&error))?;
                break (begun, None);
            }
            match post.begin(&new).await.map_err(|error| unkept(&error))? {
                RequestTurn::Begun { request, parked } => {
                    break (request, post.parked_among(parked, told_by));
                }
                RequestTurn::Behind(earlier) => self.settle_earlier(post, &earlier).await?,
            }
        };
        match request {
            RequestBegun::New(place) => {
                let recorded = Recorded {
                    place,
                    id,
                    record: record.to_owned(),
                    begun: Instant::now(),
                };
                Ok(Ok((recorded, parked)))
            }
            RequestBegun::Known(known) if known.digest != digest => {
                let title = "the `Idempotency-Key` was used for another request";
                let hint = "take a new key for each change; the same one asks for the same answer";
                Err(Refused::new(StatusCode::CONFLICT, title).hint(hint))
            }
            RequestBegun::Known(known) => Ok(Err(answer_of(&known))),
        }
    }

    /// Writes a record, unless it is parked, and tells the ledger how that ended.
    async fn write(
        self: &Arc<Self>,
        job: &str,
        post: &Arc<Post>,
        recorded: &Recorded,
        mapped: Result<Mapped, Box<Rejection>>,
        parked: Option<Parked>,
    ) -> Result<(RequestFate, Answered), Refused> {
        let about = |fate| DestinationAnswer::of(post.destination(), &post.object(), fate);
        let mapped = match mapped {
            Ok(mapped) => mapped,
            Err(rejection) => return self.reject(post, recorded, &rejection).await,
        };
        if let Some(parked) = parked {
            let told = DestinationAnswer {
                reason: Some(parked.told()),
                ..about(RequestFate::Conflict)
            };
            return self
                .end_uncounted(recorded, RequestFate::Conflict, told)
                .await;
        }
        let stop = Stop::new();
        let deadline = tokio::spawn({
            let stop = stop.clone();
            async move {
                sleep(WORK_DURATION_MAX).await;
                stop.ask();
            }
        });
        let carried = match post.resolve(mapped).await {
            Ok(mapped) => post.carry_out(&mapped, recorded.place, &stop).await,
            Err(Unresolved::Failed(error)) => Err(error),
            Err(Unresolved::Rejected(rejection)) => {
                deadline.abort();
                return self.reject(post, recorded, &rejection).await;
            }
        };
        deadline.abort();
        let error = match carried {
            Ok(carried) => {
                let fate = carried.outcome.fate();
                let committed_after = carried.committed_after;
                let told = about(fate).carried(carried);
                return self
                    .end_committed(recorded, fate, told, committed_after)
                    .await;
            }
            Err(error) => error,
        };
        self.forget(job, post).await;
        let told = if let PushError::Interrupted = error {
            "it could not be written before the time was over".to_owned()
        } else {
            chain(&error).join(": ")
        };
        let sent = self.ledger.sent_of_request(recorded.place).await;
        match sent.map_err(|error| unkept(&error))? {
            None => {
                warn!(
                    write_back = post.write_back(),
                    request = recorded.id,
                    "a request could not be carried out"
                );
                let told = DestinationAnswer {
                    reason: Some(told),
                    ..about(RequestFate::NotWritten)
                };
                let (fate, answered) = self
                    .end_uncounted(recorded, RequestFate::NotWritten, told)
                    .await?;
                if let Some(seconds) = retry_after(&error) {
                    let title = "the destination takes no more requests for now";
                    let refused = Refused::new(StatusCode::TOO_MANY_REQUESTS, title);
                    return Err(refused.hint_if(error.hint()).retry_after(seconds));
                }
                Ok((fate, answered.titled("nothing was written", error.hint())))
            }
            Some(_) => {
                warn!(
                    write_back = post.write_back(),
                    request = recorded.id,
                    "nobody knows yet whether a request was carried out"
                );
                let desk = Arc::clone(self);
                tokio::spawn({
                    let (post, id) = (Arc::clone(post), recorded.id.clone());
                    async move { desk.settle_later(&post, &id).await }
                });
                Ok((RequestFate::Unknown, unknown(recorded)))
            }
        }
    }

    /// A record is rejected before it is sent.
    async fn reject(
        &self,
        post: &Post,
        recorded: &Recorded,
        rejection: &Rejection,
    ) -> Result<(RequestFate, Answered), Refused> {
        let fate = RequestFate::Rejected;
        let told = DestinationAnswer::of(post.destination(), &post.object(), fate);
        let told = told.rejected(rejection);
        let rejection = rejection_at(recorded.place, rejection);
        self.end(recorded, fate, told, Some(&rejection)).await
    }

    async fn end(
        &self,
        recorded: &Recorded,
        fate: RequestFate,
        told: DestinationAnswer,
        rejection: Option<&Rejection>,
    ) -> Result<(RequestFate, Answered), Refused> {
        self.end_as(recorded, fate, told, |answer| RequestEnd {
            rejection,
            ..RequestEnd::counted(answer, fate.is_counted())
        })
        .await
    }

    /// As [`Desk::end`], of a record whose batch is committed.
    async fn end_committed(
        &self,
        recorded: &Recorded,
        fate: RequestFate,
        told: DestinationAnswer,
        committed_after: Option<f64>,
    ) -> Result<(RequestFate, Answered), Refused> {
        self.end_as(recorded, fate, told, |answer| RequestEnd {
            committed_after,
            ..RequestEnd::counted(answer, fate.is_counted())
        })
        .await
    }

    /// As [`Desk::end`], of a record that was never looked up.
    async fn end_uncounted(
        &self,
        recorded: &Recorded,
        fate: RequestFate,
        told: DestinationAnswer,
    ) -> Result<(RequestFate, Answered), Refused> {
        self.end_as(recorded, fate, told, |answer| {
            RequestEnd::counted(answer, false)
        })
        .await
    }

    async fn end_as<'end>(
        &self,
        recorded: &Recorded,
        fate: RequestFate,
        told: DestinationAnswer,
        end: impl FnOnce(String) -> RequestEnd<'end>,
    ) -> Result<(RequestFate, Answered), Refused> {
        let answered = answered(recorded, fate, told);
        let end = end(json!(answered).to_string());
        let ended = self.ledger.end_record_request(recorded.place, &end).await;
        ended.map_err(|error| unkept(&error))?;
        Ok((fate, answered))
    }

    /// Asks again and again what became of a request, until it is known.
    async fn settle_later(&self, post: &Post, id: &str) {
        let mut pause = SETTLE_PAUSE_FIRST;
        loop {
            tokio::select! {
                () = sleep(pause) => {}
                () = self.stop.asked() => return,
            }
            let settled = match self.ledger.record_request(id).await {
                Ok(Some(request)) if !request.has_ended => {
                    let _held = post.hold(&request.record).await;
                    self.settle(post, &request).await
                }
                Ok(_) => return,
                Err(error) => Err(chain(&error).join(": ")),
            };
            match settled {
                Ok(()) => return,
                Err(why) => {
                    warn!(request = id, why, ?pause, "a request is still in doubt")
                }
            }
            pause = SETTLE_PAUSE_MAX.min(pause * 2);
        }
    }

    /// Brings to an end what earlier requests left of a record, before it is written again: what its
    /// row holds after that tells nothing of them, and the last word is the last request's. Errors:
    /// that cannot be done now.
    async fn settle_earlier(
        self: &Arc<Self>,
        post: &Arc<Post>,
        earlier: &[RecordRequest],
    ) -> Result<(), Refused> {
        for request in earlier {
            if let Err(why) = self.bring_to_end(post, request).await {
                warn!(request = request.id, why, "a request is still in doubt");
                return Err(busy("an earlier request about the record is being settled"));
            }
        }
        Ok(())
    }

    /// Settles a request that was sent, and carries out one that was accepted. Whoever calls it
    /// holds the record. Errors: why its end is not known yet.
    async fn bring_to_end(
        self: &Arc<Self>,
        post: &Arc<Post>,
        request: &RecordRequest,
    ) -> Result<(), String> {
        let told = |error: LedgerError| chain(&error).join(": ");
        let sent = self.ledger.sent_of_request(request.place).await;
        match sent.map_err(told)? {
            Some(_) => self.settle(post, request).await,
            None if request.accepted.is_some() => self.carry_out_accepted(post, request).await,
            None => Ok(()),
        }
    }

    /// Finds out what became of a request whose batch was sent. Errors: why that is not known yet.
    async fn settle(&self, post: &Post, request: &RecordRequest) -> Result<(), String> {
        let settled = post.settle(request.place, &request.record).await;
        let settled = settled.map_err(|error| own_words(&error))?;
        let fate = match settled {
            Settled::NotWritten => RequestFate::NotWritten,
            Settled::Written => {
                let outcome = post.outcome(request.place).await;
                outcome.map_err(|error| own_words(&error))?.fate()
            }
        };
        let recorded = Recorded {
            place: request.place,
            id: request.id.clone(),
            record: request.record.clone(),
            begun: Instant::now(),
        };
        let told = DestinationAnswer::of(post.destination(), &post.object(), fate);
        let told = match fate {
            RequestFate::Created | RequestFate::Updated | RequestFate::Unchanged => {
                let followed = post.follow_settled(&request.record, &request.fields).await;
                told.followed(followed.map_err(|error| own_words(&error))?)
            }
            RequestFate::Kept
            | RequestFate::Skipped
            | RequestFate::Conflict
            | RequestFate::Rejected
            | RequestFate::NotWritten
            | RequestFate::Unknown => told,
        };
        let ended = self.end(&recorded, fate, told, None).await;
        ended.map_err(|_| "the ledger cannot be written".to_owned())?;
        info!(request = request.id, outcome = ?fate, "a request was settled");
        Ok(())
    }

    /// Brings to an end what an earlier process left: what was sent is settled, what was accepted
    /// is carried out, and of the rest nothing was written.
    pub(super) async fn take_up(self: &Arc<Self>) -> Result<(), LedgerError> {
        for request in self.ledger.record_requests_open().await? {
            let desk = Arc::clone(self);
            let sent = self.ledger.sent_of_request(request.place).await?;
            if sent.is_none() && request.accepted.is_none() {
                let recorded = Recorded {
                    place: request.place,
                    id: request.id.clone(),
                    record: request.record.clone(),
                    begun: Instant::now(),
                };
                let told = DestinationAnswer {
                    reason: Some("the process ended before it was sent".to_owned()),
                    ..DestinationAnswer::of("", "", RequestFate::NotWritten)
                };
                drop(
                    self.end_uncounted(&recorded, RequestFate::NotWritten, told)
                        .await,
                );
                continue;
            }
            tokio::spawn(async move { desk.go_on_with(request, sent.is_some()).await });
        }
        Ok(())
    }

    async fn go_on_with(self: Arc<Self>, request: RecordRequest, is_sent: bool) {
        let mut pause = SETTLE_PAUSE_FIRST;
        let opened = loop {
            match self.opened(&request.job, &request.write_back).await {
                Ok(opened) => break opened,
                Err(refused) if refused.status() == 404 => {
                    warn!(
                        request = request.id,
                        "a request is of a write-back that is gone"
                    );
                    return;
                }
                Err(_) => {}
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.stop.asked() => return,
            }
            pause = SETTLE_PAUSE_MAX.min(pause * 2);
        };
        if is_sent {
            return self.settle_later(&opened.post, &request.id).await;
        }
        let Opened { post, turns, .. } = opened;
        self.go_on_with_accepted(&post, &turns, &request.record, &request.id)
            .await;
    }

    /// Carries out a request that was accepted, once it is its turn, after all that were accepted
    /// about its record before.
    async fn go_on_with_accepted(
        self: &Arc<Self>,
        post: &Arc<Post>,
        turns: &Semaphore,
        record: &str,
        id: &str,
    ) {
        let mut pause = SETTLE_PAUSE_FIRST;
        loop {
            let done = {
                let _held = post.hold(record).await;
                let _turn = turns.acquire().await;
                match self.stop.is_asked() {
                    // The next process goes on with it.
                    true => return,
                    false => self.go_on_in_turn(post, id).await,
                }
            };
            match done {
                Ok(()) => return,
                Err(why) => warn!(request = id, why, ?pause, "an accepted request waits"),
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = self.stop.asked() => return,
            }
            pause = SETTLE_PAUSE_MAX.min(pause * 2);
        }
    }

    async fn go_on_in_turn(self: &Arc<Self>, post: &Arc<Post>, id: &str) -> Result<(), String> {
        let told = |error: LedgerError| chain(&error).join(": ");
        let request = self.ledger.record_request(id).await.map_err(told)?;
        // A later request about its record may have brought it to its end.
        let Some(request) = request.filter(|request| !request.has_ended) else {
            return Ok(());
        };
        let earlier = self.ledger.record_requests_before(&request).await;
        for earlier in &earlier.map_err(told)? {
            self.bring_to_end(post, earlier).await?;
        }
        self.bring_to_end(post, &request).await
    }

    /// Carries out a request that was accepted and not sent yet. Errors: why its end is not known
    /// yet.
    async fn carry_out_accepted(
        self: &Arc<Self>,
        post: &Arc<Post>,
        request: &RecordRequest,
    ) -> Result<(), String> {
        let recorded = Recorded {
            place: request.place,
            id: request.id.clone(),
            record: request.record.clone(),
            begun: Instant::now(),
        };
        let accepted = request.accepted.as_deref().unwrap_or_default();
        let mapped = match serde_json::from_str::<Accepted>(accepted) {
            Ok(accepted) => post.map(&asked(&accepted.change)),
            Err(error) => {
                return self
                    .never_carried_out(post, &recorded, error.to_string())
                    .await;
            }
        };
        let mapped = match mapped {
            Ok(mapped) => Ok(mapped),
            Err(Unfit::Rejected(rejection)) => Err(rejection),
            Err(Unfit::Plan(error)) => {
                let why = chain(&error).join(": ");
                return self.never_carried_out(post, &recorded, why).await;
            }
        };
        let parked = post.parked(told_by(&mapped)).await;
        let parked = parked.map_err(|error| chain(&error).join(": "))?;
        let written = self
            .write(&request.job, post, &recorded, mapped, parked)
            .await;
        match written {
            Ok((RequestFate::Unknown, _)) => {
                Err("it is not known yet whether it was written".to_owned())
            }
            // What was refused is told by its outcome.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Ends a request that was accepted, and can never be carried out as it was meant.
    async fn never_carried_out(
        &self,
        post: &Post,
        recorded: &Recorded,
        why: String,
    ) -> Result<(), String> {
        error!(
            request = recorded.id,
            why, "a request that was accepted cannot be carried out any more"
        );
        let fate = RequestFate::NotWritten;
        let told = DestinationAnswer {
            reason: Some(why),
            ..DestinationAnswer::of(post.destination(), &post.object(), fate)
        };
        let ended = self.end_uncounted(recorded, fate, told).await;
        ended.map_err(|_| "the ledger cannot be written".to_owned())?;
        Ok(())
    }

    /// Waits until nothing is at work any more, or the time is over.
    pub(super) async fn finish(&self, grace: Duration) {
        let all = u32::try_from(REQUESTS_MAX).unwrap_or(u32::MAX);
        if timeout(grace, self.places.acquire_many(all)).await.is_err() {
            warn!("requests are still under way; the next process settles them");
        }
    }
}

/// What is kept of a request that is accepted before it is carried out.
#[derive(serde::Deserialize)]
struct Accepted {
    change: ReadChange,
}

/// What a request asks for as it fits the object, or why that does not fit.
/// Errors: the write-back itself does not fit its object any more.
fn mapped(post: &Post, change: &ReadChange) -> Result<Result<Mapped, Box<Rejection>>, Refused> {
    match post.map(&asked(change)) {
        Ok(mapped) => Ok(Ok(mapped)),
        Err(Unfit::Plan(error)) => Err(unmet(&error)),
        Err(Unfit::Rejected(rejection)) => Ok(Err(rejection)),
    }
}

/// The key of the record that a request is about, as far as it has one.
fn record_of(mapped: &Result<Mapped, Box<Rejection>>) -> String {
    match mapped {
        Ok(mapped) => mapped.record.clone(),
        Err(rejection) => rejection.key.clone().unwrap_or_default(),
    }
}

/// The texts that tell the record that a request is about.
fn told_by(mapped: &Result<Mapped, Box<Rejection>>) -> ToldBy<'_> {
    match mapped {
        Ok(mapped) => mapped.told_by(),
        Err(rejection) => ToldBy {
            pulled: rejection.key.as_deref(),
            ..ToldBy::default()
        },
    }
}

fn asked(change: &ReadChange) -> Asked {
    Asked {
        key: change.key.clone(),
        values: change.values.clone(),
        expected: change.expected.clone(),
    }
}

fn answered(recorded: &Recorded, fate: RequestFate, told: DestinationAnswer) -> Answered {
    let milliseconds = recorded.begun.elapsed().as_millis();
    let answered = Answered {
        status: fate.status(),
        outcome: super::answer::word(fate),
        id: recorded.id.clone(),
        record: recorded.record.clone(),
        run: Some(recorded.place.run),
        milliseconds: u64::try_from(milliseconds).unwrap_or(u64::MAX),
        title: None,
        hint: None,
        destinations: vec![told],
    };
    match fate {
        RequestFate::Created
        | RequestFate::Updated
        | RequestFate::Unchanged
        | RequestFate::Kept => answered,
        RequestFate::Skipped => answered.titled("the record is left as it is", None),
        RequestFate::Conflict => answered.titled("the record is not as it is expected to be", None),
        RequestFate::Rejected => answered.titled("the record is rejected", None),
        RequestFate::NotWritten => answered.titled("nothing was written", None),
        RequestFate::Unknown => answered.titled("it is not known yet whether it was written", None),
    }
}

/// What is told of a request that nobody knows the end of.
fn unknown(recorded: &Recorded) -> Answered {
    let told = Answered {
        destinations: Vec::new(),
        ..answered(recorded, RequestFate::Unknown, DestinationAnswer::default())
    };
    let hint = format!(
        "it is being settled: ask `GET /v1/outcomes/{}`",
        recorded.id
    );
    let title = "it is not known yet whether it was written";
    told.titled(title, Some(hint))
}

/// What was answered to a request, or is.
pub(super) fn answer_of(request: &RecordRequest) -> Answered {
    let kept = request.answer.as_deref();
    let kept = kept.and_then(|answer| serde_json::from_str(answer).ok());
    kept.unwrap_or_else(|| {
        unknown(&Recorded {
            place: request.place,
            id: request.id.clone(),
            record: request.record.clone(),
            begun: Instant::now(),
        })
    })
}

/// Seconds until a web API that takes no more requests may be asked again.
fn retry_after(error: &PushError) -> Option<u32> {
    let PushError::Push { source, .. } = error else {
        return None;
    };
    let (throttled, spent) = (5, 60);
    if let SystemError::Throttled { .. } = **source {
        Some(throttled)
    } else if let SystemError::QuotaSpent { .. } = **source {
        Some(spent)
    } else {
        None
    }
}

/// The write-back cannot be met with its object now.
fn unmet(error: &PlanError) -> Refused {
    let (told, hint) = match error {
        PlanError::Problems { problems, .. } => {
            let first = problems.first();
            let all = problems.iter().map(|problem| problem.message.as_str());
            let all: Vec<&str> = all.collect();
            warn!(
                problems = all.join("; "),
                "a write-back cannot be carried out"
            );
            let message = first.map(|problem| problem.message.clone());
            (
                message.unwrap_or_default(),
                first.and_then(|problem| problem.hint.clone()),
            )
        }
        PlanError::NoSuchWriteBack { .. } | PlanError::Absent { .. } => {
            (error.to_string(), error.hint())
        }
    };
    Refused::new(StatusCode::BAD_GATEWAY, told).hint_if(hint)
}

pub(super) fn unkept(error: &LedgerError) -> Refused {
    error!(
        error = chain(error).join(": "),
        "the ledger cannot be used for a request"
    );
    let title = "the account of what is written cannot be kept now, so that nothing is written";
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, title).retry_after(5)
}

pub(super) fn busy(title: &str) -> Refused {
    Refused::new(StatusCode::TOO_MANY_REQUESTS, title).retry_after(1)
}

pub(super) fn broken() -> Refused {
    let title = "a worker stopped unexpectedly; the log says why";
    Refused::new(StatusCode::SERVICE_UNAVAILABLE, title)
}

fn no_such(job: &str, write_back: &str) -> Refused {
    let title = format!("there is no write-back `{write_back}` in a job `{job}`");
    Refused::new(StatusCode::NOT_FOUND, title)
}

/// An id that nobody guesses.
pub(super) fn random_id() -> Result<String, Refused> {
    Ok(uuid::Uuid::from_bytes(random_bytes()?).simple().to_string())
}

fn random_bytes() -> Result<[u8; 16], Refused> {
    let mut bytes = [0; 16];
    match getrandom::fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(Refused::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "this machine gives no random numbers",
        )),
    }
}
