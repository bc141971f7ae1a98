//! The report of a comparison of two rulesets, a file for each format.

mod github;
mod markdown;
mod text;
mod words;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Environment, SCHEMA};
use crate::commands::diff::Compared;
use crate::lab::PinnedSysctls;

pub use github::diff_github;
pub use markdown::diff_markdown;
pub use text::diff_text;

/// A report of `diff`, as the JSON shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DiffReport {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `scanlab X.Y.Z`.
    pub tool: String,
    /// The environment of the measurement.
    pub environment: Environment,
    /// The changes that a scan sees, in words: `22/tcp from filtered to open (ipv4: syn, connect)`.
    pub changes: Vec<String>,
    /// The differences.
    pub diff: Compared,
}

impl DiffReport {
    /// The report of `diff`.
    pub fn new(diff: Compared, environment: impl FnOnce(PinnedSysctls) -> Environment) -> DiffReport {
        let environment = environment(diff.pinned_sysctls.clone());
        let tool = format!("scanlab {}", env!("CARGO_PKG_VERSION"));
        let changes = diff.scans.iter().map(words::change).collect();
        DiffReport { schema: SCHEMA, tool, environment, changes, diff }
    }
}
