//! Hands out the files that pages load.

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};

use super::assets::{ASSETS, ICON};
use super::refusal::Refusal;

pub(super) async fn asset(Path(name): Path<String>) -> Result<Response, Refusal> {
    let path = format!("/assets/{name}");
    let asset = [&ASSETS.style, &ASSETS.script]
        .into_iter()
        .find(|asset| asset.path == path);
    let asset = asset.ok_or_else(|| Refusal::absent("there is no such file"))?;
    let kept = "public, max-age=31536000, immutable";
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, kept),
    ];
    Ok((headers, asset.text).into_response())
}

pub(super) async fn icon() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "public, max-age=86400"),
    ];
    (headers, ICON).into_response()
}
