//! Tells over HTTP whether the scheduler lives, whether it serves, and its metrics. Whoever reaches
//! the address may read them: there is no authentication, so it belongs on a local address. Nothing
//! can be changed here, and no body is read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tracing::{info, warn};

use super::metrics;
use super::serve_state::ServeState;
use crate::doorkeeper::{ConnectionLimits, Doorkeeper, ListenError};

/// Probes and scrapes need a handful of connections, for milliseconds, and send a few hundred bytes
/// in the one request that each may bring.
const LIMITS: ConnectionLimits = ConnectionLimits {
    connections_max: 64,
    duration_max: Duration::from_secs(5),
    bytes_max: 16 * 1024,
};

/// Listens on `address`, then answers in the background until `stop`. Returns the address, whose
/// port was chosen by the system if `address` left it open with 0.
pub(crate) async fn listen(
    address: SocketAddr,
    state: Arc<ServeState>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<SocketAddr, ListenError> {
    let (doorkeeper, address) = Doorkeeper::bind(address, LIMITS).await?;
    if !address.ip().is_loopback() {
        warn!(%address, "whoever reaches this address may read health and metrics: there is no authentication");
    }
    info!(%address, "answering /healthz, /readyz and /metrics");
    tokio::spawn(answer(doorkeeper, state, stop));
    Ok(address)
}

async fn answer(doorkeeper: Doorkeeper, state: Arc<ServeState>, stop: impl Future<Output = ()>) {
    let serving = axum::serve(doorkeeper, routes(state)).into_future();
    tokio::select! {
        _ = serving => {}
        () = stop => {}
    }
}

fn routes(state: Arc<ServeState>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(state)
        .layer(map_response(last_answer))
}

async fn healthz(State(state): State<Arc<ServeState>>) -> Response {
    verdict(state.health())
}

async fn readyz(State(state): State<Arc<ServeState>>) -> Response {
    verdict(state.readiness())
}

fn verdict(verdict: Result<(), String>) -> Response {
    match verdict {
        Ok(()) => "ok\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason + "\n").into_response(),
    }
}

async fn scrape(State(state): State<Arc<ServeState>>) -> Response {
    match metrics::render(state.facts(), Instant::now()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A connection ends with its first answer: an idle one would only take another's place.
async fn last_answer(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests;
