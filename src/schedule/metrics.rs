//! The scheduler's facts as Prometheus reads them: the OpenMetrics text format. Labels are names
//! out of the project's files and words of this program, never a key, a cycle or a run's number:
//! there are as many series as the project has parts. A job's name is the label `job_name`, since
//! Prometheus itself names what it scrapes `job`. Source:
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>.

use std::fmt;
use std::time::Instant;

use chrono::{DateTime, Utc};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::serve_state::{Facts, JobFacts, Phase, WriteBackFacts};

/// How a text that [`render`] made is to be announced.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Writes the facts as they are at `now`.
/// Errors: none that memory allows.
pub(super) fn render(facts: Facts, now: Instant) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("writeback");
    registry.register_collector(Box::new(Scrape { facts, now }));
    let mut exposition = String::new();
    text::encode(&mut exposition, &registry)?;
    Ok(exposition)
}

#[derive(Debug)]
struct Scrape {
    facts: Facts,
    now: Instant,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.process(&mut encoder)?;
        self.dashboards(&mut encoder)?;
        self.cadences(&mut encoder)?;
        self.runs(&mut encoder)?;
        self.records(&mut encoder)
    }
}

impl Scrape {
    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        encoder
            .encode_descriptor(
                "build",
                "The version of writeback that answers.",
                None,
                MetricType::Info,
            )?
            .encode_info(&version)?;

        let help =
            "1 while this process runs the project's jobs, 0 while it starts, stands by or stops.";
        let serving = i64::from(self.facts.phase == Phase::Serving);
        encoder
            .encode_descriptor("serving", help, None, MetricType::Gauge)?
            .encode_gauge(&serving)?;

        let help = "Time since the scheduler's loop last turned; it turns every few seconds.";
        let age = self.facts.turn_age(self.now).as_secs_f64();
        encoder
            .encode_descriptor(
                "loop_turn_age",
                help,
                Some(&Unit::Seconds),
                MetricType::Gauge,
            )?
            .encode_gauge(&age)?;

        let help = "Changes of the project's files that were loaded, or refused since they hold a mistake.";
        let mut reloads = encoder.encode_descriptor("reloads", help, None, MetricType::Counter)?;
        for (result, count) in self.facts.reloads.iter() {
            counter(&mut reloads, &[("result", result.name())], count)?;
        }

        let help = "Attempts to deliver an alert.";
        let mut alerts = encoder.encode_descriptor("alerts", help, None, MetricType::Counter)?;
        for ((channel, result), count) in self.facts.alerts.iter() {
            counter(
                &mut alerts,
                &[("channel", channel.name()), ("result", result.name())],
                count,
            )?;
        }
        Ok(())
    }

    fn dashboards(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Looks for a dashboard's newest cycle, answered or not.";
        let mut looks = encoder.encode_descriptor("looks", help, None, MetricType::Counter)?;
        for (dashboard, facts) in &self.facts.dashboards {
            for (result, count) in facts.looks.iter() {
                counter(
                    &mut looks,
                    &[("dashboard", dashboard.as_str()), ("result", result.name())],
                    count,
                )?;
            }
        }

        let help = "When the newest known cycle of a dashboard was completed.";
        let mut cycles = encoder.encode_descriptor(
            "last_cycle_timestamp",
            help,
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for (dashboard, facts) in &self.facts.dashboards {
            instant(
                &mut cycles,
                &[("dashboard", dashboard.as_str())],
                facts.last_cycle,
            )?;
        }
        Ok(())
    }

    fn cadences(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "When the job may run next; absent while it waits for a cycle or a person.";
        let mut due = encoder.encode_descriptor(
            "next_due_timestamp",
            help,
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for (job, facts) in &self.facts.jobs {
            instant(&mut due, &[of_job(job)], facts.next_due)?;
        }

        let help = "1 while a run of the job is at work.";
        self.per_job(encoder, "job_at_work", help, |facts| facts.at_work)?;
        let help = "1 while the job's newest cycle could not be written back.";
        self.per_job(encoder, "job_failing", help, |facts| facts.failing)?;

        let help = "Cycles that are not written back, by the reason.";
        let mut passed_over =
            encoder.encode_descriptor("cycles_passed_over", help, None, MetricType::Counter)?;
        for (job, facts) in &self.facts.jobs {
            for (reason, count) in facts.passed_over.iter() {
                counter(
                    &mut passed_over,
                    &[of_job(job), ("reason", reason.name())],
                    count,
                )?;
            }
        }
        Ok(())
    }

    fn per_job(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        holds: impl Fn(&JobFacts) -> bool,
    ) -> fmt::Result {
        let mut gauges = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (job, facts) in &self.facts.jobs {
            gauges
                .encode_family(&[of_job(job)])?
                .encode_gauge(&i64::from(holds(facts)))?;
        }
        Ok(())
    }

    fn runs(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Runs that ended, by the way they did.";
        let mut runs = encoder.encode_descriptor("runs", help, None, MetricType::Counter)?;
        for (job, facts) in &self.facts.jobs {
            for (status, count) in facts.runs.iter() {
                counter(&mut runs, &[of_job(job), ("status", status.name())], count)?;
            }
        }

        let help =
            "When the job's last run of a status ended; runs of earlier processes are remembered.";
        let mut last_runs = encoder.encode_descriptor(
            "last_run_timestamp",
            help,
            Some(&Unit::Seconds),
            MetricType::Gauge,
        )?;
        for (job, facts) in &self.facts.jobs {
            for (status, ended_at) in &facts.last_runs {
                instant(
                    &mut last_runs,
                    &[of_job(job), ("status", status.name())],
                    Some(*ended_at),
                )?;
            }
        }

        let help = "How long runs took.";
        let mut durations = encoder.encode_descriptor(
            "run_duration",
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for (job, facts) in &self.facts.jobs {
            facts
                .durations
                .encode(durations.encode_family(&[of_job(job)])?)?;
        }
        Ok(())
    }

    fn records(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help =
            "Records of finished runs, by what became of them; they add up to the records read.";
        let mut records = encoder.encode_descriptor("records", help, None, MetricType::Counter)?;
        for (job, write_back, facts) in self.write_backs() {
            let tally = facts.tally;
            let outcomes = [
                ("inserted", tally.inserted),
                ("updated", tally.updated),
                ("unchanged", tally.unchanged),
                ("skipped", tally.skipped),
                ("rejected", tally.rejected),
            ];
            for (outcome, count) in outcomes {
                counter(
                    &mut records,
                    &[
                        of_job(job),
                        ("write_back", write_back),
                        ("outcome", outcome),
                    ],
                    count,
                )?;
            }
        }

        let help = "Batches of finished runs.";
        let mut batches = encoder.encode_descriptor("batches", help, None, MetricType::Counter)?;
        for (job, write_back, facts) in self.write_backs() {
            counter(
                &mut batches,
                &[of_job(job), ("write_back", write_back)],
                facts.batches,
            )?;
        }
        Ok(())
    }

    fn write_backs(&self) -> impl Iterator<Item = (&str, &str, &WriteBackFacts)> {
        self.facts.jobs.iter().flat_map(|(job, facts)| {
            facts
                .write_backs
                .iter()
                .map(move |(name, facts)| (job.as_str(), name.as_str(), facts))
        })
    }
}

fn of_job(job: &str) -> (&'static str, &str) {
    ("job_name", job)
}

fn counter(
    encoder: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    count: u64,
) -> fmt::Result {
    encoder
        .encode_family(labels)?
        .encode_counter::<NoLabelSet, u64, u64>(&count, None)
}

/// A sample in seconds since 1970; none for an instant that is not known.
fn instant(
    encoder: &mut MetricEncoder<'_>,
    labels: &impl EncodeLabelSet,
    at: Option<DateTime<Utc>>,
) -> fmt::Result {
    at.map_or(Ok(()), |at| {
        encoder.encode_family(labels)?.encode_gauge(&at.timestamp())
    })
}

#[cfg(test)]
pub(super) mod tests;
