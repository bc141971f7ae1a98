//! The words of an explanation: one or two plain sentences, with the rules by their lines.

use super::expected_effect::ExpectedEffect;
use super::{Diagnosis, MismatchContext, PlacedRule, intended, matches_state, names_a_port};
use crate::intent::explanation::Cause;
use crate::net::Family;
use crate::net::conntrack::ConntrackState;
use crate::probe::path::{Step, StepVerdict};
use crate::rules::iptables_save::{Clause, LOG_PREFIX, Listing, Match, Rule, RuleLimit};
use crate::wire::headers::Content;
use crate::wire::tcp_flags::TcpFlags;

/// The event, its cause, and the intention.
pub fn describe(finding: &Diagnosis, scene: MismatchContext) -> String {
    let speaker = SentenceWriter { finding, scene };
    speaker.sentences()
}

struct SentenceWriter<'a> {
    finding: &'a Diagnosis<'a>,
    scene: MismatchContext<'a>,
}

impl SentenceWriter<'_> {
    fn sentences(&self) -> String {
        format!("{}{}", self.changed(), self.reason())
    }

    /// The change that NAT made before a rule saw the packet.
    fn changed(&self) -> String {
        let change = self.finding.change.map(|change| {
            let line = line_of(self.scene.listing, change.line);
            let range = match change.range {
                (first, last) if first < last => format!(" (of {first}-{last})"),
                _ => String::new(),
            };
            format!("{line} changed the port from {} to {}{range}; ", change.from, change.to)
        });
        change.unwrap_or_default()
    }

    fn reason(&self) -> String {
        let (took, meant) = (self.took(), self.meant());
        match self.finding.cause {
            Cause::EarlierRule => {
                format!("{took} the {} before {meant} can see it{}", self.packet(), self.because())
            }
            Cause::LogAfterVerdict => {
                format!(
                    "{meant} comes after a rule that decides about the same packets: {took} the {} first",
                    self.packet()
                )
            }
            Cause::ConntrackState => format!("{}; {took} it instead", self.state()),
            Cause::NatTable => format!(
                "{meant} is in the nat table, which sees the first packet of a connection only, and never one that is \
                 INVALID to conntrack, as this {} is; {took} it",
                self.packet()
            ),
            Cause::TcpFlags => format!("{}; {took} it instead", self.flags()),
            Cause::OtherMatch => format!("{}; {took} it instead", self.clause()),
            Cause::TooBroad => self.too_broad(),
            Cause::OtherOrder => self.order(),
            Cause::LoggedTwice if !self.finding.writers.is_empty() => self.writers(),
            Cause::LoggedTwice => {
                format!("{meant} logs the {}, and {} logs it again", self.packet(), self.deciding_rule())
            }
            Cause::Reject => {
                format!("{took} the {}: the sender gets an answer, and none was expected", self.packet())
            }
            Cause::LimitSpent => {
                format!("{meant} matches, but its limit ({}) is used up; {took} the {}", self.limit(), self.packet())
            }
            Cause::LimitFirst => format!(
                "{meant} checks its limit ({}) before its other matches: every packet that reaches the rule uses it \
                 up, whether the other matches fit or not{}",
                self.limit(),
                self.left()
            ),
            Cause::LimitOnVerdict => {
                format!(
                    "{meant} drops within its limit only ({}): packets above the limit go on to the next rule, and {took} them",
                    self.limit()
                )
            }
            Cause::OtherRate => self.rate(),
            Cause::Policy => self.policy(),
            Cause::NoRule | Cause::NoRuleset => self.no_rule(),
            Cause::OtherPrefix => self.prefix(),
            Cause::ChainNotReached => self.not_reached(),
            Cause::AnswerTaken => {
                format!("the {} is accepted, but {took} the host's answer on its way out", self.packet())
            }
            Cause::FollowupTaken => self.followup(),
            Cause::NotListening => {
                format!("{took} the {}, but nothing listens on the port in the lab", self.packet())
            }
            Cause::Listening => {
                format!("{took} the {}, and something listens on the port in the lab", self.packet())
            }
            Cause::Vanished => {
                format!(
                    "the {} was discarded by the kernel between two hooks: there was no route for it",
                    self.packet()
                )
            }
        }
    }

    /// `rules.v4:12 drops`
    fn took(&self) -> String {
        let Some(step) = self.finding.took else { return "no rule matches".to_owned() };
        let verb = match &step.verdict {
            StepVerdict::Accept => "accepts",
            StepVerdict::Drop => "drops",
            StepVerdict::Reject => "rejects",
            StepVerdict::Stolen => "keeps",
            StepVerdict::Continue | StepVerdict::Jump(_) | StepVerdict::Goto(_) | StepVerdict::Return => "logs",
        };
        match step.is_dropped_by_match() {
            true => format!("a match of {} that cannot read it drops", self.name(step)),
            false => format!("{} {verb}", self.name(step)),
        }
    }

    /// `rules.v4:12`
    fn deciding_rule(&self) -> String {
        self.finding.took.map_or_else(|| "a rule".to_owned(), |step| self.name(step))
    }

    /// `rules.v4:12`, or `the policy of INPUT`.
    fn name(&self, step: &Step) -> String {
        match (step.rule, step.line) {
            (Some(_), Some(line)) => line_of(self.scene.listing, line),
            (_, Some(line)) => format!("the policy of {} ({})", chain_of(step), line_of(self.scene.listing, line)),
            _ => format!("the policy of {}", chain_of(step)),
        }
    }

    fn meant(&self) -> String {
        self.finding.meant.map_or_else(|| "the intended rule".to_owned(), |placed| self.place(placed))
    }

    fn place(&self, placed: PlacedRule) -> String {
        line_of(self.scene.listing, placed.rule.line)
    }

    /// `Xmas probe`, by its flags.
    fn packet(&self) -> String {
        match self.finding.packet.content {
            Content::Tcp { flags, .. } => format!("{} probe", scan_name(flags)),
            Content::Udp { .. } => "UDP probe".to_owned(),
            Content::Icmp { .. } => "ICMP probe".to_owned(),
            Content::Other => "probe".to_owned(),
        }
    }

    /// The reason why the rule matched: a rule for INVALID packets matches every NULL, FIN and Xmas probe; one for a
    /// port alone matches every scan of that port.
    fn because(&self) -> String {
        let deciding = self.finding.took.and_then(|step| self.scene.listing.rule_of(step));
        match deciding {
            Some(deciding) if self.is_invalid() && matches_state(deciding, ConntrackState::Invalid) => {
                format!(", since it matches every packet that conntrack calls INVALID, such as every {}", self.packet())
            }
            Some(deciding) if matches_port_alone(deciding) => ", since it matches on the port alone".to_owned(),
            _ => String::new(),
        }
    }

    fn is_invalid(&self) -> bool {
        self.finding.packet.conntrack == Some(ConntrackState::Invalid)
    }

    fn state(&self) -> String {
        let state = self.finding.packet.conntrack.map_or("unknown", ConntrackState::as_str);
        let required = self.finding.refusal().map(|(_, clause)| state_in_words(clause)).unwrap_or_default();
        let always = match self.finding.packet.conntrack {
            Some(ConntrackState::Invalid) => ", since it cannot begin a connection",
            _ => "",
        };
        format!("conntrack calls this {} {state}{always}, and {} needs {required}", self.packet(), self.meant())
    }

    fn flags(&self) -> String {
        let Content::Tcp { flags, .. } = self.finding.packet.content else { return self.clause() };
        let Some((_, clause)) = self.finding.refusal().filter(|(_, clause)| !clause.negated) else {
            return self.clause();
        };
        let Match::TcpFlags { mask, comp } = clause.ask else { return self.clause() };
        format!("{} needs {}; this {} has {}", self.meant(), wanted_flags(mask, comp), self.packet(), flag_names(flags))
    }

    fn clause(&self) -> String {
        match self.finding.refusal() {
            Some((placed, clause)) => {
                let text = placed.rule.text.get(clause.span.clone()).unwrap_or_default();
                format!("`{text}` of {} does not match this {}{}", self.place(placed), self.packet(), self.but(clause))
            }
            None => format!("{} of {} does not match this {}", self.unread(), self.meant(), self.packet()),
        }
    }

    /// The unsupported matches of the rule, one of which refuses the packet.
    fn unread(&self) -> String {
        let Some(rule) = self.finding.meant.map(|placed| placed.rule) else { return "a match".to_owned() };
        let of = |name: &str| {
            let clauses = rule.clauses.iter().filter(|clause| clause.module.as_deref() == Some(name));
            let options: Vec<&str> = clauses.filter_map(|clause| rule.text.get(clause.span.clone())).collect();
            format!("`-m {name} {}`", options.join(" "))
        };
        let is_unread = |name: &&str| {
            let mut clauses = rule.clauses.iter().filter(|clause| clause.module.as_deref() == Some(*name));
            clauses.any(|clause| matches!(clause.ask, Match::Other(_)))
        };
        let names = rule.modules.iter().map(|module| module.name.as_str()).filter(is_unread);
        let unread: Vec<String> = names.map(of).collect();
        if unread.is_empty() { "a match".to_owned() } else { unread.join(" or ") }
    }

    /// The value that the packet has instead, unless the rule shows it already.
    fn but(&self, clause: &Clause) -> String {
        match (&clause.ask, self.finding.packet.content) {
            (Match::InInterface(_), _) => format!(", which comes in on {}", self.scene.interface),
            (Match::Source(_), _) => format!(", which comes from {}", self.finding.packet.source),
            (Match::Destination(_), _) => format!(", which goes to {}", self.finding.packet.destination),
            (Match::DestinationPorts(_), Content::Tcp { destination, .. } | Content::Udp { destination, .. }) => {
                format!(" of port {destination}")
            }
            _ => String::new(),
        }
    }

    fn not_reached(&self) -> String {
        let chain = self.finding.meant.map_or("", |placed| placed.chain);
        let why = match self.finding.refusal() {
            Some(_) => self.clause(),
            None => "no rule jumps there".to_owned(),
        };
        format!("{} is in chain {chain}, and {why}; {} it", self.meant(), self.took())
    }

    fn followup(&self) -> String {
        let carry_on = match self.finding.meant {
            Some(placed) => format!("before {} can see it", self.place(placed)),
            None if self.finding.packet.conntrack == Some(ConntrackState::Untracked) => {
                "which is UNTRACKED, and never ESTABLISHED".to_owned()
            }
            None => "and no rule accepts ESTABLISHED packets".to_owned(),
        };
        format!(
            "the {} {}, but {} later packets of the connection, {carry_on}",
            self.packet(),
            self.answered(),
            self.took()
        )
    }

    /// SYNPROXY takes the SYN, and answers in place of the host.
    fn answered(&self) -> String {
        self.finding
            .answered
            .map_or_else(|| "is accepted".to_owned(), |step| format!("is answered by {}", self.name(step)))
    }

    fn too_broad(&self) -> String {
        let packet = self.packet();
        match &self.finding.goal {
            ExpectedEffect::NoLine(prefix) | ExpectedEffect::OneLine(prefix) => {
                format!("{} logs the {packet} with {prefix:?}, and no such line was expected", self.deciding_rule())
            }
            ExpectedEffect::KeepOut(_) => format!("{} the {packet}, and no rule drops it", self.took()),
            _ => format!("{} the {packet}, which should be accepted", self.took()),
        }
    }

    fn order(&self) -> String {
        let ExpectedEffect::Order { first, instead } = &self.finding.goal else { return String::new() };
        let (deciding, meant) = (self.deciding_rule(), self.meant());
        format!(
            "{deciding} logs the {} with {instead:?} before {meant} does with {first:?}: the other order was expected",
            self.packet()
        )
    }

    fn limit(&self) -> String {
        let limit = self.finding.meant.and_then(|placed| placed.rule.limit());
        limit.map(limit_in_words).unwrap_or_default()
    }

    /// `rules.v4:5 logs 5 packets of the burst with "x ", and rules.v4:6 logs 20: 5 lines were expected`
    fn writers(&self) -> String {
        let ExpectedEffect::Lines { prefix, expected, .. } = &self.finding.goal else { return String::new() };
        let each = self.finding.writers.iter().enumerate().map(|(number, (placed, lines))| match number {
            0 => format!("{} logs {lines} packets of the burst with {prefix:?}", self.place(*placed)),
            _ => format!("{} logs {lines}", self.place(*placed)),
        });
        format!("{}: {expected} lines were expected", each.collect::<Vec<_>>().join(", and "))
    }

    /// The limit of the LOG rule, or of a jump to it; other matches that count packets are named.
    fn limit_or_none(&self) -> String {
        let Some(meant) = self.finding.meant else { return String::new() };
        let others: Vec<String> = meant.rule.remembers_unread().map(|name| format!("`-m {name}`")).collect();
        match (self.deciding_limit(), others.as_slice()) {
            (Some((placed, limit)), _) if placed == meant => format!("its limit is {}", limit_in_words(limit)),
            (Some((placed, limit)), _) => {
                format!("the limit of {}, which jumps there, is {}", self.place(placed), limit_in_words(limit))
            }
            (None, []) => "it has no limit of its own".to_owned(),
            (None, _) => format!("it counts with {}", others.join(" and ")),
        }
    }

    /// The limit that decides, and its rule: the slowest if only the rate is wrong, else the one with the smallest burst.
    fn deciding_limit(&self) -> Option<(PlacedRule<'_>, RuleLimit)> {
        let mut limits = Vec::new();
        for placed in self.finding.meant.iter().chain(&self.finding.limited) {
            let of_rule = placed.rule.limits().into_iter().chain(placed.rule.hash_limits());
            limits.extend(of_rule.map(|limit| (*placed, limit)));
        }
        match &self.finding.goal {
            ExpectedEffect::Lines { expected, observed, .. } if expected == observed => {
                let slowest = RuleLimit::slowest(limits.iter().map(|(_, limit)| *limit))?;
                limits.into_iter().find(|(_, limit)| *limit == slowest)
            }
            _ => limits.into_iter().min_by_key(|(_, limit)| limit.burst),
        }
    }

    fn left(&self) -> String {
        match &self.finding.goal {
            ExpectedEffect::Lines { expected, observed, .. } => {
                format!(", and {observed} of {expected} lines were left")
            }
            _ => ", and nothing of it is left".to_owned(),
        }
    }

    fn rate(&self) -> String {
        let ExpectedEffect::Lines { expected, observed, rate, .. } = &self.finding.goal else { return String::new() };
        let limit = self.limit_or_none();
        match rate {
            Some(rate) if expected == observed => format!("{} should log at {rate}: {limit}", self.meant()),
            _ => {
                format!("{} logs {observed} packets of the burst, and {expected} were expected: {limit}", self.meant())
            }
        }
    }

    fn policy(&self) -> String {
        let meant = match self.finding.meant {
            Some(placed) => format!("; {} never sees it", self.place(placed)),
            None => self.other_hook().unwrap_or_default(),
        };
        format!("no rule matches the {}: {} it{meant}", self.packet(), self.took())
    }

    fn no_rule(&self) -> String {
        let (ExpectedEffect::Line { prefix, .. } | ExpectedEffect::Lines { prefix, .. }) = &self.finding.goal else {
            let other_hook = self.other_hook().unwrap_or_default();
            return format!("no rule accepts the {}: {} it{other_hook}", self.packet(), self.took());
        };
        let twin = self.scene.twin.and_then(|twin| Some((twin, logs(twin, prefix)?)));
        let elsewhere = twin.map(|(twin, rule)| format!("; {} does, for {}", line_of(twin, rule.line), family(twin)));
        let elsewhere = self.other_hook().or(elsewhere);
        let file = self.scene.listing.source.name.display();
        let elsewhere = elsewhere.unwrap_or_default();
        let is_second = matches!(&self.finding.goal, ExpectedEffect::Line { others, .. } if others.contains(prefix));
        let no_rule = if is_second { "no second rule" } else { "no rule" };
        format!("{no_rule} of {file} logs with {prefix:?}{elsewhere}; {} the {}", self.took(), self.packet())
    }

    /// A rule that would log or accept if the packet reached it.
    fn other_hook(&self) -> Option<String> {
        let placed = self.finding.elsewhere?;
        let does = if matches!(self.finding.goal, ExpectedEffect::LetIn(_)) { "would accept it" } else { "does" };
        Some(format!("; {} {does}, but no such packet passes {}", self.place(placed), placed.chain))
    }

    fn prefix(&self) -> String {
        let ExpectedEffect::Line { prefix: wanted, .. } = &self.finding.goal else { return String::new() };
        let found = self.finding.meant.and_then(|placed| placed.rule.log_prefix()).unwrap_or_default();
        let whole = self.finding.meant.and_then(|placed| intended::whole_prefix(placed.rule));
        let cut = whole.map(|whole| {
            format!(" (it is {whole:?} in the file; LOG keeps {LOG_PREFIX} of its {} bytes)", whole.len())
        });
        format!("{} logs with {found:?}{}, and {wanted:?} was expected", self.meant(), cut.unwrap_or_default())
    }
}

/// `INPUT`, `INPUT of nat`
fn chain_of(step: &Step) -> String {
    match step.table.as_str() {
        "filter" => step.chain.clone(),
        table => format!("{} of {table}", step.chain),
    }
}

fn matches_port_alone(rule: &Rule) -> bool {
    let plain = |ask: &Match| matches!(ask, Match::Protocol(_) | Match::DestinationPorts(_) | Match::Comment(_));
    names_a_port(rule) && rule.clauses.iter().all(|clause| plain(&clause.ask) && !clause.negated)
}

fn line_of(listing: &Listing, line: usize) -> String {
    format!("{}:{line}", listing.source.name.display())
}

fn logs<'a>(listing: &'a Listing, prefix: &str) -> Option<&'a Rule> {
    listing.rules().find(|rule| rule.log_prefix().as_deref() == Some(prefix))
}

fn family(listing: &Listing) -> Family {
    listing.family
}

fn limit_in_words(limit: RuleLimit) -> String {
    let unit = match limit.seconds {
        1 => "second".to_owned(),
        60 => "minute".to_owned(),
        3600 => "hour".to_owned(),
        86400 => "day".to_owned(),
        seconds => format!("{seconds} s"),
    };
    format!("{} per {unit}, burst {}", limit.count, limit.burst)
}

/// `NEW or RELATED`, `anything but INVALID`
fn state_in_words(clause: &Clause) -> String {
    let Match::State(states) = &clause.ask else { return String::new() };
    let states = states.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(" or ");
    if clause.negated { format!("anything but {states}") } else { states }
}

/// `all six flags`; `SYN and none of FIN,RST,ACK`
fn wanted_flags(mask: u8, comp: u8) -> String {
    match (mask & !comp, comp) {
        (0, comp) => flag_names(comp),
        (rest, 0) => format!("none of {}", flag_names(rest)),
        (rest, comp) => format!("{} and none of {}", flag_names(comp), flag_names(rest)),
    }
}

fn flag_names(flags: u8) -> String {
    match flags & TcpFlags::ALL {
        0 => "none".to_owned(),
        TcpFlags::ALL => "all six flags".to_owned(),
        flags => TcpFlags(flags).to_string(),
    }
}

/// nmap's name of the scan with these flags, if it has one.
fn scan_name(flags: u8) -> String {
    match flags & TcpFlags::ALL {
        0 => "NULL".to_owned(),
        TcpFlags::XMAS => "Xmas".to_owned(),
        flags => flag_names(flags),
    }
}
