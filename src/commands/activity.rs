//! `writeback activity`: what people and programs did.

use std::path::Path;

use serde_json::json;

use super::{CommandError, Ending, load_project, print, print_json};
use crate::cli::ActivityArguments;
use crate::ledger::{ActionsWanted, Chain, Ledger};
use crate::report::access as report;

pub(super) async fn activity(
    root: &Path,
    arguments: &ActivityArguments,
) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let ledger = Ledger::open(&project.state_folder()).await?;
    if arguments.verify {
        return verify(&ledger, arguments.json).await;
    }
    let wanted = ActionsWanted {
        act: arguments.act.clone(),
        who: arguments.who.clone(),
        target: arguments.target.clone(),
        is_done: arguments.refused.then_some(false),
        before: None,
    };
    let actions = ledger.actions(&wanted, arguments.limit).await?;
    match arguments.json {
        true => print_json(&json!({ "actions": actions }))?,
        false => print(&report::actions(&actions)),
    }
    Ok(Ending::Done)
}

async fn verify(ledger: &Ledger, as_json: bool) -> Result<Ending, CommandError> {
    match ledger.verify_actions().await? {
        Chain::Whole { actions } => {
            match as_json {
                true => print_json(&json!({ "actions": actions, "whole": true }))?,
                false => print(&report::whole(actions)),
            }
            Ok(Ending::Done)
        }
        Chain::Broken { action } => Err(CommandError::Altered { action }),
    }
}
