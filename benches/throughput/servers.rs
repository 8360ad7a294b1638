//! Private database servers: each on a free port, in a folder of its own below the benchmark's,
//! gone when it ends.

use std::fs::{self, File, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Fault;
use crate::measure::failure;

/// How long a server may take to let the first connection in.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// The folder of everything the benchmark makes. A watchdog holds the other end of its own standard
/// input's pipe; when this value is dropped or its process is gone, even killed, the pipe closes,
/// and the watchdog stops the servers and removes the folder.
pub(crate) struct Folder {
    path: PathBuf,
    watchdog: Child,
}

/// PostgreSQL stops at once by SIGQUIT, and MariaDB stops. A server that still writes may leave a
/// file behind while the folder is being removed, hence again.
const WATCHDOG: &str = r#"
cat >/dev/null
for pid in "$1"/*/pid; do [ ! -e "$pid" ] || kill -QUIT "$(cat "$pid")"; done
for attempt in $(seq 300); do rm -rf "$1" && exit; sleep 0.1; done
"#;

impl Folder {
    pub(crate) fn create() -> Result<Self, Fault> {
        let path = tempfile::Builder::new()
            .prefix("writeback-bench-")
            .tempdir()?
            .keep();
        // Servers run as users of their own and must reach their folders below.
        fs::set_permissions(&path, Permissions::from_mode(0o711))?;
        let mut command = Command::new("sh");
        command.args(["-c", WATCHDOG, "sh"]).arg(&path);
        // A group of its own: Ctrl-C in the terminal ends the benchmark and must not end who tidies
        // up after it.
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let watchdog = command.spawn()?;
        Ok(Self { path, watchdog })
    }

    /// A new folder below, removed when it is dropped.
    pub(crate) fn folder(&self) -> Result<TempDir, Fault> {
        Ok(TempDir::new_in(&self.path)?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        drop(self.watchdog.wait());
    }
}

/// A kind of database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Postgres,
    MariaDb,
}

/// A running server, which listens at 127.0.0.1 and asks nobody for a password.
pub(crate) struct Server {
    pub(crate) port: u16,
    folder: TempDir,
    process: Child,
}

impl Server {
    /// Starts one with so many megabytes of memory for the pages of its tables; `ready` tells
    /// whether it lets a connection in.
    pub(crate) fn start(
        kind: Kind,
        megabytes: u64,
        root: &Folder,
        ready: impl Fn(u16) -> Result<(), Fault>,
    ) -> Result<Self, Fault> {
        let folder = root.folder()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = File::create(folder.path().join("log"))?;
        let (mut making, mut serving) = match kind {
            Kind::Postgres => postgres(folder.path(), port, megabytes)?,
            Kind::MariaDb => mariadb(folder.path(), port, megabytes)?,
        };
        let made = making
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .status()?;
        if !made.success() {
            return Err(failure(&format!("{making:?}"), made, &log_end(folder.path())).into());
        }
        serving
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let process = serving.spawn()?;
        fs::write(folder.path().join("pid"), process.id().to_string())?;
        let mut server = Self {
            port,
            folder,
            process,
        };
        server.wait_until(ready)?;
        Ok(server)
    }

    fn wait_until(&mut self, ready: impl Fn(u16) -> Result<(), Fault>) -> Result<(), Fault> {
        let deadline = Instant::now() + START_TIMEOUT;
        while let Err(error) = ready(self.port) {
            if self.process.try_wait()?.is_some() || Instant::now() > deadline {
                return Err(format!(
                    "a server did not start: {error}\n{}",
                    log_end(self.folder.path())
                )
                .into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(
            Command::new("kill")
                .args(["-QUIT", &self.process.id().to_string()])
                .status(),
        );
        drop(self.process.wait());
        drop(fs::remove_file(self.folder.path().join("pid")));
    }
}

/// The command that makes the files, and the one that serves them.
fn postgres(folder: &Path, port: u16, megabytes: u64) -> Result<(Command, Command), Fault> {
    let data = folder.join("data");
    let mut making = as_user("postgres", folder, &postgres_program("initdb"))?;
    making.arg("--pgdata").arg(&data);
    making.args([
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--no-locale",
    ]);
    let mut serving = as_user("postgres", folder, &postgres_program("postgres"))?;
    serving.arg("-D").arg(&data).args(["-p", &port.to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        &format!("shared_buffers={megabytes}MB"),
    ] {
        serving.args(["-c", setting]);
    }
    Ok((making, serving))
}

/// The command that makes the files, and the one that serves them.
fn mariadb(folder: &Path, port: u16, megabytes: u64) -> Result<(Command, Command), Fault> {
    let data = format!("--datadir={}", folder.join("data").display());
    let mut making = as_user("mysql", folder, &found("mariadb-install-db"))?;
    making.args([
        "--no-defaults",
        &data,
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]);
    let mut serving = as_user("mysql", folder, &found("mariadbd"))?;
    // A server that starts sweeps the temporary tables of others out of a folder they share.
    serving.env("TMPDIR", folder);
    serving.args([
        "--no-defaults",
        &data,
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
    ]);
    serving
        .arg(format!("--port={port}"))
        .arg(format!("--innodb-buffer-pool-size={megabytes}M"));
    serving.arg(format!("--socket={}", folder.join("socket").display()));
    serving.args([
        "--character-set-server=utf8mb4",
        "--collation-server=utf8mb4_general_ci",
    ]);
    Ok((making, serving))
}

/// A server's program, run as the server's own user if it is root who starts it: PostgreSQL refuses
/// to run as root.
fn as_user(user: &str, folder: &Path, program: &Path) -> Result<Command, Fault> {
    let mut command = match fs::metadata("/proc/self")?.uid() {
        0 => {
            let changed = Command::new("chown")
                .arg("-R")
                .arg(user)
                .arg(folder)
                .status()?;
            changed
                .success()
                .then_some(())
                .ok_or_else(|| format!("there is no user `{user}`"))?;
            let mut command = Command::new("setpriv");
            command
                .arg(format!("--reuid={user}"))
                .arg(format!("--regid={user}"))
                .arg("--init-groups")
                .arg(program);
            command
        }
        _ => Command::new(program),
    };
    command.current_dir(folder);
    Ok(command)
}

/// Where a program of PostgreSQL's server is: Debian keeps them beside the versions, out of the
/// search path.
pub(crate) fn postgres_program(name: &str) -> PathBuf {
    let version = |folder: &PathBuf| {
        folder
            .file_name()
            .and_then(|name| name.to_str()?.parse::<u32>().ok())
    };
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    versions.sort_by_key(version);
    let debian = versions
        .iter()
        .rev()
        .map(|folder| folder.join("bin").join(name))
        .find(|path| path.is_file());
    debian.unwrap_or_else(|| found(name))
}

/// Where a program is, also where only administrators look for it; its mere name if it is nowhere.
pub(crate) fn found(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let candidates = std::env::split_paths(&path)
        .chain(usual)
        .map(|folder| folder.join(name));
    candidates
        .into_iter()
        .find(|path| path.is_file())
        .unwrap_or_else(|| name.into())
}

fn log_end(folder: &Path) -> String {
    let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(20))
        .copied()
        .collect::<Vec<_>>()
        .join("\n")
}
