//! The loop that serves a project: looks for finished cycles, asks each job's cadence what is due,
//! and carries it out. All that must outlive the process is in the ledger; what is kept here can be
//! lost at any instant.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, mpsc, watch};
use tracing::{error, info, warn};

use super::alert::Alerts;
use super::clock::{Ages, Change, Clock};
use super::due::{self, Asked, Kept};
use super::files::{self, Files, JobFile};
use super::http;
use super::notice::{self, Look, NoticeError};
use super::requested::{self, Finished, Undone, why};
use super::serve_state::{Phase, RunEnd, ServeState};
use crate::config::{CheckedJob, Project};
use crate::domain::alert::Circumstances;
use crate::domain::cadence::{Cadence, Next, Verdict, Wait};
use crate::domain::caller::HttpSettings;
use crate::domain::channel::Channels;
use crate::domain::counted::counted;
use crate::domain::cycle::Cycle;
use crate::domain::error::chain;
use crate::domain::guard::Objection;
use crate::domain::job::WriteBack;
use crate::domain::problem::Problem;
use crate::doorkeeper::ListenError;
use crate::ledger::cycles;
use crate::ledger::{
    Ledger, LedgerError, PageRequest, RequestAct, RunEntry, RunStatus, ServeLock, Versioned,
};
use crate::requests::{self, Answering, RequestsError, ServedFiles};
use crate::run::progress;
use crate::run::request::{Redelivery, Scope};
use crate::run::stop::Stop;
use crate::run::{self, RequestedCycle, RunError, RunReport, RunRequest, WriteBackReport};

/// How often everything is looked at: cheap work, and the shortest delay anybody notices.
const TURN: Duration = Duration::from_secs(1);
/// How often the standby asks whether the other process still serves.
const STANDBY_POLL: Duration = Duration::from_secs(1);
/// How often the ledger is told that this process serves.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Pause after another process was found running a job, before it is tried again.
const BUSY_PAUSE: Duration = Duration::from_secs(5);

/// How often it is seen what is wrong with the jobs where nothing happened: a dashboard's silence
/// grows by itself.
const WATCH_POLL: Duration = Duration::from_secs(15);
/// Things begun that wait to be taken in: more would be begun only by a fault.
const EVENTS_MAX: usize = 64;
/// Earlier runs of a job that metrics begin with: enough to hold its last success.
const EARLIER_RUNS_MAX: u32 = 20;

/// How a project is served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServeSettings {
    /// Where health and metrics may be asked for, if anywhere.
    pub(crate) listen: Option<SocketAddr>,
    /// Runs at work at once, of different jobs.
    pub(crate) runs_max: usize,
    /// How long runs may take to finish their batches once they were asked to stop.
    pub(crate) grace: Duration,
}

/// Why a project cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("`writeback.toml` has {count}", count = counted(problems.len(), "problem"))]
    Project { problems: Vec<Problem> },
    #[error("no job of `schedules/` has a cadence that could be read")]
    NothingToServe,
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Requests(#[from] RequestsError),
    #[error("{} did not finish within the grace time", counted(*runs, "run"))]
    CutOff { runs: usize },
}

impl ServeError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Project { .. } => None,
            Self::NothingToServe => {
                Some("give a job a `[cadence]`; `writeback check` tells what is wrong with one".to_owned())
            }
            Self::Ledger(error) => error.hint(),
            Self::Listen(error) => error.hint(),
            Self::Requests(error) => error.hint(),
            Self::CutOff { .. } => {
                Some("nothing is lost: the next run goes on where they stood; `--grace` gives them longer".to_owned())
            }
        }
    }
}

/// Serves a project until `stop` is asked for; `reload` asks to read the files again at once.
pub(crate) async fn serve(
    root: &Path,
    settings: ServeSettings,
    stop: Stop,
    reload: Arc<Notify>,
) -> Result<(), ServeError> {
    let mut files = Files::read(root).map_err(|problems| ServeError::Project { problems })?;
    let channels = channels(&files.project)?;
    let http = files.project.http();
    let http = http.map_err(|problems| ServeError::Project { problems })?;
    let http = http.cloned();
    let has_cadence = files.jobs.values().any(|job| {
        job.good
            .as_ref()
            .is_some_and(|checked| checked.job.cadence.is_some())
    });
    if !has_cadence && http.is_none() {
        return Err(ServeError::NothingToServe);
    }
    let ledger = Ledger::open(&files.project.state_folder()).await?;
    let state = Arc::new(ServeState::new());
    if let Some(address) = settings.listen {
        http::listen(address, Arc::clone(&state), std::future::pending()).await?;
    }
    let Some(_lock) = wait_for_turn(&ledger, &state, &stop).await? else {
        return Ok(());
    };
    // What was read while standing by may be old by now.
    files.reread();
    let (events, mut happened) = mpsc::channel(EVENTS_MAX);
    let alerts = Alerts::new(ledger.clone(), channels, Arc::clone(&state));
    let sender = tokio::spawn({
        let (alerts, stop) = (alerts.clone(), stop.clone());
        async move { alerts.keep_delivering(stop.asked()).await }
    });
    let mut server = Server::new(files, ledger, settings, state, alerts, events);
    server.begin_serving().await?;
    let answering = match &http {
        Some(http) => Some(server.answer_requests(http, stop.clone()).await?),
        None => None,
    };
    while !stop.is_asked() {
        let turned = server.turn().await;
        server.heed(turned)?;
        tokio::select! {
            () = tokio::time::sleep(TURN) => {}
            () = stop.asked() => {}
            () = reload.notified() => server.reread(),
            Some(event) = happened.recv() => {
                let taken = server.take(event).await;
                server.heed(taken)?;
            }
        }
    }
    let grace = tokio::time::Instant::now() + settings.grace;
    let finished = server.finish(&mut happened).await;
    if let Some(answering) = answering {
        answering.finish(settings.grace).await;
    }
    // Who is being told now is told; what cannot be said within the grace time is said again at the
    // next start.
    drop(tokio::time::timeout_at(grace, sender).await);
    finished
}

/// The channels of alerts.
/// Errors: what one of them needs is not where it should be.
fn channels(project: &Project) -> Result<Channels, ServeError> {
    project
        .channels()
        .cloned()
        .map_err(|problems| ServeError::Project { problems })
}

/// Waits until no other process serves. Nothing if it was asked to stop before.
async fn wait_for_turn(
    ledger: &Ledger,
    state: &ServeState,
    stop: &Stop,
) -> Result<Option<ServeLock>, ServeError> {
    let mut told = false;
    loop {
        state.turned();
        match ledger.lock_serving() {
            Ok(lock) => return Ok(Some(lock)),
            Err(LedgerError::AlreadyServing { process }) => {
                let by = process.map_or("another process".to_owned(), |process| {
                    format!("process {process}")
                });
                state.phase(Phase::StandingBy { by });
                if !std::mem::replace(&mut told, true) {
                    info!(by = process, "another process serves; standing by");
                }
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = tokio::time::sleep(STANDBY_POLL) => {}
            () = stop.asked() => return Ok(None),
        }
    }
}

/// What is told to the loop by what it began.
#[derive(Debug)]
enum Event {
    Looked {
        dashboard: String,
        looked: Result<Look, NoticeError>,
    },
    Ended {
        job: String,
        cycle: Cycle,
        ended: Result<RunReport, RunError>,
    },
    /// A run is over that was asked for on the page.
    Done {
        request: i64,
        job: String,
        ended: Result<Finished, Undone>,
    },
}

/// A job as long as it is served.
#[derive(Debug)]
struct Served {
    at_work: Option<AtWork>,
    /// Another process was running the job; not to be tried before.
    busy_until: Option<Instant>,
    /// The cycle whose run a person stopped: nothing but another request takes it up here.
    stopped: Option<String>,
    /// Gates up to here have been accounted for.
    gates_until: DateTime<Utc>,
    /// What was last logged of what it waits for.
    waits: Option<Wait>,
}

/// A run that this process carries out.
#[derive(Debug)]
struct AtWork {
    begun: Instant,
    stop: Stop,
}

/// A dashboard that jobs follow.
#[derive(Debug)]
struct Watched {
    look_due: Instant,
    looking: bool,
    /// What was last logged of it.
    told: Option<String>,
}

struct Server {
    files: Files,
    ledger: Ledger,
    settings: ServeSettings,
    /// What is told over HTTP.
    state: Arc<ServeState>,
    alerts: Alerts,
    events: mpsc::Sender<Event>,
    clock: Clock,
    /// Since when nothing can have been missed.
    serving_since: DateTime<Utc>,
    /// Since when nobody watched before that.
    absent_since: Option<DateTime<Utc>>,
    ages: Ages<Kept>,
    jobs: BTreeMap<String, Served>,
    dashboards: BTreeMap<String, Watched>,
    /// Requests of the page that runs here are at work for.
    requested: BTreeSet<i64>,
    stopping: bool,
    heartbeat_due: Instant,
    /// When to see next what is wrong with the jobs: at once when something happened.
    watch_due: Instant,
    /// What is served, for whoever answers requests.
    served: watch::Sender<ServedFiles>,
    /// What was last logged of a ledger that cannot be used.
    trouble: Option<String>,
    /// Of this process, for whoever asks who serves.
    process: cycles::Server,
}

impl Server {
    fn new(
        files: Files,
        ledger: Ledger,
        settings: ServeSettings,
        state: Arc<ServeState>,
        alerts: Alerts,
        events: mpsc::Sender<Event>,
    ) -> Self {
        Self {
            served: watch::Sender::new(served(&files)),
            files,
            ledger,
            settings,
            state,
            alerts,
            events,
            clock: Clock::start(),
            serving_since: Utc::now(),
            absent_since: None,
            ages: Ages::new(),
            jobs: BTreeMap::new(),
            dashboards: BTreeMap::new(),
            requested: BTreeSet::new(),
            stopping: false,
            heartbeat_due: Instant::now(),
            watch_due: Instant::now(),
            trouble: None,
            process: this_process(),
        }
    }

    /// Says that this process serves from now on, and what earlier ones did.
    async fn begin_serving(&mut self) -> Result<(), LedgerError> {
        let last_served_at = self.ledger.server().await?.map(|(_, at)| at);
        self.absent_since = last_served_at.map(|at| at.min(self.serving_since));
        info!(
            jobs = self.files.jobs.len(),
            process = self.process.process,
            "serving"
        );
        self.state.phase(Phase::Serving);
        self.tell_jobs();
        for name in self.files.jobs.keys() {
            let runs = self.ledger.runs_of_job(name, EARLIER_RUNS_MAX).await?;
            self.state.failing(
                name,
                runs.first()
                    .is_some_and(|run| run.status == RunStatus::Failed),
            );
            for run in runs {
                if let Some(finished_at) = run.finished_at {
                    self.state.ran_before(name, run.status, finished_at);
                }
            }
        }
        Ok(())
    }

    /// Answers requests from now on, with an account of its own in the ledger, so that they wait for
    /// no run.
    async fn answer_requests(
        &self,
        http: &HttpSettings,
        stop: Stop,
    ) -> Result<Answering, ServeError> {
        let ledger = Ledger::open(&self.files.project.state_folder()).await?;
        Ok(requests::answer(http, ledger, self.served.subscribe(), stop).await?)
    }

    fn tell_jobs(&self) {
        let good = self
            .files
            .jobs
            .values()
            .filter_map(|file| file.good.as_ref());
        self.state.jobs(good.map(|checked| &checked.job));
    }

    /// Reads the files again, whether or not they changed.
    fn reread(&mut self) {
        self.files.reread();
        self.told_of_files();
    }

    fn told_of_files(&mut self) {
        match self.files.project.channels() {
            Ok(channels) => self.alerts.use_channels(channels.clone()),
            Err(problems) => {
                let problems = files::told(&problems);
                warn!(
                    problems,
                    "`[alerts]` cannot be used as it stands; people are told as before"
                );
            }
        }
        self.state.reloaded(!self.files.is_broken());
        self.served.send_replace(served(&self.files));
        self.tell_jobs();
        self.watch_due = Instant::now();
    }

    /// A ledger that cannot be written may be written later, when the disk has space again; a
    /// damaged one never, nor one that is no longer there.
    fn heed(&mut self, done: Result<(), LedgerError>) -> Result<(), LedgerError> {
        let trouble = match done {
            Ok(()) => None,
            Err(
                error @ (LedgerError::Damaged { .. }
                | LedgerError::Removed { .. }
                | LedgerError::Newer { .. }),
            ) => {
                return Err(error);
            }
            Err(error) => Some(chain(&error).join(": ")),
        };
        if let Some(error) = trouble.as_ref().filter(|_| self.trouble != trouble) {
            error!(
                error,
                "the ledger cannot be used now; nothing is begun until it can"
            );
        }
        self.trouble = trouble;
        Ok(())
    }

    /// Looks at everything once.
    async fn turn(&mut self) -> Result<(), LedgerError> {
        let now = self.read_clock();
        self.state.turned();
        if self.files.look() {
            self.told_of_files();
        }
        self.beat(now).await?;
        self.look_at_dashboards();
        for (name, checked) in self.jobs_with_cadence() {
            self.turn_of(&name, &checked, now).await?;
        }
        self.do_requests(now).await?;
        self.ages.forget_unasked();
        if Instant::now() >= self.watch_due {
            self.watch_over_jobs(now).await?;
            self.watch_due = Instant::now() + WATCH_POLL;
        }
        Ok(())
    }

    /// Finds out what is wrong with each job now, for people to be told.
    async fn watch_over_jobs(&mut self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        for (name, file) in &self.files.jobs {
            let job = file.good.as_ref().map(|checked| &checked.job);
            let (silence, deadline_nears) = match job.and_then(|job| job.cadence.as_ref()) {
                Some(cadence) => {
                    let asked = Asked {
                        job: name,
                        cadence,
                        now,
                        serving_since: self.serving_since,
                        absent_since: self.absent_since,
                        at_work: false,
                    };
                    (
                        due::silence(&self.ledger, &mut self.ages, asked).await?,
                        due::deadline_nears(&self.ledger, asked).await?,
                    )
                }
                None => (None, false),
            };
            let circumstances = Circumstances {
                silence,
                deadline_nears,
                broken_file: file.broken.clone(),
            };
            let thresholds =
                job.map_or_else(|| self.files.project.thresholds(), |job| job.thresholds);
            self.alerts
                .update(name, circumstances, &thresholds, now)
                .await?;
        }
        let jobs: Vec<&str> = self.files.jobs.keys().map(String::as_str).collect();
        self.alerts.keep_only(&jobs, now).await
    }

    fn read_clock(&mut self) -> DateTime<Utc> {
        let reading = self.clock.read();
        match reading.change {
            Change::None => {}
            Change::Jump(jump) => {
                warn!(
                    seconds = jump.num_seconds(),
                    "the clock was set, or the machine slept; all instants are computed anew"
                );
                // What was kept moves along with a clock that is set back: else all until then
                // would count as missed.
                if jump < TimeDelta::zero() {
                    self.serving_since += jump;
                    self.absent_since = self.absent_since.map(|since| since + jump);
                } else {
                    self.was_absent(jump, reading.now);
                }
            }
            Change::Absence(absence) => {
                warn!(
                    seconds = absence.as_secs(),
                    "this process was stopped for a while"
                );
                self.was_absent(
                    TimeDelta::from_std(absence).unwrap_or_default(),
                    reading.now,
                );
            }
        }
        reading.now
    }

    /// Nobody watched for so long, up to now.
    fn was_absent(&mut self, absence: TimeDelta, now: DateTime<Utc>) {
        self.absent_since = now.checked_sub_signed(absence);
        self.serving_since = now;
    }

    async fn beat(&mut self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        if Instant::now() >= self.heartbeat_due {
            self.process.watching_since = self.serving_since;
            self.process.absent_since = self.absent_since;
            self.ledger.serving(&self.process, now).await?;
            self.heartbeat_due = Instant::now() + HEARTBEAT;
        }
        Ok(())
    }

    fn jobs_with_cadence(&self) -> Vec<(String, Arc<CheckedJob>)> {
        let good = self
            .files
            .jobs
            .iter()
            .filter_map(|(name, file)| Some((name.clone(), Arc::clone(file.good.as_ref()?))));
        good.filter(|(_, checked)| checked.job.cadence.is_some())
            .collect()
    }

    /// Begins to look at each dashboard that a job follows and whose time has come.
    fn look_at_dashboards(&mut self) {
        let followed: Vec<String> = self
            .jobs_with_cadence()
            .iter()
            .filter_map(|(_, checked)| Some(checked.job.dashboard()?.to_owned()))
            .collect();
        self.dashboards.retain(|name, _| followed.contains(name));
        for name in followed {
            let project = Arc::clone(&self.files.project);
            let Some(dashboard) = project.dashboards.get(&name).cloned() else {
                continue;
            };
            let fresh = || Watched {
                look_due: Instant::now(),
                looking: false,
                told: None,
            };
            let watched = self.dashboards.entry(name.clone()).or_insert_with(fresh);
            if watched.looking || Instant::now() < watched.look_due {
                continue;
            }
            watched.looking = true;
            watched.look_due = Instant::now() + dashboard.poll;
            let (ledger, events) = (self.ledger.clone(), self.events.clone());
            tokio::spawn(async move {
                let looked = notice::look(&project, &dashboard, &ledger, Utc::now()).await;
                // Nobody listens any more only when the process ends.
                drop(
                    events
                        .send(Event::Looked {
                            dashboard: name,
                            looked,
                        })
                        .await,
                );
            });
        }
    }

    /// Asks one job's cadence what is due, and does it.
    async fn turn_of(
        &mut self,
        name: &str,
        checked: &Arc<CheckedJob>,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let Some(cadence) = &checked.job.cadence else {
            return Ok(());
        };
        let verdict = self.verdict(name, cadence, now).await?;
        if !verdict.passed_over.is_empty() {
            for passed in &verdict.passed_over {
                info!(job = %name, cycle = %passed.cycle, why = %passed.why, "a cycle will not be written back");
                self.state.passed_over(name, &passed.why);
            }
            self.ledger
                .pass_over(name, &verdict.passed_over, now)
                .await?;
            self.watch_due = Instant::now();
        }
        self.account_for_gates(name, cadence, &verdict, now).await?;
        let waited_for = match &verdict.next {
            Next::Run(_) => Some(now),
            Next::Wait(wait) => wait.until(),
        };
        self.state.next_due(
            name,
            waited_for.or_else(|| {
                cadence
                    .gates
                    .first_from(now)
                    .filter(|_| !cadence.gates.is_empty())
            }),
        );
        match verdict.next {
            Next::Run(cycle) => self.begin(name, cycle),
            Next::Wait(wait) => self.wait(name, wait),
        }
        Ok(())
    }

    async fn verdict(
        &mut self,
        name: &str,
        cadence: &Cadence,
        now: DateTime<Utc>,
    ) -> Result<Verdict, LedgerError> {
        let at_work = self.served(name, now).at_work.is_some();
        let asked = Asked {
            job: name,
            cadence,
            now,
            serving_since: self.serving_since,
            absent_since: self.absent_since,
            at_work,
        };
        due::verdict(&self.ledger, &mut self.ages, asked).await
    }

    fn served(&mut self, name: &str, now: DateTime<Utc>) -> &mut Served {
        let fresh = || Served {
            at_work: None,
            busy_until: None,
            stopped: None,
            gates_until: now,
            waits: None,
        };
        self.jobs.entry(name.to_owned()).or_insert_with(fresh)
    }

    /// A gate that opened and let nothing through is recorded, with the reason.
    async fn account_for_gates(
        &mut self,
        name: &str,
        cadence: &Cadence,
        verdict: &Verdict,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let served = self.served(name, now);
        let since = std::mem::replace(&mut served.gates_until, now);
        let Some(opened_at) = cadence.gates.last_within(since, now) else {
            return Ok(());
        };
        match &verdict.next {
            Next::Run(_) => Ok(()),
            Next::Wait(wait) => {
                info!(job = %name, gate = %opened_at, why = %wait, "a gate opened for nothing");
                self.ledger
                    .gate_opened_for_nothing(name, opened_at, &wait.to_string())
                    .await
            }
        }
    }

    /// Begins a run, unless as many as may be are at work.
    fn begin(&mut self, name: &str, cycle: Cycle) {
        let was_stopped = |served: &Served| served.stopped.as_ref() == Some(&cycle.id);
        if self.jobs.get(name).is_some_and(was_stopped) {
            return;
        }
        let Some((checked, stop)) = self.take_place(name) else {
            return;
        };
        let (project, ledger, events) = (
            Arc::clone(&self.files.project),
            self.ledger.clone(),
            self.events.clone(),
        );
        let job = name.to_owned();
        tokio::spawn(async move {
            let work = tokio::spawn(carry_out(project, checked, ledger, cycle.clone(), stop));
            // A run that panicked is a run that failed: the scheduler goes on.
            let ended = work
                .await
                .unwrap_or_else(|panicked| Err(RunError::Worker(panicked)));
            // Nobody listens any more only when the process ends.
            drop(events.send(Event::Ended { job, cycle, ended }).await);
        });
    }

    /// Takes a place for a run of a job, unless as many as may be are at work, or one of the job is.
    fn take_place(&mut self, name: &str) -> Option<(Arc<CheckedJob>, Stop)> {
        let at_work = self
            .jobs
            .values()
            .filter(|served| served.at_work.is_some())
            .count();
        // A password may stand elsewhere by now.
        self.files.reread_unless_edited();
        let checked = self.files.jobs.get(name)?.good.clone()?;
        let served = self.jobs.get_mut(name)?;
        let is_busy = |until: Instant| Instant::now() < until;
        if at_work >= self.settings.runs_max
            || served.at_work.is_some()
            || served.busy_until.is_some_and(is_busy)
        {
            return None;
        }
        let stop = Stop::new();
        served.at_work = Some(AtWork {
            begun: Instant::now(),
            stop: stop.clone(),
        });
        served.waits = None;
        self.state.run_began(name);
        Some((checked, stop))
    }

    /// Does what was asked for on the page.
    async fn do_requests(&mut self, now: DateTime<Utc>) -> Result<(), LedgerError> {
        for request in self.ledger.requests_open().await? {
            if request.act == RequestAct::Stop {
                self.stop_requested(&request).await?;
            } else if request.act.runs() {
                self.begin_requested(request, now).await?;
            }
        }
        Ok(())
    }

    /// Begins a run that was asked for; without a place for it, the request stays open.
    async fn begin_requested(
        &mut self,
        request: PageRequest,
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let (number, job) = (request.request, request.job.clone());
        if self.requested.contains(&number) {
            return Ok(());
        }
        // What runs is what was saved, so that an edit is read first.
        if self.files.are_edited() {
            return Ok(());
        }
        let file = self.files.jobs.get(&job);
        let Some(checked) = file.and_then(|file| runnable(file, request.act)) else {
            let message = "the job is not there, or its file holds mistakes";
            return self.ledger.end_request(number, None, message).await;
        };
        if let Some(run) = self.delivered(&checked, &request).await? {
            let message = format!("nothing new: run {run} did it already");
            return self.ledger.end_request(number, Some(run), &message).await;
        }
        self.served(&job, now);
        let Some((checked, stop)) = self.take_place(&job) else {
            return Ok(());
        };
        info!(job = %job, request = number, by = %request.who, "a run was asked for");
        self.requested.insert(number);
        self.served(&job, now).stopped = None;
        let (project, ledger) = (Arc::clone(&self.files.project), self.ledger.clone());
        let events = self.events.clone();
        tokio::spawn(async move {
            let work = requested::carry_out(project, checked, ledger, request, stop);
            let ended = tokio::spawn(work)
                .await
                .unwrap_or_else(|panicked| Err(RunError::Worker(panicked).into()));
            let request = number;
            drop(
                events
                    .send(Event::Done {
                        request,
                        job,
                        ended,
                    })
                    .await,
            );
        });
        Ok(())
    }

    /// The run that did what is asked for, if one did: it is not done again.
    async fn delivered(
        &self,
        checked: &CheckedJob,
        request: &PageRequest,
    ) -> Result<Option<i64>, LedgerError> {
        let is_done = |run: &RunEntry| match run.status {
            RunStatus::Succeeded | RunStatus::Rejected => true,
            RunStatus::Running | RunStatus::Failed | RunStatus::Guarded | RunStatus::NothingNew => {
                false
            }
        };
        if request.act == RequestAct::Apply || request.act == RequestAct::Approve {
            let last = self.ledger.runs_of_job(&request.job, 1).await?;
            let does = |run: &&RunEntry| match request.act == RequestAct::Apply {
                true => run.plan.is_some() && run.plan == request.seen,
                false => Some(run.run) == request.run && run.approval.is_some(),
            };
            let done = last.first().filter(does).filter(|run| is_done(run));
            return Ok(done.map(|run| run.run));
        }
        let Some(cycle) = request
            .cycle
            .as_ref()
            .filter(|_| request.act == RequestAct::Run)
        else {
            return Ok(None);
        };
        let only = request.write_back.as_ref();
        let wanted = |one: &&WriteBack| only.is_none_or(|name| *name == one.name);
        let wanted = checked.job.write_backs.iter().filter(wanted);
        let versions: Vec<Versioned<'_>> = wanted.map(Versioned::of).collect();
        self.ledger
            .delivered_by(&request.job, cycle, &versions)
            .await
    }

    /// Asks a run to stop, if it is at work here.
    async fn stop_requested(&mut self, request: &PageRequest) -> Result<(), LedgerError> {
        let last = self.ledger.runs_of_job(&request.job, 1).await?;
        let meant = last.into_iter().find(|run| Some(run.run) == request.run);
        let served = self.jobs.get_mut(&request.job);
        let at_work = served.and_then(|served| {
            let stop = served.at_work.as_ref()?.stop.clone();
            served.stopped = Some(meant?.cycle);
            Some(stop)
        });
        let message = match at_work {
            Some(stop) => {
                info!(job = %request.job, run = request.run, by = %request.who, "a run was asked to stop");
                stop.ask();
                "it was asked to stop; the next run that is asked for goes on where it stood"
            }
            None => "it is not at work in the process that serves",
        };
        self.ledger
            .end_request(request.request, None, message)
            .await
    }

    /// A run that was asked for is over.
    async fn done(
        &mut self,
        request: i64,
        job: &str,
        ended: Result<Finished, Undone>,
    ) -> Result<(), LedgerError> {
        self.requested.remove(&request);
        let at_work = self
            .jobs
            .get_mut(job)
            .and_then(|served| served.at_work.take());
        let elapsed = at_work.map_or(Duration::ZERO, |at_work| at_work.begun.elapsed());
        self.state.run_left(job);
        self.watch_due = Instant::now();
        let (run, message) = match ended {
            Ok(finished) => {
                if let Finished::Run(report) = &finished {
                    self.tell_end(job, report.status, &report.write_backs, elapsed);
                    self.finished(report);
                }
                let mut told = finished.status().name().replace('_', " ");
                if let Finished::Undo(report) = &finished {
                    let run = report.run.unwrap_or_default();
                    told = format!("taken back by run {run}: {told}");
                }
                (finished.run(), told)
            }
            Err(undone) if undone.busy => {
                if let Some(served) = self.jobs.get_mut(job) {
                    served.busy_until = Some(Instant::now() + BUSY_PAUSE);
                }
                return Ok(());
            }
            // This process stops, and the next one goes on with what was asked for.
            Err(undone) if undone.interrupted && self.stopping => return Ok(()),
            Err(undone) => {
                error!(job, request, run = undone.run, error = %undone.why, "a run that was asked for could not finish");
                (undone.run, undone.why)
            }
        };
        self.ledger.end_request(request, run, &message).await
    }

    /// Says what a job waits for, when that has changed.
    fn wait(&mut self, name: &str, wait: Wait) {
        let Some(served) = self.jobs.get_mut(name) else {
            return;
        };
        let changed = served
            .waits
            .as_ref()
            .is_none_or(|before| before.to_string() != wait.to_string());
        if changed && wait != Wait::Run {
            info!(job = %name, why = %wait, "not due");
        }
        served.waits = Some(wait);
    }

    /// Takes in what was begun earlier.
    async fn take(&mut self, event: Event) -> Result<(), LedgerError> {
        match event {
            Event::Looked { dashboard, looked } => self.looked(&dashboard, looked).await,
            Event::Ended { job, cycle, ended } => self.ended(&job, &cycle, ended).await,
            Event::Done {
                request,
                job,
                ended,
            } => self.done(request, &job, ended).await,
        }
    }

    async fn looked(
        &mut self,
        dashboard: &str,
        looked: Result<Look, NoticeError>,
    ) -> Result<(), LedgerError> {
        let told = match &looked {
            Ok(look) => look.saw(),
            Err(error) => chain(error).join(": "),
        };
        self.state.looked(dashboard, looked.is_ok());
        for noticed in looked.iter().flat_map(|look| &look.noticed) {
            self.state
                .cycle_noticed(dashboard, noticed.cycle.completed_at);
        }
        if let Some(watched) = self.dashboards.get_mut(dashboard) {
            watched.looking = false;
            if watched.told.as_ref() != Some(&told) {
                match &looked {
                    Ok(_) => info!(dashboard, saw = %told, "looked"),
                    Err(_) => warn!(dashboard, error = %told, "could not look"),
                }
            }
            watched.told = Some(told.clone());
        }
        self.ledger.watched(dashboard, Utc::now(), &told).await
    }

    async fn ended(
        &mut self,
        job: &str,
        cycle: &Cycle,
        ended: Result<RunReport, RunError>,
    ) -> Result<(), LedgerError> {
        let at_work = self.jobs.get_mut(job).and_then(|served| {
            served.busy_until = None;
            served.at_work.take()
        });
        let elapsed = at_work.map_or(Duration::ZERO, |at_work| at_work.begun.elapsed());
        self.state.run_left(job);
        self.watch_due = Instant::now();
        match ended {
            Ok(report) => {
                self.tell_end(job, report.status, &report.write_backs, elapsed);
                self.finished(&report);
            }
            Err(error) if let Some(process) = error.is_of_running_job() => {
                info!(job, process, "another process runs the job");
                if let Some(served) = self.jobs.get_mut(job) {
                    served.busy_until = Some(Instant::now() + BUSY_PAUSE);
                }
            }
            Err(error) if error.is_interruption() => {
                info!(job, run = error.run(), cycle = %cycle.id, "the run stopped; the next one goes on where it stood");
            }
            Err(error) => {
                self.tell_end(job, RunStatus::Failed, &[], elapsed);
                let told = why(&error);
                error!(job, run = error.run(), cycle = %cycle.id, error = %told, hint = error.hint(), "a run could not finish");
                if !error.gave_up() {
                    self.ledger
                        .attempt_failed(job, cycle, Utc::now(), &told)
                        .await?;
                }
            }
        }
        Ok(())
    }

    fn tell_end(
        &self,
        job: &str,
        status: RunStatus,
        write_backs: &[WriteBackReport],
        elapsed: Duration,
    ) {
        self.state.run_ended(
            job,
            &RunEnd {
                status,
                write_backs,
                ended_at: Utc::now(),
                elapsed,
            },
        );
        self.state.failing(job, status == RunStatus::Failed);
    }

    fn finished(&self, report: &RunReport) {
        for write_back in &report.write_backs {
            info!(
                job = %report.job, run = report.run, cycle = %report.cycle, write_back = %write_back.name,
                outcomes = %write_back.tally, seconds = write_back.elapsed.as_secs_f64(), "wrote back"
            );
        }
        let (job, run, cycle, status) =
            (&report.job, report.run, &report.cycle, report.status.name());
        info!(job, run, cycle, status, "the run is over");
        let Some(guarded) = &report.guarded else {
            return;
        };
        for Objection { write_back, reason } in &guarded.objections {
            warn!(job, run, cycle, write_back, guard = reason.guard(), why = %reason, "stopped before the first write");
        }
        info!(
            job,
            run,
            cycle,
            command = guarded.approving_command,
            "waiting for approval"
        );
    }

    /// Asks the runs at work to stop and waits for them, as long as the grace time allows.
    async fn finish(mut self, happened: &mut mpsc::Receiver<Event>) -> Result<(), ServeError> {
        self.state.phase(Phase::Stopping);
        self.stopping = true;
        let end = tokio::time::Instant::now() + self.settings.grace;
        self.jobs
            .values()
            .filter_map(|served| served.at_work.as_ref())
            .for_each(|at_work| at_work.stop.ask());
        loop {
            let runs = self
                .jobs
                .values()
                .filter(|served| served.at_work.is_some())
                .count();
            if runs == 0 {
                return Ok(());
            }
            self.state.turned();
            info!(runs, grace = ?self.settings.grace, "stopping once the batches in hand are written");
            match tokio::time::timeout_at(end, happened.recv()).await {
                Ok(Some(event)) => self.take(event).await?,
                Ok(None) | Err(_) => return Err(ServeError::CutOff { runs }),
            }
        }
    }
}

/// What is in force of the files.
/// What a request of the page runs of a job. New records are written by the file as it was saved and
/// by no earlier one; what follows an earlier run goes ahead whatever is the matter with it.
fn runnable(file: &JobFile, act: RequestAct) -> Option<Arc<CheckedJob>> {
    let is_new = matches!(act, RequestAct::Run | RequestAct::Retry);
    file.good
        .clone()
        .filter(|_| file.broken.is_none() || !is_new)
}

fn served(files: &Files) -> ServedFiles {
    let good =
        |(name, file): (&String, &JobFile)| Some((name.clone(), Arc::clone(file.good.as_ref()?)));
    ServedFiles {
        project: Arc::clone(&files.project),
        jobs: files.jobs.iter().filter_map(good).collect(),
    }
}

fn this_process() -> cycles::Server {
    let now = Utc::now();
    cycles::Server {
        process: std::process::id(),
        host: None,
        since: now,
        watching_since: now,
        absent_since: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

async fn carry_out(
    project: Arc<Project>,
    checked: Arc<CheckedJob>,
    ledger: Ledger,
    cycle: Cycle,
    stop: Stop,
) -> Result<RunReport, RunError> {
    let cycle = RequestedCycle::Given(cycle);
    let request = RunRequest {
        project: &project,
        checked: &checked,
        cycle,
        scope: Scope::All,
        write_back: None,
        repeat: Redelivery::Never,
        approver: None,
        stop,
    };
    run::carry_out(&request, &ledger, progress::for_log(&checked.job.name)).await
}
