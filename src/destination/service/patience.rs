//! Sending writes until each has its answer: what a system has no room for is sent again, a while
//! later and with fewer others at once, at last alone.

use super::seam::Reply;
use crate::domain::error::{SystemError, chain};
use crate::http::delays;

/// By how much smaller the portions are that are sent again.
const PORTION_DIVISOR: usize = 4;

/// Sends writes in portions of at most `portion_max`; returns one reply a write. Errors: of the first portion. An error of a later one becomes the reply of all that
/// were not sent before it: unknown, if it may have been carried out, else to be sent again.
pub(super) async fn patiently<W, Answer>(
    writes: &[W],
    portion_max: usize,
    attempts_max: u32,
    mut send: impl FnMut(Vec<W>) -> Answer,
) -> Result<Vec<Reply>, SystemError>
where
    W: Copy,
    Answer: Future<Output = Result<Vec<Reply>, SystemError>>,
{
    let mut replies: Vec<Option<Reply>> = vec![None; writes.len()];
    let mut pending: Vec<usize> = (0..writes.len()).collect();
    let mut portion = portion_max.max(1);
    let mut delays = delays(attempts_max);
    loop {
        let mut sent = 0;
        for positions in pending.chunks(portion) {
            let theirs = positions
                .iter()
                .filter_map(|position| writes.get(*position));
            let answered = match send(theirs.copied().collect()).await {
                Ok(answered) => answered,
                Err(error) if replies.iter().all(Option::is_none) => return Err(error),
                Err(error) => {
                    give_up(&mut replies, &pending, sent, positions.len(), &error);
                    return Ok(whole(replies));
                }
            };
            sent += positions.len();
            let mut answered = answered.into_iter();
            for position in positions {
                if let Some(reply) = replies.get_mut(*position) {
                    *reply = Some(answered.next().unwrap_or(Reply::Unknown));
                }
            }
        }
        let is_to_wait =
            |position: &usize| matches!(replies.get(*position), Some(Some(Reply::Again { .. })));
        pending.retain(is_to_wait);
        let asked = pending.iter().filter_map(|position| {
            if let Some(Some(Reply::Again { after, .. })) = replies.get(*position) {
                *after
            } else {
                None
            }
        });
        let asked = asked.max();
        let Some(delay) = delays.next().filter(|_| !pending.is_empty()) else {
            return Ok(whole(replies));
        };
        tracing::debug!(
            records = pending.len(),
            portion,
            "records wait for a lock or for room"
        );
        tokio::time::sleep(asked.unwrap_or(delay)).await;
        portion = (portion / PORTION_DIVISOR).max(1);
    }
}

/// Notes what became of those that were being sent as an error came, and of those after them.
fn give_up(
    replies: &mut [Option<Reply>],
    pending: &[usize],
    sent: usize,
    sending: usize,
    error: &SystemError,
) {
    let again = || Reply::Again {
        after: None,
        why: chain(error).join(": "),
    };
    for (place, position) in pending.iter().enumerate().skip(sent) {
        let is_in_doubt = place < sent + sending && matches!(error, SystemError::Unanswered { .. });
        if let Some(reply) = replies.get_mut(*position) {
            *reply = Some(if is_in_doubt { Reply::Unknown } else { again() });
        }
    }
}

fn whole(replies: Vec<Option<Reply>>) -> Vec<Reply> {
    let known = |reply: Option<Reply>| reply.unwrap_or(Reply::Unknown);
    replies.into_iter().map(known).collect()
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests may")]
mod tests {
    use std::future::ready;

    use super::*;
    use crate::destination::seam::RowId;

    fn done(position: usize) -> Reply {
        Reply::Done {
            id: RowId(position.to_string()),
        }
    }

    /// Writes that are known by their positions.
    fn writes(count: usize) -> Vec<usize> {
        (0..count).collect()
    }

    fn again() -> Reply {
        Reply::Again {
            after: Some(std::time::Duration::ZERO),
            why: "locked".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_is_locked_is_sent_again_with_ever_fewer_others() {
        let mut portions = Vec::new();
        let replies = patiently(&writes(20), 20, 4, |positions| {
            portions.push(positions.len());
            let reply = |position: &usize| match positions.len() > 1 && *position >= 10 {
                true => again(),
                false => done(*position),
            };
            ready(Ok(positions.iter().map(reply).collect()))
        })
        .await
        .expect("replies");
        let all: Vec<Reply> = (0..20).map(done).collect();
        assert_eq!(replies, all);
        assert_eq!(portions[..4], [20, 5, 5, 1]);
        assert_eq!(portions.len(), 13);
    }

    #[tokio::test]
    async fn an_answer_that_is_lost_leaves_doubt_about_its_portion_only() {
        let mut calls = 0;
        let replies = patiently(&writes(6), 2, 1, |positions| {
            calls += 1;
            ready(match calls {
                2 => Err(SystemError::Unanswered {
                    connection: "crm".to_owned(),
                    source: "cut".into(),
                }),
                _ => Ok(positions.into_iter().map(done).collect()),
            })
        })
        .await
        .expect("replies");
        assert_eq!(
            replies[..4],
            [done(0), done(1), Reply::Unknown, Reply::Unknown]
        );
        assert!(matches!(
            &replies[4..],
            [Reply::Again { .. }, Reply::Again { .. }]
        ));
        assert_eq!(calls, 2);
    }

    #[tokio::test]
    async fn fewer_replies_than_records_are_no_success() {
        let replies = patiently(&writes(3), 3, 1, |_| ready(Ok(vec![done(0)]))).await;
        assert_eq!(
            replies.expect("replies"),
            [done(0), Reply::Unknown, Reply::Unknown]
        );
    }
}
