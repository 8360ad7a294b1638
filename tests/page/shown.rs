//! A page that is shown beside the test, and a client that sends exactly what it is told to.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{PASSWORD, Workspace};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// A browser's way of saying that a form is the page's own.
pub(crate) const OWN: (&str, &str) = ("Sec-Fetch-Site", "same-origin");

/// The page at work; ended when dropped.
pub(crate) struct Shown<'a> {
    pub(crate) place: &'a Workspace,
    child: Child,
    /// `127.0.0.1:PORT`.
    pub(crate) host: String,
    log: PathBuf,
}

impl<'a> Shown<'a> {
    /// `writeback page`, at a free port.
    pub(crate) fn page(place: &'a Workspace) -> Self {
        Self::start(place, &["page", "--at", "127.0.0.1:0"])
    }

    /// As [`Shown::page`], of a project whose page people reach at `https://writeback.example.com`.
    pub(crate) fn page_behind(place: &'a Workspace) -> Self {
        let project = place.text("writeback.toml");
        let plain = project.replace("url = 'https://writeback.example.com'", "");
        place.file("writeback.toml", &plain);
        Self::page(place)
    }

    /// The program with arguments that make it show a page.
    pub(crate) fn start(place: &'a Workspace, arguments: &[&str]) -> Self {
        Self::start_logging(place, arguments, "info")
    }

    /// As [`Shown::start`], with more or less in its log, as `RUST_LOG` says it.
    pub(crate) fn start_logging(place: &'a Workspace, arguments: &[&str], filter: &str) -> Self {
        let mut program = Command::new(env!("CARGO_BIN_EXE_writeback"));
        program.args(arguments);
        Self::started(place, program, filter)
    }

    /// `writeback page`, where a folder of the project cannot be written.
    pub(crate) fn page_without_writing(place: &'a Workspace, folder: &str) -> Self {
        let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
        let mut program = Command::new("unshare");
        program
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
            .arg(place.path(folder))
            .args([
                env!("CARGO_BIN_EXE_writeback"),
                "page",
                "--at",
                "127.0.0.1:0",
            ]);
        Self::started(place, program, "info")
    }

    fn started(place: &'a Workspace, mut program: Command, filter: &str) -> Self {
        let name = format!("page-{}.log", fs::read_dir(place.path("")).unwrap().count());
        let log = place.path(&name);
        let child = program
            .current_dir(place.path(""))
            .env("CRM_PASSWORD", PASSWORD)
            .env("NO_COLOR", "1")
            .env("RUST_LOG", filter)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .expect("the program starts");
        let mut shown = Self {
            place,
            child,
            host: String::new(),
            log: log.clone(),
        };
        let deadline = Instant::now() + PATIENCE;
        while shown.host.is_empty() {
            let text = fs::read_to_string(&log).unwrap();
            let url = text.split("showing the page url=http://").nth(1);
            if let Some((host, _)) = url.and_then(|rest| rest.split_once('\n')) {
                host.trim().clone_into(&mut shown.host);
            }
            assert!(Instant::now() < deadline, "no page is shown:\n{text}");
            let ended = shown.child.try_wait().unwrap();
            assert!(ended.is_none(), "the program ended:\n{text}");
            std::thread::sleep(LOOK_INTERVAL);
        }
        shown
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The most memory that it has held so far, in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB"));
        peak.and_then(|peak| peak.parse().ok()).expect("a peak")
    }

    /// Sends a request with these headers besides `Host`, unless they name one.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head += &format!("Host: {}\r\n", self.host);
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if method != "GET" {
            if !headers.iter().any(|(name, _)| *name == "Content-Type") {
                head += "Content-Type: application/x-www-form-urlencoded\r\n";
            }
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        Answer::read(&self.sent(&format!("{head}\r\n{body}")))
    }

    fn sent(&self, request: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.host).expect("the page listens");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// How many bytes an answer has, its head among them.
    pub(crate) fn bytes(&self, path: &str, headers: &[(&str, &str)]) -> usize {
        let mut head = format!(
            "GET {path} HTTP/1.1\r\nConnection: close\r\nHost: {}\r\n",
            self.host
        );
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        self.sent(&format!("{head}\r\n")).len()
    }

    /// As [`Shown::send`], with a body of JSON.
    pub(crate) fn send_json(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut headers = headers.to_vec();
        headers.push(("Content-Type", "application/json"));
        self.send(method, path, &headers, body)
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", path, headers, "")
    }

    /// A link's path, as `writeback page link` prints it.
    pub(crate) fn link(&self, role: &str) -> String {
        let printed = self.place.command(&["page", "link", "--role", role]);
        assert_eq!(printed.code, 0, "{printed}");
        let url = printed.stdout.trim();
        let path = url.strip_prefix(&format!("http://{}", self.host));
        path.unwrap_or_else(|| panic!("{url} leads elsewhere"))
            .to_owned()
    }

    /// The `Cookie` of somebody who signed in by a link.
    pub(crate) fn cookie(&self, role: &str) -> String {
        let entered = self.send("POST", &self.link(role), &[OWN], "");
        assert_eq!(entered.status, 303, "{}", entered.body);
        entered.cookie()
    }

    /// A token's header.
    pub(crate) fn token(&self, name: &str, role: &str, more: &[&str]) -> String {
        let mut arguments = vec!["page", "token", "add", name, "--role", role];
        arguments.extend(more);
        let printed = self.place.command(&arguments);
        assert_eq!(printed.code, 0, "{printed}");
        format!("Bearer {}", printed.stdout.trim())
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.filter_map(|line| line.split_once(": "));
        let mut answer = Self {
            status: status.and_then(|status| status.parse().ok()).unwrap(),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        };
        if answer.header("transfer-encoding") == Some("chunked") {
            answer.body = unchunked(body);
        }
        answer
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// What the answer lets the browser keep, as the browser sends it back.
    pub(crate) fn cookie(&self) -> String {
        let set = self.header("set-cookie").expect("a cookie");
        set.split(';').next().unwrap().to_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// What was sent piece by piece, each after its length.
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).expect("a length");
        whole += rest.get(..length).expect("a piece");
        body = rest.get(length + 2..).unwrap_or_default();
    }
    whole
}
