//! Kinds of result as SARIF's rules: each kind of mismatch, finding and lint, with its meaning and the fix.

use super::model::{Configuration, Level, ReportingDescriptor};
use crate::intent::explanation::Cause;
use crate::rules::lint::FindingKind;
use crate::verdict::findings::Severity;

/// The identifier of the tool. A URN, as in the JSON Schemas: the project has no page of its own.
pub const INFORMATION: &str = "urn:scanlab:tool";

/// A kind of result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultKind {
    /// A mismatch, with its cause if it is known.
    Mismatch(Option<Cause>),
    /// A mismatch that the scenario lists as known.
    Known,
    /// A check that did not run.
    NotRun,
    /// A difference between two flavours of iptables.
    Flavours,
    /// A reason not to deploy.
    Deployment,
    /// A rule that no packet can reach.
    Unreachable(Severity),
    /// A rule that no packet reached, without a proof.
    NotProvable,
    /// Packets that one family accepts and the other does not.
    Parity,
    /// A lint finding on the text of a ruleset.
    Lint(FindingKind),
}

impl ResultKind {
    /// The rule.
    pub fn rule(self) -> ReportingDescriptor {
        ReportingDescriptor {
            id: self.id(),
            name: name(&self.id()),
            short_description: self.meaning().to_owned().into(),
            full_description: format!("{} {}", self.meaning(), self.help()).into(),
            help_uri: format!("urn:scanlab:rule:{}", self.id()),
            help: self.help().to_owned().into(),
            default_configuration: Configuration { level: self.level() },
        }
    }

    /// `mismatch/earlier-rule`
    pub fn id(self) -> String {
        match self {
            ResultKind::Mismatch(None) => "mismatch/unexplained".to_owned(),
            ResultKind::Mismatch(Some(cause)) => format!("mismatch/{}", word(cause)),
            ResultKind::Known => "known".to_owned(),
            ResultKind::NotRun => "not-run".to_owned(),
            ResultKind::Flavours => "mismatch/flavours".to_owned(),
            ResultKind::Deployment => "deployment".to_owned(),
            ResultKind::Unreachable(severity) => {
                format!("finding/{}", severity.as_str().replace(' ', "-").to_lowercase())
            }
            ResultKind::NotProvable => "finding/not-provable".to_owned(),
            ResultKind::Parity => "finding/parity".to_owned(),
            ResultKind::Lint(kind) => format!("lint/{kind}"),
        }
    }

    /// The severity.
    pub fn level(self) -> Level {
        match self {
            ResultKind::Mismatch(_) | ResultKind::NotRun | ResultKind::Flavours | ResultKind::Deployment => {
                Level::Error
            }
            ResultKind::Unreachable(Severity::DeadLog | Severity::DeadDrop)
            | ResultKind::Parity
            | ResultKind::Lint(_) => Level::Warning,
            ResultKind::Unreachable(Severity::Dead) | ResultKind::NotProvable | ResultKind::Known => Level::Note,
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            ResultKind::Mismatch(cause) => {
                cause.map_or("The firewall does not do what the expectation says.", of_cause)
            }
            ResultKind::Known => "A known mismatch of the scenario.",
            ResultKind::NotRun => "A check that did not run.",
            ResultKind::Flavours => "iptables-nft and iptables-legacy differ.",
            ResultKind::Deployment => "A reason not to deploy the ruleset.",
            ResultKind::Unreachable(Severity::DeadLog) => {
                "A rule that would log, and that no packet can reach: a blind spot."
            }
            ResultKind::Unreachable(Severity::DeadDrop) => {
                "A rule that would drop or reject, and that no packet can reach."
            }
            ResultKind::Unreachable(Severity::Dead) => "A rule that no packet can reach.",
            ResultKind::NotProvable => "A rule that no packet reached, without a proof that none can.",
            ResultKind::Parity => "One of IPv4 and IPv6 accepts packets that the other denies.",
            ResultKind::Lint(kind) => of_lint(kind),
        }
    }

    fn help(self) -> &'static str {
        match self {
            ResultKind::Mismatch(Some(Cause::NoRuleset)) => {
                "Give the family a ruleset: without one the kernel accepts everything."
            }
            ResultKind::Mismatch(_) => {
                "The message names the rule that matched the packet and the intended rule. If a patch was tested, it \
                 is the fix of this result. If the ruleset is right, change the expectation in the scenario."
            }
            ResultKind::Known => {
                "The reason is in the [[known]] row of the scenario. Remove the row when the ruleset is fixed."
            }
            ResultKind::NotRun => {
                "It is not known whether this is as expected: run the check where it can be measured (see `scanlab \
                 doctor`)."
            }
            ResultKind::Flavours => {
                "Write the rule so that both flavours treat it the same, or choose one with --iptables."
            }
            ResultKind::Deployment => {
                "The message says what was found; the mismatches, or `scanlab check --verbose`, name the rules."
            }
            ResultKind::Unreachable(_) => "Move the rule before those that match its packets, or remove it.",
            ResultKind::NotProvable => "The message says what is missing for a proof.",
            ResultKind::Parity => "Give both families the same rules, unless the difference is intended.",
            ResultKind::Lint(_) => "The message says what happens and what to write instead.",
        }
    }
}

fn of_cause(cause: Cause) -> &'static str {
    match cause {
        Cause::EarlierRule => "A rule before the intended one matches the packet.",
        Cause::LogAfterVerdict => "The LOG rule comes after a rule that decides about the same packets.",
        Cause::ConntrackState => "The conntrack state of the packet is not the one that the rule matches.",
        Cause::NatTable => "The rule is in the nat table, which sees only the first packet of a flow.",
        Cause::TcpFlags => "The rule looks for other TCP flags.",
        Cause::OtherMatch => "Another match of the rule fails: port, protocol, interface or address.",
        Cause::TooBroad => "A rule matches a packet that it should not.",
        Cause::OtherOrder => "Two rules log the packet, not in the expected order.",
        Cause::LoggedTwice => "Two rules log the packet with the same prefix.",
        Cause::Reject => "A REJECT answers where no answer was expected.",
        Cause::LimitSpent => "The limit of the rule is used up.",
        Cause::LimitFirst => "The limit comes before the other matches of the rule, so any packet uses it up.",
        Cause::LimitOnVerdict => "The rule that drops has a limit: packets above it go on to the next rule.",
        Cause::OtherRate => "The rule has another rate, or none.",
        Cause::Policy => "No rule matches the packet: the policy decides.",
        Cause::NoRuleset => "There is no ruleset for the family.",
        Cause::NoRule => "There is no rule for the packet.",
        Cause::OtherPrefix => "The rule logs with another prefix.",
        Cause::ChainNotReached => "Nothing jumps to the chain of the rule.",
        Cause::AnswerTaken => "The host's answer is dropped on its way out.",
        Cause::FollowupTaken => "A later packet of the connection is dropped.",
        Cause::NotListening => "The ruleset accepts the packet, but no service listens on the port.",
        Cause::Listening => "The ruleset accepts the packet, and a service listens on the port.",
        Cause::Vanished => "The kernel discarded the packet between two hooks; no rule did.",
    }
}

fn of_lint(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::PrefixTooLong => "A log prefix of more than 29 bytes is cut off.",
        FindingKind::PrefixWithoutBlank => "A log prefix without a space at its end runs into the next field.",
        FindingKind::Typography => "Typographic quotes, dashes or spaces.",
        FindingKind::GluedInterface => "The dash of the option is read as part of the interface's name.",
        FindingKind::InterfaceAlias => {
            "The alias of an interface is an address: no packet comes from it or leaves by it."
        }
        FindingKind::InterfaceWildcard => "In the name of an interface `*` is a character; the wildcard is `+`.",
        FindingKind::LimitOnDeny => "A rate limit on DROP or REJECT lets packets above the limit pass.",
        FindingKind::LimitBeforeMatch => "A rate limit that comes before the other matches is used up by any packet.",
        FindingKind::UnlimitedLog => "A LOG rule without a limit writes as many lines as a scan has probes.",
        FindingKind::XmasAllFlags => "An Xmas scan of nmap sets FIN, PSH and URG, not all flags.",
        FindingKind::SynBeforeAccept => "A rule against SYN scans comes before the rules that accept connections.",
        FindingKind::ScanAfterInvalid => {
            "A rule for packets that conntrack calls INVALID comes after one that matches all of them."
        }
        FindingKind::ScanInOtherState => "A rule for packets that conntrack calls INVALID requires another state.",
        FindingKind::LogAfterVerdict => "A LOG comes after a rule that lets none of its packets through.",
        FindingKind::OfTheMoment => "A rule applies only at some moments.",
        FindingKind::RecentShared => "Rules of both families name one table of xt_recent, which has one mask.",
        FindingKind::OtherFamilysIcmp => "ICMP of the other family: protocol 1 in IPv6, 58 in IPv4.",
        FindingKind::TableTwice => "A table is declared a second time, which deletes the rules of the first.",
        FindingKind::ChainTwice => "A chain is declared a second time in its table.",
        FindingKind::NoLoopback => "The host cannot reach itself over loopback.",
        FindingKind::NoEstablished => "Answers to the host, and the rest of every connection, are denied.",
        FindingKind::NoNeighbours => "Neighbour discovery is denied: nothing reaches the host over IPv6.",
        FindingKind::NoIpv6 => "There are no rules for IPv6.",
        FindingKind::NoIpv6Twin => "A rule for IPv4 that IPv6 lacks.",
    }
}

/// `MismatchEarlierRule` for `mismatch/earlier-rule`: validators ask for an identifier that is not the id in other letters, so
/// `known` is `KnownResult`.
fn name(id: &str) -> String {
    let words = id.split(['/', '-']).chain((!id.contains('/')).then_some("result"));
    words.map(|word| word[..1].to_uppercase() + &word[1..]).collect()
}

/// The name of the cause as in JSON: `earlier-rule`.
fn word(cause: Cause) -> String {
    let value = serde_json::to_value(cause).expect("a word");
    value.as_str().expect("a word").to_owned()
}
