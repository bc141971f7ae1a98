//! `scanlab schema`: the JSON Schemas, for programs that read results and editors that write scenarios.

use clap::ValueEnum;

use crate::error::Result;
use crate::report;

/// What there is a schema of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// what `--format json` prints
    Result,
    /// a scenario's file
    Scenario,
    /// a sensor's file
    Sensor,
}

/// Prints the schema.
pub fn schema(of: Subject) -> Result<()> {
    super::print(&report::to_json(&match of {
        Subject::Result => report::result_schema(),
        Subject::Scenario => report::scenario_schema(),
        Subject::Sensor => report::sensor_schema(),
    }))
}
