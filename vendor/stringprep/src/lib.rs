//! SASLprep as PostgreSQL's own clients do it: a password that it does not allow, for a character
//! that is younger than Unicode 3.2 or that controls something, is taken as it stands. The server
//! does the same when the password is set, so that whoever refused here would keep its user out.
//! Source: `pg_saslprep` in PostgreSQL's src/common/saslprep.c, and who calls it in
//! fe-auth-scram.c.
//!
//! A copy of the crate of this name, version 0.1.5, for the driver; only this file is changed:
//! [`saslprep`] falls back, and the other profiles, which nobody here calls, are gone.
#![allow(clippy::all)]

use std::borrow::Cow;
use std::convert::Infallible;
use unicode_normalization::UnicodeNormalization;

mod rfc3454;
pub mod tables;

/// Prepares a password with the SASLprep profile of the stringprep algorithm, or leaves it as it
/// is. Source: <https://tools.ietf.org/html/rfc4013>.
pub fn saslprep(s: &str) -> Result<Cow<'_, str>, Infallible> {
    Ok(allowed(s).map_or(Cow::Borrowed(s), Cow::Owned))
}

/// The prepared password; `None` if it may not be one, or nothing of it would be left.
fn allowed(s: &str) -> Option<String> {
    // 2.1 Mapping
    let mapped = s
        .chars()
        .map(|c| {
            if tables::non_ascii_space_character(c) {
                ' '
            } else {
                c
            }
        })
        .filter(|&c| !tables::commonly_mapped_to_nothing(c));

    // 2.2 Normalization
    let normalized = mapped.nfkc().collect::<String>();

    // 2.3 Prohibited Output
    let prohibited = normalized.chars().find(|&c| {
        tables::non_ascii_space_character(c) /* C.1.2 */ ||
            tables::ascii_control_character(c) /* C.2.1 */ ||
            tables::non_ascii_control_character(c) /* C.2.2 */ ||
            tables::private_use(c) /* C.3 */ ||
            tables::non_character_code_point(c) /* C.4 */ ||
            tables::surrogate_code(c) /* C.5 */ ||
            tables::inappropriate_for_plain_text(c) /* C.6 */ ||
            tables::inappropriate_for_canonical_representation(c) /* C.7 */ ||
            tables::change_display_properties_or_deprecated(c) /* C.8 */ ||
            tables::tagging_character(c) /* C.9 */
    });
    if prohibited.is_some() {
        return None;
    }

    // 2.4. Bidirectional Characters
    if is_prohibited_bidirectional_text(&normalized) {
        return None;
    }

    // 2.5 Unassigned Code Points
    let unassigned = normalized
        .chars()
        .find(|&c| tables::unassigned_code_point(c));
    if unassigned.is_some() {
        return None;
    }

    Some(normalized).filter(|normalized| !normalized.is_empty())
}

// RFC3454, 6. Bidirectional Characters
fn is_prohibited_bidirectional_text(s: &str) -> bool {
    if s.contains(tables::bidi_r_or_al) {
        // 2) If a string contains any RandALCat character, the string
        // MUST NOT contain any LCat character.
        if s.contains(tables::bidi_l) {
            return true;
        }

        // 3) If a string contains any RandALCat character, a RandALCat
        // character MUST be the first character of the string, and a
        // RandALCat character MUST be the last character of the string.
        if !tables::bidi_r_or_al(s.chars().next().unwrap())
            || !tables::bidi_r_or_al(s.chars().next_back().unwrap())
        {
            return true;
        }
    }

    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_allowed_stays_as_it_is() {
        for password in ["\u{1f600} and \u{1f511}", "tab\there", "two\nlines", "", "\u{ad}", "\u{627}1b"] {
            assert_eq!(saslprep(password), Ok(Cow::Borrowed(password)));
        }
        assert_eq!(saslprep("\u{2168}\u{a0}\u{ad}x").unwrap(), "IX x");
    }
}
