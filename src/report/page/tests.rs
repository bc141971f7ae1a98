use askama::filters::Escaper;

use super::*;

#[test]
fn no_text_is_markup_and_nothing_steers() {
    let mut text = String::new();
    Escaped.write_escaped_str(&mut text, "<script a='\"&>\u{202e}\u{2028}\u{1b}é").expect("a String takes all");
    assert_eq!(text, "&lt;script a=&#39;&quot;&amp;&gt;\\u{202e}\\u{2028}\\u{1b}é");
}

/// The end of either element would be the end of what its digest speaks of.
#[test]
fn style_and_script_stay_within_their_elements() {
    assert!(!STYLE.contains("</") && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
}
