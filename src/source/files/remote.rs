//! A folder that others keep: what it holds is listed, and the files that are read are fetched
//! first, once for each version of them. Knows nothing of what stands in the files.

mod kept;
mod service;
mod store;
mod web;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use self::kept::{Place, Shelf};
use self::store::{Listed, Store};
use self::web::{Answer, Web};
use super::delivery::Delivery;
use crate::domain::connection::OptionValue;
use crate::domain::error::SystemError;
use crate::domain::files::{FileStore, FilesSettings, RemoteFolder};
use crate::state;

/// Bytes that are asked for at once: few enough to be held in memory, and to be asked for again
/// when the line breaks.
const PIECE_BYTES: u64 = 8 << 20;

/// Bytes of one file. Who has more in one file has a warehouse.
const FILE_BYTES_MAX: u64 = 64 << 30;

/// Whether somebody still waits for what is read.
#[derive(Debug, Clone)]
pub(super) struct Awaited(Option<Delivery>);

impl Awaited {
    pub(super) fn always() -> Self {
        Self(None)
    }

    pub(super) fn by(delivery: &Delivery) -> Self {
        Self(Some(delivery.clone()))
    }

    fn is_so(&self) -> bool {
        self.0.as_ref().is_none_or(Delivery::is_awaited)
    }
}

/// Who has the files.
#[derive(Debug)]
enum Origin {
    Store {
        store: Store,
        /// By path within the folder.
        files: BTreeMap<String, Listed>,
    },
    Web {
        web: Box<Web>,
        /// Nobody lists them: the connection names them.
        names: Vec<String>,
    },
}

/// A folder that lies elsewhere, as it was when it was listed.
#[derive(Debug)]
pub(super) struct Remote {
    trouble: Trouble,
    settings: FilesSettings,
    folder: RemoteFolder,
    awaited: Awaited,
    origin: Origin,
    shelf: Shelf,
}

impl Remote {
    pub(super) fn list(
        connection: &str,
        settings: &FilesSettings,
        folder: &RemoteFolder,
        awaited: Awaited,
    ) -> Result<Self, SystemError> {
        let trouble = Trouble::of(connection, folder);
        let origin = match folder.store {
            FileStore::Web => {
                let tables = settings.tables.iter();
                let mut names: Vec<String> = tables
                    .map(|(_, pattern)| pattern.text().to_owned())
                    .collect();
                let file = file_of(folder).filter(|file| names.is_empty() || names.contains(file));
                let web = Web::open(folder, file.is_none(), &trouble)?;
                if names.is_empty() {
                    names.extend(file);
                }
                Origin::Web {
                    web: Box::new(web),
                    names,
                }
            }
            FileStore::S3 | FileStore::Google | FileStore::Azure => {
                let store = Store::open(folder, &trouble)?;
                let files = store.list(&trouble)?;
                Origin::Store { store, files }
            }
        };
        Ok(Self {
            trouble,
            settings: settings.clone(),
            folder: folder.clone(),
            awaited,
            origin,
            shelf: Shelf::at(&settings.folder),
        })
    }

    /// The folder as it is by now; `None` where nobody lists it.
    pub(super) fn listed_again(&self) -> Result<Option<Self>, SystemError> {
        match &self.origin {
            Origin::Store { .. } => {
                let (connection, awaited) = (&self.trouble.connection, self.awaited.clone());
                Self::list(connection, &self.settings, &self.folder, awaited).map(Some)
            }
            Origin::Web { .. } => Ok(None),
        }
    }

    /// What a folder holds, and which of it are folders.
    pub(super) fn entries(&self, folder: &Path) -> Vec<(PathBuf, bool)> {
        let prefix = match self.within(folder) {
            within if within.is_empty() => within,
            within => within + "/",
        };
        let mut entries = BTreeMap::new();
        for path in self.paths() {
            let Some(rest) = path.strip_prefix(&prefix) else {
                continue;
            };
            let (name, is_folder) = match rest.split_once('/') {
                Some((name, _)) => (name, true),
                None => (rest, false),
            };
            // Stores know no folders; some programs leave an empty file of a folder's name.
            *entries.entry(folder.join(name)).or_insert(false) |= is_folder;
        }
        entries.into_iter().collect()
    }

    fn paths(&self) -> Vec<&str> {
        match &self.origin {
            Origin::Store { files, .. } => files.keys().map(String::as_str).collect(),
            Origin::Web { names, .. } => names.iter().map(String::as_str).collect(),
        }
    }

    /// The path of a file within the folder.
    fn within(&self, path: &Path) -> String {
        let within = path.strip_prefix(&self.settings.folder).unwrap_or(path);
        within.to_string_lossy().into_owned()
    }

    /// The version of a file, where its store tells it.
    pub(super) fn version(&self, path: &Path) -> Option<&str> {
        match &self.origin {
            Origin::Store { files, .. } => files.get(&self.within(path)).map(|file| &*file.version),
            Origin::Web { .. } => None,
        }
    }

    /// Fetches a file, unless this version of it was fetched before. Where it is then.
    pub(super) fn bring(&self, path: &Path) -> Result<PathBuf, SystemError> {
        let name = self.within(path);
        let kept = |error| self.trouble.kept(&name, error);
        let place = self.shelf.place(&name).map_err(kept)?;
        match &self.origin {
            Origin::Store { store, files } => {
                let Some(listed) = files.get(&name) else {
                    return Err(self.trouble.not_found(&name));
                };
                self.check_length(&name, listed.length)?;
                if let Some(kept) = place.kept().map_err(kept)?
                    && kept.version == listed.version
                {
                    return Ok(place.file(&kept.version));
                }
                let mut partial = place.partial(&listed.version).map_err(kept)?;
                while partial.length < listed.length {
                    self.check_awaited(&name)?;
                    let end = listed.length.min(partial.length + PIECE_BYTES);
                    let piece = store.piece(listed, partial.length..end, &self.trouble)?;
                    partial.append(&piece).map_err(kept)?;
                }
                place.keep(partial).map_err(kept)
            }
            Origin::Web { web, .. } => self.bring_from_web(web, &name, &place),
        }
    }

    fn bring_from_web(&self, web: &Web, name: &str, place: &Place) -> Result<PathBuf, SystemError> {
        let failed = |error| self.trouble.kept(name, error);
        let kept = place.kept().map_err(failed)?;
        let begun = place.begun().map_err(failed)?;
        let ask = |begin: u64, wanted: web::Wanted<'_>| web.ask(name, begin, wanted, &self.trouble);
        let mut answer = match &begun {
            Some((version, length)) if *length > 0 && web::is_told(version) => {
                ask(*length, web::Wanted::Version(version))?
            }
            _ => Answer::Other,
        };
        if let Answer::Other = answer {
            let known = kept.as_ref().map(|kept| kept.version.as_str());
            answer = ask(0, known.map_or(web::Wanted::Any, web::Wanted::Newer))?;
        }
        loop {
            let piece = match answer {
                Answer::Piece(piece) => piece,
                Answer::Same => {
                    let kept = kept.ok_or_else(|| self.trouble.changed(name))?;
                    return Ok(place.file(&kept.version));
                }
                Answer::Other => return Err(self.trouble.changed(name)),
            };
            self.check_length(name, piece.total)?;
            if !web::is_told(&piece.version) && piece.total > piece.bytes.len() as u64 {
                let what =
                    "its server tells no version of it, so that its pieces might be of several";
                let hint = "let the server send an `ETag` or `Last-Modified`".to_owned();
                return Err(self.trouble.failed(name, what, Some(hint)));
            }
            let mut partial = place.partial(&piece.version).map_err(failed)?;
            if piece.begin == 0 {
                partial.restart().map_err(failed)?;
            }
            // Without a version, or with another one, nothing is here to go on with.
            if partial.length != piece.begin {
                return Err(self.trouble.changed(name));
            }
            partial.append(&piece.bytes).map_err(failed)?;
            if partial.length >= piece.total {
                return place.keep(partial).map_err(failed);
            }
            self.check_awaited(name)?;
            answer = ask(partial.length, web::Wanted::Version(&piece.version))?;
        }
    }

    fn check_length(&self, name: &str, length: u64) -> Result<(), SystemError> {
        match length > FILE_BYTES_MAX {
            true => Err(self.trouble.failed(
                name,
                format!(
                    "it has {length} bytes, and files of more than {FILE_BYTES_MAX} are not fetched"
                ),
                Some("write the table as several files".to_owned()),
            )),
            false => Ok(()),
        }
    }

    fn check_awaited(&self, name: &str) -> Result<(), SystemError> {
        match self.awaited.is_so() {
            true => Ok(()),
            false => Err(self
                .trouble
                .failed(name, "nobody waits for it any more", None)),
        }
    }
}

/// The name of the file that a URL leads to; `None` of a folder.
fn file_of(folder: &RemoteFolder) -> Option<String> {
    let mut segments = folder.url.path_segments()?;
    let name = segments.next_back().filter(|name| !name.is_empty())?;
    let name = percent_encoding::percent_decode_str(name).decode_utf8_lossy();
    Some(name.into_owned())
}

/// What goes wrong with a folder that lies elsewhere, in words that hold no secret.
#[derive(Debug)]
struct Trouble {
    connection: String,
    folder: String,
    secrets: Vec<String>,
}

impl Trouble {
    fn of(connection: &str, folder: &RemoteFolder) -> Self {
        let secrets = folder.options.iter().filter_map(|(_, value)| match value {
            OptionValue::Secret(secret) if !secret.reveal().is_empty() => {
                Some(secret.reveal().to_owned())
            }
            OptionValue::Secret(_) | OptionValue::Plain(_) => None,
        });
        Self {
            connection: connection.to_owned(),
            folder: folder.url.to_string(),
            secrets: secrets.collect(),
        }
    }

    fn scrubbed(&self, text: &str) -> String {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.secrets
            .iter()
            .fold(line, |line, secret| line.replace(secret, "***"))
    }

    fn failed(&self, name: &str, cause: impl Into<String>, hint: Option<String>) -> SystemError {
        SystemError::Failed {
            connection: self.connection.clone(),
            doing: match name {
                "" => format!("listing `{}`", self.folder),
                name => format!("fetching `{name}`"),
            },
            source: self.scrubbed(&cause.into()).into(),
            hint,
        }
    }

    fn unavailable(&self, cause: &str) -> SystemError {
        SystemError::Unavailable {
            connection: self.connection.clone(),
            source: self.scrubbed(cause).into(),
        }
    }

    fn forbidden(&self, cause: &str) -> SystemError {
        SystemError::Forbidden {
            connection: self.connection.clone(),
            source: self.scrubbed(cause).into(),
            hint: format!(
                "let whoever `[connections.{0}.options]` names list and read `{1}`",
                self.connection, self.folder
            ),
        }
    }

    fn not_found(&self, name: &str) -> SystemError {
        SystemError::NotFound {
            what: match name {
                "" => format!("the folder `{}`", self.folder),
                name => format!("`{name}` of `{}`", self.folder),
            },
            hint: Some(format!(
                "see `folder` of `[connections.{}]`",
                self.connection
            )),
        }
    }

    fn changed(&self, name: &str) -> SystemError {
        self.failed(
            name,
            "it changed while it was fetched",
            Some("run again, when whoever writes it has finished".to_owned()),
        )
    }

    /// The folder of fetched files could not be read or written.
    fn kept(&self, name: &str, error: std::io::Error) -> SystemError {
        let doing = format!("keeping `{name}` in the project's `.writeback`");
        SystemError::Failed {
            connection: self.connection.clone(),
            doing,
            hint: state::hint(&error).map(str::to_owned),
            source: error.into(),
        }
    }
}
