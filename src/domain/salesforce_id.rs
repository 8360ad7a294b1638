//! Ids of Salesforce: 15 signs in which case counts, or 18 of which the last three keep it.

const SUFFIX_LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// An id of 15 or 18 signs in its form of 18; `None` if it is no id. The last three tell which
/// letters before are capitals.
/// Source: <https://help.salesforce.com/s/articleView?id=000385008&type=1>.
pub(crate) fn canonical_id(text: &str) -> Option<String> {
    if !matches!(text.len(), 15 | 18) || !text.bytes().all(|sign| sign.is_ascii_alphanumeric()) {
        return None;
    }
    let base = text.get(..15)?;
    let suffix = base.as_bytes().chunks(5).map(|chunk| {
        let capitals = (0..)
            .zip(chunk)
            .map(|(place, sign)| usize::from(sign.is_ascii_uppercase()) << place);
        SUFFIX_LETTERS
            .get(capitals.sum::<usize>())
            .copied()
            .map(char::from)
    });
    let suffix: String = suffix.collect::<Option<String>>()?;
    let told = text.get(15..)?;
    (told.is_empty() || told.eq_ignore_ascii_case(&suffix)).then(|| format!("{base}{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_15_signs_is_the_one_of_18() {
        assert_eq!(
            canonical_id("0014S000007Nxml").as_deref(),
            Some("0014S000007NxmlQAC")
        );
        assert_eq!(
            canonical_id("0014S000007NxmlQAC").as_deref(),
            Some("0014S000007NxmlQAC")
        );
        assert_eq!(canonical_id("0014S000007NxmlQAA"), None);
        assert_eq!(canonical_id("0014S000007"), None);
    }
}
