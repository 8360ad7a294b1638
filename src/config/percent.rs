//! Percentages as files write them.

use super::document::{Value, shown};
use crate::domain::share::Percent;

/// Reads `"50 %"`, `"0.5 %"`.
pub(super) fn read_percent(value: Value<'_>) -> Option<Percent> {
    let text = value.text()?;
    let percent = Percent::parse(text);
    if percent.is_none() {
        let message = format!(
            "`{}` is {}, which is not a percentage",
            value.key,
            shown(text)
        );
        value.mistake(
            message,
            Some("write it as in `\"50 %\"` or `\"0.5 %\"`".to_owned()),
        );
    }
    percent
}
