//! Answers: what records were asked stands in a table of its own, and is laid beside them as they
//! are pulled. Only the answers that fields take are kept in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use polars::prelude::{Column, DataFrame, IntoColumn, StringChunked};

use crate::domain::conform::conform;
use crate::domain::connection::Connection;
use crate::domain::conversion::texts_of;
use crate::domain::error::SystemError;
use crate::domain::job::Questions;
use crate::domain::problem::{did_you_mean, quoted_list};
use crate::domain::record::KeyTexts;
use crate::source::{AnySource, Source};

/// Answers that are kept in memory at most: they take a few hundred bytes each.
const ANSWERS_MAX: usize = 2_000_000;

/// What records answered to the questions that fields take.
#[derive(Debug)]
pub(crate) struct Answers {
    /// By question in the order in which they are asked: answers by the key of their record.
    given: Vec<HashMap<String, String>>,
    /// Names of the columns of answers, in the same order.
    columns: Vec<String>,
}

/// One line of a table of questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnswerLine {
    /// The key of the record that answers.
    pub(crate) record: String,
    pub(crate) question: String,
    /// The question in words.
    pub(crate) text: Option<String>,
    /// Empty, it is not answered.
    pub(crate) answer: Option<String>,
}

impl Answers {
    /// Reads the answers that are asked for. Errors: nobody has one of the questions; there are too
    /// many answers.
    pub(crate) async fn read(
        source: &Connection,
        questions: &Questions,
    ) -> Result<Self, SystemError> {
        let place = |question: &str| questions.asked.iter().position(|(id, _)| id == question);
        let mut given: Vec<HashMap<String, String>> = vec![HashMap::new(); questions.asked.len()];
        let (mut known, mut kept) = (BTreeSet::new(), 0_usize);
        let mut lines = AnswerLines::open(source, questions).await?;
        while let Some(chunk) = lines.next().await? {
            for line in chunk {
                if !known.contains(&line.question) {
                    known.insert(line.question.clone());
                }
                let answers = place(&line.question).and_then(|place| given.get_mut(place));
                if let (Some(answers), Some(answer)) = (answers, line.answer) {
                    kept += 1;
                    answers.insert(line.record, answer);
                }
            }
            if kept > ANSWERS_MAX {
                return Err(SystemError::NotFound {
                    what: format!("room for more than {ANSWERS_MAX} answers"),
                    hint: Some(
                        "have the model of the questions leave out what is not asked for"
                            .to_owned(),
                    ),
                });
            }
        }
        expect_known(questions, &known)?;
        Ok(Self {
            given,
            columns: questions
                .asked
                .iter()
                .map(|(_, column)| column.name.clone())
                .collect(),
        })
    }

    /// Lays the answers beside conformed records, which these `keys` tell.
    pub(crate) fn beside(&self, conformed: DataFrame, keys: &[Option<String>]) -> DataFrame {
        let height = conformed.height();
        let mut columns: Vec<Column> = conformed.columns().to_vec();
        for (given, name) in self.given.iter().zip(&self.columns) {
            let answer = |key: &Option<String>| given.get(key.as_ref()?).map(String::as_str);
            let answers: StringChunked = keys.iter().map(answer).collect();
            columns.push(answers.with_name(name.as_str().into()).into_column());
        }
        DataFrame::new(height, columns).expect("no column of a schema is called as a question is")
    }
}

fn expect_known(questions: &Questions, known: &BTreeSet<String>) -> Result<(), SystemError> {
    if known.is_empty() {
        return Ok(());
    }
    let unknown = questions.asked.iter().find(|(id, _)| !known.contains(id));
    let Some((unknown, column)) = unknown else {
        return Ok(());
    };
    let names = || known.iter().map(String::as_str);
    let hint = did_you_mean(unknown, names()).unwrap_or_else(|| {
        format!(
            "questions are {}",
            quoted_list(names().take(QUESTIONS_SHOWN_MAX))
        )
    });
    Err(SystemError::NotFound {
        what: format!("question `{unknown}`, which {} asks,", column.location),
        hint: Some(hint),
    })
}

/// Questions that a message names.
const QUESTIONS_SHOWN_MAX: usize = 20;

/// The lines of a table of questions, a chunk at a time.
pub(crate) struct AnswerLines<'a> {
    source: AnySource,
    questions: &'a Questions,
}

impl<'a> AnswerLines<'a> {
    pub(crate) async fn open(
        source: &Connection,
        questions: &'a Questions,
    ) -> Result<Self, SystemError> {
        Ok(Self {
            source: AnySource::open(source, &questions.schema).await?,
            questions,
        })
    }

    /// The next lines; `None` after the last. Those that are not what their schema says are left
    /// out.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<AnswerLine>>, SystemError> {
        let Some(pulled) = self.source.next_chunk().await? else {
            return Ok(None);
        };
        let conformed = conform(&self.questions.schema, &pulled.records).records;
        Ok(Some(lines(self.questions, &conformed)))
    }
}

fn lines(questions: &Questions, conformed: &DataFrame) -> Vec<AnswerLine> {
    let schema = &questions.schema;
    let mut key: Vec<String> = schema
        .key_columns()
        .map(|column| column.name.clone())
        .collect();
    let question = key.pop().and_then(|name| schema.position(&name));
    let texts = |position: usize| {
        let column = schema.columns.get(position)?;
        let values = conformed.column(&column.name).ok()?;
        texts_of(values.as_materialized_series(), column.column_type.kind()).ok()
    };
    let (Ok(records), Some(ids)) = (KeyTexts::of(conformed, &key), question.and_then(texts)) else {
        return Vec::new();
    };
    let (answers, words) = (texts(questions.answer), questions.text.and_then(texts));
    let text_at = |texts: &Option<StringChunked>, index: usize| {
        let text = texts.as_ref()?.get(index)?;
        (!text.is_empty()).then(|| text.to_owned())
    };
    let line = |index: usize| {
        Some(AnswerLine {
            record: records.text(index)?,
            question: ids.get(index)?.to_owned(),
            text: text_at(&words, index),
            answer: text_at(&answers, index),
        })
    };
    (0..conformed.height()).filter_map(line).collect()
}

/// What is known of a question.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct QuestionFacts {
    pub(crate) text: Option<String>,
    /// Whose records have it.
    pub(crate) agencies: BTreeSet<String>,
    pub(crate) answered: u64,
}

/// Every question by its id, told from the lines of all records; `agency_of` tells whose a record
/// is.
pub(crate) async fn facts(
    source: &Connection,
    questions: &Questions,
    agency_of: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, QuestionFacts>, SystemError> {
    let mut all: BTreeMap<String, QuestionFacts> = BTreeMap::new();
    let mut lines = AnswerLines::open(source, questions).await?;
    while let Some(chunk) = lines.next().await? {
        for line in chunk {
            let facts = all.entry(line.question).or_default();
            facts.agencies.extend(agency_of(&line.record));
            facts.answered += u64::from(line.answer.is_some());
            if facts.text.is_none() {
                facts.text = line.text;
            }
        }
    }
    Ok(all)
}
