#![expect(clippy::unwrap_used, reason = "tests may")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::super::serve_state::{RunEnd, ServeState};
use super::*;
use crate::config::Project;
use crate::domain::cadence::PassedOverWhy;
use crate::domain::channel::Channel;
use crate::domain::job::Job;
use crate::domain::outcome::Tally;
use crate::ledger::RunStatus;
use crate::run::WriteBackReport;

/// Series (name and sorted labels) and their values. Read without the library that wrote them.
#[derive(Debug)]
pub(in crate::schedule) struct Exposition {
    samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
}

impl Exposition {
    /// Reads a text and checks what the format demands: a family is declared once, before its
    /// samples, which stand together and have the suffixes of its type; no series occurs twice; the
    /// end is marked.
    pub(in crate::schedule) fn read(text: &str) -> Self {
        let lines = text
            .strip_suffix("# EOF\n")
            .expect("the end is marked")
            .lines();
        let (mut helped, mut typed) = (BTreeSet::new(), BTreeSet::new());
        let (mut family, mut kind) = (String::new(), String::new());
        let mut samples = BTreeMap::new();
        for line in lines {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "HELP", name, help] => {
                    assert!(helped.insert(name.to_owned()) && !help.is_empty(), "{line}");
                    assert!(name.starts_with("writeback_"), "{line}");
                }
                ["#", "TYPE", name, of] => {
                    assert!(
                        helped.contains(name) && typed.insert(name.to_owned()),
                        "{line}"
                    );
                    (family, kind) = (name.to_owned(), of.to_owned());
                }
                ["#", "UNIT", name, unit] => {
                    assert!(name == family && name.ends_with(unit), "{line}")
                }
                _ => {
                    let (series, value) = Self::sample(line);
                    let suffix = series
                        .0
                        .strip_prefix(&family)
                        .unwrap_or_else(|| panic!("{line} is not of {family}"));
                    assert!(
                        Self::suffixes(&kind).contains(&suffix),
                        "{line} is not of a {kind}"
                    );
                    assert!(
                        samples.insert(series, value).is_none(),
                        "{line} occurs twice"
                    );
                }
            }
        }
        Self { samples }
    }

    fn suffixes(kind: &str) -> &'static [&'static str] {
        match kind {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_count", "_sum"],
            _ => panic!("no type {kind}"),
        }
    }

    /// `name{label="value",…} number`, where a value's backslashes, quotes and line ends are
    /// escaped.
    fn sample(line: &str) -> ((String, BTreeMap<String, String>), f64) {
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let mut rest = labels;
        let mut read = BTreeMap::new();
        while rest != "}" {
            let (label, quoted) = rest
                .trim_start_matches(',')
                .split_once("=\"")
                .expect("a label");
            let (text, after) = Self::quoted(quoted);
            assert!(
                read.insert(label.to_owned(), text).is_none(),
                "{line}: {label} occurs twice"
            );
            rest = after;
        }
        (
            (name.to_owned(), read),
            value
                .parse()
                .unwrap_or_else(|_| panic!("{line}: no number")),
        )
    }

    /// The text up to its closing quote, and what follows.
    fn quoted(text: &str) -> (String, &str) {
        let mut value = String::new();
        let mut characters = text.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => return (value, &text[at + 1..]),
                '\\' => value.push(match characters.next().expect("an escape").1 {
                    'n' => '\n',
                    other => other,
                }),
                other => value.push(other),
            }
        }
        panic!("no closing quote: {text}")
    }

    /// The value of one series; absent if it is not there.
    pub(in crate::schedule) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels
            .iter()
            .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
            .collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// Names and labels of the series of a job.
    fn of_job(&self, job: &str) -> usize {
        self.samples
            .keys()
            .filter(|(_, labels)| labels.get("job_name").is_some_and(|name| name == job))
            .count()
    }
}

fn exposition(state: &ServeState) -> Exposition {
    Exposition::read(&render(state.facts(), Instant::now()).unwrap())
}

/// The job of the example project: two write-backs, after the dashboard `customer_health`.
fn weekly() -> Job {
    let project = Project::load(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
    project.read_job("weekly").unwrap().job
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

fn report(tally: Tally) -> WriteBackReport {
    WriteBackReport {
        name: "health_score".to_owned(),
        tally,
        batches: 3,
        elapsed: Duration::from_secs(1),
        left: BTreeMap::new(),
        parked: Vec::new(),
        matched_nothing: false,
        kept: Default::default(),
        calls: None,
        keeps_before_images: true,
        canary: None,
    }
}

const JOB: (&str, &str) = ("job_name", "weekly");

#[test]
fn rates_have_a_zero_to_start_from() {
    let state = ServeState::new();
    state.jobs([&weekly()]);
    let seen = exposition(&state);
    for status in ["succeeded", "rejected", "failed", "guarded", "nothing_new"] {
        assert_eq!(
            seen.value("writeback_runs_total", &[JOB, ("status", status)]),
            Some(0.0),
            "{status}"
        );
    }
    for write_back in ["health_score", "workspace_recommendation"] {
        let of = [JOB, ("write_back", write_back)];
        assert_eq!(seen.value("writeback_batches_total", &of), Some(0.0));
        for outcome in ["inserted", "updated", "unchanged", "skipped", "rejected"] {
            let of = [JOB, ("write_back", write_back), ("outcome", outcome)];
            assert_eq!(
                seen.value("writeback_records_total", &of),
                Some(0.0),
                "{outcome}"
            );
        }
    }
    for reason in ["superseded", "expired", "missed", "given_up"] {
        assert_eq!(
            seen.value(
                "writeback_cycles_passed_over_total",
                &[JOB, ("reason", reason)]
            ),
            Some(0.0)
        );
    }
    for result in ["succeeded", "failed"] {
        let result = ("result", result);
        assert_eq!(
            seen.value(
                "writeback_looks_total",
                &[("dashboard", "customer_health"), result]
            ),
            Some(0.0)
        );
        assert_eq!(seen.value("writeback_reloads_total", &[result]), Some(0.0));
        for channel in ["command", "webhook"] {
            assert_eq!(
                seen.value("writeback_alerts_total", &[("channel", channel), result]),
                Some(0.0)
            );
        }
    }
    assert_eq!(
        seen.value("writeback_run_duration_seconds_count", &[JOB]),
        Some(0.0)
    );
    assert_eq!(
        seen.value(
            "writeback_build_info",
            &[("version", env!("CARGO_PKG_VERSION"))]
        ),
        Some(1.0)
    );
}

#[test]
fn a_run_shows_in_every_figure_it_concerns_and_in_no_other() {
    let state = ServeState::new();
    state.jobs([&weekly()]);
    state.run_began("weekly");
    assert_eq!(
        exposition(&state).value("writeback_job_at_work", &[JOB]),
        Some(1.0)
    );
    let tally = Tally {
        read: 10,
        updated: 7,
        skipped: 2,
        rejected: 1,
        ..Tally::default()
    };
    let write_backs = [report(tally)];
    let end = RunEnd {
        status: RunStatus::Rejected,
        write_backs: &write_backs,
        ended_at: at(1_700_000_000),
        elapsed: Duration::from_secs(20),
    };
    state.run_ended("weekly", &end);
    let seen = exposition(&state);
    assert_eq!(seen.value("writeback_job_at_work", &[JOB]), Some(0.0));
    assert_eq!(
        seen.value("writeback_runs_total", &[JOB, ("status", "rejected")]),
        Some(1.0)
    );
    assert_eq!(
        seen.value("writeback_runs_total", &[JOB, ("status", "succeeded")]),
        Some(0.0)
    );
    let ended = |status| {
        seen.value(
            "writeback_last_run_timestamp_seconds",
            &[JOB, ("status", status)],
        )
    };
    assert_eq!(
        (ended("rejected"), ended("succeeded")),
        (Some(1_700_000_000.0), None)
    );
    let records = |outcome| {
        seen.value(
            "writeback_records_total",
            &[JOB, ("write_back", "health_score"), ("outcome", outcome)],
        )
    };
    let outcomes = ["inserted", "updated", "unchanged", "skipped", "rejected"].map(records);
    assert_eq!(outcomes, [0.0, 7.0, 0.0, 2.0, 1.0].map(Some));
    assert_eq!(
        seen.value(
            "writeback_batches_total",
            &[JOB, ("write_back", "health_score")]
        ),
        Some(3.0)
    );
    assert_eq!(
        seen.value(
            "writeback_batches_total",
            &[JOB, ("write_back", "workspace_recommendation")]
        ),
        Some(0.0)
    );
    let below = |bound| {
        seen.value(
            "writeback_run_duration_seconds_bucket",
            &[JOB, ("le", bound)],
        )
    };
    assert_eq!(
        (below("15.0"), below("30.0"), below("+Inf")),
        (Some(0.0), Some(1.0), Some(1.0))
    );
    assert_eq!(
        seen.value("writeback_run_duration_seconds_sum", &[JOB]),
        Some(20.0)
    );
}

#[test]
fn a_restart_does_not_forget_when_a_job_last_ran() {
    let state = ServeState::new();
    state.jobs([&weekly()]);
    state.ran_before("weekly", RunStatus::Succeeded, at(100));
    state.ran_before("weekly", RunStatus::Succeeded, at(50));
    let seen = exposition(&state);
    let last = seen.value(
        "writeback_last_run_timestamp_seconds",
        &[JOB, ("status", "succeeded")],
    );
    assert_eq!(last, Some(100.0));
    assert_eq!(
        seen.value("writeback_runs_total", &[JOB, ("status", "succeeded")]),
        Some(0.0)
    );
}

#[test]
fn the_cadence_of_a_job_can_be_watched() {
    let state = ServeState::new();
    state.jobs([&weekly()]);
    let dashboard = ("dashboard", "customer_health");
    assert_eq!(
        exposition(&state).value("writeback_last_cycle_timestamp_seconds", &[dashboard]),
        None
    );
    assert_eq!(
        exposition(&state).value("writeback_next_due_timestamp_seconds", &[JOB]),
        None
    );

    state.phase(Phase::Serving);
    state.looked("customer_health", true);
    state.looked("customer_health", false);
    state.looked("customer_health", false);
    state.cycle_noticed("customer_health", at(2_000));
    state.cycle_noticed("customer_health", at(1_000));
    state.next_due("weekly", Some(at(3_000)));
    state.failing("weekly", true);
    state.passed_over(
        "weekly",
        &PassedOverWhy::Superseded {
            by: "c2".to_owned(),
        },
    );
    state.passed_over("weekly", &PassedOverWhy::GivenUp { attempts: 3 });
    state.reloaded(false);
    state.alerted(Channel::Webhook, true);

    let seen = exposition(&state);
    assert_eq!(seen.value("writeback_serving", &[]), Some(1.0));
    assert_eq!(
        seen.value(
            "writeback_looks_total",
            &[dashboard, ("result", "succeeded")]
        ),
        Some(1.0)
    );
    assert_eq!(
        seen.value("writeback_looks_total", &[dashboard, ("result", "failed")]),
        Some(2.0)
    );
    assert_eq!(
        seen.value("writeback_last_cycle_timestamp_seconds", &[dashboard]),
        Some(2_000.0)
    );
    assert_eq!(
        seen.value("writeback_next_due_timestamp_seconds", &[JOB]),
        Some(3_000.0)
    );
    assert_eq!(seen.value("writeback_job_failing", &[JOB]), Some(1.0));
    let passed_over = |reason| {
        seen.value(
            "writeback_cycles_passed_over_total",
            &[JOB, ("reason", reason)],
        )
    };
    let reasons = ["superseded", "expired", "missed", "given_up"].map(passed_over);
    assert_eq!(reasons, [1.0, 0.0, 0.0, 1.0].map(Some));
    assert_eq!(
        seen.value("writeback_reloads_total", &[("result", "failed")]),
        Some(1.0)
    );
    let delivered = [("channel", "webhook"), ("result", "succeeded")];
    assert_eq!(seen.value("writeback_alerts_total", &delivered), Some(1.0));
}

#[test]
fn a_removed_job_leaves_no_series_and_one_that_stays_keeps_its_figures() {
    let state = ServeState::new();
    let (stays, mut goes) = (weekly(), weekly());
    goes.name = "daily".to_owned();
    state.jobs([&stays, &goes]);
    for job in ["weekly", "daily"] {
        state.passed_over(job, &PassedOverWhy::Expired);
    }
    assert_eq!(
        exposition(&state).of_job("daily"),
        exposition(&state).of_job("weekly")
    );
    state.jobs([&stays]);
    state.run_began("daily");
    let seen = exposition(&state);
    assert_eq!(seen.of_job("daily"), 0);
    assert_eq!(
        seen.value(
            "writeback_cycles_passed_over_total",
            &[JOB, ("reason", "expired")]
        ),
        Some(1.0)
    );
}

#[test]
fn names_of_any_characters_stay_what_they_are() {
    let state = ServeState::new();
    let mut job = weekly();
    for name in [
        "\"quoted\"",
        "back\\slash",
        "line\nend",
        "a=\"b\",c",
        "}",
        "wöchentlich 📅",
    ] {
        job.name = name.to_owned();
        state.jobs([&job]);
        assert_eq!(
            exposition(&state).value("writeback_job_failing", &[("job_name", name)]),
            Some(0.0),
            "{name}"
        );
    }
}
