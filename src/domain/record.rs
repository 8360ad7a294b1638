//! One record's identity: its position in what was pulled, and its match key as people read and type it.

/// Name of the frame column (`UInt64`) that carries a record's position in what was pulled. No SQL name holds a NUL, so
/// it cannot meet a user's column.
pub(crate) const RECORD_POSITION: &str = "\0record";

/// A match key as people read and type it: its parts as one line of CSV, so that `EU,17` and `"a,b"` are told apart.
pub(crate) fn key_text<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::Any(b'\n')).from_writer(Vec::new());
    // Writing to memory cannot fail, and UTF-8 in is UTF-8 out.
    let written = writer.write_record(parts).ok().and_then(|()| writer.into_inner().ok());
    let text = written.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    text.trim_end_matches('\n').to_owned()
}

/// The parts of a key as [`key_text`] writes it; `None` if it is not one line of CSV.
pub(crate) fn key_parts(text: &str) -> Option<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let mut records = reader.records();
    let first = records.next()?.ok()?;
    records.next().is_none().then(|| first.iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_being_written_and_read() {
        for parts in [vec!["A1"], vec!["EU", "17"], vec!["a,b", "say \"hi\""], vec!["", "x"]] {
            let text = key_text(parts.iter().copied());
            assert_eq!(key_parts(&text).expect("a line of CSV"), parts);
        }
    }
}
