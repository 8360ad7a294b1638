//! The files that pages load, which are part of the program: one stylesheet and one script. The
//! name of each holds its digest, so that browsers may keep it for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};

use super::refusal::Refusal;
use crate::domain::printable::hexadecimal;

pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new(
        "page",
        "css",
        "text/css; charset=utf-8",
        include_str!("assets/page.css"),
    ),
    script: Asset::new(
        "page",
        "js",
        "text/javascript; charset=utf-8",
        include_str!("assets/page.js"),
    ),
});

/// A disc that is half full: what was read, and what of it is written back.
const ICON: &str = include_str!("assets/icon.svg");

pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) script: Asset,
}

pub(super) struct Asset {
    pub(super) path: String,
    kind: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(name: &str, ending: &str, kind: &'static str, text: &'static str) -> Self {
        let digest = hexadecimal(&Sha256::digest(text));
        let digest = digest.get(..16).unwrap_or_default();
        Self {
            path: format!("/assets/{name}.{digest}.{ending}"),
            kind,
            text,
        }
    }
}

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
