//! Markers: what tells a note from every other, however often it is made.

use polars::prelude::{PolarsResult, Series, StringChunked};
use xxhash_rust::xxh3::Xxh3Default;

use super::columnar::Converted;
use super::conversion::{Misfit, texts_of};
use super::field::NoteMarker;
use super::schema::SchemaType;

impl NoteMarker {
    /// The marker of each record: 32 hexadecimal digits. NULL where the text cannot be made, for
    /// which the record is rejected already. Shape: the columns of [`NoteMarker::columns`] in their
    /// kinds' representations, `height` records of each, in; as many texts out.
    pub(crate) fn apply(
        &self,
        inputs: &[(&Series, SchemaType)],
        height: usize,
    ) -> Result<Converted, Misfit> {
        let (keys, told) = inputs.split_at(self.keys.min(inputs.len()));
        let keys = keys
            .iter()
            .map(|(values, input)| texts_of(values, input.kind()));
        let keys: Vec<StringChunked> = keys.collect::<PolarsResult<_>>()?;
        let texts = match &self.text {
            Some(text) => Some(text.apply(told, height)?.values),
            None => None,
        };
        let texts = texts.as_ref().map(Series::str).transpose()?;
        let of_record = |index: usize| {
            let text = match texts {
                Some(texts) => Some(texts.get(index)?),
                None => None,
            };
            let keys = keys.iter().map(|key| key.get(index).unwrap_or_default());
            let parts = [self.salt.as_str()].into_iter().chain(keys).chain(text);
            Some(digest(parts))
        };
        let markers: StringChunked = (0..height).map(of_record).collect();
        Ok(Converted::without_faults(markers))
    }
}

/// Each part goes in with its length, so that none can pass for part of another.
fn digest<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = Xxh3Default::new();
    for part in parts {
        hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("{:032x}", hasher.digest128())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use polars::prelude::NamedFrom;

    use super::*;
    use crate::domain::template::Template;

    const TEXT: SchemaType = SchemaType::Text {
        characters_max: None,
    };

    fn markers(text: Option<&str>) -> Vec<Option<String>> {
        let marker = NoteMarker {
            salt: "job/note".to_owned(),
            columns: vec![0, 1],
            keys: 1,
            text: text.map(|text| Template::parse(text).unwrap()),
        };
        let key = Series::new("key".into(), ["R1", "R2", "R1"]);
        let told = Series::new("told".into(), [Some("a"), None, Some("b")]);
        let inputs = [(&key, TEXT), (&told, TEXT)];
        let inputs = if text.is_some() {
            &inputs[..]
        } else {
            &inputs[..1]
        };
        let made = marker.apply(inputs, 3).unwrap();
        made.values
            .str()
            .unwrap()
            .iter()
            .map(|text| text.map(str::to_owned))
            .collect()
    }

    #[test]
    fn one_record_has_one_marker_unless_its_text_counts() {
        let whatever = markers(None);
        assert_eq!(whatever.first(), whatever.get(2));
        assert_ne!(whatever.first(), whatever.get(1));
        let told = markers(Some("says {told}"));
        assert_ne!(told.first(), told.get(2));
        assert_eq!(told.get(1), Some(&None));
    }
}
