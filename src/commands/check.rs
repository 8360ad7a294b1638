//! `writeback check`: files, schemas, connections, rights and the channels of alerts, without
//! writing anything.

use std::path::Path;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{CommandError, Ending, load_job, load_project, print, print_json, rehearsal, warn_of};
use crate::cli::CheckArguments;
use crate::config::Project;
use crate::destination::seam::Destination;
use crate::destination::service::AnyService;
use crate::destination::service::report::AccountReport;
use crate::domain::cadence::Cadence;
use crate::domain::canary::Canary;
use crate::domain::channel::{Channel, Channels};
use crate::domain::connection::{Connection, RuleUse, System};
use crate::domain::counted::counted;
use crate::domain::cycle::Cycle;
use crate::domain::dependent::ReadBack;
use crate::domain::error::{SystemError, chain};
use crate::domain::gate::Opening;
use crate::domain::mapping::{NO_RUN, RunFacts};
use crate::domain::printable::printable;
use crate::domain::problem::{Problem, Severity};
use crate::ledger::Ledger;
use crate::report::preview::calls_lines;
use crate::report::{account, failure, guards, schedule};
use crate::run::plan::{self, Plan};
use crate::run::preview::WriteBackPreview;
use crate::schedule::alert;
use crate::schedule::outlook::{self, OPENINGS_USUAL};

/// What was found of one job; nothing but its name if it has mistakes.
struct Found {
    job: String,
    ready: Option<Ready>,
}

/// A job that can run, and the next instants at which it may run by itself.
struct Ready {
    plans: Vec<Plan>,
    /// What a run now would do, for each plan; `None` if nobody asked, or it is not known.
    previews: Vec<Option<WriteBackPreview>>,
    cadence: Option<Cadence>,
    openings: Vec<Opening>,
    /// The accounts behind its web APIs, by connection.
    accounts: Vec<(String, AccountReport)>,
}

/// What was found of `[alerts]`.
#[derive(Default)]
struct FoundAlerts {
    /// Those that can be used, and whether people were told through them, if that was asked for.
    channels: Vec<(Channel, Option<bool>)>,
    problems: Vec<Problem>,
}

pub(super) async fn check(root: &Path, arguments: &CheckArguments) -> Result<Ending, CommandError> {
    let mut problems = Vec::new();
    let mut alerts = FoundAlerts::default();
    let checked = check_project(root, arguments, &mut problems, &mut alerts).await;
    if arguments.json {
        let mut told = [alerts.problems.clone(), problems.clone()].concat();
        if let Err(error) = &checked {
            told.extend(error.mistakes().iter().cloned());
        }
        let jobs: Vec<Value> = checked.iter().flatten().map(json_of).collect();
        print_json(
            &json!({ "jobs": jobs, "alerts": alerts_json(&alerts), "problems": failure::problems_json(&told) }),
        )?;
    }
    let jobs = checked?;
    if jobs.is_empty() && !arguments.json {
        print("no jobs: `schedules/` holds no `.toml` file\n");
    }
    problems.retain(|problem| problem.severity == Severity::Mistake);
    let title = title(&jobs, problems.len(), alerts.problems.len());
    problems.splice(0..0, alerts.problems);
    match problems.is_empty() {
        true => Ok(Ending::Done),
        false => Err(CommandError::Problems { title, problems }),
    }
}

async fn check_project(
    root: &Path,
    arguments: &CheckArguments,
    problems: &mut Vec<Problem>,
    alerts: &mut FoundAlerts,
) -> Result<Vec<Found>, CommandError> {
    let project = load_project(root)?;
    *alerts = check_alerts(&project, arguments).await?;
    check_jobs(&project, arguments, problems).await
}

/// Looks at the channels of alerts and, if that is asked for, tells people through each that this
/// is a test.
async fn check_alerts(
    project: &Project,
    arguments: &CheckArguments,
) -> Result<FoundAlerts, CommandError> {
    let channels = match project.channels() {
        Ok(channels) => channels,
        Err(problems) => {
            return Ok(FoundAlerts {
                problems,
                channels: Vec::new(),
            });
        }
    };
    let mut found = FoundAlerts::default();
    for channel in channels.configured() {
        let told = if arguments.alert {
            Some(tell_of_a_test(channels, channel, &mut found.problems).await?)
        } else {
            None
        };
        found.channels.push((channel, told));
    }
    if arguments.alert && found.channels.is_empty() {
        let problem = Problem::mistake(
            None,
            "`[alerts]` names no channel that a test alert could be sent through",
        );
        found
            .problems
            .push(problem.hint(
                "add `command = [\"PROGRAM\"]` or `webhook = { url = \"https://…\" }` to it",
            ));
    }
    if !arguments.json && !found.channels.is_empty() {
        print(&alerts_text(&found.channels));
    }
    Ok(found)
}

/// Whether people were told; if not, `problems` say why.
async fn tell_of_a_test(
    channels: &Channels,
    channel: Channel,
    problems: &mut Vec<Problem>,
) -> Result<bool, CommandError> {
    let now = Utc::now();
    let body = alert::test_body(now).map_err(|error| CommandError::Io {
        doing: "write JSON",
        source: error.into(),
    })?;
    let Err(error) = alert::tell(channels, channel, &body, now).await else {
        return Ok(true);
    };
    let message = format!(
        "could not tell of a test alert through `{channel}`: {}",
        chain(&error).join(": ")
    );
    problems.push(Problem::mistake(None, message).hint_if(error.hint()));
    Ok(false)
}

fn alerts_text(channels: &[(Channel, Option<bool>)]) -> String {
    let line = |(channel, told): &(Channel, Option<bool>)| match told {
        None => format!("  {channel}: ready\n"),
        Some(true) => format!("  {channel}: told of a test alert\n"),
        Some(false) => format!("  {channel}: could not be told\n"),
    };
    format!("alerts\n{}", channels.iter().map(line).collect::<String>())
}

fn alerts_json(alerts: &FoundAlerts) -> Value {
    alerts
        .channels
        .iter()
        .map(|(channel, told)| json!({ "channel": channel.name(), "told": told }))
        .collect()
}

/// Checks one job after the other and prints each that is ready. `problems` are told of once,
/// however many jobs share a connection or a schema.
async fn check_jobs(
    project: &Project,
    arguments: &CheckArguments,
    problems: &mut Vec<Problem>,
) -> Result<Vec<Found>, CommandError> {
    let jobs = if arguments.jobs.is_empty() {
        project.job_names()
    } else {
        arguments.jobs.clone()
    };
    let mut checked: Vec<Found> = Vec::new();
    for job in jobs {
        let mut told = Vec::new();
        let found = match check_job(project, &job, arguments.quick, &mut told).await {
            Ok((name, ready)) => Found {
                job: name,
                ready: (!told.iter().any(Problem::is_mistake)).then_some(ready),
            },
            Err(error) => {
                told.extend(error.into_problems()?);
                Found { job, ready: None }
            }
        };
        for problem in told {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        if checked.iter().any(|other| other.job == found.job) {
            continue;
        }
        if let Some(ready) = found.ready.as_ref().filter(|_| !arguments.json) {
            let plans = ready.plans.iter().zip(&ready.previews);
            let plans = plans.map(|(plan, preview)| line(plan, preview.as_ref()));
            let plans = plans.collect::<String>();
            let accounts = ready.accounts.iter();
            let accounts = accounts.map(|(name, report)| account::line(name, report));
            print(&format!(
                "{}  ready\n{}{plans}{}",
                found.job,
                accounts.collect::<String>(),
                cadence_text(ready)
            ));
        }
        checked.push(found);
    }
    Ok(checked)
}

fn title(jobs: &[Found], of_jobs: usize, of_alerts: usize) -> String {
    let count = counted(of_jobs + of_alerts, "problem");
    match jobs {
        _ if of_jobs == 0 => format!("`[alerts]` has {count}"),
        _ if of_alerts > 0 => format!("the project has {count}"),
        [only] => format!("job `{}` has {count}", only.job),
        _ => format!("the jobs have {count}"),
    }
}

/// A job's name and what is ready; its warnings are added to `told`, and so are mistakes that do
/// not keep others from being found. `is_quick` leaves the records alone.
async fn check_job(
    project: &Project,
    job: &str,
    is_quick: bool,
    told: &mut Vec<Problem>,
) -> Result<(String, Ready), CommandError> {
    let checked = load_job(project, job)?;
    warn_of(&checked.warnings);
    told.extend(checked.warnings.iter().cloned());
    let shared = project.other_writers(&checked.job);
    warn_of(&shared);
    told.extend(shared);
    let now = Utc::now();
    let mut met = Vec::new();
    let ledger = match is_quick {
        true => None,
        false => Ledger::open_if_there(&project.state_folder()).await?,
    };
    let cycle = match is_quick {
        true => None,
        false => rehearsal::cycle(project, &checked, ledger.as_ref(), now, &mut met).await,
    };
    let facts = RunFacts {
        run: NO_RUN,
        job: checked.job.name.clone(),
        cycle: cycle.unwrap_or_else(|| Cycle {
            id: "check".to_owned(),
            completed_at: now,
        }),
        started_at: now,
    };
    let planned = plan::plan_job(project, &checked.job, None, &facts).await;
    let mut plans = planned.inspect_err(|_| told.append(&mut met))?;
    for plan in &plans {
        warn_of(&plan.warnings);
        told.extend(plan.warnings.iter().cloned());
    }
    let previews = match is_quick {
        true => plans.iter().map(|_| None).collect(),
        false => rehearsal::preview(project, ledger.as_ref(), &facts, &mut plans, &mut met).await?,
    };
    let accounts = accounts(&plans, now, &mut met).await;
    let (mistakes, warnings): (Vec<_>, Vec<_>) = met.into_iter().partition(Problem::is_mistake);
    warn_of(&warnings);
    told.extend(mistakes.into_iter().chain(warnings));
    let cadence = checked.job.cadence;
    let dashboard = cadence
        .as_ref()
        .and_then(|cadence| project.dashboards.get(&cadence.dashboard));
    let openings = cadence
        .as_ref()
        .map(|cadence| outlook::openings(dashboard, cadence, OPENINGS_USUAL, now));
    Ok((
        checked.job.name,
        Ready {
            plans,
            previews,
            cadence,
            openings: openings.unwrap_or_default(),
            accounts,
        },
    ))
}

/// Asks each web API that is written to for its account; what deserves a look is added to `met`.
async fn accounts(
    plans: &[Plan],
    now: DateTime<Utc>,
    met: &mut Vec<Problem>,
) -> Vec<(String, AccountReport)> {
    let mut accounts: Vec<(String, AccountReport)> = Vec::new();
    for plan in plans {
        let connection = &plan.destination;
        let is_service = matches!(connection.system, System::Service(_));
        if !is_service || accounts.iter().any(|(name, _)| *name == connection.name) {
            continue;
        }
        match account_of(connection).await {
            Ok(report) => {
                met.extend(account::problems(&connection.name, &report, now));
                accounts.push((connection.name.clone(), report));
            }
            Err(error) => {
                let problem = Problem::mistake(None, chain(&error).join(": "));
                met.push(problem.hint_if(error.hint()));
            }
        }
    }
    accounts
}

async fn account_of(connection: &Connection) -> Result<AccountReport, SystemError> {
    let service = AnyService::connect(connection).await?;
    let report = service.report().await;
    service.close().await;
    report
}

/// After which cycles the job runs, and when next.
fn cadence_text(ready: &Ready) -> String {
    let Some(cadence) = &ready.cadence else {
        return "  runs by hand only: it has no cadence\n".to_owned();
    };
    let openings = schedule::opening_lines(&ready.openings)
        .into_iter()
        .map(|line| format!("  {line}\n"));
    format!(
        "  {}\n{}",
        schedule::cadence_line(cadence),
        openings.collect::<String>()
    )
}

fn line(plan: &Plan, preview: Option<&WriteBackPreview>) -> String {
    let guards = guards::in_force(&plan.write_back.guards);
    let canary = plan.write_back.canary.map(Canary::size);
    let first =
        canary.map(|size| format!("    canary: {size} of its records go first and are checked\n"));
    let first = first.unwrap_or_default();
    let journal = plan
        .journal_table
        .as_ref()
        .map(|journal| journal.object.display_name());
    let journal = journal
        .map(|name| {
            format!(
                "    journal: each change goes into `{}` as well\n",
                printable(&name)
            )
        })
        .unwrap_or_default();
    let driver = plan
        .driver()
        .map(|driver| format!("    read by {}\n", printable(driver)))
        .unwrap_or_default();
    let now = preview.map(|preview| format!("    a run now: {}\n", preview.tally));
    let calls = preview.and_then(|preview| preview.calls.as_ref());
    let calls = calls.map(|calls| calls_lines(calls, "    "));
    let now = now.unwrap_or_default() + &calls.unwrap_or_default();
    let real_time: Vec<String> = real_time_fields(plan).map(printable).collect();
    let at_once = match real_time.is_empty() {
        true => String::new(),
        false => format!("    requests may write: {}\n", real_time.join(", ")),
    };
    let followed = followed(plan);
    let bypassed = match plan.write_back.salesforce.duplicate_rules {
        RuleUse::Enforced => "",
        RuleUse::Bypassed => "    duplicate rules are bypassed (`duplicate_rules = \"allow\"`)\n",
    };
    let passed_over = plan.write_back.dataverse.words();
    let passed_over = passed_over.map(|what| format!("    bypassed: {what}\n"));
    let bypassed = format!("{bypassed}{}", passed_over.unwrap_or_default());
    let undo = match (plan.write_back.before_images_kept, canary) {
        (Some(_), _) => "",
        (None, None) => {
            "    keeps no before-images (`keep_before_images = false`): its runs cannot be undone\n"
        }
        (None, Some(_)) => {
            "    keeps no before-images (`keep_before_images = false`): its runs cannot be undone, not even a canary in trouble\n"
        }
    };
    format!(
        "  {}: `{}` of `{}` to `{}` of `{}`, {}, {} fields, batches of {}\n{driver}{now}    guards: {guards}\n{first}{journal}{bypassed}{at_once}{followed}{undo}",
        plan.write_back.name,
        printable(&plan.write_back.schema.table.join(".")),
        plan.source.name,
        printable(&plan.layout.object.display_name()),
        plan.destination.name,
        plan.layout.mode.name(),
        plan.layout.fields.len(),
        plan.write_back.batch_records_max,
    )
}

/// The fields that requests may write.
fn real_time_fields(plan: &Plan) -> impl Iterator<Item = &str> {
    let fields = plan.write_back.fields.iter();
    let open = fields.filter(|field| field.real_time);
    open.map(|field| field.column.text.as_str())
}

/// What requests are told of besides, and what of it goes into the source.
fn followed(plan: &Plan) -> String {
    let ReadBack { fields, mirror } = &plan.write_back.read_back;
    if fields.is_empty() {
        return String::new();
    }
    let names = fields.iter().map(|field| printable(&field.text));
    let read_back = format!("    and are told {}", names.collect::<Vec<_>>().join(", "));
    let columns = mirror.iter().map(|one| printable(&one.column.text));
    let columns: Vec<_> = columns.collect();
    match columns.is_empty() {
        true => format!("{read_back}\n"),
        false => format!(
            "{read_back}; {} of `{}` take what they hold\n",
            columns.join(", "),
            plan.source.name
        ),
    }
}

fn json_of(found: &Found) -> Value {
    let write_back = |(plan, preview): (&Plan, &Option<WriteBackPreview>)| {
        json!({
            "name": plan.write_back.name,
            "source": plan.source.name,
            "driver": plan.driver(),
            "schema_table": plan.write_back.schema.table.join("."),
            "destination": plan.destination.name,
            "object": plan.layout.object.display_name(),
            "matching": plan.layout.mode.name(),
            "fields": plan.layout.fields.len(),
            "guards": plan.write_back.guards,
            "canary": plan.write_back.canary.map(Canary::size),
            "journal_table": plan.journal_table.as_ref().map(|journal| journal.object.display_name()),
            "keeps_before_images": plan.write_back.before_images_kept.is_some(),
            "batch_size": plan.write_back.batch_records_max,
            "records": preview.as_ref().map(|preview| preview.tally),
            "calls": preview.as_ref().and_then(|preview| preview.calls.as_ref()),
        })
    };
    let ready = found.ready.as_ref();
    json!({
        "job": found.job,
        "ready": ready.is_some(),
        "write_backs": ready.map_or(Vec::new(), |ready| {
            ready.plans.iter().zip(&ready.previews).map(write_back).collect()
        }),
        "accounts": ready.map_or(Vec::new(), |ready| {
            let accounts = ready.accounts.iter();
            accounts.map(|(name, report)| account::account_json(name, report)).collect()
        }),
        "openings": ready.map_or(Vec::new(), |ready| schedule::openings_json(&ready.openings)),
    })
}
