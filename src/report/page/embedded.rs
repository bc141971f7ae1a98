//! Data within HTML: JSON that an HTML parser cannot interpret as markup.

use serde::Serialize;
use serde_json::Value;

use crate::text::ci_escape::inert_json;
use crate::text::escape::visible;

/// The data as JSON for a `<script type="application/json">`: control characters in texts are shown as escapes, and
/// `<`, `>` and `&`, which JSON has in texts only, are escaped as RFC 8259, section 7, allows.
pub fn json(data: &impl Serialize) -> String {
    let mut value = serde_json::to_value(data).unwrap_or_else(|error| unreachable!("facts are JSON: {error}"));
    make_visible(&mut value);
    let json = inert_json(&value.to_string()).into_owned();
    json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn make_visible(value: &mut Value) {
    match value {
        Value::String(text) => *text = visible(text),
        Value::Array(values) => values.iter_mut().for_each(make_visible),
        Value::Object(values) => values.values_mut().for_each(make_visible),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_json_never_closes_its_element() {
        let hostile = "</script><!--<script>]]>&\u{2028}\u{202e}\"\\";
        let text = json(&[hostile]);
        assert!(!text.contains(['<', '>', '&', '\u{2028}', '\u{202e}']), "{text}");
        let read: Vec<String> = serde_json::from_str(&text).expect("it is JSON");
        assert_eq!(read, [visible(hostile)]);
    }
}
