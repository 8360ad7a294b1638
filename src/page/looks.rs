//! Looks: what would happen, found out before anybody asks for it. A look is made here, in the
//! background, and writes nothing; what it showed stands in a folder of its own, as the commands
//! print it and as a page shows it, so that an act can be bound to it.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use axum::http::StatusCode;
use chrono::Utc;
use serde_json::{Value, json};
use tracing::{info, warn};
use xxhash_rust::xxh3::xxh3_128;

use super::frame::Frame;
use super::house::House;
use super::refusal::Refusal;
use super::told;
use crate::config::{CheckedJob, Project};
use crate::domain::error::chain;
use crate::domain::mapping::{NO_RUN, RunFacts};
use crate::domain::problem::Problem;
use crate::ledger::{LedgerError, NewRequest, PageRequest, RequestAct, TestWish, UndoWish};
use crate::report;
use crate::run::evidence;
use crate::run::foresight::Foresight;
use crate::run::journal::JournalError;
use crate::run::place::{look_folder, looks_folder};
use crate::run::plan;
use crate::run::previewer::Previewer;
use crate::run::progress;
use crate::run::request::{Redelivery, RunRequest};
use crate::run::saved_plan::{PLAN_FILE, Preview, SavedPlanError, SavedPlanWriter};
use crate::run::single_record::Ending;
use crate::run::stop::Stop;
use crate::run::trial::{self, Trial};
use crate::run::{RunError, undo, verify};
use crate::schedule::notice::{self, Book, NoticeError};
use crate::schedule::requested::{StoppedError, StoppedRun, undo_request};
use crate::state::{self, AsideFile};

/// Samples of each sort.
const SAMPLES_MAX: usize = 20;
/// Looks that are kept: enough for whoever comes back to one tomorrow, few enough for the disk, for
/// a plan holds all values that would change.
const LOOKS_KEPT: i64 = 100;

/// What a look showed, as `--json` prints it and as a part of a page.
const JSON_FILE: &str = "told.json";
const PAGE_FILE: &str = "told.html";

/// What a look showed.
pub(super) struct Told {
    json: Value,
    page: String,
    /// Tells it from anything else.
    digest: String,
}

/// Why a look showed nothing, with what to do about it.
struct Unseen(String);

impl Unseen {
    fn of(error: &(dyn std::error::Error + 'static), hint: Option<String>) -> Self {
        let hint = hint.map_or(String::new(), |hint| format!("; {hint}"));
        Self(format!("{}{hint}", chain(error).join(": ")))
    }
}

impl From<Vec<Problem>> for Unseen {
    fn from(problems: Vec<Problem>) -> Self {
        Self(report::failure::problems_text(&problems))
    }
}

impl From<RunError> for Unseen {
    fn from(error: RunError) -> Self {
        match error.problems().is_empty() {
            true => Self::of(&error, error.hint()),
            false => Self(report::failure::problems_text(error.problems())),
        }
    }
}

impl From<JournalError> for Unseen {
    fn from(error: JournalError) -> Self {
        Self::of(&error, error.hint())
    }
}

impl From<NoticeError> for Unseen {
    fn from(error: NoticeError) -> Self {
        Self::of(&error, error.hint())
    }
}

impl From<LedgerError> for Unseen {
    fn from(error: LedgerError) -> Self {
        Self::of(&error, error.hint())
    }
}

impl From<SavedPlanError> for Unseen {
    fn from(error: SavedPlanError) -> Self {
        Self::of(&error, error.hint())
    }
}

impl From<StoppedError> for Unseen {
    fn from(error: StoppedError) -> Self {
        Self::of(&error, None)
    }
}

impl From<std::io::Error> for Unseen {
    fn from(error: std::io::Error) -> Self {
        Self::of(&error, state::hint(&error).map(str::to_owned))
    }
}

impl From<String> for Unseen {
    fn from(why: String) -> Self {
        Self(why)
    }
}

/// Begins a look, unless it was begun before under the same key. Returns its number.
/// Errors: another one at the job is being made.
pub(super) async fn begin(
    house: &Arc<House>,
    frame: &Frame,
    asked: &NewRequest<'_>,
) -> Result<i64, Refusal> {
    frame.caller.expect_job(asked.job)?;
    house.expect_values_for(frame)?;
    if let Some(known) = house.ledger.request_keyed(asked.key).await? {
        return Ok(known);
    }
    let busy = house
        .looks()
        .iter()
        .find_map(|(look, job)| (job == asked.job).then_some(*look));
    if let Some(look) = busy {
        let title = format!("look {look} at job `{}` is being made", asked.job);
        let refusal = Refusal::new(StatusCode::CONFLICT, title);
        return Err(refusal.hint(format!("wait for it: /looks/{look}")));
    }
    let (number, new) = house.ledger.request(asked).await?;
    let request = house.ledger.request_numbered(number).await?;
    if let Some(request) = request.filter(|_| new) {
        house.looks().insert(number, asked.job.to_owned());
        let house = Arc::clone(house);
        tokio::spawn(async move {
            let made = tokio::spawn(carry_out(Arc::clone(&house), request)).await;
            house.looks().remove(&number);
            if let Err(error) = made {
                warn!(look = number, %error, "a look came upon a fault");
            }
        });
    }
    Ok(number)
}

/// Makes a look, keeps what it showed, and says that it is over.
async fn carry_out(house: Arc<House>, request: PageRequest) -> Result<(), LedgerError> {
    let number = request.request;
    info!(job = %request.job, look = number, act = request.act.name(), by = %request.who, "looking");
    let made = match make(&house, &request).await {
        Ok((project, told)) => keep(&project, number, &told)
            .map(|()| told.digest)
            .map_err(Unseen::from),
        Err(unseen) => Err(unseen),
    };
    match made {
        Ok(digest) => house.ledger.end_look(number, &digest).await,
        Err(Unseen(why)) => house.ledger.end_request(number, None, &why).await,
    }
}

async fn make(house: &House, request: &PageRequest) -> Result<(Project, Told), Unseen> {
    let project = house.load()?;
    let folder = look_folder(&project, request.request);
    state::make_folder_within(&project.state_folder(), &folder)?;
    let look = Look {
        house,
        request,
        folder: &folder,
    };
    let told = match request.act {
        RequestAct::Preview => look.preview(&project).await?,
        RequestAct::LookAtStopped => look.stopped(&project).await?,
        RequestAct::LookAtUndo => look.undo(&project).await?,
        RequestAct::Verify => look.verify(&project).await?,
        RequestAct::Test => look.test(&project).await?,
        RequestAct::Run
        | RequestAct::Retry
        | RequestAct::Approve
        | RequestAct::Apply
        | RequestAct::Undo
        | RequestAct::Stop => return Err("that is no look".to_owned().into()),
    };
    Ok((project, told))
}

struct Look<'a> {
    house: &'a House,
    request: &'a PageRequest,
    folder: &'a Path,
}

impl Look<'_> {
    fn only(&self) -> Option<&str> {
        self.request.write_back.as_deref()
    }

    fn job(&self, project: &Project) -> Result<CheckedJob, Unseen> {
        Ok(project.load_job(&self.request.job)?)
    }

    /// As `preview --out --json`.
    async fn preview(&self, project: &Project) -> Result<Told, Unseen> {
        let checked = self.job(project)?;
        let chosen = plan::choose(&checked.job, self.only()).map_err(RunError::from)?;
        if let Some(one) = chosen.iter().find(|one| one.creation.is_some()) {
            let why = format!(
                "`{}` makes rows that others name, so that no plan can be saved of it; `writeback preview {}` tells what would be made",
                one.name, checked.job.name
            );
            return Err(why.into());
        }
        let ledger = &self.house.ledger;
        let book = Book::Reading(Some(ledger));
        let cycle = notice::requested_cycle(project, &checked, None, book).await?;
        let facts = RunFacts {
            run: NO_RUN,
            job: checked.job.name.clone(),
            cycle: cycle.cycle().clone(),
            started_at: Utc::now(),
        };
        let previewed = Preview {
            checked: &checked,
            only: self.only(),
            cycle: &facts.cycle,
            begun_at: facts.started_at,
        };
        let file = self.folder.join(PLAN_FILE);
        let mut saved = SavedPlanWriter::create(&file, &previewed)?;
        let plans = plan::plan_job(project, &checked.job, self.only(), &facts).await;
        let mut plans = plans.map_err(RunError::from)?;
        let folder = tempfile::tempdir()?;
        let mut previewer = Previewer {
            project,
            ledger: Some(ledger),
            facts: &facts,
            samples_max: SAMPLES_MAX,
            folder: folder.path(),
            progress: progress::for_log(&facts.job),
            foresight: Foresight::default(),
        };
        let mut previews = Vec::new();
        for plan in &mut plans {
            previews.push(previewer.preview(plan, Some(&mut saved)).await?);
        }
        let digest = saved.finish()?;
        let (job, cycle) = (&facts.job, &facts.cycle.id);
        Ok(Told {
            json: json!({ "job": job, "cycle": cycle, "plan": { "sha256": digest }, "write_backs": previews }),
            page: report::preview::page::sections(job, &previews).into_string(),
            digest,
        })
    }

    /// What the run that guards stopped would do.
    async fn stopped(&self, project: &Project) -> Result<Told, Unseen> {
        let checked = self.job(project)?;
        let ledger = &self.house.ledger;
        let stopped = StoppedRun::find(project, ledger, &self.request.job).await?;
        if Some(stopped.run()) != self.request.run {
            let why = format!("run {} is the latest that guards stopped", stopped.run());
            return Err(why.into());
        }
        let book = Book::Reading(Some(ledger));
        let request = RunRequest {
            project,
            checked: &checked,
            cycle: stopped.cycle(project, &checked, book).await?,
            scope: stopped.scope(),
            write_back: stopped.write_back(),
            repeat: Redelivery::Always,
            approver: None,
            stop: Stop::new(),
        };
        let progress = progress::for_log(&checked.job.name);
        let shown = evidence::look(&request, ledger, progress, SAMPLES_MAX).await?;
        let (job, previews) = (&checked.job.name, &shown.previews);
        Ok(Told {
            json: json!({ "job": job, "run": shown.run, "write_backs": previews }),
            page: report::preview::page::sections(job, previews).into_string(),
            digest: shown.digest,
        })
    }

    /// As `undo --preview --json`.
    async fn undo(&self, project: &Project) -> Result<Told, Unseen> {
        let arguments: UndoWish = self.request.arguments()?;
        let run = self.request.run.unwrap_or_default();
        let mut request = undo_request(project, run, self.only(), &arguments, Stop::new());
        request.samples_max = SAMPLES_MAX;
        let foreseen = undo::preview(&request, &self.house.ledger).await?;
        Ok(Told {
            json: report::undo::json(&foreseen),
            page: told::undo(&foreseen).into_string(),
            digest: foreseen.digest(),
        })
    }

    /// As `verify --json`.
    async fn verify(&self, project: &Project) -> Result<Told, Unseen> {
        let checked = self.job(project)?;
        let write_backs = plan::choose(&checked.job, self.only()).map_err(RunError::from)?;
        let progress = progress::for_log(&checked.job.name);
        let (ledger, job) = (&self.house.ledger, &checked.job.name);
        let progress = progress.as_ref();
        let verified =
            verify::verify_all(project, ledger, job, &write_backs, SAMPLES_MAX, progress).await?;
        let json = json!({ "job": job, "write_backs": verified });
        Ok(Told {
            digest: digest_of(&json),
            json,
            page: told::verifications(job, &verified).into_string(),
        })
    }

    /// As `test --json`.
    async fn test(&self, project: &Project) -> Result<Told, Unseen> {
        let TestWish { record, rollback } = self.request.arguments()?;
        let checked = self.job(project)?;
        let ledger = &self.house.ledger;
        let book = Book::Reading(Some(ledger));
        let cycle = notice::requested_cycle(project, &checked, None, book).await?;
        let folder = tempfile::tempdir()?;
        let trial = Trial {
            project,
            checked: &checked,
            ledger,
            cycle: cycle.cycle().clone(),
            write_back: self.only(),
            key: &record,
            ending: match rollback {
                true => Ending::Rollback,
                false => Ending::Commit,
            },
            folder: folder.path(),
        };
        let tried = trial.carry_out().await?;
        let job = &checked.job.name;
        let records = trial::found(tried.records)
            .map_err(|read| format!("no record with key `{record}` among {read} of its source"))?;
        let json = json!({ "job": job, "records": records });
        Ok(Told {
            digest: digest_of(&json),
            json,
            page: told::tried(&records).into_string(),
        })
    }
}

fn digest_of(json: &Value) -> String {
    format!("{:032x}", xxh3_128(json.to_string().as_bytes()))
}

/// Puts what a look showed into its folder, and removes what older ones did.
fn keep(project: &Project, look: i64, told: &Told) -> std::io::Result<()> {
    let folder = look_folder(project, look);
    write(&folder.join(JSON_FILE), told.json.to_string().as_bytes())?;
    write(&folder.join(PAGE_FILE), told.page.as_bytes())?;
    for known in fs::read_dir(looks_folder(project))? {
        let known = known?;
        let number = known.file_name().to_string_lossy().parse::<i64>();
        if number.is_ok_and(|number| number.saturating_add(LOOKS_KEPT) <= look) {
            state::remove_folder_if_there(&known.path())?;
        }
    }
    Ok(())
}

fn write(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let aside = AsideFile::create(file)?;
    aside.file().write_all(bytes)?;
    aside.place()
}

/// What a look showed, as part of a page. Errors: it is not kept any more.
pub(super) fn page_of(project: &Project, look: i64) -> Result<String, Refusal> {
    read(project, look, PAGE_FILE)
}

/// What a look showed, as the command prints it. Errors: it is not kept any more.
pub(super) fn json_of(project: &Project, look: i64) -> Result<Value, Refusal> {
    let text = read(project, look, JSON_FILE)?;
    serde_json::from_str(&text).map_err(|_| gone(look))
}

fn read(project: &Project, look: i64, file: &str) -> Result<String, Refusal> {
    fs::read_to_string(look_folder(project, look).join(file)).map_err(|_| gone(look))
}

fn gone(look: i64) -> Refusal {
    let title = format!("what look {look} showed is not kept any more");
    Refusal::new(StatusCode::GONE, title).hint("look again")
}
