//! The report of mutation testing.

use std::collections::BTreeMap;
use std::fmt::Write;

use comfy_table::Table;
use schemars::JsonSchema;
use serde::Serialize;

use super::columns::new_table;
use super::{Environment, SCHEMA, not_applicable};
use crate::commands::mutate::{MutantCounts, MutantOutcome, MutationReport, Tried};
use crate::rules::mutant::Operator;
use crate::text::escape::visible;

/// A report of `mutate`, as the JSON shows it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Mutation {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `scanlab X.Y.Z`.
    pub tool: String,
    /// The environment of the measurement.
    pub environment: Environment,
    /// The checks of the scenarios that do not apply to this kind of link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_applicable: Option<&'static str>,
    /// The mutations of each scenario.
    pub mutations: Vec<MutationReport>,
    /// The counts of all scenarios together.
    pub summary: MutantCounts,
}

impl Mutation {
    /// The report of these scenarios.
    pub fn new(mutations: Vec<MutationReport>, environment: Environment) -> Mutation {
        let tool = format!("scanlab {}", env!("CARGO_PKG_VERSION"));
        let summary = MutantCounts::of(mutations.iter().flat_map(|one| &one.mutants));
        let not_applicable = not_applicable(environment.link);
        Mutation { schema: SCHEMA, tool, environment, not_applicable, mutations, summary }
    }
}

/// The report for people: the number of mutants of each operator, the survivors with a row that would kill them, and a
/// summary line.
pub fn mutation_table(report: &Mutation, width: u16) -> String {
    let mut text = report.not_applicable.map_or_else(String::new, |line| format!("{line}\n\n"));
    for (number, one) in report.mutations.iter().enumerate() {
        let _ = write!(text, "{}", if number == 0 { "" } else { "\n" });
        let _ = writeln!(text, "{}\n{}", visible(&one.scenario), visible(&one.file.display().to_string()));
        let _ = writeln!(text, "{}", operators(&one.mutants, width).trim_fmt());
        one.mutants.iter().for_each(|mutant| write_survivor(&mut text, mutant));
        let _ = writeln!(text, "{}", summary_line(&one.summary));
    }
    if report.mutations.len() > 1 {
        let _ = writeln!(text, "\nall: {}", summary_line(&report.summary));
    }
    text
}

fn operators(mutants: &[Tried], width: u16) -> Table {
    let mut counts: BTreeMap<Operator, [usize; 5]> = BTreeMap::new();
    for mutant in mutants {
        counts.entry(mutant.operator).or_default()[column(&mutant.fate)] += 1;
    }
    let mut table = new_table(width);
    table.set_header(["operator", "killed", "survived", "equivalent", "not judged", "refused"]);
    for (operator, counts) in counts {
        table.add_row([vec![operator.to_string()], counts.map(|count| count.to_string()).to_vec()].concat());
    }
    table
}

fn column(fate: &MutantOutcome) -> usize {
    match fate {
        MutantOutcome::Killed { .. } => 0,
        MutantOutcome::Survived { .. } => 1,
        MutantOutcome::Equivalent { .. } => 2,
        MutantOutcome::NotJudged { .. } => 3,
        MutantOutcome::Refused => 4,
    }
}

fn write_survivor(text: &mut String, mutant: &Tried) {
    let (word, row, why) = match &mutant.fate {
        MutantOutcome::Survived { row, differs } => ("survived  ", row.as_ref(), differs),
        MutantOutcome::NotJudged { because } => ("not judged  ", None, because),
        MutantOutcome::Killed { .. } | MutantOutcome::Equivalent { .. } | MutantOutcome::Refused => return,
    };
    let place = format!("{}:{}", mutant.file.display(), mutant.line);
    let _ = writeln!(text, "{word}{} {}: {}", visible(&place), mutant.operator, visible(&mutant.description));
    let _ = writeln!(text, "          {}", visible(why));
    for line in row.iter().flat_map(|row| row.lines()) {
        let _ = writeln!(text, "          {}", visible(line));
    }
}

fn summary_line(summary: &MutantCounts) -> String {
    let MutantCounts { mutants, killed, survived, equivalent, not_judged, refused, score } = summary;
    format!(
        "{mutants} mutants: {killed} killed, {survived} survived, {equivalent} equivalent, {not_judged} not judged, {refused} refused; \
         score {score:.1} %"
    )
}
