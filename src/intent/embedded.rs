//! The scenarios that are compiled in, which `scanlab demo` runs. They are the files of `scenarios/`.

use std::path::Path;

use crate::error::{InputError, Result, Source};
use crate::intent::scenario::Scenario;

/// Name and text of every file of `scenarios/`.
const FILES: [(&str, &str); 7] = [
    ("sensor-hardened.toml", include_str!("../../scenarios/sensor-hardened.toml")),
    ("article-order.toml", include_str!("../../scenarios/article-order.toml")),
    ("mac/before.toml", include_str!("../../scenarios/mac/before.toml")),
    ("mac/after.toml", include_str!("../../scenarios/mac/after.toml")),
    ("own-ruleset.toml", include_str!("../../scenarios/own-ruleset.toml")),
    ("own-ruleset.v4", include_str!("../../scenarios/own-ruleset.v4")),
    ("own-ruleset.v6", include_str!("../../scenarios/own-ruleset.v6")),
];

const FOLDER: &str = "<built-in>";

/// The built-in scenarios, in the order of the list above.
pub fn scenarios() -> Result<Vec<Scenario>> {
    let scenarios = FILES.iter().filter(|(name, _)| name.ends_with(".toml"));
    scenarios.map(|(name, text)| Scenario::parse_with(source(name, text), &read)).collect()
}

fn source(name: &str, text: &str) -> Source {
    Source { name: Path::new(FOLDER).join(name), text: text.into() }
}

/// A file that a built-in scenario names.
fn read(path: &Path) -> Result<Source> {
    let found = FILES.iter().find(|(name, _)| path == Path::new(FOLDER).join(name));
    found.map(|(name, text)| source(name, text)).ok_or_else(|| {
        InputError::new(format!("{} is not built in", path.display()), "name a scenario file of your own").into()
    })
}
