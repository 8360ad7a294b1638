//! Locks between processes: files of the state folder, locked as a whole. The system lets go of a
//! lock when its process dies, however it dies.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::LedgerError;
use crate::state;

/// How long to wait while another process opens the ledger: far longer than its migrations take.
const OPENING_WAIT_MAX: Duration = Duration::from_secs(30);

const OPENING_POLL: Duration = Duration::from_millis(20);

/// How long a lock is tried for before somebody is said to hold it: who only looks whether it is
/// held holds it for a moment, and on a busy machine for a little longer.
const LOOK_PATIENCE: Duration = Duration::from_millis(250);

const LOOK_POLL: Duration = Duration::from_millis(5);

/// Held while a job runs; released when dropped, and by the system when the process dies.
#[derive(Debug)]
pub(crate) struct JobLock {
    _file: File,
}

impl JobLock {
    /// Errors: `JobRunning`, with the process that holds the lock if it has written its number.
    pub(super) fn take(state_folder: &Path, job: &str) -> Result<Self, LedgerError> {
        match claim(&Self::path(state_folder, job), LOOK_PATIENCE)? {
            Claim::Mine(file) => Ok(Self { _file: file }),
            Claim::Taken { process } => Err(LedgerError::JobRunning {
                job: job.to_owned(),
                process,
            }),
        }
    }

    /// Whether some process holds the job's lock now.
    pub(super) fn is_held(state_folder: &Path, job: &str) -> Result<bool, LedgerError> {
        is_held(&Self::path(state_folder, job))
    }

    fn path(state_folder: &Path, job: &str) -> PathBuf {
        locks_folder(state_folder).join(format!("{}.lock", file_name_of(job)))
    }
}

/// Held while a process serves; released as a [`JobLock`] is.
#[derive(Debug)]
pub(crate) struct ServeLock {
    _file: File,
}

impl ServeLock {
    /// Errors: `AlreadyServing`, with the process that holds the lock if it has written its number.
    pub(super) fn take(state_folder: &Path) -> Result<Self, LedgerError> {
        match claim(&Self::path(state_folder), LOOK_PATIENCE)? {
            Claim::Mine(file) => Ok(Self { _file: file }),
            Claim::Taken { process } => Err(LedgerError::AlreadyServing { process }),
        }
    }

    /// Whether some process serves now.
    pub(super) fn is_held(state_folder: &Path) -> Result<bool, LedgerError> {
        is_held(&Self::path(state_folder))
    }

    fn path(state_folder: &Path) -> PathBuf {
        locks_folder(state_folder).join("%serve.lock")
    }
}

/// What came of asking for a lock.
enum Claim {
    Mine(File),
    Taken { process: Option<u32> },
}

/// Asks for a lock for as long as `patience` lasts, and writes this process's number into its file.
fn claim(path: &Path, patience: Duration) -> Result<Claim, LedgerError> {
    let failed = |source| LedgerError::io("lock", path, source);
    let mut file = open(path).map_err(failed)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if begun.elapsed() < patience => {
                std::thread::sleep(LOOK_POLL)
            }
            Err(TryLockError::WouldBlock) => {
                return Ok(Claim::Taken {
                    process: process_in(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    write_process(&mut file).map_err(failed)?;
    Ok(Claim::Mine(file))
}

/// Whether a lock is held, found out by asking to share it and letting go at once.
fn is_held(path: &Path) -> Result<bool, LedgerError> {
    let failed = |source| LedgerError::io("look at", path, source);
    let file = match state::open_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        opened => opened.map_err(failed)?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Waits for the right to open the ledger alone: two processes must not both begin its tables.
/// Errors: `Io` after [`OPENING_WAIT_MAX`].
pub(super) async fn opening(state_folder: &Path) -> Result<File, LedgerError> {
    let path = locks_folder(state_folder).join("%ledger.lock");
    let failed = |source| LedgerError::io("lock", &path, source);
    let file = open(&path).map_err(failed)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if begun.elapsed() < OPENING_WAIT_MAX => {
                tokio::time::sleep(OPENING_POLL).await;
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
}

fn locks_folder(state_folder: &Path) -> PathBuf {
    state_folder.join("locks")
}

fn open(path: &Path) -> std::io::Result<File> {
    state::make_folder(state::parent(path))?;
    state::open_or_create_file(path)
}

/// A file's name for a job: what cannot stand in one, or would mean another folder, is written as
/// `%` and two hexadecimal digits. Different jobs have different names, and none is `%ledger` or
/// `%serve`.
pub(crate) fn file_name_of(job: &str) -> String {
    let mut name = String::with_capacity(job.len());
    for (index, letter) in job.chars().enumerate() {
        match letter {
            '/' | '%' | '\\' | ':' | '\0'..='\x1f' | '\x7f' => {
                name.push_str(&format!("%{:02x}", u32::from(letter)))
            }
            '.' if index == 0 => name.push_str("%2e"),
            _ => name.push(letter),
        }
    }
    name
}

fn process_in(file: &mut File) -> Option<u32> {
    /// Digits of the largest process number, and a line break.
    const PROCESS_BYTES_MAX: u64 = 11;
    let mut text = String::new();
    file.take(PROCESS_BYTES_MAX)
        .read_to_string(&mut text)
        .ok()?;
    text.trim().parse().ok()
}

fn write_process(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_names_become_different_file_names_of_one_folder() {
        let jobs = [
            "weekly",
            "../weekly",
            "a/b",
            "a%2fb",
            ".hidden",
            "Wöchentlich",
            "a\nb",
        ];
        let names: std::collections::BTreeSet<String> =
            jobs.iter().map(|job| file_name_of(job)).collect();
        assert_eq!(names.len(), jobs.len());
        for name in names {
            assert!(
                !name.contains('/') && !name.starts_with('.') && name != "%ledger",
                "{name}"
            );
        }
    }

    #[test]
    fn a_job_runs_once_at_a_time() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let lock = JobLock::take(folder.path(), "weekly").expect("free");
        let error = JobLock::take(folder.path(), "weekly").expect_err("taken");
        assert_eq!(
            error.to_string(),
            format!(
                "job `weekly` is already running (process {})",
                std::process::id()
            )
        );
        JobLock::take(folder.path(), "daily").expect("another job is free");
        drop(lock);
        JobLock::take(folder.path(), "weekly").expect("free again");
    }

    #[test]
    fn who_looks_whether_a_job_runs_does_not_keep_it_from_running() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        assert!(!JobLock::is_held(folder.path(), "weekly").expect("no file yet"));
        let lock = JobLock::take(folder.path(), "weekly").expect("free");
        assert!(JobLock::is_held(folder.path(), "weekly").expect("a look"));
        drop(lock);
        assert!(!JobLock::is_held(folder.path(), "weekly").expect("a look"));

        let path = JobLock::path(folder.path(), "weekly");
        let look = open(&path).expect("a file");
        look.lock_shared().expect("a look that lasts");
        assert!(matches!(
            claim(&path, Duration::ZERO),
            Ok(Claim::Taken { .. })
        ));
        let ends = std::thread::spawn(move || {
            std::thread::sleep(LOOK_POLL);
            drop(look);
        });
        assert!(matches!(
            claim(&path, Duration::from_secs(60)),
            Ok(Claim::Mine(_))
        ));
        ends.join().expect("a look that ends");
    }
}
