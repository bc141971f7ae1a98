//! The site of `just book`: docs/SUMMARY.md is its table of contents, and mdBook leaves out a page that is not in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The pages that a summary links to.
fn linked(summary: &str) -> BTreeSet<String> {
    let links = summary.lines().filter_map(|line| line.strip_prefix("- [")?.strip_suffix(')')?.split_once("]("));
    links.map(|(_, page)| page.to_owned()).collect()
}

#[test]
fn summary_lists_every_page_by_its_title() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let summary = fs::read_to_string(docs.join("SUMMARY.md")).expect("a summary");
    let entries = fs::read_dir(&docs).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let names = entries.map(|name| name.into_string().expect("UTF-8"));
    let pages: BTreeSet<String> = names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect();
    assert_eq!(linked(&summary), pages);
    for page in &pages {
        let text = fs::read_to_string(docs.join(page)).expect("a page");
        let title = text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("a title");
        assert!(summary.contains(&format!("- [{title}]({page})\n")), "{page}: {title}");
    }
    // A planted fault: a page that is left out.
    assert_ne!(linked(summary.split_once("- [").expect("a link").0), pages);
}
