//! The web page of `serve`: what runs, what waits for a person, and why. Pages are made here, on the
//! server, out of what the commands print; no rule and no number is the page's own. Whoever asks is
//! signed in, looking changes nothing, and every act is a POST that is written down.

mod account;
mod activity;
mod acts;
mod api;
mod assets;
mod clock;
mod dashboards;
mod door;
mod files;
mod frame;
mod house;
mod jobs;
mod overview;
mod parts;
mod paths;
mod problems;
mod refusal;
mod runs;
mod sign_in;
mod write_backs;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tower_http::compression::CompressionLayer;
use tower_http::csrf::CsrfLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;
use tracing::info;

pub(crate) use self::api::openapi_text;
use self::house::House;
use crate::access::{AccessBook, AccessError};
use crate::config::{PageSettings, Project};
use crate::domain::access::Role;
use crate::domain::problem::Problem;
use crate::doorkeeper::{ConnectionLimits, Doorkeeper, ListenError};
use crate::ledger::LedgerError;

/// Where the page listens if nobody says otherwise.
pub(crate) const ADDRESS_USUAL: &str = "127.0.0.1:9465";

/// A browser keeps a handful of connections open, and a page is a few requests over one of them.
const LIMITS: ConnectionLimits = ConnectionLimits {
    connections_max: 64,
    duration_max: Duration::from_secs(60),
    bytes_max: 2 * 1024 * 1024,
};

/// Bytes of a form at most.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long an answer may take.
const ANSWER_DURATION_MAX: Duration = Duration::from_secs(60);

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error("`writeback.toml` has mistakes")]
    Project { problems: Vec<Problem> },
    #[error("the page would be open to others at {address}, and nobody could sign in")]
    NobodyCouldSignIn { address: SocketAddr },
    #[error("the page would be open to others at {address} without TLS")]
    NotEncrypted { address: SocketAddr },
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
    address: SocketAddr,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<String, PageError> {
    let project = Project::load(root).map_err(|problems| PageError::Project { problems })?;
    let access = AccessBook::open(&project.state_folder()).await?;
    expect_safe(address, &project.page, &access).await?;
    let (doorkeeper, address) = Doorkeeper::bind(address, LIMITS).await?;
    let house = Arc::new(House::open(&project, access, address).await?);
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
        .route("/assets/{name}", get(assets::asset))
        .route("/favicon.ico", get(assets::icon));
    let looks = Router::new()
        .route("/", get(overview::page))
        .route("/jobs/{job}", get(jobs::page))
        .route("/jobs/{job}/{write_back}", get(write_backs::page))
        .route("/jobs/{job}/{write_back}/records", get(write_backs::find))
        .route(
            "/jobs/{job}/{write_back}/records/{key}",
            get(write_backs::record),
        )
        .route("/runs", get(runs::list))
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
        .route("/logout", post(sign_in::out))
        .route("/sessions/{session}/end", post(account::end_session))
        .route_layer(axum::middleware::from_fn_with_state(
            Role::Viewer,
            door::at_least,
        ));
    let operates = Router::new()
        .route("/jobs/{job}/run", get(acts::run_form))
        .route("/jobs/{job}/runs", post(acts::run_now))
        .route(
            "/runs/{run}/stop",
            get(acts::stop_form).post(acts::stop_now),
        )
        .route_layer(axum::middleware::from_fn_with_state(
            Role::Operator,
            door::at_least,
        ));
    let signed_in = looks
        .merge(operates)
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
