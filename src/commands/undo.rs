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
    let (run, sequence) = meant(&ledger, arguments).await?;
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
        stop,
    };
    let undone = carry_out(&request, &ledger, arguments.preview).await;
    if let Err(error) = &undone
        && arguments.json
    {
        // That it failed is what is to be told, also where stdout takes no more.
        let (run, run_meant, error) = (error.run(), request.run, error.line());
        let failed = json!({ "run": run, "undo_of": run_meant, "status": RunStatus::Failed, "error": error });
        drop(print_json(&failed));
    }
    let undone = undone?;
    if !arguments.preview {
        record_act(&ledger, "undo", &format!("run {}", request.run)).await?;
    }
    match arguments.json {
        true => print_json(&report::undo::json(&undone))?,
        false => print(&report::undo::text(&undone)),
    }
    Ok(match undone.status {
        RunStatus::Rejected => Ending::Rejected,
        RunStatus::Succeeded
        | RunStatus::NothingNew
        | RunStatus::Guarded
        | RunStatus::Failed
        | RunStatus::Running => Ending::Done,
    })
}

/// The run that is meant, and of one of requests the partition of the only one.
async fn meant(
    ledger: &Ledger,
    arguments: &UndoArguments,
) -> Result<(i64, Option<u32>), CommandError> {
    match (&arguments.request, arguments.run) {
        (Some(id), _) => match ledger.record_request(id).await? {
            Some(request) => Ok((request.place.run, Some(request.place.sequence))),
            None => Err(CommandError::NoSuchRequest { id: id.clone() }),
        },
        (None, run) => Ok((run.unwrap_or_default(), None)),
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
