//! What an org tells of itself: versions, resources, describe answers, limits, the choices that a
//! record type offers.

use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::errors::ApiError;
use super::object::{Field, FieldKind, ObjectType};
use super::org::Org;
use super::rest::{Caller, VERSION_MAX, VERSION_MIN};
use super::rows::{http_date, http_text};
use crate::domain::salesforce_id::canonical_id;
use crate::practice::call::{Answer, Call};

/// When the practice's describe answers were last changed: some moment that stays the same.
const DESCRIBED_AT: i64 = 1_767_225_600;

/// The record type of everything that has no other.
const MASTER: &str = "012000000000000AAA";

type Answered = Result<Answer, ApiError>;

/// `/services/data`.
pub(super) fn versions() -> Answer {
    let versions: Vec<Value> = (VERSION_MIN..=VERSION_MAX)
        .map(|version| {
            json!({
                "label": label(version),
                "url": format!("/services/data/v{version}.0"),
                "version": format!("{version}.0"),
            })
        })
        .collect();
    Answer::json(200, Value::from(versions).to_string())
}

/// The season of a version: three a year, of which winter bears the next year's number.
fn label(version: u32) -> String {
    // v31.0 was Summer '14.
    let seasons = version + 12;
    let (season, year) = match seasons % 3 {
        0 => ("Spring", seasons / 3),
        1 => ("Summer", seasons / 3),
        _ => ("Winter", seasons / 3 + 1),
    };
    format!("{season} '{year:02}")
}

/// `/services/data/vXX.0`.
pub(super) fn resources(version: u32) -> Answer {
    let names = [
        "sobjects",
        "query",
        "queryAll",
        "limits",
        "composite",
        "ui-api",
        "jobs",
        "recent",
        "search",
        "tooling",
    ];
    let resources: Map<String, Value> = names
        .into_iter()
        .map(|name| {
            (
                name.to_owned(),
                Value::from(format!("/services/data/v{version}.0/{name}")),
            )
        })
        .collect();
    Answer::json(200, Value::Object(resources).to_string())
}

impl Org {
    /// `/sobjects`.
    pub(super) fn global_describe(&self, call: &Call, caller: &Caller) -> Answered {
        let objects: Vec<Value> = self
            .tables
            .iter()
            .map(|table| Value::Object(table.object.entry()))
            .collect();
        let told = json!({ "encoding": "UTF-8", "maxBatchSize": 200, "sobjects": objects });
        unchanged_or(call, of_version(&told, caller.version))
    }

    /// `/sobjects/X/describe`.
    pub(super) fn describe(&self, call: &Call, caller: &Caller, place: usize) -> Answered {
        unchanged_or(
            call,
            of_version(&self.at(place).object.describe, caller.version),
        )
    }

    /// `/sobjects/X`.
    pub(super) fn about(&self, caller: &Caller, place: usize) -> Answered {
        let told = json!({ "objectDescribe": self.at(place).object.entry(), "recentItems": [] });
        Ok(Answer::json(200, of_version(&told, caller.version)))
    }

    /// `/limits`.
    pub(super) fn limits(&self) -> Answer {
        let daily = self.settings.org.daily_calls;
        let left = daily.saturating_sub(self.counters.used);
        let full = |max: u64| json!({ "Max": max, "Remaining": max });
        let told = json!({
            "ActiveScratchOrgs": full(3),
            "ConcurrentAsyncGetReportInstances": full(200),
            "DailyApiRequests": { "Max": daily, "Remaining": left },
            "DailyAsyncApexExecutions": full(250_000),
            "DailyBulkApiBatches": full(15_000),
            "DailyBulkV2QueryFileStorageMB": full(976_562),
            "DailyBulkV2QueryJobs": full(10_000),
            "DataStorageMB": full(1024),
            "FileStorageMB": full(1024),
            "HourlyODataCallout": full(20_000),
            "MassEmail": full(10),
            "SingleEmail": full(15),
        });
        Answer::json(200, told.to_string())
    }

    /// `/ui-api/object-info/X/…`.
    pub(super) fn ui_api(&self, caller: &Caller, place: usize, rest: &[&str]) -> Answered {
        let object = self.object(place);
        let told = match rest {
            [] => object_info(&object),
            ["picklist-values", kind] => {
                let kind = self.record_type(&object, kind)?;
                let fields = object.fields.iter().filter(|field| is_picklist(field));
                let values: Map<String, Value> = fields
                    .map(|field| {
                        (
                            field.name.clone(),
                            self.choices(caller, &object, &kind, field),
                        )
                    })
                    .collect();
                json!({ "eTag": tag(&format!("{}{kind}", object.name)), "picklistFieldValues": values })
            }
            ["picklist-values", kind, name] => {
                let kind = self.record_type(&object, kind)?;
                let field = object.named(name).filter(|field| is_picklist(field));
                let field = field.ok_or_else(ApiError::not_found)?;
                self.choices(caller, &object, &kind, field)
            }
            _ => return Err(ApiError::not_found()),
        };
        Ok(Answer::json(200, told.to_string()))
    }

    fn record_type(&self, object: &ObjectType, told: &str) -> Result<String, ApiError> {
        let id = canonical_id(told).ok_or_else(|| {
            ApiError::new(
                400,
                "INVALID_ID_FIELD",
                format!("'{told}' is not a valid record type id"),
            )
        })?;
        let infos = object
            .describe
            .get("recordTypeInfos")
            .and_then(Value::as_array);
        let is_known = infos.into_iter().flatten().any(|info| {
            let known = info
                .get("recordTypeId")
                .and_then(Value::as_str)
                .and_then(canonical_id);
            known.as_deref() == Some(&id)
        });
        match is_known || canonical_id(MASTER).as_deref() == Some(&id) {
            true => Ok(id),
            false => Err(ApiError::not_found()),
        }
    }

    /// The choices of a picklist that a record type offers.
    fn choices(&self, caller: &Caller, object: &ObjectType, kind: &str, field: &Field) -> Value {
        let own = self.settings.record_types.iter().find(|known| {
            known.object == object.name && canonical_id(&known.id).as_deref() == Some(kind)
        });
        let offered = own.and_then(|own| own.choices.get(&field.name));
        let values: Vec<Value> = field
            .choices
            .iter()
            .filter(|choice| offered.is_none_or(|offered| offered.contains(&choice.value)))
            .map(|choice| json!({ "attributes": null, "label": choice.label, "validFor": [], "value": choice.value }))
            .collect();
        let url = format!(
            "/services/data/v{}.0/ui-api/object-info/{}/picklist-values/{kind}/{}",
            caller.version, object.name, field.name
        );
        json!({ "controllerValues": {}, "defaultValue": null, "eTag": tag(&url), "url": url, "values": values })
    }
}

fn is_picklist(field: &Field) -> bool {
    matches!(field.kind, FieldKind::Picklist | FieldKind::MultiPicklist)
}

fn tag(text: &str) -> String {
    format!(
        "{:016x}{:016x}",
        xxh3_64(text.as_bytes()),
        xxh3_64(text.as_bytes()).rotate_left(7)
    )
}

/// As a describe answer tells it: its addresses are those of the version that was asked.
fn of_version(told: &Value, version: u32) -> String {
    const DATA: &str = "/services/data/v";
    let text = told.to_string();
    let mut parts = text.split(DATA);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|sign: char| sign.is_ascii_digit());
        let rest = rest.strip_prefix(".0").unwrap_or(rest);
        shown += &format!("{DATA}{version}.0{rest}");
    }
    shown
}

/// The text, or that it is still the one that the client has.
fn unchanged_or(call: &Call, text: String) -> Answered {
    let tag = format!("\"{:016x}-gzip\"", xxh3_64(text.as_bytes()));
    let bare = |tag: &str| {
        tag.trim()
            .trim_start_matches("W/")
            .trim_matches('"')
            .trim_end_matches("-gzip")
            .to_owned()
    };
    let by_tag = call
        .header("if-none-match")
        .map(|known| known.split(',').any(|known| bare(known) == bare(&tag)));
    let since = call
        .header("if-modified-since")
        .map(http_date)
        .transpose()?;
    let unchanged = by_tag.unwrap_or_else(|| since.is_some_and(|since| DESCRIBED_AT <= since));
    let answer = match unchanged {
        true => Answer::new(304),
        false => Answer::json(200, text),
    };
    Ok(answer
        .with("ETag", tag)
        .with("Last-Modified", http_text(DESCRIBED_AT)))
}

fn object_info(object: &ObjectType) -> Value {
    let fields: Map<String, Value> = object
        .fields
        .iter()
        .map(|field| {
            let told = json!({
                "apiName": field.name, "label": field.label, "dataType": field.type_name, "createable": field.createable,
                "updateable": field.updateable, "required": field.is_required(), "length": field.length,
                "precision": field.precision, "scale": field.scale, "unique": field.unique, "custom": field.custom,
                "externalId": field.external_id, "reference": field.kind == FieldKind::Reference,
                "relationshipName": field.relationship,
            });
            (field.name.clone(), told)
        })
        .collect();
    let infos = object
        .describe
        .get("recordTypeInfos")
        .and_then(Value::as_array);
    let infos: Map<String, Value> = infos
        .into_iter()
        .flatten()
        .filter_map(|info| Some((info.get("recordTypeId")?.as_str()?.to_owned(), info.clone())))
        .collect();
    json!({
        "apiName": object.name, "label": object.label, "keyPrefix": object.prefix, "fields": fields,
        "recordTypeInfos": infos, "defaultRecordTypeId": MASTER, "eTag": tag(&object.name),
        "createable": object.allows("createable"), "updateable": object.allows("updateable"),
        "deletable": object.allows("deletable"), "queryable": object.allows("queryable"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_bear_the_names_of_their_seasons() {
        assert_eq!(label(31), "Summer '14");
        assert_eq!(label(32), "Winter '15");
        assert_eq!(label(60), "Spring '24");
        assert_eq!(label(67), "Summer '26");
    }
}
