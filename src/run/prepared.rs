//! What packages of an interrupted run were prepared for. A run that takes them up believes the
//! ledger about batches that are committed, which is true only of the very database that they were
//! committed to, and of an object that still takes what was made to fit it.

use xxhash_rust::xxh3::xxh3_64;

use crate::destination::AnyDestination;
use crate::destination::seam::Destination;
use crate::domain::connection::Connection;
use crate::domain::error::SystemError;
use crate::domain::layout::Layout;

/// A database, told from others by where it is and who it says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home(String);

impl Home {
    pub(crate) async fn of(
        destination: &mut AnyDestination,
        connection: &Connection,
    ) -> Result<Self, SystemError> {
        let told = format!("{} {}", connection.address(), destination.identity().await?);
        Ok(Self(format!("{:016x}", xxh3_64(told.as_bytes()))))
    }
}

/// Stands between the two parts of what the ledger keeps.
const MARK: char = '@';

/// As the ledger keeps it.
pub(super) fn told(layout: &Layout, home: &Home) -> String {
    format!("{}{MARK}{}", layout.fingerprint(), home.0)
}

/// Why what was prepared so is not to be written to this; `None` if it may be.
pub(super) fn why_unfit(
    prepared: &str,
    layout: &Layout,
    home: &Home,
    connection: &str,
) -> Option<String> {
    // Earlier versions told of the layout only.
    let (was_layout, was_home) = prepared.split_once(MARK).unwrap_or((prepared, &home.0));
    if was_home != home.0 {
        return Some(format!(
            "`{connection}` leads to another database, or to one that was restored, since it began"
        ));
    }
    let object = layout.object.display_name();
    (was_layout != layout.fingerprint())
        .then(|| format!("`{object}` was altered before it could be taken up"))
}
