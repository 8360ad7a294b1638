//! The practice Salesforce, as any client of Salesforce meets it: plain HTTP, and clients that
//! nobody here wrote.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Practice, PracticeClient, Reply, query_path, wait_until};

const BRIEN: &str = "001Hs0000000001IAA";
const CEDAR: &str = "001Hs0000000002IAA";
const DELTA: &str = "001Hs0000000003IAA";
const JWT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A record of a collection.
fn account(fields: &Value) -> Value {
    let mut record = json!({ "attributes": { "type": "Account" } });
    for (name, value) in fields.as_object().unwrap() {
        record[name] = value.clone();
    }
    record
}

/// The code and the message of a failed record.
fn refusal(result: &Value) -> (String, String) {
    assert_eq!(result["success"], false, "{result}");
    assert!(
        result.get("id").is_none(),
        "a failed record has no id: {result}"
    );
    let error = &result["errors"][0];
    (
        error["statusCode"].as_str().unwrap().to_owned(),
        error["message"].as_str().unwrap().to_owned(),
    )
}

fn oauth_error(reply: &Reply) -> (u16, String) {
    (
        reply.status,
        reply.json()["error"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    )
}

/// A JSON web token whose signature nobody looks at.
fn assertion(user: &str, audience: &str, seconds: i64) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let ends = i64::try_from(now.as_secs()).unwrap() + seconds;
    let claims = json!({ "iss": "practice", "sub": user, "aud": audience, "exp": ends });
    format!(
        "{}.{}.c2lnbmVk",
        base64url(r#"{"alg":"RS256"}"#),
        base64url(&claims.to_string())
    )
}

fn base64url(text: &str) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut encoded = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, place| {
            bits << 8 | usize::from(*chunk.get(place).unwrap_or(&0))
        });
        for place in 0..=chunk.len() {
            encoded.push(char::from(SIGNS[bits >> (18 - 6 * place) & 63]));
        }
    }
    encoded
}

#[test]
fn three_flows_are_granted_and_what_is_wrong_is_told_in_their_words() {
    let practice = Practice::start("");
    let granted = practice.token(
        "grant_type=client_credentials&client_id=practice&client_secret=practice",
        &[],
    );
    let told = granted.json();
    assert!(told.get("expires_in").is_none(), "{told}");
    assert_eq!(told["instance_url"], practice.url());
    assert_eq!(told["token_type"], "Bearer");

    let wrong = practice.token(
        "grant_type=client_credentials&client_id=practice&client_secret=no",
        &[],
    );
    assert_eq!(oauth_error(&wrong), (400, "invalid_client".to_owned()));
    let form = "grant_type=client_credentials&client_id=practice&client_secret=practice";
    let shared = practice.token(form, &[("Host", "login.salesforce.com")]);
    assert_eq!(oauth_error(&shared), (400, "invalid_grant".to_owned()));
    assert!(
        shared.text.contains("request not supported on this domain"),
        "{shared:?}"
    );
    let password = practice.token("grant_type=password&username=a&password=b", &[]);
    assert_eq!(
        oauth_error(&password),
        (400, "unsupported_grant_type".to_owned())
    );

    let jwt =
        |assertion: &str| practice.token(&format!("grant_type={JWT}&assertion={assertion}"), &[]);
    let login = "https://login.salesforce.com";
    assert_eq!(
        jwt(&assertion("writeback@practice.example", login, 120)).status,
        200
    );
    let stranger = jwt(&assertion("nobody@practice.example", login, 120));
    assert_eq!(oauth_error(&stranger), (400, "invalid_grant".to_owned()));
    assert!(
        stranger.text.contains("user hasn't approved this consumer"),
        "{stranger:?}"
    );
    for wrong in [
        assertion("writeback@practice.example", login, -5),
        assertion("writeback@practice.example", login, 4000),
        assertion(
            "writeback@practice.example",
            "https://elsewhere.example",
            120,
        ),
    ] {
        assert_eq!(oauth_error(&jwt(&wrong)).0, 400);
    }

    let refresh = |token: &str| {
        practice.token(
            &format!("grant_type=refresh_token&client_id=practice&refresh_token={token}"),
            &[],
        )
    };
    assert_eq!(refresh("practice").status, 200);
    assert_eq!(
        oauth_error(&refresh("dead")),
        (400, "invalid_grant".to_owned())
    );
}

#[test]
fn a_signed_assertion_is_checked_with_the_key_of_the_app() {
    let key = tempfile::TempDir::new().unwrap();
    let run = |arguments: &[&str]| {
        let ran = Command::new("openssl")
            .args(arguments)
            .current_dir(key.path())
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        ran.stdout
    };
    run(&["genrsa", "-out", "key.pem", "2048"]);
    run(&["rsa", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
    let public = std::fs::read_to_string(key.path().join("public.pem")).unwrap();
    let mut practice = Practice::start("");
    practice.place.file("org/public.pem", &public).file(
        "org/practice.toml",
        "[[app]]\nclient_id = \"practice\"\nclient_secret = \"practice\"\npublic_key = \"public.pem\"\n",
    );
    practice.kill_and_restart();
    let unsigned = assertion(
        "writeback@practice.example",
        "https://login.salesforce.com",
        120,
    );
    let (signed, _) = unsigned.rsplit_once('.').unwrap();
    std::fs::write(key.path().join("signed"), signed).unwrap();
    run(&[
        "dgst",
        "-sha256",
        "-sign",
        "key.pem",
        "-out",
        "signature",
        "signed",
    ]);
    let encoded = run(&["base64", "-A", "-in", "signature"]);
    let signature = String::from_utf8(encoded)
        .unwrap()
        .trim()
        .replace('+', "-")
        .replace('/', "_")
        .replace('=', "");
    let ask =
        |assertion: &str| practice.token(&format!("grant_type={JWT}&assertion={assertion}"), &[]);
    assert_eq!(ask(&format!("{signed}.{signature}")).status, 200);
    assert_eq!(
        oauth_error(&ask(&unsigned)),
        (400, "invalid_grant".to_owned())
    );
}

#[test]
fn tokens_die_on_command_and_between_two_pages() {
    let mut practice = Practice::start(
        "[[app]]\nclient_id = \"once\"\nclient_secret = \"s\"\nrefresh_token = \"first\"\nrotate = true\n",
    );
    practice.faults("page=2,expire:query_more=@1");
    let page = practice.query("SELECT Id FROM Account").json();
    assert_eq!(page["done"], false);
    let next = page["nextRecordsUrl"].as_str().unwrap().to_owned();
    let dead = practice.get(&next);
    assert_eq!(
        (dead.status, dead.code().as_str()),
        (401, "INVALID_SESSION_ID")
    );
    assert_eq!(practice.get(&next).status, 401, "it stays dead");
    practice.token = practice.log_in();
    assert_eq!(
        practice.get(&next).json()["done"],
        true,
        "the page is still there"
    );
    practice.command("expire", "");
    assert_eq!(practice.get("/limits").status, 401);
    practice.token = practice.log_in();

    practice.faults("no_api=@1,app_detached=@2");
    let useless = practice.get("/limits");
    assert_eq!(
        (useless.status, useless.code().as_str()),
        (401, "INVALID_SESSION_ID")
    );
    assert!(
        useless
            .text
            .contains("This session is not valid for use with the REST API")
    );
    assert!(
        practice
            .get("/limits")
            .text
            .contains("Connected app is not attached to Agent")
    );
    practice.faults("token_calls=2");
    practice.token = practice.log_in();
    let statuses = [(); 3].map(|()| practice.get("/limits").status);
    assert_eq!(statuses, [200, 200, 401]);

    practice.faults("");
    let refresh = |token: &str| {
        practice.token(
            &format!("grant_type=refresh_token&client_id=once&refresh_token={token}"),
            &[],
        )
    };
    let second = refresh("first").json()["refresh_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(refresh("first").status, 400, "it worked once");
    assert_eq!(refresh(&second).status, 200);
}

#[test]
fn versions_that_are_gone_and_headers_that_are_none_are_refused() {
    let practice = Practice::start("");
    let versions = practice
        .send("GET", "/services/data", &[], "")
        .unwrap()
        .json();
    assert_eq!(
        versions.as_array().unwrap().last().unwrap()["version"],
        "67.0"
    );
    assert_eq!(practice.get("/services/data/v30.0/limits").status, 410);
    assert_eq!(practice.get("/services/data/v68.0/limits").status, 410);
    assert_eq!(practice.get("/services/data/v61.0/limits").status, 200);
    for headers in [
        &[][..],
        &[("Authorization", "Token abc")],
        &[("Authorization", "Bearer")],
    ] {
        let refused = practice
            .send("GET", "/services/data/v67.0/limits", headers, "")
            .unwrap();
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (401, "INVALID_AUTH_HEADER")
        );
    }
}

#[test]
fn describe_tells_more_than_a_record_type_offers_and_is_not_told_twice() {
    let practice = Practice::start(
        "[[record_type]]\nobject = \"Account\"\nid = \"012Hs000000CustIAC\"\nname = \"Customer\"\n\
         choices = { Churn_Risk__c = [\"low\", \"high\"] }\n",
    );
    let described = practice.get("/sobjects/Account/describe");
    let told = described.json();
    let field = |name: &str| {
        let fields = told["fields"].as_array().unwrap();
        fields
            .iter()
            .find(|field| field["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(field("Health_Band__c")["updateable"], false);
    assert_eq!(field("Customer_Id__c")["unique"], true);
    assert_eq!(
        (
            &field("Legacy_Id__c")["externalId"],
            &field("Legacy_Id__c")["unique"]
        ),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        field("Churn_Risk__c")["picklistValues"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
    let kind = told["recordTypeInfos"][0]["recordTypeId"].as_str().unwrap();
    let offered = practice
        .get(&format!(
            "/ui-api/object-info/Account/picklist-values/{kind}/Churn_Risk__c"
        ))
        .json();
    let values: Vec<&str> = offered["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value["value"].as_str().unwrap())
        .collect();
    assert_eq!(values, ["low", "high"]);
    // What the record type does not offer is taken all the same.
    let results = practice.collection(
        "PATCH",
        "/composite/sobjects",
        &json!([account(
            &json!({ "id": BRIEN, "RecordTypeId": kind, "Churn_Risk__c": "critical" })
        )]),
        &[],
    );
    assert_eq!(results[0]["success"], true, "{results}");

    let tag = described.header("etag").unwrap().to_owned();
    let unchanged = practice
        .call_with(
            "GET",
            "/sobjects/Account/describe",
            &[("If-None-Match", &tag)],
            &Value::Null,
        )
        .unwrap();
    assert_eq!(unchanged.status, 304);
    let since = [("If-Modified-Since", "Mon, 30 Nov 2026 08:34:54 GMT")];
    assert_eq!(
        practice
            .call_with("GET", "/sobjects/Account/describe", &since, &Value::Null)
            .unwrap()
            .status,
        304
    );
    assert_eq!(practice.get("/sobjects/Bogus/describe").status, 404);
    assert_eq!(practice.get("/sobjects").json()["maxBatchSize"], 200);
}

#[test]
fn queries_find_what_they_say_and_no_more() {
    let practice = Practice::start("");
    let names = |condition: &str| {
        practice.found(
            "Name",
            &format!("SELECT Name FROM Account WHERE {condition} ORDER BY Name"),
        )
    };
    assert_eq!(
        names(r"Name IN ('o\'brien & sons', 'CEDAR')"),
        ["Cedar", "O'Brien & Sons"]
    );
    assert_eq!(names("Customer_Id__c = 'e1'"), ["O'Brien & Sons"]);
    assert_eq!(names("Id = '001Hs0000000002'"), ["Cedar"]);
    assert_eq!(names("Health_Score__c > 12.5"), ["Cedar"]);
    assert_eq!(names("Health_Score__c = null"), ["Delta"]);
    assert_eq!(names("Churn_Risk__c != 'high'"), ["Cedar", "Delta"]);
    assert_eq!(
        names("Name LIKE '%e%' AND NOT (Name LIKE 'C%')"),
        ["Delta", "O'Brien & Sons"]
    );
    assert_eq!(
        names("Interests__c INCLUDES ('Training', 'Analytics;Security')"),
        ["Delta", "O'Brien & Sons"]
    );
    assert_eq!(
        names("Interests__c EXCLUDES ('Training')"),
        ["Cedar", "O'Brien & Sons"]
    );
    assert_eq!(
        names(
            "Owner.Email = 'desk@example.com' AND (Customer_Id__c = 'E1' OR Customer_Id__c = 'E3')"
        ),
        ["Delta", "O'Brien & Sons"]
    );
    assert_eq!(
        names("Id IN (SELECT AccountId FROM Contact WHERE LastName = 'One')"),
        ["O'Brien & Sons"]
    );
    assert_eq!(names("Customer_Id__c NOT IN ('E1', 'E2')"), ["Delta"]);
    assert_eq!(
        names("CreatedDate > 2020-01-01T00:00:00Z AND CreatedDate < 2026-11-01T00:00:00+01:00")
            .len(),
        3
    );
    assert_eq!(
        practice.query("SELECT COUNT() FROM Account").json()["totalSize"],
        3
    );
    assert_eq!(
        practice.found(
            "Name",
            "SELECT Name FROM Account ORDER BY Health_Score__c DESC NULLS LAST LIMIT 1 OFFSET 1"
        ),
        ["O'Brien & Sons"]
    );
    let parent = practice
        .query("SELECT LastName, Account.Owner.Username FROM Contact LIMIT 1")
        .json();
    assert_eq!(
        parent["records"][0]["Account"]["Owner"]["Username"],
        "ada@practice.example"
    );

    for (soql, code) in [
        (
            "SELECT Id FROM Account WHERE Name = 'O'Brien'",
            "MALFORMED_QUERY",
        ),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY"),
        ("SELECT Nope FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Nope = 1", "INVALID_FIELD"),
        (
            "SELECT Id FROM Account WHERE Health_Score__c = '1'",
            "INVALID_FIELD",
        ),
        ("SELECT Id FROM Account WHERE Name = 1", "INVALID_FIELD"),
        ("SELECT Id FROM Bogus", "INVALID_TYPE"),
        (
            "SELECT Id FROM Account WHERE Id = 'x'",
            "INVALID_QUERY_FILTER_OPERATOR",
        ),
    ] {
        let refused = practice.query(soql);
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, code),
            "{soql}"
        );
    }
    let message = practice.query("SELECT Nope FROM Account").json()[0]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        message.contains("ERROR at Row:1:Column:8\nNo such column 'Nope' on entity 'Account'."),
        "{message}"
    );
    let long = format!(
        "SELECT Id FROM Account WHERE Name IN ('{}')",
        "a".repeat(16_400)
    );
    assert_eq!(practice.query(&long).status, 414);
}

#[test]
fn pages_are_followed_and_a_short_one_is_no_end() {
    let practice = Practice::start("");
    practice.faults("page=2,short_page:query=@1");
    let mut page = practice.query("SELECT Id FROM Account").json();
    let mut sizes = Vec::new();
    loop {
        sizes.push(page["records"].as_array().unwrap().len());
        assert_eq!(page["totalSize"], 3);
        let Some(next) = page["nextRecordsUrl"].as_str().map(str::to_owned) else {
            break;
        };
        assert_eq!(page["done"], false);
        page = practice.get(&next).json();
    }
    assert_eq!(sizes, [1, 2]);
    assert_eq!(
        practice.get("/query/01gNobodyKnows1-2000").code(),
        "INVALID_QUERY_LOCATOR"
    );
}

#[test]
fn a_collection_answers_in_order_and_failed_records_cost_themselves() {
    let practice = Practice::start("");
    let records = json!([
        account(&json!({ "id": BRIEN, "Health_Score__c": 1 })),
        account(&json!({ "id": CEDAR, "Churn_Risk__c": "terrible" })),
        account(&json!({ "id": "001Hs00000099zz", "Name": "nobody" })),
        account(&json!({ "Name": "no id" })),
        account(&json!({ "id": DELTA, "Health_Score__c": 3 })),
    ]);
    let results = practice.collection("PATCH", "/composite/sobjects", &records, &[]);
    assert_eq!(
        results[0],
        json!({ "id": BRIEN, "success": true, "errors": [] })
    );
    assert_eq!(results[4]["id"], DELTA);
    let codes = [1, 2, 3].map(|place| refusal(&results[place]).0);
    assert_eq!(
        codes,
        [
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
            "INVALID_CROSS_REFERENCE_KEY",
            "MISSING_ARGUMENT"
        ]
    );
    let scores = || {
        practice.found(
            "Health_Score__c",
            "SELECT Health_Score__c FROM Account ORDER BY Id",
        )
    };
    assert_eq!(scores(), ["1.0", "80.0", "3.0"]);

    let all = json!({ "allOrNone": true, "records": [account(&json!({ "id": BRIEN, "Health_Score__c": 50 })), account(&json!({ "id": CEDAR, "Name": null }))] });
    let results = practice.call("PATCH", "/composite/sobjects", &all).json();
    assert_eq!(refusal(&results[0]).0, "ALL_OR_NONE_OPERATION_ROLLED_BACK");
    assert_eq!(
        refusal(&results[1]),
        (
            "REQUIRED_FIELD_MISSING".to_owned(),
            "Required fields are missing: [Name]".to_owned()
        )
    );
    assert_eq!(scores(), ["1.0", "80.0", "3.0"]);

    let many: Vec<Value> = (0..201)
        .map(|count| account(&json!({ "Name": format!("n {count}") })))
        .collect();
    let refused = practice.call("POST", "/composite/sobjects", &json!({ "records": many }));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (400, "EXCEEDED_ID_LIMIT")
    );
    assert_eq!(
        practice
            .call("POST", "/composite/sobjects", &json!({ "records": [] }))
            .code(),
        "REQUIRED_FIELD_MISSING"
    );
    assert_eq!(
        practice.query("SELECT COUNT() FROM Account").json()["totalSize"],
        3
    );
    let deleted = practice
        .call(
            "DELETE",
            &format!("/composite/sobjects?ids={BRIEN},001Hs00000099zz"),
            &Value::Null,
        )
        .json();
    assert_eq!(deleted[0]["success"], true);
    assert_eq!(deleted[1]["success"], false);
}

#[test]
fn an_upsert_tells_what_it_made_and_refuses_what_it_cannot_tell_apart() {
    let practice = Practice::start("");
    let path = "/composite/sobjects/Account/Customer_Id__c";
    let records = json!([
        account(&json!({ "Customer_Id__c": "e1", "Name": "found" })),
        account(&json!({ "Customer_Id__c": "E9", "Name": "made" })),
        account(&json!({ "Customer_Id__c": "E8", "Name": "twice" })),
        account(&json!({ "Customer_Id__c": "E8", "Name": "twice" })),
    ]);
    let results = practice.collection("PATCH", path, &records, &[]);
    assert_eq!(
        (&results[0]["id"], &results[0]["created"]),
        (&json!(BRIEN), &json!(false))
    );
    assert_eq!(results[1]["created"], true);
    for place in [2, 3] {
        let told = refusal(&results[place]);
        assert_eq!(
            told,
            (
                "DUPLICATE_VALUE".to_owned(),
                "Duplicate external id specified: E8".to_owned()
            )
        );
    }
    let twice = practice.collection(
        "PATCH",
        "/composite/sobjects/Account/Legacy_Id__c",
        &json!([account(&json!({ "Legacy_Id__c": "L1", "Name": "x" }))]),
        &[],
    );
    assert_eq!(refusal(&twice[0]).0, "DUPLICATE_EXTERNAL_ID");
    let several = practice.call(
        "PATCH",
        "/sobjects/Account/Legacy_Id__c/L1",
        &json!({ "Name": "x" }),
    );
    assert_eq!(several.status, 300);
    assert_eq!(several.json().as_array().unwrap().len(), 2);
}

#[test]
fn update_only_never_creates() {
    let practice = Practice::start("");
    let count = || {
        practice.query("SELECT COUNT() FROM Account").json()["totalSize"]
            .as_u64()
            .unwrap()
    };
    let body = json!({ "Name": "x" });
    let url = |key: &str| {
        format!("/services/data/v67.0/sobjects/Account/Customer_Id__c/{key}?updateOnly=true")
    };
    assert_eq!(practice.call("PATCH", &url("E7"), &body).status, 404);
    assert_eq!(practice.call("PATCH", &url("E1"), &body).status, 200);
    let part = |key: &str| json!({ "method": "PATCH", "url": url(key), "referenceId": format!("r{key}"), "body": body });
    let composite = practice
        .call(
            "POST",
            "/composite",
            &json!({ "compositeRequest": [part("E7"), part("E2")] }),
        )
        .json();
    let statuses: Vec<&Value> = composite["compositeResponse"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| &part["httpStatusCode"])
        .collect();
    assert_eq!(statuses, [404, 200]);
    let graphs = json!({ "graphs": [
        { "graphId": "absent", "compositeRequest": [part("E3"), part("E7")] },
        { "graphId": "there", "compositeRequest": [part("E2")] },
    ] });
    let graphs = practice.call("POST", "/composite/graph", &graphs).json();
    assert_eq!(graphs["graphs"][0]["isSuccessful"], false);
    assert_eq!(graphs["graphs"][1]["isSuccessful"], true);
    assert_eq!(
        practice.found(
            "Name",
            "SELECT Name FROM Account WHERE Customer_Id__c = 'E3'"
        ),
        ["Delta"],
        "a graph is written as a whole"
    );
    assert_eq!(count(), 3);
    let made = practice.call("PATCH", "/sobjects/Account/Customer_Id__c/E7", &body);
    assert_eq!((made.status, &made.json()["created"]), (201, &json!(true)));
    assert_eq!(count(), 4);
}

#[test]
fn conditional_writes_compare_whole_seconds_and_tags_guard_accounts_only() {
    let practice = Practice::start("");
    let path = format!("/sobjects/Account/{BRIEN}");
    let patch = |path: &str, headers: &[(&str, &str)]| {
        practice
            .call_with("PATCH", path, headers, &json!({ "Description": "x" }))
            .unwrap()
    };
    let read = practice.get(&path);
    let modified = read.header("last-modified").unwrap().to_owned();
    assert_eq!(
        patch(
            &path,
            &[("If-Unmodified-Since", "Mon, 01 Jan 2024 00:00:00 GMT")]
        )
        .status,
        412
    );
    assert_eq!(
        patch(&path, &[("If-Unmodified-Since", &modified)]).status,
        204
    );
    let now = practice
        .get(&path)
        .header("last-modified")
        .unwrap()
        .to_owned();
    assert_eq!(
        patch(&path, &[("If-Unmodified-Since", &now)]).status,
        204,
        "a change within the second slips through"
    );
    assert_eq!(
        patch(&path, &[("If-Unmodified-Since", "yesterday")]).status,
        400
    );
    let tag = practice.get(&path).header("etag").unwrap().to_owned();
    assert_eq!(patch(&path, &[("If-Match", "\"0-gzip\"")]).status, 412);
    assert_eq!(patch(&path, &[("If-Match", &tag)]).status, 204);
    let contact = "/sobjects/Contact/003Hs0000000001IAA";
    assert_eq!(
        patch(contact, &[("If-Match", "\"0-gzip\"")]).status,
        204,
        "it has no effect elsewhere"
    );
    let guarded = json!({ "compositeRequest": [{
        "method": "PATCH", "url": format!("/services/data/v67.0{contact}"), "referenceId": "r", "body": { "Title": "x" },
        "httpHeaders": { "If-Unmodified-Since": "Mon, 01 Jan 2024 00:00:00 GMT" },
    }] });
    let told = practice.call("POST", "/composite", &guarded).json();
    assert_eq!(told["compositeResponse"][0]["httpStatusCode"], 412);
}

#[test]
fn a_composite_is_one_call_and_what_depends_on_a_failure_is_halted() {
    let practice = Practice::start("");
    let used = || practice.counts()["org"]["used"].as_u64().unwrap();
    let before = used();
    let request = |method: &str, path: &str, reference: &str, body: Value| json!({ "method": method, "url": format!("/services/data/v67.0/sobjects/{path}"), "referenceId": reference, "body": body });
    let told = practice
        .call(
            "POST",
            "/composite",
            &json!({ "compositeRequest": [
        request("POST", "Account", "good", json!({ "Name": "made" })),
        request("POST", "Contact", "child", json!({ "LastName": "C", "AccountId": "@{good.id}" })),
        request("POST", "Account", "bad", json!({})),
        request("POST", "Contact", "orphan", json!({ "LastName": "C", "AccountId": "@{bad.id}" })),
    ] }),
        )
        .json();
    let parts = told["compositeResponse"].as_array().unwrap();
    let statuses: Vec<&Value> = parts.iter().map(|part| &part["httpStatusCode"]).collect();
    assert_eq!(statuses, [201, 201, 400, 400]);
    assert_eq!(parts[3]["body"][0]["errorCode"], "PROCESSING_HALTED");
    assert_eq!(used() - before, 1);
    let many: Vec<Value> = (0..26)
        .map(|count| {
            request(
                "POST",
                "Account",
                &format!("r{count}"),
                json!({ "Name": "n" }),
            )
        })
        .collect();
    let refused = practice.call("POST", "/composite", &json!({ "compositeRequest": many }));
    assert_eq!(refused.status, 400, "{refused:?}");
    let batch = json!({ "batchRequests": [{ "method": "GET", "url": "v67.0/limits" }, { "method": "GET", "url": "v67.0/sobjects/Account/001Hs00000099zz" }] });
    let before = used();
    let told = practice.call("POST", "/composite/batch", &batch).json();
    assert_eq!(
        (&told["hasErrors"], &told["results"][1]["statusCode"]),
        (&json!(true), &json!(404))
    );
    assert_eq!(used() - before, 3);
}

/// Makes a job, uploads, and waits for its end; gives what it tells.
fn bulk(practice: &Practice, job: &Value, csv: &str) -> (String, Value) {
    let made = practice.call("POST", "/jobs/ingest", job).json();
    assert_eq!(made["state"], "Open", "{made}");
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(practice.upload(&id, csv).status, 201);
    assert_eq!(
        practice.upload(&id, csv).status,
        400,
        "an upload is taken once"
    );
    let path = format!("/jobs/ingest/{id}");
    assert_eq!(
        practice
            .call("PATCH", &path, &json!({ "state": "UploadComplete" }))
            .json()["state"],
        "UploadComplete"
    );
    wait_until("the job ends", || {
        let state = practice.get(&path).json()["state"]
            .as_str()
            .unwrap()
            .to_owned();
        ["JobComplete", "Failed"].contains(&state.as_str())
    });
    (id, practice.get(&path).json())
}

fn lines(practice: &Practice, job: &str, results: &str) -> Vec<String> {
    let told = practice.get(&format!("/jobs/ingest/{job}/{results}"));
    assert_eq!(told.status, 200);
    told.text.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn a_bulk_job_gives_results_in_another_order_and_fails_half_way_on_request() {
    let mut practice = Practice::start("");
    let job = json!({ "object": "Account", "operation": "upsert", "externalIdFieldName": "Customer_Id__c" });
    let rows: String = (0..50)
        .map(|count| format!("B{count:02},name {count}\n"))
        .collect();
    let csv = format!("Customer_Id__c,Name\n{rows}E1,\nB99,\n");
    let (id, told) = bulk(&practice, &job, &csv);
    assert_eq!(
        (
            &told["numberRecordsProcessed"],
            &told["numberRecordsFailed"]
        ),
        (&json!(52), &json!(1))
    );
    let done = lines(&practice, &id, "successfulResults");
    assert_eq!(done.len(), 51);
    let keys: Vec<&str> = done
        .iter()
        .map(|line| line.split(',').nth(2).unwrap())
        .collect();
    assert!(
        !keys.is_sorted(),
        "never in the order of the upload: {keys:?}"
    );
    assert_eq!(
        lines(&practice, &id, "failedResults"),
        [
            "\"\",\"REQUIRED_FIELD_MISSING:Required fields are missing: [Name]:Name --\",\"B99\",\"\""
        ]
    );
    practice.kill_and_restart();
    assert_eq!(
        lines(&practice, &id, "successfulResults"),
        done,
        "it outlives the process"
    );
    assert_eq!(
        practice
            .call("DELETE", &format!("/jobs/ingest/{id}"), &Value::Null)
            .status,
        204
    );

    let update = json!({ "object": "Account", "operation": "update" });
    let (_, told) = bulk(
        &practice,
        &update,
        &format!("Id,Health_Score__c,Churn_Risk__c\n{BRIEN},,#N/A\n"),
    );
    assert_eq!(told["numberRecordsFailed"], 0);
    let row = practice
        .query("SELECT Health_Score__c, Churn_Risk__c FROM Account WHERE Customer_Id__c = 'E1'")
        .json();
    assert_eq!(
        (
            &row["records"][0]["Health_Score__c"],
            &row["records"][0]["Churn_Risk__c"]
        ),
        (&json!(12.5), &Value::Null)
    );

    practice.faults("bulk_fail:bulk_create=@1");
    let (id, told) = bulk(&practice, &job, &format!("Customer_Id__c,Name\n{rows}"));
    assert_eq!(
        (&told["state"], &told["numberRecordsProcessed"]),
        (&json!("Failed"), &json!(25))
    );
    assert!(told["errorMessage"].is_string());
    assert_eq!(lines(&practice, &id, "unprocessedrecords").len(), 25);
    let (_, told) = bulk(&practice, &job, "Customer_Id__c,Nope\nE1,x\n");
    assert_eq!(
        told["errorMessage"],
        "InvalidBatch : Field name not found : Nope"
    );
    let aborted = practice.call("POST", "/jobs/ingest", &job).json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let aborted = practice.call(
        "PATCH",
        &format!("/jobs/ingest/{aborted}"),
        &json!({ "state": "Aborted" }),
    );
    assert_eq!(aborted.json()["state"], "Aborted");
}

#[test]
fn values_are_kept_as_salesforce_keeps_them() {
    let practice = Practice::start("");
    let patch = |body: Value| practice.call("PATCH", &format!("/sobjects/Account/{BRIEN}"), &body);
    let text = || {
        practice
            .get(&format!(
                "/sobjects/Account/{BRIEN}?fields=Phone,Health_Score__c,Interests__c,Scored_At__c"
            ))
            .text
    };
    let set = json!({ "Phone": "", "Health_Score__c": "7", "Interests__c": "Training;Analytics", "Scored_At__c": "2026-01-31T11:00:00.123+01:00" });
    assert_eq!(patch(set).status, 204);
    let told = text();
    assert!(
        told.contains("\"Phone\":null,\"Health_Score__c\":7.00,"),
        "{told}"
    );
    assert!(told.contains("\"Interests__c\":\"Analytics;Training\",\"Scored_At__c\":\"2026-01-31T10:00:00.000+0000\""), "{told}");
    for (body, code) in [
        (json!({ "Strategic__c": null }), "JSON_PARSER_ERROR"),
        (json!({ "Strategic__c": "TRUE" }), "JSON_PARSER_ERROR"),
        (json!({ "Health_Score__c": "much" }), "JSON_PARSER_ERROR"),
        (
            json!({ "Health_Note__c": "x".repeat(201) }),
            "STRING_TOO_LONG",
        ),
        (
            json!({ "Churn_Risk__c": "bad" }),
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        ),
        (
            json!({ "Health_Score__c": 1000 }),
            "NUMBER_OUTSIDE_VALID_RANGE",
        ),
        (
            json!({ "Health_Band__c": "green" }),
            "INVALID_FIELD_FOR_INSERT_UPDATE",
        ),
        (json!({ "Nope": 1 }), "INVALID_FIELD"),
    ] {
        let refused = patch(body.clone());
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, code),
            "{body}"
        );
    }
    assert_eq!(text(), told, "nothing of what was refused was written");
}

#[test]
fn rules_of_the_org_refuse_and_set_what_they_say() {
    let practice = Practice::start(
        "[[refuse]]\nobject = \"Account\"\nwhen = \"Health_Score__c > 100\"\nmessage = \"Too healthy.\"\nfields = [\"Health_Score__c\"]\n\
         [[refuse]]\nobject = \"Account\"\non = [\"update\"]\nwhen = \"Name = 'Locked'\"\nbefore = true\ncode = \"ENTITY_IS_LOCKED\"\nmessage = \"This record is locked.\"\n\
         [[trigger]]\nobject = \"Account\"\nwhen = \"Churn_Risk__c = 'high'\"\nset = { Rating = \"Hot\" }\n\
         [[duplicate_rule]]\nobject = \"Account\"\nname = \"Same_Phone\"\nfields = [\"Phone\"]\n",
    );
    let update = |fields: Value, headers: &[(&str, &str)]| {
        let results = practice.collection(
            "PATCH",
            "/composite/sobjects",
            &json!([account(&fields)]),
            headers,
        );
        results[0].clone()
    };
    let refused = update(json!({ "id": BRIEN, "Health_Score__c": 101 }), &[]);
    assert_eq!(
        refused["errors"][0],
        json!({ "statusCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION", "message": "Too healthy.", "fields": ["Health_Score__c"] })
    );
    assert_eq!(
        update(json!({ "id": BRIEN, "Name": "Locked", "Phone": "1" }), &[])["success"],
        true
    );
    assert_eq!(
        refusal(&update(json!({ "id": BRIEN, "Name": "x" }), &[])).0,
        "ENTITY_IS_LOCKED"
    );
    assert_eq!(
        practice.found(
            "Rating",
            "SELECT Rating FROM Account WHERE Customer_Id__c = 'E1'"
        ),
        ["Hot"]
    );
    let double = json!({ "id": CEDAR, "Phone": "1" });
    assert_eq!(
        refusal(&update(double.clone(), &[])),
        (
            "DUPLICATES_DETECTED".to_owned(),
            "Use one of these records?".to_owned()
        )
    );
    assert_eq!(
        update(
            double,
            &[("Sforce-Duplicate-Rule-Header", "allowSave=true")]
        )["success"],
        true
    );
    // Every accepted write fires them, one that changes nothing too.
    let fired = || {
        practice.counts()["org"]["triggers"]["Account.update"]
            .as_u64()
            .unwrap()
    };
    let before = fired();
    let modified = practice.found(
        "LastModifiedDate",
        "SELECT LastModifiedDate FROM Account WHERE Customer_Id__c = 'E2'",
    );
    practice.command("clock", "10s");
    assert_eq!(
        update(
            json!({ "id": CEDAR, "Phone": "1" }),
            &[("Sforce-Duplicate-Rule-Header", "allowSave=true")]
        )["success"],
        true
    );
    assert_eq!(fired(), before + 1);
    assert_ne!(
        practice.found(
            "LastModifiedDate",
            "SELECT LastModifiedDate FROM Account WHERE Customer_Id__c = 'E2'"
        ),
        modified
    );
}

#[test]
fn references_lead_to_one_record_or_are_refused() {
    let practice = Practice::start("");
    let update = |id: &str, kind: &str, fields: Value| {
        let mut record = account(&fields);
        record["attributes"]["type"] = json!(kind);
        record["id"] = json!(id);
        practice.collection("PATCH", "/composite/sobjects", &json!([record]), &[])[0].clone()
    };
    let contact = "003Hs0000000001IAA";
    assert_eq!(
        update(
            contact,
            "Contact",
            json!({ "Account": { "Customer_Id__c": "E2" } })
        )["success"],
        true
    );
    let missing = refusal(&update(
        contact,
        "Contact",
        json!({ "Account": { "Customer_Id__c": "0116" } }),
    ));
    assert_eq!(
        missing,
        (
            "INVALID_FIELD".to_owned(),
            "Foreign key external ID: 0116 not found for field Customer_Id__c in entity Account"
                .to_owned()
        )
    );
    assert_eq!(
        update(
            BRIEN,
            "Account",
            json!({ "Owner": { "attributes": { "type": "User" }, "Username": "ben@practice.example" } })
        )["success"],
        true
    );
    assert_eq!(
        practice.found(
            "OwnerId",
            "SELECT OwnerId FROM Contact WHERE LastName = 'Two'"
        ),
        ["005Hs0000000002IAA"],
        "children stay with theirs"
    );
    assert_eq!(
        refusal(&update(
            BRIEN,
            "Account",
            json!({ "OwnerId": "005Hs0000000004IAA" })
        ))
        .0,
        "INACTIVE_OWNER_OR_USER"
    );
    assert_eq!(
        refusal(&update(
            BRIEN,
            "Account",
            json!({ "OwnerId": "005Hs0000000099" })
        ))
        .0,
        "INVALID_CROSS_REFERENCE_KEY"
    );
    assert_eq!(
        practice
            .found(
                "Id",
                "SELECT Id FROM User WHERE Email IN ('DESK@example.com') AND IsActive = true"
            )
            .len(),
        2
    );
}

#[test]
fn a_parent_that_is_being_written_locks_its_children_for_a_while() {
    let practice = Practice::start_with("", &["--faults", "latency=1500ms,lock_wait=1ms"]);
    let client: &PracticeClient = &practice;
    let write = |contact: &str| {
        let record = json!({ "attributes": { "type": "Contact" }, "id": contact, "AccountId": BRIEN, "Title": "x" });
        client.collection("PATCH", "/composite/sobjects", &json!([record]), &[])[0].clone()
    };
    let contacts = ["003Hs0000000001IAA", "003Hs0000000002IAA"];
    let results: Vec<Value> = std::thread::scope(|scope| {
        let calls = contacts.map(|contact| scope.spawn(move || write(contact)));
        calls.map(|call| call.join().unwrap()).into()
    });
    let locked: Vec<&Value> = results
        .iter()
        .filter(|result| result["success"] == false)
        .collect();
    assert_eq!(locked.len(), 1, "{results:?}");
    let (code, message) = refusal(locked[0]);
    assert_eq!(code, "UNABLE_TO_LOCK_ROW");
    assert!(
        message.starts_with("unable to obtain exclusive access to this record or 1 records: 00"),
        "{message}"
    );
    assert!(
        contacts
            .iter()
            .all(|contact| write(contact)["success"] == true),
        "it passes later"
    );
}

#[test]
fn writes_of_one_parent_wait_for_one_another() {
    let practice = Practice::start_with("", &["--faults", "latency=100ms"]);
    let client: &PracticeClient = &practice;
    let write = |title: usize| {
        let record = json!({ "attributes": { "type": "Contact" }, "id": "003Hs0000000001IAA", "Title": title });
        client.collection("PATCH", "/composite/sobjects", &json!([record]), &[])[0].clone()
    };
    let results: Vec<Value> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..6)
            .map(|title| scope.spawn(move || write(title)))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(
        results.iter().all(|result| result["success"] == true),
        "{results:?}"
    );
}

#[test]
fn usage_is_always_told_now_and_then_less_and_its_end_is_a_403() {
    let practice = Practice::start("[org]\ndaily_calls = 100\nlong_calls_max = 3\n");
    practice.faults("others=1");
    let used: Vec<u64> = (0..30)
        .map(|_| {
            let told = practice.get("/limits");
            let usage = told.header("sforce-limit-info").unwrap();
            let number = usage
                .strip_prefix("api-usage=")
                .unwrap()
                .split('/')
                .next()
                .unwrap();
            number.parse().unwrap()
        })
        .collect();
    assert!(
        used.windows(2).any(|pair| pair[1] < pair[0]),
        "now and then less than before: {used:?}"
    );
    assert!(
        used.iter().max() >= Some(&55),
        "calls of others are counted: {used:?}"
    );
    practice.command("quota", r#"{"used": 100}"#);
    let over = practice.get("/limits");
    assert_eq!(
        (over.status, over.code().as_str()),
        (403, "REQUEST_LIMIT_EXCEEDED")
    );
    assert!(over.text.contains("TotalRequests Limit exceeded"));
    assert_eq!(over.header("retry-after"), None);
    practice.command("clock", "25h");
    let mut practice = practice;
    practice.token = practice.log_in();
    assert_eq!(practice.get("/limits").status, 200, "the day is over");

    practice.faults("latency=2s,long_call=0ms");
    let client: &PracticeClient = &practice;
    let statuses: Vec<(u16, String)> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| client.get("/limits")))
            .collect();
        calls
            .into_iter()
            .map(|call| call.join().unwrap())
            .map(|reply| (reply.status, reply.text))
            .collect()
    });
    let refused: Vec<&(u16, String)> = statuses
        .iter()
        .filter(|(status, _)| *status == 403)
        .collect();
    assert_eq!(refused.len(), 1, "{statuses:?}");
    assert!(
        refused[0]
            .1
            .contains("ConcurrentRequests (Concurrent API Requests) Limit exceeded.")
    );
}

#[test]
fn deleted_records_are_gone_for_most_and_can_be_brought_back() {
    let practice = Practice::start("");
    let path = format!("/sobjects/Account/{BRIEN}");
    assert_eq!(practice.call("DELETE", &path, &Value::Null).status, 204);
    assert_eq!(practice.get(&path).status, 404);
    let refused = practice.call("PATCH", &path, &json!({ "Name": "x" }));
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (404, "ENTITY_IS_DELETED")
    );
    let results = practice.collection(
        "PATCH",
        "/composite/sobjects",
        &json!([account(&json!({ "id": BRIEN, "Name": "x" }))]),
        &[],
    );
    assert_eq!(
        refusal(&results[0]),
        (
            "ENTITY_IS_DELETED".to_owned(),
            "entity is deleted".to_owned()
        )
    );
    let soql = "SELECT Id FROM Account WHERE IsDeleted = true";
    assert_eq!(practice.found("Id", soql), [""; 0]);
    let all = query_path(soql).replace("/query?", "/queryAll?");
    assert_eq!(practice.get(&all).json()["totalSize"], 1);
    practice.command("restore", &json!({ "ids": [BRIEN] }).to_string());
    assert_eq!(practice.get(&path).status, 200);
    practice.command(
        "merge",
        &json!({ "master": CEDAR, "ids": [BRIEN] }).to_string(),
    );
    let loser = practice
        .get(
            &query_path("SELECT MasterRecordId FROM Account WHERE Customer_Id__c = 'E1'")
                .replace("/query?", "/queryAll?"),
        )
        .json();
    assert_eq!(loser["records"][0]["MasterRecordId"], CEDAR);
}

#[test]
fn an_answer_is_dropped_before_in_and_after_the_commit() {
    let practice = Practice::start("");
    let count = || {
        practice
            .query("SELECT COUNT() FROM Account WHERE Name = 'dropped'")
            .json()["totalSize"]
            .as_u64()
            .unwrap()
    };
    let create = || {
        practice.call_with(
            "POST",
            "/sobjects/Account",
            &[],
            &json!({ "Name": "dropped" }),
        )
    };
    practice.faults("drop_before:row_create=@1");
    assert!(create().is_none());
    assert_eq!(count(), 0);
    practice.faults("drop_in:row_create=@1");
    assert!(create().is_none());
    wait_until("the write stands", || count() == 1);
    practice.faults("drop_after:row_create=@1");
    assert!(create().is_none());
    assert_eq!(count(), 2);
    assert_eq!(
        create().unwrap().status,
        201,
        "a repeated create makes one more"
    );
    assert_eq!(count(), 3);
}

#[test]
fn gateways_and_servers_fail_in_their_own_shapes() {
    let practice = Practice::start("");
    practice.faults("502=@1,503=@2,bare_error=@3,cut_json=@4,500=@5,login_page=@6,unavailable=@7,lock:update=@1");
    let replies = [(); 7].map(|()| practice.get("/limits"));
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses, [502, 503, 500, 200, 500, 200, 503]);
    assert!(
        replies[0].text.contains("<html")
            && replies[1].text.contains("<html")
            && replies[5].text.contains("<html")
    );
    assert!(replies[2].json().is_object(), "a bare object");
    assert!(
        serde_json::from_str::<Value>(&replies[3].text).is_err(),
        "cut short"
    );
    assert_eq!(replies[4].code(), "UNKNOWN_EXCEPTION");
    assert_eq!(practice.get("/limits").status, 200, "it passes");
    let one = json!([account(&json!({ "id": BRIEN, "Phone": "1" }))]);
    assert_eq!(
        refusal(&practice.collection("PATCH", "/composite/sobjects", &one, &[])[0]).0,
        "UNABLE_TO_LOCK_ROW"
    );
    assert_eq!(
        practice.collection("PATCH", "/composite/sobjects", &one, &[])[0]["success"],
        true
    );
}

#[test]
fn what_was_answered_outlives_a_kill_and_begins_again_on_request() {
    let mut practice = Practice::start("");
    let made = practice.call("POST", "/sobjects/Account", &json!({ "Name": "kept" }));
    assert_eq!(made.status, 201);
    let token = practice.token.clone();
    practice.kill_and_restart();
    practice.token = token;
    assert_eq!(
        practice.found("Name", "SELECT Name FROM Account WHERE Name = 'kept'"),
        ["kept"],
        "and its tokens too"
    );
    let again = practice.place.command(&["practice", "crm"]);
    assert_eq!(again.code, 0, "{again}");
    assert!(
        again.stdout.contains(&format!(
            "{}, where another process serves it",
            practice.url()
        )),
        "{again}"
    );
}

#[test]
fn a_folder_that_is_wrong_is_told_with_its_place() {
    let practice = Practice::start("");
    let place = &practice.place;
    place.file("writeback.toml", "[connections.other]\nkind = \"salesforce\"\npractice = \"org\"\n[connections.files]\nkind = \"files\"\nfolder = \"data\"\n");
    for (file, text, told) in [
        (
            "org/Account.csv",
            "Id,Nope\n001Hs0000000001IAA,x\n",
            "`Account.csv`, line 2: `Account` has no field `Nope`",
        ),
        (
            "org/Account.csv",
            "Id,Health_Score__c\n001Hs0000000001IAA,x\n",
            "`Account.csv`, line 2: `x` is no double for `Health_Score__c`",
        ),
        (
            "org/practice.toml",
            "[[refuse]]\nobject = \"Account\"\nwhen = \"Nope = 1\"\nmessage = \"m\"\n",
            "No such column 'Nope' on entity 'Account'",
        ),
    ] {
        place.file(file, text);
        let ran = place.command(&["practice", "other"]);
        assert_eq!(ran.code, 2, "{ran}");
        assert!(ran.stderr.contains(told), "{ran}");
    }
    let ran = place.command(&["practice", "files"]);
    assert!(
        ran.stderr
            .contains("connection `files` has no practice stand-in"),
        "{ran}"
    );
    let ran = place.command(&["practice", "other", "--faults", "drop=5%"]);
    assert!(ran.stderr.contains("is no fault"), "{ran}");
}

/// A client that nobody here wrote, as its makers publish it. It takes every host for the practice.
const SIMPLE_SALESFORCE: &str = r#"
import sys, requests
from requests.adapters import HTTPAdapter
from urllib.parse import urlsplit, urlunsplit
from simple_salesforce import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest, SalesforceMoreThanOneRecord, SalesforceResourceNotFound

class Here(HTTPAdapter):
    def send(self, request, **options):
        url = urlsplit(request.url)
        request.headers['Host'] = url.netloc
        request.url = urlunsplit(('http', sys.argv[1], url.path, url.query, ''))
        return super().send(request, **options)

def fails(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(kind)

session = requests.Session()
session.mount('https://', Here())
session.mount('http://', Here())
org = Salesforce(consumer_key='practice', consumer_secret='practice', domain='acme.my', session=session, version='67.0')
assert org.sf_instance == 'acme.my.salesforce.com', org.sf_instance
assert any(field['name'] == 'Health_Score__c' for field in org.Account.describe()['fields'])
made = org.Account.create({'Name': 'Made', 'Customer_Id__c': 'S-1'})
assert made['success'], made
assert org.Account.update(made['id'], {'Health_Score__c': 12.5}) == 204
assert org.Account.get_by_custom_id('Customer_Id__c', 'S-1')['Health_Score__c'] == 12.5
assert org.Account.upsert('Customer_Id__c/S-1', {'Name': 'Renamed'}) == 200
assert org.Account.upsert('Customer_Id__c/S-2', {'Name': 'Second'}) == 201
error = fails(SalesforceMalformedRequest, lambda: org.Account.create({}))
assert error.content == [{'message': 'Required fields are missing: [Name]', 'errorCode': 'REQUIRED_FIELD_MISSING', 'fields': ['Name']}], error.content
fails(SalesforceMoreThanOneRecord, lambda: org.Account.upsert('Legacy_Id__c/L1', {'Name': 'a'}))
fails(SalesforceResourceNotFound, lambda: org.Account.get('001Hs00000099zz'))
rows = [{'Name': f'Bulk {count}', 'Customer_Id__c': f'B-{count}'} for count in range(500)]
done = org.bulk2.Account.upsert(records=rows, external_id_field='Customer_Id__c')
assert done[0]['numberRecordsProcessed'] == 500 and done[0]['numberRecordsFailed'] == 0, done
session.headers['Sforce-Query-Options'] = 'batchSize=200'
found = org.query_all("SELECT Id, Owner.Username FROM Account WHERE Name LIKE 'Bulk %'")
assert len(found['records']) == 500, len(found['records'])
assert org.Account.delete(made['id']) == 204
assert org.query("SELECT Id FROM Account WHERE Customer_Id__c = 'S-1'", include_deleted=True)['totalSize'] == 1
assert org.api_usage['api-usage'].total == 15000, org.api_usage
print('all well')
"#;

#[test]
fn a_client_that_nobody_here_wrote_gets_on_with_it() {
    let clients = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    assert!(
        clients.join("simple_salesforce").exists(),
        "there is no client in {}: `tests/run` fetches it",
        clients.display()
    );
    let practice = Practice::start("");
    let address = practice.url().trim_start_matches("http://");
    let ran = Command::new("python3")
        .args(["-c", SIMPLE_SALESFORCE, address])
        .env("PYTHONPATH", &clients)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&ran.stdout);
    assert_eq!(
        told.trim(),
        "all well",
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}
