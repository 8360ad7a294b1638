//! Records are written in batches of the size the user chose, each in one transaction, sorted by
//! key.

use serde_json::Value;

use crate::harness::{FIELDS, Server, Workspace};

/// So many accounts, and a new score for each of them but every tenth, in no order.
fn place_with(server: Server, count: usize) -> Workspace {
    let rows: String = (0..count).map(|id| format!("A{id:05},1,\n")).collect();
    let shuffled = (0..count).map(|id| (id * 7919) % count);
    let source: String = shuffled
        .map(|id| format!("A{id:05},{},\n", if id % 10 == 0 { 1 } else { 2 }))
        .collect();
    Workspace::accounts(
        server,
        &format!("id,score,note\n{rows}"),
        &format!("id,score,note\n{source}"),
    )
}

#[test]
fn any_batch_size_leaves_the_same() {
    for server in Server::ALL {
        for (batch_size, count, batches) in
            [(1, 23, 23), (7, 100, 15), (50, 100, 2), (5000, 12_001, 3)]
        {
            let place = place_with(server, count);
            place.job(&format!("batch_size = {batch_size}"), FIELDS);
            let run = place.run();
            let unchanged = count.div_ceil(10);
            let expected = format!(
                "{count} read = {} updated + {unchanged} unchanged",
                count - unchanged
            );
            assert_eq!(
                run.summary(),
                expected,
                "batches of {batch_size} on {server}"
            );
            assert_eq!(
                run.json()["write_backs"][0]["batches"],
                batches,
                "batches of {batch_size} on {server}"
            );
            let left = place.query("SELECT count(*) AS n FROM accounts WHERE score = 1");
            assert_eq!(
                left,
                format!("n\n{unchanged}\n"),
                "batches of {batch_size} on {server}"
            );
        }
    }
}

#[test]
fn history_tells_every_batch_and_its_counts() {
    for server in Server::ALL {
        let place = place_with(server, 20);
        place.job("batch_size = 6", FIELDS);
        let run = place.run();
        let history = place
            .command(&["runs", &run.run().to_string(), "--json"])
            .json();
        let batches = history["batches"].as_array().expect("batches").clone();
        let sizes: Vec<u64> = batches
            .iter()
            .filter_map(|batch| batch["records"].as_u64())
            .collect();
        assert_eq!(sizes, [6, 6, 6, 2], "on {server}");
        let sum = |count: &str| {
            batches
                .iter()
                .filter_map(|batch| batch[count].as_u64())
                .sum::<u64>()
        };
        assert_eq!((sum("updated"), sum("unchanged")), (18, 2), "on {server}");
        assert!(
            batches
                .iter()
                .all(|batch| batch["committed"] == Value::Bool(true)),
            "on {server}"
        );
    }
}

#[test]
fn one_writer_leaves_what_several_leave() {
    for server in Server::ALL {
        for writers in [1, 4] {
            let place = place_with(server, 300);
            let crm =
                place.connection("crm").trim_end().to_owned() + &format!("\nwriters = {writers}\n");
            place
                .file("writeback.toml", &(place.connection("files") + &crm))
                .job("batch_size = 11", FIELDS);
            assert_eq!(
                place.run().summary(),
                "300 read = 270 updated + 30 unchanged",
                "{writers} writers on {server}"
            );
        }
    }
}

#[test]
fn a_batch_size_of_nothing_is_a_mistake() {
    let place = place_with(Server::Sqlite, 1);
    place.job("batch_size = 0", FIELDS);
    let run = place.run();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stderr.contains("batch_size"), "{run}");
}
