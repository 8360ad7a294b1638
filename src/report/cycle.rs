//! What `writeback cycle` says of a cycle that was announced.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::domain::printable::printable;
use crate::domain::problem::quoted_list;
use crate::ledger::cycles::Noticed;
use crate::report::clock::moment;

pub(crate) fn text(dashboard: &str, noticed: &Noticed, jobs: &[String]) -> String {
    let Noticed {
        cycle,
        noticed_at,
        new,
    } = noticed;
    let (id, dashboard) = (printable(&cycle.id), printable(dashboard));
    let completed_at = moment(cycle.completed_at);
    let told = match new {
        true => {
            format!("recorded cycle `{id}` of dashboard `{dashboard}`, completed {completed_at}")
        }
        false => format!(
            "cycle `{id}` of dashboard `{dashboard}`, completed {completed_at}, is known since {}; nothing changed",
            moment(*noticed_at)
        ),
    };
    let followed = match jobs {
        [] => "no job follows this dashboard".to_owned(),
        [job] => format!("followed by job `{job}`"),
        jobs => format!(
            "followed by jobs {}",
            quoted_list(jobs.iter().map(String::as_str))
        ),
    };
    format!("{told}\n{followed}\n")
}

pub(crate) fn json(dashboard: &str, noticed: &Noticed, jobs: &[String]) -> Value {
    let instant = |moment: DateTime<Utc>| moment.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    json!({
        "dashboard": dashboard,
        "cycle": noticed.cycle.id,
        "completed_at": instant(noticed.cycle.completed_at),
        "noticed_at": instant(noticed.noticed_at),
        "new": noticed.new,
        "jobs": jobs,
    })
}
