//! Keys and texts that a database's collation takes for equal and whose bytes differ.

use crate::harness::{FIELDS, Server, Workspace};

/// Collations that fold case, blanks at the end or accents: what makes one if need be, its clause,
/// and whether it also takes `A1` and `A1 ` for the same.
struct Folding {
    server: Server,
    collation: &'static str,
    pads: bool,
    folds_case: bool,
}

const FOLDINGS: &[Folding] = &[
    Folding {
        server: Server::Sqlite,
        collation: "NOCASE",
        pads: false,
        folds_case: true,
    },
    Folding {
        server: Server::Sqlite,
        collation: "RTRIM",
        pads: true,
        folds_case: false,
    },
    Folding {
        server: Server::Postgres,
        collation: "folded",
        pads: false,
        folds_case: true,
    },
    Folding {
        server: Server::MariaDb,
        collation: "utf8mb4_general_ci",
        pads: true,
        folds_case: true,
    },
    Folding {
        server: Server::MariaDb,
        collation: "utf8mb4_unicode_nopad_ci",
        pads: false,
        folds_case: true,
    },
    Folding {
        server: Server::MariaDb,
        collation: "utf8mb4_bin",
        pads: true,
        folds_case: false,
    },
];

impl Folding {
    fn label(&self) -> String {
        format!("{} on {}", self.collation, self.server)
    }

    /// A place with `accounts` under this collation, key and note alike, and these rows.
    fn place(&self, rows: &str) -> Workspace {
        let place = Workspace::on(self.server);
        if self.server == Server::Postgres {
            place
                .execute("CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level1', deterministic = false)");
        }
        let text = |length: u8| format!("VARCHAR({length}) COLLATE {}", self.collation);
        let columns = format!(
            "id {} PRIMARY KEY, score INTEGER, note {}",
            text(18),
            text(40)
        );
        place
            .table("accounts", &columns, rows)
            .scores(crate::harness::SCORES, "")
            .job("", FIELDS);
        place
    }
}

#[test]
fn twins_of_a_key_are_different_records() {
    for folding in FOLDINGS {
        let place = folding.place("id,score,note\nA1,1,n\n");
        place.file(
            "data/scores.csv",
            "id,score,note\na1,7,n\nA1,8,n\nA1 ,9,n\nÁ1,9,n\n",
        );
        assert_eq!(
            place.run().summary(),
            "4 read = 1 updated + 3 skipped",
            "{}",
            folding.label()
        );
        assert_eq!(
            place.rows("accounts"),
            "id,score,note\nA1,8,n\n",
            "{}",
            folding.label()
        );
        assert_eq!(
            place.run().summary(),
            "4 read = 1 unchanged + 3 skipped",
            "{}",
            folding.label()
        );
    }
}

#[test]
fn a_twin_that_the_destination_takes_for_the_same_key_is_rejected_and_overwrites_nothing() {
    for folding in FOLDINGS {
        for mode in ["upsert", "create_only"] {
            let place = folding.place("id,score,note\nA1,1,n\n");
            place.job(&format!("matching = '{mode}'"), FIELDS);
            place.file(
                "data/scores.csv",
                "id,score,note\na1,7,n\nA1 ,9,n\nB2,3,n\n",
            );
            let run = place.run();
            let label = format!("{mode} with {}", folding.label());
            let twins: &[(&str, bool)] = &[("a1", folding.folds_case), ("A1 ", folding.pads)];
            let rejected = twins.iter().filter(|(_, same)| *same).count();
            let summary = format!("3 read = {} inserted + {rejected} rejected", 3 - rejected);
            assert_eq!(run.summary(), summary, "{label}");
            let listed = place.rejected(run.run());
            for (key, same) in twins {
                let line = listed
                    .lines()
                    .find(|line| line.contains(&format!(",{key},")));
                assert_eq!(line.is_some(), *same, "{key:?} {label}: {listed}");
                assert!(
                    line.is_none_or(|line| line.contains(",destination,") && !line.ends_with(',')),
                    "{listed}"
                );
            }
            let first = place.query("SELECT score FROM accounts WHERE score = 1");
            assert_eq!(
                first, "score\n1\n",
                "{label}: the row of another key is as it was"
            );
        }
    }
}

#[test]
fn a_text_becomes_its_twin_when_the_source_says_so() {
    for folding in FOLDINGS {
        let place = folding.place("id,score,note\nA1,1,note\nA2,1,note\nA3,1,Cafe\u{301}\n");
        place.file(
            "data/scores.csv",
            "id,score,note\nA1,1,Note\nA2,1,\"note \"\nA3,1,Café\n",
        );
        assert_eq!(
            place.run().summary(),
            "3 read = 3 updated",
            "{}",
            folding.label()
        );
        let expected = "id,score,note\nA1,1,Note\nA2,1,note \nA3,1,Café\n";
        assert_eq!(place.rows("accounts"), expected, "{}", folding.label());
        assert_eq!(
            place.run().summary(),
            "3 read = 3 unchanged",
            "{}",
            folding.label()
        );
    }
}
