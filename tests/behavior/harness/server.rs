//! Database servers, each started once for the whole test process when the first test asks for it:
//! on a free port, in a temporary folder, and stopped when the process ends, however it ends.

use std::fmt;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::certificates;
use super::database::Database;

/// The password of every server's `tester`. No output of the program may ever hold it;
/// [`super::Workspace`] looks at all of them. Its characters would break a URL that it is pasted
/// into.
pub(crate) const PASSWORD: &str = "canary-7f1e @:/?#&%41";

/// The part of [`PASSWORD`] that looks the same however a text is escaped.
pub(crate) const CANARY: &str = "canary-7f1e";

/// How long a server may take to let the first connection in. Making a data folder takes seconds on
/// a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A kind of database that records are written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Server {
    Sqlite,
    Postgres,
    MariaDb,
}

impl Server {
    pub(crate) const ALL: [Self; 3] = [Self::Sqlite, Self::Postgres, Self::MariaDb];

    /// Those that are a process of their own and know users and rights.
    pub(crate) const WITH_USERS: [Self; 2] = [Self::Postgres, Self::MariaDb];

    /// As `kind = "…"` of a connection names it.
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::MariaDb => "mysql",
        }
    }

    /// The server that tests share, started if need be. SQLite has none.
    pub(super) fn shared(self) -> Option<&'static Started> {
        static POSTGRES: OnceLock<Started> = OnceLock::new();
        static MARIADB: OnceLock<Started> = OnceLock::new();
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(POSTGRES.get_or_init(|| self.start(Transport::Plain))),
            Self::MariaDb => Some(MARIADB.get_or_init(|| self.start(Transport::Plain))),
        }
    }

    /// The server that tests share which speaks over the network in TLS only, started if need be.
    /// SQLite has none.
    pub(super) fn shared_with_tls(self) -> Option<&'static Started> {
        static POSTGRES: OnceLock<Started> = OnceLock::new();
        static MARIADB: OnceLock<Started> = OnceLock::new();
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some(POSTGRES.get_or_init(|| self.start(Transport::Tls))),
            Self::MariaDb => Some(MARIADB.get_or_init(|| self.start(Transport::Tls))),
        }
    }

    /// Starts a server and waits until it lets a connection in.
    pub(super) fn start(self, transport: Transport) -> Started {
        let script = match self {
            Self::Sqlite => unreachable!("SQLite has no server"),
            Self::Postgres => POSTGRES_SCRIPT,
            Self::MariaDb => MARIADB_SCRIPT,
        };
        let folder = tempfile::Builder::new()
            .prefix("writeback-server-")
            .tempdir()
            .expect("a folder")
            .keep();
        if transport == Transport::Tls {
            certificates::make(&folder);
        }
        let port = free_port();
        let mut command = Command::new("sh");
        command
            .arg("-c")
            .arg(script)
            .arg(format!("{self}"))
            .arg(&folder)
            .arg(port.to_string())
            .arg(PASSWORD);
        // A group of its own: Ctrl-C in the terminal ends the tests, and their end stops the
        // server.
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let watchdog = command.spawn().expect("`sh` starts");
        let mut started = Started {
            server: self,
            port,
            folder,
            watchdog,
        };
        started.wait_until_ready();
        started
    }
}

/// How a server speaks over the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Plain,
    /// With the certificate of [`certificates`], and refusing whoever does not.
    Tls,
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::MariaDb => "MariaDB",
        })
    }
}

/// A running server. The watchdog holds the other end of its own standard input's pipe; when this
/// value is dropped or its process is gone, even killed, the pipe closes and the watchdog stops the
/// server.
pub(super) struct Started {
    server: Server,
    port: u16,
    folder: PathBuf,
    watchdog: Child,
}

impl Started {
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The Unix-domain socket as the driver wants it: PostgreSQL's folder, MariaDB's file.
    pub(super) fn socket(&self) -> PathBuf {
        match self.server {
            Server::Sqlite => unreachable!("SQLite has no server"),
            Server::Postgres => self.folder.clone(),
            Server::MariaDb => self.folder.join("socket"),
        }
    }

    /// The certificate of the authority that signed the server's, if it speaks TLS.
    pub(super) fn ca_file(&self) -> PathBuf {
        self.folder.join(certificates::CA_FILE)
    }

    /// Lets the server crash, all its connections with it, and starts it again.
    pub(super) fn restart(&mut self) {
        let fallen = self.folder.join("falling");
        std::fs::write(&fallen, "").expect("a file");
        let stdin = self.watchdog.stdin.as_mut().expect("a pipe");
        stdin
            .write_all(b"restart\n")
            .expect("a watchdog that reads");
        let deadline = Instant::now() + START_TIMEOUT;
        while fallen.exists() {
            assert!(Instant::now() < deadline, "{} does not stop", self.server);
            std::thread::sleep(Duration::from_millis(20));
        }
        self.wait_until_ready();
    }

    /// Waits until a connection is let in.
    /// Panics: with the log's path and its last lines, if the server is gone or the time is over.
    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let error = match Database::try_connect(self.server, self.port, None) {
                Ok(_) => return,
                Err(error) => error,
            };
            let gone = self.watchdog.try_wait().expect("the watchdog is a child");
            if gone.is_some() || Instant::now() > deadline {
                self.give_up(&error);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn give_up(&self, error: &sqlx::Error) -> ! {
        let path = self.folder.join("log");
        let log = std::fs::read_to_string(&path).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(20).collect();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
        let (server, log) = (self.server, path.display());
        panic!(
            "{server} did not start on port {}: {error}\nlog {log} (its first line is the command) ends:\n{last}",
            self.port
        );
    }
}

/// A port that nobody listens on now.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address").port()
}

/// Arguments: folder, port, password. Nothing is forced to disk: what is committed outlives the
/// server, not the machine.
const POSTGRES_SCRIPT: &str = r#"
set -eu
folder=$1; port=$2
exec 2>"$folder/log"
PATH="$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)"
printf '%s\n' "$3" >"$folder/password"
as=
if [ "$(id -u)" = 0 ]; then # PostgreSQL refuses to run as root.
    chown -R postgres "$folder"
    as="setpriv --reuid=postgres --regid=postgres --init-groups"
fi
cd "$folder"
tls=
set -x
$as initdb --pgdata="$folder/data" --username=tester --pwfile="$folder/password" --auth=scram-sha-256 \
    --encoding=UTF8 --no-locale --no-sync >&2
if [ -e "$folder/server.pem" ]; then
    sed -i 's/^host /hostssl /' "$folder/data/pg_hba.conf"
    tls="-c ssl=on -c ssl_cert_file=$folder/server.pem -c ssl_key_file=$folder/server.key"
fi
start() {
    $as postgres -D "$folder/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$folder" \
        -c fsync=off -c full_page_writes=off -c max_connections=100 $tls >&2 &
    server=$!
}
stop() {
    kill -QUIT "$server" || true
    wait "$server" || true
}
start
set +x
while read -r _; do # Ends when the tests do.
    stop
    rm "$folder/falling"
    start
done
stop
rm -rf "$folder"
"#;

/// Arguments, and what is forced to disk, as for PostgreSQL.
const MARIADB_SCRIPT: &str = r#"
set -eu
folder=$1; port=$2
exec 2>"$folder/log"
PATH="$PATH:/usr/sbin:/usr/local/sbin"
export TMPDIR="$folder" # A server that starts sweeps the temporary tables of others out of a folder they share.
cat >"$folder/init.sql" <<SQL
CREATE USER IF NOT EXISTS tester@'%' IDENTIFIED BY '$3';
GRANT ALL PRIVILEGES ON *.* TO tester@'%' WITH GRANT OPTION;
SQL
as=
if [ "$(id -u)" = 0 ]; then # MariaDB drops to this user by itself.
    chown -R mysql "$folder"
    as=--user=mysql
fi
tls=
if [ -e "$folder/server.pem" ]; then
    tls="--ssl-cert=$folder/server.pem --ssl-key=$folder/server.key --require-secure-transport=ON"
fi
cd "$folder"
set -x
mariadb-install-db --no-defaults $as --datadir="$folder/data" \
    --auth-root-authentication-method=normal --skip-test-db >&2
start() {
    mariadbd --no-defaults $as --datadir="$folder/data" --socket="$folder/socket" --pid-file="$folder/pid" \
        --bind-address=127.0.0.1 --port="$port" --skip-name-resolve --init-file="$folder/init.sql" \
        --innodb-flush-log-at-trx-commit=2 --innodb-flush-method=nosync --innodb-buffer-pool-size=64M \
        --innodb-log-file-size=32M --character-set-server=utf8mb4 $tls >&2 &
    server=$!
}
stop() {
    kill -KILL "$server" || true
    wait "$server" || true
}
start
set +x
while read -r _; do # Ends when the tests do.
    stop
    rm "$folder/falling"
    start
done
stop
rm -rf "$folder"
"#;
