//! Validation of documents against schemas by independent programs: Python's jsonschema, and xmllint.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// The path of an external schema, as `.ci/setup` fetched it.
pub fn fetched(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/schemas").join(name);
    assert!(path.exists(), "{} is not there (hint: .ci/setup fetches it)", path.display());
    path
}

/// The errors of each document, by its name; empty if all fit.
pub fn complaints(schema: &Path, documents: &[(&str, &Value)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let mut python = Command::new("/usr/bin/python3");
    python.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/validate.py")).arg(schema);
    for (name, document) in documents {
        let path = folder.path().join(name.replace('/', "_"));
        fs::write(&path, document.to_string()).expect("write");
        python.arg(path);
    }
    let output = python.output().expect("run python3 (hint: .ci/setup installs what the tests run)");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.success(), said.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// The rules that a SARIF document violates, as Microsoft's validator and its rules for GitHub's code scanning find them:
/// `["GH2012", "SARIF2005"]`. Notes, which ask for more than either needs, are left out.
pub fn sarif_violations(document: &Value) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let [input, output] = ["input.sarif", "output.sarif"].map(|name| folder.path().join(name));
    fs::write(&input, document.to_string()).expect("write");
    let mut validator = Command::new(fetched("multitool/package/Sarif.Multitool"));
    validator.args(["validate", "--rule-kind", "Sarif;Ghas", "--level", "Error;Warning"]);
    // It needs no library for languages.
    validator.arg("--output").arg(&output).arg(&input).env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1");
    let ended = validator.output().expect("run the validator");
    let found = fs::read_to_string(&output).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let found: Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(found["runs"][0]["invocations"][0]["executionSuccessful"], true, "{found:#}");
    let results = found["runs"][0]["results"].as_array().expect("results");
    let mut rules: Vec<String> =
        results.iter().map(|result| result["ruleId"].as_str().expect("a rule")[..].to_owned()).collect();
    rules.sort();
    rules.dedup();
    rules
}

/// Runs `xmllint --schema`.
pub fn xmllint(schema: &Path, document: &Path) -> Output {
    let mut lint = Command::new("xmllint");
    lint.args(["--noout", "--nonet", "--schema"]).arg(schema).arg(document);
    lint.output().expect("run xmllint (hint: .ci/setup installs what the tests run)")
}

/// The document without the value at the pointer, or with another one: `change(&report, "/runs/0/tool", None)`.
pub fn change(document: &Value, pointer: &str, to: Option<Value>) -> Value {
    let mut changed = document.clone();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = changed.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer} is there"));
    match (parent, to) {
        (Value::Object(object), Some(to)) => drop(object.insert(key.to_owned(), to)),
        (Value::Object(object), None) => drop(object.remove(key).unwrap_or_else(|| panic!("{pointer} is there"))),
        (parent, to) => parent[key.parse::<usize>().expect("a place in a list")] = to.expect("a value"),
    }
    changed
}
