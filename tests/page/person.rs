//! Somebody who uses the page, and the API with the same role.

use serde_json::Value;

use crate::shown::{Answer, OWN, Shown};

/// Somebody who is signed in and fills forms in.
pub(crate) struct Person<'a> {
    shown: &'a Shown<'a>,
    pub(crate) cookie: String,
    pub(crate) token: String,
}

impl<'a> Person<'a> {
    pub(crate) fn of(shown: &'a Shown<'a>, role: &str) -> Self {
        Self::named(shown, &format!("token-{role}"), role)
    }

    /// Whose token has this name.
    pub(crate) fn named(shown: &'a Shown<'a>, token: &str, role: &str) -> Self {
        Self {
            shown,
            cookie: shown.cookie(role),
            token: shown.token(token, role, &[]),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.shown.get(path, &[("Cookie", &self.cookie)])
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        let headers = [OWN, ("Cookie", self.cookie.as_str())];
        self.shown.send("POST", path, &headers, body)
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        self.shown
            .get(&format!("/api/v1{path}"), &[("Authorization", &self.token)])
            .json()
    }

    pub(crate) fn call(&self, path: &str, body: &str) -> Answer {
        self.call_with("POST", path, body)
    }

    pub(crate) fn call_with(&self, method: &str, path: &str, body: &str) -> Answer {
        let headers = [("Authorization", self.token.as_str())];
        self.shown
            .send_json(method, &format!("/api/v1{path}"), &headers, body)
    }

    /// Posts a form that begins a look, and waits until that has ended.
    pub(crate) fn look(&self, path: &str, body: &str) -> (String, Value) {
        let begun = self.post(path, body);
        assert_eq!(begun.status, 303, "{}", begun.body);
        let address = begun.header("location").unwrap().to_owned();
        (address.clone(), self.ended(&address))
    }

    /// What is told of a request or a look once it has ended.
    pub(crate) fn ended(&self, address: &str) -> Value {
        self.shown
            .place
            .wait_until("an end", |_| !self.json(address)["ended_at"].is_null());
        self.json(address)
    }
}
