//! `writeback check`: files, schemas, connections and rights, without writing anything.

use std::path::Path;

use chrono::Utc;

use super::{CommandError, Ending, load_job, load_project, print, warn_of};
use crate::cli::CheckArguments;
use crate::config::Project;
use crate::domain::cycle::Cycle;
use crate::domain::mapping::RunFacts;
use crate::domain::problem::Problem;
use crate::run::counted;
use crate::run::plan::{self, Plan};

pub(super) async fn check(root: &Path, arguments: &CheckArguments) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let jobs = if arguments.jobs.is_empty() { project.job_names() } else { arguments.jobs.clone() };
    if jobs.is_empty() {
        print("no jobs: `schedules/` holds no `.toml` file\n")?;
    }
    let mut problems = Vec::new();
    for job in &jobs {
        match check_job(&project, job).await {
            Ok(text) => print(&text)?,
            Err(error) => {
                for problem in error.into_problems()? {
                    // A connection or schema that several jobs share is told of once.
                    if !problems.contains(&problem) {
                        problems.push(problem);
                    }
                }
            }
        }
    }
    match problems.is_empty() {
        true => Ok(Ending::Done),
        false => Err(CommandError::Problems { title: title(&jobs, &problems), problems }),
    }
}

fn title(jobs: &[String], problems: &[Problem]) -> String {
    let count = counted(problems.len(), "problem");
    match jobs {
        [job] => format!("job `{job}` has {count}"),
        _ => format!("the jobs have {count}"),
    }
}

async fn check_job(project: &Project, job: &str) -> Result<String, CommandError> {
    let checked = load_job(project, job)?;
    warn_of(&checked.warnings);
    let now = Utc::now();
    let cycle = Cycle { id: "check".to_owned(), completed_at: now };
    let facts = RunFacts { run: 0, job: checked.job.name.clone(), cycle, started_at: now };
    let plans = plan::plan_job(project, &checked.job, None, &facts).await?;
    for plan in &plans {
        warn_of(&plan.warnings);
    }
    let lines: Vec<String> = plans.iter().map(line).collect();
    Ok(format!("{}  ready\n{}", checked.job.name, lines.concat()))
}

fn line(plan: &Plan) -> String {
    format!(
        "  {}: `{}` of `{}` to `{}` of `{}`, {}, {} fields, batches of {}\n",
        plan.write_back.name,
        plan.write_back.schema.table.join("."),
        plan.source.name,
        plan.layout.object.display_name(),
        plan.destination.name,
        plan.layout.mode.name(),
        plan.layout.fields.len(),
        plan.write_back.batch_records_max,
    )
}
