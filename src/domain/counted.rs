//! Counts as messages tell them.

/// `2 problems`, `1 record`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// `1 batch`, `2 batches`.
pub(crate) fn counted_batches(batches: u64) -> String {
    if batches == 1 {
        "1 batch".to_owned()
    } else {
        format!("{batches} batches")
    }
}

/// `in 1 batch`, `in 2 batches`; without any, that there is nothing to send.
pub(crate) fn in_batches(batches: u64) -> String {
    match batches {
        0 => "with nothing to send".to_owned(),
        _ => format!("in {}", counted_batches(batches)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_batch_is_nothing_to_send() {
        let told = [0, 1, 2].map(in_batches);
        assert_eq!(told, ["with nothing to send", "in 1 batch", "in 2 batches"]);
    }
}
