//! Which rows are written to.

use super::subject::Kind;
use super::{Chapter, Ground, Row, Story, Subject};
use crate::harness::write_back;

pub(super) const CHAPTER: Chapter = Chapter {
    title: "Which rows are written to",
    stories: &[
        Story::of(
            &[
                Row::UpdateOnly,
                Row::KeyOfTwo,
                Row::KeyOfSeveralRows,
                Row::KeyTwiceInTheSource,
                Row::OnlyWhere,
            ],
            rows_are_found,
        ),
        Story::of(
            &[Row::Upsert, Row::Batches, Row::UndoCreated, Row::CreateOnly],
            rows_are_created,
        ),
    ],
};

const ROWS: &str = "id,shared,part,score
A1,X,north,1
A2,X,south,2
A3,Y,north,3
";

fn rows_are_found(subject: &'static Subject) {
    let ground = Ground::of(subject, ROWS);
    ground
        .source("id,score\nA1,1.25\nA9,9\n")
        .job("", "id score");
    let run = ground.expect_run("2 read = 1 updated + 1 skipped");
    ground.expect_held("id score", &["A1,1.25", "A2,2", "A3,3"], &run);

    ground
        .source_by("shared, part", "shared,part,score\nX,south,5\nY,south,6\n")
        .job("", "shared part score");
    let run = ground.expect_run("2 read = 1 updated + 1 skipped");
    ground.expect_held("id score", &["A1,1.25", "A2,5", "A3,3"], &run);

    ground
        .source("shared,score\nX,7\nY,8\n")
        .job("", "shared score");
    let run = ground.expect_run("2 read = 1 updated + 1 rejected");
    let rejected = ground.place.rejected(run.run());
    assert!(rejected.contains("the key matches 2 rows"), "{rejected}");
    if let Kind::Service(service) = &subject.kind {
        for number in [1, 2] {
            assert!(rejected.contains(&(service.id)(number)), "{rejected}");
        }
    }
    ground.expect_held("id score", &["A1,1.25", "A2,5", "A3,8"], &run);

    ground
        .source("id,score\nA1,9\nA3,10\nA1,11\n")
        .job("", "id score");
    let run = ground.expect_run("3 read = 1 updated + 2 rejected");
    ground.expect_held("id score", &["A1,1.25", "A2,5", "A3,10"], &run);

    let north = format!("only_where = {{ {} = 'north' }}", subject.column("part"));
    ground
        .source("id,score\nA1,12\nA2,13\n")
        .job(&north, "id score");
    let run = ground.expect_run("2 read = 1 updated + 1 skipped");
    ground.expect_held("id score", &["A1,12", "A2,5", "A3,10"], &run);

    // Texts that no key can be cost nobody else anything.
    ground
        .source("id,score\nNULL,1\nno id,1\n\"it's, \"\"\\\",1\n\u{1b}[31m,1\nA1,13\n")
        .job("", "id score");
    let run = ground.expect_run("5 read = 1 updated + 4 skipped");
    ground.expect_held("id score", &["A1,13", "A2,5", "A3,10"], &run);
    // Elsewhere ids are numbers or UUIDs, and other texts never get so far.
    if let Kind::Service(service) = &subject.kind
        && service.kind == "salesforce"
    {
        let known = (service.id)(1);
        let stray = "NULL,1\nno id,1\n\"it's\",1\n001000000000001ZZZ,1\n";
        ground.source(&format!("id,score\n{stray}{known},14\n"));
        let fields = format!(
            "{} = 'id'\n{} = 'score'\n",
            service.id_column,
            subject.column("score")
        );
        let job = write_back("scores", subject.object, "", &fields);
        ground.place.file("schedules/job.toml", &job);
        let run = ground.run();
        let told = &run.json()["write_backs"][0];
        assert_eq!(
            (&told["updated"], &told["read"]),
            (&1.into(), &5.into()),
            "{run}"
        );
        ground.expect_held("id score", &["A1,14", "A2,5", "A3,10"], &run);
    }
}

fn rows_are_created(subject: &'static Subject) {
    let ground = Ground::of(subject, "id,score\nA1,1\nA2,2\n");
    ground
        .source("id,score\nA1,11\nB1,1\nB2,2\nB3,3\nB4,4\n")
        .creating_job("matching = 'upsert'\nbatch_size = 2", "id score");
    let run = ground.expect_run("5 read = 4 inserted + 1 updated");
    let batches = &run.json()["write_backs"][0]["batches"];
    assert_eq!(batches, 3, "{run}");
    let created = ["A1,11", "A2,2", "B1,1", "B2,2", "B3,3", "B4,4"];
    ground.expect_held("id score", &created, &run);
    let again = ground.expect_run("5 read = 5 unchanged");
    ground.expect_held("id score", &created, &again);

    let undone = ground.undo(&run, &[]);
    assert_eq!(undone.summary(), "5 read = 1 updated + 4 skipped");
    let left = ["A1,1", "A2,2", "B1,1", "B2,2", "B3,3", "B4,4"];
    ground.expect_held("id score", &left, &undone);
    let undone = ground.undo(&run, &["--delete-created"]);
    assert_eq!(undone.summary(), "5 read = 1 unchanged + 4 deleted");
    ground.expect_held("id score", &["A1,1", "A2,2"], &undone);

    ground
        .source("id,score\nA1,11\nC1,1\n")
        .creating_job("matching = 'create_only'", "id score");
    ground.expect_run("2 read = 1 inserted + 1 skipped");
    let again = ground.expect_run("2 read = 2 skipped");
    ground.expect_held("id score", &["A1,1", "A2,2", "C1,1"], &again);
}
