//! One bad record costs one record, and few attempts: a refused batch is halved until the bad ones
//! stand alone.

use crate::harness::{Does, FIELDS, Proxy, Server, Workspace};

const COLUMNS: &str =
    "id VARCHAR(18) PRIMARY KEY, score INTEGER CHECK (score < 100), note VARCHAR(40)";

/// The columns without the constraint.
fn unchecked() -> String {
    COLUMNS.replace(" CHECK (score < 100)", "")
}

/// Records of the one batch: no power of two, so that halves are uneven.
const RECORDS: usize = 61;

/// One batch of new scores, which the destination refuses for the records at these positions.
fn place(server: Server, columns: &str, bad: &[usize]) -> Workspace {
    let lines = |cell: &dyn Fn(usize) -> &'static str| -> String {
        (0..RECORDS)
            .map(|record| format!("A{record:02},{},\n", cell(record)))
            .collect()
    };
    let scores = lines(&|record| if bad.contains(&record) { "100" } else { "2" });
    let place = Workspace::on(server);
    place.table(
        "accounts",
        columns,
        &format!("id,score,note\n{}", lines(&|_| "1")),
    );
    place.scores(&unchecked(), &format!("id,score,note\n{scores}"));
    place.job("", FIELDS);
    place.file(
        "writeback.toml",
        &(place.connection("files") + place.connection("crm").trim_end() + "\nwriters = 1\n"),
    );
    place
}

/// What the program may attempt at most: `2·k·log2(n) + 1`.
fn attempts_max(bad: usize) -> usize {
    let (bad, records) = (
        u32::try_from(bad).expect("few"),
        u32::try_from(RECORDS).expect("few"),
    );
    let bound = (2.0 * f64::from(bad) * f64::from(records).log2() + 1.0).floor();
    (0..)
        .take_while(|attempts: &u32| f64::from(*attempts) <= bound)
        .count()
        - 1
}

/// Which records of a batch are bad.
fn plantings() -> [Vec<usize>; 6] {
    let (every_other, all) = ((0..RECORDS).step_by(2).collect(), (0..RECORDS).collect());
    [
        vec![],
        vec![0],
        vec![RECORDS / 2],
        vec![RECORDS - 1],
        every_other,
        all,
    ]
}

#[test]
fn rows_that_are_left_as_they_were_cost_one_attempt_more() {
    for server in [Server::Sqlite, Server::Postgres] {
        for bad in &plantings() {
            let place = place(server, &unchecked(), bad);
            // Bad rows are not refused but left as they were, without a word.
            place.trigger("guard", "UPDATE ON accounts", "NEW.score = 100", Does::Skip);
            let run = place.command_with(
                &["run", "job", "--json"],
                &[("RUST_LOG", "writeback::run=debug")],
            );
            let written = place.query("SELECT count(*) AS n FROM accounts WHERE score = 2");
            assert_eq!(
                written,
                format!("n\n{}\n", RECORDS - bad.len()),
                "{bad:?} bad on {server}: {run}"
            );
            let told = [
                "wrote batch",
                "the destination refused a batch",
                "again with its rows locked",
            ];
            let attempts = run
                .stderr
                .lines()
                .filter(|line| told.iter().any(|words| line.contains(words)))
                .count();
            let more = usize::from(!bad.is_empty());
            assert!(
                attempts <= attempts_max(bad.len()) + more,
                "{attempts} for {bad:?} on {server}: {run}"
            );
        }
    }
}

#[test]
fn bad_records_cost_themselves_and_a_bounded_number_of_attempts() {
    for server in Server::ALL {
        for bad in &plantings() {
            let place = place(server, COLUMNS, bad);
            let proxy = (server != Server::Sqlite).then(|| Proxy::before(&place));
            let run = place.command_with(
                &["run", "job", "--json"],
                &[("RUST_LOG", "writeback::run=debug")],
            );
            let rejected = bad.len();
            let terms = [(RECORDS - rejected, "updated"), (rejected, "rejected")];
            let terms = terms
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, name)| format!("{count} {name}"));
            let summary = format!("{RECORDS} read = {}", terms.collect::<Vec<_>>().join(" + "));
            assert_eq!(run.summary(), summary, "{bad:?} bad on {server}: {run}");
            let left = place.query("SELECT count(*) AS n FROM accounts WHERE score = 1");
            assert_eq!(left, format!("n\n{rejected}\n"), "{bad:?} bad on {server}");

            let told = ["wrote batch", "the destination refused a batch"];
            let attempts = run
                .stderr
                .lines()
                .filter(|line| told.iter().any(|words| line.contains(words)))
                .count();
            assert!(
                attempts <= attempts_max(rejected),
                "{attempts} attempts for {bad:?} on {server}: {run}"
            );
            if let Some(proxy) = proxy {
                let begun = |said: &&crate::harness::Said| {
                    said.ends_with("BEGIN ISOLATION LEVEL READ COMMITTED")
                        || said.ends_with("START TRANSACTION")
                };
                assert_eq!(
                    proxy.said().iter().filter(begun).count(),
                    attempts,
                    "{bad:?} on {server}: {run}"
                );
            }
        }
    }
}
