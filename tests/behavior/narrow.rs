//! A narrow terminal: every table of every command fits eighty columns, or is told row by row.

use crate::harness::{Ran, Server, Workspace, write_back};

/// Two long names, long keys and long values: what makes tables wide.
fn place() -> Workspace {
    let key = |id: &str| format!("{id}-{}", "k".repeat(28));
    let text = "a note of some words that goes on for longer than anybody reads ".repeat(3);
    let rows = format!(
        "id,score,note,phone\n{},1,,\n{},2,{text},\n{},3,,\n",
        key("A1"),
        key("A2"),
        key("A3")
    );
    let source = format!(
        "id,score,note\n{},10,{text}\n{},2,{text}\n{},x,\n{},5,nobody\n{},6,parked\n",
        key("A1"),
        key("A2"),
        key("A4"),
        key("B1"),
        key("A3")
    );
    let columns = "id VARCHAR(40) PRIMARY KEY, score DECIMAL(9,2), note VARCHAR(400)";
    let place = Workspace::on(Server::Sqlite);
    place
        .table("accounts", &format!("{columns}, phone VARCHAR(40)"), &rows)
        .scores(columns, &source);
    let first = write_back(
        "scores",
        "accounts",
        "ignore = ['note']",
        "id = 'id'\nscore = 'score'",
    );
    let second = write_back(
        "scores_of_all_regions_but_the_north",
        "accounts",
        "schema = 'sql/scores.sql'\nignore = ['score']",
        "id = 'id'\nnote = 'note'",
    );
    let dashboard = "[dashboards.health]\nmarker = 'cycle.json'\n";
    place
        .file("writeback.toml", &(place.text("writeback.toml") + dashboard))
        .file(
            "cycle.json",
            r#"{"cycle_id": "2026-W48-of-the-whole-organisation", "completed_at": "2026-11-29T06:30:00Z"}"#,
        )
        .file("schedules/job.toml", &format!("[cadence]\ndashboard = 'health'\n\n{first}{second}"));
    place
}

fn narrow(place: &Workspace, arguments: &[&str]) -> Ran {
    place.command_with(arguments, &[("COLUMNS", "80")])
}

/// Panics: if a line of a table is wider than the terminal.
fn expect_narrow(ran: &Ran) {
    let is_of_a_table = |line: &str| {
        let is_cells = line.trim_start().contains("  ") && !line.contains([':', '=']);
        line.contains(['│', '┆', '┌', '└', '╞', '├']) || is_cells
    };
    for line in ran.stdout.lines().filter(|line| is_of_a_table(line)) {
        let width = line.chars().count();
        // A row that is told line by line has a heading and a cell, which the terminal breaks.
        let is_one_cell = !line.contains('│') && line.trim_start().matches("  ").count() == 1;
        assert!(width <= 80 || is_one_cell, "{width} columns: {line}\n{ran}");
    }
}

#[test]
fn every_table_fits_eighty_columns() {
    let place = place();
    let parked = format!("A3-{}", "k".repeat(28));
    let record = format!("A1-{}", "k".repeat(28));
    for arguments in [
        &["check"][..],
        &["check", "job"],
        &["status"],
        &["preview", "job"],
        &[
            "test",
            "job",
            "--write-back",
            "scores",
            "--record",
            &record,
            "--rollback",
        ],
        &[
            "park",
            "job",
            "--write-back",
            "scores",
            "--record",
            &parked,
            "--until",
            "changed",
            "--reason",
            "somebody looks at it and will for as long as it takes",
        ],
        &["park", "job"],
        &["run", "job"],
        &["run", "job"],
        &["runs"],
        &["runs", "1"],
        &["history", "scores", "--record", &record],
        &["verify", "job"],
        &["run", "job", "--again"],
        &["status"],
        &["undo", "1"],
        &["runs"],
        &["runs", "3"],
        &["verify", "job"],
        &["next"],
        &["activity"],
        &["methods"],
        &["settings"],
        &["schema", "crm", "accounts"],
    ] {
        let ran = narrow(&place, arguments);
        assert!([0, 1].contains(&ran.code), "{ran}");
        expect_narrow(&ran);
    }
}
