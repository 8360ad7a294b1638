//! The table as a page: `docs/destinations.md`.

use super::subject::ALL;
use super::{CHAPTERS, Row};

/// Where a reader finds the table.
const PAGE: &str = "docs/destinations.md";

/// Set to write the page anew.
const WRITE: &str = "WRITEBACK_WRITE_PAGES";

/// What is told of each row.
pub(super) const ROWS: [(Row, &str); 45] = [
    (
        Row::UpdateOnly,
        "only rows that are there are updated; another key creates nothing",
    ),
    (Row::Unchanged, "a second run changes nothing"),
    (Row::Upsert, "`upsert` creates what is not there"),
    (Row::CreateOnly, "`create_only` creates, and never updates"),
    (Row::KeyOfTwo, "a key of two columns"),
    (
        Row::KeyOfSeveralRows,
        "a key that finds several rows rejects its record",
    ),
    (
        Row::KeyTwiceInTheSource,
        "records that share a key are rejected, all of them",
    ),
    (Row::OnlyWhere, "`only_where` leaves other rows alone"),
    (Row::Batches, "`batch_size` bounds what is written at once"),
    (Row::NullsWritten, "a NULL is written"),
    (Row::NullsKept, "`nulls = \"keep\"` keeps what is there"),
    (Row::IfEmpty, "`when = \"if_empty\"` fills what is empty"),
    (
        Row::ConflictKept,
        "`on_conflict = \"keep\"` keeps what others changed",
    ),
    (Row::Stamps, "a stamp goes along, and alone causes no write"),
    (
        Row::Lists,
        "`list` adds members, takes some out, replaces them",
    ),
    (
        Row::References,
        "`refers_to` points a reference to another row",
    ),
    (
        Row::Refused,
        "a refused value costs its record, told in the destination's own words",
    ),
    (
        Row::Choices,
        "a word that is none of a choice's is told with the nearest before it is sent",
    ),
    (
        Row::UnknownName,
        "`check` tells of a misspelt column and a misspelt object",
    ),
    (
        Row::ComputedColumn,
        "`check` tells of a column that is computed",
    ),
    (Row::Preview, "`preview` counts what the run then does"),
    (
        Row::SavedPlan,
        "a saved plan is carried out, not over changes of others",
    ),
    (Row::OneRecord, "`test` writes one record and reads it back"),
    (Row::OneRecordRolledBack, "`test --rollback` takes it back"),
    (Row::Guard, "a guard stops a run before it writes"),
    (Row::Canary, "a canary goes first and is read back"),
    (
        Row::LastWritten,
        "`compare = \"last_written\"` looks up only what differs from the last delivery",
    ),
    (
        Row::Pinned,
        "credentials of another account are refused before anything is read",
    ),
    (
        Row::Quota,
        "a run stops before it uses up more than `quota_share` of the calls",
    ),
    (
        Row::Secrets,
        "no secret and no token stands in outputs, logs and files",
    ),
    (
        Row::Described,
        "`describe` saves descriptions to rehearse against",
    ),
    (Row::Undo, "`undo` puts back what rows held"),
    (
        Row::UndoAfterChange,
        "`undo` leaves alone what others changed since",
    ),
    (
        Row::UndoCreated,
        "`undo --delete-created` takes out what was created",
    ),
    (
        Row::History,
        "`history` tells who wrote a value, old and new",
    ),
    (
        Row::Verify,
        "`verify` finds what is no longer as it was written",
    ),
    (
        Row::JournalTable,
        "`journal_table` tells each change in the destination",
    ),
    (
        Row::OnlyRejected,
        "`run --only-rejected` tries those again, and no others",
    ),
    (Row::Parked, "a parked record is left alone"),
    (
        Row::Killed,
        "killed again and again, a run is gone on with; nothing is created twice",
    ),
    (
        Row::AnswerLost,
        "the answer to a create is lost; nothing is created twice",
    ),
    (
        Row::ThousandCreated,
        "a thousand rows are created while answers are lost and the run is killed: there are a thousand",
    ),
    (
        Row::SessionEnded,
        "the session ends in the middle of a run; another one is begun",
    ),
    (
        Row::Busy,
        "locks and throttling are waited for; nothing is rejected",
    ),
    (
        Row::BrokenAnswers,
        "cut connections and broken answers; the run goes on",
    ),
];

const INTRODUCTION: &str = "# What each destination does

One table of behaviours is tried against every destination: databases as they are, web APIs as their [practices](practice.md) stand in for them. A cell
says *works*, or what the destination cannot do and what the program does instead. The tests hold the program to each cell, and this page to the
tests: `cargo test --test behavior conformance::`.
";

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for chapter in CHAPTERS {
        let names: Vec<&str> = ALL.iter().map(|subject| subject.name).collect();
        page += &format!("\n## {}\n\n| | {} |\n", chapter.title, names.join(" | "));
        page += &format!("| --- |{}\n", " --- |".repeat(names.len()));
        for row in chapter.stories.iter().flat_map(|story| story.rows) {
            let cells: Vec<&str> = ALL
                .iter()
                .map(|subject| {
                    subject
                        .instead(*row)
                        .map_or("works", |instead| instead.sentence)
                })
                .collect();
            page += &format!("| {} | {} |\n", words(*row), cells.join(" | "));
        }
    }
    page
}

fn words(row: Row) -> &'static str {
    let found = ROWS.iter().find(|(of, _)| *of == row);
    found.expect("each row has words").1
}

#[test]
fn the_page_says_what_the_table_says() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = page();
    assert!(!page.contains("|  |"), "no cell is empty: {page}");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &page).expect("a page");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        kept, page,
        "{PAGE} is another table: `{WRITE}=1 cargo test --test behavior conformance::page` writes it"
    );
}
