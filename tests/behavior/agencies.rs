//! One job for many agencies: the base, what each of them changes, and how little they notice of one
//! another.

use crate::harness::{Ran, Server, Workspace};

pub(crate) const BASE: &str = r#"
[agencies]
column = "agency"

[[write_back]]
name = "candidate"
schema = "sql/referral.sql"
source = "files"
destination = "crm"
table = "candidate"
matching = "upsert"

[write_back.fields]
id = "referral_id"
name = "name"
status = { string = "New Lead" }
origin = { string = "referral" }
"#;

const REFERRALS: &str =
    "CREATE TABLE referrals (referral_id TEXT PRIMARY KEY, agency TEXT, name TEXT);";

/// Two agencies, of which `south` has a status of its own and does not tell where from.
pub(crate) fn place() -> Workspace {
    let place = Workspace::on(Server::Sqlite);
    let columns = "id VARCHAR(18) PRIMARY KEY, name TEXT, status TEXT, origin TEXT";
    place.table("candidate", columns, "id\n");
    place.file("sql/referral.sql", REFERRALS);
    place.file(
        "data/referrals.csv",
        "referral_id,agency,name\nR1,North,Ada\nR2,South Ltd,Bo\nR3,North,Cy\nR4,East,Di\nR5,,Ed\n",
    );
    place.file("schedules/referral.toml", BASE);
    place.file("schedules/referral/north.toml", "agency = \"North\"\n");
    place.file(
        "schedules/referral/south.toml",
        "agency = \"South Ltd\"\n\n[write_back.candidate.fields]\nstatus = { string = \"Lead\" }\norigin = \"off\"\n",
    );
    place
}

fn lines<'a>(ran: &'a Ran, beginning: &str) -> Vec<&'a str> {
    let lines = ran.stdout.lines();
    lines.filter(|line| line.starts_with(beginning)).collect()
}

#[test]
fn every_agency_runs_by_itself_and_records_of_none_are_rejected() {
    let place = place();
    let run = place.command(&["run", "referral"]);
    assert_eq!(run.code, 1, "two records are of no agency: {run}");
    let written =
        "id,name,status,origin\nR1,Ada,New Lead,referral\nR2,Bo,Lead,\nR3,Cy,New Lead,referral\n";
    assert_eq!(place.rows("candidate"), written);
    assert!(
        lines(&run, "referral/north  run 1")[0].contains("2 read = 2 inserted"),
        "{run}"
    );
    assert!(
        lines(&run, "referral/south  run 2")[0].contains("1 read = 1 inserted"),
        "{run}"
    );
    assert!(
        lines(&run, "referral  run 3")[0].contains("2 read = 2 rejected"),
        "{run}"
    );
    let rejected = place.rejected(3);
    let east = "candidate,4,R4,schema,agency,no file of schedules/referral/ is of this agency";
    assert!(rejected.contains(east), "{rejected}");
    assert!(
        rejected.contains("candidate,5,R5,schema,agency,names no agency"),
        "{rejected}"
    );

    let one = place.command(&["run", "referral", "--agency", "south", "--json"]);
    assert_eq!(
        (one.code, one.summary().as_str()),
        (0, "1 read = 1 unchanged"),
        "{one}"
    );
    let same = place.command(&["preview", "referral/north", "--json"]);
    assert_eq!(same.json()["job"], "referral/north", "{same}");
}

#[test]
fn a_broken_agency_leaves_the_others_alone() {
    let place = place();
    place.file(
        "schedules/referral/south.toml",
        "agency = \"South Ltd\"\n[connections.crm]\nfil = \"x\"\n",
    );
    let run = place.command(&["run", "referral"]);
    assert_eq!(run.code, 2, "{run}");
    assert_eq!(lines(&run, "referral/north").len(), 1, "{run}");
    for part in [
        "error: job `referral/south` has 1 problem",
        "schedules/referral/south.toml:3:1: `fil` is not a key of `[connections.crm]`",
        "error: 1 of 3 runs of job `referral` could not be run or finished",
    ] {
        assert!(run.stderr.contains(part), "`{part}` is missing: {run}");
    }
    let listed = place.command(&["agencies", "referral"]);
    assert!(
        listed.code == 0 && listed.stdout.contains("cannot run: 1 problem"),
        "{listed}"
    );
}

#[test]
fn an_agency_has_a_database_of_its_own() {
    let place = place();
    place.execute_file(
        "south.db",
        "CREATE TABLE candidate (id VARCHAR(18) PRIMARY KEY, name TEXT, status TEXT)",
    );
    let own = "agency = \"South Ltd\"\n[connections.crm]\nfile = \"south.db\"\n[write_back.candidate.fields]\norigin = \"off\"\n";
    place.file("schedules/referral/south.toml", own);
    let run = place.command(&["run", "referral"]);
    assert_eq!(run.code, 1, "{run}");
    let candidates = place.query_file("south.db", "SELECT id, name FROM candidate");
    assert_eq!(candidates, "id,name\nR2,Bo\n");
    assert!(!place.rows("candidate").contains("R2"));
    let undo = place.command(&["undo", "2", "--delete-created"]);
    assert_eq!(undo.code, 0, "{undo}");
    assert_eq!(
        place.query_file("south.db", "SELECT count(*) AS n FROM candidate"),
        "n\n0\n"
    );
}

#[test]
fn show_tells_where_every_setting_stands_and_what_the_agency_changed() {
    let place = place();
    let shown = place.command(&["show", "referral", "--agency", "south"]);
    assert_eq!(shown.code, 0, "{shown}");
    let line = |beginning: &str| {
        let line = shown.stdout.lines().find(|line| line.contains(beginning));
        line.unwrap_or_else(|| panic!("`{beginning}` is missing: {shown}"))
            .to_owned()
    };
    let status = line("write_back.candidate.fields.status = ");
    assert!(
        status.starts_with("* ") && status.ends_with("schedules/referral/south.toml:4"),
        "{status}"
    );
    let name = line("write_back.candidate.fields.name = ");
    assert!(
        name.starts_with("  ") && name.ends_with("schedules/referral.toml:15"),
        "{name}"
    );
    let taken_out = line("write_back.candidate.fields.origin = ");
    assert!(
        taken_out.contains("= \"off\"") && taken_out.ends_with("schedules/referral/south.toml:5"),
        "{taken_out}"
    );
    let fields = place.command(&[
        "show",
        "referral",
        "--agency",
        "south",
        "--object",
        "candidate",
    ]);
    assert!(
        fields.code == 0 && fields.stdout.contains("fields of `candidate` of `crm`"),
        "{fields}"
    );
    assert_eq!(
        line("object types"),
        "object types of `crm` (read-only): candidate"
    );
    let listed = place.command(&["agencies", "referral", "--json"]).json();
    assert_eq!(listed["agencies"][0]["called"], "North");
    assert_eq!(listed["agencies"][1]["settings_changed"], 3);
}

#[test]
fn what_an_agency_may_not_say_is_told_with_its_place() {
    let place = place();
    let text = "agency = \"North\"\nsource = \"x\"\n[write_back.candidat.fields]\nname = \"off\"\n\
        [write_back.candidate]\nschema = \"sql/other.sql\"\n[write_back.candidate.fields]\nstatu = \"off\"\n";
    place.file("schedules/referral/south.toml", text);
    let check = place.command(&["check", "referral/south"]);
    assert_eq!(check.code, 2, "{check}");
    for part in [
        "schedules/referral/south.toml:1:10: `North` is the agency of schedules/referral/north.toml, too",
        "schedules/referral/south.toml:2:1: `source` is not a key of an agency's file",
        "schedules/referral/south.toml:3:13: the base has no write-back `candidat`",
        "hint: did you mean `candidate`?",
        "schedules/referral/south.toml:6:1: an agency cannot change the `schema` of a write-back",
        "schedules/referral/south.toml:8:1: there is no field `statu` to take out",
    ] {
        assert!(check.stderr.contains(part), "`{part}` is missing: {check}");
    }
    let unknown = place.command(&["run", "referral", "--agency", "nort"]);
    assert!(
        unknown.code == 2 && unknown.stderr.contains("did you mean `north`?"),
        "{unknown}"
    );
    let several = place.command(&["test", "referral", "--record", "R1"]);
    assert!(
        several.code == 2 && several.stderr.contains("add `--agency NAME`"),
        "{several}"
    );
}

#[test]
fn an_agency_is_added_by_a_command_and_runs() {
    let place = place();
    let add = |arguments: &[&str]| place.command(&[&["agencies", "referral"], arguments].concat());
    let added = add(&["--add", "east", "--called", "East"]);
    assert_eq!(added.code, 0, "{added}");
    let file = place.text("schedules/referral/east.toml");
    for line in [
        "agency = \"East\"",
        "# [connections.crm]",
        "# [write_back.candidate]",
    ] {
        assert!(file.contains(line), "`{line}` is missing: {file}");
    }
    for (arguments, words) in [
        (&["--add", "east"][..], "there is an agency `east` already"),
        (&["--add", "a b"], "cannot be an agency's name"),
        (&["--add", "twin", "--called", "North"], "North"),
    ] {
        let refused = add(arguments);
        assert_eq!(refused.code, 2, "{refused}");
        assert!(refused.stderr.contains(words), "{words}: {refused}");
    }
    assert!(!place.path("schedules/referral/twin.toml").exists());
    let run = place.command(&["run", "referral", "--agency", "east", "--json"]);
    assert_eq!(run.summary(), "1 read = 1 inserted", "{run}");
}

#[test]
fn agencies_that_are_added_changed_or_broken_while_serving_disturb_no_other() {
    let place = place();
    let project = place.text("writeback.toml");
    place.file(
        "writeback.toml",
        &format!("{project}\n[dashboards.nightly]\nannounced = true\n"),
    );
    let cadence = "[cadence]\ndashboard = \"nightly\"\n\n[agencies]";
    place.file(
        "schedules/referral.toml",
        &BASE.replace("[agencies]", cadence),
    );
    let mut served = place.serve(&[]);
    let after = |cycle: &str, rows: &str| {
        let told = place.command(&["cycle", "nightly", "--id", cycle]);
        assert_eq!(told.code, 0, "{told}");
        let rows = format!("id,name,status,origin\n{rows}");
        place.wait_until(&format!("what cycle {cycle} writes"), |place| {
            place.rows("candidate") == rows
        });
    };
    after(
        "c1",
        "R1,Ada,New Lead,referral\nR2,Bo,Lead,\nR3,Cy,New Lead,referral\n",
    );
    // One is changed, one is added, and one is broken: it goes on as it was last read.
    place.file(
        "schedules/referral/north.toml",
        "agency = \"North\"\n[write_back.candidate.fields]\nstatus = { string = \"Called\" }\n",
    );
    place.file("schedules/referral/east.toml", "agency = \"East\"\n");
    let south = place.text("schedules/referral/south.toml");
    place.file(
        "schedules/referral/south.toml",
        "agency = \"South Ltd\"\n[write_back.candidat]\nenabled = false\n",
    );
    place.execute("UPDATE candidate SET status = 'theirs' WHERE id = 'R2'");
    served.wait_for_log("the job's file cannot be read as it stands");
    after(
        "c2",
        "R1,Ada,Called,referral\nR2,Bo,Lead,\nR3,Cy,Called,referral\nR4,Di,New Lead,referral\n",
    );
    // Mended, it is in force.
    let mended = south.replace("\"Lead\"", "\"Hired\"");
    place.file("schedules/referral/south.toml", &mended);
    place.wait_until("the mended file", |_| {
        let taken_over = "the job's changed file is in force";
        served.log().matches(taken_over).count() == 2
    });
    after(
        "c3",
        "R1,Ada,Called,referral\nR2,Bo,Hired,\nR3,Cy,Called,referral\nR4,Di,New Lead,referral\n",
    );
    drop(served);
}
