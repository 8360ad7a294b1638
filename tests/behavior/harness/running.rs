//! A run at work beside the test, and waiting for what must come.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::workspace::{Ran, Workspace};

/// How long a test waits for what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(150);

/// MariaDB renews what it tells of transactions only if nobody has asked for a tenth of a second.
const TRANSACTIONS_RENEWED: Duration = Duration::from_millis(120);

/// What a run says on stderr when it makes another attempt.
pub(crate) const AGAIN: &str = "trying a batch again";

/// Waits until `holds`, as the test expects it to.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// What a query on MariaDB's `information_schema.innodb_trx` yields. Tests that ask take turns, far
/// enough apart: where several asked at once, all of them would see what was, until one of them
/// gave up.
pub(super) fn ask_for_transactions(place: &Workspace, sql: &str) -> String {
    static ASKED: Mutex<Option<Instant>> = Mutex::new(None);
    let mut asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    let since = asked.map_or(TRANSACTIONS_RENEWED, |asked| asked.elapsed());
    std::thread::sleep(TRANSACTIONS_RENEWED.saturating_sub(since));
    let answer = place.query(sql);
    *asked = Some(Instant::now());
    answer
}

/// A run at work beside the test.
pub(crate) struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    said: String,
}

impl Running {
    pub(crate) fn start(place: &Workspace) -> Self {
        let mut child = place.start(&["run", "job", "--json"]);
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        Self {
            child,
            stderr,
            said: String::new(),
        }
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_at_work(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Reads what it says until a further line holds these words.
    pub(crate) fn wait_until_it_says(&mut self, words: &str) {
        loop {
            let before = self.said.len();
            let read = self.stderr.read_line(&mut self.said).expect("text");
            assert!(read > 0, "it ended without saying `{words}`: {}", self.said);
            if self.said[before..].contains(words) {
                return;
            }
        }
    }

    pub(crate) fn finish(mut self) -> Ran {
        self.stderr.read_to_string(&mut self.said).expect("text");
        let output = self.child.wait_with_output().expect("the program ends");
        let output = std::process::Output {
            stderr: self.said.into_bytes(),
            ..output
        };
        Ran::of(&["run", "job", "--json"], &output)
    }
}
