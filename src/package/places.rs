//! Where a package's records stood in the files that they were pulled from: `places.ndjson`, a line
//! `[record, line, file]` for each stretch, in the order of records. The file's name is left out
//! where it is the one before's. Sources that are no files have none.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Lines, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::PackageError;
use crate::domain::places::Stretch;

const FILE_NAME: &str = "places.ndjson";

/// Keeps stretches as they come.
pub(super) struct PlacesWriter {
    path: PathBuf,
    /// Absent before the first stretch.
    writer: Option<BufWriter<File>>,
    file: Option<Arc<str>>,
}

impl PlacesWriter {
    pub(super) fn within(folder: &Path) -> Self {
        Self {
            path: folder.join(FILE_NAME),
            writer: None,
            file: None,
        }
    }

    pub(super) fn push(&mut self, stretches: &[Stretch]) -> Result<(), PackageError> {
        let written = self.write(stretches);
        written.map_err(|error| PackageError::io("write", &self.path, error))
    }

    fn write(&mut self, stretches: &[Stretch]) -> io::Result<()> {
        if stretches.is_empty() {
            return Ok(());
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self
                .writer
                .insert(BufWriter::new(File::create_new(&self.path)?)),
        };
        for stretch in stretches {
            let file = self.file.as_ref() != Some(&stretch.file);
            let file = file.then(|| stretch.file.to_string());
            serde_json::to_writer(&mut *writer, &(stretch.record, stretch.line, &file))?;
            writer.write_all(b"\n")?;
            self.file = Some(Arc::clone(&stretch.file));
        }
        Ok(())
    }

    /// Keeps what the package in `folder` keeps, if it keeps any.
    pub(super) fn copy(&self, folder: &Path) -> Result<(), PackageError> {
        let copied = match std::fs::copy(folder.join(FILE_NAME), &self.path) {
            Ok(_) => File::open(&self.path).and_then(|file| file.sync_all()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        };
        copied.map_err(|error| PackageError::io("write", &self.path, error))
    }

    /// Syncs what was kept.
    pub(super) fn finish(self) -> Result<(), PackageError> {
        let Some(writer) = self.writer else {
            return Ok(());
        };
        let synced = writer.into_inner().map_err(io::IntoInnerError::into_error);
        let synced = synced.and_then(|file| file.sync_all());
        synced.map_err(|error| PackageError::io("write", &self.path, error))
    }
}

/// Tells of one record after the other where it stood.
pub(crate) struct Places {
    path: PathBuf,
    lines: Lines<BufReader<File>>,
    at: Option<Stretch>,
    next: Option<Stretch>,
}

impl Places {
    /// Those of the package in `folder`; `None` if there is no such package, or its records were
    /// not read from files.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>, PackageError> {
        let path = folder.join(FILE_NAME);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(PackageError::io("open", &path, error)),
        };
        let mut places = Self {
            path,
            lines: BufReader::new(file).lines(),
            at: None,
            next: None,
        };
        places.next = places.read()?;
        Ok(Some(places))
    }

    /// File and line of a record. From call to call positions ascend. Errors: `Io`, `Damaged`.
    pub(crate) fn of(&mut self, record: u64) -> Result<Option<(Arc<str>, u64)>, PackageError> {
        while let Some(next) = self.next.take_if(|next| next.record <= record) {
            self.at = Some(next);
            self.next = self.read()?;
        }
        let place = |at: &Stretch| (Arc::clone(&at.file), at.line_of(record));
        Ok(self.at.as_ref().map(place))
    }

    fn read(&mut self) -> Result<Option<Stretch>, PackageError> {
        let Some(line) = self.lines.next() else {
            return Ok(None);
        };
        let line = line.map_err(|error| PackageError::io("read", &self.path, error))?;
        let read: serde_json::Result<(u64, u64, Option<String>)> = serde_json::from_str(&line);
        let (record, line, file) =
            read.map_err(|error| PackageError::damaged(&self.path, error.to_string()))?;
        let before = || self.at.as_ref().map(|at| Arc::clone(&at.file));
        let file = file.map(Into::into).or_else(before);
        let file = file.ok_or_else(|| PackageError::damaged(&self.path, "it names no file"))?;
        Ok(Some(Stretch { record, file, line }))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests may")]

    use super::*;

    #[test]
    fn what_was_kept_is_told_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = PlacesWriter::within(folder.path());
        let stretch = |record, file: &str, line| Stretch {
            record,
            file: file.into(),
            line,
        };
        writer
            .push(&[stretch(2, "a.csv", 2), stretch(5, "a.csv", 9)])
            .unwrap();
        writer.push(&[stretch(7, "b.csv", 2)]).unwrap();
        writer.finish().unwrap();
        let mut places = Places::open(folder.path()).unwrap().unwrap();
        let mut told = |record| {
            let told = places.of(record).unwrap();
            told.map(|(file, line)| format!("{file}:{line}"))
        };
        assert_eq!(told(1), None);
        assert_eq!(told(3).as_deref(), Some("a.csv:3"));
        assert_eq!(told(5).as_deref(), Some("a.csv:9"));
        assert_eq!(told(6).as_deref(), Some("a.csv:10"));
        assert_eq!(told(9).as_deref(), Some("b.csv:4"));
        assert!(Places::open(&folder.path().join("none")).unwrap().is_none());
    }
}
