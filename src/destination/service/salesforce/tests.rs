//! What a real org answered, read record by record; answers that are damaged, which may mean
//! anything but a success; and a host of these tests' own that answers as it is told.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use polars::prelude::{Column, DataFrame};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::answers::{collection_replies, composite_replies};
use super::*;
use crate::domain::connection::{
    DataverseOptions, Limits, LiveAccess, SalesforceOptions, Secret, ServiceAccess, ServiceKind,
    System,
};
use crate::domain::error::chain;
use crate::domain::field::NullPolicy;
use crate::domain::match_rule::MatchMode;
use crate::domain::object::Holds;
use crate::domain::share::Percent;

const TOKEN: &str = r#"{"access_token":"00D!canary-1","instance_url":"HOST","id":"https://x/id/00D5g000004XyZ1EAC/0055g000004XyZ1EAC","token_type":"Bearer"}"#;

fn recorded(name: &str) -> Value {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/recorded/salesforce")
        .join(name);
    let text = std::fs::read_to_string(file).expect("a recorded answer");
    serde_json::from_str(&text).expect("JSON")
}

fn account() -> Object {
    let described: Described =
        serde_json::from_value(recorded("describe-Account-v42.json")).expect("a describe answer");
    described.object()
}

fn id(text: &str) -> RowId {
    RowId(text.to_owned())
}

mod recorded_answers {
    use super::*;

    /// Each exchange that wrote a collection, with what became of its records.
    fn collections() -> Vec<(Value, Vec<Reply>)> {
        let Value::Array(exchanges) = recorded("recorded-rest-v42.json") else {
            panic!("a list of exchanges");
        };
        let is_collection = |exchange: &&Value| {
            let path = exchange["path"].as_str().unwrap_or_default();
            path.ends_with("/composite/sobjects") && exchange["status"] == 200
        };
        let replies = |exchange: &Value| {
            let body = exchange["responseBody"].to_string();
            let sent = exchange["requestBody"]["records"].as_array();
            let listed = exchange["query"]["ids"].as_str().map(|ids| {
                let ids = ids.replace("%2C", ",");
                ids.split(',').map(|text| Some(id(text))).collect()
            });
            let ids: Vec<Option<RowId>> = listed.unwrap_or_else(|| {
                let sent = sent.expect("records").iter();
                sent.map(|record| record["id"].as_str().map(id)).collect()
            });
            let ids: Vec<Option<&RowId>> = ids.iter().map(Option::as_ref).collect();
            collection_replies(body.as_bytes(), &ids)
        };
        exchanges
            .iter()
            .filter(is_collection)
            .map(|exchange| (exchange.clone(), replies(exchange)))
            .collect()
    }

    #[test]
    fn each_record_of_a_collection_has_the_reply_that_was_given() {
        let collections = collections();
        assert_eq!(collections.len(), 6);
        for (exchange, replies) in collections {
            let results = exchange["responseBody"].as_array().expect("results");
            assert_eq!(results.len(), replies.len());
            for (result, reply) in results.iter().zip(replies) {
                match reply {
                    Reply::Done { id } => assert_eq!(result["id"], id.0, "{result}"),
                    Reply::Refused { message, column } => {
                        assert_eq!(result["success"], false);
                        let error = &result["errors"][0];
                        assert!(message.contains(error["message"].as_str().expect("words")));
                        assert_eq!(column.as_deref(), error["fields"][0].as_str());
                    }
                    Reply::Gone => {
                        assert_eq!(result["errors"][0]["statusCode"], "ENTITY_IS_DELETED");
                    }
                    other @ (Reply::Again { .. } | Reply::ChangedSince | Reply::Unknown) => {
                        panic!("{other:?} of {result}")
                    }
                }
            }
        }
    }

    #[test]
    fn a_refused_record_is_told_in_the_words_of_the_org() {
        let refused: Vec<Reply> = collections()
            .into_iter()
            .flat_map(|(_, replies)| replies)
            .filter(|reply| matches!(reply, Reply::Refused { .. }))
            .collect();
        assert!(refused.contains(&Reply::Refused {
            message: "INVALID_EMAIL_ADDRESS: email_field: invalid email address: badone".to_owned(),
            column: Some("email_field__c".to_owned()),
        }));
    }

    #[test]
    fn a_described_object_is_what_a_destination_needs() {
        let object = account();
        let column = |name: &str| {
            object
                .columns
                .iter()
                .find(|column| column.name == name)
                .unwrap_or_else(|| panic!("no {name}"))
                .clone()
        };
        assert_eq!(object.display_name(), "Account");
        let name = column("Name");
        assert_eq!(name.declared, "string(255)");
        assert!(!name.nullable && !name.has_default, "required on create");
        assert!(
            matches!(column("Rating").holds, Holds::Text { .. }),
            "any value may be added"
        );
        assert_eq!(column("AnnualRevenue").declared, "currency(18,0)");
        assert_eq!(column("OwnerId").declared, "reference(User)");
        assert!(!column("CreatedDate").may_update);
        assert_eq!(column("BillingAddress").holds, Holds::Unsupported);
        assert!(object.unique_keys.contains(&vec!["Id".to_owned()]));
        assert!(object.indexes.contains(&vec!["AccountNumber".to_owned()]));
    }
}

mod damaged_answers {
    use super::*;

    fn whole(count: usize) -> String {
        let results: Vec<Value> = (0..count)
            .map(|place| match place % 3 {
                0 => json!({"success": false, "errors": [{"statusCode": "STRING_TOO_LONG", "message": "x", "fields": ["Name"]}]}),
                _ => json!({"id": ids()[place], "success": true, "errors": []}),
            })
            .collect();
        Value::from(results).to_string()
    }

    fn ids() -> Vec<String> {
        (0..6)
            .map(|place| format!("0014S000007Nxm{place}QAC"))
            .collect()
    }

    /// That no record is told to be done which the answer does not name as done.
    fn expect_honest(body: &[u8]) {
        let known: Vec<RowId> = ids().iter().map(|text| id(text)).collect();
        let wanted: Vec<Option<&RowId>> = known.iter().map(Some).collect();
        let replies = collection_replies(body, &wanted);
        assert_eq!(replies.len(), wanted.len());
        let told = serde_json::from_slice::<Value>(body).unwrap_or_default();
        for (reply, own) in replies.iter().zip(&known) {
            if let Reply::Done { id } = reply {
                assert_eq!(id, own);
                let named = told
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|result| result["id"] == own.0 && result["success"] == true);
                assert!(named, "{own:?} in {told}");
            }
        }
        let references: Vec<&RowId> = known.iter().collect();
        assert_eq!(composite_replies(body, &references).len(), known.len());
    }

    proptest! {
        #[test]
        fn an_answer_that_is_cut_or_garbled_is_no_success(cut in 0_usize..700, flip in 0_usize..700, letter: u8) {
            let mut body = whole(6).into_bytes();
            if let Some(byte) = body.get_mut(flip) {
                *byte = letter;
            }
            body.truncate(cut);
            expect_honest(&body);
        }

        #[test]
        fn results_in_another_order_or_number_are_joined_by_what_they_name(
            order in Just((0..6).collect::<Vec<usize>>()).prop_shuffle(), count in 0_usize..6,
        ) {
            let Value::Array(results) = serde_json::from_str(&whole(6)).expect("JSON") else {
                unreachable!("a list");
            };
            let shuffled: Vec<Value> = order.iter().take(count).map(|place| results[*place].clone()).collect();
            expect_honest(Value::from(shuffled).to_string().as_bytes());
        }
    }

    #[test]
    fn answers_of_other_shapes_say_nothing() {
        let one = id("0014S000007NxmlQAC");
        for body in [
            "",
            "<html>502</html>",
            "null",
            "{}",
            "[]",
            "[1]",
            "[null]",
            r#"[{"success":"true","id":"0014S000007NxmlQAC"}]"#,
            r#"[{"success":true}]"#,
            r#"[{"success":true,"id":7}]"#,
            r#"[{"success":true,"id":"0014S000007NxmlQAD","errors":[]}]"#,
            r#"[{"success":true,"id":"0014S000007NxmlQAC","errors":[]},{}]"#,
            r#"[{"success":true,"id":"0014S000007NxmmQAC","errors":[]}]"#,
            r#"[{"success":false,"errors":[]}]"#,
            r#"[{"success":false}]"#,
        ] {
            let replies = collection_replies(body.as_bytes(), &[Some(&one)]);
            let is_done = matches!(replies[..], [Reply::Done { .. }]);
            assert_eq!(is_done, body.ends_with(",{}]"), "{body}: {replies:?}");
            assert_eq!(
                composite_replies(body.as_bytes(), &[&one]),
                [Reply::Unknown]
            );
        }
    }

    #[test]
    fn the_code_of_an_error_and_not_its_status_says_what_can_be_done() {
        let reply = |code: &str, message: &str| {
            let error = json!([{"statusCode": code, "message": message, "fields": []}]);
            let body = json!([{"success": false, "errors": error}]).to_string();
            collection_replies(body.as_bytes(), &[None]).remove(0)
        };
        let lock = "unable to obtain exclusive access to this record or 1 records: 001";
        assert!(matches!(
            reply("UNABLE_TO_LOCK_ROW", lock),
            Reply::Again { .. }
        ));
        let nested = "Tr: execution of BeforeUpdate caused by: UNABLE_TO_LOCK_ROW, unable";
        assert!(matches!(
            reply("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", nested),
            Reply::Again { .. }
        ));
        assert!(matches!(
            reply("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "Tr: a rule of ours"),
            Reply::Refused { .. }
        ));
        assert_eq!(reply("ENTITY_IS_DELETED", "entity is deleted"), Reply::Gone);
        assert!(matches!(
            reply("FIELD_CUSTOM_VALIDATION_EXCEPTION", "no"),
            Reply::Refused { .. }
        ));
    }

    #[test]
    fn parts_of_a_composite_answer_are_joined_by_their_names() {
        let ids: Vec<RowId> = ids().iter().take(5).map(|text| id(text)).collect();
        let part = |name: &str, status: u16, body: Value| json!({"referenceId": name, "httpStatusCode": status, "body": body, "httpHeaders": {}});
        let error = |code: &str| json!([{"errorCode": code, "message": "m"}]);
        let body = json!({"compositeResponse": [
            part("r4", 204, Value::Null),
            part("r1", 412, error("PRECONDITION_FAILED")),
            part("r0", 204, Value::Null),
            part("r2", 404, error("ENTITY_IS_DELETED")),
        ]});
        let references: Vec<&RowId> = ids.iter().collect();
        let done = |place: usize| Reply::Done {
            id: ids[place].clone(),
        };
        assert_eq!(
            composite_replies(body.to_string().as_bytes(), &references),
            [
                done(0),
                Reply::ChangedSince,
                Reply::Gone,
                Reply::Unknown,
                done(4)
            ]
        );
    }
}

mod spelling {
    use super::*;
    use crate::destination::service::salesforce::values::*;

    fn field(name: &str) -> LayoutField {
        let object = account();
        let column = object
            .columns
            .into_iter()
            .find(|column| column.name == name);
        let column = column.expect("a column of Account");
        let kind = column.holds.kind().expect("a kind");
        LayoutField::plain(column, kind)
    }

    #[test]
    fn no_value_ends_the_quotes_it_stands_in() {
        assert_eq!(quoted(r"O'Brien \ x"), r"'O\'Brien \\ x'");
        assert_eq!(quoted("a\nb"), r"'a\nb'");
        assert_eq!(soql(&field("NumberOfEmployees"), "7) OR (1=1"), "0");
    }

    #[test]
    fn what_the_org_makes_its_own_of_is_the_same_the_next_time() {
        let same = |name: &str, sent: Option<&str>, held: Option<&str>| {
            same_after_storing(&field(name), sent, held)
        };
        assert!(same("Site", Some(""), None));
        assert!(same("Site", Some("  x "), Some("x")));
        assert!(same("Description", Some("a\r\nb"), Some("a\nb")));
        assert!(same("AnnualRevenue", Some("59.9423"), Some("59.942300")));
        assert!(same("NumberOfEmployees", Some("7"), Some("7.0")));
        assert!(same(
            "OwnerId",
            Some("005000000000001"),
            Some("005000000000001AAA")
        ));
        assert!(same(
            "CreatedDate",
            Some("2021-12-03 17:59:20.000123"),
            Some("2021-12-03T17:59:20.000+0000")
        ));
        assert!(!same("Site", Some("x"), Some("X")));
        assert!(!same("Site", Some("x"), None));
        assert!(!same(
            "CreatedDate",
            Some("2021-12-03 17:59:21"),
            Some("2021-12-03T17:59:20.000+0000")
        ));
        let mut members = field("Site");
        members.column.declared = "multipicklist(4099)".to_owned();
        assert!(same_after_storing(&members, Some("A;B; C"), Some("C;A;B")));
        assert!(!same_after_storing(&members, Some("A;B"), Some("A;B;C")));
    }

    #[test]
    fn values_are_sent_as_the_org_reads_them() {
        assert_eq!(json(&field("Site"), Some("a \"b\"")), r#""a \"b\"""#);
        assert_eq!(json(&field("Site"), Some(" ")), "null");
        assert_eq!(
            json(&field("AnnualRevenue"), Some("12345678901234567.5")),
            "12345678901234567.5"
        );
        assert_eq!(
            json(&field("CreatedDate"), Some("2026-01-31 10:00:00.5")),
            r#""2026-01-31T10:00:00.500Z""#
        );
        assert_eq!(
            http_date("2026-11-30T08:34:54.000+0000").as_deref(),
            Some("Mon, 30 Nov 2026 08:34:54 GMT")
        );
    }

    #[test]
    fn two_keys_that_differ_in_case_are_two() {
        let name = field("AccountNumber");
        assert_ne!(key_form(&name, "a-1"), key_form(&name, "A-1"));
        assert_eq!(key_form(&name, " a-1 "), key_form(&name, "a-1"));
        let id = field("Id");
        assert_eq!(
            key_form(&id, "0014S000007NxmlQAC"),
            key_form(&id, "0014S000007Nxml")
        );
        let number = field("NumberOfEmployees");
        assert_eq!(key_form(&number, "7.0"), key_form(&number, "7"));
    }

    #[test]
    fn look_ups_fill_urls_and_never_exceed_them() {
        let layout = super::layout(&["AccountNumber", "Site"], 1);
        let keys: Vec<Vec<String>> = (0..2_000)
            .map(|number| vec![format!("K'{number:06}")])
            .collect();
        let fields = selected(&layout, Some("LastModifiedDate"), &[]);
        let paths = queries::look_ups("/services/data/v67.0/query", &layout, &fields, &keys);
        assert!(paths.iter().all(|path| path.len() <= 16_000));
        assert!(paths.len() <= 4, "{}", paths.len());
        let asked: usize = paths.iter().map(|path| path.matches("%27K").count()).sum();
        assert_eq!(asked, 2_000);
        assert!(paths[0].starts_with(
            "/services/data/v67.0/query?q=SELECT%20Id%2CLastModifiedDate%2CAccountNumber%2CSite%20FROM%20Account%20WHERE%20AccountNumber%20IN%20%28%27K%5C%27000000%27%2C"
        ));
        let composite = super::layout(&["AccountNumber", "Site"], 2);
        let pair = [vec!["a".to_owned(), "b".to_owned()]];
        let paths = queries::look_ups("/q", &composite, &["Id".to_owned()], &pair);
        assert!(paths[0].ends_with("%28AccountNumber%3D%27a%27%20AND%20Site%3D%27b%27%29"));
    }
}

/// A layout of Account with these fields, of which the first so many are the key.
fn layout(names: &[&str], key: usize) -> Layout {
    let object = account();
    let field = |(place, name): (usize, &&str)| {
        let column = object.columns.iter().find(|column| column.name == *name);
        let column = column.expect("a column of Account").clone();
        let kind = column.holds.kind().expect("a kind");
        LayoutField {
            key: place < key,
            ..LayoutField::plain(column, kind)
        }
    };
    Layout {
        fields: names.iter().enumerate().map(field).collect(),
        object,
        mode: MatchMode::UpdateOnly,
        nulls: NullPolicy::Write,
        only_where: Vec::new(),
        key: (0..key).collect(),
    }
}

/// Its status, its limits and its body.
type ToldAnswer = (u16, &'static str, String);

/// A host that gives the answers it was told to, one after the other, and remembers what it was
/// asked.
#[derive(Clone, Default)]
struct Told {
    answers: Arc<Mutex<VecDeque<ToldAnswer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

struct Host {
    told: Told,
    url: String,
}

impl Host {
    async fn start(answers: &[(u16, &'static str, &str)]) -> Self {
        let told = Told::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let answers = answers
            .iter()
            .map(|(status, header, body)| (*status, *header, body.replace("HOST", &url)));
        told.answers.lock().expect("unpoisoned").extend(answers);
        let app = Router::new().fallback(answer).with_state(told.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { told, url }
    }

    fn asked(&self) -> Vec<String> {
        self.told.asked.lock().expect("unpoisoned").clone()
    }

    fn connection(&self, auth: Auth, account: Option<&str>) -> Connection {
        let live = LiveAccess {
            login_url: self.url.clone(),
            api_url: None,
            auth,
            ca_file: None,
        };
        Connection {
            name: "crm".to_owned(),
            system: System::Service(ServiceSettings {
                kind: ServiceKind::Salesforce,
                access: ServiceAccess::Live(Box::new(live)),
                account: account.map(str::to_owned),
                allowance: None,
                quota_share: Percent::parse("50 %").expect("a share"),
                requests_per_second: None,
                search_lag: None,
                options: SalesforceOptions::default(),
                dataverse: DataverseOptions::default(),
                api_version: None,
                state_folder: std::env::temp_dir().join("never-used"),
            }),
            timezone: None,
            limits: Limits {
                attempts_max: 3,
                connect_timeout: Duration::from_secs(5),
                statement_timeout: Duration::from_secs(5),
                ..Limits::default()
            },
        }
    }

    async fn connect(&self) -> Result<SalesforceDestination, SystemError> {
        connect(&self.connection(client_credentials(), None)).await
    }
}

async fn answer(State(told): State<Told>, request: HttpRequest) -> impl IntoResponse {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .expect("a body");
    let body = String::from_utf8_lossy(&body).into_owned();
    let authorization = parts.headers.get("authorization");
    let authorization = authorization.map_or("", |value| value.to_str().unwrap_or_default());
    told.asked.lock().expect("unpoisoned").push(format!(
        "{} {} [{authorization}] {body}",
        parts.method, parts.uri
    ));
    let next = told.answers.lock().expect("unpoisoned").pop_front();
    let (status, limits, body) = next.unwrap_or((500, "", "no answer was told".to_owned()));
    let mut headers = HeaderMap::new();
    headers.insert(
        "content-type",
        "application/json".parse().expect("a header"),
    );
    if !limits.is_empty() {
        headers.insert("sforce-limit-info", limits.parse().expect("a header"));
    }
    (
        StatusCode::from_u16(status).expect("a status"),
        headers,
        body,
    )
}

fn client_credentials() -> Auth {
    Auth::ClientCredentials {
        client_id: "3MVG9".to_owned(),
        client_secret: Secret::new("canary-7f".to_owned()),
    }
}

async fn connect(connection: &Connection) -> Result<SalesforceDestination, SystemError> {
    let System::Service(settings) = &connection.system else {
        unreachable!("a web API");
    };
    SalesforceDestination::connect(connection, settings).await
}

fn told(error: &SystemError) -> String {
    let hint = error.hint().unwrap_or_default();
    format!("{} | {hint}", chain(error).join(": "))
}

fn batch(columns: &[(&str, &[Option<&str>])]) -> DataFrame {
    let columns = columns
        .iter()
        .map(|(name, values)| Column::new((*name).into(), values.to_vec()))
        .collect();
    DataFrame::new_infer_height(columns).expect("a frame")
}

const DEAD: &str = r#"[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]"#;

fn found(records: &[Value]) -> String {
    json!({"totalSize": records.len(), "done": true, "records": records}).to_string()
}

fn record(id: &str, number: &str, site: Value) -> Value {
    json!({
        "attributes": {"type": "Account"}, "Id": id, "AccountNumber": number, "Site": site,
        "LastModifiedDate": "2026-11-30T08:34:54.000+0000",
    })
}

mod sessions {
    use super::*;

    #[tokio::test]
    async fn a_token_of_another_org_is_refused_before_any_read() {
        let host = Host::start(&[(200, "", TOKEN)]).await;
        let connection = host.connection(client_credentials(), Some("00D5g000004XyZ2EAC"));
        let error = connect(&connection).await.err().expect("another org");
        assert!(matches!(error, SystemError::Forbidden { .. }));
        let told = told(&error);
        assert!(
            told.contains("lead to org `00D5g000004XyZ1EAC`, not to `00D5g000004XyZ2EAC`"),
            "{told}"
        );
        assert_eq!(host.asked().len(), 1, "only the log-in");
    }

    #[tokio::test]
    async fn a_dead_token_is_renewed_once_and_the_call_is_repeated() {
        let second = TOKEN.replace("canary-1", "canary-2");
        let host = Host::start(&[
            (200, "", TOKEN),
            (401, "", DEAD),
            (200, "", &second),
            (200, "", r#"{"sobjects":[{"name":"Account"}]}"#),
        ])
        .await;
        let destination = host.connect().await.expect("a connection");
        assert_eq!(
            destination.object_names().await.expect("names"),
            ["Account"]
        );
        let asked = host.asked();
        assert!(
            asked[1].contains("[Bearer 00D!canary-1]")
                && asked[3].contains("[Bearer 00D!canary-2]")
        );
    }

    #[tokio::test]
    async fn a_refusal_that_no_token_cures_is_told_and_not_tried_again() {
        let words = "This session is not valid for use with the REST API";
        let refusal = json!([{"message": words, "errorCode": "INVALID_SESSION_ID"}]).to_string();
        let host = Host::start(&[(200, "", TOKEN), (401, "", &refusal)]).await;
        let destination = host.connect().await.expect("a connection");
        let error = destination.object_names().await.expect_err("no scope");
        assert!(
            told(&error).contains("scopes hold `api`"),
            "{}",
            told(&error)
        );
        assert_eq!(host.asked().len(), 2);
    }

    #[tokio::test]
    async fn bad_credentials_are_told_without_a_secret() {
        let refusal = r#"{"error":"invalid_client","error_description":"bad canary-7f"}"#;
        let host = Host::start(&[(400, "", refusal)]).await;
        let error = host.connect().await.err().expect("refused");
        let told = told(&error);
        assert!(
            told.contains("invalid_client: bad ***") && told.contains("`client_secret`"),
            "{told}"
        );
        assert!(!format!("{error:?}").contains("canary"));
    }

    #[tokio::test]
    async fn a_told_host_of_another_site_is_not_followed() {
        let token = TOKEN.replace("HOST", "http://10.9.8.7");
        let host = Host::start(&[(200, "", &token)]).await;
        let error = host.connect().await.err().expect("another site");
        assert!(told(&error).contains("another site"), "{}", told(&error));
    }

    #[tokio::test]
    async fn an_overburdened_host_is_waited_for() {
        let busy = r#"[{"message":"ConcurrentRequests (Concurrent API Requests) Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]"#;
        let names = r#"{"sobjects":[{"name":"Account"}]}"#;
        let host = Host::start(&[
            (200, "", TOKEN),
            (403, "", busy),
            (503, "", "<html>maintenance</html>"),
            (200, "", names),
        ])
        .await;
        let destination = host.connect().await.expect("a connection");
        assert_eq!(
            destination.object_names().await.expect("names"),
            ["Account"]
        );
    }

    #[tokio::test]
    async fn calls_stop_before_they_cross_the_share_of_the_quota() {
        let names = r#"{"sobjects":[]}"#;
        let host = Host::start(&[
            (200, "", TOKEN),
            (200, "api-usage=499/1000; api-bursts=1/750", names),
            (200, "api-usage=500/1000", names),
        ])
        .await;
        let destination = host.connect().await.expect("a connection");
        for _ in 0..2 {
            destination.object_names().await.expect("within the share");
        }
        let error = destination
            .object_names()
            .await
            .expect_err("the share is used up");
        assert!(matches!(error, SystemError::QuotaSpent { .. }));
        let told = told(&error);
        assert!(
            told.contains("500 of 1000 calls are used up, and 50 % of them may be"),
            "{told}"
        );
        assert!(told.contains("run again then"), "{told}");
        assert_eq!(host.asked().len(), 3, "the call was not sent");
    }

    #[tokio::test]
    async fn a_refresh_token_that_works_once_is_kept_before_its_access_token_is_used() {
        let folder = tempfile::tempdir().expect("a folder");
        let rotated = TOKEN.replace(
            "\"token_type\"",
            "\"refresh_token\":\"second\",\"token_type\"",
        );
        let host = Host::start(&[(200, "", &rotated)]).await;
        let auth = Auth::RefreshToken {
            client_id: "3MVG9".to_owned(),
            client_secret: None,
            refresh_token: Secret::new("first".to_owned()),
        };
        let mut connection = host.connection(auth, None);
        if let System::Service(settings) = &mut connection.system {
            settings.state_folder = folder.path().to_owned();
        }
        connect(&connection).await.expect("a connection");
        assert!(host.asked()[0].contains("refresh_token=first"));
        let kept = std::fs::read_to_string(folder.path().join("tokens/crm.json")).expect("kept");
        assert!(kept.contains("second"), "{kept}");
    }
}

mod records {
    use super::*;
    use crate::destination::seam::LookUp;
    use crate::domain::before::Before;

    fn key_and_site() -> (Layout, DataFrame) {
        let sites: &[Option<&str>] = &[Some("new"), Some("same"), Some("x"), Some("x"), None];
        let numbers: &[Option<&str>] = &[
            Some("A-1"),
            Some("A-2"),
            Some("a-2"),
            Some("A-4"),
            Some("A-5"),
        ];
        (
            layout(&["AccountNumber", "Site"], 1),
            batch(&[("AccountNumber", numbers), ("Site", sites)]),
        )
    }

    #[tokio::test]
    async fn records_are_found_over_pages_and_compared_as_the_org_stores_them() {
        let first = json!({"totalSize": 5, "done": false, "nextRecordsUrl": "/services/data/v67.0/query/01g-2",
            "records": [record("0014S000007Nxm1QAC", "A-1", json!("old"))]});
        let second = found(&[
            record("0014S000007Nxm2QAC", "A-2", json!(" same")),
            record("0014S000007Nxm4QAC", "A-4", json!("y")),
            record("0014S000007Nxm5QAC", "A-4", json!("z")),
        ]);
        let host = Host::start(&[
            (200, "", TOKEN),
            (200, "", &first.to_string()),
            (200, "", &second),
        ])
        .await;
        let mut destination = host.connect().await.expect("a connection");
        let (layout, records) = key_and_site();
        let found = destination
            .look_up(&layout, &records, Before::OfAll)
            .await
            .expect("an answer");
        let rows: Vec<(u64, bool)> = found
            .found
            .iter()
            .map(|found| (found.rows, found.differs))
            .collect();
        assert_eq!(
            rows,
            [(1, true), (1, false), (0, false), (2, false), (0, false)]
        );
        assert_eq!(found.before.value(0, 1), Some("old"));
        assert_eq!(found.stored[&0].id, id("0014S000007Nxm1QAC"));
        assert_eq!(
            found.candidates[&3],
            [id("0014S000007Nxm4QAC"), id("0014S000007Nxm5QAC")]
        );
        assert!(host.asked()[2].starts_with("GET /services/data/v67.0/query/01g-2 "));
    }

    #[tokio::test]
    async fn a_field_that_is_not_in_the_answer_stops_it_all() {
        let blank = json!({"attributes": {}, "Id": "0014S000007Nxm1QAC", "AccountNumber": "A-1",
            "LastModifiedDate": "2026-11-30T08:34:54.000+0000"});
        let host = Host::start(&[(200, "", TOKEN), (200, "", &found(&[blank]))]).await;
        let mut destination = host.connect().await.expect("a connection");
        let (layout, records) = key_and_site();
        let error = destination
            .look_up(&layout, &records, Before::OfAll)
            .await
            .expect_err("no `Site`");
        assert!(
            told(&error).contains("a record has no `Site`"),
            "{}",
            told(&error)
        );
    }

    fn stored(text: &str) -> Stored {
        Stored {
            id: id(text),
            version: Some("2026-11-30T08:34:54.000+0000".to_owned()),
        }
    }

    #[tokio::test]
    async fn a_locked_record_is_written_later_and_a_lost_answer_leaves_doubt() {
        let locked = json!([
            {"id": "0014S000007Nxm1QAC", "success": true, "errors": []},
            {"success": false, "errors": [{"statusCode": "UNABLE_TO_LOCK_ROW", "message": "unable to obtain exclusive access"}]},
        ]);
        let later = json!([{"id": "0014S000007Nxm2QAC", "success": true, "errors": []}]);
        let host = Host::start(&[
            (200, "", TOKEN),
            (200, "", &locked.to_string()),
            (200, "", &later.to_string()),
            (502, "", "<html>bad gateway</html>"),
        ])
        .await;
        let mut destination = host.connect().await.expect("a connection");
        let (layout, records) = key_and_site();
        let rows = [stored("0014S000007Nxm1QAC"), stored("0014S000007Nxm2QAC")];
        let update = |record: usize, guarded| ServiceWrite {
            record,
            verb: ServiceVerb::Update {
                row: &rows[record],
                guarded,
            },
            fields: vec![1],
        };
        let replies = destination
            .apply(&layout, &records, &[update(0, false), update(1, false)])
            .await;
        let done = |row: &Stored| Reply::Done { id: row.id.clone() };
        assert_eq!(replies.expect("replies"), [done(&rows[0]), done(&rows[1])]);
        let error = destination
            .apply(&layout, &records, &[update(0, true)])
            .await
            .expect_err("lost");
        assert!(matches!(error, SystemError::Unanswered { .. }), "{error:?}");
        let asked = host.asked();
        assert!(asked[1].ends_with(r#"{"allOrNone":false,"records":[{"attributes":{"type":"Account"},"id":"0014S000007Nxm1QAC","Site":"new"},{"attributes":{"type":"Account"},"id":"0014S000007Nxm2QAC","Site":"same"}]}"#), "{}", asked[1]);
        assert!(asked[3].contains(r#""method":"PATCH","url":"/services/data/v67.0/sobjects/Account/0014S000007Nxm1QAC","referenceId":"r0","httpHeaders":{"If-Unmodified-Since":"Mon, 30 Nov 2026 08:34:54 GMT"},"body":{"Site":"new"}"#), "{}", asked[3]);
        assert_eq!(
            asked.len(),
            4,
            "a guarded write whose answer is lost is not sent again"
        );
    }

    #[tokio::test]
    async fn what_is_refused_as_a_whole_wrote_nothing() {
        let refusal = r#"{"message":"Unexpected character","errorCode":"JSON_PARSER_ERROR"}"#;
        let host = Host::start(&[(200, "", TOKEN), (400, "", refusal)]).await;
        let mut destination = host.connect().await.expect("a connection");
        let (layout, records) = key_and_site();
        let rows = [stored("0014S000007Nxm1QAC"), stored("0014S000007Nxm2QAC")];
        let writes: Vec<ServiceWrite<'_>> = (0..2)
            .map(|record| ServiceWrite {
                record,
                verb: ServiceVerb::Delete {
                    row: &rows[record].id,
                },
                fields: Vec::new(),
            })
            .collect();
        let error = destination
            .apply(&layout, &records, &writes)
            .await
            .expect_err("refused");
        assert!(matches!(error, SystemError::Failed { .. }));
        assert!(host.asked()[1].starts_with(
            "DELETE /services/data/v67.0/composite/sobjects?ids=0014S000007Nxm1QAC%2C0014S000007Nxm2QAC&allOrNone=false "
        ));
    }
}
