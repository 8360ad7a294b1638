//! History as CSV, piece by piece: instants stand on the reader's clock, whose zone the heads of
//! their columns name.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};

use super::clock::Zone;
use super::frame::Frame;
use super::house::House;
use super::parts;
use super::refusal::Refusal;
use super::runs::Filter;
use crate::domain::printable::harmless;
use crate::ledger::{RunEntry, RunsWanted};

/// Runs taken from the ledger at once.
const TAKEN_AT_ONCE: u32 = 500;

/// The runs that an address asks for, newest first.
pub(super) async fn download(
    State(house): State<Arc<House>>,
    frame: Frame,
    Query(filter): Query<Filter>,
) -> Result<Response, Refusal> {
    let shared = Arc::new((house, frame, filter));
    let begin = Some(shared.2.wanted().before);
    let pieces = futures_util::stream::try_unfold((begin, true), move |(place, first)| {
        let shared = Arc::clone(&shared);
        async move {
            let (house, frame, filter) = &*shared;
            let Some(before) = place else {
                return Ok::<_, std::io::Error>(None);
            };
            let wanted = RunsWanted {
                within: frame.caller.job.as_deref(),
                before,
                ..filter.wanted()
            };
            let runs = house.ledger.runs_wanted(wanted, TAKEN_AT_ONCE).await;
            let runs = runs.map_err(std::io::Error::other)?;
            let is_full = runs.len() == TAKEN_AT_ONCE as usize;
            let next = runs.last().filter(|_| is_full).map(|last| Some(last.run));
            Ok(Some((lines(&runs, first, frame.zone)?, (next, false))))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"runs.csv\"",
        ),
    ];
    Ok((headers, axum::body::Body::from_stream(pieces)).into_response())
}

fn lines(runs: &[RunEntry], first: bool, zone: Zone) -> Result<Vec<u8>, std::io::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if first {
        let at = |what: &str| format!("{what} ({})", zone.name());
        let plain = |what: &str| what.to_owned();
        let mut heads = ["run", "job", "cycle", "status"].map(plain).to_vec();
        heads.extend(["cycle_completed_at", "started_at", "finished_at"].map(at));
        heads.extend(COUNTS.map(plain));
        writer.write_record(&heads)?;
    }
    let at = |instant: DateTime<Utc>| zone.formatted(instant, "%Y-%m-%d %H:%M:%S");
    for run in runs {
        let tally = parts::tally_of(run);
        let number = run.run.to_string();
        let words = [
            number.as_str(),
            run.job.as_str(),
            run.cycle.as_str(),
            run.status.name(),
        ];
        let mut cells = words.map(harmless).to_vec();
        cells.extend([at(run.cycle_completed_at), at(run.started_at)]);
        cells.push(run.finished_at.map(at).unwrap_or_default());
        let counts = [
            tally.read,
            tally.inserted,
            tally.updated,
            tally.unchanged,
            tally.deleted,
            tally.skipped,
            tally.rejected,
        ];
        cells.extend(counts.map(|count| count.to_string()));
        writer.write_record(&cells)?;
    }
    writer.into_inner().map_err(|error| error.into_error())
}

/// What is counted of a run's records.
const COUNTS: [&str; 7] = [
    "read",
    "inserted",
    "updated",
    "unchanged",
    "deleted",
    "skipped",
    "rejected",
];
