//! What a run would do is shown before it happens, and showing it writes nothing.

use crate::harness::{FIELDS, Server, Workspace};

#[test]
fn preview_shows_counts_batches_and_old_and_new_values_and_writes_nothing() {
    for server in Server::ALL {
        let rows = "id,score,note,phone\nA1,10,old,555\nA2,11,same,\nA5,1,,\n";
        let source = "id,score,note\nA1,20,new\nA2,11,same\nA9,30,x\nA5,x,\n";
        let place = Workspace::accounts(server, rows, source);
        place.count_writes("accounts");
        let preview = place.command(&["preview", "job"]);
        assert_eq!(preview.code, 1, "a record would be rejected: {preview}");
        for part in ["1 updated", "1 unchanged", "1 skipped", "1 rejected", "10", "20", "old", "new"] {
            assert!(preview.stdout.contains(part), "`{part}` is missing on {server}: {preview}");
        }
        assert_eq!((place.rows("accounts"), place.writes()), (rows.to_owned(), 0), "on {server}");
        assert_eq!(place.run().summary(), "4 read = 1 updated + 1 unchanged + 1 skipped + 1 rejected", "on {server}");
    }
}

#[test]
fn preview_tells_machines_the_same_numbers_that_the_run_will() {
    for server in Server::ALL {
        for mode in ["update_only", "upsert", "create_only"] {
            let rows = "id,score,note,phone\nA1,10,old,555\nA2,11,same,\nA5,1,,\n";
            let source = "id,score,note\nA1,20,new\nA2,11,same\nA9,30,x\nA5,x,\nA7,1,\nA7,2,\n";
            let place = Workspace::accounts(server, rows, source);
            place.job(&format!("matching = '{mode}'\nbatch_size = 2"), FIELDS);
            let preview = place.command(&["preview", "job", "--json"]);
            let run = place.run();
            for count in ["read", "inserted", "updated", "unchanged", "skipped", "rejected", "batches"] {
                let of = |ran: &crate::harness::Ran| ran.json()["write_backs"][0][count].clone();
                assert_eq!(of(&preview), of(&run), "`{count}` of {mode} on {server}: {preview}\n{run}");
            }
        }
    }
}

#[test]
fn a_preview_is_not_a_run_in_history() {
    let place = Workspace::accounts(Server::Sqlite, "id,score,note,phone\nA1,1,,\n", "id,score,note\nA1,2,\n");
    assert_eq!(place.command(&["preview", "job"]).code, 0);
    assert_eq!(place.command(&["runs", "--json"]).json()["runs"].as_array().map(Vec::len), Some(0));
    assert_eq!(place.run().run(), 1);
}
