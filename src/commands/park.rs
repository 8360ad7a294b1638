//! `writeback park`: records that are left alone for a while.

use std::path::Path;

use chrono::Utc;
use serde_json::json;

use super::{
    CommandError, Ending, load_project, print, print_json, read_job, record_act, user_name,
};
use crate::cli::ParkArguments;
use crate::domain::job::{Job, WriteBack};
use crate::domain::printable::printable;
use crate::ledger::Ledger;
use crate::report::{self, output};
use crate::run::parking::{self, Parking};
use crate::run::plan;

pub(super) async fn park(root: &Path, arguments: &ParkArguments) -> Result<Ending, CommandError> {
    let project = load_project(root)?;
    let checked = read_job(&project, &arguments.job)?;
    let write_backs = plan::choose(&checked.job, arguments.write_back.as_deref())?;
    let ledger = Ledger::open(&project.state_folder()).await?;
    match (
        arguments.records.as_slice(),
        arguments.until,
        &arguments.reason,
    ) {
        ([], _, _) => {}
        (keys, Some(until), Some(reason)) => {
            let by = user_name();
            let parking = Parking {
                until,
                reason,
                by: by.as_deref(),
                now: Utc::now(),
            };
            let mut parked = Vec::new();
            for typed in keys {
                parked.extend(parking.of_record(&checked.job.name, &write_backs, typed)?);
                if let Some(why) = parking::only_rejected(&write_backs, typed) {
                    let key = printable(typed);
                    output::tell(&format!(
                        "note: only a record that is rejected can have the key `{key}`: {why}\n"
                    ));
                }
            }
            ledger.park(&checked.job.name, &parked).await?;
            record_act(&ledger, "park", &checked.job.name).await?;
        }
        (keys, _, _) if arguments.lift => {
            for typed in keys {
                lift(&ledger, &checked.job, &write_backs, typed).await?;
            }
            record_act(&ledger, "lift", &checked.job.name).await?;
        }
        ([first, ..], _, _) => {
            return Err(CommandError::ParkedHow {
                key: first.clone(),
                job: checked.job.name.clone(),
            });
        }
    }
    let mut parked = ledger.parked(&checked.job.name, Utc::now()).await?;
    parked.retain(|record| {
        write_backs
            .iter()
            .any(|write_back| write_back.name == record.write_back)
    });
    match arguments.json {
        true => print_json(&json!({ "job": checked.job.name, "parked": parked }))?,
        false => print(&report::parked::text(&checked.job.name, &parked)),
    }
    Ok(Ending::Done)
}

async fn lift(
    ledger: &Ledger,
    job: &Job,
    write_backs: &[&WriteBack],
    typed: &str,
) -> Result<(), CommandError> {
    let parked = ledger.parked(&job.name, Utc::now()).await?;
    let own = parking::those_of(parked, write_backs, typed);
    match ledger.lift(&job.name, &own).await? {
        0 => Err(CommandError::NotParked {
            key: typed.to_owned(),
            job: job.name.clone(),
        }),
        _ => Ok(()),
    }
}
