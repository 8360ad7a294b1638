//! `writeback questions`: what a job's records were asked.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use comfy_table::presets;
use serde_json::json;

use super::{CommandError, Ending, job_problems, load_job, load_project, print, print_json};
use crate::cli::QuestionsArguments;
use crate::config::Project;
use crate::domain::conform::conform;
use crate::domain::conversion::texts_of;
use crate::domain::error::{SystemError, chain};
use crate::domain::job::{Questions, RecordsOf, WriteBack};
use crate::domain::outcome::grouped;
use crate::domain::printable::printable;
use crate::domain::problem::Problem;
use crate::domain::record::KeyTexts;
use crate::report::table::{fitted, table};
use crate::run::answers::{self, QuestionFacts};
use crate::source::{AnySource, Source};

pub(super) async fn questions(
    root: &Path,
    arguments: &QuestionsArguments,
) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let checked = load_job(&project, &arguments.job)?;
    let mut all = BTreeMap::new();
    let mut records = 0;
    let mut seen = Vec::new();
    for write_back in &checked.job.write_backs {
        let Some(questions) = &write_back.questions else {
            continue;
        };
        // The steps of one write-back have the same.
        let place = (
            &write_back.source,
            &questions.schema.file,
            &write_back.schema.file,
        );
        if seen.contains(&place) {
            continue;
        }
        seen.push(place);
        let found = found(&project, write_back, questions).await;
        let (facts, read) = found.map_err(|error| {
            let message = chain(&error).join(": ");
            let location = questions.location.clone();
            let problem = Problem::mistake(location, message).hint_if(error.hint());
            job_problems(&arguments.job, vec![problem])
        })?;
        all.extend(facts);
        records += read;
    }
    if seen.is_empty() {
        let message = format!("no write-back of job `{}` has questions", checked.job.name);
        let hint = "name the file of their schema: `questions = \"sql/NAME.sql\"`";
        let problem = Problem::mistake(None, message).hint(hint);
        return Err(job_problems(&arguments.job, vec![problem]));
    }
    match arguments.json {
        true => print_json(&as_json(&checked.job.name, &all, records))?,
        false => print(&as_text(&all, records)),
    }
    Ok(Ending::Done)
}

/// What is known of each question, and how many records there are.
async fn found(
    project: &Project,
    write_back: &WriteBack,
    questions: &Questions,
) -> Result<(BTreeMap<String, QuestionFacts>, u64), SystemError> {
    let missing = || SystemError::NotFound {
        what: format!("connection `{}`", write_back.source),
        hint: None,
    };
    let source = project
        .connections
        .get(&write_back.source)
        .ok_or_else(missing)?;
    let column = match &write_back.records_of {
        RecordsOf::Agency { column, .. } | RecordsOf::Strangers { column, .. } => Some(column),
        RecordsOf::All | RecordsOf::None => None,
    };
    let mut agencies: HashMap<String, String> = HashMap::new();
    let mut records = 0;
    let mut pulled = AnySource::open(source, &write_back.schema).await?;
    while let Some(chunk) = pulled.next_chunk().await? {
        records += chunk.read;
        let conformed = conform(&write_back.schema, &chunk.records).records;
        let key: Vec<String> = write_back
            .schema
            .key_columns()
            .map(|column| column.name.clone())
            .collect();
        let named = column.and_then(|column| {
            let schema = &write_back.schema;
            let position = schema.columns.get(schema.position(column)?)?;
            let values = conformed.column(column).ok()?.as_materialized_series();
            texts_of(values, position.column_type.kind()).ok()
        });
        let (Ok(keys), Some(named)) = (KeyTexts::of(&conformed, &key), named) else {
            continue;
        };
        let known = named.iter().enumerate();
        agencies
            .extend(known.filter_map(|(index, name)| Some((keys.text(index)?, name?.to_owned()))));
    }
    let agency_of = |record: &str| agencies.get(record).cloned();
    Ok((answers::facts(source, questions, agency_of).await?, records))
}

fn share(answered: u64, records: u64) -> String {
    match records {
        0 => "–".to_owned(),
        records => format!("{} %", answered.saturating_mul(100) / records),
    }
}

fn as_text(all: &BTreeMap<String, QuestionFacts>, records: u64) -> String {
    let mut table = table(presets::UTF8_FULL_CONDENSED);
    table.set_header(["question", "words", "agencies", "answered"]);
    for (id, facts) in all {
        let agencies: Vec<&str> = facts.agencies.iter().map(String::as_str).collect();
        table.add_row([
            printable(id),
            printable(facts.text.as_deref().unwrap_or("–")),
            printable(&agencies.join(", ")),
            format!(
                "{} of {}, {}",
                grouped(facts.answered),
                grouped(records),
                share(facts.answered, records)
            ),
        ]);
    }
    fitted(table, &[1, 2]) + "\n"
}

fn as_json(job: &str, all: &BTreeMap<String, QuestionFacts>, records: u64) -> serde_json::Value {
    let question = |(id, facts): (&String, &QuestionFacts)| {
        json!({
            "question": id,
            "text": facts.text,
            "agencies": facts.agencies,
            "answered": facts.answered,
        })
    };
    json!({
        "job": job,
        "records": records,
        "questions": all.iter().map(question).collect::<Vec<_>>(),
    })
}
