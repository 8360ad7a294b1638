//! `[page]` of the project file: where people reach the page of `serve`, and what they see there.

use url::Url;

use super::document::Table;

const KEYS: &[&str] = &["url", "viewers_see_values"];

/// A project's `[page]`.
#[derive(Debug, Clone, Default)]
pub(crate) struct PageSettings {
    /// Where people reach the page, if not at the address that it listens on.
    pub(crate) url: Option<Url>,
    /// Whether those who may only look see values of records too, not only counts and keys.
    pub(crate) viewers_see_values: bool,
}

/// Reads `[page]`.
pub(super) fn read_page(root: &Table<'_>) -> PageSettings {
    let Some(table) = root
        .get("page")
        .and_then(|value| value.table("`[page]`".to_owned()))
    else {
        return PageSettings::default();
    };
    table.expect_keys(KEYS);
    let url = table.get("url").and_then(|value| {
        let text = value.text()?;
        let url = Url::parse(text).ok().filter(is_origin);
        if url.is_none() {
            let hint = "write `url = \"https://writeback.example.com\"`".to_owned();
            let message =
                "`url` is not the address of a site: `http` or `https`, and a host, without a path";
            value.mistake(message.to_owned(), Some(hint));
        }
        url
    });
    let sees = table
        .get("viewers_see_values")
        .and_then(|value| value.boolean());
    PageSettings {
        url,
        viewers_see_values: sees.unwrap_or(false),
    }
}

/// Whether a URL names a site and nothing within it.
fn is_origin(url: &Url) -> bool {
    let plain = url.username().is_empty() && url.password().is_none();
    let whole = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    matches!(url.scheme(), "http" | "https") && url.host().is_some() && plain && whole
}
