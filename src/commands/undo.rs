//! `writeback undo`: takes a run back.

use std::path::Path;

use serde_json::json;

use super::{CommandError, Ending, key_of, load_project, print, print_json, record_act, signals};
use crate::cli::UndoArguments;
use crate::ledger::{Ledger, RunStatus};
use crate::report;
use crate::run::stop::Stop;
use crate::run::undo::{self, UndoReport, UndoRequest};
use crate::run::{ChangedRows, CreatedRows};

pub(super) async fn undo(root: &Path, arguments: &UndoArguments) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let ledger = Ledger::open(&project.state_folder()).await?;
    let stop = Stop::new();
    signals::listen(&stop)?;
    let meant = meant(&ledger, arguments).await?;
    let is_several = meant.len() > 1;
    let mut undone = Vec::new();
    let mut nothing = None;
    let mut failed = None;
    for (run, sequence) in meant {
        let request = UndoRequest {
            project: &project,
            run,
            sequence,
            write_back: arguments.write_back.as_deref(),
            records: arguments
                .records
                .iter()
                .map(|typed| key_of(typed))
                .collect(),
            created: if arguments.delete_created {
                CreatedRows::Delete
            } else {
                CreatedRows::Keep
            },
            changed: if arguments.even_changed {
                ChangedRows::Restore
            } else {
                ChangedRows::Keep
            },
            samples_max: 0,
            stop: stop.clone(),
        };
        match carry_out(&request, &ledger, arguments.preview).await {
            Ok(report) => {
                if !arguments.preview {
                    record_act(&ledger, "undo", &format!("run {run}")).await?;
                }
                undone.push(report);
            }
            // Of several destinations, one may have held it already, and another be away.
            Err(error) if is_several && error.is_nothing_to_undo() => nothing = Some(error),
            Err(error) => {
                if arguments.json {
                    // That it failed is what is to be told, also where stdout takes no more.
                    let (failed, line) = (error.run(), error.line());
                    let failed = json!({ "run": failed, "undo_of": run, "status": RunStatus::Failed, "error": line });
                    drop(print_json(&failed));
                }
                failed = failed.or(Some(error));
            }
        }
    }
    for report in &undone {
        match arguments.json {
            true => print_json(&report::undo::json(report))?,
            false => print(&report::undo::text(report)),
        }
    }
    if let Some(error) = failed.or(nothing.filter(|_| undone.is_empty())) {
        return Err(error);
    }
    let is_rejected = |report: &UndoReport| match report.status {
        RunStatus::Rejected => true,
        RunStatus::Succeeded
        | RunStatus::NothingNew
        | RunStatus::Guarded
        | RunStatus::Failed
        | RunStatus::Running => false,
    };
    Ok(match undone.iter().any(is_rejected) {
        true => Ending::Rejected,
        false => Ending::Done,
    })
}

/// The runs that are meant, and of requests the partition of the only one: a request about several
/// destinations has a run for each.
async fn meant(
    ledger: &Ledger,
    arguments: &UndoArguments,
) -> Result<Vec<(i64, Option<u32>)>, CommandError> {
    let Some(id) = &arguments.request else {
        return Ok(vec![(arguments.run.unwrap_or_default(), None)]);
    };
    let ids = match ledger.several(id).await? {
        None => vec![id.clone()],
        Some(several) => several.requests().map(str::to_owned).collect(),
    };
    let is_one = ids.len() == 1;
    let (mut known, mut meant) = (None, Vec::new());
    for id in ids {
        let Some(request) = ledger.record_request(&id).await? else {
            continue;
        };
        let place = (request.place.run, Some(request.place.sequence));
        known = Some(place);
        // Where nothing was sent, there is nothing to take back, and perhaps nobody to be asked.
        if is_one || ledger.sent_of_request(request.place).await?.is_some() {
            meant.push(place);
        }
    }
    match known {
        None => Err(CommandError::NoSuchRequest { id: id.clone() }),
        Some(place) if meant.is_empty() => Ok(vec![place]),
        Some(_) => Ok(meant),
    }
}

async fn carry_out(
    request: &UndoRequest<'_>,
    ledger: &Ledger,
    preview: bool,
) -> Result<UndoReport, CommandError> {
    match preview {
        true => Ok(undo::preview(request, ledger).await?),
        false => Ok(undo::carry_out(request, ledger, report::progress::for_stderr()).await?),
    }
}
