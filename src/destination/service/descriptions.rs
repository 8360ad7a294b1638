//! What a web API says that its objects are. One connection asks it of each object once, whoever wants
//! to know and however many do so at the same time; another connection asks anew, for admins add
//! fields and take rights away.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::domain::error::SystemError;

/// The descriptions that one connection has, by the objects' names.
#[derive(Debug)]
pub(super) struct Descriptions<D>(Mutex<BTreeMap<String, Arc<OnceCell<Arc<D>>>>>);

impl<D> Default for Descriptions<D> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<D> Descriptions<D> {
    /// The description of an object, which is asked for if it is not there yet; whoever comes
    /// meanwhile waits for it. Errors: of the asking, after which it is asked for again.
    pub(super) async fn once(
        &self,
        name: &str,
        ask: impl AsyncFnOnce() -> Result<Arc<D>, SystemError>,
    ) -> Result<Arc<D>, SystemError> {
        let cell = {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(name.to_owned()).or_default())
        };
        cell.get_or_try_init(|| ask()).await.map(Arc::clone)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn many_who_want_to_know_ask_once_and_a_failure_is_asked_about_again() {
        let descriptions = Descriptions::default();
        let asked = AtomicUsize::new(0);
        let ask = async || {
            tokio::task::yield_now().await;
            match asked.fetch_add(1, Ordering::Relaxed) {
                0 => Err(SystemError::Unavailable {
                    connection: "crm".to_owned(),
                    source: "away".into(),
                }),
                number => Ok(Arc::new(number)),
            }
        };
        descriptions.once("Account", ask).await.unwrap_err();
        let all = join_all((0..5).map(|_| descriptions.once("Account", ask))).await;
        let told: Vec<usize> = all.into_iter().map(|told| *told.unwrap()).collect();
        assert_eq!(told, [1; 5]);
        assert_eq!(*descriptions.once("Contact", ask).await.unwrap(), 2);
    }
}
