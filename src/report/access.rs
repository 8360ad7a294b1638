//! Who may see the page, and what was done, as people read it at a terminal.

use comfy_table::{Cell, presets};

use super::table::{fitted, table};
use crate::access::{AccessToken, BrowserSession, Person};
use crate::domain::outcome::grouped;
use crate::domain::printable::printable;
use crate::ledger::Action;
use crate::report::clock::moment;

pub(crate) fn people(people: &[Person]) -> String {
    let row = |person: &Person| {
        vec![
            person.name.clone(),
            person.role.name().to_owned(),
            person.job.clone().unwrap_or_default(),
            moment(person.made_at),
        ]
    };
    let header = ["user", "role", "job", "since"];
    listed(&header, people.iter().map(row), &[0, 2])
}

pub(crate) fn tokens(tokens: &[AccessToken]) -> String {
    let row = |token: &AccessToken| {
        vec![
            token.name.clone(),
            token.role.name().to_owned(),
            token.job.clone().unwrap_or_default(),
            moment(token.made_at),
            moment(token.expires_at),
        ]
    };
    let header = ["token", "role", "job", "since", "good until"];
    listed(&header, tokens.iter().map(row), &[0, 2])
}

pub(crate) fn sessions(sessions: &[BrowserSession]) -> String {
    let row = |session: &BrowserSession| {
        vec![
            session.session.to_string(),
            session.name.clone(),
            session.role.name().to_owned(),
            session.job.clone().unwrap_or_default(),
            session.address.clone(),
            moment(session.began_at),
            moment(session.seen_at),
        ]
    };
    let header = [
        "session",
        "who",
        "role",
        "job",
        "from",
        "began",
        "last used",
    ];
    listed(&header, sessions.iter().map(row), &[1, 3])
}

pub(crate) fn actions(actions: &[Action]) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let row = |action: &Action| {
        vec![
            action.action.to_string(),
            moment(action.at),
            text(&action.who),
            action.through.clone(),
            action.act.clone(),
            text(&action.target),
            action.result.clone(),
        ]
    };
    let header = ["act", "when", "who", "through", "what", "to what", "result"];
    listed(&header, actions.iter().map(row), &[2, 5, 6])
}

/// That the account of acts is as it was written.
pub(crate) fn whole(actions: u64) -> String {
    format!("{} acts, as they were written\n", grouped(actions))
}

fn listed(header: &[&str], rows: impl Iterator<Item = Vec<String>>, flexible: &[usize]) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return "none\n".to_owned();
    }
    let mut table = table(presets::NOTHING);
    table.set_header(header.iter().map(Cell::new));
    for row in rows {
        table.add_row(row.iter().map(|cell| Cell::new(printable(cell))));
    }
    fitted(table, flexible) + "\n"
}
