//! Turns of writers at the records of one parent: while a request of this process writes some of them,
//! nobody else here does.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Parents whose records are being written, by all writers of a process.
#[derive(Debug, Default)]
pub(super) struct Families {
    busy: Mutex<BTreeSet<String>>,
    freed: Notify,
}

/// The right to write records of some parents; it ends when it is dropped.
#[derive(Debug)]
pub(super) struct FamilyTurn<'a> {
    families: &'a Families,
    parents: BTreeSet<String>,
}

impl Families {
    /// Waits until nobody writes records of any of these parents. All of them are taken at once, so that
    /// nobody waits for another in a circle.
    pub(super) async fn turn(&self, parents: BTreeSet<String>) -> FamilyTurn<'_> {
        loop {
            // Whoever is done between the look and the wait is heard.
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.take(&parents) {
                return FamilyTurn {
                    families: self,
                    parents,
                };
            }
            freed.await;
        }
    }

    fn take(&self, parents: &BTreeSet<String>) -> bool {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = busy.is_disjoint(parents);
        if is_free {
            busy.extend(parents.iter().cloned());
        }
        is_free
    }
}

impl Drop for FamilyTurn<'_> {
    fn drop(&mut self) {
        let busy = self.families.busy.lock();
        let mut busy = busy.unwrap_or_else(PoisonError::into_inner);
        for parent in &self.parents {
            busy.remove(parent);
        }
        drop(busy);
        self.families.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn named(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn records_of_one_parent_are_written_by_one_at_a_time_and_others_meanwhile() {
        let families = Arc::new(Families::default());
        let other = families.turn(named(&["B"])).await;
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..50)
            .map(|number| {
                let (families, inside, most) = (families.clone(), inside.clone(), most.clone());
                tokio::spawn(async move {
                    let own = format!("C{number}");
                    let _turn = families.turn(named(&["A", &own])).await;
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a turn");
        }
        assert_eq!(most.load(Ordering::SeqCst), 1);
        drop(other);
        assert!(families.take(&named(&["A", "B"])), "all are free again");
    }
}
