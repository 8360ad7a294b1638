//! Files in S3, Google Cloud Storage and Azure Blob Storage, and in what speaks as they do.

use std::collections::BTreeMap;
use std::error::Error;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::{BackoffConfig, GetOptions, ObjectStore, RetryConfig};

use super::Trouble;
use super::service::{Clients, wait};
use crate::domain::error::{SystemError, chain};
use crate::domain::files::{FileStore, RemoteFolder};

/// Files of a folder, those in folders of it included. A table has ten thousand parts at the most.
const FILES_MAX: usize = 20_000;

/// A request that fails for a passing reason is sent so often again.
const RETRIES_MAX: usize = 4;

/// A file as its folder lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listed {
    location: Path,
    /// Bytes.
    pub(super) length: u64,
    /// What changes whenever the file does.
    pub(super) version: String,
    /// The same, where a request can be bound to it.
    tag: Option<String>,
}

/// Whoever keeps the folder.
#[derive(Debug)]
pub(super) struct Store {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl Store {
    /// Asks nobody yet. Errors: options that the store does not know or take.
    pub(super) fn open(folder: &RemoteFolder, trouble: &Trouble) -> Result<Self, SystemError> {
        let clients = Clients::of(folder, trouble)?;
        let refused = |error: object_store::Error| {
            let hint = format!("see `[connections.{}.options]`", trouble.connection);
            trouble.failed("", words(&error), Some(hint))
        };
        let prefix = Path::from_url_path(folder.url.path())
            .map_err(|error| trouble.failed("", error.to_string(), None))?;
        let bucket = folder.url.host_str().unwrap_or_default();
        let retry = RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RETRIES_MAX,
            retry_timeout: folder.request_timeout.min(Duration::from_secs(180)),
        };
        let store: Arc<dyn ObjectStore> = match folder.store {
            FileStore::Google => {
                let mut builder = GoogleCloudStorageBuilder::from_env();
                for (name, value) in &folder.options {
                    let key: GoogleConfigKey = known(name, trouble, |key| {
                        matches!(key, GoogleConfigKey::Client(_) | GoogleConfigKey::Bucket)
                    })?;
                    builder = builder.with_config(key, value.reveal());
                }
                let builder = builder.with_bucket_name(bucket).with_retry(retry);
                Arc::new(
                    builder
                        .with_http_connector(clients)
                        .build()
                        .map_err(refused)?,
                )
            }
            FileStore::Azure => {
                let mut builder = MicrosoftAzureBuilder::from_env();
                for (name, value) in &folder.options {
                    let key: AzureConfigKey = known(name, trouble, |key| {
                        matches!(
                            key,
                            AzureConfigKey::Client(_) | AzureConfigKey::ContainerName
                        )
                    })?;
                    builder = builder.with_config(key, value.reveal());
                }
                let builder = builder.with_container_name(bucket).with_retry(retry);
                Arc::new(
                    builder
                        .with_http_connector(clients)
                        .build()
                        .map_err(refused)?,
                )
            }
            FileStore::S3 | FileStore::Web => {
                let mut builder = AmazonS3Builder::from_env();
                for (name, value) in &folder.options {
                    let key: AmazonS3ConfigKey = known(name, trouble, |key| {
                        matches!(
                            key,
                            AmazonS3ConfigKey::Client(_) | AmazonS3ConfigKey::Bucket
                        )
                    })?;
                    builder = builder.with_config(key, value.reveal());
                }
                let builder = builder.with_bucket_name(bucket).with_retry(retry);
                Arc::new(
                    builder
                        .with_http_connector(clients)
                        .build()
                        .map_err(refused)?,
                )
            }
        };
        Ok(Self { store, prefix })
    }

    /// The folder's files, by their paths within it.
    pub(super) fn list(&self, trouble: &Trouble) -> Result<BTreeMap<String, Listed>, SystemError> {
        let prefix = (!self.prefix.as_ref().is_empty()).then_some(&self.prefix);
        let mut found = self.store.list(prefix);
        let listing = async {
            let mut files = BTreeMap::new();
            while let Some(file) = found.try_next().await? {
                let within = file.location.as_ref().strip_prefix(self.prefix.as_ref());
                let name = within
                    .unwrap_or_default()
                    .trim_start_matches('/')
                    .to_owned();
                if name.is_empty() {
                    continue;
                }
                let dated = || format!("{} {}", file.size, file.last_modified.to_rfc3339());
                let version = file.e_tag.clone().unwrap_or_else(dated);
                let listed = Listed {
                    location: file.location,
                    length: file.size,
                    version,
                    tag: file.e_tag,
                };
                files.insert(name, listed);
                if files.len() > FILES_MAX {
                    return Ok(None);
                }
            }
            Ok::<_, object_store::Error>(Some(files))
        };
        let files = wait(listing).map_err(|error| trouble.unavailable(&error.to_string()))?;
        let files = files.map_err(|error| told(&error, "", trouble))?;
        files.ok_or_else(|| {
            trouble.failed(
                "",
                format!("it holds more than {FILES_MAX} files"),
                Some("name a folder within it that holds the tables".to_owned()),
            )
        })
    }

    /// Some bytes of a file, if it still is what was listed.
    pub(super) fn piece(
        &self,
        listed: &Listed,
        bytes: Range<u64>,
        trouble: &Trouble,
    ) -> Result<Vec<u8>, SystemError> {
        let wanted = bytes.end - bytes.start;
        let options = GetOptions::new()
            .with_range(Some(bytes))
            .with_if_match(listed.tag.clone());
        let asking = async {
            let answer = self.store.get_opts(&listed.location, options).await?;
            answer.bytes().await
        };
        let piece = wait(asking).map_err(|error| trouble.unavailable(&error.to_string()))?;
        let piece = piece.map_err(|error| told(&error, listed.location.as_ref(), trouble))?;
        match piece.len() as u64 == wanted {
            true => Ok(piece.to_vec()),
            false => Err(trouble.changed(listed.location.as_ref())),
        }
    }
}

/// An option by its name. Errors: the store knows none of it, or the connection says it elsewhere.
fn known<K: FromStr<Err = object_store::Error>>(
    name: &str,
    trouble: &Trouble,
    is_said_elsewhere: impl Fn(&K) -> bool,
) -> Result<K, SystemError> {
    let hint = "names of options are those of the object_store library: \
                <https://docs.rs/object_store/latest/object_store/>";
    match name.parse::<K>() {
        Ok(key) if !is_said_elsewhere(&key) => Ok(key),
        Ok(_) => Err(trouble.failed(
            "",
            format!(
                "option `{name}` is not for `[connections.{}.options]`",
                trouble.connection
            ),
            Some("places and time-outs are keys of the connection itself".to_owned()),
        )),
        Err(_) => Err(trouble.failed(
            "",
            format!("there is no option `{name}`"),
            Some(hint.to_owned()),
        )),
    }
}

/// An error of a store, sorted by what can be done about it.
fn told(error: &object_store::Error, name: &str, trouble: &Trouble) -> SystemError {
    use object_store::Error as E;
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library's list of errors is open"
    )]
    match error {
        E::NotFound { .. } => trouble.not_found(name),
        E::Precondition { .. } | E::NotModified { .. } => trouble.changed(name),
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => trouble.forbidden(&words(error)),
        E::NotSupported { .. } | E::InvalidPath { .. } => trouble.failed(name, words(error), None),
        error => {
            // Of a listing the library tells the status in words alone.
            let words = words(error);
            let is = |status: &str| words.contains(&format!("status code: {status}"));
            match (is("401") || is("403"), is("404")) {
                (true, _) => trouble.forbidden(&words),
                (false, true) => trouble.not_found(name),
                (false, false) => trouble.unavailable(&words),
            }
        }
    }
}

/// What a library's error says, causes included, once.
fn words(error: &(dyn Error + 'static)) -> String {
    chain(error).join(": ")
}
