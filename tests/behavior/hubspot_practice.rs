//! The practice HubSpot, as any client of HubSpot meets it: plain HTTP.

use serde_json::{Value, json};

use crate::harness::{Portal, Reply, Workspace};

const COMPANIES: &str = "/crm/objects/2026-09/companies";
const CONTACTS: &str = "/crm/objects/2026-09/contacts";

fn portal(settings: &str) -> (Workspace, Portal) {
    let place = Portal::place(settings);
    let portal = Portal::serve(&place, &[]);
    (place, portal)
}

/// The words of an error of a whole call.
fn message(reply: &Reply) -> String {
    reply.json()["message"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Ids of an answer's results, sorted.
fn ids(reply: &Reply) -> Vec<String> {
    let told = reply.json();
    let results = told["results"].as_array().expect("results");
    let mut ids: Vec<String> = results
        .iter()
        .map(|result| result["id"].as_str().expect("an id").to_owned())
        .collect();
    ids.sort();
    ids
}

fn inputs(ids: &[&str]) -> Vec<Value> {
    ids.iter().map(|id| json!({ "id": id })).collect()
}

#[test]
fn a_call_needs_a_bearer_a_version_and_a_scope() {
    let (_place, portal) = portal("[portal]\nscopes = ['crm.objects.companies.read']\n");
    let bare = portal.send("GET", COMPANIES, &[], "").expect("an answer");
    assert_eq!(bare.status, 401, "{bare:?}");
    assert_eq!(bare.json()["category"], "INVALID_AUTHENTICATION");
    let unknown = portal.ask("GET", "/crm/objects/2031-09/companies", &Value::Null);
    assert_eq!(unknown.status, 404, "{unknown:?}");
    let body = json!({ "inputs": [{ "id": "101", "properties": { "name": "x" } }] });
    let refused = portal.batch("update", &body);
    assert_eq!(refused.status, 403, "{refused:?}");
    assert_eq!(refused.json()["category"], "MISSING_SCOPES");
    let scopes = &refused.json()["context"]["requiredGranularScopes"];
    assert_eq!(scopes[0], "crm.objects.companies.write");
    assert_eq!(portal.ask("GET", COMPANIES, &Value::Null).status, 200);
    portal.command("revoke", "{}");
    let revoked = portal.ask("GET", COMPANIES, &Value::Null);
    assert_eq!(revoked.status, 401, "{revoked:?}");
}

#[test]
fn details_tell_of_the_portal_and_old_versions_are_spoken_until_they_are_not() {
    let (_place, open) = portal("[portal]\nid = 4711\naccount_type = 'SANDBOX'\n");
    for path in ["/account-info/2026-09/details", "/account-info/v3/details"] {
        let told = open.ask("GET", path, &Value::Null).json();
        assert_eq!(told["portalId"], 4711, "{told}");
        assert_eq!(told["accountType"], "SANDBOX", "{told}");
    }
    let (_place, closed) = portal("[portal]\nold_versions = false\n");
    let old = closed.ask("GET", "/crm/v3/objects/companies", &Value::Null);
    assert_eq!(old.status, 404, "{old:?}");
}

#[test]
fn properties_are_as_recorded() {
    let (_place, portal) = portal("");
    let told = portal.ask("GET", "/crm/properties/2026-09/contacts", &Value::Null);
    let told = told.json();
    let property = |name: &str| -> Value {
        let all = told["results"].as_array().expect("results");
        let found = all.iter().find(|property| property["name"] == name);
        found.unwrap_or_else(|| panic!("no `{name}`")).clone()
    };
    assert_eq!(property("email")["hasUniqueValue"], false);
    let owner = property("hubspot_owner_id");
    assert_eq!(owner["externalOptions"], true);
    assert_eq!(owner["options"], json!([]));
    let id = property("hs_object_id");
    assert_eq!(id["modificationMetadata"]["readOnlyValue"], true);
    let path = "/crm-object-schemas/2026-09/schemas/CONTACT";
    let schema = portal.ask("GET", path, &Value::Null).json();
    assert_eq!(schema["objectTypeId"], "0-1");
    let unknown = portal.ask("GET", "/crm/properties/2026-09/butterflies", &Value::Null);
    assert_eq!(unknown.status, 400, "{unknown:?}");
    assert_eq!(
        message(&unknown),
        "Unable to infer object type from: butterflies"
    );
}

#[test]
fn a_batch_read_finds_by_unique_values_and_names_all_that_is_missing_at_once() {
    let (_place, portal) = portal("");
    let body = json!({
        "idProperty": "account_id", "properties": ["account_id", "health_score"],
        "inputs": inputs(&["A1", "A3", "X1", "X2"]),
    });
    let read = portal.batch("read", &body);
    assert_eq!(read.status, 207, "{read:?}");
    assert_eq!(ids(&read), ["101", "103"]);
    let told = read.json();
    assert_eq!(told["numErrors"], 1);
    assert_eq!(told["errors"][0]["context"]["ids"], json!(["X1", "X2"]));
    let mut results = told["results"].as_array().expect("results").iter();
    let third = results.find(|result| result["id"] == "103").expect("it");
    assert_eq!(third["properties"]["health_score"], Value::Null);
    let by_address = json!({
        "idProperty": "email", "properties": ["email"],
        "inputs": inputs(&["RAJ@example.com", "r.tran@example.com"]),
    });
    let path = format!("{CONTACTS}/batch/read");
    let read = portal.ask("POST", &path, &by_address);
    assert_eq!(read.status, 200, "{read:?}");
    assert_eq!(ids(&read), ["501"], "both addresses are of one contact");
    let many: Vec<Value> = (0..101).map(|id| json!({ "id": id.to_string() })).collect();
    let refused = portal.batch("read", &json!({ "inputs": many }));
    assert_eq!(refused.status, 400, "{refused:?}");
}

#[test]
fn a_merged_record_answers_under_both_ids_and_is_left_out_of_updates() {
    let (_place, portal) = portal("");
    portal.command(
        "merge",
        r#"{"object":"companies","winner":101,"loser":102}"#,
    );
    let body = json!({ "properties": ["hs_merged_object_ids"], "inputs": inputs(&["102"]) });
    let read = portal.batch("read", &body);
    assert_eq!(ids(&read), ["101"], "{read:?}");
    let told = read.json();
    assert_eq!(
        told["results"][0]["properties"]["hs_merged_object_ids"],
        "102"
    );
    let update = json!({ "inputs": [
        { "id": "102", "properties": { "name": "x" }, "objectWriteTraceId": "0" },
    ] });
    let silent = portal.batch("update", &update);
    assert_eq!(silent.status, 200, "{silent:?}");
    assert_eq!(silent.json()["results"], json!([]));
    assert_eq!(silent.json()["errors"], Value::Null);
}

/// What an update of companies by ids comes to; each input is marked by its place, if at all.
fn update(portal: &Portal, marked: bool, changes: &[(&str, Value)]) -> Reply {
    let inputs: Vec<Value> = changes
        .iter()
        .enumerate()
        .map(|(place, (id, properties))| {
            let mut input = json!({ "id": id, "properties": properties });
            if marked {
                input["objectWriteTraceId"] = place.to_string().into();
            }
            input
        })
        .collect();
    portal.batch("update", &json!({ "inputs": inputs }))
}

#[test]
fn an_update_fails_input_by_input_with_marks_and_as_a_whole_without() {
    let (_place, portal) = portal("");
    let changes = [
        ("101", json!({ "health_score": "50" })),
        ("999", json!({ "health_score": "1" })),
        ("103", json!({ "churn_risk": "awful" })),
    ];
    let whole = update(&portal, false, &changes);
    assert_eq!(whole.status, 400, "{whole:?}");
    let scores = || portal.held(&["101"], &["health_score"]);
    assert_eq!(scores(), ["12.5"], "nothing was written");
    let parts = update(&portal, true, &changes);
    assert_eq!(parts.status, 207, "{parts:?}");
    assert_eq!(ids(&parts), ["101"]);
    let told = parts.json();
    assert_eq!(told["results"][0]["objectWriteTraceId"], "0");
    assert_eq!(told["numErrors"], 2);
    assert_eq!(told["errors"][0]["category"], "OBJECT_NOT_FOUND");
    assert_eq!(
        told["errors"][0]["context"]["objectWriteTraceId"],
        json!(["1"])
    );
    assert_eq!(
        told["errors"][1]["context"]["objectWriteTraceId"],
        json!(["2"])
    );
    assert_eq!(told["errors"][1]["errors"][0]["code"], "INVALID_OPTION");
    assert_eq!(scores(), ["50"]);
    let twice = update(&portal, true, &[("101", json!({})), ("101", json!({}))]);
    assert_eq!(twice.status, 400, "{twice:?}");
    assert!(
        message(&twice).starts_with("Duplicate IDs found"),
        "{twice:?}"
    );
}

#[test]
fn what_is_no_id_is_passed_over_in_silence_and_what_is_not_unique_is_refused_aloud() {
    let (_place, portal) = portal("");
    let change = |id: &str| json!({ "id": id, "properties": { "firstname": "X" } });
    let path = format!("{CONTACTS}/batch/update");
    let silent = portal.ask(
        "POST",
        &path,
        &json!({ "inputs": [change("raj@example.com")] }),
    );
    assert_eq!(silent.status, 200, "{silent:?}");
    assert_eq!(silent.json()["results"], json!([]));
    for property in ["email", "hs_object_id"] {
        let mut input = change("raj@example.com");
        input["idProperty"] = property.into();
        let loud = portal.ask("POST", &path, &json!({ "inputs": [input] }));
        assert_eq!(loud.status, 400, "{loud:?}");
        let words = "Unable to perform update/upsert by non-unique 0-1 property";
        assert_eq!(message(&loud), words);
    }
}

#[test]
fn values_are_texts_that_the_portal_makes_its_own_of() {
    let (_place, portal) = portal("");
    for value in [json!(50), Value::Null] {
        let refused = update(&portal, true, &[("101", json!({ "health_score": value }))]);
        assert_eq!(refused.status, 400, "{refused:?}");
        assert!(
            message(&refused).starts_with("Invalid input JSON"),
            "{refused:?}"
        );
    }
    let changes = [
        (
            "101",
            json!({ "interests": ";training", "lifecyclestage": "lead", "health_note": "" }),
        ),
        (
            "102",
            json!({ "lifecyclestage": "customer", "health_note": " kept " }),
        ),
    ];
    assert_eq!(update(&portal, true, &changes).status, 200);
    let held = portal.held(
        &["101", "102"],
        &["interests", "lifecyclestage", "health_note"],
    );
    let expected = ["analytics;security;training,customer,-", "-,customer,kept"];
    assert_eq!(held, expected);
    let cleared = [("101", json!({ "lifecyclestage": "" }))];
    update(&portal, true, &cleared);
    update(
        &portal,
        true,
        &[("101", json!({ "lifecyclestage": "lead" }))],
    );
    assert_eq!(portal.held(&["101"], &["lifecyclestage"]), ["lead"]);
    let path = format!("{CONTACTS}/501");
    let body = json!({ "properties": { "email": "RAJ.Tran@Example.com" } });
    let told = portal.ask("PATCH", &path, &body).json();
    assert_eq!(told["properties"]["email"], "raj.tran@example.com");
}

#[test]
fn a_time_of_day_is_refused_by_old_versions_and_dropped_with_a_warning_by_newer_ones() {
    let (_place, portal) = portal("");
    let change = |path: &str| {
        let body = json!({ "inputs": [
            { "id": "101", "properties": { "renews_on": "1570248633600" }, "objectWriteTraceId": "0" },
        ] });
        portal.ask("POST", path, &body)
    };
    let old = change("/crm/v3/objects/companies/batch/update");
    assert!(
        old.text.contains("is at 4:10:33.600 UTC, not midnight!"),
        "{old:?}"
    );
    let new = change("/crm/objects/2026-09/companies/batch/update");
    assert_eq!(new.status, 200, "{new:?}");
    let warning = &new.json()["warnings"][0];
    assert_eq!(warning["category"], "PROPERTY_VALUE_NORMALIZED");
    assert_eq!(portal.held(&["101"], &["renews_on"]), ["2019-10-05"]);
}

#[test]
fn creates_and_upserts_meet_what_is_there() {
    let (_place, portal) = portal("");
    let create = |id: &str, mark: &str| json!({ "properties": { "name": id, "account_id": id }, "objectWriteTraceId": mark });
    let body = json!({ "inputs": [create("A1", "0"), create("A9", "1")] });
    let made = portal.batch("create", &body);
    assert_eq!(made.status, 207, "{made:?}");
    assert_eq!(made.json()["errors"][0]["category"], "CONFLICT");
    let existing = &made.json()["errors"][0]["context"]["existingId"];
    assert_eq!(*existing, json!(["101"]));
    let twice = portal.ask(
        "POST",
        COMPANIES,
        &json!({ "properties": { "account_id": "A9", "name": "x" } }),
    );
    assert_eq!(twice.status, 409, "{twice:?}");
    let nameless = portal.ask(
        "POST",
        COMPANIES,
        &json!({ "properties": { "account_id": "A10" } }),
    );
    assert_eq!(nameless.status, 400, "{nameless:?}");
    let upsert = |id: &str| json!({ "idProperty": "account_id", "id": id, "properties": { "name": id }, "objectWriteTraceId": id });
    let body = json!({ "inputs": [upsert("A2"), upsert("A11")] });
    let told = portal.batch("upsert", &body).json();
    let results = told["results"].as_array().expect("results");
    let is_new = |mark: &str| {
        let result = results
            .iter()
            .find(|result| result["objectWriteTraceId"] == mark);
        result.expect("a result")["new"].clone()
    };
    assert_eq!((is_new("A2"), is_new("A11")), (json!(false), json!(true)));
    let contact = json!({ "properties": { "email": "Raj@example.com" } });
    let known = portal.ask("POST", CONTACTS, &contact);
    assert_eq!(known.status, 409, "{known:?}");
    assert_eq!(message(&known), "Contact already exists. Existing ID: 501");
}

#[test]
fn results_come_in_an_order_of_their_own() {
    let (_place, portal) = portal("");
    let new: Vec<Value> = (0..20)
        .map(|number| json!({ "properties": { "name": format!("N{number:02}") }, "objectWriteTraceId": number.to_string() }))
        .collect();
    let told = portal.batch("create", &json!({ "inputs": new })).json();
    let results = told["results"].as_array().expect("results").iter();
    let names: Vec<&str> = results
        .map(|result| result["properties"]["name"].as_str().expect("a name"))
        .collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(names.len(), 20);
    assert_ne!(names, sorted);
}

fn search(portal: &Portal, body: &Value) -> Reply {
    portal.ask("POST", &format!("{COMPANIES}/search"), body)
}

fn filter(property: &str, operator: &str, value: &str) -> Value {
    json!({ "filterGroups": [{ "filters": [
        { "propertyName": property, "operator": operator, "value": value, "values": [value] },
    ] }], "properties": [property], "limit": 200 })
}

#[test]
fn a_search_is_behind_counts_what_is_gone_and_shows_what_no_longer_fits() {
    let (_place, portal) = portal("[portal]\nsearch_lag = '1h'\n");
    let found = search(&portal, &filter("domain", "IN", "SHARED.example.com"));
    assert_eq!(ids(&found), ["102", "103"], "{found:?}");
    assert_eq!(found.header("x-hubspot-ratelimit-remaining"), None);
    portal.batch("archive", &json!({ "inputs": inputs(&["102"]) }));
    update(
        &portal,
        true,
        &[("103", json!({ "domain": "moved.example.com" }))],
    );
    portal.ask(
        "POST",
        COMPANIES,
        &json!({ "properties": { "domain": "shared.example.com" } }),
    );
    let stale = search(&portal, &filter("domain", "IN", "shared.example.com"));
    assert_eq!(stale.json()["total"], 2, "{stale:?}");
    assert_eq!(ids(&stale), ["103"]);
    let held = &stale.json()["results"][0]["properties"]["domain"];
    assert_eq!(*held, "moved.example.com");
    portal.command("clock", "1h");
    let fresh = search(&portal, &filter("domain", "IN", "shared.example.com"));
    assert_eq!(fresh.json()["total"], 1, "{fresh:?}");
    let scores = search(&portal, &filter("health_score", "GTE", "13"));
    assert_eq!(ids(&scores), Vec::<String>::new(), "102 is archived");
    let mut far = filter("domain", "HAS_PROPERTY", "");
    far["after"] = "9999".into();
    assert_eq!(search(&portal, &far).status, 400, "beyond 10 000");
}

#[test]
fn a_list_shows_what_is_archived_only_to_who_asks_for_it() {
    let (_place, portal) = portal("");
    let of = |query: &str| {
        let listed = portal.ask("GET", &format!("{COMPANIES}?{query}"), &Value::Null);
        ids(&listed)
    };
    let (before, gone) = (of("limit=100"), of("limit=100&archived=true"));
    let first = before.first().expect("a company");
    let path = format!("{COMPANIES}/{first}");
    assert_eq!(portal.ask("DELETE", &path, &Value::Null).status, 204);
    assert_eq!(of("limit=100"), before[1..]);
    assert!(!gone.contains(first) && of("limit=100&archived=true").contains(first));
}

#[test]
fn limits_count_down_and_say_which_one_was_crossed() {
    let (_place, portal) = portal("[portal]\nten_seconds_calls = 4\ndaily_calls = 100\n");
    let read = || portal.ask("GET", COMPANIES, &Value::Null);
    let first = read();
    assert_eq!(
        first.header("x-hubspot-ratelimit-daily-remaining"),
        Some("99")
    );
    assert_eq!(first.header("x-hubspot-ratelimit-remaining"), Some("3"));
    assert_eq!(first.header("x-hubspot-ratelimit-max"), Some("4"));
    for _ in 0..3 {
        assert_eq!(read().status, 200);
    }
    let refused = read();
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(refused.json()["policyName"], "TEN_SECONDLY_ROLLING");
    assert!(refused.header("retry-after").is_some(), "{refused:?}");
    portal.command("clock", "11s");
    let any = filter("domain", "HAS_PROPERTY", "");
    // All at once, so that they fall into one second on a busy machine too.
    let policies: Vec<Value> = std::thread::scope(|scope| {
        let searches: Vec<_> = (0..12)
            .map(|_| scope.spawn(|| search(&portal, &any).json()["policyName"].clone()))
            .collect();
        let answers = searches.into_iter();
        answers
            .map(|search| search.join().expect("an answer"))
            .collect()
    });
    assert!(policies.contains(&json!("SECONDLY")), "{policies:?}");
    portal.command("quota", r#"{"used":100}"#);
    let spent = read();
    assert_eq!(spent.json()["policyName"], "DAILY", "{spent:?}");
    portal.command("clock", "24h");
    assert_eq!(read().status, 200, "another day");
    let path = "/account-info/2026-09/api-usage/daily/private-apps";
    let usage = portal.ask("GET", path, &Value::Null).json();
    assert_eq!(usage["results"][0]["currentUsage"], 2, "{usage}");
}

/// An app whose tokens live for a while.
const APP: &str = "[[app]]
client_id = 'app'
client_secret = 'canary-7f'
refresh_token = 'first'
rotate = true
";

fn refresh(portal: &Portal, token: &str) -> Reply {
    let form = format!(
        "grant_type=refresh_token&client_id=app&client_secret=canary-7f&refresh_token={token}"
    );
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let path = "/oauth/2026-03/token";
    portal
        .send("POST", path, &headers, &form)
        .expect("an answer")
}

#[test]
fn a_refresh_token_that_works_once_is_answered_with_the_next_one() {
    let (_place, portal) = portal(APP);
    let granted = refresh(&portal, "first").json();
    assert_eq!(granted["expires_in"], 1800, "{granted}");
    let again = refresh(&portal, "first");
    assert_eq!(again.status, 400, "{again:?}");
    assert_eq!(again.json()["status"], "BAD_REFRESH_TOKEN");
    let bearer = format!(
        "Bearer {}",
        granted["access_token"].as_str().expect("a token")
    );
    let list = || {
        let headers = [("Authorization", bearer.as_str())];
        portal
            .send("GET", COMPANIES, &headers, "")
            .expect("an answer")
    };
    let read = list();
    assert_eq!(read.status, 200, "{read:?}");
    assert_eq!(
        read.header("x-hubspot-ratelimit-daily"),
        None,
        "an app is not told"
    );
    portal.command("clock", "31m");
    assert_eq!(list().status, 401);
    let next = granted["refresh_token"].as_str().expect("the next one");
    assert_eq!(refresh(&portal, next).status, 200);
}

#[test]
fn rules_of_an_admin_hold_in_versions_with_dates() {
    let (_place, portal) = portal(
        "[[rule]]\nobject = 'companies'\nkind = 'conditional'\nproperty = 'city'\n\
         when = { property = 'churn_risk', value = 'high' }\n\
         [[rule]]\nobject = 'contacts'\nkind = 'create_form'\nproperty = 'firstname'\n\
         [[rule]]\nobject = 'contacts'\nkind = 'alpha'\nproperty = 'lastname'\n",
    );
    let change = [("102", json!({ "churn_risk": "high" }))];
    let refused = update(&portal, true, &change);
    let code = &refused.json()["errors"][0]["errors"][0]["code"];
    assert_eq!(
        *code, "MISSING_CONDITIONAL_REQUIRED_PROPERTY",
        "{refused:?}"
    );
    let body = json!({ "inputs": [{ "id": "102", "properties": { "churn_risk": "high" }, "objectWriteTraceId": "0" }] });
    let old = portal.ask("POST", "/crm/v3/objects/companies/batch/update", &body);
    assert_eq!(old.status, 200, "{old:?}");
    let contact = json!({ "properties": { "email": "new@example.com" } });
    let refused = portal.ask("POST", CONTACTS, &contact);
    assert_eq!(
        refused.json()["errors"][0]["code"],
        "MISSING_REQUIRED_PROPERTY"
    );
    let digits = json!({ "properties": { "lastname": "T0" } });
    let refused = portal.ask("PATCH", &format!("{CONTACTS}/501"), &digits);
    assert_eq!(
        refused.json()["errors"][0]["code"],
        "INVALID_ALPHA",
        "{refused:?}"
    );
}

#[test]
fn associations_lead_one_way_each_and_repeating_one_is_harmless() {
    let (_place, portal) = portal("");
    let path = format!("{CONTACTS}/501/associations/default/companies/101");
    for _ in 0..2 {
        assert_eq!(portal.ask("PUT", &path, &Value::Null).status, 201);
    }
    let of = |path: &str| portal.ask("GET", path, &Value::Null).json()["results"].clone();
    let companies = of(&format!("{CONTACTS}/501/associations/companies"));
    assert_eq!(companies[0]["toObjectId"], 101, "{companies}");
    assert_eq!(companies[0]["associationTypes"][0]["typeId"], 279);
    let contacts = of(&format!("{COMPANIES}/101/associations/contacts"));
    assert_eq!(
        contacts[0]["associationTypes"][0]["typeId"], 280,
        "{contacts}"
    );
    let labels = of("/crm/associations/2026-09/contacts/companies/labels");
    assert_eq!(labels[1]["label"], "Primary", "{labels}");
    let typed = |type_id: u64, to: &str| {
        json!({ "from": { "id": "502" }, "to": { "id": to },
            "types": [{ "associationCategory": "HUBSPOT_DEFINED", "associationTypeId": type_id }] })
    };
    let batch = json!({ "inputs": [typed(1, "102"), typed(280, "103"), typed(1, "x")] });
    let path = "/crm/associations/2026-09/contacts/companies/batch/create";
    let made = portal.ask("POST", path, &batch);
    assert_eq!(made.status, 207, "{made:?}");
    assert_eq!(made.json()["numErrors"], 2);
    let sub = &made.json()["errors"][1]["subCategory"];
    assert_eq!(*sub, "crm.associations.INVALID_IDENTIFIER");
    let path = format!("{CONTACTS}/501/associations/companies/101");
    assert_eq!(portal.ask("DELETE", &path, &Value::Null).status, 204);
    assert_eq!(
        of(&format!("{COMPANIES}/101/associations/contacts")),
        json!([])
    );
}

#[test]
fn owners_are_listed_by_address_and_those_that_left_apart() {
    let (_place, portal) = portal("");
    let of = |query: &str| {
        let told = portal.ask("GET", &format!("/crm/owners/2026-09{query}"), &Value::Null);
        ids(&told)
    };
    assert_eq!(of(""), ["41629001", "41629018"]);
    assert_eq!(of("?email=BEN%40example.com"), ["41629018"]);
    assert_eq!(of("?archived=true"), ["41629035"]);
    let gone = [("101", json!({ "hubspot_owner_id": "41629035" }))];
    let refused = update(&portal, true, &gone);
    let code = &refused.json()["errors"][0]["errors"][0]["code"];
    assert_eq!(*code, "INVALID_OPTION", "{refused:?}");
}

#[test]
fn what_was_answered_is_there_after_the_practice_was_killed() {
    let (place, mut portal) = portal("");
    update(&portal, true, &[("101", json!({ "health_score": "77" }))]);
    let path = format!("{CONTACTS}/501/associations/default/companies/101");
    portal.ask("PUT", &path, &Value::Null);
    portal.kill();
    let portal = Portal::serve(&place, &[]);
    assert_eq!(portal.held(&["101"], &["health_score"]), ["77"]);
    let path = format!("{CONTACTS}/501/associations/companies");
    let told = portal.ask("GET", &path, &Value::Null).json();
    assert_eq!(told["results"][0]["toObjectId"], 101, "{told}");
}

#[test]
fn an_answer_that_is_lost_was_carried_out_and_one_may_say_nothing_at_all() {
    let (_place, portal) = portal("");
    portal.faults("drop_after:create=@1,short_page:update=@1,lock:read=@1,too_long:read=@2");
    let contact = json!({ "inputs": [{ "properties": { "email": "new@example.com" } }] });
    let path = format!("{CONTACTS}/batch/create");
    assert!(portal.call_with("POST", &path, &[], &contact).is_none());
    let again = portal.ask("POST", &path, &contact);
    assert_eq!(again.status, 409, "{again:?}");
    let silent = update(&portal, true, &[("101", json!({ "health_score": "5" }))]);
    assert_eq!(silent.json()["results"], json!([]), "{silent:?}");
    let read = || {
        portal
            .batch("read", &json!({ "inputs": inputs(&["101"]) }))
            .status
    };
    assert_eq!((read(), read(), read()), (423, 477, 200));
    assert_eq!(portal.held(&["101"], &["health_score"]), ["5"]);
}
