//! A real Chromium, driven over WebDriver by the driver that Debian builds with it. The protocol is
//! JSON over HTTP, and a client crate for it would bring other versions of what the databases'
//! drivers are built on, so that half the program would be built anew: the few calls stand here.
//! Source: <https://www.w3.org/TR/webdriver2/>.

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with one window; closed when dropped.
pub(crate) struct Browser {
    driver: Child,
    /// Kept open: the driver may say more.
    _said: Lines<BufReader<ChildStdout>>,
    session: String,
    agent: ureq::Agent,
}

impl Browser {
    /// Starts a driver and a browser, 1280 by 900.
    pub(crate) fn open() -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed: `tests/run` does it");
        let mut said = BufReader::new(driver.stdout.take().unwrap()).lines();
        let started = "started successfully on port ";
        let port = said.by_ref().map_while(Result::ok).find_map(|line| {
            let (_, port) = line.split_once(started)?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let port = port.expect("the driver says where it listens");
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .build();
        let mut browser = Self {
            driver,
            _said: said,
            session: format!("http://127.0.0.1:{port}/session"),
            agent: config.into(),
        };
        let mut arguments = vec!["--headless=new", "--disable-gpu", "--window-size=1280,900"];
        if is_root() {
            // Chromium's sandbox is not for root.
            arguments.push("--no-sandbox");
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let opened = browser.call("POST", "", &wanted);
        browser.session = format!(
            "{}/{}",
            browser.session,
            opened["sessionId"].as_str().unwrap()
        );
        browser
    }

    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{}{path}", self.session);
        let answer = match method {
            "GET" => self.agent.get(&url).call(),
            "DELETE" => self.agent.delete(&url).call(),
            _ => self
                .agent
                .post(&url)
                .header("Content-Type", "application/json")
                .send(body.to_string()),
        };
        let text = answer
            .expect("the driver answers")
            .body_mut()
            .read_to_string()
            .unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        let value = answer["value"].clone();
        assert!(value.get("error").is_none(), "{method} {path}: {value}");
        value
    }

    pub(crate) fn go(&self, url: &str) -> &Self {
        self.call("POST", "/url", &json!({ "url": url }));
        self
    }

    pub(crate) fn url(&self) -> String {
        self.call("GET", "/url", &Value::Null)
            .as_str()
            .unwrap()
            .to_owned()
    }

    fn element(&self, css: &str) -> String {
        let found = self.call(
            "POST",
            "/element",
            &json!({ "using": "css selector", "value": css }),
        );
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    pub(crate) fn click(&self, css: &str) -> &Self {
        let element = self.element(css);
        self.call("POST", &format!("/element/{element}/click"), &json!({}));
        self
    }

    pub(crate) fn fill(&self, css: &str, text: &str) -> &Self {
        let element = self.element(css);
        self.call("POST", &format!("/element/{element}/clear"), &json!({}));
        self.call(
            "POST",
            &format!("/element/{element}/value"),
            &json!({ "text": text }),
        );
        self
    }

    /// Presses keys one after the other, wherever the focus is.
    pub(crate) fn press(&self, keys: &str) -> &Self {
        let strokes = keys.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|what| json!({ "type": what, "value": key.to_string() }))
        });
        let strokes: Vec<Value> = strokes.collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.call("POST", "/actions", &json!({ "actions": [keyboard] }));
        self
    }

    /// Opens another tab and goes on there. Returns what it is called.
    pub(crate) fn open_tab(&self) -> String {
        let opened = self.call("POST", "/window/new", &json!({ "type": "tab" }));
        let tab = opened["handle"].as_str().unwrap().to_owned();
        self.in_tab(&tab);
        tab
    }

    /// Goes on in a tab.
    pub(crate) fn in_tab(&self, tab: &str) -> &Self {
        self.call("POST", "/window", &json!({ "handle": tab }));
        self
    }

    /// What a function's body returns.
    pub(crate) fn script(&self, body: &str) -> Value {
        self.call(
            "POST",
            "/execute/sync",
            &json!({ "script": body, "args": [] }),
        )
    }

    /// What a function's body hands to `arguments[0]`.
    pub(crate) fn script_later(&self, body: &str) -> Value {
        self.call(
            "POST",
            "/execute/async",
            &json!({ "script": body, "args": [] }),
        )
    }

    /// The text that somebody sees.
    pub(crate) fn text(&self) -> String {
        self.script("return document.body.innerText")
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Waits until the page's text holds `wanted`.
    pub(crate) fn wait_for(&self, wanted: &str) -> &Self {
        let deadline = Instant::now() + PATIENCE;
        while !self.text().contains(wanted) {
            assert!(
                Instant::now() < deadline,
                "`{wanted}` does not come:\n{}",
                self.text()
            );
            std::thread::sleep(LOOK_INTERVAL);
        }
        self
    }

    /// Waits until the page's address holds `wanted`.
    pub(crate) fn wait_for_address(&self, wanted: &str) -> &Self {
        let deadline = Instant::now() + PATIENCE;
        while !self.url().contains(wanted) {
            assert!(
                Instant::now() < deadline,
                "`{wanted}` is not in {}",
                self.url()
            );
            std::thread::sleep(LOOK_INTERVAL);
        }
        self
    }

    /// Waits until the page's address no longer holds `left`.
    pub(crate) fn wait_to_leave(&self, left: &str) -> &Self {
        let deadline = Instant::now() + PATIENCE;
        while self.url().contains(left) {
            assert!(Instant::now() < deadline, "it stays at {}", self.url());
            std::thread::sleep(LOOK_INTERVAL);
        }
        self
    }

    fn tell(&self, command: &str, parameters: &Value) -> &Self {
        let told = json!({ "cmd": command, "params": parameters });
        self.call("POST", "/goog/cdp/execute", &told);
        self
    }

    /// Shows pages to somebody who likes them so.
    pub(crate) fn like(&self, features: &[(&str, &str)]) -> &Self {
        let feature = |(name, value): &(&str, &str)| json!({ "name": name, "value": value });
        let features: Vec<Value> = features.iter().map(feature).collect();
        self.tell(
            "Emulation.setEmulatedMedia",
            &json!({ "features": features }),
        )
    }

    pub(crate) fn width(&self, width: u32) -> &Self {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.tell("Emulation.setDeviceMetricsOverride", &size)
    }

    pub(crate) fn without_script(&self) -> &Self {
        self.tell(
            "Emulation.setScriptExecutionDisabled",
            &json!({ "value": true }),
        )
    }

    pub(crate) fn with_script(&self) -> &Self {
        self.tell(
            "Emulation.setScriptExecutionDisabled",
            &json!({ "value": false }),
        )
    }

    /// What the console was told since it was last asked, but for answers that are refusals.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let told = self.call("POST", "/se/log", &json!({ "type": "browser" }));
        let told = told.as_array().unwrap().iter();
        let texts = told.map(|entry| entry["message"].as_str().unwrap().to_owned());
        texts
            .filter(|text| !text.contains("Failed to load resource: the server responded"))
            .collect()
    }

    /// The whole page, as PNG.
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        let whole = json!({ "format": "png", "captureBeyondViewport": true });
        let told = json!({ "cmd": "Page.captureScreenshot", "params": whole });
        let taken = self.call("POST", "/goog/cdp/execute", &told);
        BASE64_STANDARD
            .decode(taken["data"].as_str().unwrap())
            .unwrap()
    }
}

fn is_root() -> bool {
    let told = Command::new("id").arg("-u").output().unwrap();
    told.stdout == b"0\n"
}

impl Drop for Browser {
    fn drop(&mut self) {
        // A test that failed has said why.
        drop(self.agent.delete(&self.session).call());
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
