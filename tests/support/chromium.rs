//! Chromium, controlled through chromedriver with the WebDriver protocol (W3C, "WebDriver"): JSON over HTTP, one
//! connection for each request. Dropping it ends both.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A browser with one window.
pub struct Chromium {
    driver: Child,
    port: u16,
    session: String,
    _profile: TempDir,
}

impl Chromium {
    /// Starts it with a fresh profile.
    pub fn start() -> Chromium {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver starts (hint: .ci/setup installs chromium-driver)");
        let port = port_of(&mut driver);
        let profile = tempfile::tempdir().expect("a folder");
        let mut browser = Chromium { driver, port, session: String::new(), _profile: profile };
        let folder = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &folder,
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            "unhandledPromptBehavior": "ignore",
        }}});
        let made = browser.request("POST", "/session", &wanted);
        browser.session = made["sessionId"].as_str().expect("a session").to_owned();
        browser
    }

    /// Opens a file.
    pub fn open(&self, file: &Path) {
        self.post("/url", &json!({"url": format!("file://{}", file.display())}));
    }

    /// The result of a script; `arguments` is empty for it.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Clicks on the element with a real pointer.
    pub fn click(&self, selector: &str) {
        let found = self.post("/element", &json!({"using": "css selector", "value": selector}));
        let id = found.as_object().and_then(|element| element.values().next()).and_then(Value::as_str);
        let id = id.unwrap_or_else(|| panic!("no element is {selector}"));
        self.post(&format!("/element/{id}/click"), &json!({}));
    }

    /// Presses keys, one after the other; WebDriver, section 17.4.2, has the code points of keys without characters.
    pub fn press(&self, keys: &str) {
        let press = |key: char| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})];
        let actions: Vec<Value> = keys.chars().flat_map(press).collect();
        self.post("/actions", &json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]}));
    }

    /// Sets the width and height of the page.
    pub fn resize(&self, width: u32, height: u32) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}),
        );
    }

    /// Runs a command of the DevTools protocol.
    pub fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// The messages on the console since the last call.
    pub fn console(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": "browser"}));
        let entries = entries.as_array().expect("entries").iter();
        entries.map(|entry| entry["message"].as_str().expect("a message").to_owned()).collect()
    }

    /// The requested addresses since the last call, except those of the browser's own first page.
    pub fn requests(&self) -> Vec<String> {
        let entries = self.post("/se/log", &json!({"type": "performance"}));
        let entries = entries.as_array().expect("entries").iter();
        let events = entries.map(|entry| -> Value {
            serde_json::from_str(entry["message"].as_str().expect("a message")).expect("an event")
        });
        let asked = events.filter(|event| event["message"]["method"] == "Network.requestWillBeSent");
        let urls = asked.map(|event| event["message"]["params"]["request"]["url"].as_str().expect("a URL").to_owned());
        urls.filter(|url| !url.starts_with("chrome://")).collect()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.request("POST", &format!("/session/{}{path}", self.session), body)
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("chromedriver listens");
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            self.port,
            body.len()
        )
        .expect("send a request");
        let answer = read_answer(stream);
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        let value = &answer["value"];
        assert!(value.get("error").is_none(), "{method} {path} {body}: {value}");
        value.clone()
    }
}

/// Reads the body, of the length in the header.
fn read_answer(stream: TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line of the head");
        match line.trim_end().to_ascii_lowercase().split_once(':') {
            Some(("content-length", value)) => length = value.trim().parse().expect("a length"),
            Some(_) => {}
            None if line.trim_end().is_empty() => break,
            None => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    String::from_utf8(body).expect("UTF-8")
}

/// Parses the port of `ChromeDriver was started successfully on port 40123.`
fn port_of(driver: &mut Child) -> u16 {
    let mut reader = BufReader::new(driver.stdout.take().expect("a pipe"));
    loop {
        let mut line = String::new();
        assert_ne!(reader.read_line(&mut line).expect("what chromedriver says"), 0, "chromedriver ended");
        if let Some((_, port)) = line.trim_end().trim_end_matches('.').rsplit_once("successfully on port ") {
            // No more output is needed or expected.
            std::mem::forget(reader);
            return port.parse().expect("a port");
        }
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Without a session there is no browser to end.
        if !self.session.is_empty() {
            let path = format!("/session/{}", self.session);
            let _ =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.request("DELETE", &path, &json!({}))));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
