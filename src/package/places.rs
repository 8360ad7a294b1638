//! Where a package's records stood in the files that they were pulled from: `places.ndjson`, a line
//! `[record, line, file]` for each stretch, in the order of records. The file's name is left out
//! where it is the one before's. Sources that are no files have none.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Lines, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3Default;

use super::error::PackageError;
use super::manifest::{PlacesEntry, checksum_text};
use crate::domain::places::Stretch;
use crate::state;

const FILE_NAME: &str = "places.ndjson";

/// Keeps stretches as they come.
pub(super) struct PlacesWriter {
    path: PathBuf,
    /// Absent before the first stretch.
    writer: Option<BufWriter<File>>,
    checksum: Xxh3Default,
    /// Of the stretch written last.
    file: Option<Arc<str>>,
}

impl PlacesWriter {
    pub(super) fn within(folder: &Path) -> Self {
        Self {
            path: folder.join(FILE_NAME),
            writer: None,
            checksum: Xxh3Default::new(),
            file: None,
        }
    }

    pub(super) fn push(&mut self, stretches: &[Stretch]) -> Result<(), PackageError> {
        let mut written = stretches.iter().map(|stretch| self.write(stretch));
        let written = written.try_for_each(|written| written);
        written.map_err(|error| PackageError::io("write", &self.path, error))
    }

    fn write(&mut self, stretch: &Stretch) -> io::Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self
                .writer
                .insert(BufWriter::new(state::create_file(&self.path)?)),
        };
        let file = (self.file.as_ref() != Some(&stretch.file)).then_some(&*stretch.file);
        let mut line = serde_json::to_vec(&(stretch.record, stretch.line, file))?;
        line.push(b'\n');
        writer.write_all(&line)?;
        self.checksum.update(&line);
        self.file = Some(Arc::clone(&stretch.file));
        Ok(())
    }

    /// Keeps what the package in `folder` keeps, if it keeps any.
    pub(super) fn copy(&mut self, folder: &Path) -> Result<(), PackageError> {
        let Some(mut places) = Places::open(folder)? else {
            return Ok(());
        };
        while let Some(stretch) = places.advance()? {
            self.push(&[stretch])?;
        }
        Ok(())
    }

    /// Syncs what was kept, if anything was.
    pub(super) fn finish(self) -> Result<Option<PlacesEntry>, PackageError> {
        let Some(writer) = self.writer else {
            return Ok(None);
        };
        let synced = writer.into_inner().map_err(io::IntoInnerError::into_error);
        let synced = synced.and_then(|file| file.sync_all());
        synced.map_err(|error| PackageError::io("write", &self.path, error))?;
        Ok(Some(PlacesEntry {
            xxh3: checksum_text(self.checksum.digest()),
        }))
    }
}

/// Finds the file of the package in `folder` as it was written.
/// Errors: `Damaged`, if it is not; `Io`.
pub(super) fn check(folder: &Path, entry: &PlacesEntry) -> Result<(), PackageError> {
    let path = folder.join(FILE_NAME);
    let mut checksum = Xxh3Default::new();
    let mut block = vec![0; 64 << 10];
    let mut read = || -> io::Result<()> {
        let mut file = state::open_file(&path)?;
        loop {
            match file.read(&mut block)? {
                0 => return Ok(()),
                length => checksum.update(block.get(..length).unwrap_or_default()),
            }
        }
    };
    match read() {
        Ok(()) if checksum_text(checksum.digest()) == entry.xxh3 => Ok(()),
        Ok(()) => Err(PackageError::damaged(&path, "its checksum is wrong")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(PackageError::damaged(&path, "it is missing"))
        }
        Err(error) => Err(PackageError::io("read", &path, error)),
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
        let file = match state::open_file(&path) {
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
        while self.next.as_ref().is_some_and(|next| next.record <= record) {
            self.advance()?;
        }
        let place = |at: &Stretch| (Arc::clone(&at.file), at.line_of(record));
        Ok(self.at.as_ref().map(place))
    }

    /// Goes on to the next stretch, and tells it.
    fn advance(&mut self) -> Result<Option<Stretch>, PackageError> {
        let Some(next) = self.next.take() else {
            return Ok(None);
        };
        self.at = Some(next.clone());
        self.next = self.read()?;
        Ok(Some(next))
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
        let entry = writer.finish().unwrap().unwrap();
        check(folder.path(), &entry).unwrap();
        let mut copy = PlacesWriter::within(&folder.path().join("other"));
        std::fs::create_dir(folder.path().join("other")).unwrap();
        copy.copy(folder.path()).unwrap();
        assert_eq!(copy.finish().unwrap(), Some(entry));
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
