//! The folder of a practice: describe answers (`OBJECT.json`), records (`OBJECT.csv` or
//! `OBJECT.ndjson`) and settings (`practice.toml`). Reads files and knows no API.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

/// The file of settings.
pub(crate) const SETTINGS_FILE: &str = "practice.toml";

/// What stands in a practice's folder.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    /// Describe answers, by file name.
    pub(crate) describes: Vec<(String, Value)>,
    /// Records of each object, by the file's name without its extension.
    pub(crate) records: Vec<RecordFile>,
    /// The text of `practice.toml`, if there is one.
    pub(crate) settings: Option<String>,
    pub(crate) path: PathBuf,
}

/// The records of one file.
#[derive(Debug)]
pub(crate) struct RecordFile {
    pub(crate) name: String,
    /// The object, as the file is named.
    pub(crate) object: String,
    /// Each with its line in the file. A cell of CSV is a text; an empty one is not there.
    pub(crate) records: Numbered,
}

/// Records, each with its line in the file.
type Numbered = Vec<(u64, Map<String, Value>)>;

/// What is wrong with a practice's folder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FolderError {
    #[error("could not read `{path}`")]
    Io { path: String, source: io::Error },
    #[error("`{file}` is not JSON")]
    Json {
        file: String,
        source: serde_json::Error,
    },
    #[error("`{file}`, line {line}: {what}")]
    Record {
        file: String,
        line: u64,
        what: String,
    },
    #[error("`{file}`: {what}")]
    Settings { file: String, what: String },
    #[error("`{path}` holds no describe answer")]
    Empty { path: String },
}

impl FolderError {
    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } | Self::Record { .. } | Self::Settings { .. } => None,
            Self::Json { .. } => {
                Some("a describe answer is what the API answers, unchanged".to_owned())
            }
            Self::Empty { .. } => Some(
                "save one for each object, such as `Account.json`: `writeback describe` does it for a real account"
                    .to_owned(),
            ),
        }
    }
}

impl Folder {
    pub(crate) fn read(path: &Path) -> Result<Self, FolderError> {
        let mut folder = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        for file in files(path)? {
            folder.take(&file)?;
        }
        match folder.describes.is_empty() {
            true => Err(FolderError::Empty {
                path: path.display().to_string(),
            }),
            false => Ok(folder),
        }
    }

    fn take(&mut self, file: &Path) -> Result<(), FolderError> {
        let name = file_name(file);
        let object = file
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let extension = file.extension().unwrap_or_default().to_string_lossy();
        match extension.as_ref() {
            "json" => {
                let text = text(file)?;
                let describe = serde_json::from_str(&text).map_err(|source| FolderError::Json {
                    file: name.clone(),
                    source,
                })?;
                self.describes.push((name, describe));
            }
            "ndjson" => {
                let records = ndjson(&name, &text(file)?)?;
                self.records.push(RecordFile {
                    name,
                    object,
                    records,
                });
            }
            "csv" => {
                let records = csv_records(&name, &text(file)?)?;
                self.records.push(RecordFile {
                    name,
                    object,
                    records,
                });
            }
            _ if name == SETTINGS_FILE => self.settings = Some(text(file)?),
            _ => {}
        }
        Ok(())
    }
}

/// A folder's files, by name; hidden ones are left out.
fn files(path: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let failed = |source| FolderError::Io {
        path: path.display().to_string(),
        source,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.is_file() && !file_name(&file).starts_with('.') {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn file_name(file: &Path) -> String {
    file.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

fn text(file: &Path) -> Result<String, FolderError> {
    fs::read_to_string(file).map_err(|source| FolderError::Io {
        path: file.display().to_string(),
        source,
    })
}

fn ndjson(file: &str, text: &str) -> Result<Numbered, FolderError> {
    let lines = (1..).zip(text.lines());
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            let record = serde_json::from_str(line).map_err(|error| FolderError::Record {
                file: file.to_owned(),
                line: number,
                what: format!("not a JSON object: {error}"),
            })?;
            Ok((number, record))
        })
        .collect()
}

fn csv_records(file: &str, text: &str) -> Result<Numbered, FolderError> {
    let failed = |line, what: String| FolderError::Record {
        file: file.to_owned(),
        line,
        what,
    };
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader
        .headers()
        .map_err(|error| failed(1, error.to_string()))?
        .clone();
    let mut records = Vec::new();
    for row in reader.records() {
        let row = row.map_err(|error| {
            failed(
                error.position().map_or(0, csv::Position::line),
                error.to_string(),
            )
        })?;
        let line = row.position().map_or(0, csv::Position::line);
        let cells = header.iter().zip(row.iter());
        let record = cells
            .filter(|(_, cell)| !cell.is_empty())
            .map(|(name, cell)| (name.to_owned(), Value::String(cell.to_owned())))
            .collect();
        records.push((line, record));
    }
    Ok(records)
}
