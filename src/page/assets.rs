//! The files that pages load, which are part of the program: one stylesheet and one script. The
//! name of each holds its digest, so that browsers may keep it for good.

use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

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
pub(super) const ICON: &str = include_str!("assets/icon.svg");

pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) script: Asset,
}

pub(super) struct Asset {
    pub(super) path: String,
    pub(super) kind: &'static str,
    pub(super) text: &'static str,
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
