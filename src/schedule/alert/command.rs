//! Telling through a program: the alert on its standard input, a time limit, and what it printed in
//! the log if it fails.

use std::io::{self, PipeReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::warn;

use super::TellError;
use crate::allocator;
use crate::domain::channel::AlertCommand;

/// Bytes of a program's output that are kept: enough to see why it failed.
const OUTPUT_BYTES_MAX: usize = 4_096;
/// How often a program is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How long the output of a program that has ended is waited for: something it started may keep it
/// open for ever.
const OUTPUT_WAIT_MAX: Duration = Duration::from_secs(1);

/// Runs the program with `body` on its standard input until it ends or its time is up. Blocks.
/// Errors: it could not be started, failed, or was killed.
pub(super) fn run(command: &AlertCommand, body: &str) -> Result<(), TellError> {
    let program = command.program.to_string_lossy().into_owned();
    let not_started = |source| TellError::CommandNotStarted {
        program: program.clone(),
        source,
    };
    let (mut child, output) = start(command).map_err(not_started)?;
    let output = Output::read_in_background(output).map_err(not_started)?;
    write_in_background(&mut child, body).map_err(not_started)?;
    let ended = wait(&mut child, command.timeout);
    let error = match ended {
        Ok(Some(status)) if status.success() => return Ok(()),
        Ok(Some(status)) => TellError::CommandFailed {
            program,
            how: how_it_ended(status),
        },
        Ok(None) => {
            kill(&mut child);
            TellError::CommandTimeout {
                program,
                timeout: command.timeout,
            }
        }
        Err(error) => {
            kill(&mut child);
            TellError::CommandFailed {
                program,
                how: format!("could not be waited for: {error}"),
            }
        }
    };
    let output = output.text();
    if !output.is_empty() {
        warn!(output = %output, "what the alert command printed");
    }
    Err(error)
}

/// Starts the program at the head of a process group of its own, so that all it starts can be
/// killed with it and a key pressed at the terminal is not meant for it.
fn start(command: &AlertCommand) -> io::Result<(Child, PipeReader)> {
    let (output, writer) = io::pipe()?;
    // The writing ends are this block's: once it is over only the program has them.
    let child = allocator::keep_from(&mut Command::new(&command.program))
        .args(&command.arguments)
        .stdin(Stdio::piped())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    Ok((child, output))
}

/// A program that reads nothing must not stop this one.
fn write_in_background(child: &mut Child, body: &str) -> io::Result<()> {
    let Some(mut stdin) = child.stdin.take() else {
        return Ok(());
    };
    let body = format!("{body}\n");
    thread::Builder::new()
        .name("alert command input".to_owned())
        .spawn(move || {
            // A program may end without reading: how it ends is what counts.
            drop(stdin.write_all(body.as_bytes()));
        })?;
    Ok(())
}

/// `None` when the time is up.
fn wait(child: &mut Child, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begun.elapsed() >= timeout {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

/// Kills the program and what it started. The standard library kills single processes only; the
/// shell's `kill` takes a group. The program has not been waited for, so that its number is still
/// its own.
fn kill(child: &mut Child) {
    let group = Command::new("/bin/sh")
        .args(["-c", r#"kill -s KILL -- "-$0""#, &child.id().to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    // Where there is no shell, the program itself is killed all the same.
    drop(group);
    drop(child.kill());
    drop(child.wait());
}

fn how_it_ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// What a program prints, the first part of it, read as it comes so that the program never waits to
/// print.
struct Output {
    kept: Arc<Mutex<Vec<u8>>>,
    reader: thread::JoinHandle<()>,
}

impl Output {
    fn read_in_background(mut output: PipeReader) -> io::Result<Self> {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keeping = Arc::clone(&kept);
        let reader = thread::Builder::new()
            .name("alert command output".to_owned())
            .spawn(move || {
                let mut bytes = [0; OUTPUT_BYTES_MAX];
                while let Ok(count @ 1..) = output.read(&mut bytes) {
                    let mut kept = keeping.lock().unwrap_or_else(PoisonError::into_inner);
                    let room = OUTPUT_BYTES_MAX.saturating_sub(kept.len());
                    kept.extend(bytes.iter().take(count.min(room)));
                }
            })?;
        Ok(Self { kept, reader })
    }

    fn text(self) -> String {
        let begun = Instant::now();
        while !self.reader.is_finished() && begun.elapsed() < OUTPUT_WAIT_MAX {
            thread::sleep(POLL);
        }
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).trim().to_owned()
    }
}
