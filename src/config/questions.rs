//! `questions = "sql/…"`: what records were asked, in a table of their own beside them.

use super::document::Value;
use super::fields::Asking;
use crate::domain::job::Questions;
use crate::domain::problem::Location;
use crate::domain::schema::{Schema, SchemaColumn, SchemaType};

/// A schema of questions, as a write-back names it.
#[derive(Debug, Clone)]
pub(super) struct QuestionsSchema {
    schema: Schema,
    answer: usize,
    text: Option<usize>,
    location: Location,
}

/// Holds a schema of questions against that of the records that answer them.
pub(super) fn read_questions(
    value: Value<'_>,
    questions: Schema,
    records: &Schema,
) -> Option<QuestionsSchema> {
    let file = &questions.file;
    let mistake = |message: String, hint: &str| {
        value.mistake(message, Some(hint.to_owned()));
        None
    };
    let parts = records.key.len();
    if questions.key.len() != parts + 1 {
        return mistake(
            format!(
                "the key of `{file}` has {} columns, and a question of a record is told by {}",
                questions.key.len(),
                parts + 1
            ),
            "its key is the records' own and then the question's id: `PRIMARY KEY (referral_id, question_id)`",
        );
    }
    let other = questions
        .key_columns()
        .zip(records.key_columns())
        .find(|(theirs, own)| theirs.column_type.kind() != own.column_type.kind());
    if let Some((theirs, own)) = other {
        return mistake(
            format!(
                "`{}` of `{file}` is {}, and `{}` of `{}` is {}",
                theirs.name, theirs.column_type, own.name, records.file, own.column_type
            ),
            "what tells a record is of one type in both",
        );
    }
    let Some(answer) = questions.position("answer") else {
        return mistake(
            format!("`{file}` has no column `answer`"),
            "name the column of answers so; a model may rename it: `SELECT … AS answer`",
        );
    };
    Some(QuestionsSchema {
        text: questions.position("question"),
        schema: questions,
        answer,
        location: value.location(),
    })
}

impl QuestionsSchema {
    /// With the questions that fields take.
    pub(super) fn with(&self, asking: &Asking) -> Questions {
        let column = |(id, location): &(String, Location)| {
            let column = SchemaColumn {
                name: format!("question {id}"),
                column_type: SchemaType::Text {
                    characters_max: None,
                },
                nullable: true,
                location: location.clone(),
            };
            (id.clone(), column)
        };
        Questions {
            schema: self.schema.clone(),
            answer: self.answer,
            text: self.text,
            asked: asking.asked.borrow().iter().map(column).collect(),
            location: self.location.clone(),
        }
    }
}
