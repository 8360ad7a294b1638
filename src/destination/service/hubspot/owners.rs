//! Owners, who are no object of the portal's and are found by reading all of them. Records name them by
//! their ids, people by their addresses. Those who are archived own nothing any more, and are not
//! found.
//! Source: <https://developers.hubspot.com/docs/api-reference/crm-owners-v3/guide>.

use serde_json::Value;

use super::super::look_up::Hit;
use super::HubSpotDestination;
use super::associations::id_text;
use super::describe::OWNERS;
use crate::destination::seam::{RowId, Stored};
use crate::domain::error::SystemError;
use crate::domain::layout::Layout;

const DOING: &str = "reading owners";

/// Owners of one page.
/// Source: <https://developers.hubspot.com/docs/api-reference/crm-owners-v3/guide>.
const PAGE: usize = 500;

/// Whether it is owners that are looked for.
pub(super) fn are_meant(layout: &Layout) -> bool {
    layout.object.path.last().is_some_and(|name| name == OWNERS)
}

impl HubSpotDestination {
    /// All owners, in the fields of a layout.
    pub(super) async fn owners(&self, layout: &Layout) -> Result<Vec<Hit>, SystemError> {
        let mut hits = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let next = after.as_deref().map(|after| format!("&after={after}"));
            let path = format!(
                "/crm/owners/{}?archived=false&limit={PAGE}{}",
                self.version,
                next.unwrap_or_default()
            );
            let response = self.get(path).await?;
            if !response.is_success() {
                return Err(self.failure(&response, DOING));
            }
            let told: Value = serde_json::from_slice(&response.body).unwrap_or_default();
            let results = told.get("results").and_then(Value::as_array);
            let results = results.ok_or_else(|| self.unreadable(DOING, "it holds no owners"))?;
            for owner in results {
                hits.push(
                    hit(layout, owner)
                        .ok_or_else(|| self.unreadable(DOING, "an owner has no id"))?,
                );
            }
            let next = told.pointer("/paging/next/after").and_then(id_text);
            let is_digits = |text: &String| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            // A page that shows nobody is the last one, whatever it says.
            match next.filter(|next| {
                is_digits(next) && !results.is_empty() && after.as_ref() != Some(next)
            }) {
                Some(next) => after = Some(next),
                None => return Ok(hits),
            }
        }
    }
}

fn hit(layout: &Layout, owner: &Value) -> Option<Hit> {
    let id = id_text(owner.get("id")?).filter(|id| !id.is_empty())?;
    let values = layout.fields.iter().map(|field| {
        let text = id_text(owner.get(&field.column.name)?);
        text.filter(|text| !text.is_empty())
    });
    Some(Hit {
        stored: Stored {
            id: RowId(id),
            version: None,
        },
        values: values.collect(),
    })
}
