//! What every destination does, told once: one table of behaviours over all destinations. A cell of
//! it works, or its destination says what it cannot do and what the program does instead, and then
//! that is what happens. `docs/destinations.md` is this table.

mod ahead;
mod back;
mod ground;
mod page;
mod random;
mod subject;
mod trouble;
mod values;
mod writing;

use std::collections::BTreeSet;

use crate::harness::Ran;

use ground::Ground;
use subject::Subject;

/// A behaviour: a row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Row {
    UpdateOnly,
    Unchanged,
    Upsert,
    CreateOnly,
    KeyOfTwo,
    KeyOfSeveralRows,
    KeyTwiceInTheSource,
    OnlyWhere,
    Batches,
    NullsWritten,
    NullsKept,
    IfEmpty,
    ConflictKept,
    Stamps,
    Lists,
    References,
    Refused,
    Choices,
    UnknownName,
    ComputedColumn,
    Preview,
    SavedPlan,
    OneRecord,
    OneRecordRolledBack,
    Guard,
    Canary,
    LastWritten,
    Pinned,
    Quota,
    Secrets,
    Described,
    Undo,
    UndoAfterChange,
    UndoCreated,
    History,
    Verify,
    JournalTable,
    OnlyRejected,
    Parked,
    Killed,
    AnswerLost,
    ThousandCreated,
    SessionEnded,
    Busy,
    BrokenAnswers,
}

/// What is told of rows that hang together, and how each destination is held to it.
struct Story {
    rows: &'static [Row],
    works: fn(&'static Subject),
    /// Asks for what a destination cannot do, if there is one that cannot.
    refused: Option<fn(&'static Subject) -> Ran>,
}

impl Story {
    /// A story that goes the same way everywhere.
    const fn of(rows: &'static [Row], works: fn(&'static Subject)) -> Self {
        Self {
            rows,
            works,
            refused: None,
        }
    }

    /// A story of one row that not every destination tells.
    const fn unless_refused(
        row: &'static [Row; 1],
        works: fn(&'static Subject),
        refused: fn(&'static Subject) -> Ran,
    ) -> Self {
        Self {
            rows: row,
            works,
            refused: Some(refused),
        }
    }

    fn tell(&self, subject: &'static Subject) {
        let instead = self.rows.iter().find_map(|row| subject.instead(*row));
        let Some(instead) = instead else {
            return (self.works)(subject);
        };
        let asked = self.refused.expect("a story that a destination may refuse");
        let refused = asked(subject);
        let (name, rows) = (subject.name, self.rows);
        let said = instead.said;
        assert_eq!(refused.code, instead.code, "{rows:?} of {name}: {refused}");
        assert!(
            refused.stderr.contains(said) || refused.stdout.contains(said),
            "{rows:?} of {name} does not say `{said}`: {refused}"
        );
    }
}

/// Stories of one kind: a part of the table under a title.
struct Chapter {
    title: &'static str,
    stories: &'static [Story],
}

const CHAPTERS: [&Chapter; 5] = [
    &writing::CHAPTER,
    &values::CHAPTER,
    &ahead::CHAPTER,
    &back::CHAPTER,
    &trouble::CHAPTER,
];

fn tell(subject: &'static Subject, chapter: &Chapter) {
    for story in chapter.stories {
        story.tell(subject);
    }
}

/// A column of the table: a test for each chapter, so that they go side by side.
macro_rules! held_to_the_table {
    ($($module:ident: $subject:ident),* $(,)?) => {
        $(mod $module {
            use super::{ahead, back, subject::$subject, tell, trouble, values, writing};

            #[test]
            fn writes_what_the_table_says() {
                tell(&$subject, &writing::CHAPTER);
            }

            #[test]
            fn makes_of_values_what_the_table_says() {
                tell(&$subject, &values::CHAPTER);
            }

            #[test]
            fn shows_ahead_what_the_table_says() {
                tell(&$subject, &ahead::CHAPTER);
            }

            #[test]
            fn takes_back_what_the_table_says() {
                tell(&$subject, &back::CHAPTER);
            }

            #[test]
            fn comes_through_trouble_as_the_table_says() {
                tell(&$subject, &trouble::CHAPTER);
            }
        })*

        #[test]
        fn every_destination_is_held_to_the_table() {
            let held = [$(subject::$subject.name),*];
            assert_eq!(held, subject::ALL.map(|subject| subject.name));
        }
    };
}

held_to_the_table! {
    postgresql: POSTGRESQL,
    mariadb: MARIADB,
    sqlite: SQLITE,
    duckdb: DUCKDB,
    salesforce: SALESFORCE,
    hubspot: HUBSPOT,
    dataverse: DATAVERSE,
    bullhorn: BULLHORN,
}

#[test]
fn each_row_is_told_in_one_story() {
    let told: Vec<Row> = CHAPTERS
        .iter()
        .flat_map(|chapter| chapter.stories)
        .flat_map(|story| story.rows)
        .copied()
        .collect();
    let once: BTreeSet<Row> = told.iter().copied().collect();
    assert_eq!(told.len(), once.len(), "{told:?}");
    assert_eq!(once, page::ROWS.iter().map(|(row, _)| *row).collect());
}
