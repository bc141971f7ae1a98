//! Notes of a probe: facts that its verdict does not show. Rules can send a copy out of the modelled world (TEE) or
//! answer in place of the host (SYNPROXY).

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::probe::path::{Path, Step, StepVerdict};

/// A fact that the verdict of a probe does not show.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    /// A rule sends a copy to another machine.
    Copied {
        /// The packet that is copied.
        what: Copied,
        /// The copy.
        copy: Copy,
    },
    /// SYNPROXY answers the SYN, whether or not a service listens.
    SynProxy {
        /// The line of the rule.
        line: Option<usize>,
    },
    /// The SYN of a connect was answered, and no service got the connection.
    HalfOpen,
}

/// The packet that is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Copied {
    /// The probe.
    Probe,
    /// The host's answer.
    Answer,
    /// A later packet of the exchange.
    Followup,
}

/// A copy of a packet that a rule sends to another machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Copy {
    /// The next hop of the copy.
    pub to: IpAddr,
    /// The line of the rule.
    pub line: Option<usize>,
}

impl Note {
    /// The targets that leave a note which only the path of a packet shows.
    pub const TARGETS: [&str; 2] = ["TEE", "SYNPROXY"];

    /// The note for a path that ends at SYNPROXY.
    pub fn of_proxy(path: &Path) -> Option<Note> {
        let last = path.last().filter(|step| step.verdict == StepVerdict::Stolen)?;
        (target(last) == Some("SYNPROXY")).then_some(Note::SynProxy { line: last.line })
    }
}

/// The copies that the rules on `path` send.
pub fn copies(path: &Path) -> impl Iterator<Item = Copy> {
    path.steps.iter().filter_map(copy)
}

/// The copy that the rule of a step sends.
pub fn copy(step: &Step) -> Option<Copy> {
    let to = after(step, &["--gateway"]).filter(|_| target(step) == Some("TEE"))?;
    Some(Copy { to: to.parse().ok()?, line: step.line })
}

fn target(step: &Step) -> Option<&str> {
    after(step, &["-j", "--jump"])
}

fn after<'s>(step: &'s Step, options: &[&str]) -> Option<&'s str> {
    let mut words = step.text.split_whitespace();
    words.find(|word| options.contains(word))?;
    words.next()
}

/// `a copy of the probe leaves to 203.0.113.66 (line 3)`
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Copied { what, copy } => write!(f, "a copy of {what} leaves to {copy}"),
            Note::SynProxy { line } => {
                write!(f, "SYNPROXY{} answers, not a service; ", InBrackets(*line))?;
                f.write_str(
                    "a connection gets past it with net.netfilter.nf_conntrack_tcp_loose=0 (iptables-extensions(8))",
                )
            }
            Note::HalfOpen => f.write_str("no service gets the connection"),
        }
    }
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Copied::Probe => "the probe",
            Copied::Answer => "the host's answer",
            Copied::Followup => "what follows",
        })
    }
}

/// `203.0.113.66 (line 3)`
impl fmt::Display for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.to, InBrackets(self.line))
    }
}

/// ` (line 3)`
struct InBrackets(Option<usize>);

impl fmt::Display for InBrackets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, " (line {line})"))
    }
}

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::path::Fate;

    fn path(text: &str, verdict: StepVerdict, fate: Fate) -> Path {
        let step = Step::new(("mangle", "PREROUTING"), [Some(1), Some(3)], text, verdict);
        Path { steps: vec![step], conntrack: None, fate }
    }

    #[test]
    fn a_rule_with_tee_names_where_its_copy_goes() {
        for (option, to) in [("--gateway 203.0.113.66", "203.0.113.66"), ("--gateway fe80::1 --oif eth0", "fe80::1")] {
            let path = path(&format!("-A PREROUTING -j TEE {option}"), StepVerdict::Continue, Fate::Accepted);
            let copies: Vec<String> = copies(&path).map(|copy| copy.to_string()).collect();
            assert_eq!(copies, [format!("{to} (line 3)")]);
        }
        let other = path("-A PREROUTING -j MARK --set-mark 1", StepVerdict::Continue, Fate::Accepted);
        assert_eq!(copies(&other).count(), 0);
    }

    #[test]
    fn only_a_packet_that_synproxy_keeps_is_answered_by_it() {
        let text = "-A INPUT -p tcp -j SYNPROXY --mss 1460";
        let kept = path(text, StepVerdict::Stolen, Fate::Stolen);
        assert_eq!(Note::of_proxy(&kept), Some(Note::SynProxy { line: Some(3) }));
        assert_eq!(Note::of_proxy(&path(text, StepVerdict::Drop, Fate::Dropped)), None);
        let queued = path("-A INPUT -j NFQUEUE", StepVerdict::Stolen, Fate::Stolen);
        assert_eq!(Note::of_proxy(&queued), None);
    }
}
