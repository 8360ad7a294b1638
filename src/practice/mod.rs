//! Practice: stand-ins of web APIs, for rehearsing the whole path without an account. A stand-in is
//! served over real HTTP from a folder of describe answers and records, and is held to what clients
//! of that API expect. What is one API's own stands in its folder; what surrounds it here.

mod app;
mod bullhorn;
mod call;
mod clock;
mod dataverse;
mod desk;
mod faults;
mod folder;
mod hubspot;
mod keys;
mod line;
mod salesforce;
mod stand_in;
mod store;

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tokio::net::TcpListener;

pub(crate) use self::app::{CLIENT_ID, CLIENT_SECRET};
use self::bullhorn::Bullhorn;
pub(crate) use self::bullhorn::{PASSWORD, USERNAME};
use self::dataverse::Dataverse;
pub(crate) use self::dataverse::TENANT;
use self::desk::Desk;
pub(crate) use self::faults::Faults;
use self::folder::{Folder, FolderError};
use self::hubspot::HubSpot;
pub(crate) use self::hubspot::TOKEN as HUBSPOT_TOKEN;
use self::line::Lines;
use self::salesforce::Salesforce;
use self::store::Store;
use crate::domain::connection::ServiceKind;
use crate::state;

/// What a practice is made of, and where its state is kept.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) kind: ServiceKind,
    /// Describe answers, records and `practice.toml`.
    pub(crate) folder: PathBuf,
    /// The project's folder of state.
    pub(crate) state_folder: PathBuf,
    /// The connection's name.
    pub(crate) name: String,
}

impl Place {
    /// A file of the practice's state.
    pub(crate) fn file(&self, extension: &str) -> PathBuf {
        let name = format!("{}.{extension}", self.name);
        self.state_folder.join("practice").join(name)
    }
}

/// Where a practice listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// Here, until this process ends.
    Here(SocketAddr),
    /// Another process, or another part of this one, serves it already.
    Elsewhere(SocketAddr),
}

impl Served {
    pub(crate) fn address(self) -> SocketAddr {
        match self {
            Self::Here(address) | Self::Elsewhere(address) => address,
        }
    }
}

/// Why a practice is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PracticeError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("could not {doing} `{path}`")]
    Io {
        doing: &'static str,
        path: String,
        source: io::Error,
    },
    #[error("could not use the practice's state `{path}`")]
    State { path: String, source: sqlx::Error },
    #[error("could not listen on {address}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("practice `{name}` is served by another process, which does not say where")]
    Busy { name: String },
}

impl PracticeError {
    /// The next thing to do, if it is known.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Folder(error) => error.hint(),
            Self::Io { source, .. } => state::hint(source).map(str::to_owned),
            Self::State { path, .. } => Some(format!(
                "remove `{path}` to begin again from the folder's records"
            )),
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("another process listens there: stop it, or take another port".to_owned())
            }
            Self::Listen { .. } => Some("127.0.0.1 with another port is always there".to_owned()),
            Self::Busy { .. } => Some("wait until it is ready, or stop it".to_owned()),
        }
    }
}

/// Serves a practice on some port of this machine until the process ends; if it is served already,
/// says where.
pub(crate) async fn serve(place: &Place) -> Result<Served, PracticeError> {
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let wishes = Wishes {
        address: anywhere,
        faults: Faults::default(),
        fresh: false,
    };
    serve_as(place, wishes).await
}

/// How a practice is to be served.
#[derive(Debug, Clone)]
pub(crate) struct Wishes {
    pub(crate) address: SocketAddr,
    pub(crate) faults: Faults,
    /// Whether what was written before is forgotten.
    pub(crate) fresh: bool,
}

/// Serves a practice until the process ends; if it is served already, says where.
pub(crate) async fn serve_as(place: &Place, wishes: Wishes) -> Result<Served, PracticeError> {
    let Wishes {
        address,
        faults,
        fresh,
    } = wishes;
    let folder = place.state_folder.join("practice");
    let failed = |doing, path: &Path| {
        let path = path.display().to_string();
        move |source| PracticeError::Io {
            doing,
            path,
            source,
        }
    };
    state::make_folder_within(&place.state_folder, &folder).map_err(failed("make", &folder))?;
    let lock_file = place.file("lock");
    let lock = state::open_or_create_file(&lock_file).map_err(failed("open", &lock_file))?;
    if lock.try_lock().is_err() {
        return elsewhere(place).await;
    }
    let read = Folder::read(&place.folder)?;
    if fresh {
        forget(place)?;
    }
    let file = place.file("db");
    state::refuse_link(&file).map_err(failed("open", &file))?;
    let in_state = |source| PracticeError::State {
        path: file.display().to_string(),
        source,
    };
    let mut store = Store::open(&file).await.map_err(in_state)?;
    let documents = store.documents().await.map_err(in_state)?;
    let listening = |source| PracticeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listening)?;
    let address = listener.local_addr().map_err(listening)?;
    match place.kind {
        ServiceKind::Salesforce => {
            let desk = Desk::new(Salesforce::load(read, &documents)?, store, faults);
            desk.open(Lines(listener)).await.map_err(in_state)?;
        }
        ServiceKind::Bullhorn => {
            let desk = Desk::new(Bullhorn::load(read, &documents)?, store, faults);
            desk.open(Lines(listener)).await.map_err(in_state)?;
        }
        ServiceKind::HubSpot => {
            let desk = Desk::new(HubSpot::load(read, &documents)?, store, faults);
            desk.open(Lines(listener)).await.map_err(in_state)?;
        }
        ServiceKind::Dataverse => {
            let desk = Desk::new(Dataverse::load(read, &documents)?, store, faults);
            desk.open(Lines(listener)).await.map_err(in_state)?;
        }
    }
    tell(place, address, lock).map_err(failed("write", &place.file("address")))?;
    Ok(Served::Here(address))
}

/// How any client of the API is let in, in words.
pub(crate) fn way_in(kind: ServiceKind, address: SocketAddr) -> String {
    match kind {
        ServiceKind::Salesforce => salesforce::way_in(address),
        ServiceKind::Bullhorn => bullhorn::way_in(address),
        ServiceKind::HubSpot => hubspot::way_in(),
        ServiceKind::Dataverse => dataverse::way_in(address),
    }
}

/// Removes what was written.
fn forget(place: &Place) -> Result<(), PracticeError> {
    for extension in ["db", "db-wal", "db-shm"] {
        let file = place.file(extension);
        match std::fs::remove_file(&file) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(PracticeError::Io {
                    doing: "remove",
                    path: file.display().to_string(),
                    source,
                });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Lets other processes know where the practice listens, for as long as this one lives.
fn tell(place: &Place, address: SocketAddr, lock: File) -> io::Result<()> {
    let file = state::AsideFile::create(&place.file("address"))?;
    io::Write::write_all(&mut file.file(), address.to_string().as_bytes())?;
    file.place()?;
    // The system gives it back when the process ends, however that happens.
    std::mem::forget(lock);
    Ok(())
}

/// Where a practice is served that this process does not serve itself.
async fn elsewhere(place: &Place) -> Result<Served, PracticeError> {
    let read = || std::fs::read_to_string(place.file("address")).ok();
    for _ in 0..ELSEWHERE_LOOKS {
        let address = read().and_then(|text| text.trim().parse().ok());
        if let Some(address) = address
            && tokio::net::TcpStream::connect(address).await.is_ok()
        {
            return Ok(Served::Elsewhere(address));
        }
        tokio::time::sleep(ELSEWHERE_PAUSE).await;
    }
    Err(PracticeError::Busy {
        name: place.name.clone(),
    })
}

/// How often it is looked whether another process is ready, and how long between two looks: it may
/// have to read many records first.
const ELSEWHERE_LOOKS: u32 = 100;
const ELSEWHERE_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);
