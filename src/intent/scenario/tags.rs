//! Tags of a scenario: short words by which a command line selects it.

use crate::error::Result;
use crate::sensor::TomlTable;

/// The maximum number of characters of a tag.
const LONGEST: usize = 40;

/// Reads `tags = ["ssh", "nightly"]`.
pub fn read_tags(file: &mut TomlTable<'_>) -> Result<Vec<String>> {
    let mut tags: Vec<String> = Vec::new();
    for value in file.take("tags").map_or_else(|| Ok(Vec::new()), |value| value.into_list())? {
        let tag = value.text()?.to_owned();
        if let Err(hint) = valid(&tag) {
            return Err(value.error("this is not a tag", hint).into());
        }
        if tags.contains(&tag) {
            return Err(value.error(format!("the tag `{tag}` is listed twice"), "remove one of them").into());
        }
        tags.push(tag);
    }
    Ok(tags)
}

/// Fails unless `text` can be a tag: a short word that no terminal or shell interprets.
fn valid(text: &str) -> std::result::Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    let length = text.chars().count();
    if (1..=LONGEST).contains(&length) && text.chars().all(is_allowed) {
        return Ok(());
    }
    Err(format!("a tag has 1 to {LONGEST} of the letters a to z, digits and `-_.:/`"))
}

/// Parses a tag of a command line.
pub fn tag(text: &str) -> std::result::Result<String, String> {
    valid(text).map(|()| text.to_owned())
}
