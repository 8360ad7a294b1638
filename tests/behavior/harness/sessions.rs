//! What an administrator does on a test's server: users and their rights, locks, sessions that are
//! seen, ended or kept out.

use super::running::{ask_for_transactions, wait_until};
use super::server::Server;
use super::workspace::{Client, Workspace};

impl Workspace {
    /// A place where what a server lets in may be said: where it says that for all its users at
    /// once, the server is the test's own.
    pub(crate) fn with_limits(server: Server) -> Self {
        match server.limits_everybody() {
            true => Self::on_its_own(server),
            false => Self::on(server),
        }
    }

    /// Makes a user who may do nothing yet; returns the name.
    pub(crate) fn new_user(&self, role: &str, password: &str) -> String {
        let user = format!("{role}_{}", self.database_name());
        let password = self.server.literal(password);
        let by = match self.server {
            Server::Sqlite => panic!("a file has no users"),
            Server::Postgres => "PASSWORD",
            Server::MariaDb => "IDENTIFIED BY",
        };
        self.execute(&format!("CREATE USER {user} {by} {password}"));
        user
    }

    /// Lets a user do with a table of the test's database what `rights` say.
    pub(crate) fn grant(&self, rights: &str, table: &str, user: &str) -> &Self {
        self.execute(&format!("GRANT {rights} ON {table} TO {user}"))
    }

    /// Lets a user do with the test's tables, also with those of later, what the tests do.
    pub(crate) fn grant_all(&self, user: &str) -> &Self {
        self.execute(&match self.server {
            Server::Sqlite => panic!("a file has no users"),
            Server::Postgres => format!("ALTER USER {user} SUPERUSER"),
            Server::MariaDb => format!("GRANT ALL PRIVILEGES ON *.* TO {user}"),
        })
    }

    /// Lets the program come as a user whose password is in `WRITER_PASSWORD`.
    pub(crate) fn come_as(&self, user: &str) -> &Self {
        let url = self.url(user);
        let crm = format!(
            "[connections.crm]\nurl = \"{url}\"\npassword = {{ env = 'WRITER_PASSWORD' }}\n"
        );
        self.file("writeback.toml", &(self.connection("files") + &crm))
    }

    /// Takes a lock that a run will wait for, until `ROLLBACK`: on an account, in SQLite on the
    /// whole file.
    pub(crate) fn hold(&self, id: &str) -> &Self {
        match self.server {
            // The journal must be what the program wants before the file is held.
            Server::Sqlite => self.execute("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE"),
            Server::Postgres | Server::MariaDb => self.execute(&format!(
                "BEGIN; UPDATE accounts SET note = 'held' WHERE id = '{id}'"
            )),
        }
    }

    /// Lets a deadlock between the test's session and a run be lost by the run.
    pub(crate) fn win_deadlocks(&self) -> &Self {
        match self.server {
            Server::Sqlite => panic!("one lock makes no deadlock"),
            // Whoever has waited for longest looks whether there is a deadlock, and is the one to
            // give way.
            Server::Postgres => self.execute(&format!(
                "ALTER DATABASE {} SET deadlock_timeout = '5s'; SET deadlock_timeout = '1h'",
                self.database_name()
            )),
            // Whoever has changed fewer rows gives way.
            Server::MariaDb => self.execute("SET SESSION innodb_lock_wait_timeout = 50"),
        }
    }

    /// The server's number of the connection on which a run waits for the test's lock, or nothing.
    pub(crate) fn waiting(&self) -> String {
        let waiting = match self.server {
            Server::Sqlite => panic!("a file has no connections"),
            Server::Postgres => self.query(
                "SELECT DISTINCT pid FROM pg_locks \
                 WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))",
            ),
            Server::MariaDb => {
                let database = self.database_name();
                let sql = format!(
                    "SELECT id FROM information_schema.innodb_trx JOIN information_schema.processlist \
                     ON id = trx_mysql_thread_id WHERE db = '{database}' AND trx_state = 'LOCK WAIT'"
                );
                ask_for_transactions(self, &sql)
            }
        };
        waiting.lines().nth(1).unwrap_or_default().to_owned()
    }

    /// Waits until a run waits for the test's lock; returns its connection's number.
    pub(crate) fn wait_for_its_waiting(&self) -> String {
        wait_until("the run waits for the lock", || !self.waiting().is_empty());
        self.waiting()
    }

    /// How whoever waits for the test's lock is told of its holder, where the server knows.
    pub(crate) fn as_holder(&self) -> String {
        match self.server {
            Server::Sqlite | Server::MariaDb => String::new(),
            Server::Postgres => {
                let pid = self.query("SELECT pg_backend_pid() AS pid");
                let pid = pid.lines().nth(1).expect("a row");
                format!("process {pid} of user tester")
            }
        }
    }

    /// The numbers of a user's connections to the test's database.
    pub(crate) fn connections_of(&self, user: &str) -> Vec<String> {
        let numbers = self.query(&match self.server {
            Server::Sqlite => panic!("a file has no connections"),
            Server::Postgres => format!(
                "SELECT pid FROM pg_stat_activity WHERE usename = '{user}' \
                 AND datname = current_database()"
            ),
            Server::MariaDb => format!(
                "SELECT id FROM information_schema.processlist WHERE user = '{user}' \
                 AND db = database()"
            ),
        });
        numbers.lines().skip(1).map(str::to_owned).collect()
    }

    /// Ends a connection, as its administrator could; one that has ended by itself is none.
    pub(crate) fn end_connection(&self, client: &Client, number: &str) {
        client.tries(&match self.server {
            Server::Sqlite => panic!("a file has no connections"),
            Server::Postgres => format!("SELECT pg_terminate_backend({number})"),
            Server::MariaDb => format!("KILL CONNECTION {number}"),
        });
    }

    /// Ends every connection of a user's; returns how many there were.
    pub(crate) fn end_connections(&self, user: &str) -> usize {
        let numbers = self.connections_of(user);
        let client = self.client();
        for number in &numbers {
            self.end_connection(&client, number);
        }
        numbers.len()
    }

    /// Lets the server take no writes of a user's, or take them again: `on` or `off`.
    pub(crate) fn read_only(&self, user: &str, word: &str) {
        match self.server {
            Server::Sqlite => panic!("a file has no settings"),
            Server::Postgres => {
                self.execute(&format!(
                    "ALTER ROLE {user} SET default_transaction_read_only = {word}"
                ));
                // Only a connection that is made anew is told.
                self.end_connections(user);
            }
            Server::MariaDb => {
                self.execute(&format!("SET GLOBAL read_only = {word}"));
            }
        }
    }
}

impl Server {
    /// Whether what it lets its users do is said for all of them at once.
    pub(crate) fn limits_everybody(self) -> bool {
        self == Self::MariaDb
    }

    /// Lets a user have one connection at a time.
    pub(crate) fn one_connection(self, user: &str) -> String {
        let limit = match self {
            Self::Sqlite => panic!("a file has no users"),
            Self::Postgres => "CONNECTION LIMIT 1",
            Self::MariaDb => "WITH MAX_USER_CONNECTIONS 1",
        };
        format!("ALTER USER {user} {limit}")
    }

    /// Lets a user, or everybody, have no more connections than this.
    pub(crate) fn connections_max(self, user: &str, connections: u8) -> String {
        match self {
            Self::Sqlite => panic!("a file has no connections"),
            Self::Postgres => format!("ALTER ROLE {user} CONNECTION LIMIT {connections}"),
            Self::MariaDb => format!("SET GLOBAL max_connections = {}", connections.max(10)),
        }
    }
}
