//! `manifest.json`: what a package holds, and the checksums it is checked against.

use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

use super::error::PackageError;
use crate::state;

/// The format this program writes, and the newest it reads.
const FORMAT: u32 = 1;

pub(super) const FILE_NAME: &str = "manifest.json";

/// What a package holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Manifest {
    /// Names of the columns that identify a record.
    pub(super) key_columns: Vec<String>,
    pub(super) records: u64,
    /// In the order of their keys.
    pub(super) partitions: Vec<PartitionEntry>,
    /// Absent where records were read from no files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) places: Option<PlacesEntry>,
}

/// The file that tells where records stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlacesEntry {
    /// XXH3 of the file, as in [`PartitionEntry`].
    pub(super) xxh3: String,
}

/// One partition's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartitionEntry {
    /// Its name in the package's folder.
    pub(super) file: String,
    pub(super) records: u64,
    pub(super) bytes: u64,
    /// XXH3 of the file, 64 bits, sixteen hexadecimal digits.
    pub(super) xxh3: String,
}

/// The file around a [`Manifest`]: the format stands outside what is checked, so that a newer one
/// is told from damage.
#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u32,
    /// Of the manifest's text as it stands in the file.
    xxh3: String,
    manifest: Box<RawValue>,
}

/// A checksum as manifests write it.
pub(super) fn checksum_text(checksum: u64) -> String {
    format!("{checksum:016x}")
}

impl Manifest {
    /// Writes the manifest into a package's folder, to be read after a power loss.
    pub(super) fn write(&self, folder: &Path) -> Result<(), PackageError> {
        let path = folder.join(FILE_NAME);
        let text = self
            .to_text()
            .map_err(|error| PackageError::io("write", &path, error.into()))?;
        let written = state::create_file(&path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|error| PackageError::io("write", &path, error))
    }

    fn to_text(&self) -> serde_json::Result<String> {
        let manifest = serde_json::value::to_raw_value(self)?;
        let xxh3 = checksum_text(xxh3_64(manifest.get().as_bytes()));
        serde_json::to_string(&Envelope {
            format: FORMAT,
            xxh3,
            manifest,
        })
    }

    /// Reads the manifest of the package in `folder`.
    /// Errors: `Newer`; `Damaged`, if it does not agree with its checksum.
    pub(super) fn read(folder: &Path) -> Result<Self, PackageError> {
        let path = folder.join(FILE_NAME);
        let text = state::open_file(&path).and_then(std::io::read_to_string);
        let text = text.map_err(|error| {
            let no_text = error.kind() == std::io::ErrorKind::InvalidData;
            if no_text {
                PackageError::damaged(&path, "it is not text")
            } else {
                PackageError::io("read", &path, error)
            }
        })?;
        let damaged = |error: serde_json::Error| PackageError::damaged(&path, error.to_string());
        let envelope: Envelope = serde_json::from_str(&text).map_err(damaged)?;
        if envelope.format > FORMAT {
            return Err(PackageError::Newer {
                path: path.display().to_string(),
                format: envelope.format,
            });
        }
        if envelope.format != FORMAT
            || envelope.xxh3 != checksum_text(xxh3_64(envelope.manifest.get().as_bytes()))
        {
            return Err(PackageError::damaged(&path, "its checksum is wrong"));
        }
        serde_json::from_str(envelope.manifest.get()).map_err(damaged)
    }
}
