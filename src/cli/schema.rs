//! `scanlab schema`: the JSON Schemas, for programs that read results and editors that write scenarios.

use clap::ValueEnum;

use crate::error::Result;
use crate::report;

/// The kind of file that a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaSubject {
    /// what `--format json` prints
    Result,
    /// a scenario's file
    Scenario,
    /// a sensor's file
    Sensor,
}

/// Prints the schema.
pub fn schema(of: SchemaSubject) -> Result<()> {
    super::print(&report::to_json(&match of {
        SchemaSubject::Result => report::result_schema(),
        SchemaSubject::Scenario => report::scenario_schema(),
        SchemaSubject::Sensor => report::sensor_schema(),
    }))
}
