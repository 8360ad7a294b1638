//! Somebody alters the destination's table while a run is at work. The run goes on rightly, or it
//! stops between two batches and says why; never does a value change on its way into a column that
//! became narrower.

use crate::harness::{
    Act, At, Does, Fault, Proxy, Ran, Server, Workspace, run_and_meanwhile, write_back,
};

const COLUMNS: &str = "id VARCHAR(18) PRIMARY KEY, score DECIMAL(6,3), note VARCHAR(40)";
const BEFORE: &str = "id,score,note\nA1,1.000,old\nA2,1.000,old\nA3,1.000,old\n";
const SOURCE: &str = "id,score,note\nA1,2.125,new\nA2,2.125,new\nA3,2.125,new\n";
const FIELDS: &str = "id = 'id'\nscore = 'score'\nnote = 'note'";

/// Three accounts, a batch for each, reached through a proxy.
fn place_and_proxy(server: Server) -> (Workspace, Proxy) {
    let place = Workspace::on(server);
    place
        .table("accounts", COLUMNS, BEFORE)
        .scores(COLUMNS, SOURCE);
    place.file(
        "writeback.toml",
        &(place.connection("files") + place.connection("crm").trim_end() + "\nwriters = 1\n"),
    );
    let proxy = Proxy::before(&place);
    place.file(
        "schedules/job.toml",
        &write_back("scores", "accounts", "batch_size = 1", FIELDS),
    );
    (place, proxy)
}

/// Runs, and alters the table after the first batch is in and before the second one begins.
fn run_and_alter(place: &Workspace, proxy: &Proxy, alteration: &str) -> Ran {
    run_and_meanwhile(place, proxy, || {
        place.execute(alteration);
    })
}

fn scores(place: &Workspace) -> String {
    place.query("SELECT id, score FROM accounts")
}

#[test]
fn a_column_that_becomes_narrower_stops_the_run_and_the_next_one_checks_every_record_anew() {
    for server in Server::WITH_USERS {
        let (place, proxy) = place_and_proxy(server);
        let run = run_and_alter(
            &place,
            &proxy,
            &server.retyped("score", "DECIMAL(6,3)", "DECIMAL(6,2)"),
        );
        assert_eq!(run.code, 2, "on {server}: {run}");
        let told = run.stderr.to_lowercase();
        for words in [
            "altered while the run was at work",
            "column `score` was",
            "(6,3) and is",
            "run again",
        ] {
            assert!(told.contains(words), "no `{words}` on {server}: {run}");
        }
        // The first batch was rounded by whoever altered the table.
        assert_eq!(
            scores(&place),
            "id,score\nA1,2.13\nA2,1.00\nA3,1.00\n",
            "on {server}"
        );
        let next = place.run();
        assert_eq!(next.summary(), "3 read = 3 rejected", "on {server}: {next}");
        assert!(
            place.rejected(2).contains(",mapping,score,"),
            "on {server}: {}",
            place.rejected(2)
        );
    }
}

#[test]
fn a_column_that_becomes_narrower_between_a_stopped_run_and_the_next_is_noticed() {
    for server in Server::WITH_USERS {
        let (place, proxy) = place_and_proxy(server);
        let commit = At::Asked {
            words: "COMMIT",
            nth: 0,
        };
        let crm = place.text("writeback.toml") + "attempts_max = 1\n";
        place.file("writeback.toml", &crm);
        proxy.arm(vec![Fault {
            connection: None,
            at: commit,
            act: Act::Cut,
        }]);
        let stopped = place.run();
        assert_eq!(stopped.code, 2, "on {server}: {stopped}");
        place.execute(&server.retyped("score", "DECIMAL(6,3)", "DECIMAL(6,2)"));
        proxy.arm(Vec::new());
        let anew = place.run();
        assert!(
            anew.stderr
                .contains("was altered before it could be taken up"),
            "on {server}: {anew}"
        );
        assert_eq!(
            (anew.run(), anew.summary().as_str()),
            (2, "3 read = 3 rejected"),
            "on {server}: {anew}"
        );
        assert_eq!(
            scores(&place),
            "id,score\nA1,1.00\nA2,1.00\nA3,1.00\n",
            "on {server}"
        );
    }
}

#[test]
fn a_column_that_is_dropped_or_renamed_stops_the_run_between_two_batches() {
    for server in Server::WITH_USERS {
        for alteration in [
            "ALTER TABLE accounts DROP COLUMN note",
            "ALTER TABLE accounts RENAME COLUMN note TO remark",
        ] {
            let (place, proxy) = place_and_proxy(server);
            let run = run_and_alter(&place, &proxy, alteration);
            assert_eq!(run.code, 2, "{alteration} on {server}: {run}");
            assert!(
                run.stderr.contains("note"),
                "it names the column on {server}: {run}"
            );
            assert_eq!(
                scores(&place),
                "id,score\nA1,2.125\nA2,1.000\nA3,1.000\n",
                "{alteration} on {server}"
            );
            let next = place.run();
            assert_eq!(next.code, 2, "{alteration} on {server}: {next}");
            assert!(
                next.stderr.contains("schedules/job.toml:"),
                "it names the job's line on {server}: {next}"
            );
            place.job("", "id = 'id'\nscore = 'score'").scores(
                "id VARCHAR(18) PRIMARY KEY, score DECIMAL(6,3)",
                SCORES_ALONE,
            );
            assert_eq!(
                place.run().summary(),
                "3 read = 2 updated + 1 unchanged",
                "{alteration} on {server}"
            );
        }
    }
}

const SCORES_ALONE: &str = "id,score\nA1,2.125\nA2,2.125\nA3,2.125\n";

#[test]
fn a_column_that_must_be_filled_does_not_disturb_a_run_that_only_updates() {
    for server in Server::WITH_USERS {
        let (place, proxy) = place_and_proxy(server);
        let run = run_and_alter(
            &place,
            &proxy,
            "ALTER TABLE accounts ADD COLUMN rank INTEGER NOT NULL DEFAULT 5",
        );
        assert_eq!(run.summary(), "3 read = 3 updated", "on {server}: {run}");
        assert_eq!(
            scores(&place),
            "id,score\nA1,2.125\nA2,2.125\nA3,2.125\n",
            "on {server}"
        );
        assert_eq!(
            place.query("SELECT DISTINCT rank FROM accounts"),
            "rank\n5\n",
            "on {server}"
        );
    }
}

#[test]
fn a_trigger_that_refuses_costs_the_records_it_refuses() {
    for server in Server::WITH_USERS {
        let (place, proxy) = place_and_proxy(server);
        let refused = Does::Refuse("A2 is closed");
        let trigger = server.trigger("refuse", "UPDATE ON accounts", "NEW.id = 'A2'", refused);
        let run = run_and_alter(&place, &proxy, &trigger);
        assert_eq!(
            run.summary(),
            "3 read = 2 updated + 1 rejected",
            "on {server}: {run}"
        );
        assert_eq!(
            scores(&place),
            "id,score\nA1,2.125\nA2,1.000\nA3,2.125\n",
            "on {server}"
        );
        assert!(
            place.rejected(1).contains("A2 is closed"),
            "on {server}: {}",
            place.rejected(1)
        );
    }
}
