//! Running programs and taking their time, processor time and memory.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde::{Serialize, Serializer};
use wait4::{ResUse, Wait4};

use crate::Fault;

/// What one side took once.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Sample {
    /// From the start of its first process to the end of its last.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub(crate) elapsed: Duration,
    /// User and system time of its processes; servers are not among them.
    #[serde(rename = "cpu_seconds", serialize_with = "seconds")]
    pub(crate) processor: Duration,
    /// The most memory that its largest process held at a time. It is never less than this
    /// program's own, which stays far below.
    #[serde(rename = "peak_bytes")]
    pub(crate) peak: u64,
}

/// A sample, and what the last process printed.
pub(crate) struct Ran {
    pub(crate) sample: Sample,
    pub(crate) stdout: String,
}

/// All samples of one side.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Samples(Vec<Sample>);

impl Samples {
    pub(crate) fn push(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn elapsed(&self) -> Spread {
        Spread::of(self.0.iter().map(|sample| sample.elapsed))
    }

    pub(crate) fn processor(&self) -> Spread {
        Spread::of(self.0.iter().map(|sample| sample.processor))
    }

    /// Bytes of the worst sample.
    pub(crate) fn peak(&self) -> u64 {
        self.0
            .iter()
            .map(|sample| sample.peak)
            .max()
            .unwrap_or_default()
    }
}

/// The middle of several durations, and the ends.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Spread {
    #[serde(rename = "median_seconds", serialize_with = "seconds")]
    pub(crate) median: Duration,
    #[serde(rename = "min_seconds", serialize_with = "seconds")]
    pub(crate) min: Duration,
    #[serde(rename = "max_seconds", serialize_with = "seconds")]
    pub(crate) max: Duration,
}

impl Spread {
    /// All zero for none.
    pub(crate) fn of(durations: impl Iterator<Item = Duration>) -> Self {
        let mut durations: Vec<Duration> = durations.collect();
        durations.sort_unstable();
        let at = |index: usize| durations.get(index).copied().unwrap_or_default();
        let count = durations.len();
        Self {
            median: (at(count.saturating_sub(1) / 2) + at(count / 2)) / 2,
            min: at(0),
            max: at(count.saturating_sub(1)),
        }
    }
}

/// Runs processes side by side, each reading what the one before it prints.
/// Errors: with what a process said, if it did not succeed.
pub(crate) fn run(commands: Vec<Command>) -> Result<Ran, Fault> {
    let stdout = tempfile::tempfile()?;
    let begun = Instant::now();
    let mut running: Vec<Process> = Vec::new();
    let last = commands.len().saturating_sub(1);
    for (index, mut command) in commands.into_iter().enumerate() {
        if let Some(before) = running
            .last_mut()
            .and_then(|process| process.child.stdout.take())
        {
            command.stdin(before);
        }
        command.stdout(if index == last {
            Stdio::from(stdout.try_clone()?)
        } else {
            Stdio::piped()
        });
        running.push(Process::start(command)?);
    }
    let mut sample = Sample {
        elapsed: Duration::ZERO,
        processor: Duration::ZERO,
        peak: 0,
    };
    let mut failures = Vec::new();
    for process in running {
        let (used, failure) = process.wait()?;
        sample.add(&used);
        failures.extend(failure);
    }
    sample.elapsed = begun.elapsed();
    match failures.is_empty() {
        true => Ok(Ran {
            sample,
            stdout: text(stdout)?,
        }),
        false => Err(failures.join("\n").into()),
    }
}

/// Runs a process and tells also when it first said these words on stderr.
/// Errors: if it did not succeed, or never said them.
pub(crate) fn run_until_said(mut command: Command, words: &str) -> Result<(Duration, Ran), Fault> {
    let stdout = tempfile::tempfile()?;
    let begun = Instant::now();
    let mut child = command
        .stdout(stdout.try_clone()?)
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = child.stderr.take().ok_or("no pipe")?;
    let (mut said, mut all) = (None, String::new());
    for line in BufReader::new(stderr).lines() {
        let line = line?;
        if said.is_none() && line.contains(words) {
            said = Some(begun.elapsed());
        }
        all += &(line + "\n");
    }
    let used = child.wait4()?;
    let mut sample = Sample {
        elapsed: begun.elapsed(),
        processor: Duration::ZERO,
        peak: 0,
    };
    sample.add(&used);
    match said {
        Some(said) if used.status.success() => Ok((
            said,
            Ran {
                sample,
                stdout: text(stdout)?,
            },
        )),
        _ => Err(format!(
            "{command:?} ended with {} and should have said `{words}`:\n{all}",
            used.status
        )
        .into()),
    }
}

impl Sample {
    fn add(&mut self, used: &ResUse) {
        self.processor += used.rusage.utime + used.rusage.stime;
        self.peak = self.peak.max(used.rusage.maxrss);
    }
}

struct Process {
    shown: String,
    child: Child,
    stderr: File,
}

impl Process {
    fn start(mut command: Command) -> Result<Self, Fault> {
        let stderr = tempfile::tempfile()?;
        let shown = format!("{command:?}");
        let child = command
            .stderr(stderr.try_clone()?)
            .spawn()
            .map_err(|error| format!("{shown}: {error}"))?;
        Ok(Self {
            shown,
            child,
            stderr,
        })
    }

    fn wait(mut self) -> Result<(ResUse, Option<String>), Fault> {
        let used = self.child.wait4()?;
        let failure = match used.status.success() {
            true => None,
            false => Some(failure(&self.shown, used.status, &text(self.stderr)?)),
        };
        Ok((used, failure))
    }
}

pub(crate) fn failure(command: &str, status: ExitStatus, said: &str) -> String {
    format!("{command} ended with {status}:\n{said}")
}

fn text(mut file: File) -> Result<String, Fault> {
    let mut text = String::new();
    file.rewind()?;
    file.read_to_string(&mut text)?;
    Ok(text)
}

pub(crate) fn seconds<S: Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}
