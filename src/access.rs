//! Who is let in: people with passwords, links that are good once, sessions and tokens, in a small
//! SQLite database of their own (`.writeback/access.db`), so that a copy of the ledger holds none of
//! it. Of every secret only its SHA-256 is kept, of a password argon2id.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow};
use sqlx::{ConnectOptions as _, Row as _, SqliteConnection};
use tokio::sync::{Mutex, OnceCell, Semaphore};

use crate::domain::access::{FAILURES_REMEMBERED, Role, pause_after};
use crate::domain::printable::hexadecimal;
use crate::state;

const ACCESS_FILE: &str = "access.db";

/// How long a statement waits for another process that is writing.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a link lets somebody in: long enough to open a browser.
pub(crate) const LINK_DURATION: Duration = Duration::from_secs(5 * 60);
/// How long a session lasts that nobody uses: a working day.
const SESSION_IDLE_MAX: Duration = Duration::from_secs(8 * 60 * 60);
/// How long a session lasts at most.
const SESSION_DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// How often the use of a session is written down.
const SEEN_INTERVAL: Duration = Duration::from_secs(60);

/// How long a token is good at most: longer than anybody remembers it.
const TOKEN_DURATION_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// Characters of a password at least.
/// Source: NIST SP 800-63B asks for no other rules.
pub(crate) const PASSWORD_CHARACTERS_MIN: usize = 12;
/// Bytes of a password at most: hashing takes longer with each.
const PASSWORD_BYTES_MAX: usize = 1024;
/// Characters of a name at most.
const NAME_CHARACTERS_MAX: usize = 64;

/// Passwords hashed at once: each takes 19 MiB.
const HASHED_AT_ONCE_MAX: usize = 2;
/// An address is shared by many people, so that it is closed later than a name is.
const ADDRESS_FAILURES_PER_NAME: u32 = 4;

/// Sessions that are not over, with the role that holds now, where `condition` holds. Parameters:
/// `?1` the earliest last use, `?2` the earliest begin.
macro_rules! sessions_where {
    ($condition:literal) => {
        concat!(
            "SELECT s.session, s.name, s.address, s.began_at, s.seen_at, coalesce(s.role, p.role) AS role,
                    CASE WHEN s.role IS NULL THEN p.job ELSE s.job END AS job
             FROM sessions AS s LEFT JOIN people AS p USING (name)
             WHERE coalesce(s.role, p.role) IS NOT NULL AND s.seen_at >= ?1 AND s.began_at >= ?2 AND ",
            $condition
        )
    };
}
/// Why something about access could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccessError {
    #[error("could not {doing} `{ACCESS_FILE}`")]
    Database {
        doing: &'static str,
        source: sqlx::Error,
    },
    #[error("could not bring `{ACCESS_FILE}` up to date")]
    Migration { source: MigrateError },
    #[error("could not open `{ACCESS_FILE}`")]
    Io { source: std::io::Error },
    #[error(
        "a password has at least {PASSWORD_CHARACTERS_MIN} characters, and at most {PASSWORD_BYTES_MAX} bytes"
    )]
    Password,
    #[error("a name is one line of 1 to {NAME_CHARACTERS_MAX} characters")]
    Name,
    #[error("a token is good for ten years at most")]
    Lasts,
    #[error("there is {what} `{name}` already")]
    Taken { what: &'static str, name: String },
    #[error("there is no {what} `{name}`")]
    Absent { what: &'static str, name: String },
    #[error("could not hash a password: {why}")]
    Hash { why: String },
    #[error("the system gave no random bytes: {why}")]
    Random { why: String },
}

impl AccessError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source } => state::hint(source).map(str::to_owned),
            Self::Password => Some("a few words in a row are long and easy to remember".to_owned()),
            Self::Absent { what, .. } => Some(format!("`writeback page {what} list` lists them")),
            Self::Taken { what, .. } => Some(format!(
                "remove it first: `writeback page {what} remove NAME`"
            )),
            Self::Database { .. }
            | Self::Migration { .. }
            | Self::Name
            | Self::Lasts
            | Self::Hash { .. }
            | Self::Random { .. } => None,
        }
    }
}

type Answer<T> = Result<T, AccessError>;

/// What lets somebody in: 256 random bits in hexadecimal. Never printed but to whom it was made for.
#[derive(Clone)]
pub(crate) struct Passcode(String);

impl Passcode {
    pub(crate) fn new() -> Answer<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| AccessError::Random {
            why: error.to_string(),
        })?;
        Ok(Self(hexadecimal(&bytes)))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

/// SHA-256 of a secret, hexadecimal.
fn hash_of(secret: &str) -> String {
    hexadecimal(&Sha256::digest(secret))
}

/// What somebody is let in as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) role: Role,
    /// The only job that is theirs, with its agencies, if there is one.
    pub(crate) job: Option<String>,
}

/// Somebody with a name and a password.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The only job that is theirs, with its agencies, if there is one.
    pub(crate) job: Option<String>,
    pub(crate) made_at: DateTime<Utc>,
}

/// Somebody who is signed in.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BrowserSession {
    pub(crate) session: i64,
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The only job that is theirs, with its agencies, if there is one.
    pub(crate) job: Option<String>,
    pub(crate) address: String,
    pub(crate) began_at: DateTime<Utc>,
    pub(crate) seen_at: DateTime<Utc>,
}

/// A program's way in.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct AccessToken {
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The only job it is good for, if there is one.
    pub(crate) job: Option<String>,
    pub(crate) made_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
}

/// Whether a name and a password let somebody in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PasswordVerdict {
    Right,
    Wrong,
    /// Nobody is asked before: too many were wrong.
    Closed {
        pause: Duration,
    },
}

/// The database. Cheap to clone; clones share one connection.
#[derive(Debug, Clone)]
pub(crate) struct AccessBook {
    connection: Arc<Mutex<SqliteConnection>>,
    hashing: Arc<Semaphore>,
    /// The hash of a password that nobody has: what unknown names are compared with, so that they
    /// take as long. Made for the first who gives a password, for it takes 19 MiB.
    nobodys: Arc<OnceCell<String>>,
}

impl AccessBook {
    /// Opens the database in the state folder, making both if absent.
    pub(crate) async fn open(state_folder: &Path) -> Answer<Self> {
        let file = state_folder.join(ACCESS_FILE);
        let made =
            state::make_folder(state_folder).and_then(|()| state::open_or_create_file(&file));
        made.map_err(|source| AccessError::Io { source })?;
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .journal_mode(SqliteJournalMode::Wal)
            .busy_timeout(BUSY_TIMEOUT)
            .disable_statement_logging();
        let mut connection = options.connect().await.map_err(failed("open"))?;
        sqlx::migrate!("sql/access")
            .run_direct(None, &mut connection, false)
            .await
            .map_err(|source| AccessError::Migration { source })?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            hashing: Arc::new(Semaphore::new(HASHED_AT_ONCE_MAX)),
            nobodys: Arc::default(),
        })
    }
}

/// People.
impl AccessBook {
    /// Errors: `Password`, `Name`, `Taken`.
    pub(crate) async fn add_person(
        &self,
        name: &str,
        standing: &Standing,
        password: String,
    ) -> Answer<()> {
        expect_name(name)?;
        expect_password(&password)?;
        let hash = hashed(password).await?;
        let insert = sqlx::query(
            "INSERT OR IGNORE INTO people (name, role, job, password, made_at) VALUES (?, ?, ?, ?, ?)",
        );
        let insert = insert
            .bind(name)
            .bind(standing.role.name())
            .bind(standing.job.as_deref())
            .bind(hash)
            .bind(Utc::now().timestamp());
        let mut connection = self.connection.lock().await;
        let inserted = insert
            .execute(&mut *connection)
            .await
            .map_err(failed("write"))?;
        one(inserted.rows_affected(), || AccessError::Taken {
            what: "user",
            name: name.to_owned(),
        })
    }

    /// Whoever it was is signed out at once. Errors: `Absent`.
    pub(crate) async fn remove_person(&self, name: &str) -> Answer<()> {
        let mut connection = self.connection.lock().await;
        let removed = sqlx::query("DELETE FROM people WHERE name = ?")
            .bind(name)
            .execute(&mut *connection)
            .await
            .map_err(failed("write"))?;
        sqlx::query("DELETE FROM sessions WHERE name = ? AND role IS NULL")
            .bind(name)
            .execute(&mut *connection)
            .await
            .map_err(failed("write"))?;
        one(removed.rows_affected(), || AccessError::Absent {
            what: "user",
            name: name.to_owned(),
        })
    }

    pub(crate) async fn people(&self) -> Answer<Vec<Person>> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query("SELECT * FROM people ORDER BY name")
            .fetch_all(&mut *connection)
            .await
            .map_err(failed("read"))?;
        rows.iter()
            .map(|row| {
                Ok(Person {
                    name: row.try_get("name")?,
                    role: role(row)?,
                    job: row.try_get("job")?,
                    made_at: instant(row, "made_at")?,
                })
            })
            .collect::<Result<_, sqlx::Error>>()
            .map_err(failed("read"))
    }

    /// Whether `password` is the one of `name`, asked for from `address`. What is wrong counts, and
    /// after a few times nobody is asked for a while.
    pub(crate) async fn verdict(
        &self,
        name: &str,
        password: String,
        address: &str,
    ) -> Answer<PasswordVerdict> {
        let subjects = [format!("name {name}"), format!("address {address}")];
        let now = Utc::now().timestamp();
        let held = {
            let mut connection = self.connection.lock().await;
            if let Some(pause) = closed(&mut connection, &subjects, now).await? {
                return Ok(PasswordVerdict::Closed { pause });
            }
            let held = sqlx::query_scalar("SELECT password FROM people WHERE name = ?").bind(name);
            let held: Option<String> = held
                .fetch_optional(&mut *connection)
                .await
                .map_err(failed("read"))?;
            held
        };
        // Whether or not the name is known, so that the first to ask learns nothing from it.
        let nobodys = self
            .nobodys
            .get_or_try_init(|| hashed("a password that nobody has".to_owned()))
            .await?;
        let known = held.is_some();
        let hash = held.unwrap_or_else(|| nobodys.clone());
        if self.fits(password, hash).await? && known {
            self.forget_failures(&subjects).await?;
            return Ok(PasswordVerdict::Right);
        }
        self.count_failure(&subjects, now).await?;
        Ok(PasswordVerdict::Wrong)
    }

    async fn fits(&self, password: String, hash: String) -> Answer<bool> {
        let _turn = self.hashing.acquire().await.ok();
        if password.len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let fits = tokio::task::spawn_blocking(move || {
            let hash = PasswordHash::new(&hash).ok();
            hash.is_some_and(|hash| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            })
        });
        fits.await.map_err(|error| AccessError::Hash {
            why: error.to_string(),
        })
    }

    async fn forget_failures(&self, subjects: &[String; 2]) -> Answer<()> {
        let mut connection = self.connection.lock().await;
        for subject in subjects {
            sqlx::query("DELETE FROM failures WHERE subject = ?")
                .bind(subject)
                .execute(&mut *connection)
                .await
                .map_err(failed("write"))?;
        }
        Ok(())
    }

    async fn count_failure(&self, subjects: &[String; 2], now: i64) -> Answer<()> {
        let mut connection = self.connection.lock().await;
        for (subject, share) in subjects.iter().zip([1, ADDRESS_FAILURES_PER_NAME]) {
            let counted = sqlx::query_scalar(
                "INSERT INTO failures (subject, failures, last_at, closed_until) VALUES (?1, 1, ?2, 0)
                 ON CONFLICT (subject) DO UPDATE SET
                     failures = CASE WHEN last_at < ?2 - ?3 THEN 1 ELSE failures + 1 END, last_at = ?2
                 RETURNING failures",
            );
            let failures: u32 = counted
                .bind(subject)
                .bind(now)
                .bind(seconds(FAILURES_REMEMBERED))
                .fetch_one(&mut *connection)
                .await
                .map_err(failed("write"))?;
            let until = now.saturating_add(seconds(pause_after(failures / share)));
            sqlx::query("UPDATE failures SET closed_until = ? WHERE subject = ?")
                .bind(until)
                .bind(subject)
                .execute(&mut *connection)
                .await
                .map_err(failed("write"))?;
        }
        Ok(())
    }
}

/// Links and sessions.
impl AccessBook {
    /// A link that lets `name` in, once.
    pub(crate) async fn make_link(&self, name: &str, standing: &Standing) -> Answer<Passcode> {
        let code = Passcode::new()?;
        let now = Utc::now().timestamp();
        let mut connection = self.connection.lock().await;
        sqlx::query("DELETE FROM links WHERE expires_at < ?")
            .bind(now)
            .execute(&mut *connection)
            .await
            .map_err(failed("write"))?;
        let insert = sqlx::query(
            "INSERT INTO links (hash, name, role, job, expires_at) VALUES (?, ?, ?, ?, ?)",
        );
        insert
            .bind(hash_of(code.reveal()))
            .bind(name)
            .bind(standing.role.name())
            .bind(standing.job.as_deref())
            .bind(now + seconds(LINK_DURATION))
            .execute(&mut *connection)
            .await
            .map_err(failed("write"))?;
        Ok(code)
    }

    /// Whom a link lets in, if it is good; it is not good a second time.
    pub(crate) async fn use_link(&self, code: &str) -> Answer<Option<(String, Standing)>> {
        let mut connection = self.connection.lock().await;
        let used = sqlx::query(
            "DELETE FROM links WHERE hash = ? AND expires_at >= ? RETURNING name, role, job",
        );
        let used = used.bind(hash_of(code)).bind(Utc::now().timestamp());
        let row = used
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed("write"))?;
        row.map(|row| {
            let standing = Standing {
                role: role(&row)?,
                job: row.try_get("job")?,
            };
            Ok((row.try_get("name")?, standing))
        })
        .transpose()
        .map_err(failed("read"))
    }

    /// Begins a session of `name`: as a link lets in, or, for a password, as the person is let in.
    pub(crate) async fn begin_session(
        &self,
        name: &str,
        standing: Option<&Standing>,
        address: &str,
    ) -> Answer<Passcode> {
        let secret = Passcode::new()?;
        let now = Utc::now().timestamp();
        let mut connection = self.connection.lock().await;
        let over = sqlx::query("DELETE FROM sessions WHERE seen_at < ? OR began_at < ?")
            .bind(now - seconds(SESSION_IDLE_MAX))
            .bind(now - seconds(SESSION_DURATION_MAX));
        over.execute(&mut *connection)
            .await
            .map_err(failed("write"))?;
        let insert = sqlx::query(
            "INSERT INTO sessions (hash, name, role, job, address, began_at, seen_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)",
        );
        insert
            .bind(hash_of(secret.reveal()))
            .bind(name)
            .bind(standing.map(|standing| standing.role.name()))
            .bind(standing.and_then(|standing| standing.job.as_deref()))
            .bind(address)
            .bind(now)
            .execute(&mut *connection)
            .await
            .map_err(failed("write"))?;
        Ok(secret)
    }

    /// The session that a secret stands for, if it is not over.
    pub(crate) async fn session_of(&self, secret: &str) -> Answer<Option<BrowserSession>> {
        let now = Utc::now().timestamp();
        let mut connection = self.connection.lock().await;
        let found = sqlx::query(sessions_where!("s.hash = ?3"))
            .bind(now - seconds(SESSION_IDLE_MAX))
            .bind(now - seconds(SESSION_DURATION_MAX))
            .bind(hash_of(secret));
        let row = found
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed("read"))?;
        let Some(row) = row else { return Ok(None) };
        let session = session(&row).map_err(failed("read"))?;
        if session.seen_at.timestamp() < now - seconds(SEEN_INTERVAL) {
            sqlx::query("UPDATE sessions SET seen_at = ? WHERE session = ?")
                .bind(now)
                .bind(session.session)
                .execute(&mut *connection)
                .await
                .map_err(failed("write"))?;
        }
        Ok(Some(session))
    }

    pub(crate) async fn sessions(&self) -> Answer<Vec<BrowserSession>> {
        let now = Utc::now().timestamp();
        let mut connection = self.connection.lock().await;
        let found = sqlx::query(sessions_where!("1 ORDER BY s.session"))
            .bind(now - seconds(SESSION_IDLE_MAX))
            .bind(now - seconds(SESSION_DURATION_MAX));
        let rows = found
            .fetch_all(&mut *connection)
            .await
            .map_err(failed("read"))?;
        rows.iter()
            .map(session)
            .collect::<Result<_, _>>()
            .map_err(failed("read"))
    }

    /// Errors: `Absent`.
    pub(crate) async fn end_session(&self, number: i64) -> Answer<()> {
        let mut connection = self.connection.lock().await;
        let ended = sqlx::query("DELETE FROM sessions WHERE session = ?")
            .bind(number)
            .execute(&mut *connection)
            .await
            .map_err(failed("write"))?;
        one(ended.rows_affected(), || AccessError::Absent {
            what: "session",
            name: number.to_string(),
        })
    }
}

/// Tokens, and where the page is.
impl AccessBook {
    /// Errors: `Name`, `Lasts`, `Taken`.
    pub(crate) async fn add_token(
        &self,
        name: &str,
        role: Role,
        job: Option<&str>,
        lasts: Duration,
    ) -> Answer<Passcode> {
        expect_name(name)?;
        if lasts > TOKEN_DURATION_MAX {
            return Err(AccessError::Lasts);
        }
        let secret = Passcode(format!("wb_{}", Passcode::new()?.0));
        let now = Utc::now().timestamp();
        let insert = sqlx::query(
            "INSERT OR IGNORE INTO tokens (name, hash, role, job, made_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)",
        );
        let insert = insert
            .bind(name)
            .bind(hash_of(secret.reveal()))
            .bind(role.name())
            .bind(job)
            .bind(now)
            .bind(now.saturating_add(seconds(lasts)));
        let mut connection = self.connection.lock().await;
        let inserted = insert
            .execute(&mut *connection)
            .await
            .map_err(failed("write"))?;
        one(inserted.rows_affected(), || AccessError::Taken {
            what: "token",
            name: name.to_owned(),
        })?;
        Ok(secret)
    }

    /// Errors: `Absent`.
    pub(crate) async fn remove_token(&self, name: &str) -> Answer<()> {
        let mut connection = self.connection.lock().await;
        let removed = sqlx::query("DELETE FROM tokens WHERE name = ?")
            .bind(name)
            .execute(&mut *connection)
            .await
            .map_err(failed("write"))?;
        one(removed.rows_affected(), || AccessError::Absent {
            what: "token",
            name: name.to_owned(),
        })
    }

    pub(crate) async fn tokens(&self) -> Answer<Vec<AccessToken>> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query("SELECT * FROM tokens ORDER BY name")
            .fetch_all(&mut *connection)
            .await
            .map_err(failed("read"))?;
        rows.iter()
            .map(token)
            .collect::<Result<_, _>>()
            .map_err(failed("read"))
    }

    /// The token that a secret is, if it has not expired.
    pub(crate) async fn token_of(&self, secret: &str) -> Answer<Option<AccessToken>> {
        let mut connection = self.connection.lock().await;
        let row = sqlx::query("SELECT * FROM tokens WHERE hash = ? AND expires_at > ?")
            .bind(hash_of(secret))
            .bind(Utc::now().timestamp())
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed("read"))?;
        row.as_ref().map(token).transpose().map_err(failed("read"))
    }

    /// The page can be reached there now.
    pub(crate) async fn set_place(&self, url: &str) -> Answer<()> {
        let mut connection = self.connection.lock().await;
        sqlx::query("INSERT OR REPLACE INTO places (place, url) VALUES (1, ?)")
            .bind(url)
            .execute(&mut *connection)
            .await
            .map(drop)
            .map_err(failed("write"))
    }

    /// Where the page was last reached, if it ever was.
    pub(crate) async fn place(&self) -> Answer<Option<String>> {
        let mut connection = self.connection.lock().await;
        sqlx::query_scalar("SELECT url FROM places")
            .fetch_optional(&mut *connection)
            .await
            .map_err(failed("read"))
    }
}

/// How long nobody is asked any more for one of the subjects, if so.
async fn closed(
    connection: &mut SqliteConnection,
    subjects: &[String; 2],
    now: i64,
) -> Answer<Option<Duration>> {
    let [name, address] = subjects;
    let until =
        sqlx::query_scalar("SELECT max(closed_until) FROM failures WHERE subject IN (?, ?)");
    let until: Option<i64> = until
        .bind(name)
        .bind(address)
        .fetch_one(connection)
        .await
        .map_err(failed("read"))?;
    let left = until.and_then(|until| u64::try_from(until - now).ok());
    Ok(left.filter(|left| *left > 0).map(Duration::from_secs))
}

async fn hashed(password: String) -> Answer<String> {
    let hashing = tokio::task::spawn_blocking(move || {
        let hash: Result<PasswordHash, _> = Argon2::default().hash_password(password.as_bytes());
        hash.map(|hash| hash.to_string())
            .map_err(|error| error.to_string())
    });
    let hashed = hashing.await.unwrap_or_else(|error| Err(error.to_string()));
    hashed.map_err(|why| AccessError::Hash { why })
}

fn expect_password(password: &str) -> Answer<()> {
    let long_enough = password.chars().count() >= PASSWORD_CHARACTERS_MIN;
    match long_enough && password.len() <= PASSWORD_BYTES_MAX {
        true => Ok(()),
        false => Err(AccessError::Password),
    }
}

fn expect_name(name: &str) -> Answer<()> {
    let characters = name.chars().count();
    let fits = (1..=NAME_CHARACTERS_MAX).contains(&characters);
    match fits && name.trim() == name && !name.contains(char::is_control) {
        true => Ok(()),
        false => Err(AccessError::Name),
    }
}

fn failed(doing: &'static str) -> impl Fn(sqlx::Error) -> AccessError {
    move |source| AccessError::Database { doing, source }
}

fn one(rows: u64, otherwise: impl FnOnce() -> AccessError) -> Answer<()> {
    match rows {
        0 => Err(otherwise()),
        _ => Ok(()),
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn instant(row: &SqliteRow, column: &str) -> Result<DateTime<Utc>, sqlx::Error> {
    let seconds: i64 = row.try_get(column)?;
    DateTime::from_timestamp(seconds, 0)
        .ok_or_else(|| sqlx::Error::Decode(format!("`{column}` is {seconds}").into()))
}

fn role(row: &SqliteRow) -> Result<Role, sqlx::Error> {
    let name: String = row.try_get("role")?;
    Role::parse(&name).map_err(|why| sqlx::Error::Decode(why.into()))
}

fn session(row: &SqliteRow) -> Result<BrowserSession, sqlx::Error> {
    Ok(BrowserSession {
        session: row.try_get("session")?,
        name: row.try_get("name")?,
        role: role(row)?,
        job: row.try_get("job")?,
        address: row.try_get("address")?,
        began_at: instant(row, "began_at")?,
        seen_at: instant(row, "seen_at")?,
    })
}

fn token(row: &SqliteRow) -> Result<AccessToken, sqlx::Error> {
    Ok(AccessToken {
        name: row.try_get("name")?,
        role: role(row)?,
        job: row.try_get("job")?,
        made_at: instant(row, "made_at")?,
        expires_at: instant(row, "expires_at")?,
    })
}
