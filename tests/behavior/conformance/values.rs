//! What is written into a row.

use crate::harness::Ran;

use super::subject::Choice;
use super::{Chapter, Ground, Row, Story, Subject};

pub(super) const CHAPTER: Chapter = Chapter {
    title: "What is written into a row",
    stories: &[
        Story::of(
            &[
                Row::NullsKept,
                Row::IfEmpty,
                Row::NullsWritten,
                Row::Stamps,
                Row::ConflictKept,
                Row::Unchanged,
            ],
            values_are_chosen,
        ),
        Story::unless_refused(&[Row::Lists], lists_are_changed, a_list_is_asked_for),
        Story::of(&[Row::References], references_are_repointed),
        Story::of(
            &[Row::Refused, Row::OnlyRejected, Row::Parked],
            refused_values_are_told_and_tried_again,
        ),
        Story::unless_refused(
            &[Row::Choices],
            a_misspelt_choice_is_told,
            a_choice_is_misspelt,
        ),
        Story::of(&[Row::UnknownName], an_unknown_name_is_told),
        Story::unless_refused(
            &[Row::ComputedColumn],
            a_computed_column_is_told,
            a_column_that_is_left_alone_is_told,
        ),
    ],
};

fn values_are_chosen(subject: &'static Subject) {
    let ground = Ground::of(
        subject,
        "id,score,risk,note\nA1,10.5,low,old note\nA2,20,,\n",
    );
    let columns = "id score risk note";
    let if_empty = ("note", "{ column = 'note', when = 'if_empty' }");
    ground
        .source("id,score,risk,note\nA1,,medium,x\nA2,21,,y\n")
        .job_with("nulls = 'keep'", "id score risk", if_empty);
    let run = ground.expect_run("2 read = 2 updated");
    ground.expect_held(columns, &["A1,10.5,medium,old note", "A2,21,,y"], &run);

    let stamp = ("stamp", "{ method = 'cycle_completed_at' }");
    ground.job_with("", columns, stamp);
    let run = ground.expect_run("2 read = 1 updated + 1 unchanged");
    ground.expect_held(columns, &["A1,,medium,x", "A2,21,,y"], &run);
    let stamped = ground.held("id stamp");
    assert!(!stamped[0].ends_with(','), "{stamped:?}: {run}");
    assert!(stamped[1].ends_with(','), "{stamped:?}: {run}");
    // A stamp alone is no change.
    let again = ground.expect_run("2 read = 2 unchanged");
    ground.expect_held("id stamp", &stamped, &again);

    let keep = ("risk", "{ column = 'risk', on_conflict = 'keep' }");
    ground.edit("A1", "risk", "low");
    ground
        .source("id,score,risk,note\nA1,5,high,x\nA2,22,high,y\n")
        .job_with("", "id score note", keep);
    let run = ground.expect_run("2 read = 2 updated");
    ground.expect_held(columns, &["A1,5,low,x", "A2,22,high,y"], &run);
}

fn lists_are_changed(subject: &'static Subject) {
    let members = |letters: &str| subject.members(letters);
    let ground = Ground::of(
        subject,
        &format!("id,members\nA1,{}\nA2,\n", members("a+b")),
    );
    let write = |list: &str, first: &str, second: &str, summary: &str| {
        ground.source(&format!(
            "id,members\nA1,{}\nA2,{}\n",
            members(first),
            members(second)
        ));
        let field = format!("{{ column = 'members', list = '{list}' }}");
        ground.job_with("", "id", ("members", &field));
        ground.expect_run(summary)
    };
    let held = |rows: [&str; 2], told: &Ran| ground.expect_held("id members", &rows, told);
    let added = write("add", "c+b", "c", "2 read = 2 updated");
    held(["A1,a+b+c", "A2,c"], &added);
    let removed = write("remove", "b", "b", "2 read = 1 updated + 1 unchanged");
    held(["A1,a+c", "A2,c"], &removed);
    let replaced = write("replace", "c+a", "b", "2 read = 1 updated + 1 unchanged");
    held(["A1,a+c", "A2,b"], &replaced);
    for run in [&replaced, &removed, &added] {
        let undone = ground.undo(run, &[]);
        assert_eq!(undone.code, 0, "{undone}");
    }
    held(["A1,a+b", "A2,"], &added);
}

fn a_list_is_asked_for(subject: &'static Subject) -> Ran {
    let ground = Ground::of(subject, "id,score\nA1,1\n");
    let list = ("members", "{ column = 'note', list = 'add' }");
    ground
        .source("id,note\nA1,x\n")
        .job_with("", "id", list)
        .command(&["check"])
}

fn references_are_repointed(subject: &'static Subject) {
    let owners = subject.owners.expect("owners");
    let [(ada, ada_mail), (ben, ben_mail)] = owners.known;
    let rows = format!("id,owner\nA1,{ada}\nA2,{ada}\nA3,{ada}\n");
    let ground = Ground::of(subject, &rows);
    let field = format!("{{ column = 'owner', refers_to = '{}' }}", owners.refers_to);
    ground
        .source(&format!(
            "id,owner\nA1,{ben_mail}\nA2,{ada_mail}\nA3,nobody@example.com\n"
        ))
        .job_with("", "id", ("owner", &field));
    let run = ground.expect_run("3 read = 1 updated + 1 unchanged + 1 rejected");
    let repointed = [
        format!("A1,{ben}"),
        format!("A2,{ada}"),
        format!("A3,{ada}"),
    ];
    ground.expect_held("id owner", &repointed, &run);
    let undone = ground.undo(&run, &[]);
    assert_eq!(undone.summary(), "1 read = 1 updated", "{undone}");
    assert_eq!(ground.held("id owner")[0], format!("A1,{ada}"), "{undone}");
}

fn refused_values_are_told_and_tried_again(subject: &'static Subject) {
    let ground = Ground::of(subject, "id,score\nA1,1\nA2,2\nA3,3\n");
    ground
        .source("id,score\nA1,11\nA2,150\nA3,31\n")
        .job("", "id score");
    let run = ground.expect_run("3 read = 2 updated + 1 rejected");
    let rejected = ground.place.rejected(run.run());
    assert!(rejected.contains(subject.refusal), "{rejected}");
    ground.expect_held("id score", &["A1,11", "A2,2", "A3,31"], &run);

    ground.source("id,score\nA1,12\nA2,50\nA3,32\n");
    let retried = ground.command(&["run", "job", "--only-rejected", "--json"]);
    assert_eq!(retried.summary(), "1 read = 1 updated", "{retried}");
    ground.expect_held("id score", &["A1,11", "A2,50", "A3,31"], &retried);

    let park = [
        "park",
        "job",
        "--record",
        "A3",
        "--until",
        "2999-12-01",
        "--reason",
        "asked for",
    ];
    let parked = ground.command(&park);
    assert_eq!(parked.code, 0, "{parked}");
    let run = ground.expect_run("3 read = 1 updated + 1 unchanged + 1 skipped");
    ground.expect_held("id score", &["A1,12", "A2,50", "A3,31"], &run);
}

/// A job of a word that its column does not know.
fn job_of_a_misspelt_choice(subject: &'static Subject) -> Ground {
    let ground = Ground::of(subject, "id,score\nA1,1\nA2,2\n");
    let Choice {
        misspelt, other, ..
    } = subject.choice;
    ground
        .source(&format!("id,choice\nA1,{misspelt}\nA2,{other}\n"))
        .job("", "id choice");
    ground
}

fn a_misspelt_choice_is_told(subject: &'static Subject) {
    let ground = job_of_a_misspelt_choice(subject);
    let run = ground.expect_run("2 read = 1 updated + 1 rejected");
    let rejected = ground.place.rejected(run.run());
    let told = format!("`{}` is the nearest", subject.choice.nearest);
    assert!(rejected.contains(&told), "{rejected}");
}

fn a_choice_is_misspelt(subject: &'static Subject) -> Ran {
    job_of_a_misspelt_choice(subject).command(&["run", "job"])
}

fn an_unknown_name_is_told(subject: &'static Subject) {
    let ground = Ground::of(subject, "id,score\nA1,1\n");
    ground.source("id,score\nA1,11\n").job("", "id score");
    let job = ground.place.text("schedules/job.toml");
    let (score, object) = (subject.column("score"), subject.object);
    for (name, end) in [(score, " ="), (object, "'\n")] {
        let misspelt = job.replace(&format!("{name}{end}"), &format!("{}{end}", &name[1..]));
        assert_ne!(misspelt, job);
        ground.place.file("schedules/job.toml", &misspelt);
        let check = ground.command(&["check"]);
        assert_eq!(check.code, 2, "{check}");
        let hint = format!("did you mean `{name}`?");
        assert!(check.stderr.contains(&hint), "{}: {check}", subject.name);
    }
}

/// A job into a column that the destination fills by itself.
fn job_into_a_computed_column(subject: &'static Subject) -> Ground {
    let ground = Ground::of(subject, "id,score\nA1,1\n");
    let computed = ("computed", "'note'");
    ground
        .source("id,note\nA1,x\n")
        .job_with("", "id", computed);
    ground
}

fn a_computed_column_is_told(subject: &'static Subject) {
    let check = job_into_a_computed_column(subject).command(&["check"]);
    assert_eq!(check.code, 2, "{check}");
    let column = subject.column("computed");
    let told = format!("`{column}` is computed by the ");
    assert!(check.stderr.contains(&told), "{}: {check}", subject.name);
}

fn a_column_that_is_left_alone_is_told(subject: &'static Subject) -> Ran {
    job_into_a_computed_column(subject).command(&["run", "job"])
}
