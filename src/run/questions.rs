//! What a job's records were asked: every question with its words, whose records have it, and how
//! many answered. Reads the records and the answers, and writes nothing.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::config::Project;
use crate::domain::conform::conform;
use crate::domain::conversion::texts_of;
use crate::domain::error::SystemError;
use crate::domain::job::{Job, Questions, RecordsOf, WriteBack};
use crate::domain::problem::Location;
use crate::domain::record::KeyTexts;
use crate::run::answers::{self, QuestionFacts};
use crate::source::{AnySource, Source};

/// What is known of a job's questions.
#[derive(Debug, Default)]
pub(crate) struct JobQuestions {
    /// By id.
    pub(crate) facts: BTreeMap<String, QuestionFacts>,
    /// Records that could have been asked.
    pub(crate) records: u64,
}

impl JobQuestions {
    /// As `--json` prints them.
    pub(crate) fn json(&self, job: &str) -> Value {
        let question = |(id, facts): (&String, &QuestionFacts)| {
            json!({
                "question": id,
                "text": facts.text,
                "agencies": facts.agencies,
                "answered": facts.answered,
            })
        };
        let questions: Vec<Value> = self.facts.iter().map(question).collect();
        json!({ "job": job, "records": self.records, "questions": questions })
    }
}

/// Questions that could not be read, and the line that names them.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) location: Location,
    pub(crate) source: SystemError,
}

/// The questions of all of a job's write-backs; nothing, if none has any.
pub(crate) async fn of_job(project: &Project, job: &Job) -> Result<Option<JobQuestions>, Unread> {
    let mut all = JobQuestions::default();
    let mut seen = Vec::new();
    for write_back in &job.write_backs {
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
        let found = of_write_back(project, write_back, questions).await;
        let found = found.map_err(|source| Unread {
            location: questions.location.clone(),
            source,
        })?;
        all.facts.extend(found.facts);
        all.records += found.records;
    }
    Ok((!seen.is_empty()).then_some(all))
}

async fn of_write_back(
    project: &Project,
    write_back: &WriteBack,
    questions: &Questions,
) -> Result<JobQuestions, SystemError> {
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
    Ok(JobQuestions {
        facts: answers::facts(source, questions, agency_of).await?,
        records,
    })
}

/// How many of the records answered, in percent.
pub(crate) fn share(answered: u64, records: u64) -> String {
    match records {
        0 => "–".to_owned(),
        records => format!("{} %", answered.saturating_mul(100) / records),
    }
}
