//! The two ways out: data goes to stdout, all else to stderr. What cannot be written is lost, and
//! never the work: a failure of stderr is passed over, one of stdout is remembered and told once
//! the work is done.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use serde::Serialize;

use super::color::{Wishes, colored};
use crate::domain::printable::{printable_json, printable_lines};

static STDOUT_FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Why data did not reach stdout, if it did not. A reader that has seen enough is no failure.
pub(crate) fn stdout_failure() -> Option<&'static io::Error> {
    STDOUT_FAILURE.get()
}

/// Writes lines to stdout.
pub(crate) fn print(text: &str) {
    let text = printable_lines(text);
    match Wishes::of_environment().colors(io::stdout().is_terminal()) {
        true => write_stdout(colored(&text).as_bytes()),
        false => write_stdout(text.as_bytes()),
    }
}

/// Writes a value to stdout as JSON, laid out for people.
/// Errors: it cannot be written as JSON.
pub(crate) fn print_json(value: &impl Serialize) -> serde_json::Result<()> {
    let text = serde_json::to_string_pretty(value)? + "\n";
    write_stdout(printable_json(&text).as_bytes());
    Ok(())
}

/// Writes what this program itself made up, byte by byte, to stdout.
pub(crate) fn print_bytes(bytes: &[u8]) {
    write_stdout(bytes);
}

/// Writes lines to stderr.
pub(crate) fn tell(text: &str) {
    let text = printable_lines(text);
    match Wishes::of_environment().colors(io::stderr().is_terminal()) {
        true => write_stderr(colored(&text).as_bytes()),
        false => write_stderr(text.as_bytes()),
    }
}

/// Writes a line of the log, which does nothing to a terminal but color it, to stderr.
pub(crate) fn tell_log(line: &[u8]) {
    write_stderr(line);
}

fn write_stdout(bytes: &[u8]) {
    if STDOUT_FAILURE.get().is_some() {
        // Half a text and then another would pass for data.
        return;
    }
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(bytes).and_then(|()| stdout.flush());
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
    {
        // The first failure is the one to be told.
        drop(STDOUT_FAILURE.set(error));
    }
}

fn write_stderr(bytes: &[u8]) {
    drop(io::stderr().write_all(bytes));
}
