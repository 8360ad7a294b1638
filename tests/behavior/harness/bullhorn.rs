//! A practice Bullhorn in a process of its own, and a plain client of it.

use std::io::{BufRead, BufReader};
use std::process::Child;
use std::time::Duration;

use serde_json::Value;
use ureq::Agent;
use ureq::http::Request;

use super::workspace::Workspace;

/// How long a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// The practice of a project's connection `crm`.
pub(crate) struct Corporation {
    child: Child,
    agent: Agent,
    url: String,
}

/// What a call was answered.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    text: String,
}

impl Told {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The key of an error.
    pub(crate) fn key(&self) -> String {
        let told = self.json();
        let key = told["errorMessageKey"].as_str();
        key.unwrap_or_else(|| panic!("no key: {self:?}")).to_owned()
    }
}

impl Corporation {
    pub(crate) fn start(place: &Workspace, faults: &str) -> Self {
        let mut child = place.start(&["practice", "crm", "--faults", faults]);
        let mut line = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("text");
        let url = line.trim().strip_prefix("practice bullhorn at ");
        let url = url
            .unwrap_or_else(|| panic!("no address in `{line}`"))
            .to_owned();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_global(Some(CALL_TIMEOUT))
            .build();
        Self {
            child,
            agent: config.into(),
            url,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A call whose answer may not come.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Option<Told> {
        let url = format!("{}{path}", self.url);
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_owned()).expect("a request");
        let mut response = self.agent.run(request).ok()?;
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| {
            let value = value.to_str().unwrap_or_default();
            (name.as_str().to_owned(), value.to_owned())
        });
        Some(Told {
            status: response.status().as_u16(),
            headers: headers.collect(),
            text: response.body_mut().read_to_string().ok()?,
        })
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Told {
        self.send(method, path, &[], "").expect("an answer")
    }

    /// A code for a user's name and password.
    pub(crate) fn authorize(&self, password: &str) -> Told {
        self.ask(
            "GET",
            &format!(
                "/oauth/authorize?client_id=practice&response_type=code&action=Login&username=practice.api&password={password}"
            ),
        )
    }

    /// The code, escaped as it came.
    pub(crate) fn code(&self) -> String {
        let told = self.authorize("practice");
        let place = told.header("location").expect("a place").to_owned();
        let code = place.split("code=").nth(1).expect("a code");
        code.split('&').next().expect("a code").to_owned()
    }

    pub(crate) fn token(&self, grant: &str) -> Told {
        let path = format!("/oauth/token?{grant}&client_id=practice&client_secret=practice");
        self.ask("POST", &path)
    }

    pub(crate) fn access_token(&self) -> Told {
        self.token(&format!(
            "grant_type=authorization_code&code={}",
            self.code()
        ))
    }

    pub(crate) fn login(&self, access_token: &str) -> Told {
        let path = format!("/rest-services/login?version=*&access_token={access_token}&ttl=60");
        self.ask("POST", &path)
    }

    /// A session.
    pub(crate) fn session(&self) -> String {
        let access_token = self.access_token().json()["access_token"].clone();
        let told = self.login(access_token.as_str().expect("a token"));
        let told = told.json();
        told["BhRestToken"].as_str().expect("a session").to_owned()
    }

    /// A call of data in a session.
    pub(crate) fn call_in(&self, session: &str, method: &str, path: &str, body: &str) -> Told {
        let path = format!("/rest-services/abc123{path}");
        let headers = [
            ("BhRestToken", session),
            ("Content-Type", "application/json"),
        ];
        self.send(method, &path, &headers, body).expect("an answer")
    }

    /// A call of data in a session of its own.
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> Told {
        self.call_in(&self.session(), method, path, body)
    }

    /// What only those who rehearse may ask for.
    pub(crate) fn command(&self, name: &str, body: &str) {
        let told = self.send("POST", &format!("/practice/{name}"), &[], body);
        assert_eq!(told.expect("an answer").status, 204);
    }

    pub(crate) fn counts(&self) -> Value {
        self.ask("GET", "/practice/calls").json()
    }
}

impl Drop for Corporation {
    fn drop(&mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
    }
}
