//! Counts an account's calls where the host does not tell of them: in a file, so that all processes of
//! a project and all connections to one account count together.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::quota::Usage;
use crate::domain::allowance::CallAllowance;
use crate::domain::share::Percent;
use crate::state;

/// Where an account's calls are counted, and how many there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallMeter {
    folder: PathBuf,
    /// Tells the account from others; the file is named so.
    account: String,
    allowance: CallAllowance,
}

/// Why one more call may not be sent, and when it may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spent {
    pub(super) what: String,
    pub(super) resumes: String,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counted {
    /// The first day of the period that is counted.
    since: String,
    used: u64,
}

impl CallMeter {
    /// Beside a project's other state.
    pub(crate) fn new(state_folder: &Path, account: &str, allowance: CallAllowance) -> Self {
        let is_plain = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '-' | '.');
        Self {
            folder: state_folder.join("calls"),
            account: account.replace(|sign| !is_plain(sign), "_"),
            allowance,
        }
    }

    /// Calls as they are counted so far; `None` if none was.
    pub(super) fn usage(&self) -> Option<Usage> {
        let counted = std::fs::read(self.file()).ok()?;
        let counted = self.this_period(&counted, Utc::now());
        Some(Usage {
            used: counted.used,
            allowed: self.allowance.calls,
        })
    }

    /// Counts one more call, unless it would be more than the share that may be used; what is used
    /// with it.
    pub(super) fn take(
        &self,
        share: Percent,
        now: DateTime<Utc>,
    ) -> io::Result<Result<Usage, Spent>> {
        let mut file = self.open()?;
        let mut counted = self.counted(&mut file, now)?;
        if let Some(spent) = self.spent(&counted, share, now) {
            return Ok(Err(spent));
        }
        counted.used += 1;
        keep(&mut file, &counted)?;
        Ok(Ok(Usage {
            used: counted.used,
            allowed: self.allowance.calls,
        }))
    }

    /// Why nobody is to log in any more, for whom there are no calls left.
    pub(super) fn bars(&self, share: Percent, now: DateTime<Utc>) -> io::Result<Option<Spent>> {
        let counted = self.counted(&mut self.open()?, now)?;
        Ok(self.spent(&counted, share, now))
    }

    fn spent(&self, counted: &Counted, share: Percent, now: DateTime<Utc>) -> Option<Spent> {
        let after = u128::from(counted.used) + 1;
        let is_spent = share.is_exceeded_by(after, self.allowance.calls.into());
        is_spent.then(|| Spent {
            what: format!(
                "{} of {} calls are used up, and {share} of them may be",
                counted.used, self.allowance
            ),
            resumes: format!(
                "calls are counted anew from {} on: run again then, and what is left is done",
                self.allowance.period.next(now).format("%Y-%m-%d %H:%M UTC")
            ),
        })
    }

    /// Counts calls that are made already: those of logging in.
    pub(super) fn note(&self, calls: u64, now: DateTime<Utc>) -> io::Result<()> {
        let mut file = self.open()?;
        let mut counted = self.counted(&mut file, now)?;
        counted.used += calls;
        keep(&mut file, &counted)
    }

    fn counted(&self, file: &mut File, now: DateTime<Utc>) -> io::Result<Counted> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(self.this_period(&bytes, now))
    }

    fn this_period(&self, bytes: &[u8], now: DateTime<Utc>) -> Counted {
        let since = self.allowance.period.begun(now).to_string();
        let counted = serde_json::from_slice::<Counted>(bytes).ok();
        let counted = counted.filter(|counted| counted.since == since);
        counted.unwrap_or(Counted { since, used: 0 })
    }

    fn file(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.account))
    }

    /// The file, for this process alone.
    fn open(&self) -> io::Result<File> {
        state::make_folder(&self.folder)?;
        let place = self.file();
        drop(state::open_or_create_file(&place)?);
        let file = OpenOptions::new().read(true).write(true).open(place)?;
        file.lock()?;
        Ok(file)
    }
}

fn keep(file: &mut File, counted: &Counted) -> io::Result<()> {
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(&serde_json::to_vec(counted)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_together_until_the_share_is_used_and_anew_in_the_next_month() {
        let folder = tempfile::tempdir().expect("a folder");
        let allowance = CallAllowance::parse("10 per month").expect("an allowance");
        let meter = || CallMeter::new(folder.path(), "bullhorn 12345", allowance);
        let half = Percent::parse("50 %").expect("a share");
        let at = |text: &str| text.parse::<DateTime<Utc>>().expect("an instant");
        let november = at("2026-11-30T23:00:00Z");
        let used = |used| Ok(Usage { used, allowed: 10 });
        for taken in 1..=5 {
            assert_eq!(meter().take(half, november).expect("counted"), used(taken));
        }
        meter().note(1, november).expect("counted");
        let spent = meter().take(half, november).expect("counted");
        let spent = spent.expect_err("the sixth may not");
        let bar = meter().bars(half, november).expect("counted");
        assert_eq!(bar, Some(spent.clone()), "nobody logs in for nothing");
        assert_eq!(
            spent.what,
            "6 of 10 per month calls are used up, and 50 % of them may be"
        );
        assert!(spent.resumes.contains("2026-12-01 00:00 UTC"), "{spent:?}");
        let december = at("2026-12-01T00:00:00Z");
        assert_eq!(meter().take(half, december).expect("counted"), used(1));
    }
}
