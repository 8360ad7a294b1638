//! A `writeback practice` that runs beside the test, and a plain client of it.

use std::io::{BufRead, BufReader};
use std::ops::{Deref, DerefMut};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use ureq::Agent;
use ureq::http::Request;

use super::server::Server;
use super::workspace::Workspace;

/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

const VERSION: &str = "/services/data/v67.0";

/// A practice Salesforce of three accounts, two contacts and four users, and a token for it.
pub(crate) struct Practice {
    pub(crate) place: Workspace,
    process: Option<Child>,
    client: PracticeClient,
}

/// A plain client of a practice.
pub(crate) struct PracticeClient {
    agent: Agent,
    url: String,
    pub(crate) token: String,
    /// What paths begin with that do not say it themselves.
    base: &'static str,
}

impl Deref for Practice {
    type Target = PracticeClient;

    fn deref(&self) -> &PracticeClient {
        &self.client
    }
}

impl DerefMut for Practice {
    fn deref_mut(&mut self) -> &mut PracticeClient {
        &mut self.client
    }
}

/// What a call was answered.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The code of an error in the shape of a list with one.
    pub(crate) fn code(&self) -> String {
        let told = self.json();
        told[0]["errorCode"]
            .as_str()
            .unwrap_or_else(|| panic!("no code: {self:?}"))
            .to_owned()
    }
}

impl Practice {
    /// Starts one from a folder of its own, with these lines in `practice.toml`.
    pub(crate) fn start(settings: &str) -> Self {
        Self::start_with(settings, &[])
    }

    pub(crate) fn start_with(settings: &str, arguments: &[&str]) -> Self {
        let place = Workspace::on(Server::Sqlite);
        let repository =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/salesforce");
        for file in ["Account.json", "Contact.json", "User.json"] {
            let bytes = std::fs::read(repository.join(file)).expect("a describe answer");
            place.bytes(&format!("org/{file}"), &bytes);
        }
        place
            .file("org/practice.toml", settings)
            .file("org/User.csv", USERS)
            .file("org/Account.csv", ACCOUNTS)
            .file("org/Contact.csv", CONTACTS)
            .file(
                "writeback.toml",
                "[connections.crm]\nkind = \"salesforce\"\npractice = \"org\"\n",
            );
        let mut practice = Self {
            place,
            process: None,
            client: PracticeClient::at("", "", VERSION),
        };
        practice.begin(arguments);
        practice
    }

    fn begin(&mut self, arguments: &[&str]) {
        let (child, address) = begun(&self.place, "salesforce", arguments);
        self.process = Some(child);
        self.url = address;
        self.token = self.log_in();
    }

    /// Ends it at once, whatever it does, and starts it again from its state.
    pub(crate) fn kill_and_restart(&mut self) {
        self.kill();
        self.begin(&[]);
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// The practice `crm` of a project, of whatever kind, in a process of its own.
pub(crate) struct Served {
    child: Child,
    client: PracticeClient,
}

impl Served {
    /// Among these faults.
    pub(crate) fn among(place: &Workspace, faults: &str) -> Self {
        Self::start(place, "crm", &["--faults", faults])
    }

    /// That of another connection.
    pub(crate) fn of(place: &Workspace, connection: &str) -> Self {
        Self::start(place, connection, &[])
    }

    fn start(place: &Workspace, connection: &str, arguments: &[&str]) -> Self {
        let (child, line) = announced(place, connection, arguments);
        let address = line.split_once(" at ").map(|(_, address)| address);
        let address = address.unwrap_or_else(|| panic!("no address in {line:?}"));
        Self {
            child,
            client: PracticeClient::at(address, "", ""),
        }
    }
}

impl Deref for Served {
    type Target = PracticeClient;

    fn deref(&self) -> &PracticeClient {
        &self.client
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Starts the practice `crm` of a project, which is of this kind: its process, and where it
/// listens.
pub(super) fn begun(place: &Workspace, kind: &str, arguments: &[&str]) -> (Child, String) {
    let (child, line) = announced(place, "crm", arguments);
    let address = line.strip_prefix(&format!("practice {kind} at "));
    let address = address
        .unwrap_or_else(|| panic!("no address in {line:?}"))
        .to_owned();
    (child, address)
}

/// Starts the practice of a project's connection: its process, and the line by which it says where
/// it is.
fn announced(place: &Workspace, connection: &str, arguments: &[&str]) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_writeback"));
    command
        .args(["practice", connection])
        .args(arguments)
        .current_dir(place.path(""))
        .env_remove("RUST_LOG")
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("the program starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    (child, line.trim().to_owned())
}

impl PracticeClient {
    pub(super) fn at(url: &str, token: &str, base: &'static str) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(CALL_TIMEOUT))
            .build();
        Self {
            agent: config.into(),
            url: url.to_owned(),
            token: token.to_owned(),
            base,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn log_in(&self) -> String {
        let reply = self.token(
            "grant_type=client_credentials&client_id=practice&client_secret=practice",
            &[],
        );
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["access_token"]
            .as_str()
            .expect("a token")
            .to_owned()
    }

    pub(crate) fn token(&self, form: &str, headers: &[(&str, &str)]) -> Reply {
        let mut all = vec![("Content-Type", "application/x-www-form-urlencoded")];
        all.extend(headers);
        self.send("POST", "/services/oauth2/token", &all, form)
            .expect("an answer")
    }

    /// A call whose answer may not come.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Option<Reply> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_owned()).expect("a request");
        let mut response = self.agent.run(request).ok()?;
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| {
            (
                name.as_str().to_owned(),
                value.to_str().unwrap_or_default().to_owned(),
            )
        });
        Some(Reply {
            status: response.status().as_u16(),
            headers: headers.collect(),
            text: response.body_mut().read_to_string().ok()?,
        })
    }

    /// A call of data in the newest version, with the token.
    pub(crate) fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Option<Reply> {
        let token = format!("Bearer {}", self.token);
        let mut all = vec![("Authorization", token.as_str())];
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        if !body.is_empty() {
            all.push(("Content-Type", "application/json"));
        }
        all.extend(headers);
        let path = if path.starts_with("/services") {
            path.to_owned()
        } else {
            format!("{}{path}", self.base)
        };
        self.send(method, &path, &all, &body)
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &Value) -> Reply {
        self.call_with(method, path, &[], body).expect("an answer")
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &Value::Null)
    }

    pub(crate) fn query(&self, soql: &str) -> Reply {
        self.get(&query_path(soql))
    }

    /// What a query finds: one field of each record, as JSON tells it.
    pub(crate) fn found(&self, field: &str, soql: &str) -> Vec<String> {
        let told = self.query(soql).json();
        let records = told["records"]
            .as_array()
            .unwrap_or_else(|| panic!("no records: {told}"));
        let text = |value: &Value| {
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        };
        records.iter().map(|record| text(&record[field])).collect()
    }

    /// Writes a collection: its results.
    pub(crate) fn collection(
        &self,
        method: &str,
        path: &str,
        records: &Value,
        headers: &[(&str, &str)],
    ) -> Value {
        let body = json!({ "allOrNone": false, "records": records });
        let reply = self
            .call_with(method, path, headers, &body)
            .expect("an answer");
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    pub(crate) fn faults(&self, spec: &str) {
        self.command("faults", spec);
    }

    /// What only those who rehearse may ask for.
    pub(crate) fn command(&self, name: &str, body: &str) {
        let reply = self
            .send("POST", &format!("/practice/{name}"), &[], body)
            .expect("an answer");
        assert_eq!(reply.status, 204, "{reply:?}");
    }

    pub(crate) fn counts(&self) -> Value {
        self.send("GET", "/practice/calls", &[], "")
            .expect("an answer")
            .json()
    }

    /// An upload of CSV.
    pub(crate) fn upload(&self, job: &str, csv: &str) -> Reply {
        let token = format!("Bearer {}", self.token);
        let headers = [
            ("Authorization", token.as_str()),
            ("Content-Type", "text/csv"),
        ];
        let path = format!("{VERSION}/jobs/ingest/{job}/batches");
        self.send("PUT", &path, &headers, csv).expect("an answer")
    }
}

impl Drop for Practice {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn query_path(soql: &str) -> String {
    let encoded: String = soql
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    format!("/query?q={encoded}")
}

const USERS: &str = "\
Id,Username,LastName,Email,Alias,IsActive
005Hs0000000001IAA,writeback@practice.example,Writeback,writeback@practice.example,wb,true
005Hs0000000002IAA,ada@practice.example,Ada,desk@example.com,ada,true
005Hs0000000003IAA,ben@practice.example,Ben,desk@example.com,ben,true
005Hs0000000004IAA,gone@practice.example,Gone,gone@example.com,gone,false
";

const ACCOUNTS: &str = "\
Id,Name,Customer_Id__c,Legacy_Id__c,Health_Score__c,Churn_Risk__c,Interests__c,OwnerId
001Hs0000000001IAA,O'Brien & Sons,E1,L1,12.5,high,Analytics;Security,005Hs0000000002IAA
001Hs0000000002IAA,Cedar,E2,L1,80,low,,005Hs0000000002IAA
001Hs0000000003IAA,Delta,E3,L3,,,Training,005Hs0000000003IAA
";

const CONTACTS: &str = "\
Id,AccountId,LastName,Email,OwnerId
003Hs0000000001IAA,001Hs0000000001IAA,One,one@example.com,005Hs0000000002IAA
003Hs0000000002IAA,001Hs0000000001IAA,Two,two@example.com,005Hs0000000002IAA
";
