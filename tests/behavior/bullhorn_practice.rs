//! The practice Bullhorn, held to what clients of the API expect, by plain HTTP.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Corporation, Server, Workspace};

/// A practice of the corporation in `fixtures/bullhorn`, with these settings.
fn practice(settings: &str, faults: &str) -> (Workspace, Corporation) {
    let place = Workspace::on(Server::Sqlite);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/bullhorn");
    for file in std::fs::read_dir(repository).expect("the fixtures") {
        let file = file.expect("a file").path();
        let name = file
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        place.bytes(
            &format!("ats/{name}"),
            &std::fs::read(&file).expect("a file"),
        );
    }
    place.file("ats/practice.toml", settings);
    place.file(
        "writeback.toml",
        "[connections.crm]\nkind = 'bullhorn'\npractice = 'ats'\n",
    );
    let corporation = Corporation::start(&place, faults);
    (place, corporation)
}

/// The ids of what a call finds.
fn ids(told: &Value) -> Vec<u64> {
    let data = told["data"].as_array().expect("data");
    data.iter()
        .map(|row| row["id"].as_u64().expect("an id"))
        .collect()
}

#[test]
fn a_code_and_a_refresh_token_work_once() {
    let (_place, corporation) = practice("", "");
    let info = corporation
        .ask("GET", "/rest-services/loginInfo?username=practice.api")
        .json();
    assert_eq!(info["oauthUrl"], format!("{}/oauth", corporation.url()));
    assert_eq!(
        info["restUrl"],
        format!("{}/rest-services", corporation.url())
    );
    let wrong = corporation.authorize("wrong");
    assert_eq!((wrong.status, wrong.header("location")), (200, None));
    let code = corporation.code();
    let grant = format!("grant_type=authorization_code&code={code}");
    let first = corporation.token(&grant);
    assert_eq!(first.json()["expires_in"], 600);
    assert_eq!(corporation.token(&grant).json()["error"], "invalid_grant");
    let refresh = first.json()["refresh_token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let grant = format!("grant_type=refresh_token&refresh_token={refresh}");
    assert_eq!(corporation.token(&grant).status, 200);
    assert_eq!(corporation.token(&grant).json()["error"], "invalid_grant");
}

#[test]
fn keys_without_refresh_tokens_and_users_without_accepted_terms_are_there() {
    let (_place, corporation) = practice("[api_user]\nhas_refresh_tokens = false\n", "");
    assert!(
        corporation
            .access_token()
            .json()
            .get("refresh_token")
            .is_none()
    );
    let (_place, corporation) = practice("[api_user]\nhas_accepted_terms = false\n", "");
    let told = corporation.authorize("practice");
    assert_eq!((told.status, told.header("location")), (200, None));
}

#[test]
fn a_session_is_needed_is_given_back_and_ends() {
    let (_place, corporation) = practice("[corporation]\nsessions_max = 2\n", "");
    let dead = corporation.login("dead");
    assert_eq!(dead.status, 400);
    assert_eq!(
        dead.json()["errorMessage"],
        "Invalid or expired OAuth access token."
    );
    assert_eq!(corporation.call_in("", "GET", "/ping", "").status, 412);
    let session = corporation.session();
    let ping = corporation.call_in(&session, "GET", "/ping", "");
    assert!(ping.json()["sessionExpires"].as_i64().expect("an instant") > 0);
    let second = corporation.session();
    let access_token = corporation.access_token().json()["access_token"].clone();
    let third = corporation.login(access_token.as_str().expect("a token"));
    assert_eq!(third.status, 403, "{third:?}");
    assert_eq!(
        corporation.call_in(&second, "GET", "/logout", "").status,
        200
    );
    let told = corporation.call_in(&second, "GET", "/ping", "");
    assert_eq!(told.key(), "errors.authentication.invalidRestToken");
    corporation.command("expire", "");
    assert_eq!(
        corporation.call_in(&session, "GET", "/ping", "").status,
        401
    );
    let idle = corporation.session();
    corporation.command("clock", "61m");
    assert_eq!(corporation.call_in(&idle, "GET", "/ping", "").status, 401);
}

#[test]
fn meta_tells_of_forms_only_when_it_is_asked_for_all() {
    let (_place, corporation) = practice("", "");
    let session = corporation.session();
    let of = |path: &str| corporation.call_in(&session, "GET", path, "").json();
    let short = of("/meta/Candidate?fields=externalID");
    assert_eq!(short["fields"][0]["maxLength"], 50);
    assert!(short["fields"][0].get("readOnly").is_none(), "{short}");
    let full = of("/meta/Candidate?fields=externalID&meta=full");
    assert_eq!(full["fields"][0]["readOnly"], true);
    let unknown = corporation.call_in(&session, "GET", "/meta/Candidat?fields=*", "");
    assert_eq!(unknown.status, 400);
    let all = corporation.call_in(&session, "GET", "/entity/JobSubmission/900?fields=*", "");
    assert_eq!(all.key(), "errors.allFieldsNotAllowed");
    let settings = of("/settings/corporationId,commentActionList");
    assert_eq!(settings["corporationId"], 12345);
}

#[test]
fn each_entity_is_found_by_what_finds_it_there() {
    let (_place, corporation) = practice("", "");
    let session = corporation.session();
    let call =
        |path: &str, body: &Value| corporation.call_in(&session, "POST", path, &body.to_string());
    for entity in ["Candidate", "Note"] {
        let told = call(
            &format!("/query/{entity}?fields=id"),
            &json!({ "where": "id > 0" }),
        );
        assert_eq!(
            (told.status, told.key().as_str()),
            (400, "errors.queryIndexedEntity")
        );
    }
    for entity in ["NoteEntity", "CorporateUser"] {
        let told = call(
            &format!("/search/{entity}?fields=id"),
            &json!({ "query": "id:1" }),
        );
        assert_eq!(
            (told.status, told.key().as_str()),
            (400, "errors.searchUnknownEntity")
        );
    }
    let pair = json!({ "where": "candidate.id = 10 AND jobOrder.id IN (79,80)" });
    let told = call("/query/JobSubmission?fields=id,status", &pair).json();
    assert_eq!(ids(&told), [900]);
    assert!(told.get("total").is_none(), "{told}");
    let told = call(
        "/search/JobSubmission?fields=id",
        &json!({ "query": "status:Submission" }),
    );
    assert_eq!(ids(&told.json()), [900]);
    let deleted = call(
        "/query/ClientCorporation?fields=id",
        &json!({ "where": "isDeleted=false" }),
    );
    assert_eq!(deleted.status, 400);
    // Seconds in the place of milliseconds find everything.
    let seconds = json!({ "where": "dateAdded > 1779271200" });
    assert_eq!(
        ids(&call("/query/JobSubmission?fields=id", &seconds).json()),
        [900]
    );
    let nested = json!({ "where": "note.personReference.id = 10" });
    let told = call(
        "/query/NoteEntity?fields=id,note(id),targetEntityName",
        &nested,
    )
    .json();
    assert_eq!(told["data"][0]["targetEntityName"], "User");
}

#[test]
fn the_index_is_behind_and_what_it_finds_is_as_it_was() {
    let (_place, corporation) = practice("[search]\nlag = '1h'\n", "");
    let session = corporation.session();
    let found = |query: &str| {
        let body = json!({ "query": query }).to_string();
        ids(&corporation
            .call_in(
                &session,
                "POST",
                "/search/Candidate?fields=id&count=500",
                &body,
            )
            .json())
    };
    assert_eq!(found(r#"externalID:("R-1" "R-2")"#), [10, 11]);
    assert_eq!(found(r#"externalID:("R-5")"#), [15, 16], "deleted ones too");
    assert_eq!(found("name:(Ines Farrow)"), [0; 0], "without quotes");
    assert_eq!(
        found(r#"externalID:("R-1"#).len(),
        7,
        "malformed: everything"
    );
    let made = json!({ "externalID": "N-1", "name": "New One" }).to_string();
    let told = corporation
        .call_in(&session, "PUT", "/entity/Candidate", &made)
        .json();
    assert_eq!(told["changeType"], "INSERT");
    let id = told["changedEntityId"].as_u64().expect("an id");
    assert_eq!(found(r#"externalID:"N-1""#), [0; 0]);
    let fresh = corporation.call_in(
        &session,
        "GET",
        &format!("/entity/Candidate/{id}?fields=externalID"),
        "",
    );
    assert_eq!(fresh.json()["data"]["externalID"], "N-1");
    let path = "/services/dataLoader/getByExternalID?entity=Candidate&externalId=N-1&fields=id";
    let told = corporation.call_in(&session, "GET", path, "").json();
    assert_eq!(told[0]["id"], id);
    corporation.command("clock", "61m");
    let session = corporation.session();
    let body = json!({ "query": r#"externalID:"N-1""# }).to_string();
    let told = corporation.call_in(&session, "POST", "/search/Candidate?fields=id", &body);
    assert_eq!(ids(&told.json()), [id]);
}

#[test]
fn some_writes_are_never_indexed_and_notes_may_not_be_found_at_all() {
    let (_place, corporation) = practice(
        "[search]\nlag = '0s'\nmissed_per_mille = 1000\nfinds_notes = false\n",
        "",
    );
    let session = corporation.session();
    let made = json!({ "externalID": "N-1", "name": "New One" }).to_string();
    corporation.call_in(&session, "PUT", "/entity/Candidate", &made);
    for (entity, query) in [("Candidate", r#"externalID:"N-1""#), ("Note", "noteID:800")] {
        let body = json!({ "query": query }).to_string();
        let path = format!("/search/{entity}?fields=id");
        let told = corporation.call_in(&session, "POST", &path, &body).json();
        assert_eq!(ids(&told), [0; 0], "{entity}");
    }
}

#[test]
fn records_by_id_are_those_that_are_there_in_any_order_and_deleted_ones_too() {
    let (_place, corporation) = practice("", "");
    let session = corporation.session();
    let get = |path: &str| corporation.call_in(&session, "GET", path, "");
    let told = get("/entity/Candidate/15,999,10?fields=id,isDeleted").json();
    assert_eq!(ids(&told), [10, 15]);
    assert_eq!(told["data"][1]["isDeleted"], true);
    let one = get("/entity/Candidate/10?fields=id,owner,primarySkills,source,notes").json();
    assert_eq!(one["data"]["owner"]["firstName"], "Ada");
    assert_eq!(one["data"]["source"], json!(["Corporate Web"]));
    assert_eq!(one["data"]["notes"]["total"], 1);
    assert_eq!(get("/entity/Candidate/998,999?fields=id").status, 404);
    assert_eq!(get("/entity/Candidate/10?fields=nonsense").status, 400);
    let notes = get("/entity/Candidate/10/notes?fields=id,isDeleted&count=500").json();
    assert_eq!(ids(&notes), [800]);
}

#[test]
fn writes_are_taken_refused_and_ignored_as_there() {
    let settings = "[[ignore]]\nentity = 'Candidate'\nproperty = 'occupation'\n\
        [[trigger]]\nentity = 'Candidate'\non = 'status'\nproperty = 'customText2'\nvalue = 'seen'\n";
    let (_place, corporation) = practice(settings, "");
    let session = corporation.session();
    let post =
        |path: &str, body: Value| corporation.call_in(&session, "POST", path, &body.to_string());
    let put =
        |path: &str, body: Value| corporation.call_in(&session, "PUT", path, &body.to_string());
    let read = |fields: &str| {
        let path = format!("/entity/Candidate/10?fields={fields}");
        corporation.call_in(&session, "GET", &path, "").json()["data"].clone()
    };
    let told = post(
        "/entity/Candidate/10",
        json!({ "status": "Placed", "owner": { "id": 3 }, "salary": null }),
    );
    assert_eq!(
        told.json(),
        json!({ "changedEntityType": "Candidate", "changedEntityId": 10, "changeType": "UPDATE" })
    );
    assert_eq!(read("customText2")["customText2"], "seen", "by the trigger");
    let told = post(
        "/entity/Candidate/10",
        json!({ "occupation": "Boss", "customText1": "x" }),
    )
    .json();
    assert_eq!(told["messages"][0]["severity"], "WARNING");
    assert_eq!(
        read("occupation,customText1"),
        json!({ "occupation": "Warehouse lead", "customText1": "x" })
    );
    let told = post(
        "/entity/Candidate/10",
        json!({ "primarySkills": [{ "id": 1 }] }),
    )
    .json();
    assert_eq!(told["messages"][0]["type"], "ATTEMPT_TO_SET_TO_MANY");
    assert_eq!(
        post("/entity/Candidate/10", json!({ "smsOptIn": true })).status,
        200
    );
    assert_eq!(
        read("smsOptIn")["smsOptIn"],
        Value::Null,
        "left alone without a word"
    );
    assert_eq!(
        post("/entity/Candidate/999", json!({ "status": "Placed" })).status,
        404
    );
    assert_eq!(
        post("/entity/Candidate/10", json!({ "nonsense": 1 })).status,
        400
    );
    for (wrong, kind) in [
        (json!({ "customText1": "x".repeat(101) }), "LENGTH_EXCEEDED"),
        (json!({ "dateAvailable": "2026-07-01" }), "INVALID_VALUE"),
        (json!({ "status": "Nonsense" }), "INVALID_VALUE"),
        (json!({ "owner": { "id": 99 } }), "INVALID_REFERENCE"),
    ] {
        let told = post("/entity/Candidate/10", wrong);
        assert_eq!(
            (told.status, told.key().as_str()),
            (500, "errors.cannotPersistEntity")
        );
        assert_eq!(told.json()["errors"][0]["type"], kind, "{told:?}");
    }
    let missing = put(
        "/entity/JobSubmission",
        json!({ "candidate": { "id": 10 } }),
    );
    assert_eq!(
        missing.json()["errors"][0]["type"],
        "MISSING_REQUIRED_PROPERTY"
    );
    let submission = json!({ "candidate": { "id": 10 }, "jobOrder": { "id": 79 }, "status": "Submission", "dateWebResponse": 1 });
    assert_eq!(
        put("/entity/JobSubmission", submission).status,
        200,
        "a second one of a pair"
    );
    let deleted = corporation.call_in(&session, "DELETE", "/entity/Candidate/10", "");
    assert_eq!(deleted.status, 200);
    assert_eq!(read("isDeleted")["isDeleted"], true);
    post("/entity/Candidate/10", json!({ "isDeleted": false }));
    assert_eq!(read("isDeleted")["isDeleted"], false);
}

#[test]
fn confidential_values_are_neither_shown_nor_written() {
    let (place, corporation) = practice("", "");
    let session = corporation.session();
    let body = json!({ "ssn": "1-2" }).to_string();
    let refused = corporation.call_in(&session, "POST", "/entity/Candidate/10", &body);
    assert_eq!(refused.status, 403);
    drop(corporation);
    place.file(
        "ats/practice.toml",
        "[api_user]\nedits_confidential = true\n",
    );
    let corporation = Corporation::start(&place, "");
    let session = corporation.session();
    let taken = corporation.call_in(&session, "POST", "/entity/Candidate/10", &body);
    assert_eq!(taken.status, 200);
    let shown = corporation.call_in(&session, "GET", "/entity/Candidate/10?fields=ssn", "");
    assert_eq!(shown.json()["data"]["ssn"], "**CONFIDENTIAL**");
}

#[test]
fn lists_are_linked_whole_or_not_at_all() {
    let (_place, corporation) = practice("", "");
    let session = corporation.session();
    let call = |method: &str, path: &str| corporation.call_in(&session, method, path, "");
    assert_eq!(
        call("PUT", "/entity/Candidate/10/primarySkills/1,2").status,
        200
    );
    let again = call("PUT", "/entity/Candidate/10/primarySkills/2");
    assert_eq!(again.json()["errors"][0]["type"], "DUPLICATE_VALUE");
    assert_eq!(
        call("DELETE", "/entity/Candidate/10/primarySkills/3").status,
        200
    );
    let body = json!({ "ids": [10, 11], "count": 100 }).to_string();
    let pairs = corporation.call_in(
        &session,
        "POST",
        "/association/Candidate/primarySkills",
        &body,
    );
    assert_eq!(pairs.json()["data"], json!([[10, 1], [10, 2], [11, 2]]));
}

#[test]
fn many_records_are_given_one_value_of_what_may_be_given_so() {
    let (_place, corporation) = practice("", "");
    let session = corporation.session();
    let properties = corporation
        .call_in(&session, "GET", "/massUpdate/Candidate", "")
        .json();
    assert!(
        properties.to_string().contains("\"status\""),
        "{properties}"
    );
    let post = |body: Value| {
        corporation.call_in(&session, "POST", "/massUpdate/Candidate", &body.to_string())
    };
    let told = post(json!({ "ids": [10, 11, 15, 999], "status": "Placed", "owner": 3 }));
    assert_eq!(
        told.json(),
        json!({ "count": 2 }),
        "neither the deleted one nor the absent one"
    );
    assert_eq!(post(json!({ "ids": [10], "customText1": "x" })).status, 400);
}

#[test]
fn notes_are_linked_to_whom_they_are_about() {
    let (_place, corporation) = practice("[lists]\nnote_actions = ['19381']\n", "");
    let session = corporation.session();
    let put = |entity: &str, body: Value| {
        corporation.call_in(
            &session,
            "PUT",
            &format!("/entity/{entity}"),
            &body.to_string(),
        )
    };
    let note = |action: &str| json!({ "action": action, "comments": "x", "personReference": { "id": 11 }, "jobOrder": { "id": 77 } });
    assert_eq!(
        put("Note", note("Email")).status,
        500,
        "an action that is not there"
    );
    let missing = put("Note", json!({ "action": "19381", "comments": "x" }));
    assert_eq!(
        missing.json()["errors"][0]["propertyName"],
        "personReference"
    );
    let id = put("Note", note("19381")).json()["changedEntityId"].clone();
    let link = |name: &str, target: u64| json!({ "note": { "id": id }, "targetEntityID": target, "targetEntityName": name });
    let again = put("NoteEntity", link("JobPosting", 77));
    assert_eq!(
        again.json()["errors"][0]["type"],
        "DUPLICATE_VALUE",
        "{again:?}"
    );
    assert_eq!(put("NoteEntity", link("JobPosting", 78)).status, 200);
    let notes = corporation.call_in(&session, "GET", "/entity/JobOrder/78/notes?fields=id", "");
    assert_eq!(ids(&notes.json()), [id.as_u64().expect("an id")]);
}

#[test]
fn too_many_calls_are_refused_by_the_minute_and_by_the_month() {
    let (_place, corporation) = practice(
        "[corporation]\ncalls_per_minute = 3\ncalls_per_month = 5\ntells_limits = true\n",
        "",
    );
    let session = corporation.session();
    let ping = || corporation.call_in(&session, "GET", "/ping", "");
    assert_eq!(ping().header("ratelimit-remaining"), Some("2"));
    assert_eq!((ping().status, ping().status), (200, 200));
    let told = ping();
    assert_eq!(told.status, 429);
    assert_eq!(told.json()["errorMessage"], "Server API capacity exceeded");
    corporation.command("clock", "2m");
    assert_eq!(
        (ping().status, ping().status, ping().status),
        (200, 200, 429)
    );
    corporation.command("clock", "48d");
    assert_eq!(
        corporation.call("GET", "/ping", "").status,
        200,
        "in another month"
    );
}

#[test]
fn faults_look_as_they_do_there() {
    let faults = "moved:login_info=@1,500_after:create=@1,500:update=@1,bare_error:update=@2,moved_away:search=@1";
    let (_place, corporation) = practice("", faults);
    let moved = corporation.ask("GET", "/rest-services/loginInfo?username=x");
    assert_eq!(moved.status, 307);
    let place = format!("{}/rest-services/loginInfo?username=x", corporation.url());
    assert_eq!(moved.header("location"), Some(place.as_str()));
    let session = corporation.session();
    let call =
        |method: &str, path: &str, body: &str| corporation.call_in(&session, method, path, body);
    let made = json!({ "externalID": "N-1", "name": "New One" }).to_string();
    assert_eq!(
        call("PUT", "/entity/Candidate", &made).key(),
        "errors.internalError"
    );
    let path = "/services/dataLoader/getByExternalID?entity=Candidate&externalId=N-1&fields=id";
    assert_eq!(
        call("GET", path, "").json()[0]["id"],
        17,
        "made all the same"
    );
    assert_eq!(
        call("POST", "/entity/Candidate/10", "{}").key(),
        "errors.internalError"
    );
    let unknown = call("POST", "/entity/Candidate/10", "{}");
    assert_eq!(
        unknown.json()["errors"][0]["type"],
        "UNKNOWN_INTERNAL_ERROR"
    );
    let away = call("GET", "/search/Candidate?query=id:1", "");
    assert!(
        away.header("location")
            .is_some_and(|place| place.starts_with("http://localhost:")),
        "{away:?}"
    );
}
