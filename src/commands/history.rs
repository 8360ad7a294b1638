//! `writeback history`: who wrote one record's fields.

use std::path::Path;

use super::{CommandError, Ending, key_of, load_project, print, print_json};
use crate::cli::HistoryArguments;
use crate::ledger::Ledger;
use crate::report;
use crate::run::history;
use crate::run::record_writes::RecordOf;

pub(super) async fn history(
    root: &Path,
    arguments: &HistoryArguments,
) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let ledger = Ledger::open(&project.state_folder()).await?;
    let HistoryArguments {
        write_back,
        job,
        record,
        field,
        ..
    } = arguments;
    let job = history::job_of(&ledger, job.as_deref(), write_back).await?;
    let key = key_of(record);
    let of = RecordOf {
        job: &job,
        write_back,
        record: &key,
    };
    let history = history::of_record(&project, &ledger, of, field.as_deref()).await?;
    match arguments.json {
        true => print_json(&history)?,
        false => print(&report::record_history::text(&history)),
    }
    Ok(Ending::Done)
}
