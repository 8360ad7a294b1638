//! The practice Dataverse, spoken to in plain HTTP as any client of the Web API would.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

use crate::harness::{Server, Workspace};

const ACCOUNTS: &str = "accountid,name,cr_customerid,cr_healthscore,cr_churnrisk
00000000-0000-4000-8000-000000000a01,O'Brien & Sons,E1,12.5,high
00000000-0000-4000-8000-000000000a02,Cedar,E2,80,low
00000000-0000-4000-8000-000000000a03,Delta,E3,,
";

const CONTACTS: &str = "contactid,lastname,emailaddress1,cr_contactkey
00000000-0000-4000-8000-000000000c01,Quist,q@example.com,K1
";

const ONE: &str = "00000000-0000-4000-8000-000000000a01";
const TWO: &str = "00000000-0000-4000-8000-000000000a02";
const CONTACT: &str = "00000000-0000-4000-8000-000000000c01";

struct Practice {
    place: Workspace,
    child: Child,
    agent: Agent,
    url: String,
    token: String,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    text: String,
}

impl Reply {
    fn of(mut response: Response<Body>) -> Self {
        let headers = response.headers().iter().map(|(name, value)| {
            (
                name.as_str().to_owned(),
                value.to_str().unwrap_or_default().to_owned(),
            )
        });
        Self {
            status: response.status().as_u16(),
            headers: headers.collect(),
            text: response.body_mut().read_to_string().expect("text"),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    /// The status and the code of an error.
    fn error(&self) -> (u16, String) {
        let code = self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (self.status, code)
    }
}

impl Practice {
    fn start(settings: &str, faults: &str) -> Self {
        let place = Workspace::on(Server::Sqlite);
        let fixtures = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/dataverse");
        for table in [
            "account",
            "contact",
            "systemuser",
            "team",
            "cr_signal",
            "cr_handbook",
        ] {
            let file = format!("{table}.json");
            let bytes = std::fs::read(fixtures.join(&file)).expect("a definition");
            place.bytes(&format!("environment/{file}"), &bytes);
        }
        place
            .file("environment/practice.toml", settings)
            .file("environment/account.csv", ACCOUNTS)
            .file("environment/contact.csv", CONTACTS)
            .file(
                "writeback.toml",
                "[connections.crm]\nkind = \"dataverse\"\npractice = \"environment\"\n",
            );
        let (child, url) = begun(&place, faults);
        let config = Agent::config_builder().http_status_as_error(false).build();
        let mut practice = Self {
            place,
            child,
            agent: config.into(),
            url,
            token: String::new(),
        };
        practice.token = practice.log_in();
        practice
    }

    fn kill_and_restart(&mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
        (self.child, self.url) = begun(&self.place, "");
        self.token = self.log_in();
    }

    fn ask_token(&self, form: &str) -> Reply {
        let request = Request::post(format!("{}/practice.example/oauth2/v2.0/token", self.url))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(form.to_owned());
        Reply::of(
            self.agent
                .run(request.expect("a request"))
                .expect("an answer"),
        )
    }

    fn log_in(&self) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id=practice&client_secret=practice&scope={}/.default",
            self.url
        );
        let reply = self.ask_token(&form);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["access_token"]
            .as_str()
            .expect("a token")
            .to_owned()
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}/api/data/v9.2/{path}", self.url))
            .header("Authorization", format!("Bearer {}", self.token));
        if !body.is_empty() && headers.iter().all(|(name, _)| *name != "Content-Type") {
            request = request.header("Content-Type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_owned()).expect("a request");
        Reply::of(self.agent.run(request).expect("an answer"))
    }

    fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], "")
    }

    fn patch(&self, path: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        self.send("PATCH", path, headers, &body.to_string())
    }

    fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, &[], &body.to_string())
    }

    /// What a row holds in a column.
    fn held(&self, id: &str, column: &str) -> Value {
        self.get(&format!("accounts({id})")).json()[column].clone()
    }

    fn count(&self) -> usize {
        let all = self.get("accounts?$select=name").json();
        all["value"].as_array().expect("rows").len()
    }

    fn command(&self, name: &str, body: &str) {
        let answer = self
            .agent
            .post(format!("{}/practice/{name}", self.url))
            .send(body);
        assert_eq!(answer.expect("an answer").status().as_u16(), 204);
    }

    fn batch(&self, prefer: &str, boundary: &str, parts: &[String]) -> Reply {
        let mut body = String::new();
        for part in parts {
            body += &format!("--batch_1\r\n{part}\r\n");
        }
        body += "--batch_1--\r\n";
        let content_type = format!("multipart/mixed; boundary={boundary}");
        let headers = [("Content-Type", content_type.as_str()), ("Prefer", prefer)];
        self.send("POST", "$batch", &headers, &body)
    }
}

impl Drop for Practice {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn begun(place: &Workspace, faults: &str) -> (Child, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_writeback"));
    command
        .args(["practice", "crm", "--faults", faults])
        .current_dir(place.path(""))
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("the program starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let url = line.trim().strip_prefix("practice dataverse at ");
    let url = url
        .unwrap_or_else(|| panic!("no address in {line:?}"))
        .to_owned();
    (child, url)
}

/// A request as a part of a batch.
fn part(request: &str, headers: &str, body: &str) -> String {
    format!(
        "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n{request} HTTP/1.1\r\n\
         Content-Type: application/json\r\n{headers}\r\n{body}"
    )
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes())
        .collect::<String>()
        .replace('+', "%20")
}

const EXISTS: (&str, &str) = ("If-Match", "*");
const ABSENT: (&str, &str) = ("If-None-Match", "*");

#[test]
fn tokens_are_granted_for_this_environment_and_to_who_knows_the_secret() {
    let practice = Practice::start("", "");
    let form = |secret: &str, scope: &str| {
        format!(
            "grant_type=client_credentials&client_id=practice&client_secret={secret}&scope={scope}/.default"
        )
    };
    let granted = practice.ask_token(&form("practice", &practice.url)).json();
    assert_eq!(granted["expires_in"], 3599);
    assert_eq!(granted["refresh_token"], Value::Null);
    let wrong = practice.ask_token(&form("wrong", &practice.url));
    assert_eq!(
        (wrong.status, wrong.json()["error"].clone()),
        (401, json!("invalid_client"))
    );
    assert_eq!(wrong.json()["error_codes"], json!([7_000_215]));
    let other = practice.ask_token(&form("practice", "https://other.crm.dynamics.com"));
    assert_eq!(other.status, 401, "{other:?}");
    practice.command("expire", "");
    assert_eq!(practice.get("WhoAmI").status, 401);
}

#[test]
fn every_answer_tells_of_limits_and_too_many_requests_are_told_to_wait() {
    let practice = Practice::start("[environment]\nrequests_max = 5\n", "");
    let who = practice.get("WhoAmI");
    assert_eq!(who.header("x-ms-dop-hint"), "8");
    let cookie = who
        .header("set-cookie")
        .split(';')
        .next()
        .expect("a cookie")
        .to_owned();
    let replies: Vec<Reply> = (0..8)
        .map(|_| practice.send("GET", "WhoAmI", &[("Cookie", &cookie)], ""))
        .collect();
    let last = replies.last().expect("a reply");
    assert_eq!(last.error(), (429, "0x80072322".to_owned()));
    let waits: Vec<u64> = replies
        .iter()
        .filter(|reply| reply.status == 429)
        .map(|reply| reply.header("retry-after").parse().expect("seconds"))
        .collect();
    assert!(
        waits.len() >= 3 && waits.last() > waits.first(),
        "{waits:?}"
    );
    let other = if cookie.ends_with('0') {
        "ARRAffinity=1"
    } else {
        "ARRAffinity=0"
    };
    let elsewhere = practice.send("GET", "WhoAmI", &[("Cookie", other)], "");
    assert_eq!(
        elsewhere.status, 200,
        "the other web server counts for itself"
    );
    practice.command("clock", "10m");
    let later = practice.send("GET", "WhoAmI", &[("Cookie", &cookie)], "");
    assert_eq!(later.status, 200, "{later:?}");
}

#[test]
fn rows_are_found_by_filters_keys_and_pages() {
    let practice = Practice::start("", "");
    let names = |query: &str| -> Vec<String> {
        let answer = practice
            .get(&format!("accounts?$select=name&$orderby=name&{query}"))
            .json();
        let rows = answer["value"]
            .as_array()
            .unwrap_or_else(|| panic!("{answer}"));
        rows.iter()
            .map(|row| row["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let filter = |text: &str| format!("$filter={}", encoded(text));
    assert_eq!(
        names(&filter("name eq 'o''brien & SONS'")),
        ["O'Brien & Sons"]
    );
    assert_eq!(
        names(&filter("cr_healthscore gt 50 or cr_healthscore eq null")),
        ["Cedar", "Delta"]
    );
    let list = "Microsoft.Dynamics.CRM.In(PropertyName=@p1,PropertyValues=@p2)";
    let aliases = format!(
        "&@p1={}&@p2={}",
        encoded("'cr_customerid'"),
        encoded("['E1','E3']")
    );
    assert_eq!(
        names(&format!("{}{aliases}", filter(list))),
        ["Delta", "O'Brien & Sons"]
    );
    let by_key = practice
        .get("accounts(cr_customerid='E2')?$select=name")
        .json();
    assert_eq!(by_key["name"], "Cedar");
    assert_eq!(
        practice.get("accounts(cr_customerid='E9')").error(),
        (404, "0x80060891".to_owned())
    );
    assert_eq!(
        practice.get("accounts(name='Cedar')").error(),
        (400, "0x80060888".to_owned())
    );
    assert_eq!(
        practice.get("accounts(cr_reference='x')").error(),
        (400, "0x8006088a".to_owned())
    );
    assert_eq!(practice.get("accounts(cr_customerid='a%26b')").status, 400);
    assert_eq!(
        practice
            .get("systemusers(systemuserid=0a0e0000-0000-4000-8000-000000000002)")
            .status,
        400
    );
    assert_eq!(
        practice.get("accounts?$select=nmae").error(),
        (400, "0x80048d19".to_owned())
    );
    assert_eq!(
        practice.get("acounts").error(),
        (404, "0x80060888".to_owned())
    );
    assert_eq!(
        practice
            .get(&format!("accounts?$filter={}", "x".repeat(33_000)))
            .status,
        414
    );
    let first = practice.send(
        "GET",
        "accounts?$select=name",
        &[("Prefer", "odata.maxpagesize=2")],
        "",
    );
    let link = first.json()["@odata.nextLink"]
        .as_str()
        .expect("a link")
        .to_owned();
    let path = link.split("/api/data/v9.2/").nth(1).expect("a path");
    let second = practice
        .send("GET", path, &[("Prefer", "odata.maxpagesize=2")], "")
        .json();
    assert_eq!(
        second["value"].as_array().map(Vec::len),
        Some(1),
        "{second}"
    );
    assert_eq!(second["@odata.nextLink"], Value::Null);
}

#[test]
fn what_a_query_asks_that_is_not_known_is_refused_and_never_left_out() {
    let practice = Practice::start("", "");
    for path in [
        "accounts?$apply=aggregate($count%20as%20n)",
        "accounts?fetchXml=%3Cfetch/%3E",
        "accounts?$skip=1",
        "EntityDefinitions(LogicalName='account')?$expand=Attributes",
        "EntityDefinitions?$expand=Keys",
    ] {
        let refused = practice.get(path);
        let option = path
            .split(['?', '='])
            .find(|part| refused.text.contains(part));
        assert!(
            refused.status == 501 && option.is_some(),
            "{path}: {refused:?}"
        );
    }
}

#[test]
fn an_update_makes_what_is_not_there_unless_it_is_kept_from_it() {
    let practice = Practice::start("", "");
    let absent = "accounts(00000000-0000-4000-8000-0000000000ff)";
    let name = json!({ "name": "New" });
    let kept = practice.patch(absent, &[EXISTS], &name);
    assert_eq!(kept.error(), (404, "0x80040217".to_owned()));
    assert_eq!(practice.count(), 3);
    let by_key = practice.patch("accounts(cr_customerid='E9')", &[EXISTS], &name);
    assert_eq!(by_key.error(), (404, "0x80060891".to_owned()));
    let made = practice.patch(absent, &[], &name);
    assert_eq!(made.status, 204);
    assert_eq!(practice.count(), 4, "without a condition it creates");
    assert_eq!(practice.send("DELETE", absent, &[], "").status, 204);
    assert_eq!(practice.patch(absent, &[ABSENT], &name).status, 204);
    assert_eq!(practice.patch(absent, &[ABSENT], &name).status, 412);
    let representation = [("Prefer", "return=representation")];
    let created = practice.patch(
        "accounts(cr_customerid='E7')?$select=accountid",
        &representation,
        &name,
    );
    assert_eq!(created.status, 201, "{created:?}");
    let updated = practice.patch(
        "accounts(cr_customerid='E7')?$select=accountid",
        &representation,
        &name,
    );
    assert_eq!(updated.status, 200, "{updated:?}");
    let echoed = practice.patch("accounts(cr_customerid='E7')", &[], &name);
    assert!(
        echoed
            .header("odata-entityid")
            .ends_with("accounts(cr_customerid='E7')")
    );
    // On create the body wins over the URL; on update it is ignored.
    let other = json!({ "name": "Other", "cr_customerid": "E8" });
    assert_eq!(
        practice
            .patch("accounts(cr_customerid='E6')", &[], &other)
            .status,
        204
    );
    assert_eq!(practice.get("accounts(cr_customerid='E8')").status, 200);
    assert_eq!(practice.get("accounts(cr_customerid='E6')").status, 404);
}

#[test]
fn an_etag_guards_a_row_exactly() {
    let practice = Practice::start("", "");
    let path = format!("accounts({ONE})");
    let etag = practice.get(&path).json()["@odata.etag"]
        .as_str()
        .expect("an ETag")
        .to_owned();
    let guard = [("If-Match", etag.as_str())];
    assert_eq!(
        practice
            .patch(&path, &guard, &json!({ "cr_healthscore": 1 }))
            .status,
        204
    );
    let stale = practice.patch(&path, &guard, &json!({ "cr_healthscore": 2 }));
    assert_eq!(stale.error(), (412, "0x80060882".to_owned()));
    assert_eq!(practice.held(ONE, "cr_healthscore"), 1);
    let made = practice.post("cr_handbooks", &json!({ "cr_code": "H1" }));
    let id = made
        .header("odata-entityid")
        .split(['(', ')'])
        .nth(1)
        .expect("an id")
        .to_owned();
    let unguarded = practice.patch(
        &format!("cr_handbooks({id})"),
        &guard,
        &json!({ "cr_level": 1 }),
    );
    assert_eq!(
        unguarded.status, 400,
        "the table keeps no versions for guards: {unguarded:?}"
    );
}

#[test]
fn values_that_do_not_fit_are_refused_in_the_exact_shapes() {
    let practice = Practice::start("", "");
    let path = format!("accounts({ONE})");
    for (body, status, code) in [
        (json!({ "cr_churnrisk": "high" }), 400, "0x80048d19"),
        (json!({ "cr_churnrisk": 7 }), 400, "0x8004431a"),
        (json!({ "telephone1": "5".repeat(51) }), 400, "0x80044331"),
        (json!({ "cr_seats": 100_001 }), 400, "0x80044330"),
        (json!({ "nmae": "x" }), 400, "0x80048d19"),
        (json!({ "statecode": null }), 400, "0x80040203"),
        (
            json!({ "statecode": 1, "statuscode": 1 }),
            400,
            "0x80048408",
        ),
        (json!({ "cr_scoredat": "yesterday" }), 400, "0x80048d19"),
        (json!({ "primarycontactid": CONTACT }), 400, "0x80048d19"),
        (
            json!({ "PrimaryContactId@odata.bind": format!("/contacts({CONTACT})") }),
            400,
            "0x80048d19",
        ),
    ] {
        let reply = practice.patch(&path, &[EXISTS], &body);
        let told = if reply.text.is_empty() {
            String::new()
        } else {
            reply.error().1
        };
        assert_eq!(
            (reply.status, told.as_str()),
            (status, code),
            "{body}: {reply:?}"
        );
    }
    let empty = practice.patch(
        &path,
        &[EXISTS],
        &json!({ "telephone1": "", "cr_interests": "5,1" }),
    );
    assert_eq!(empty.status, 204);
    assert_eq!(practice.held(ONE, "telephone1"), Value::Null);
    assert_eq!(practice.held(ONE, "cr_interests"), "1,5");
}

#[test]
fn references_are_bound_cleared_and_missed_by_the_table_they_lead_to() {
    let practice = Practice::start("", "");
    let path = format!("accounts({ONE})");
    let bind = |target: &str| json!({ "primarycontactid@odata.bind": target });
    assert_eq!(
        practice
            .patch(&path, &[EXISTS], &bind(&format!("/contacts({CONTACT})")))
            .status,
        204
    );
    assert_eq!(practice.held(ONE, "_primarycontactid_value"), CONTACT);
    let expanded = practice.get(&format!(
        "{path}?$select=name&$expand=primarycontactid($select=lastname)"
    ));
    assert_eq!(expanded.json()["primarycontactid"]["lastname"], "Quist");
    assert_eq!(
        practice
            .patch(
                &path,
                &[EXISTS],
                &json!({ "primarycontactid@odata.bind": null })
            )
            .status,
        204
    );
    assert_eq!(practice.held(ONE, "_primarycontactid_value"), Value::Null);
    assert_eq!(
        practice
            .patch(&path, &[EXISTS], &bind("/contacts(cr_contactkey='K1')"))
            .status,
        204
    );
    let missing = practice.patch(
        &path,
        &[EXISTS],
        &bind("/contacts(00000000-0000-4000-8000-0000000000ee)"),
    );
    assert_eq!(missing.error(), (404, "0x80040217".to_owned()));
    assert!(
        missing.text.contains("'contact'"),
        "it names the target: {missing:?}"
    );
    let contact = format!("contacts({CONTACT})");
    let to_account = json!({ "parentcustomerid_account@odata.bind": format!("/accounts({TWO})") });
    assert_eq!(practice.patch(&contact, &[EXISTS], &to_account).status, 204);
    let annotated = practice.send(
        "GET",
        &contact,
        &[("Prefer", "odata.include-annotations=\"*\"")],
        "",
    );
    let name = "_parentcustomerid_value@Microsoft.Dynamics.CRM.lookuplogicalname";
    assert_eq!(annotated.json()[name], "account");
    let reference =
        json!({ "@odata.id": format!("{}/api/data/v9.2/contacts({CONTACT})", practice.url) });
    let put = practice.send(
        "PUT",
        &format!("accounts({TWO})/primarycontactid/$ref"),
        &[],
        &reference.to_string(),
    );
    assert_eq!(put.status, 204, "{put:?}");
    assert_eq!(practice.held(TWO, "_primarycontactid_value"), CONTACT);
}

#[test]
fn bulk_messages_write_all_rows_or_none() {
    let practice = Practice::start("", "");
    let row = |id: &str, score: f64| json!({ "@odata.type": "Microsoft.Dynamics.CRM.account", "accountid": id, "cr_healthscore": score });
    let multiple = |message: &str, targets: Value| {
        practice.post(
            &format!("accounts/Microsoft.Dynamics.CRM.{message}"),
            &json!({ "Targets": targets }),
        )
    };
    assert_eq!(
        multiple("UpdateMultiple", json!([row(ONE, 1.5), row(TWO, 2.5)])).status,
        204
    );
    assert_eq!(practice.held(TWO, "cr_healthscore"), 2.5);
    let absent = "00000000-0000-4000-8000-0000000000ff";
    let refused = multiple("UpdateMultiple", json!([row(ONE, 9.0), row(absent, 9.0)]));
    assert_eq!(refused.error(), (404, "0x80040217".to_owned()));
    assert_eq!(
        practice.held(ONE, "cr_healthscore"),
        1.5,
        "all of it was taken back"
    );
    let new = |name: &str| json!({ "@odata.type": "Microsoft.Dynamics.CRM.account", "name": name });
    let made = multiple("CreateMultiple", json!([new("a"), new("b")])).json();
    let ids = made["Ids"].as_array().expect("ids");
    assert_eq!(practice.held(ids[1].as_str().expect("an id"), "name"), "b");
    let upsert = |key: &str, body: Value| {
        let mut row = json!({ "@odata.type": "Microsoft.Dynamics.CRM.account", "@odata.id": format!("accounts(cr_customerid='{key}')") });
        row.as_object_mut()
            .expect("a row")
            .extend(body.as_object().expect("a body").clone());
        multiple("UpsertMultiple", json!([row]))
    };
    assert_eq!(upsert("E5", json!({ "name": "x" })).status, 204);
    let both = upsert("E55", json!({ "name": "x", "cr_customerid": "E55" }));
    assert_eq!(both.error(), (400, "0x80040216".to_owned()));
    let handbook = json!({ "@odata.type": "Microsoft.Dynamics.CRM.cr_handbook", "cr_code": "x" });
    let unsupported = practice.post(
        "cr_handbooks/Microsoft.Dynamics.CRM.CreateMultiple",
        &json!({ "Targets": [handbook] }),
    );
    assert_eq!(unsupported.error(), (400, "0x80040800".to_owned()));
}

#[test]
fn a_batch_answers_part_by_part_stops_or_goes_on_and_a_change_set_is_atomic() {
    let practice = Practice::start("", "");
    let update = |id: &str, score: &str| {
        let request = format!("PATCH /api/data/v9.2/accounts({id})");
        part(
            &request,
            "If-Match: *\r\n",
            &format!("{{\"cr_healthscore\":{score}}}"),
        )
    };
    let absent = "00000000-0000-4000-8000-0000000000ff";
    let parts = [update(ONE, "1"), update(absent, "2"), update(TWO, "3")];
    let gone_on = practice.batch("odata.continue-on-error", "\"batch_1\"", &parts);
    assert_eq!(gone_on.status, 200);
    let statuses: Vec<&str> = gone_on.text.matches("HTTP/1.1 204").collect();
    assert_eq!(statuses.len(), 2, "{gone_on:?}");
    assert!(gone_on.text.contains("HTTP/1.1 404 Not Found") && gone_on.text.contains("0x80040217"));
    assert_eq!(practice.held(TWO, "cr_healthscore"), 3);
    let parts = [update(ONE, "4"), update(absent, "5"), update(TWO, "6")];
    let stopped = practice.batch("", "batch_1", &parts);
    assert_eq!(stopped.status, 400);
    assert_eq!(practice.held(ONE, "cr_healthscore"), 4);
    assert_eq!(
        practice.held(TWO, "cr_healthscore"),
        3,
        "what comes after it is not carried out"
    );
    let in_set = |id: &str, name: &str, score: &str| {
        let inner = update(id, score).replacen(
            "Content-Transfer",
            &format!("Content-ID: {name}\r\nContent-Transfer"),
            1,
        );
        format!("--changeset_1\r\n{inner}\r\n")
    };
    let set = format!(
        "Content-Type: multipart/mixed; boundary=changeset_1\r\n\r\n{}{}--changeset_1--",
        in_set(ONE, "1", "7"),
        in_set(absent, "2", "8")
    );
    let atomic = practice.batch("odata.continue-on-error", "batch_1", &[set]);
    assert_eq!(
        atomic.text.matches("HTTP/1.1").count(),
        1,
        "one part tells of the error: {atomic:?}"
    );
    assert_eq!(practice.held(ONE, "cr_healthscore"), 4);
    let many = vec![update(ONE, "1"); 1001];
    assert_eq!(practice.batch("", "batch_1", &many).status, 400);
}

#[test]
fn plug_ins_duplicate_rules_and_doubled_keys_refuse_rows() {
    let settings = "[environment]\nwithout = ['prvBypassCustomBusinessLogic']\n\
        [[refuse]]\ntable = 'account'\nwhen = 'cr_healthscore gt 100'\nmessage = 'Too healthy.'\n\
        [[duplicate_rule]]\ntable = 'account'\ncolumns = ['name']\n";
    let practice = Practice::start(settings, "");
    let path = format!("accounts({ONE})");
    let healthy = json!({ "cr_healthscore": 101 });
    let refused = practice.patch(&path, &[EXISTS], &healthy);
    assert_eq!(refused.error(), (400, "0x80040265".to_owned()));
    assert!(refused.text.contains("Too healthy."));
    let bypass = ("MSCRM.BypassBusinessLogicExecution", "CustomSync");
    assert_eq!(
        practice.patch(&path, &[EXISTS, bypass], &healthy).error(),
        (403, "0x80040220".to_owned())
    );
    let double = json!({ "name": "cedar" });
    assert_eq!(
        practice.post("accounts", &double).status,
        204,
        "rules apply where that is asked for"
    );
    let looked_for = [("MSCRM.SuppressDuplicateDetection", "false")];
    let refused = practice.send("POST", "accounts", &looked_for, &double.to_string());
    assert_eq!(refused.error(), (500, "0x80040333".to_owned()));
    let doubled = practice.post("accounts", &json!({ "name": "z", "cr_customerid": "e1" }));
    assert_eq!(doubled.error(), (412, "0x80060892".to_owned()));
    assert!(
        doubled.text.contains(&format!("<Id>{ONE}</Id>")),
        "{doubled:?}"
    );
    practice.patch(&path, &[EXISTS], &json!({ "name": "O'Brien & Sons" }));
    let told = practice
        .agent
        .get(format!("{}/practice/calls", practice.url))
        .call();
    let told = Reply::of(told.expect("an answer")).json();
    assert_eq!(
        told["org"]["audited"]["account.name"], 2,
        "what is sent counts as changed: {told}"
    );
}

#[test]
fn tables_are_described_by_the_paths_that_clients_ask() {
    let practice = Practice::start("[environment]\nwithout = ['prvDeleteAccount']\n", "");
    let entity = practice
        .get("EntityDefinitions(LogicalName='account')?$select=EntitySetName,TableType")
        .json();
    assert_eq!(entity["EntitySetName"], "accounts");
    assert_eq!(entity["Attributes"], Value::Null);
    let all = practice
        .get("EntityDefinitions(LogicalName='account')/Attributes")
        .json();
    let score = all["value"]
        .as_array()
        .expect("attributes")
        .iter()
        .find(|told| told["LogicalName"] == "cr_healthscore");
    assert_eq!(score.expect("the column")["Precision"], 2);
    let choices = practice.get(
        "EntityDefinitions(LogicalName='account')/Attributes/Microsoft.Dynamics.CRM.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet($select=Options)",
    );
    assert!(choices.text.contains("\"Value\":100000002"), "{choices:?}");
    let keys = practice
        .get("EntityDefinitions(LogicalName='account')/Keys")
        .json();
    let statuses: Vec<&Value> = keys["value"]
        .as_array()
        .expect("keys")
        .iter()
        .map(|key| &key["EntityKeyIndexStatus"])
        .collect();
    assert_eq!(statuses, ["Active", "Failed", "Pending"]);
    let filters = |table: &str| {
        let filter = encoded("sdkmessageid/name eq @m and primaryobjecttypecode eq @t");
        let path = format!(
            "sdkmessagefilters?$filter={filter}&@m={}&@t={}",
            encoded("'UpdateMultiple'"),
            encoded(&format!("'{table}'"))
        );
        practice.get(&path).json()["value"].as_array().map(Vec::len)
    };
    assert_eq!(
        (filters("account"), filters("cr_handbook")),
        (Some(1), Some(0))
    );
    let user = practice.get("WhoAmI").json()["UserId"]
        .as_str()
        .expect("an id")
        .to_owned();
    let held = practice.get(&format!(
        "systemusers({user})/Microsoft.Dynamics.CRM.RetrieveUserPrivileges"
    ));
    assert!(held.text.contains("prvWriteAccount") && !held.text.contains("prvDeleteAccount"));
    assert_eq!(
        practice
            .send("DELETE", &format!("accounts({ONE})"), &[], "")
            .error(),
        (403, "0x80040220".to_owned())
    );
}

#[test]
fn what_was_answered_outlives_a_kill() {
    let mut practice = Practice::start("", "");
    practice.patch(
        &format!("accounts({ONE})"),
        &[EXISTS],
        &json!({ "cr_healthscore": 42 }),
    );
    practice.kill_and_restart();
    assert_eq!(practice.held(ONE, "cr_healthscore"), 42);
    assert_eq!(practice.count(), 3);
}

#[test]
fn faults_strike_in_the_api_s_own_words() {
    let practice = Practice::start("", "");
    for (fault, status, code) in [
        ("concurrent=@1", 429, "0x80072326"),
        ("too_long=@1", 429, "0x80072321"),
        ("quota=@1", 429, "0x80072322"),
        ("no_api=@1", 403, "0x80072560"),
        ("500=@1", 500, "0x80040216"),
    ] {
        practice.command("faults", fault);
        let reply = practice.get("WhoAmI");
        assert_eq!(reply.error(), (status, code.to_owned()), "{fault}");
        assert_eq!(
            reply.header("retry-after").is_empty(),
            status != 429,
            "{fault}"
        );
    }
    practice.command("faults", "lock=@1");
    let rows = ["1", "2", "3"].map(|last| {
        let id = format!("00000000-0000-4000-8000-000000000a0{last}");
        json!({ "@odata.type": "Microsoft.Dynamics.CRM.account", "accountid": id, "cr_healthscore": 3 })
    });
    let targets = json!({ "Targets": rows });
    let path = "accounts/Microsoft.Dynamics.CRM.UpdateMultiple";
    assert_eq!(
        practice.post(path, &targets).error(),
        (500, "0x80044150".to_owned())
    );
    assert_eq!(
        practice.post(path, &targets).status,
        204,
        "it is fine later"
    );
}
