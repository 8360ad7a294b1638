//! The web page of `serve`: what runs, what waits for a person, and why. Pages are made here, on the
//! server, out of what the commands print; no rule and no number is the page's own. Whoever asks is
//! signed in, looking changes nothing, and every act is a POST that is written down.

mod account;
mod activity;
mod acts;
mod agencies;
mod api;
mod asset_routes;
mod assets;
mod clock;
mod dashboards;
mod deciding;
mod door;
mod editing;
mod files;
mod frame;
mod house;
mod jobs;
mod looks;
mod overview;
mod parts;
mod paths;
mod people;
mod plots;
mod problems;
mod questions;
mod refusal;
mod runs;
mod runs_csv;
mod settings;
mod sign_in;
mod switch;
mod tending;
mod told;
mod write_backs;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use tower_http::compression::CompressionLayer;
use tower_http::csrf::CsrfLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use tracing::info;

pub(crate) use self::api::openapi_text;
use self::house::House;
use crate::access::{AccessBook, AccessError};
use crate::config::{PageSettings, Project};
use crate::domain::access::{Right, Role};
use crate::domain::problem::Problem;
use crate::doorkeeper::{Acceptor, ConnectionLimits, Doorkeeper, ListenError};
use crate::ledger::LedgerError;

/// Where the page listens if nobody says otherwise.
pub(crate) const ADDRESS_USUAL: &str = "127.0.0.1:9465";

/// A browser keeps a handful of connections open, and a page is a few requests over one of them.
const LIMITS: ConnectionLimits = ConnectionLimits {
    connections_max: 64,
    duration_max: Duration::from_secs(60),
    bytes_max: 2 * 1024 * 1024,
};

/// Bytes of a form at most: a file of the project, of which each byte may take three.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How long an answer may take.
const ANSWER_DURATION_MAX: Duration = Duration::from_secs(60);

/// Where the page is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PagePlace {
    Address(SocketAddr),
    /// A socket in the file system, for a proxy that says who asks.
    Socket(PathBuf),
}

impl PagePlace {
    /// Reads `127.0.0.1:9465` or `unix:/run/writeback/page.sock`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.strip_prefix("unix:") {
            Some("") => Err("name the socket, such as unix:/run/writeback/page.sock".to_owned()),
            Some(path) => Ok(Self::Socket(PathBuf::from(path))),
            None => text.parse().map(Self::Address).map_err(|_| {
                "write an address such as 127.0.0.1:9465, or unix:/run/writeback/page.sock"
                    .to_owned()
            }),
        }
    }
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error("`writeback.toml` has mistakes")]
    Project { problems: Vec<Problem> },
    #[error("the page would be open to others at {address}, and nobody could sign in")]
    NobodyCouldSignIn { address: SocketAddr },
    #[error("the page would be open to others at {address} without TLS")]
    NotEncrypted { address: SocketAddr },
    #[error("over a socket nobody would say who asks")]
    NoProxy,
    #[error("could not listen on `{path}`")]
    Socket {
        path: String,
        source: std::io::Error,
    },
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    AccessBook(#[from] AccessError),
}

impl PageError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Project { .. } => None,
            Self::NobodyCouldSignIn { .. } => Some(format!(
                "`writeback page user add NAME --role operator` lets somebody in; or listen on {ADDRESS_USUAL} only"
            )),
            Self::NotEncrypted { .. } => Some(format!(
                "put a proxy that speaks TLS before it and write `[page]` with `url = \"https://…\"` into \
                 writeback.toml; or listen on {ADDRESS_USUAL} only"
            )),
            Self::NoProxy => Some(
                "write `[page]` with `url` and `[page.proxy]` with `user = \"X-Forwarded-User\"` into writeback.toml"
                    .to_owned(),
            ),
            Self::Socket { .. } => {
                Some("its folder is to be there, and to be this user's; another process may listen there".to_owned())
            }
            Self::Listen(error) => error.hint(),
            Self::Ledger(error) => error.hint(),
            Self::AccessBook(error) => error.hint(),
        }
    }
}

/// Shows the page of the project in `root` at `address`, in the background, until `stop`. Returns
/// where it can be reached.
pub(crate) async fn listen(
    root: &Path,
    place: &PagePlace,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<String, PageError> {
    let project = Project::load(root).map_err(|problems| PageError::Project { problems })?;
    let access = AccessBook::open(&project.state_folder()).await?;
    match place {
        PagePlace::Address(address) => {
            expect_safe(*address, &project.page, &access).await?;
            let (doorkeeper, address) = Doorkeeper::bind(*address, LIMITS).await?;
            let house = House::open(&project, access, Some(address)).await?;
            serve(house, doorkeeper, stop).await
        }
        PagePlace::Socket(path) => {
            if project.page.proxy.is_none() || project.page.url.is_none() {
                return Err(PageError::NoProxy);
            }
            let doorkeeper = Doorkeeper::bind_socket(path, LIMITS).map_err(|source| {
                let path = path.display().to_string();
                PageError::Socket { path, source }
            })?;
            let house = House::open(&project, access, None).await?;
            serve(house, doorkeeper, stop).await
        }
    }
}

async fn serve<A: Acceptor>(
    house: House,
    doorkeeper: Doorkeeper<A>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<String, PageError>
where
    door::Peer: for<'a> Connected<IncomingStream<'a, Doorkeeper<A>>>,
{
    let house = Arc::new(house);
    house.access.set_place(&house.url).await?;
    info!(url = %house.url, "showing the page");
    let url = house.url.clone();
    let serving = axum::serve(
        doorkeeper,
        routes(house).into_make_service_with_connect_info::<door::Peer>(),
    );
    tokio::spawn(async move {
        tokio::select! {
            _ = serving.into_future() => {}
            () = stop => {}
        }
    });
    Ok(url)
}

/// Errors: others could reach the page, and it is not ready for that.
async fn expect_safe(
    address: SocketAddr,
    settings: &PageSettings,
    access: &AccessBook,
) -> Result<(), PageError> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    if access.people().await?.is_empty() {
        return Err(PageError::NobodyCouldSignIn { address });
    }
    let encrypted = settings
        .url
        .as_ref()
        .is_some_and(|url| url.scheme() == "https");
    if encrypted {
        Ok(())
    } else {
        Err(PageError::NotEncrypted { address })
    }
}

/// Every route, with the least role that may take it. Who is not signed in gets as far as the door.
fn routes(house: Arc<House>) -> Router {
    let open = Router::new()
        .route("/login", get(sign_in::form).post(sign_in::with_password))
        .route("/enter/{code}", get(sign_in::link).post(sign_in::with_link))
        .route("/assets/{name}", get(asset_routes::asset))
        .route("/favicon.ico", get(asset_routes::icon));
    let looks = Router::new()
        .route("/", get(overview::page))
        .route("/jobs/{job}", get(jobs::page))
        .route("/jobs/{job}/{write_back}", get(write_backs::page))
        .route("/jobs/{job}/{write_back}/records", get(write_backs::find))
        .route(
            "/jobs/{job}/{write_back}/records/{key}",
            get(write_backs::record),
        )
        .route("/agencies", get(agencies::list))
        .route("/settings/{job}", get(settings::page))
        .route("/runs", get(runs::list))
        .route("/runs.csv", get(runs_csv::download))
        .route("/runs/{run}", get(runs::page))
        .route("/runs/{run}/{write_back}/rejected", get(runs::rejected))
        .route("/runs/{run}/{write_back}/rejected.csv", get(runs::download))
        .route("/dashboards/{dashboard}", get(dashboards::page))
        .route("/methods", get(dashboards::methods))
        .route("/requests/{request}", get(acts::request_page))
        .route("/events", get(acts::events))
        .route("/account", get(account::page))
        .route("/activity", get(activity::page))
        .route("/problems", get(problems::page))
        .route("/files/{*file}", get(files::page))
        .route("/zone", post(account::choose_zone))
        .route("/keys", post(account::choose_keys))
        .route("/logout", post(sign_in::out))
        .route("/sessions/{session}/end", post(account::end_session))
        .route_layer(axum::middleware::from_fn_with_state(
            Role::Viewer,
            door::at_least,
        ));
    let operates = Router::new()
        .route("/settings/{job}/questions", get(questions::page))
        .route("/jobs/{job}/run", get(acts::run_form))
        .route("/jobs/{job}/runs", post(acts::run_now))
        .route("/jobs/{job}/previews", post(deciding::preview))
        .route("/jobs/{job}/verifications", post(deciding::verify))
        .route("/looks/{look}", get(deciding::look_page))
        .route("/runs/{run}/{write_back}/chosen", get(tending::chosen_page))
        .route(
            "/runs/{run}/{write_back}/retry",
            post(tending::retry_chosen),
        )
        .route("/runs/{run}/{write_back}/park", post(tending::park_chosen))
        .route("/jobs/{job}/retries", post(tending::retry_all))
        .route(
            "/jobs/{job}/{write_back}/records/{key}/park",
            post(tending::park_one),
        )
        .route(
            "/jobs/{job}/{write_back}/records/{key}/lift",
            post(tending::lift_one),
        )
        .route(
            "/jobs/{job}/{write_back}/records/{key}/test",
            post(tending::test_one),
        )
        .route(
            "/dashboards/{dashboard}/cycles",
            post(tending::announce_one),
        )
        .route("/jobs/{job}/pause", post(tending::pause_job))
        .route("/jobs/{job}/resume", post(tending::resume_job))
        .route(
            "/runs/{run}/stop",
            get(acts::stop_form).post(acts::stop_now),
        )
        .route_layer(axum::middleware::from_fn_with_state(
            Role::Operator,
            door::at_least,
        ));
    let approves = Router::new()
        .route("/runs/{run}/approve", get(deciding::approve_form))
        .route("/runs/{run}/approve/looks", post(deciding::look_at_stopped))
        .route("/runs/{run}/approval", post(deciding::approve))
        .route_layer(axum::middleware::from_fn_with_state(
            Right::Approve,
            door::holds,
        ));
    let undoes = Router::new()
        .route(
            "/runs/{run}/undo",
            get(deciding::undo_form).post(deciding::undo),
        )
        .route("/runs/{run}/undo/looks", post(deciding::look_at_undo))
        .route_layer(axum::middleware::from_fn_with_state(
            Right::Undo,
            door::holds,
        ));
    let applies = Router::new()
        .route("/looks/{look}/apply", post(deciding::apply))
        .route_layer(axum::middleware::from_fn_with_state(
            Right::Apply,
            door::holds,
        ));
    let governs = Router::new()
        .route("/edit/{*file}", get(editing::form).post(editing::submit))
        .route("/jobs/{job}/{write_back}/switch", get(switch::page))
        .route("/settings/{job}/change", get(settings::change))
        .route("/people", get(people::people).post(people::new_person))
        .route("/people/{name}/remove", post(people::person_removed))
        .route("/tokens", get(people::tokens).post(people::new_token))
        .route("/tokens/{name}/remove", post(people::token_removed))
        .route_layer(axum::middleware::from_fn_with_state(
            Role::Admin,
            door::at_least,
        ));
    let signed_in = looks
        .merge(operates)
        .merge(approves)
        .merge(undoes)
        .merge(applies)
        .merge(governs)
        .merge(api::routes())
        .fallback(refusal::nothing_there)
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&house),
            door::signed_in,
        ));
    Router::new()
        .merge(open)
        .fallback_service(signed_in.with_state(Arc::clone(&house)))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(CsrfLayer::new())
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&house),
            door::expected,
        ))
        .layer(axum::middleware::from_fn(refusal::shown))
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            ANSWER_DURATION_MAX,
        ))
        .layer(axum::middleware::map_response(door::with_headers))
        .with_state(house)
}
