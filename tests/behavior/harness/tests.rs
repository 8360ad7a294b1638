//! The harness itself: servers start, tables are filled and read back, writes are counted.

use crate::harness::{Server, Workspace};

#[test]
fn tables_read_back_as_they_were_filled() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        let csv = "id,score,note\nA1,10.50,\nA2,,\"\"\nA3,1.00,\"a,\"\"b\"\"\\\n'\"\n";
        place.table(
            "accounts",
            "id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2), note VARCHAR(20)",
            csv,
        );
        // SQLite keeps decimals as numbers, without their scale.
        let kept = if server == Server::Sqlite {
            csv.replace("10.50", "10.5").replace("1.00", "1")
        } else {
            csv.to_owned()
        };
        assert_eq!(place.rows("accounts"), kept, "on {server}");
    }
}

#[test]
fn every_write_is_counted_even_one_that_changes_nothing() {
    for server in Server::ALL {
        let place = Workspace::on(server);
        place
            .table(
                "accounts",
                "id INTEGER PRIMARY KEY, score INTEGER",
                "id,score\n1,1\n2,2\n",
            )
            .count_writes("accounts");
        place.execute("UPDATE accounts SET score = score");
        assert_eq!(place.writes(), 2, "on {server}");
        place.execute("INSERT INTO accounts VALUES (3, 3); DELETE FROM accounts WHERE id = 1");
        assert_eq!((place.writes(), place.writes()), (2, 0), "on {server}");
    }
}
