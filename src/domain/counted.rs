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
