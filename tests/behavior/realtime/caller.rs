//! A project that answers requests, and a caller that sends exactly what it is told to.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Server, Serving, Workspace, write_back};

pub(super) const TOKEN: &str = "token-of-the-portal-0123456789";

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Fields of a job of which two can be written at once.
pub(super) const FIELDS: &str = "id = 'id'
score = { column = 'score', realtime = true }
note = { column = 'note', realtime = true }";

pub(super) const ROWS: &str = "id,score,note,phone\nA1,1,a,1\nA2,2,b,2\nA3,3,,3\n";

/// Who may ask for what.
pub(super) const CALLER: &str = "[http]
listen = '127.0.0.1:0'
[http.callers.portal]
token = { env = 'PORTAL_TOKEN' }
write_backs = ['job.scores']
";

/// A project with three accounts, whose job writes two fields at once.
pub(super) fn place_on(server: Server) -> Workspace {
    let place = Workspace::accounts(server, ROWS, "id,score,note\n");
    place.job("", FIELDS);
    let connections = place.connection("files") + &place.connection("crm");
    place.file("writeback.toml", &format!("{connections}{CALLER}"));
    place
}

/// As [`place_on`], with other settings of the write-back and other fields.
pub(super) fn place_with(settings: &str, fields: &str) -> Workspace {
    let place = place_on(Server::Sqlite);
    place.file(
        "schedules/job.toml",
        &write_back("scores", "accounts", settings, fields),
    );
    place
}

/// A process that answers requests.
pub(super) struct Answering {
    serving: Serving,
    pub(super) host: String,
}

impl Answering {
    pub(super) fn start(place: &Workspace) -> Self {
        Self::start_with(place, &[])
    }

    pub(super) fn start_with(place: &Workspace, environment: &[(&str, &str)]) -> Self {
        let mut all = vec![("PORTAL_TOKEN", TOKEN)];
        all.extend(environment);
        let mut serving = place.serve_with(&[], &all);
        serving.wait_for_log("answering requests");
        let log = serving.log();
        let host = log.split("answering requests").nth(1);
        let host = host.and_then(|rest| rest.split("://").nth(1));
        let host = host.expect("an address").chars();
        let host = host.take_while(|sign| sign.is_ascii_digit() || ".:".contains(*sign));
        let host = host.collect();
        Self { serving, host }
    }

    pub(super) fn log(&self) -> String {
        self.serving.log()
    }

    /// The most memory that the process has held so far.
    pub(super) fn peak_bytes(&self) -> u64 {
        self.serving.peak_bytes()
    }

    pub(super) fn kill(self) {
        self.serving.kill();
    }

    pub(super) fn stop(self) -> (Option<i32>, String) {
        self.serving.stop()
    }

    /// Sends a request with these headers.
    pub(super) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        send(&self.host, method, path, headers, body).expect("an answer")
    }

    /// Sends a request as the portal.
    pub(super) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let token = format!("Bearer {TOKEN}");
        self.send(method, path, &[("Authorization", &token)], body)
    }

    /// As [`Answering::ask`], with an `Idempotency-Key`.
    pub(super) fn ask_keyed(&self, key: &str, path: &str, body: &str) -> Answer {
        let token = format!("Bearer {TOKEN}");
        let headers = [("Authorization", token.as_str()), ("Idempotency-Key", key)];
        self.send("PATCH", path, &headers, body)
    }

    /// Changes a record of the write-back `scores`.
    pub(super) fn change(&self, record: &str, body: &str) -> Answer {
        self.ask("PATCH", &path_of(record), body)
    }

    /// What became of a request, once it is settled.
    pub(super) fn settled(&self, id: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let outcome = self.ask("GET", &format!("/v1/outcomes/{id}"), "").json();
            if outcome["settled"] == true {
                return outcome;
            }
            assert!(Instant::now() < deadline, "never settled: {outcome}");
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

/// The address of a record of the write-back `scores`.
pub(super) fn path_of(record: &str) -> String {
    format!("/v1/jobs/job/write-backs/scores/records/{record}")
}

/// Sends a request; nothing, if the connection broke before it was answered.
pub(super) fn send(
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Answer> {
    begin(host, method, path, headers, body)?.answer()
}

/// A request whose answer is still to be read.
pub(super) struct Sent(TcpStream);

/// Sends a request and reads nothing yet.
pub(super) fn begin(
    host: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Option<Sent> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if method != "GET" {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    Sent::of(host, format!("{head}\r\n{body}").as_bytes())
}

impl Sent {
    /// Sends bytes as they are.
    pub(super) fn of(host: &str, bytes: &[u8]) -> Option<Self> {
        let mut stream = TcpStream::connect(host).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(bytes).ok()?;
        Some(Self(stream))
    }

    pub(super) fn answer(mut self) -> Option<Answer> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes).ok()?;
        Answer::read(&bytes)
    }
}

/// An answer, taken apart.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let header = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_ascii_lowercase(), value.to_owned()))
        };
        Some(Self {
            status,
            headers: lines.filter_map(header).collect(),
            body: body.to_owned(),
        })
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Status and outcome.
    pub(super) fn told(&self) -> (u16, String) {
        let outcome = self.json()["outcome"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        (self.status, outcome)
    }
}
