//! A `writeback serve` that runs beside the test, its log in a file.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::server::PASSWORD;
use super::workspace::Workspace;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// The scheduler at work; killed when dropped.
pub(crate) struct Serving {
    child: Child,
    log: PathBuf,
}

impl Workspace {
    /// Starts `writeback serve` and does not wait for anything.
    pub(crate) fn serve(&self, arguments: &[&str]) -> Serving {
        self.serve_with(arguments, &[])
    }

    /// The same with further environment variables.
    pub(crate) fn serve_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Serving {
        let log = self.path(&format!(
            "serve-{}.log",
            fs::read_dir(self.path("")).expect("a folder").count()
        ));
        let file = File::create(&log).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_writeback"));
        command
            .arg("serve")
            .args(arguments)
            .current_dir(self.path(""));
        command
            .env("CRM_PASSWORD", PASSWORD)
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG");
        command.envs(environment.iter().copied());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file);
        Serving {
            child: command.spawn().expect("the program starts"),
            log,
        }
    }

    /// Waits until `wanted` holds.
    /// Panics: if it does not come to hold; `what` says what was waited for.
    pub(crate) fn wait_until(&self, what: &str, wanted: impl Fn(&Self) -> bool) -> &Self {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(self) {
            assert!(
                Instant::now() < deadline,
                "{what} does not come; history:\n{}",
                self.command(&["runs"]).stdout
            );
            std::thread::sleep(LOOK_INTERVAL);
        }
        self
    }

    /// History: cycle and status of each run of `job`, oldest first.
    pub(crate) fn history(&self) -> Vec<(String, String)> {
        let listed = self
            .command(&["runs", "--job", "job", "--limit", "1000", "--json"])
            .json();
        let text =
            |run: &serde_json::Value, name: &str| run[name].as_str().expect("a text").to_owned();
        let runs = listed["runs"]
            .as_array()
            .unwrap_or_else(|| panic!("no list: {listed}"));
        runs.iter()
            .rev()
            .map(|run| (text(run, "cycle"), text(run, "status")))
            .collect()
    }
}

impl Serving {
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("a log")
    }

    /// The most memory that it has held so far.
    pub(crate) fn peak_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("a process");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        1024 * peak
            .and_then(|peak| peak.parse::<u64>().ok())
            .expect("a peak")
    }

    /// Waits until the log holds `text`.
    pub(crate) fn wait_for_log(&mut self, text: &str) -> &mut Self {
        let deadline = Instant::now() + PATIENCE;
        while !self.log().contains(text) {
            assert!(
                Instant::now() < deadline,
                "`{text}` is not logged:\n{}",
                self.log()
            );
            assert!(
                self.is_alive(),
                "the scheduler ended before it logged `{text}`:\n{}",
                self.log()
            );
            std::thread::sleep(LOOK_INTERVAL);
        }
        self
    }

    fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    pub(crate) fn signal(&self, signal: &str) -> &Self {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status()
            .expect("kill starts");
        assert!(sent.success(), "the scheduler is gone:\n{}", self.log());
        self
    }

    /// Waits for the end. Gives the exit code and the log.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + PATIENCE;
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "the scheduler does not end:\n{}",
                self.log()
            );
            std::thread::sleep(LOOK_INTERVAL);
        };
        (status.code(), self.log())
    }

    /// Asks it to stop as service managers do, and waits.
    pub(crate) fn stop(self) -> (Option<i32>, String) {
        self.signal("-TERM");
        self.wait()
    }

    /// Ends it at once, whatever it does.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The library that sets a process's clock; the test command installs it.
pub(crate) fn faketime_library() -> String {
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/lib",
    ];
    let files = folders.iter().flat_map(|folder| {
        ["faketime/libfaketimeMT.so.1", "libfaketimeMT.so.1"].map(|file| format!("{folder}/{file}"))
    });
    let found = files
        .into_iter()
        .find(|file| std::path::Path::new(file).exists());
    found.expect("libfaketime is installed: `tests/run` does it")
}
