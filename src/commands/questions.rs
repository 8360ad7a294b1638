//! `writeback questions`: what a job's records were asked.

use std::path::Path;

use comfy_table::presets;

use super::{CommandError, Ending, job_problems, load_job, load_project, print, print_json};
use crate::cli::QuestionsArguments;
use crate::domain::error::chain;
use crate::domain::outcome::grouped;
use crate::domain::printable::printable;
use crate::domain::problem::Problem;
use crate::report::table::{fitted, table};
use crate::run::questions::{self, JobQuestions, Unread};

pub(super) async fn questions(
    root: &Path,
    arguments: &QuestionsArguments,
) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let checked = load_job(&project, &arguments.job)?;
    let asked = questions::of_job(&project, &checked.job).await;
    let asked = asked.map_err(|Unread { location, source }| {
        let message = chain(&source).join(": ");
        let problem = Problem::mistake(location, message).hint_if(source.hint());
        job_problems(&arguments.job, vec![problem])
    })?;
    let Some(asked) = asked else {
        let message = format!("no write-back of job `{}` has questions", checked.job.name);
        let hint = "name the file of their schema: `questions = \"sql/NAME.sql\"`";
        let problem = Problem::mistake(None, message).hint(hint);
        return Err(job_problems(&arguments.job, vec![problem]));
    };
    match arguments.json {
        true => print_json(&asked.json(&checked.job.name))?,
        false => print(&as_text(&asked)),
    }
    Ok(Ending::Done)
}

fn as_text(asked: &JobQuestions) -> String {
    let records = asked.records;
    let mut table = table(presets::UTF8_FULL_CONDENSED);
    table.set_header(["question", "words", "agencies", "answered"]);
    for (id, facts) in &asked.facts {
        let agencies: Vec<&str> = facts.agencies.iter().map(String::as_str).collect();
        table.add_row([
            printable(id),
            printable(facts.text.as_deref().unwrap_or("–")),
            printable(&agencies.join(", ")),
            format!(
                "{} of {}, {}",
                grouped(facts.answered),
                grouped(records),
                questions::share(facts.answered, records)
            ),
        ]);
    }
    fitted(table, &[1, 2]) + "\n"
}
