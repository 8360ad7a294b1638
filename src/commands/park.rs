//! `writeback park`: records that are left alone for a while.

use std::path::Path;

use chrono::Utc;
use serde_json::json;

use super::{CommandError, Ending, key_of, load_project, print, print_json, read_job, user_name};
use crate::cli::ParkArguments;
use crate::domain::job::{Job, WriteBack};
use crate::domain::parking::{Parked, Until};
use crate::domain::record::key_parts;
use crate::ledger::Ledger;
use crate::report;
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
            let mut parked = Vec::new();
            for typed in keys {
                parked.extend(records(&checked.job, &write_backs, typed, until, reason)?);
            }
            ledger.park(&checked.job.name, &parked).await?;
        }
        (keys, _, _) if arguments.lift => {
            for typed in keys {
                lift(&ledger, &checked.job, arguments, typed).await?;
            }
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

/// The record in each write-back whose match key has as many parts.
/// Errors: there is none, or the time has come already.
fn records(
    job: &Job,
    write_backs: &[&WriteBack],
    typed: &str,
    until: Until,
    reason: &str,
) -> Result<Vec<Parked>, CommandError> {
    let parked_at = Utc::now();
    if until.is_over(parked_at) {
        return Err(CommandError::AlreadyOver { until });
    }
    let parts = key_parts(typed).map_or(1, |parts| parts.len());
    let parked_by = user_name();
    let record = |write_back: &&&WriteBack| Parked {
        write_back: write_back.name.clone(),
        key: key_of(typed),
        until,
        reason: reason.to_owned(),
        parked_by: parked_by.clone(),
        parked_at,
        fingerprint: None,
    };
    let fits = |write_back: &&&WriteBack| write_back.schema.key.len() == parts;
    let records: Vec<Parked> = write_backs
        .iter()
        .filter(fits)
        .map(|write_back| record(&write_back))
        .collect();
    match records.is_empty() {
        true => Err(CommandError::NoSuchKey {
            key: typed.to_owned(),
            job: job.name.clone(),
            parts,
        }),
        false => Ok(records),
    }
}

async fn lift(
    ledger: &Ledger,
    job: &Job,
    arguments: &ParkArguments,
    typed: &str,
) -> Result<(), CommandError> {
    match ledger
        .lift(&job.name, arguments.write_back.as_deref(), &key_of(typed))
        .await?
    {
        0 => Err(CommandError::NotParked {
            key: typed.to_owned(),
            job: job.name.clone(),
        }),
        _ => Ok(()),
    }
}
