//! Fetched files on this machine: whole ones with their version and checksum, begun ones to go on
//! with. Two processes that want one file take turns.

use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::state;

/// How long a version stays when there is a newer one: longer than anybody reads it.
const OLD_VERSION_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The folder of a connection's fetched files.
#[derive(Debug)]
pub(super) struct Shelf {
    folder: PathBuf,
}

/// What is known of a file that is here whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Path within its folder.
    name: String,
    pub(super) version: String,
    /// Bytes.
    length: u64,
    crc32: u32,
}

/// Where one file is kept. Nobody else changes anything there as long as this lives.
pub(super) struct Place {
    folder: PathBuf,
    name: String,
    key: String,
    _turn: File,
}

/// A file that is not here whole.
pub(super) struct Partial {
    file: File,
    version: String,
    /// Bytes that are here.
    pub(super) length: u64,
}

impl Shelf {
    pub(super) fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// Waits until nobody else is at this file.
    pub(super) fn place(&self, name: &str) -> io::Result<Place> {
        state::make_folder(&self.folder)?;
        let key = format!("{:032x}", xxh3_128(name.as_bytes()));
        let turn = state::open_or_create_file(&self.folder.join(format!("{key}.lock")))?;
        turn.lock()?;
        Ok(Place {
            folder: self.folder.clone(),
            name: name.to_owned(),
            key,
            _turn: turn,
        })
    }
}

impl Place {
    /// The file of a version.
    pub(super) fn file(&self, version: &str) -> PathBuf {
        let version = xxh3_128(version.as_bytes());
        self.folder.join(format!("{}-{version:032x}", self.key))
    }

    fn account(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.key))
    }

    fn begun_file(&self) -> PathBuf {
        self.folder.join(format!("{}.part", self.key))
    }

    fn begun_version(&self) -> PathBuf {
        self.folder.join(format!("{}.part.version", self.key))
    }

    /// The version that is here whole, as it was fetched; `None` if there is none.
    pub(super) fn kept(&self) -> io::Result<Option<Kept>> {
        let Some(text) = if_there(fs::read(self.account()))? else {
            return Ok(None);
        };
        // What a crash or a hand left is fetched anew.
        let Ok(kept) = serde_json::from_slice::<Kept>(&text) else {
            return Ok(None);
        };
        let Some(file) = if_there(state::open_file(&self.file(&kept.version)))? else {
            return Ok(None);
        };
        let is_whole = kept.name == self.name
            && file.metadata()?.len() == kept.length
            && checksum(file)? == kept.crc32;
        Ok(is_whole.then_some(kept))
    }

    /// The version whose fetching was broken off, and the bytes of it that are here.
    pub(super) fn begun(&self) -> io::Result<Option<(String, u64)>> {
        let version = if_there(fs::read_to_string(self.begun_version()))?;
        let begun = if_there(fs::metadata(self.begun_file()))?;
        Ok(version.zip(begun.map(|begun| begun.len())))
    }

    /// Begins to fetch a version, or goes on with it.
    pub(super) fn partial(&self, version: &str) -> io::Result<Partial> {
        let begun = self.begun()?;
        let mut file = state::open_or_create_file(&self.begun_file())?;
        let length = match begun {
            // Without a version nobody can tell whether what is here is the beginning of it.
            Some((begun, length)) if begun == version && !version.is_empty() => length,
            Some(_) | None => {
                file.set_len(0)?;
                fs::write(self.begun_version(), version)?;
                0
            }
        };
        file.seek(SeekFrom::Start(length))?;
        Ok(Partial {
            file,
            version: version.to_owned(),
            length,
        })
    }

    /// Puts a version in place that is whole, and removes those that nobody reads any more.
    pub(super) fn keep(&self, partial: Partial) -> io::Result<PathBuf> {
        let Partial {
            mut file,
            version,
            length,
        } = partial;
        file.sync_all()?;
        file.rewind()?;
        let kept = Kept {
            name: self.name.clone(),
            crc32: checksum(file)?,
            version,
            length,
        };
        let place = self.file(&kept.version);
        fs::rename(self.begun_file(), &place)?;
        if_there(fs::remove_file(self.begun_version()))?;
        let account = state::AsideFile::create(&self.account())?;
        account
            .file()
            .write_all(&serde_json::to_vec(&kept).map_err(io::Error::other)?)?;
        account.place()?;
        self.remove_old(&place);
        Ok(place)
    }

    /// What cannot be removed stays: that is no reason not to read what is there.
    fn remove_old(&self, newest: &Path) {
        let prefix = format!("{}-", self.key);
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let is_old = || {
                let modified = entry.metadata().ok()?.modified().ok()?;
                let age = SystemTime::now().duration_since(modified).ok()?;
                Some(age > OLD_VERSION_AGE_MAX)
            };
            let is_version = entry.file_name().to_string_lossy().starts_with(&prefix);
            if is_version && entry.path() != newest && is_old() == Some(true) {
                drop(fs::remove_file(entry.path()));
            }
        }
    }
}

impl Partial {
    pub(super) fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.length += piece.len() as u64;
        Ok(())
    }

    /// Forgets what is here.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.length = 0;
        Ok(())
    }
}

fn checksum(file: File) -> io::Result<u32> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            return Ok(hasher.finalize());
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
}

/// `None` where nothing is.
fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests may")]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_kept_once_and_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let shelf = Shelf::at(folder.path());
        let mut partial = shelf.place("a/b.csv").unwrap().partial("1").unwrap();
        partial.append(b"id\n").unwrap();
        drop(partial);
        let place = shelf.place("a/b.csv").unwrap();
        assert_eq!(place.kept().unwrap(), None);
        assert_eq!(place.begun().unwrap(), Some(("1".to_owned(), 3)));
        let mut partial = place.partial("1").unwrap();
        assert_eq!(partial.length, 3);
        partial.append(b"7\n").unwrap();
        let file = place.keep(partial).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"id\n7\n");
        assert_eq!(place.kept().unwrap().unwrap().version, "1");
        // Another version begins from nothing, and a file that somebody wrote to is none.
        assert_eq!(place.partial("2").unwrap().length, 0);
        fs::write(&file, "id\n8\n").unwrap();
        assert_eq!(place.kept().unwrap(), None);
    }
}
