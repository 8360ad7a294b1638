//! The token that requests carry: got once for all who need it, renewed once for all who hold the
//! same dead one. A refresh token that works only once is on disk before the access token that came
//! with it is used, and processes take turns with it.

use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use crate::domain::connection::Secret;
use crate::domain::printable::hexadecimal;
use crate::state;

/// How long another process is waited for while it renews a token.
const TURN_WAIT_MAX: Duration = Duration::from_secs(120);
const TURN_POLL: Duration = Duration::from_millis(50);

/// What a log-in gives.
#[derive(Debug, Clone)]
pub(crate) struct Granted {
    pub(crate) token: Secret,
    /// Scheme, host and port of the data calls.
    pub(crate) api_url: String,
    /// The account that the token is for.
    pub(crate) account: Option<String>,
    /// The user that the token is for, as the API numbers it.
    pub(crate) user: Option<String>,
    /// The refresh token that takes the place of the one that was used.
    pub(crate) refresh_token: Option<Secret>,
    /// How long the token is good for, where that is told.
    pub(crate) lifetime: Option<Duration>,
}

/// Why nobody is let in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    /// The credentials are not taken, and waiting cannot help.
    #[error("{what}")]
    Refused { what: String, hint: String },
    /// It may work later.
    #[error("{0}")]
    Passing(String),
}

/// A token that was granted, and its number: whoever finds it dead says which one it was.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(super) number: u64,
    /// From when on another one is got before it dies.
    stale_from: Option<Instant>,
    pub(crate) granted: Granted,
}

impl Held {
    fn of(number: u64, granted: Granted) -> Self {
        let fresh_for = granted.lifetime.map(|lifetime| lifetime * 4 / 5);
        Self {
            number,
            stale_from: fresh_for.and_then(|fresh| Instant::now().checked_add(fresh)),
            granted,
        }
    }

    fn is_stale(&self) -> bool {
        self.stale_from.is_some_and(|from| Instant::now() >= from)
    }
}

/// Keeps the token that is good now.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    current: tokio::sync::Mutex<Option<Held>>,
}

impl Keeper {
    /// The token that is good as far as is known: not the one of the number `dead`, nor one that has
    /// lived for four fifths of its life. Whoever comes while it is renewed waits for it.
    pub(super) async fn token<E>(
        &self,
        dead: Option<u64>,
        log_in: impl AsyncFnOnce() -> Result<Granted, E>,
    ) -> Result<Held, E> {
        let mut current = self.current.lock().await;
        let number = match current.as_ref() {
            Some(held) if Some(held.number) != dead && !held.is_stale() => {
                return Ok(held.clone());
            }
            Some(held) => held.number + 1,
            None => 0,
        };
        let granted = log_in().await?;
        let held = Held::of(number, granted);
        *current = Some(held.clone());
        Ok(held)
    }
}

impl Keeper {
    pub(super) async fn holds(&self) -> bool {
        self.current.lock().await.is_some()
    }

    /// Forgets the token: its session was ended.
    pub(super) async fn forget(&self) {
        *self.current.lock().await = None;
    }
}

/// Where a refresh token is kept that takes the place of the one in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenFile {
    folder: PathBuf,
    connection: String,
    /// The refresh token or password as it is configured: another one puts an end to what is kept.
    configured: Secret,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    /// Which configured token it comes from, as a digest.
    follows: String,
    refresh_token: String,
}

impl TokenFile {
    /// Beside a project's other state.
    pub(crate) fn new(state_folder: &Path, connection: &str, configured: Secret) -> Self {
        Self {
            folder: state_folder.join("tokens"),
            connection: connection.to_owned(),
            configured,
        }
    }

    /// Waits for the right to use the refresh token alone, until what is returned is dropped.
    pub(super) async fn turn(&self) -> io::Result<File> {
        state::make_folder(&self.folder)?;
        let file = state::open_or_create_file(&self.path("lock"))?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if begun.elapsed() < TURN_WAIT_MAX => {
                    tokio::time::sleep(TURN_POLL).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "another process has been renewing the token for too long",
                    ));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// The refresh token that took the place of what is configured, if one did.
    pub(super) fn read(&self) -> io::Result<Option<Secret>> {
        let text = match std::fs::read_to_string(self.path("json")) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let kept = serde_json::from_str::<Kept>(&text).ok();
        let kept = kept.filter(|kept| kept.follows == self.digest());
        Ok(kept.map(|kept| Secret::new(kept.refresh_token)))
    }

    /// Keeps the refresh token that is good from now on: it is on disk when this returns.
    pub(super) fn write(&self, refresh_token: &Secret) -> io::Result<()> {
        let kept = Kept {
            follows: self.digest(),
            refresh_token: refresh_token.reveal().to_owned(),
        };
        let place = self.path("json");
        state::refuse_link(&place)?;
        let aside = state::AsideFile::create(&place)?;
        aside.file().write_all(&serde_json::to_vec(&kept)?)?;
        aside.place()
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", self.connection))
    }

    fn digest(&self) -> String {
        hexadecimal(&Sha256::digest(self.configured.reveal().as_bytes()))
    }
}

/// Whether a host that was told belongs to whoever told it: both share their registered domain, or
/// are the same host of this machine.
pub(crate) fn same_site(told: &str, known: &str) -> bool {
    let (Ok(told), Ok(known)) = (Url::parse(told), Url::parse(known)) else {
        return false;
    };
    let (Some(told_host), Some(known_host)) = (told.host(), known.host()) else {
        return false;
    };
    let same = match (told_host, known_host) {
        (url::Host::Domain(told), url::Host::Domain(known)) => {
            registered(told).is_some_and(|told| Some(told) == registered(known)) || told == known
        }
        (told, known) => told == known,
    };
    same && told.scheme() == known.scheme()
}

/// The last two labels of a host's name.
fn registered(host: &str) -> Option<&str> {
    let (rest, _) = host.rsplit_once('.')?;
    Some(match rest.rsplit_once('.') {
        Some((before, _)) => host.get(before.len() + 1..)?,
        None => host,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn a_refresh_token_is_kept_for_its_owner_until_another_is_configured() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = TokenFile::new(folder.path(), "crm", secret("first"));
        assert_eq!(file.read().expect("readable"), None);
        file.write(&secret("second")).expect("writable");
        assert_eq!(file.read().expect("readable"), Some(secret("second")));
        let mode = std::fs::metadata(folder.path().join("tokens/crm.json"))
            .expect("the file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = TokenFile::new(folder.path(), "crm", secret("new log-in"));
        assert_eq!(other.read().expect("readable"), None);
    }

    #[tokio::test]
    async fn one_dead_token_is_renewed_once_for_all_who_held_it() {
        let keeper = Keeper::default();
        let granted = |token: &str| Granted {
            token: secret(token),
            api_url: String::new(),
            account: None,
            user: None,
            refresh_token: None,
            lifetime: None,
        };
        let get = async |dead, token: &str| {
            let held = keeper
                .token(dead, async || Ok::<_, ()>(granted(token)))
                .await;
            let held = held.expect("a token");
            (held.number, held.granted.token.reveal().to_owned())
        };
        assert_eq!(get(None, "a").await, (0, "a".to_owned()));
        assert_eq!(get(None, "never").await, (0, "a".to_owned()));
        assert_eq!(get(Some(0), "b").await, (1, "b".to_owned()));
        assert_eq!(get(Some(0), "never").await, (1, "b".to_owned()));
    }

    #[test]
    fn a_told_host_is_followed_within_its_site_only() {
        let login = "https://acme.my.salesforce.com";
        assert!(same_site(
            "https://acme--dev.sandbox.my.salesforce.com",
            login
        ));
        assert!(same_site("https://eu12.salesforce.com", login));
        assert!(!same_site(
            "https://acme.my.salesforce.com.evil.example",
            login
        ));
        assert!(!same_site("http://acme.my.salesforce.com", login));
        assert!(same_site("http://127.0.0.1:9000", "http://127.0.0.1:8000"));
        assert!(!same_site("http://10.0.0.1:9000", "http://127.0.0.1:8000"));
        assert!(!same_site("https://com", "https://salesforce.com"));
    }
}
