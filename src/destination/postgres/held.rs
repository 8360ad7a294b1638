//! A value as the server sends it in binary, in rows that it copies and in arrays: its length in
//! four bytes, the highest first, -1 for NULL, and its bytes.

/// Its bytes, `None` for NULL.
pub(super) type Held<'a> = Option<&'a [u8]>;

/// Takes a value off the beginning of bytes; returns it and what follows, `None` if its end is not
/// among them.
pub(super) fn split_held(bytes: &[u8]) -> Option<(Held<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    // Only NULL is shorter than nothing.
    let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
        return Some((None, rest));
    };
    let (held, rest) = rest.split_at_checked(length)?;
    Some((Some(held), rest))
}
