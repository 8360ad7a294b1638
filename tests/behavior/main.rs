//! What a user notices: the built program against real SQLite, PostgreSQL and MariaDB.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that fails may panic")]

mod harness;

#[test]
fn servers_start_and_tables_read_back_as_text() {
    for server in harness::Server::ALL {
        let place = harness::Workspace::on(server);
        let csv = "id,score,note\nA1,10.50,\nA2,,\"\"\nA3,1.00,\"a,\"\"b\"\"\\\n'\"\n";
        place.table("accounts", "id VARCHAR(18) PRIMARY KEY, score DECIMAL(5,2), note VARCHAR(20)", csv);
        let expected = if server == harness::Server::Sqlite {
            csv.replace("10.50", "10.5").replace("1.00", "1")
        } else {
            csv.to_owned()
        };
        assert_eq!(place.rows("accounts"), expected, "on {server}");
        place.count_writes("accounts").execute("UPDATE accounts SET score = score WHERE id = 'A1'");
        assert_eq!((place.writes(), place.writes()), (1, 0), "on {server}");
    }
}
