//! JSON Schemas (draft 2020-12), made from the types that JSON is printed from and from the shapes that files are read in.

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use super::{DiffReport, Exec, Mutation, Report, SelfTestReport};
use crate::intent::scenario::ScenarioShape;
use crate::sensor::SensorFileShape;

/// The JSON output of scanlab. Changes are additive within one `schema`: fields that are not listed here may be added.
#[derive(JsonSchema)]
#[schemars(title = "scanlab result, schema 1")]
#[serde(untagged)]
// Never constructed: it exists for its schema.
#[allow(dead_code, clippy::large_enum_variant)]
enum Printed {
    Report(Report),
    Mutation(Mutation),
    Diff(DiffReport),
    Exec(Exec),
    SelfTest(SelfTestReport),
}

/// The schema of the JSON that `run`, `check`, `scan`, `diff`, `mutate`, `exec` and `selftest` print with `--format
/// json`.
pub fn result_schema() -> Schema {
    identified("result", schema_of::<Printed>(SchemaSettings::draft2020_12().for_serialize()))
}

/// The schema of a scenario file.
pub fn scenario_schema() -> Schema {
    identified("scenario", without_null(schema_of::<ScenarioShape>(SchemaSettings::draft2020_12())))
}

/// The schema of a sensor file.
pub fn sensor_schema() -> Schema {
    identified("sensor", without_null(schema_of::<SensorFileShape>(SchemaSettings::draft2020_12())))
}

/// Adds `$id`, which ends with the version. It is a URN: the schemas are published with the program, not at an address.
fn identified(name: &str, mut schema: Schema) -> Schema {
    schema.insert("$id".to_owned(), format!("urn:scanlab:schema:{name}:{VERSION}").into());
    schema
}

/// The version of the schemas. It changes when a file or a result that fitted no longer fits.
const VERSION: u32 = 1;

fn schema_of<T: JsonSchema>(settings: SchemaSettings) -> Schema {
    settings.into_generator().into_root_schema_for::<T>()
}

/// Removes null from all types, since TOML has none.
fn without_null(mut schema: Schema) -> Schema {
    RecursiveTransform(forbid_null).transform(&mut schema);
    schema
}

fn forbid_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|one| one != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    let is_null = |one: &Value| one.get("type").is_some_and(|one| one == "null");
    let Some(Value::Array(choices)) = object.get("anyOf") else { return };
    if let [only, null] = &choices[..]
        && is_null(null)
    {
        let only = only.as_object().cloned().unwrap_or_default();
        object.remove("anyOf");
        object.extend(only.into_iter().filter(|(key, _)| key != "description"));
    }
}
