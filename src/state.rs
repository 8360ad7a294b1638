//! Files of the state folder: readable by their owner only, never reached through a symbolic link,
//! and on disk when they say so. Knows nothing of what the files hold.
//!
//! Links are looked for before a file is opened, since the flag that would refuse them while
//! opening differs from system to system. Whoever could place a link in between can write to a
//! folder of mode 0700, and needs no link.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::fault;

const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Makes a folder and those above it, unless it is there.
/// Errors: what stands there is a link or no folder.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    refuse_link(folder)?;
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder)
}

/// Makes a folder within `top`, and those between the two, unless they are there.
/// Errors: one of them, `top` included, is a link or no folder.
pub(crate) fn make_folder_within(top: &Path, folder: &Path) -> io::Result<()> {
    let folders: Vec<&Path> = folder
        .ancestors()
        .take_while(|ancestor| ancestor.starts_with(top))
        .collect();
    folders.into_iter().rev().try_for_each(make_folder)
}

/// Makes a file that is not there yet, for writing and reading back.
pub(crate) fn create_file(file: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(FILE_MODE)
        .open(file)
}

/// Opens a file for reading and writing, making it if it is not there.
pub(crate) fn open_or_create_file(file: &Path) -> io::Result<File> {
    refuse_link(file)?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(file)
}

/// Opens a regular file for reading.
pub(crate) fn open_file(file: &Path) -> io::Result<File> {
    if !fs::symlink_metadata(file)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    File::open(file)
}

/// Errors: there is a symbolic link at `path`.
pub(crate) fn refuse_link(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_symlink() => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a symbolic link, and state is never kept behind one",
        )),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Waits until a folder's entries are on disk: names made, renamed or removed.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder that `path` stands in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    }
}

/// Where something is written before it is put in place at `path`: beside it, under one name, so
/// that what a killed process left is found and replaced.
pub(crate) fn aside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// A file written aside. It stands in place after [`AsideFile::place`], whole; dropped before,
/// nothing of it stays.
#[derive(Debug)]
pub(crate) struct AsideFile {
    aside: NamedTempFile,
    place: PathBuf,
}

impl AsideFile {
    pub(crate) fn create(place: &Path) -> io::Result<Self> {
        make_folder(parent(place))?;
        Self::create_in_users_folder(place)
    }

    /// As [`AsideFile::create`], in a folder of the user's own: it is there already, and may well
    /// be reached by a link. Errors: what stands at `place` is a folder.
    pub(crate) fn create_in_users_folder(place: &Path) -> io::Result<Self> {
        if place.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let folder = parent(place);
        let aside_path = aside(place);
        remove_file_if_there(&aside_path)?;
        let aside = tempfile::Builder::new()
            .prefix(aside_path.file_name().unwrap_or_default())
            .rand_bytes(0)
            .permissions(Permissions::from_mode(FILE_MODE))
            .tempfile_in(folder)?;
        Ok(Self {
            aside,
            place: place.to_owned(),
        })
    }

    /// For writing.
    pub(crate) fn file(&self) -> &File {
        self.aside.as_file()
    }

    /// Puts the file in place, instead of one that stands there.
    pub(crate) fn place(self) -> io::Result<()> {
        self.aside.as_file().sync_all()?;
        fault::point("a report written aside");
        self.aside
            .persist(&self.place)
            .map_err(|error| error.error)?;
        sync_folder(parent(&self.place))?;
        fault::point("a report put in place");
        Ok(())
    }
}

/// What to do about a file that could not be read or written, if the error tells.
pub(crate) fn hint(error: &io::Error) -> Option<&'static str> {
    let hints = [
        (
            io::ErrorKind::StorageFull,
            "free some space on the disk, then run again",
        ),
        (
            io::ErrorKind::QuotaExceeded,
            "free some space within the quota, then run again",
        ),
        (
            io::ErrorKind::ReadOnlyFilesystem,
            "keep the project where files can be written",
        ),
        (
            io::ErrorKind::PermissionDenied,
            "state files belong to the user who made them; run as that user",
        ),
    ];
    hints
        .into_iter()
        .find(|(kind, _)| *kind == error.kind())
        .map(|(_, hint)| hint)
}

/// Removes a folder with all that is in it.
pub(crate) fn remove_folder_if_there(folder: &Path) -> io::Result<()> {
    unless_gone(fs::remove_dir_all(folder))
}

/// Removes a file, if there is one.
pub(crate) fn remove_file_if_there(file: &Path) -> io::Result<()> {
    unless_gone(fs::remove_file(file))
}

fn unless_gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_written_aside_is_seen_only_when_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = folder.path().join("deep/report.csv");
        for text in ["one", "two"] {
            let file = AsideFile::create(&place).expect("a file aside");
            file.file().write_all(text.as_bytes()).expect("written");
            assert_ne!(fs::read_to_string(&place).ok().as_deref(), Some(text));
            file.place().expect("in place");
            assert_eq!(fs::read_to_string(&place).expect("read"), text);
        }
        assert_eq!(
            fs::metadata(&place).expect("there").permissions().mode() & 0o777,
            FILE_MODE
        );
        assert_eq!(
            fs::metadata(parent(&place))
                .expect("there")
                .permissions()
                .mode()
                & 0o777,
            FOLDER_MODE
        );
    }

    #[test]
    fn what_a_killed_process_left_aside_is_replaced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let place = folder.path().join("report.csv");
        fs::write(aside(&place), "half").expect("left over");
        drop(AsideFile::create(&place).expect("a file aside"));
        assert_eq!(fs::read_dir(folder.path()).expect("listed").count(), 0);
    }

    #[test]
    fn links_are_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let link = folder.path().join("link");
        symlink(folder.path(), &link).expect("a link");
        assert!(make_folder(&link).is_err());
        assert!(open_or_create_file(&link).is_err());
        assert!(open_file(&link).is_err());
        assert!(create_file(&link).is_err());
    }

    #[test]
    fn no_folder_on_the_way_is_a_link() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (top, elsewhere) = (folder.path().join("top"), folder.path().join("elsewhere"));
        make_folder_within(&top, &top.join("runs/1")).expect("made");
        assert!(top.join("runs/1").is_dir());
        fs::create_dir(&elsewhere).expect("made");
        symlink(&elsewhere, top.join("link")).expect("a link");
        assert!(make_folder_within(&top, &top.join("link/1")).is_err());
        assert!(make_folder_within(&top.join("link"), &top.join("link/1")).is_err());
        assert_eq!(fs::read_dir(&elsewhere).expect("listed").count(), 0);
        // What is above is the user's own business.
        symlink(folder.path(), folder.path().join("above")).expect("a link");
        make_folder_within(
            &folder.path().join("above/top"),
            &folder.path().join("above/top/runs/2"),
        )
        .expect("made");
    }
}
