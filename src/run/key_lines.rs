//! Who writes a record waits for whoever writes it already, within this process: requests for one
//! another, and for the batches of runs where the destination has no locks of its own. Lines are
//! entered in the order of keys, so that nobody waits for somebody who waits for him.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

type Lines = HashMap<(String, String), Arc<Turn<()>>>;

static LINES: LazyLock<Mutex<Lines>> = LazyLock::new(Mutex::default);

/// Where those stand in line who write records of an object.
pub(crate) fn line(connection: &str, object: &[String]) -> String {
    format!("{connection} {object:?}")
}

/// Records that nobody else in this process writes, until it is dropped.
#[derive(Debug)]
pub(crate) struct HeldKeys {
    line: String,
    held: Vec<(String, OwnedMutexGuard<()>)>,
}

/// Waits for the turn of each of these records. A future of it may be dropped: what it held by then
/// is let go.
pub(crate) async fn hold(line: &str, keys: BTreeSet<String>) -> HeldKeys {
    let mut held = HeldKeys {
        line: line.to_owned(),
        held: Vec::with_capacity(keys.len()),
    };
    for key in keys {
        let turn = {
            let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
            let place = (line.to_owned(), key.clone());
            Arc::clone(lines.entry(place).or_default())
        };
        held.held.push((key, turn.lock_owned().await));
    }
    held
}

impl Drop for HeldKeys {
    fn drop(&mut self) {
        let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, turn) in self.held.drain(..) {
            drop(turn);
            let place = (self.line.clone(), key);
            // Whoever waits has a share in it as well.
            if lines
                .get(&place)
                .is_some_and(|turn| Arc::strong_count(turn) == 1)
            {
                lines.remove(&place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> BTreeSet<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[tokio::test]
    async fn one_after_the_other_writes_a_record_and_lines_are_left_empty() {
        let first = hold("a line", keys(&["A", "B"])).await;
        let second = tokio::spawn(hold("a line", keys(&["B", "C"])));
        let elsewhere = hold("another line", keys(&["A"])).await;
        assert!(!second.is_finished());
        drop((first, elsewhere));
        let second = second.await.expect("its turn comes");
        assert_eq!(second.held.len(), 2);
        drop(second);
        let lines = LINES.lock().expect("lines");
        assert!(!lines.keys().any(|(line, _)| line.ends_with("line")));
    }
}
