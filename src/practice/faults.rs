//! What goes wrong, and when: `--faults "seed=7,latency=150ms,drop_after:upsert=5%,503=@3@9"`. The
//! same seed and the same calls meet the same faults. Knows no API: what a fault looks like there,
//! the stand-in knows.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use strum::{EnumCount, VariantArray};
use xxhash_rust::xxh3::xxh3_64;

/// One thing that goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, EnumCount, VariantArray)]
pub(crate) enum Mishap {
    /// The connection ends, and nothing was written.
    DropBefore,
    /// The connection ends while the call is carried out: what it writes stands a moment later.
    DropIn,
    /// The call is carried out, and half of the answer is sent.
    DropAfter,
    /// The call is carried out, and a proxy cuts its answer short without a trace in the headers.
    CutJson,
    /// 502 with a page of HTML; nothing was written.
    BadGateway,
    /// 503 with a page of HTML; nothing was written.
    Maintenance,
    /// 503 in the API's own words; nothing was written.
    Unavailable,
    /// 500 in the API's own words; nothing was written.
    ServerError,
    /// An error as a bare object where a list is usual; nothing was written.
    BareError,
    /// 200 with a log-in page of HTML instead of the answer; nothing was written.
    LoginPage,
    /// The token dies before the call.
    Expire,
    /// The user may not use the API, with the code of a dead token.
    NoApi,
    /// The app is not let in, with the status of a dead token.
    AppDetached,
    /// Records are locked by somebody else.
    Lock,
    /// The calls of the day are used up.
    Quota,
    /// Too many long calls are in flight.
    Concurrent,
    /// A query or request takes too long for the server.
    TooLong,
    /// A page is shorter than asked for.
    ShortPage,
    /// A bulk job fails half way.
    BulkFail,
    /// The call is carried out, and answered with 500.
    ErrorAfter,
    /// The call is sent on to where it came (307).
    Moved,
    /// The call is sent on to a host of another site.
    MovedAway,
}

impl Mishap {
    const ALL: [Self; Self::COUNT] = *Self::VARIANTS.first_chunk().expect("all of them");

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::DropBefore => "drop_before",
            Self::DropIn => "drop_in",
            Self::DropAfter => "drop_after",
            Self::CutJson => "cut_json",
            Self::BadGateway => "502",
            Self::Maintenance => "503",
            Self::Unavailable => "unavailable",
            Self::ServerError => "500",
            Self::BareError => "bare_error",
            Self::LoginPage => "login_page",
            Self::Expire => "expire",
            Self::NoApi => "no_api",
            Self::AppDetached => "app_detached",
            Self::Lock => "lock",
            Self::Quota => "quota",
            Self::Concurrent => "concurrent",
            Self::TooLong => "too_long",
            Self::ShortPage => "short_page",
            Self::BulkFail => "bulk_fail",
            Self::ErrorAfter => "500_after",
            Self::Moved => "moved",
            Self::MovedAway => "moved_away",
        }
    }
}

/// Parts of a million, which is as finely as a rate can be given.
const MILLION: u64 = 1_000_000;

#[derive(Debug, Clone, PartialEq, Eq)]
enum When {
    /// Of a million calls.
    Rate(u64),
    /// The first, second, … call of its kind since the faults were set.
    Calls(Vec<u64>),
}

/// A fault, the kind of calls that meet it, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    fault: Mishap,
    /// `None`: calls of every kind.
    kind: Option<String>,
    when: When,
    /// Calls so far that it was asked about.
    calls: u64,
}

/// All that goes wrong, and how slow things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Faults {
    seed: u64,
    rules: Vec<Rule>,
    pub(crate) tempo: Tempo,
}

/// How the server behaves while nothing goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tempo {
    /// How long each call takes at least.
    pub(crate) latency: Duration,
    /// How long a write waits for records that another write holds.
    pub(crate) lock_wait: Duration,
    /// From when on a call is a long one.
    pub(crate) long_call: Duration,
    /// Calls after which a token dies.
    pub(crate) token_calls: Option<u64>,
    /// Calls of other programs, for each of ours.
    pub(crate) others: u64,
    /// Records on a page of a query at the most.
    pub(crate) page: Option<usize>,
}

impl Default for Tempo {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            // Source: <https://help.salesforce.com/s/articleView?id=000387767&type=1>.
            lock_wait: Duration::from_secs(10),
            // Source: the limits of API requests in "Salesforce Developer Limits and Allocations".
            long_call: Duration::from_secs(20),
            token_calls: None,
            others: 0,
            page: None,
        }
    }
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            seed: 1,
            rules: Vec::new(),
            tempo: Tempo::default(),
        }
    }
}

impl Faults {
    /// What goes wrong with the next call of this kind.
    pub(crate) fn draw(&mut self, kind: &str) -> Vec<Mishap> {
        let seed = self.seed;
        self.rules
            .iter_mut()
            .filter(|rule| rule.kind.as_deref().is_none_or(|of| of == kind))
            .filter_map(|rule| rule.strikes(seed).then_some(rule.fault))
            .collect()
    }
}

impl Rule {
    fn strikes(&mut self, seed: u64) -> bool {
        self.calls = self.calls.saturating_add(1);
        match &self.when {
            When::Calls(calls) => calls.contains(&self.calls),
            When::Rate(rate) => drawn(seed, &format!("{self}"), self.calls) < *rate,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind.as_deref().unwrap_or("*");
        write!(formatter, "{}:{kind}", self.fault.name())
    }
}

/// A number below a million that depends on these three and on nothing else.
pub(crate) fn drawn(seed: u64, name: &str, count: u64) -> u64 {
    xxh3_64(format!("{seed} {name} {count}").as_bytes()) % MILLION
}

/// What is wrong with a `--faults`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{part}` is no fault: {why}")]
pub(crate) struct SpecError {
    part: String,
    why: String,
}

impl FromStr for Faults {
    type Err = SpecError;

    fn from_str(spec: &str) -> Result<Self, SpecError> {
        let mut faults = Self::default();
        let parts = spec.split([',', ' ', '\n']).map(str::trim);
        for part in parts.filter(|part| !part.is_empty()) {
            faults.read(part).map_err(|why| SpecError {
                part: part.to_owned(),
                why,
            })?;
        }
        Ok(faults)
    }
}

impl Faults {
    fn read(&mut self, part: &str) -> Result<(), String> {
        let (name, value) = part
            .split_once('=')
            .ok_or("write `NAME=VALUE`, such as `drop_after=5%`")?;
        let tempo = &mut self.tempo;
        match name {
            "seed" => self.seed = number(value)?,
            "latency" => tempo.latency = duration(value)?,
            "lock_wait" => tempo.lock_wait = duration(value)?,
            "long_call" => tempo.long_call = duration(value)?,
            "token_calls" => tempo.token_calls = Some(number(value)?),
            "others" => tempo.others = number(value)?,
            "page" => {
                let records = number(value)?;
                tempo.page = Some(usize::try_from(records).unwrap_or(usize::MAX).max(1));
            }
            name => self.rules.push(rule(name, value)?),
        }
        Ok(())
    }
}

fn rule(name: &str, value: &str) -> Result<Rule, String> {
    let (fault, kind) = match name.split_once(':') {
        Some((fault, kind)) => (fault, Some(kind.to_owned())),
        None => (name, None),
    };
    let fault = Mishap::named(fault).ok_or_else(|| {
        let names: Vec<&str> = Mishap::ALL.map(Mishap::name).to_vec();
        format!(
            "faults are {}; settings are seed, latency, lock_wait, long_call, token_calls, others, page",
            names.join(", ")
        )
    })?;
    Ok(Rule {
        fault,
        kind,
        when: when(value)?,
        calls: 0,
    })
}

fn when(value: &str) -> Result<When, String> {
    if let Some(calls) = value.strip_prefix('@') {
        let calls: Result<Vec<u64>, String> = calls.split('@').map(number).collect();
        return Ok(When::Calls(calls?));
    }
    let (share, of) = match value.strip_suffix('%') {
        Some(percent) => (percent, 100.0),
        None => (value, 1.0),
    };
    let share: f64 = share
        .trim()
        .parse()
        .map_err(|_| "write a share, such as `5%` or `0.05`, or calls, such as `@3@9`")?;
    let share = share / of;
    if !(0.0..=1.0).contains(&share) {
        return Err("a share lies between 0% and 100%".to_owned());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and a million"
    )]
    let rate = (share * 1_000_000.0).round() as u64;
    Ok(When::Rate(rate))
}

fn number(value: &str) -> Result<u64, String> {
    value.parse().map_err(|_| "write a whole number".to_owned())
}

fn duration(value: &str) -> Result<Duration, String> {
    humantime::parse_duration(value).map_err(|_| "write a duration, such as `150ms`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(spec: &str) -> Faults {
        spec.parse().expect("a spec")
    }

    #[test]
    fn the_same_seed_strikes_the_same_calls() {
        let struck = |spec: &str| {
            let mut faults = faults(spec);
            (1..=200)
                .filter(|_| !faults.draw("query").is_empty())
                .collect::<Vec<u32>>()
        };
        assert_eq!(struck("seed=7,503=10%"), struck("seed=7,503=10%"));
        assert_ne!(struck("seed=7,503=10%"), struck("seed=8,503=10%"));
        assert!((5..40).contains(&struck("seed=7,503=10%").len()));
    }

    #[test]
    fn numbered_calls_are_counted_among_those_of_their_kind() {
        let mut faults = faults("drop_after:upsert=@2");
        assert!(faults.draw("query").is_empty());
        assert!(faults.draw("upsert").is_empty());
        assert_eq!(faults.draw("upsert"), [Mishap::DropAfter]);
        assert!(faults.draw("upsert").is_empty());
    }

    #[test]
    fn what_is_no_fault_is_said_with_those_there_are() {
        let error = "drop_aftr=5%".parse::<Faults>().expect_err("no fault");
        assert!(
            error
                .to_string()
                .starts_with("`drop_aftr=5%` is no fault: faults are drop_before")
        );
        for wrong in ["503", "503=often", "503=120%", "latency=fast", "seed=x"] {
            assert!(wrong.parse::<Faults>().is_err(), "{wrong}");
        }
    }
}
