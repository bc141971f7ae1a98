//! The first lines of a TOML file that scanlab writes: they name its JSON Schema.

/// A `#:schema` line, by which Taplo (the TOML language server of editors) finds the schema, and the command that writes
/// the schema. Without the file, an editor shows no help; scanlab itself never reads the line.
pub fn of(kind: &str) -> String {
    format!(
        "#:schema ./{kind}.schema.json\n# An editor checks this file after `scanlab schema {kind} > {kind}.schema.json`."
    )
}
