//! The page of a report, in a real Chromium: it shows the results, works with pointer and keys, sends no network
//! request, and runs nothing from its input. Needs root, Chromium and chromedriver, see `.ci/setup tests`.

use crate::support::binary;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::chromium::Chromium;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The content of a title, a prefix and a comment, which must be shown as text.
const HOSTILE: &str = "</script><script>document.title='run'</script>";

const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const RIGHT: &str = "\u{e014}";
const DOWN: &str = "\u{e015}";

/// A run with mismatches, of a ruleset with hostile texts.
struct Page {
    folder: TempDir,
    json: Value,
}

impl Page {
    fn new() -> Page {
        let _machine = binary::share_the_machine();
        let folder = tempfile::tempdir().expect("a folder");
        let ruleset = format!(
            "*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n# {HOSTILE} ]]> \u{2028} \u{202e}\n\
             -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 24 -j DROP\n\
             -A INPUT -p tcp -m tcp --dport 23 -j LOG --log-prefix \"<script>x</script> \"\n\
             -A INPUT -i lo -j ACCEPT\nCOMMIT\n"
        );
        let scenario = format!(
            "title = \"{HOSTILE} \\u2028 \\u202e\"\n[ruleset]\nv4 = \"rules.v4\"\n[host]\nlisten = [22]\n\
             [[expect]]\nscan = \"syn\"\nports = [22, 23, 24]\nstate = \"open\"\nfamily = \"ipv4\"\n\
             [[expect]]\nscan = \"xmas\"\nports = [22, 23, 24]\nstate = \"open|filtered\"\nfamily = \"ipv4\"\n"
        );
        fs::write(folder.path().join("rules.v4"), ruleset).expect("write the ruleset");
        fs::write(folder.path().join("scenario.toml"), scenario).expect("write the scenario");
        let output = Command::new(env!("CARGO_BIN_EXE_scanlab"))
            .args(["run", "scenario.toml", "--format", "json", "--report", "html=page.html"])
            .current_dir(folder.path())
            .output()
            .expect("scanlab runs");
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let json = serde_json::from_slice(&output.stdout).expect("the report is JSON");
        Page { folder, json }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("page.html")
    }

    /// The page with `from` replaced, as another file.
    fn changed(&self, name: &str, from: &str, to: &str) -> PathBuf {
        let text = fs::read_to_string(self.file()).expect("the page");
        assert!(text.contains(from), "the page has {from}");
        let file = self.folder.path().join(name);
        fs::write(&file, text.replacen(from, to, 1)).expect("write the page");
        file
    }
}

fn text(browser: &Chromium, selector: &str) -> String {
    let text = browser.run(&format!("return document.querySelector({}).textContent", json!(selector)));
    text.as_str().expect("a text").to_owned()
}

#[test]
fn a_page_is_followed_in_a_browser() {
    let page = Page::new();
    let browser = Chromium::start();
    browser.open(&page.file());
    it_says_what_was_measured(&browser, &page.json);
    a_cell_is_followed_with_the_pointer(&browser);
    a_cell_is_followed_with_keys(&browser);
    fields_and_bytes_light_each_other_up(&browser);
    themes_and_paper(&browser);
    it_fits_every_width(&browser);
    what_sticks_out_is_noticed(&browser);
    nothing_was_run_or_asked_for(&browser, &page.file());
    a_lesson_is_a_page(&browser, page.folder.path());
    a_scan_is_a_page(&browser, page.folder.path());
    many_scenarios_with_long_names_are_a_page(&browser, page.folder.path());
    a_long_ruleset_is_a_page(&browser, page.folder.path());
    what_would_be_run_is_noticed(&browser, &page);
    without_a_script_it_still_tells(&browser, &page);
}

fn it_says_what_was_measured(browser: &Chromium, json: &Value) {
    let count = json["summary"]["mismatched"].as_u64().expect("a count");
    assert_eq!(text(browser, "h1"), format!("{count} mismatches"));
    let title = "</script><script>document.title='run'</script> \\u{2028} \\u{202e}";
    assert_eq!(text(browser, "h2"), title);
    let cells = browser.run("return document.querySelectorAll('.matrix td[data-story]').length");
    assert_eq!(cells, json!(json["probes"].as_array().expect("probes").len()));
    let marked = browser.run("return document.querySelectorAll('.matrix td.is-mismatched').length");
    assert_eq!(marked, json!(count));
    assert!(text(browser, ".rules").contains("never"), "rules that were not exercised are marked");
}

fn a_cell_is_followed_with_the_pointer(browser: &Chromium) {
    // The row of port 23, the column of SYN.
    browser.click(".matrix tbody tr:nth-child(2) td:nth-of-type(1)");
    assert_eq!(text(browser, ".story h3"), "syn to port 23 over IPv4");
    let lanes = browser.run("return [...document.querySelectorAll('.lane h5')].map((one) => one.textContent)");
    assert_eq!(lanes, json!(["filter INPUT"]));
    assert_eq!(text(browser, ".log .prefix"), "<script>x</script> ");
    assert!(text(browser, ".story-body").contains("rules 1 to 2 do not match"), "{}", text(browser, ".story-body"));
    let on_path =
        browser.run("return [...document.querySelectorAll('.rules .on-path')].map((row) => row.dataset.line)");
    assert_eq!(on_path, json!(["2", "7"]));
    browser.click(".steps .next");
    browser.click(".steps .next");
    assert!(text(browser, ".stop.now").contains("-j LOG"), "{}", text(browser, ".stop.now"));
    assert_eq!(text(browser, "#live"), text(browser, ".stop.now"));
}

fn a_cell_is_followed_with_keys(browser: &Chromium) {
    browser.click(".matrix tbody tr:nth-child(1) td:nth-of-type(1)");
    let stops = browser.run("return document.querySelectorAll('.matrix td[tabindex=\"0\"]').length");
    assert_eq!(stops, json!(1), "a grid is one stop for Tab");
    browser.press(&format!("{DOWN}{RIGHT}"));
    assert_eq!(text(browser, ".story h3"), "xmas to port 23 over IPv4");
    assert!(text(browser, "#live").starts_with("xmas to port 23 over IPv4: open|filtered"));
    browser.press(ENTER);
    assert_eq!(browser.run("return document.activeElement.textContent"), json!("xmas to port 23 over IPv4"));
    browser.press(ESCAPE);
    assert_eq!(browser.run("return document.activeElement.getAttribute('aria-selected')"), json!("true"));
}

fn fields_and_bytes_light_each_other_up(browser: &Chromium) {
    let lit = browser.run(
        "const row = [...document.querySelectorAll('.fields tr')].find((row) => row.textContent.startsWith('Destination Port'));
         row.focus();
         return [...document.querySelectorAll('.hex .b.on')].map((byte) => byte.textContent)",
    );
    assert_eq!(lit, json!(["00", "17"]), "port 23");
    let lit = browser.run(
        "const bytes = document.querySelectorAll('.hex .b');
         bytes[23].dispatchEvent(new MouseEvent('mouseenter'));
         return [...document.querySelectorAll('.fields tr.on th')].map((name) => name.textContent)",
    );
    assert_eq!(lit, json!(["Protocol"]), "the byte at 14 + 9");
}

fn themes_and_paper(browser: &Chromium) {
    let paper = "return getComputedStyle(document.documentElement).backgroundColor";
    browser.click("#theme");
    let light = browser.run(paper);
    browser.click("#theme");
    assert_ne!(browser.run(paper), light, "dark is another colour than light");
    browser.devtools("Emulation.setEmulatedMedia", json!({"media": "print"}));
    assert_eq!(browser.run(paper), json!("rgb(255, 255, 255)"));
    browser.devtools("Emulation.setEmulatedMedia", json!({"media": ""}));
}

fn it_fits_every_width(browser: &Chromium) {
    for (width, height) in [(390, 844), (1280, 800), (1920, 1080)] {
        browser.resize(width, height);
        let wide = browser.run(
            "const root = document.documentElement;
             return root.scrollWidth <= innerWidth ? [] : [root.scrollWidth, ...[...document.querySelectorAll('main *')]
                 .filter((one) => one.getBoundingClientRect().right > innerWidth && !one.closest('.scroll, .hex, .diff'))
                 .map((one) => `${one.tagName} ${one.className}`)]",
        );
        assert_eq!(wide, json!([]), "nothing sticks out at {width}");
    }
}

fn what_sticks_out_is_noticed(browser: &Chromium) {
    browser.run("document.body.append(Object.assign(document.createElement('p'), {id: 'planted'}))");
    let wide = browser.run(
        "planted.style.width = planted.style.height = '3000px';
         return document.documentElement.scrollWidth > innerWidth",
    );
    browser.run("planted.remove()");
    assert_eq!(wide, json!(true));
}

fn nothing_was_run_or_asked_for(browser: &Chromium, file: &Path) {
    assert_eq!(browser.console(), Vec::<String>::new());
    assert_ne!(browser.run("return document.title"), json!("run"));
    let asked: Vec<String> = browser.requests().into_iter().filter(|url| !url.starts_with("data:")).collect();
    assert_eq!(asked, [format!("file://{}", file.display())]);
}

fn a_lesson_is_a_page(browser: &Chromium, folder: &Path) {
    let file = folder.join("lesson.html");
    let output = Command::new(env!("CARGO_BIN_EXE_scanlab"))
        .args(["teach", "xmas", "--html"])
        .arg(&file)
        .output()
        .expect("scanlab runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    browser.open(&file);
    let set = browser.run("return [...document.querySelectorAll('.bits td')].map((bit) => bit.textContent).join('')");
    assert_eq!(set, json!("00101001"), "URG, PSH, FIN");
    browser.click(".bytes summary");
    let lit = browser.run(
        "const row = [...document.querySelectorAll('.fields tr')].find((row) => row.textContent.startsWith('Protocol'));
         row.focus();
         return [...row.closest('.bytes').querySelectorAll('.hex .b.on')].map((byte) => byte.textContent)",
    );
    assert_eq!(lit, json!(["06"]), "TCP");
    it_fits_every_width(browser);
    nothing_was_run_or_asked_for(browser, &file);
}

fn a_scan_is_a_page(browser: &Chromium, folder: &Path) {
    let output = Command::new(env!("CARGO_BIN_EXE_scanlab"))
        .args(["scan", "--rules", "rules.v4", "--listen", "22", "-p", "22-24", "--format", "html"])
        .current_dir(folder)
        .output()
        .expect("scanlab runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = folder.join("scan.html");
    fs::write(&file, output.stdout).expect("write the page");
    browser.open(&file);
    assert_eq!(text(browser, ".hero .counts"), "No expectations: 3 probes.");
    browser.click(".matrix tbody tr:nth-child(2) td");
    assert_eq!(text(browser, ".log .prefix"), "<script>x</script> ");
    assert_eq!(browser.run("return document.querySelectorAll('.frames button').length"), json!(1), "the probe");
    it_fits_every_width(browser);
    nothing_was_run_or_asked_for(browser, &file);
}

/// The page of a long block list leaves out most rules, says so, and still opens in a browser.
fn a_long_ruleset_is_a_page(browser: &Chromium, folder: &Path) {
    const RULES: usize = 2_500;
    let blocked = |number: usize| format!("-A INPUT -s 10.{}.{}.0/24 -j DROP\n", number / 250, number % 250);
    let blocked: String = (0..RULES).map(blocked).collect();
    let ruleset = format!("*filter\n:INPUT DROP [0:0]\n{blocked}-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n");
    fs::write(folder.join("long.v4"), ruleset).expect("write the ruleset");
    let expect = "[[expect]]\nscan = \"syn\"\nports = [22]\nstate = \"open\"\nfamily = \"ipv4\"\n";
    let scenario = format!("title = \"long\"\n[ruleset]\nv4 = \"long.v4\"\n[host]\nlisten = [22]\n{expect}");
    fs::write(folder.join("long.toml"), scenario).expect("write the scenario");
    let output = Command::new(env!("CARGO_BIN_EXE_scanlab"))
        .args(["run", "long.toml", "--quiet", "--report", "html=long.html"])
        .current_dir(folder)
        .output()
        .expect("scanlab runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = folder.join("long.html");
    browser.open(&file);
    let elements = browser.run("return document.querySelectorAll('*').length");
    assert!(elements.as_u64().is_some_and(|elements| elements < 20_000), "{elements}");
    assert_eq!(text(browser, ".rules .gap"), "503 lines not shown", "those in front of the one that matters");
    browser.click(".matrix tbody td");
    assert!(text(browser, ".passed summary").starts_with(&format!("rules 1 to {RULES} do not match")));
    assert_eq!(text(browser, ".passed li:last-child"), "2300 more are not shown here.");
    let on_path = browser.run("return document.querySelector('.rules .on-path').dataset.line");
    assert_eq!(on_path, json!((RULES + 3).to_string()), "the rule that lets it in is kept");
    browser.click(".ruleset summary");
    it_fits_every_width(browser);
    nothing_was_run_or_asked_for(browser, &file);
}

/// Names of one long word, of zero-width letters, and of letters that change the direction; a file whose name consists
/// of quotes.
fn many_scenarios_with_long_names_are_a_page(browser: &Chromium, folder: &Path) {
    let names =
        ["W".repeat(10_000), "\\u200b\\u200d".repeat(2_000), "\\u202e\\u0661".repeat(500), "of many".to_owned()];
    let files: Vec<String> = (0..30).map(|number| format!("it's \"{number}\" & <b>.toml")).collect();
    for (file, name) in files.iter().zip(names.iter().cycle()) {
        let expect = "[[expect]]\nscan = \"syn\"\nports = [22]\nstate = \"open\"\nfamily = \"ipv4\"\n";
        let scenario = format!("title = \"{name}\"\n[ruleset]\nv4 = \"rules.v4\"\n[host]\nlisten = [22]\n{expect}");
        fs::write(folder.join(file), scenario).expect("write the scenario");
    }
    let file = folder.join("many.html");
    let output = Command::new(env!("CARGO_BIN_EXE_scanlab"))
        .args(["run", "--quiet", "--report", "html=many.html"])
        .args(&files)
        .current_dir(folder)
        .output()
        .expect("scanlab runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    browser.open(&file);
    assert_eq!(browser.run("return document.querySelectorAll('.jump a').length"), json!(files.len()));
    it_fits_every_width(browser);
    browser.click(".contents li:nth-child(4) a");
    let here = browser.devtools(
        "Runtime.evaluate",
        json!({"awaitPromise": true, "returnByValue": true, "expression":
            "new Promise((tell) => { const look = () => { const here = document.querySelector('.jump [aria-current]');
                here && here.hash === '#part-4' ? tell(document.querySelector('.here').textContent) : setTimeout(look, 20); };
                look(); })"}),
    );
    assert_eq!(here["result"]["value"], json!("of many"));
    nothing_was_run_or_asked_for(browser, &file);
}

/// The same checks fail if a text is interpreted as markup, if a script runs, and if the network is used.
fn what_would_be_run_is_noticed(browser: &Chromium, page: &Page) {
    let planted = "<main id=\"main\"><script>document.title='run'</script><img src=\"http://127.0.0.1:9/x.png\">";
    let barred = page.changed("barred.html", "<main id=\"main\">", planted);
    browser.open(&barred);
    assert_eq!(browser.console().len(), 2, "the policy bars both, and says so");
    assert_ne!(browser.run("return document.title"), json!("run"));
    let text = fs::read_to_string(&barred).expect("the page");
    let open = text.replacen("http-equiv=\"Content-Security-Policy\"", "name=\"none\"", 1);
    let file = page.folder.path().join("open.html");
    fs::write(&file, open).expect("write the page");
    browser.open(&file);
    assert_eq!(browser.run("return document.title"), json!("run"), "without the policy it would be run");
    assert!(browser.requests().iter().any(|url| url.starts_with("http://127.0.0.1:9/")));
    browser.console();
}

fn without_a_script_it_still_tells(browser: &Chromium, page: &Page) {
    browser.devtools("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    browser.open(&page.file());
    let document = browser.devtools("DOM.getDocument", json!({"depth": 0}));
    let all = browser.devtools("DOM.getOuterHTML", json!({"nodeId": document["root"]["nodeId"]}));
    let all = all["outerHTML"].as_str().expect("HTML");
    browser.devtools("Emulation.setScriptExecutionDisabled", json!({"value": false}));
    assert!(all.contains("syn to port 23 over IPv4: filtered, mismatched"), "the matrix is there");
    assert!(!all.contains("role=\"grid\""), "and no script made it a grid");
    assert!(all.contains("class=\"mishap") && all.contains("class=\"rules\""));
}
