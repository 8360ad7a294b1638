//! Pools that stand between here and the server, such as PgBouncer. One in transaction mode gives
//! each transaction whichever session of the server is free: settings, prepared statements and
//! locks of a session do not stay, and other clients get what we leave behind. So it is looked for
//! before anything is set. A pool in session mode is as good as the server.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row};

use crate::domain::connection::ServerSettings;

/// How long a place without such a pool is believed to be without one: longer than a run takes to
/// connect its writers.
const BELIEVED: Duration = Duration::from_secs(600);

/// As the second connection is called in the server's list of them.
pub(super) const LOOKER: &str = "writeback pool check";

/// Transactions by which two connections are told from two clients of a pool. Pools hand out the
/// session that was given back last, or the one that waits longest: as the order of giving back
/// changes, one of the two shows.
const ROUNDS: usize = 3;

/// Places that were looked at, by [`place`], and when.
static LOOKED_AT: Mutex<Option<HashMap<String, Instant>>> = Mutex::new(None);

/// Whether it is some time since somebody looked for a pool there.
pub(super) fn is_to_be_looked_for(settings: &ServerSettings) -> bool {
    let looked_at = LOOKED_AT.lock().unwrap_or_else(PoisonError::into_inner);
    let last = looked_at
        .as_ref()
        .and_then(|places| places.get(&place(settings)));
    last.is_none_or(|last| last.elapsed() > BELIEVED)
}

/// Remembers that no pool in transaction mode is there.
pub(super) fn remember(settings: &ServerSettings) {
    let mut looked_at = LOOKED_AT.lock().unwrap_or_else(PoisonError::into_inner);
    looked_at
        .get_or_insert_default()
        .insert(place(settings), Instant::now());
}

fn place(settings: &ServerSettings) -> String {
    let ServerSettings {
        host,
        port,
        socket,
        user,
        database,
        ..
    } = settings;
    format!("{:?}", (host, port, socket, user, database))
}

/// Whether two connections are given each other's sessions. Nothing is prepared or set. A pool with
/// a single session keeps `second` waiting for as long as the caller lets it.
pub(super) async fn mixes_sessions(
    first: &mut PgConnection,
    mut second: PgConnection,
) -> Result<bool, sqlx::Error> {
    let mut before = None;
    let mut mixes = false;
    for round in 0..ROUNDS {
        let sessions = (session(first).await?, session(&mut second).await?);
        let (one, other) = if round % 2 == 0 {
            (&mut *first, &mut second)
        } else {
            (&mut second, &mut *first)
        };
        sqlx::raw_sql("END").execute(one).await?;
        sqlx::raw_sql("END").execute(other).await?;
        mixes |= *before.get_or_insert(sessions) != sessions;
    }
    if let Err(error) = second.close().await {
        tracing::debug!(error = %error, "could not close politely");
    }
    Ok(mixes)
}

/// Begins a transaction; tells which process of the server carries it out.
async fn session(connection: &mut PgConnection) -> Result<i32, sqlx::Error> {
    let rows = sqlx::raw_sql("BEGIN; SELECT pg_catalog.pg_backend_pid()")
        .fetch_all(connection)
        .await?;
    rows.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0)
}
