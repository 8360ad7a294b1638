//! What is known afterwards, and taken back.

use super::{Chapter, Ground, Row, Story, Subject};

pub(super) const CHAPTER: Chapter = Chapter {
    title: "What is known afterwards, and taken back",
    stories: &[Story::of(
        &[
            Row::Preview,
            Row::History,
            Row::Verify,
            Row::UndoAfterChange,
            Row::Undo,
        ],
        a_run_is_foreseen_looked_back_at_and_undone,
    )],
};

const BEFORE: [&str; 3] = ["A1,10.5,low,old note", "A2,20,,", "A3,30,high,kept"];
const COLUMNS: &str = "id score risk note";

fn a_run_is_foreseen_looked_back_at_and_undone(subject: &'static Subject) {
    let rows = BEFORE.join("\n");
    let ground = Ground::of(subject, &format!("id,score,risk,note\n{rows}\n"));
    ground
        .source("id,score,risk,note\nA1,11.25,medium,new note\nA2,20.00,low,\nA3,30,high,kept\nA9,9,low,\n")
        .job("", COLUMNS);
    let preview = ground.command(&["preview", "job", "--json"]);
    assert_eq!(preview.code, 0, "{preview}");
    ground.expect_held(COLUMNS, &BEFORE, &preview);
    let run = ground.expect_run("4 read = 2 updated + 1 unchanged + 1 skipped");
    let after = ["A1,11.25,medium,new note", "A2,20,low,", "A3,30,high,kept"];
    ground.expect_held(COLUMNS, &after, &run);
    let (foreseen, ran) = (preview.json(), run.json());
    for count in ["read", "updated", "unchanged", "skipped", "rejected"] {
        let told = |json: &serde_json::Value| json["write_backs"][0][count].clone();
        assert_eq!(told(&foreseen), told(&ran), "{count}: {preview}");
    }

    let history = ground.command(&["history", "scores", "--record", "A1", "--json"]);
    let changes = history.json()["entries"][0]["changes"].to_string();
    for value in ["old note", "new note", "11.25"] {
        assert!(changes.contains(value), "{}: {history}", subject.name);
    }
    let verified = ground.command(&["verify", "job"]);
    assert_eq!(verified.code, 0, "{verified}");
    ground.edit("A2", "risk", "high");
    let drifted = ground.command(&["verify", "job"]);
    assert_eq!(drifted.code, 1, "{}: {drifted}", subject.name);

    let undone = ground.undo(&run, &[]);
    let summary = "2 read = 1 updated + 1 skipped";
    assert_eq!(undone.summary(), summary, "{}: {undone}", subject.name);
    let left = [BEFORE[0], "A2,20,high,", BEFORE[2]];
    ground.expect_held(COLUMNS, &left, &undone);
}
