//! Exercises: a ruleset with one typical mistake, which the reader has to find. `mutant` makes the mistake if it has
//! that kind; a run measures its effects, the explanation and the fix.

use std::path::Path;

use crate::error::{InputError, Result, Source};
use crate::intent::scenario::{RulesetFiles, Scenario};
use crate::net::Family;
use crate::probe::scan::Technique;
use crate::rules::generate;
use crate::rules::iptables_save::{Edit, Listing, apply, unified};
use crate::rules::mutant::{Operator, mutants};
use crate::text::escape;

/// One exercise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exercise {
    /// The name on the command line.
    pub name: &'static str,
    /// The scan that shows it.
    pub technique: Technique,
    /// The complaint of the sensor's owner.
    pub complaint: &'static str,
    /// The possible reasons.
    pub choices: [&'static str; 4],
    /// The index of the correct one.
    pub right: usize,
    /// The expectation of the owner: an `[[expect]]` row.
    expects: &'static str,
    mistake: ExerciseMistake,
}

/// The change that breaks the ruleset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExerciseMistake {
    /// The first mutant of this kind of the rule with this text, whose own text contains the other one.
    Mutant { operator: Operator, rule: &'static str, becomes: &'static str },
    /// An additional rule before the rule with this text.
    Insert { before: &'static str, rule: &'static str },
}

/// A ruleset that is broken, and the scenario that shows it.
#[derive(Debug, Clone)]
pub struct Broken {
    /// The ruleset.
    pub ruleset: Source,
    /// The change: a unified diff from the correct ruleset.
    pub diff: String,
    /// The scenario to run.
    pub scenario: Scenario,
}

const MISSING_LOG: &str = "The LOG rule is missing";
const LIMIT_SPENT: &str = "The limit of the LOG rule is used up";

/// All exercises, in their order.
pub const ALL: [Exercise; 9] = [
    Exercise {
        name: "invalid-first",
        technique: Technique::Xmas,
        complaint: "An Xmas scan is dropped, but it leaves no line in the log.",
        choices: [
            MISSING_LOG,
            "An earlier rule matches the probe: to conntrack it is INVALID",
            LIMIT_SPENT,
            "The flags of the LOG rule are wrong",
        ],
        right: 1,
        expects: "scan = \"xmas\"\nports = 80\nstate = \"open|filtered\"\nlog = \"<IPT> Xmas scan: \"",
        mistake: ExerciseMistake::Insert {
            before: "Null scan",
            rule: "-A INPUT -m conntrack --ctstate INVALID -j DROP",
        },
    },
    Exercise {
        name: "log-after-drop",
        technique: Technique::Syn,
        complaint: "Port 80 is watched. A SYN to it is dropped, but the HTTP line is missing in the log.",
        choices: [
            "The port of the LOG rule is wrong",
            "The prefix is too long",
            "The LOG rule comes after the DROP that matches the packet",
            "conntrack calls the SYN INVALID",
        ],
        right: 2,
        expects: "scan = \"syn\"\nports = 80\nstate = \"filtered\"\nlog = \"<IPT> HTTP port: \"",
        mistake: ExerciseMistake::Mutant { operator: Operator::LogAfterVerdict, rule: "HTTP port", becomes: "" },
    },
    Exercise {
        name: "all-flags",
        technique: Technique::Xmas,
        complaint: "The rule for the Xmas scan exists, in the right place, but nmap -sX leaves no line.",
        choices: [
            "The rule matches only all six flags; nmap sets three",
            "The rule looks at too few flags",
            LIMIT_SPENT,
            "The rule is in the wrong table",
        ],
        right: 0,
        expects: "scan = \"xmas\"\nports = 80\nstate = \"open|filtered\"\nlog = \"<IPT> Xmas scan: \"",
        mistake: ExerciseMistake::Mutant { operator: Operator::FlagsComp, rule: "Xmas scan", becomes: "" },
    },
    Exercise {
        name: "no-limit",
        technique: Technique::Null,
        complaint: "A NULL scan of a thousand ports writes a thousand lines, and the SD card of the Pi is full.",
        choices: [
            "The burst of the limit is too large",
            "The prober sends too fast for the limit",
            "The DROP rule has a limit",
            "The LOG rule has no limit",
        ],
        right: 3,
        expects: "scan = \"null\"\nports = 80\nstate = \"open|filtered\"\nlog = \"<IPT> Null scan: \"\nrate = \"5/min\"",
        mistake: ExerciseMistake::Mutant {
            operator: Operator::DeleteClause,
            rule: "Null scan",
            becomes: "NONE -j LOG",
        },
    },
    Exercise {
        name: "wrong-port",
        technique: Technique::Connect,
        complaint: "The honeypot runs on port 22. Attackers are logged, but no one ever gets in.",
        choices: [
            "The ACCEPT rule names another port",
            "Answers are dropped in OUTPUT",
            "The LOG rule drops the packet",
            "Nothing listens on port 22",
        ],
        right: 0,
        expects: "scan = \"connect\"\nports = 22\nstate = \"open\"\nlog = \"<IPT> SSH port: \"",
        mistake: ExerciseMistake::Mutant {
            operator: Operator::PortOffByOne,
            rule: "--dport 22 --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j ACCEPT",
            becomes: "",
        },
    },
    Exercise {
        name: "lost-blank",
        technique: Technique::Fin,
        complaint: "FIN scans are logged, but the program that reads the log does not find them.",
        choices: [
            "The prefix is cut: it is longer than 29 bytes",
            "The log level is too low",
            "The prefix has no space at its end, so IN= follows it directly",
            MISSING_LOG,
        ],
        right: 2,
        expects: "scan = \"fin\"\nports = 80\nstate = \"open|filtered\"\nlog = \"<IPT> FIN scan: \"",
        mistake: ExerciseMistake::Mutant { operator: Operator::LogPrefix, rule: "FIN scan", becomes: "FIN scan:\"" },
    },
    Exercise {
        name: "log-in-nat",
        technique: Technique::Fin,
        complaint: "The LOG rule for FIN scans was moved to the chain that packets reach first, but it sees none.",
        choices: [
            "The interface of the rule is wrong",
            "The rule is in the nat table, which sees only the packets that open a connection",
            "PREROUTING comes after INPUT",
            "A FIN is not a TCP flag to iptables",
        ],
        right: 1,
        expects: "scan = \"fin\"\nports = 80\nstate = \"open|filtered\"\nlog = \"<IPT> FIN scan: \"",
        mistake: ExerciseMistake::Mutant { operator: Operator::LogInNat, rule: "FIN scan", becomes: "" },
    },
    Exercise {
        name: "deaf",
        technique: Technique::Connect,
        complaint: "The honeypot answers a SYN with SYN/ACK, but no connection is ever established.",
        choices: [
            "The SYN/ACK is dropped on its way out",
            "The limit lets one packet of each connection through",
            "The service has crashed",
            "No rule accepts packets of connections (ESTABLISHED)",
        ],
        right: 3,
        expects: "scan = \"connect\"\nports = 22\nstate = \"open\"\nlog = \"<IPT> SSH port: \"",
        mistake: ExerciseMistake::Mutant { operator: Operator::DeleteRule, rule: "RELATED,ESTABLISHED", becomes: "" },
    },
    Exercise {
        name: "syn-scan-first",
        technique: Technique::Syn,
        complaint: "A rule against SYN scans was added, and since then no one can reach the honeypot.",
        choices: [
            "The rule has no limit",
            "Every connection begins with a SYN: the rule comes before the ACCEPTs",
            "conntrack calls a SYN INVALID",
            "The honeypot's rule matches the wrong flags",
        ],
        right: 1,
        expects: "scan = \"syn\"\nports = 22\nstate = \"open\"\nlog = \"<IPT> SSH port: \"",
        mistake: ExerciseMistake::Insert {
            before: "--dport 32232",
            rule: "-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG SYN -j DROP",
        },
    },
];

/// The sensor whose ruleset is broken: small enough to be read.
const SENSOR: &str = r#"title = "what the owner of the sensor expects"

[sensor]
ssh      = 32232
honeypot = { SSH = 22 }
watched  = { HTTP = 80 }
scans    = ["xmas", "null", "fin", "syn", "ack"]
limit    = { rate = "5/min", burst = 5 }
prefix   = "<IPT> "
order    = "hardened"

[host]
mac    = "00:0c:29:4f:8e:35"
listen = [22, 32232]
"#;

/// An expectation that must hold with every fix of the mistake.
const BESIDES: &str = "scan = \"connect\"\nports = 32232\nstate = \"open\"\nlog = \"\"";

/// The exercise with this number or name, or the first with this technique.
pub fn find(wanted: &str) -> Option<(usize, &'static Exercise)> {
    let is_wanted = |(number, exercise): &(usize, &Exercise)| {
        wanted == number.to_string() || wanted.eq_ignore_ascii_case(exercise.name)
    };
    let technique = |(_, exercise): &(usize, &Exercise)| wanted.eq_ignore_ascii_case(exercise.technique.name());
    let numbered = || ALL.iter().enumerate().map(|(place, exercise)| (place + 1, exercise));
    numbered().find(is_wanted).or_else(|| numbered().find(technique))
}

impl Exercise {
    /// Breaks the ruleset.
    pub fn break_it(&self) -> Result<Broken> {
        let rows = [self.expects, BESIDES].map(|row| format!("\n[[expect]]\nfamily = \"ipv4\"\n{row}\n"));
        let text = [SENSOR, &rows.concat()].concat();
        let source = Source { name: Path::new("<exercise>").join(self.name), text: text.into() };
        let scenario = Scenario::parse(source)?;
        let works = scenario.sensor.as_ref().map(|sensor| generate::generate(sensor).v4).unwrap_or_default();
        let works = Source { name: "rules.v4".into(), text: works.into() };
        let edits = self.edits(&Listing::parse(Family::Ipv4, &works)).ok_or_else(|| self.impossible())?;
        let broken = apply(&works, &edits);
        let files = RulesetFiles { v4: Some(broken.clone()), v6: None };
        let scenario = Scenario { sensor: None, ruleset: Some(files), ..scenario };
        Ok(Broken { ruleset: broken, diff: unified(&works, &edits), scenario })
    }

    fn edits(&self, works: &Listing) -> Option<Vec<Edit>> {
        let line = |text: &str| works.rules().find(|rule| rule.text.contains(text)).map(|rule| rule.line);
        match self.mistake {
            ExerciseMistake::Insert { before, rule } => {
                Some(vec![Edit::InsertBefore { line: line(before)?, text: rule.to_owned() }])
            }
            ExerciseMistake::Mutant { operator, rule, becomes } => {
                let line = line(rule)?;
                let all = mutants(works).into_iter();
                let mut all = all.filter(|mutant| (mutant.operator, mutant.line) == (operator, line));
                all.find(|mutant| mutant.apply(&works.source).text.contains(becomes)).map(|mutant| mutant.edits)
            }
        }
    }

    fn impossible(&self) -> InputError {
        InputError::new(format!("exercise {} has no mistake to plant", escape::visible(self.name)), "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exercise_breaks_its_ruleset() {
        for exercise in ALL {
            let broken = exercise.break_it().unwrap_or_else(|error| panic!("{}: {error}", exercise.name));
            assert!(broken.diff.lines().count() > 4, "{}: {}", exercise.name, broken.diff);
            assert!(exercise.right < exercise.choices.len());
        }
    }

    #[test]
    fn an_exercise_is_found_by_number_name_and_technique() {
        let name = |wanted| find(wanted).map(|(_, exercise)| exercise.name);
        assert_eq!(name("1"), Some("invalid-first"));
        assert_eq!(name("ALL-flags"), Some("all-flags"));
        assert_eq!(name("null"), Some("no-limit"));
        assert_eq!(name("0"), None);
        assert_eq!(name("10"), None);
    }
}
