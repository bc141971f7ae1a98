//! Reports as JSON.

use serde::Serialize;

use crate::text::escape::visible_json;

/// The report as pretty-printed JSON, with a line break at its end.
pub fn to_json(report: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(report).expect("a report has string keys and finite numbers only");
    visible_json(&text) + "\n"
}
