//! Where records stand in the files that they were read from. Most files hold a record on every
//! line, so that one stretch says it for millions.

use std::sync::Arc;

/// From here on, one line after the other of a file holds a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Position in what was pulled of its first record, from 0.
    pub(crate) record: u64,
    /// The file's name, as its folder has it.
    pub(crate) file: Arc<str>,
    /// Line on which that record begins, from 1; of a Parquet file its row.
    pub(crate) line: u64,
}

impl Stretch {
    /// Where a record of it stands, or would stand.
    pub(crate) fn line_of(&self, record: u64) -> u64 {
        self.line + record.saturating_sub(self.record)
    }
}

/// Gathers stretches while records are read.
#[derive(Debug, Default)]
pub(crate) struct Surveyor {
    last: Option<Stretch>,
    begun: Vec<Stretch>,
}

impl Surveyor {
    /// A record begins here. From call to call positions ascend.
    pub(crate) fn record(&mut self, record: u64, file: &Arc<str>, line: u64) {
        let goes_on = |last: &Stretch| {
            last.line_of(record) == line && (Arc::ptr_eq(&last.file, file) || last.file == *file)
        };
        if !self.last.as_ref().is_some_and(goes_on) {
            let stretch = Stretch {
                record,
                file: Arc::clone(file),
                line,
            };
            self.begun.push(stretch.clone());
            self.last = Some(stretch);
        }
    }

    /// Stretches that began since they were taken last.
    pub(crate) fn take(&mut self) -> Vec<Stretch> {
        std::mem::take(&mut self.begun)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_ends_where_a_record_has_several_lines_or_another_file_begins() {
        let (first, second): (Arc<str>, Arc<str>) = ("a.csv".into(), "b.csv".into());
        let mut surveyor = Surveyor::default();
        for (record, line) in [(0, 2), (1, 3), (2, 4), (3, 7), (4, 8)] {
            surveyor.record(record, &first, line);
        }
        surveyor.record(5, &second, 9);
        let told = |stretch: &Stretch| (stretch.record, stretch.file.to_string(), stretch.line);
        let begun: Vec<_> = surveyor.take().iter().map(told).collect();
        let expected = [(0, "a.csv", 2), (3, "a.csv", 7), (5, "b.csv", 9)];
        assert_eq!(
            begun,
            expected.map(|(record, file, line)| (record, file.to_owned(), line))
        );
        surveyor.record(6, &second, 10);
        assert_eq!(surveyor.take(), []);
    }
}
