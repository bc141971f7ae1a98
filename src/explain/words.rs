//! The words of an explanation: one or two plain sentences, with the rules by their lines.

use super::goal::Goal;
use super::{Finding, Scene, Stand, stands};
use crate::conntrack::ConntrackState;
use crate::explanation::Cause;
use crate::iptables_save::{Content, Limit, Listing, Match, Rule};
use crate::net::Family;
use crate::path::{Step, StepVerdict};

/// What happened, why, and what was meant.
pub fn of(finding: &Finding, scene: Scene) -> String {
    let speaker = Speaker { finding, scene };
    speaker.sentences()
}

struct Speaker<'a> {
    finding: &'a Finding<'a>,
    scene: Scene<'a>,
}

impl Speaker<'_> {
    fn sentences(&self) -> String {
        let (took, meant) = (self.took(), self.meant());
        match self.finding.cause {
            Cause::EarlierRule => {
                format!("{took} the {} before {meant} can see it{}", self.packet(), self.because_invalid())
            }
            Cause::LogBehindVerdict => {
                format!(
                    "{meant} stands behind the rule that ends the way of what it would log: {took} the {} first",
                    self.packet()
                )
            }
            Cause::ConntrackState => format!("{}; {took} it instead", self.state()),
            Cause::NatTable => format!(
                "{meant} stands in the nat table, which sees the first packet of a connection only, and never one that is \
                 INVALID to conntrack, as this {} is; {took} it",
                self.packet()
            ),
            Cause::TcpFlags => format!("{}; {took} it instead", self.flags()),
            Cause::OtherMatch => format!("{}; {took} it instead", self.clause()),
            Cause::TooBroad => self.too_broad(),
            Cause::Reject => {
                format!("{took} it: the {} does not get in, but the answer tells of the filter", self.packet())
            }
            Cause::LimitSpent => {
                format!("{meant} fits, but its limit ({}) is used up; {took} the {}", self.limit(), self.packet())
            }
            Cause::LimitFirst => format!(
                "{meant} asks for its limit ({}) before its other matches: every packet that comes so far uses it up, \
                 whether the rule is meant for it or not",
                self.limit()
            ),
            Cause::LimitOnVerdict => {
                format!("{meant} drops at a limit ({}): a packet beyond it goes on, and {took} it", self.limit())
            }
            Cause::OtherRate => self.rate(),
            Cause::Policy => self.policy(),
            Cause::NoRule => self.no_rule(),
            Cause::OtherPrefix => self.prefix(),
            Cause::ChainNotReached => format!(
                "{meant} stands in chain {}, and no rule that fits this {} jumps there; {took} it",
                self.finding.meant.map_or("", |stand| stand.chain),
                self.packet()
            ),
            Cause::AnswerTaken => {
                format!("the {} is let in, but {took} the host's answer on its way out", self.packet())
            }
            Cause::FollowupTaken => {
                format!("the {} is let in, but {took} a later packet of the conversation", self.packet())
            }
            Cause::NotListening => {
                format!("the ruleset lets it in ({took} it), but nothing listens on the port in the lab")
            }
            Cause::Listening => {
                format!("the ruleset lets it in ({took} it), and something listens on the port in the lab")
            }
            Cause::Vanished => {
                format!("the {} left the rules between two hooks: routing had no way for it", self.packet())
            }
        }
    }

    /// `rules.v4:12 drops`
    fn took(&self) -> String {
        let Some(step) = self.finding.took else { return "nothing takes".to_owned() };
        let verb = match &step.verdict {
            StepVerdict::Accept => "accepts",
            StepVerdict::Drop => "drops",
            StepVerdict::Reject => "rejects",
            StepVerdict::Stolen => "keeps",
            StepVerdict::Continue | StepVerdict::Jump(_) | StepVerdict::Goto(_) | StepVerdict::Return => "logs",
        };
        format!("{} {verb}", self.name(step))
    }

    /// `rules.v4:12`, or `the policy of INPUT`.
    fn name(&self, step: &Step) -> String {
        match (step.rule, step.line) {
            (Some(_), Some(line)) => line_of(self.scene.listing, line),
            (_, Some(line)) => format!("the policy of {} ({})", step.chain, line_of(self.scene.listing, line)),
            _ => format!("the policy of {}", step.chain),
        }
    }

    fn meant(&self) -> String {
        self.finding.meant.map_or_else(|| "the rule that was meant".to_owned(), |stand| self.place(stand))
    }

    fn place(&self, stand: Stand) -> String {
        line_of(self.scene.listing, stand.rule.line)
    }

    /// `Xmas probe`, by its flags.
    fn packet(&self) -> String {
        match self.finding.packet.content {
            Content::Tcp { flags, .. } => format!("{} probe", scan_name(flags)),
            Content::Udp { .. } | Content::Icmp { .. } | Content::Other => "probe".to_owned(),
        }
    }

    /// A rule that takes what is INVALID takes every NULL, FIN and Xmas probe.
    fn because_invalid(&self) -> String {
        let asks_invalid = |stand: &Stand| {
            let asks = |ask: &Match| matches!(ask, Match::State(states) if states.contains(&ConntrackState::Invalid));
            stand.rule.clauses.iter().any(|clause| asks(&clause.ask) && !clause.negated)
        };
        let taker = self.finding.took.and_then(|step| stands(self.scene.listing).find(|stand| stand.is(step)));
        if taker.is_some_and(|taker| asks_invalid(&taker)) {
            return format!(": it takes whatever is INVALID to conntrack, as every {} is", self.packet());
        }
        String::new()
    }

    fn state(&self) -> String {
        let state = self.finding.packet.conntrack.map_or("unknown", ConntrackState::as_str);
        let asked = self.asked().map(|ask| ask_in_words(&ask)).unwrap_or_default();
        let always = match self.finding.packet.conntrack {
            Some(ConntrackState::Invalid) => ", since it cannot begin a connection",
            _ => "",
        };
        format!("conntrack calls this {} {state}{always}, and {} asks for {asked}", self.packet(), self.meant())
    }

    fn flags(&self) -> String {
        let Content::Tcp { flags, .. } = self.finding.packet.content else { return self.clause() };
        let Some(Match::TcpFlags { mask, comp }) = self.asked() else { return self.clause() };
        format!(
            "{} looks at {} and wants {}; this {} has {}",
            self.meant(),
            flag_names(mask),
            flag_names(comp),
            self.packet(),
            flag_names(flags)
        )
    }

    fn clause(&self) -> String {
        let refuses = self.finding.meant.zip(self.finding.clause);
        match refuses {
            Some((stand, clause)) => {
                let clause = &stand.rule.clauses[clause];
                let text = stand.rule.text.get(clause.span.clone()).unwrap_or_default();
                format!("`{text}` of {} does not fit this {}", self.meant(), self.packet())
            }
            None => format!("a match of {} that cannot be read here does not fit this {}", self.meant(), self.packet()),
        }
    }

    fn asked(&self) -> Option<Match> {
        let (stand, clause) = self.finding.meant.zip(self.finding.clause)?;
        Some(stand.rule.clauses.get(clause)?.ask.clone())
    }

    fn too_broad(&self) -> String {
        let what = match &self.finding.goal {
            Goal::NoLine(prefix) => format!("logs it with {prefix:?}, and no such line was meant"),
            Goal::KeepOut(_) => "lets it in, and no rule is there to keep it out".to_owned(),
            _ => "takes it, and no rule is there to let it in".to_owned(),
        };
        match self.finding.took {
            Some(step) => format!("{} {what}", self.name(step)),
            None => format!("a rule {what}"),
        }
    }

    fn limit(&self) -> String {
        let limit = self.finding.meant.and_then(|stand| stand.rule.limit());
        limit.map(limit_in_words).unwrap_or_default()
    }

    fn rate(&self) -> String {
        let Goal::Lines { expected, observed, .. } = &self.finding.goal else { return String::new() };
        let limit = match self.limit() {
            none if none.is_empty() => "it has no limit".to_owned(),
            limit => format!("its limit is {limit}"),
        };
        format!("{} logs {observed} of the burst, and {expected} were meant: {limit}", self.meant())
    }

    fn policy(&self) -> String {
        let meant = match self.finding.meant {
            Some(stand) => format!("; {} never sees it", self.place(stand)),
            None => String::new(),
        };
        format!("no rule takes the {}: {} it{meant}", self.packet(), self.took())
    }

    fn no_rule(&self) -> String {
        let (Goal::Line(prefix) | Goal::Lines { prefix, .. }) = &self.finding.goal else { return String::new() };
        let twin = self.scene.twin.and_then(|twin| Some((twin, logs(twin, prefix)?)));
        let elsewhere = twin.map(|(twin, rule)| format!("; {} does, for {}", line_of(twin, rule.line), family(twin)));
        let file = self.scene.listing.source.name.display();
        format!("no rule of {file} logs with {prefix:?}{}; {} it", elsewhere.unwrap_or_default(), self.took())
    }

    fn prefix(&self) -> String {
        let Goal::Line(wanted) = &self.finding.goal else { return String::new() };
        let found = self.finding.meant.and_then(|stand| stand.rule.log_prefix()).unwrap_or_default();
        format!("{} logs with {found:?}, and {wanted:?} was meant", self.meant())
    }
}

fn line_of(listing: &Listing, line: usize) -> String {
    format!("{}:{line}", listing.source.name.display())
}

fn logs<'a>(listing: &'a Listing, prefix: &str) -> Option<&'a Rule> {
    stands(listing).map(|stand| stand.rule).find(|rule| rule.log_prefix().as_deref() == Some(prefix))
}

fn family(listing: &Listing) -> Family {
    listing.family
}

fn limit_in_words(limit: Limit) -> String {
    let unit = match limit.seconds {
        1 => "second".to_owned(),
        60 => "minute".to_owned(),
        3600 => "hour".to_owned(),
        86400 => "day".to_owned(),
        seconds => format!("{seconds} s"),
    };
    format!("{} per {unit}, burst {}", limit.count, limit.burst)
}

fn ask_in_words(ask: &Match) -> String {
    match ask {
        Match::State(states) => states.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(" or "),
        _ => String::new(),
    }
}

const FLAGS: [(u8, &str); 6] = [(1, "FIN"), (2, "SYN"), (4, "RST"), (8, "PSH"), (16, "ACK"), (32, "URG")];

fn flag_names(flags: u8) -> String {
    match flags & 0x3f {
        0 => "none".to_owned(),
        0x3f => "all six flags".to_owned(),
        flags => FLAGS.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect::<Vec<_>>().join(","),
    }
}

/// nmap's names, where it has one.
fn scan_name(flags: u8) -> String {
    match flags & 0x3f {
        0 => "NULL".to_owned(),
        0x01 => "FIN".to_owned(),
        0x02 => "SYN".to_owned(),
        0x10 => "ACK".to_owned(),
        0x29 => "Xmas".to_owned(),
        flags => flag_names(flags),
    }
}
