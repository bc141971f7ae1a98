//! Changes that may mend a mismatch: moving, deleting or editing one rule. Nothing is promised here; each has to be loaded,
//! and every check done again, before anybody is told of it.

use super::goal::Goal;
use super::why::asks_alike;
use super::{Finding, Scene, Stand, asks_state, names_a_port, stand_of, stands};
use crate::conntrack::ConntrackState;
use crate::explanation::Cause;
use crate::iptables_save::{Clause, Content, Edit, Match, Rule};
use crate::path::Step;
use crate::port::Port;

/// A change that may mend a mismatch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// What it does, in words.
    pub words: String,
    /// How the ruleset is changed.
    pub edits: Vec<Edit>,
}

/// What may mend it, the smallest intervention first.
pub fn candidates(finding: &Finding, scene: Scene) -> Vec<Candidate> {
    let smith = Smith { finding, scene };
    match finding.cause {
        Cause::EarlierRule | Cause::LogBehindVerdict => {
            [smith.move_taker_down(), smith.move_up(), smith.delete_taker()].concat()
        }
        Cause::ConntrackState => [smith.drop_clause(), smith.move_up()].concat(),
        Cause::TcpFlags => [smith.right_flags(), smith.right_flags_and_up()].concat(),
        Cause::OtherMatch => {
            [smith.right_port(), smith.right_interface(), smith.drop_clause(), smith.let_in()].concat()
        }
        Cause::TooBroad => [smith.only_new(), smith.delete_taker()].concat(),
        Cause::LoggedTwice => smith.delete_taker(),
        Cause::Reject => smith.silence(),
        Cause::LimitFirst => smith.limit_last(),
        Cause::LimitOnVerdict => smith.no_limit(),
        Cause::OtherRate => smith.right_burst(),
        Cause::OtherPrefix => smith.right_prefix(),
        Cause::AnswerTaken | Cause::FollowupTaken => {
            [smith.move_up(), smith.carry_on(), smith.delete_taker(), smith.open_output()].concat()
        }
        Cause::Policy => [smith.default_deny(), smith.let_in()].concat(),
        Cause::NoRule => [smith.copy_of_twin(), smith.let_in()].concat(),
        Cause::NatTable => smith.log_where_it_is_taken(),
        Cause::ChainNotReached => {
            [smith.right_port(), smith.right_interface(), smith.drop_clause(), smith.jump()].concat()
        }
        Cause::NoRuleset | Cause::LimitSpent | Cause::NotListening | Cause::Listening | Cause::Vanished => Vec::new(),
    }
}

struct Smith<'a> {
    finding: &'a Finding<'a>,
    scene: Scene<'a>,
}

impl<'a> Smith<'a> {
    /// Moves the rule that was meant in front of the one that takes the packet: with the verdict that belongs to it, and in
    /// front of all rules that may take such a packet; then of the one that does, and of its LOG; then alone.
    fn move_up(&self) -> Vec<Candidate> {
        let (Some(meant), Some(taker)) = (self.finding.meant, self.taker_in_chain()) else { return Vec::new() };
        if taker.number >= meant.number {
            return Vec::new();
        }
        let before = self.first_of_group(taker).rule.line;
        let group = self.group_behind(meant);
        let mut found = Vec::new();
        let early = self.early_in_chain_of(taker).filter(|line| *line < before);
        found.extend(early.map(|line| moved(&group, line)));
        if group.len() > 1 {
            found.push(moved(&group, before));
        }
        found.push(moved(&[meant], before));
        if before != taker.rule.line {
            found.push(moved(&[meant], taker.rule.line));
        }
        found
    }

    /// A rule that takes whatever is INVALID belongs behind all rules for scans: that mends every one of them.
    fn move_taker_down(&self) -> Vec<Candidate> {
        let taker = self.taker_in_chain().filter(|taker| asks_state(taker.rule, ConntrackState::Invalid));
        let Some(taker) = taker else { return Vec::new() };
        let asks_flags = |stand: &Stand| {
            (stand.table, stand.chain) == (taker.table, taker.chain)
                && stand.number > taker.number
                && stand.rule.clauses.iter().any(|clause| matches!(clause.ask, Match::TcpFlags { .. }))
        };
        let Some(last) = stands(self.scene.listing).filter(asks_flags).last() else { return Vec::new() };
        let first = self.first_of_group(taker);
        let group = if first == taker { vec![taker] } else { vec![first, taker] };
        vec![moved_behind(&group, last.rule.line)]
    }

    /// Never a rule that keeps out more than one port: there must be a better way.
    fn delete_taker(&self) -> Vec<Candidate> {
        let Some(taker) = self.taker() else { return Vec::new() };
        if taker.rule.denies() && !names_a_port(taker.rule) {
            return Vec::new();
        }
        let line = taker.rule.line;
        vec![Candidate { words: format!("delete line {line}"), edits: vec![Edit::Delete { line }] }]
    }

    /// A LOG for a port that is to see connections begin, and scans not.
    fn only_new(&self) -> Vec<Candidate> {
        let Some(taker) = self.taker().filter(|taker| taker.rule.log_prefix().is_some()) else { return Vec::new() };
        let Some(protocol) = protocol_tcp(taker.rule) else { return Vec::new() };
        let text = taker.rule.with(protocol, "-p tcp --syn");
        vec![replaced(taker.rule, text, format!("write `--syn` in line {}", taker.rule.line))]
    }

    fn silence(&self) -> Vec<Candidate> {
        let Some(taker) = self.taker() else { return Vec::new() };
        let words = format!("write `-j DROP` in line {}", taker.rule.line);
        vec![replaced(taker.rule, taker.rule.with_target("-j DROP"), words)]
    }

    fn drop_clause(&self) -> Vec<Candidate> {
        let Some((stand, clause)) = self.finding.refusal() else { return Vec::new() };
        let names_port = matches!(clause.ask, Match::DestinationPorts(_));
        if stand.rule.accepts() && (names_port || !names_a_port(stand.rule)) {
            return Vec::new();
        }
        let words = format!("take `{}` out of line {}", text_of(stand.rule, clause), stand.rule.line);
        vec![replaced(stand.rule, stand.rule.without(clause), words)]
    }

    /// The probe's port in the place of the one that the rule asks for, or besides those that it lists.
    fn right_port(&self) -> Vec<Candidate> {
        let Some((stand, clause)) = self.finding.refusal() else { return Vec::new() };
        let Match::DestinationPorts(ports) = &clause.ask else { return Vec::new() };
        let Some(port) = self.port().filter(|_| !clause.negated && !stand.rule.is_jump()) else { return Vec::new() };
        let text = match ports.iter().count() {
            1 => format!("--dport {port}"),
            _ if clause.module.as_deref() == Some("multiport") => format!("{},{port}", text_of(stand.rule, clause)),
            _ => return Vec::new(),
        };
        vec![self.rewritten(stand, clause, &text)]
    }

    fn right_interface(&self) -> Vec<Candidate> {
        let Some((stand, clause)) = self.finding.refusal() else { return Vec::new() };
        let asks_interface = matches!(clause.ask, Match::InInterface(_)) && !clause.negated;
        let text = format!("-i {}", self.scene.interface);
        if asks_interface { vec![self.rewritten(stand, clause, &text)] } else { Vec::new() }
    }

    fn rewritten(&self, stand: Stand, clause: &Clause, text: &str) -> Candidate {
        let words = format!("write `{text}` in line {}", stand.rule.line);
        replaced(stand.rule, stand.rule.with(clause, text), words)
    }

    /// A rule for the port alone, in front of the one that keeps it out.
    fn let_in(&self) -> Vec<Candidate> {
        let (Goal::LetIn(_), Some(port), Some(step)) = (&self.finding.goal, self.port(), self.finding.took) else {
            return Vec::new();
        };
        self.added(step, format!("-A {} -p tcp --dport {port} -j ACCEPT", step.chain))
    }

    /// What no rule takes is kept out, as far as it is TCP and comes from the wire; else by the policy.
    fn default_deny(&self) -> Vec<Candidate> {
        let (Goal::KeepOut(_), Some(step)) = (&self.finding.goal, self.finding.took) else { return Vec::new() };
        let rule = format!("-A {} -i {} -p tcp -j DROP", step.chain, self.scene.interface);
        [self.added(step, rule), self.policy("DROP")].concat()
    }

    /// The rule that every stateful filter begins with.
    fn carry_on(&self) -> Vec<Candidate> {
        let Some(step) = self.finding.took.filter(|_| self.finding.meant.is_none()) else { return Vec::new() };
        let in_chain = |stand: &Stand| (stand.table, stand.chain) == (step.table.as_str(), step.chain.as_str());
        let first = stands(self.scene.listing).find(in_chain).map(|stand| stand.rule.line);
        let rule = format!("-A {} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", step.chain);
        let at_first = first.map(|line| inserted(line, rule.clone()));
        at_first.into_iter().chain(self.added(step, rule)).collect()
    }

    /// A jump to the chain that is never entered, in front of what takes the packet.
    fn jump(&self) -> Vec<Candidate> {
        let (Some(meant), Some(step)) = (self.finding.meant, self.finding.took) else { return Vec::new() };
        if meant.table != step.table || meant.chain == step.chain {
            return Vec::new();
        }
        self.added(step, format!("-A {} -j {}", step.chain, meant.chain))
    }

    /// The LOG of the nat table, in front of the rule that takes the packet.
    fn log_where_it_is_taken(&self) -> Vec<Candidate> {
        let (Some(meant), Some(step)) = (self.finding.meant, self.finding.took) else { return Vec::new() };
        let appended = format!("-A {} ", meant.chain);
        let Some(rest) = meant.rule.text.strip_prefix(&appended) else { return Vec::new() };
        let Some(line) = self.line_before(step).filter(|_| !meant.rule.is_terminal()) else { return Vec::new() };
        let text = format!("-A {} {rest}", step.chain);
        let edits = vec![Edit::Delete { line: meant.rule.line }, Edit::InsertBefore { line, text }];
        let words =
            format!("move line {} to chain {} of table {}, line {line}", meant.rule.line, step.chain, step.table);
        vec![Candidate { words, edits }]
    }

    fn added(&self, step: &Step, rule: String) -> Vec<Candidate> {
        self.line_before(step).map(|line| inserted(line, rule)).into_iter().collect()
    }

    fn port(&self) -> Option<Port> {
        match self.finding.packet.content {
            Content::Tcp { destination, .. } => Some(destination),
            Content::Udp { .. } | Content::Icmp { .. } | Content::Other => None,
        }
    }

    /// The flags of the probe itself, all six looked at.
    fn right_flags(&self) -> Vec<Candidate> {
        let Some((meant, clause)) = self.finding.refusal() else { return Vec::new() };
        let Content::Tcp { flags, .. } = self.finding.packet.content else { return Vec::new() };
        // In the words of the rule: iptables-save writes all six.
        let mask = if text_of(meant.rule, clause).contains(" ALL ") { "ALL" } else { "FIN,SYN,RST,PSH,ACK,URG" };
        let right = format!("--tcp-flags {mask} {}", flags_of_iptables(flags));
        let words = format!("write `{right}` in line {}", meant.rule.line);
        let mut edits = vec![Edit::Replace { line: meant.rule.line, text: meant.rule.with(clause, &right) }];
        let twins = self.group_behind(meant);
        let alone = Candidate { words: words.clone(), edits: edits.clone() };
        let Some(verdict) = twins.get(1) else { return vec![alone] };
        let flags_clause = verdict.rule.clauses.iter().find(|clause| matches!(clause.ask, Match::TcpFlags { .. }));
        let Some(flags_clause) = flags_clause else { return vec![alone] };
        edits.push(Edit::Replace { line: verdict.rule.line, text: verdict.rule.with(flags_clause, &right) });
        vec![Candidate { words: format!("{words} and line {}", verdict.rule.line), edits }, alone]
    }

    /// Right flags are of no use behind a rule that takes the packet all the same.
    fn right_flags_and_up(&self) -> Vec<Candidate> {
        let moves = self.move_up();
        let both = |flags: &Candidate| -> Vec<Candidate> {
            let joined = |up: &Candidate| Candidate {
                words: format!("{}, and {}", flags.words, up.words),
                edits: flags.edits.iter().chain(&up.edits).cloned().collect(),
            };
            moves.iter().map(joined).collect()
        };
        self.right_flags().iter().flat_map(both).collect()
    }

    fn limit_last(&self) -> Vec<Candidate> {
        let Some(meant) = self.finding.meant else { return Vec::new() };
        let Some(text) = with_limit_last(meant.rule) else { return Vec::new() };
        vec![replaced(meant.rule, text, format!("put the limit of line {} behind its other matches", meant.rule.line))]
    }

    fn no_limit(&self) -> Vec<Candidate> {
        let Some(meant) = self.finding.meant else { return Vec::new() };
        let Some(limit) = meant.rule.clauses.iter().find(|clause| matches!(clause.ask, Match::Limit { .. })) else {
            return Vec::new();
        };
        vec![replaced(meant.rule, meant.rule.without(limit), format!("take the limit out of line {}", meant.rule.line))]
    }

    fn right_burst(&self) -> Vec<Candidate> {
        let (Some(meant), Goal::Lines { expected, .. }) = (self.finding.meant, &self.finding.goal) else {
            return Vec::new();
        };
        let burst = format!("--limit-burst {expected}");
        let find = |wanted: fn(&Match) -> bool| meant.rule.clauses.iter().find(|clause| wanted(&clause.ask));
        let text =
            match (find(|ask| matches!(ask, Match::LimitBurst(_))), find(|ask| matches!(ask, Match::Limit { .. }))) {
                (Some(clause), _) => meant.rule.with(clause, &burst),
                (None, Some(clause)) => {
                    let limit = meant.rule.text.get(clause.span.clone()).unwrap_or_default();
                    meant.rule.with(clause, &format!("{limit} {burst}"))
                }
                (None, None) => return self.with_limit(meant, &burst),
            };
        vec![replaced(meant.rule, text, format!("set the burst of line {} to {expected}", meant.rule.line))]
    }

    fn with_limit(&self, meant: Stand, burst: &str) -> Vec<Candidate> {
        let Some(target) = &meant.rule.target else { return Vec::new() };
        let target = meant.rule.text.get(target.span.clone()).unwrap_or_default();
        let text = meant.rule.with_target(&format!("-m limit --limit 5/min {burst} {target}"));
        vec![replaced(meant.rule, text, format!("give line {} a limit", meant.rule.line))]
    }

    fn right_prefix(&self) -> Vec<Candidate> {
        let (Some(meant), Goal::Line(prefix)) = (self.finding.meant, &self.finding.goal) else { return Vec::new() };
        let Some(target) = &meant.rule.target else { return Vec::new() };
        let others = target.options.iter().filter(|(name, _)| name != "--log-prefix");
        let others: String = others.map(|(name, value)| format!(" {name} {value}").trim_end().to_owned()).collect();
        let text = meant.rule.with_target(&format!("-j LOG --log-prefix \"{prefix}\"{others}"));
        vec![replaced(meant.rule, text, format!("write the prefix {prefix:?} in line {}", meant.rule.line))]
    }

    /// Only the way out: what comes in by a policy of ACCEPT is more than anybody asked for.
    fn open_output(&self) -> Vec<Candidate> {
        let is_output = self.finding.took.is_some_and(|step| step.chain == "OUTPUT");
        if is_output { self.policy("ACCEPT") } else { Vec::new() }
    }

    fn policy(&self, policy: &str) -> Vec<Candidate> {
        let Some((step, line)) =
            self.finding.took.filter(|step| step.rule.is_none()).and_then(|step| Some((step, step.line?)))
        else {
            return Vec::new();
        };
        let text = format!(":{} {policy} [0:0]", step.chain);
        let words = format!("set the policy of {} to {policy}", step.chain);
        vec![Candidate { words, edits: vec![Edit::Replace { line, text }] }]
    }

    /// The other family's rule that logs so, and the verdict behind it, in front of the rule that takes the packet.
    fn copy_of_twin(&self) -> Vec<Candidate> {
        let (Goal::Line(prefix) | Goal::Lines { prefix, .. }) = &self.finding.goal else { return Vec::new() };
        let (Some(twin), Some(step)) = (self.scene.twin, self.finding.took) else { return Vec::new() };
        let logs = |stand: &Stand| stand.rule.log_prefix().as_deref() == Some(prefix);
        let Some(original) = stands(twin).find(logs) else { return Vec::new() };
        let Some(line) = self.line_before(step) else { return Vec::new() };
        let file = twin.source.name.display();
        let copy = |group: &[Stand]| Candidate {
            words: format!("copy {} of {file} to line {line}", lines(group)),
            edits: vec![Edit::InsertBefore { line, text: texts(group) }],
        };
        let group = group_behind(original, stands(twin));
        if group.len() > 1 { vec![copy(&group), copy(&group[..1])] } else { vec![copy(&group)] }
    }

    /// Where a new rule would see what `step` takes now; behind all rules of the chain when it is the policy.
    fn line_before(&self, step: &Step) -> Option<usize> {
        match stand_of(step, self.scene.listing) {
            Some(taker) => Some(self.first_of_group(taker).rule.line),
            None => {
                let of_chain =
                    stands(self.scene.listing).filter(|stand| (stand.table, stand.chain) == (&step.table, &step.chain));
                of_chain.last().map(|last| last.rule.line + 1).or(step.line.map(|line| line + 1))
            }
        }
    }

    fn taker(&self) -> Option<Stand<'a>> {
        stand_of(self.finding.took?, self.scene.listing)
    }

    /// The rule of the meant rule's own chain that took the packet, or sent it to the chain where it was taken.
    fn taker_in_chain(&self) -> Option<Stand<'a>> {
        let meant = self.finding.meant?;
        let taker = self.taker()?;
        if (taker.table, taker.chain) == (meant.table, meant.chain) {
            return Some(taker);
        }
        let jumps = |stand: &Stand| {
            let target = stand.rule.target.as_ref().map(|target| target.name.as_str());
            (stand.table, stand.chain, target) == (meant.table, meant.chain, Some(taker.chain))
        };
        stands(self.scene.listing).find(jumps)
    }

    /// The first rule of the chain that is not about loopback or what is ESTABLISHED: those belong to the front.
    fn early_in_chain_of(&self, taker: Stand) -> Option<usize> {
        let is_loopback = |clause: &Clause| matches!(&clause.ask, Match::InInterface(name) if name == "lo");
        let belongs_to_front = |rule: &Rule| {
            rule.accepts() && (asks_state(rule, ConntrackState::Established) || rule.clauses.iter().any(is_loopback))
        };
        let early =
            |stand: &Stand| (stand.table, stand.chain) == (taker.table, taker.chain) && !belongs_to_front(stand.rule);
        stands(self.scene.listing).find(early).map(|stand| stand.rule.line)
    }

    /// The LOG right in front of a rule that asks for the same belongs to it.
    fn first_of_group(&self, taker: Stand<'a>) -> Stand<'a> {
        let before = |stand: &Stand| {
            (stand.table, stand.chain, stand.number + 1) == (taker.table, taker.chain, taker.number)
                && stand.rule.log_prefix().is_some()
                && asks_alike(stand.rule, taker.rule)
        };
        stands(self.scene.listing).find(before).unwrap_or(taker)
    }

    fn group_behind(&self, meant: Stand<'a>) -> Vec<Stand<'a>> {
        group_behind(meant, stands(self.scene.listing))
    }
}

/// A rule, and the verdict right behind it that asks for the same.
fn group_behind<'a>(first: Stand<'a>, mut all: impl Iterator<Item = Stand<'a>>) -> Vec<Stand<'a>> {
    let next = |stand: &Stand| {
        (stand.table, stand.chain, stand.number) == (first.table, first.chain, first.number + 1)
            && stand.rule.is_terminal()
            && asks_alike(stand.rule, first.rule)
    };
    [first].into_iter().chain(all.find(next)).collect()
}

fn moved(group: &[Stand], before: usize) -> Candidate {
    let edits = group.iter().map(|stand| Edit::Move { line: stand.rule.line, before });
    Candidate { words: format!("move {} in front of line {before}", lines(group)), edits: edits.collect() }
}

fn moved_behind(group: &[Stand], line: usize) -> Candidate {
    let edits = group.iter().map(|stand| Edit::Move { line: stand.rule.line, before: line + 1 });
    Candidate { words: format!("move {} behind line {line}", lines(group)), edits: edits.collect() }
}

fn inserted(line: usize, text: String) -> Candidate {
    Candidate { words: format!("add `{text}` as line {line}"), edits: vec![Edit::InsertBefore { line, text }] }
}

fn protocol_tcp(rule: &Rule) -> Option<&Clause> {
    rule.clauses.iter().find(|clause| clause.ask == Match::Protocol(6) && !clause.negated)
}

fn text_of<'a>(rule: &'a Rule, clause: &Clause) -> &'a str {
    rule.text.get(clause.span.clone()).unwrap_or_default()
}

fn replaced(rule: &Rule, text: String, words: String) -> Candidate {
    Candidate { words, edits: vec![Edit::Replace { line: rule.line, text }] }
}

/// `line 12`, `lines 12 and 13`
fn lines(group: &[Stand]) -> String {
    let numbers: Vec<String> = group.iter().map(|stand| stand.rule.line.to_string()).collect();
    format!("{} {}", if group.len() > 1 { "lines" } else { "line" }, numbers.join(" and "))
}

fn texts(group: &[Stand]) -> String {
    group.iter().map(|stand| stand.rule.text.as_str()).collect::<Vec<_>>().join("\n")
}

/// The rule with its limit right in front of the target.
fn with_limit_last(rule: &Rule) -> Option<String> {
    let text = |wanted: fn(&Match) -> bool| {
        let clause = rule.clauses.iter().find(|clause| wanted(&clause.ask))?;
        rule.text.get(clause.span.clone())
    };
    let limit = rule.clauses.iter().find(|clause| matches!(clause.ask, Match::Limit { .. }))?;
    let target = rule.text.get(rule.target.as_ref()?.span.clone())?;
    let words = [text(|ask| matches!(ask, Match::Limit { .. })), text(|ask| matches!(ask, Match::LimitBurst(_)))];
    let words: Vec<&str> = words.into_iter().flatten().collect();
    let rest = rule.without(limit);
    let rest = rest.strip_suffix(target)?.trim_end();
    Some(format!("{rest} -m limit {} {target}", words.join(" ")))
}

fn flags_of_iptables(flags: u8) -> String {
    const NAMES: [(u8, &str); 6] = [(1, "FIN"), (2, "SYN"), (4, "RST"), (8, "PSH"), (16, "ACK"), (32, "URG")];
    match flags & 0x3f {
        0 => "NONE".to_owned(),
        flags => NAMES.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect::<Vec<_>>().join(","),
    }
}
