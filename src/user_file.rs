//! Files that a user names: only regular ones are opened, and of each no more is read than such a
//! file may hold. A named pipe or a device would be waited for, perhaps for ever, by a program that
//! meanwhile hears no signal; and what is read of it is gone, while checking, previewing and
//! running each read the whole.

use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Bytes a file of certificates may have: the authorities of the whole world take a quarter of it.
const CERTIFICATES_BYTES_MAX: u64 = 1 << 20;

/// Errors: `InvalidInput`, if what stands there is no regular file.
pub(crate) fn expect(path: &Path) -> io::Result<()> {
    expect_regular(fs::metadata(path)?.file_type())
}

/// Opens a regular file for reading, be it by way of a link.
/// Errors: `InvalidInput`, if it is something else.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Looked at first: merely to open some devices does something.
    expect(path)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    // Something else may stand there by now, and is not waited for either.
    expect_regular(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a regular file whole.
/// Errors: as [`open`]; `FileTooLarge`, if it has more than `bytes_max` bytes.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?
        .take(bytes_max.saturating_add(1))
        .read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()).is_ok_and(|length| length <= bytes_max) {
        true => Ok(bytes),
        false => Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is larger than {bytes_max} bytes"),
        )),
    }
}

/// Reads a file of certificates.
/// Errors: as [`read`].
pub(crate) fn certificates(path: &Path) -> io::Result<Vec<u8>> {
    read(path, CERTIFICATES_BYTES_MAX)
}

fn expect_regular(found: FileType) -> io::Result<()> {
    let what = match found {
        _ if found.is_file() => return Ok(()),
        _ if found.is_dir() => "a folder",
        _ if found.is_fifo() => "a named pipe",
        _ if found.is_socket() => "a socket",
        _ => "a device",
    };
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is not a regular file but {what}"),
    ))
}
