//! Inputs of the kinds on which scanlab was once wrong, with the right answer of each. One module and one folder for each
//! kind; a test compares the answer (exit status, state, outcome, the place of a rule), not the prose. Needs root.

#[path = "cases/all_denied.rs"]
mod all_denied;
#[path = "cases/beyond_the_link.rs"]
mod beyond_the_link;
#[path = "support/binary.rs"]
mod binary;
#[path = "cases/blame.rs"]
mod blame;
#[path = "cases/claims.rs"]
mod claims;
#[path = "cases/delivered.rs"]
mod delivered;
#[path = "cases/families.rs"]
mod families;
#[path = "cases/icmp.rs"]
mod icmp;
#[path = "cases/link_file.rs"]
mod link_file;
#[path = "cases/moments.rs"]
mod moments;
#[path = "cases/neighbours.rs"]
mod neighbours;
#[path = "cases/rates.rs"]
mod rates;
#[path = "cases/sessions.rs"]
mod sessions;
#[path = "cases/shared_bucket.rs"]
mod shared_bucket;
#[path = "cases/sysctls.rs"]
mod sysctls;
#[path = "cases/text.rs"]
mod text;
#[path = "cases/whole_log.rs"]
mod whole_log;
#[path = "cases/world.rs"]
mod world;

use std::path::Path;
use std::process::Command;

use binary::{Ended, ended, share_the_machine};
use serde_json::Value;

/// Runs scanlab in `tests/cases/FOLDER`.
fn scanlab(folder: &str, arguments: &[&str]) -> Ended {
    let _machine = share_the_machine();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(folder);
    let mut command = Command::new(env!("CARGO_BIN_EXE_scanlab"));
    command.args(arguments).current_dir(folder).env("COLUMNS", "80").env_remove("SSH_CONNECTION");
    ended(command.output().expect("the program starts"))
}

/// The facts of the answer to one question of `check --format json`, as `tone: text`.
fn facts(report: &Value, question: &str) -> Vec<String> {
    let answers = report["answers"].as_array().expect("answers");
    let answer = answers.iter().find(|answer| answer["question"] == question).expect("the question has an answer");
    let facts = answer["facts"].as_array().expect("facts").iter();
    facts.map(|fact| format!("{}: {}", fact["tone"].as_str().unwrap(), fact["text"].as_str().unwrap())).collect()
}
