//! Patches that edit the text of a rule.

use super::super::PlacedRule;
use super::{PatchBuilder, PatchCandidate, names_one_port, replaced, text_of};
use crate::log_line::NFLOG_NAME;
use crate::net::Network;
use crate::net::port::Port;
use crate::net::rate::Rate;
use crate::rules::iptables_save::{Clause, Edit, Match, MatchResult, Rule};
use crate::verdict::explain::expected_effect::ExpectedEffect;
use crate::verdict::explain::intended::are_similar_ports;
use crate::wire::headers::Content;
use crate::wire::tcp_flags::TcpFlags;

impl<'a> PatchBuilder<'a> {
    /// Restricts a LOG rule for a port to the beginning of connections, without scans.
    pub(super) fn only_new(&self) -> Vec<PatchCandidate> {
        let Some(deciding) = self.deciding_rule().filter(|deciding| deciding.rule.log_prefix().is_some()) else {
            return Vec::new();
        };
        let Some(protocol) = protocol_tcp(deciding.rule) else { return Vec::new() };
        let text = deciding.rule.with(protocol, "-p tcp --syn");
        vec![replaced(deciding.rule, text, format!("write `--syn` in line {}", deciding.rule.line))]
    }

    pub(super) fn silence(&self) -> Vec<PatchCandidate> {
        let Some(deciding) = self.deciding_rule() else { return Vec::new() };
        let words = format!("write `-j DROP` in line {}", deciding.rule.line);
        vec![replaced(deciding.rule, deciding.rule.with_target("-j DROP"), words)]
    }

    pub(super) fn drop_clause(&self) -> Vec<PatchCandidate> {
        let Some((placed, clause)) = self.finding.refusal() else { return Vec::new() };
        let names_port = matches!(clause.ask, Match::DestinationPorts(_));
        let opens = placed.rule.accepts() && (names_port || !names_one_port(placed.rule));
        let names_source = matches!(clause.ask, Match::Source(_)) && (placed.rule.accepts() || placed.rule.is_jump());
        let leads_to_one_that_opens =
            placed.rule.is_jump() && self.finding.meant.is_some_and(|meant| meant.rule.accepts());
        if opens || names_source || leads_to_one_that_opens {
            return Vec::new();
        }
        let words = format!("remove `{}` from line {}", text_of(placed.rule, clause), placed.rule.line);
        vec![replaced(placed.rule, placed.rule.without(clause), words)]
    }

    /// Replaces the port of the rule by that of the probe, or adds that to a list.
    pub(super) fn right_port(&self) -> Vec<PatchCandidate> {
        let Some((placed, clause)) = self.finding.refusal() else { return Vec::new() };
        if !matches!(clause.ask, Match::DestinationPorts(_)) {
            return Vec::new();
        }
        let Some(port) = self.port().filter(|_| !clause.negated && !placed.rule.is_jump()) else { return Vec::new() };
        let Some((option, list)) = text_of(placed.rule, clause).rsplit_once(' ') else { return Vec::new() };
        let is_list = clause.module.as_deref() == Some("multiport");
        let after_nat = self.ports().filter(|ports| !is_list && ports.contains(':'));
        let corrected = after_nat.or_else(|| corrected_list(list, port, !is_list));
        let longer = is_list.then(|| format!("{list},{port}"));
        let lists = corrected.into_iter().chain(longer);
        lists.map(|list| self.rewritten(placed, clause, &format!("{option} {list}"))).collect()
    }

    /// Removes the port that should be open from a list of denied ports.
    pub(super) fn out_of_list(&self) -> Vec<PatchCandidate> {
        let (ExpectedEffect::LetIn(_), Some(port), Some(deciding)) =
            (&self.finding.goal, self.port(), self.deciding_rule())
        else {
            return Vec::new();
        };
        let lists = |clause: &&Clause| matches!(&clause.ask, Match::DestinationPorts(_)) && !clause.negated;
        let clause = deciding.rule.clauses.iter().find(lists).filter(|_| deciding.rule.denies());
        let Some(clause) = clause else { return Vec::new() };
        let Some((option, list)) = text_of(deciding.rule, clause).rsplit_once(' ') else { return Vec::new() };
        let others: Vec<&str> = list.split(',').filter(|item| *item != port.to_string()).collect();
        if others.is_empty() || others.len() == list.split(',').count() {
            return Vec::new();
        }
        let words = format!("remove port {port} from the list in line {}", deciding.rule.line);
        let text = deciding.rule.with(clause, &format!("{option} {}", others.join(",")));
        vec![replaced(deciding.rule, text, words)]
    }

    /// Changes the target port of a nat rule to the similar one that filter accepts, or that the host listens on.
    pub(super) fn right_new_port(&self) -> Vec<PatchCandidate> {
        let Some(change) = self.finding.change.filter(|change| change.range.0 == change.range.1) else {
            return Vec::new();
        };
        let asked = self.finding.refusal().filter(|(_, clause)| !clause.negated).map(|(_, clause)| &clause.ask);
        let named: Vec<Port> = match asked {
            Some(Match::DestinationPorts(ports)) => ports.iter().collect(),
            _ => Vec::new(),
        };
        let is_meant = |port: &Port| *port != change.from && *port != change.to && are_similar_ports(*port, change.to);
        let mut ports: Vec<Port> = named.iter().chain(self.scene.listen).copied().filter(is_meant).collect();
        ports.dedup();
        let nat = self.scene.listing.placed_rules().find(|placed| placed.rule.line == change.line);
        let Some(nat) = nat else { return Vec::new() };
        let written = |port: &Port| {
            let words = format!("write port {port} in line {}", nat.rule.line);
            Some(replaced(nat.rule, with_new_port(nat.rule, change.to, *port)?, words))
        };
        ports.iter().filter_map(written).collect()
    }

    /// Writes the network of `ssh_from` that contains the source into a rule whose network is not in `ssh_from`.
    pub(super) fn right_source(&self) -> Vec<PatchCandidate> {
        let Some((meant, Clause { ask: Match::Source(_), .. })) = self.finding.refusal() else { return Vec::new() };
        let source = self.finding.packet.source;
        let networks = self.ssh_networks();
        let Some(network) = networks.iter().find(|network| network.contains(source)) else { return Vec::new() };
        let is_alike = |placed: &PlacedRule| {
            let is_of_chain = (placed.table, placed.chain) == (meant.table, meant.chain);
            is_of_chain && (placed.rule.accepts() || placed.rule.is_jump())
        };
        let corrected = |placed: PlacedRule| {
            let mut refusing =
                placed.rule.clauses.iter().filter(|clause| clause.answer(&self.finding.packet) == MatchResult::No);
            let (Some(clause), None) = (refusing.next(), refusing.next()) else { return None };
            let is_wrong = source_network(clause).is_some_and(|written| !networks.contains(&written));
            is_wrong.then(|| self.rewritten(placed, clause, &format!("-s {network}")))
        };
        self.scene.listing.placed_rules().filter(is_alike).filter_map(corrected).collect()
    }

    /// Replaces the network of a rule that accepts with the narrower one of `ssh_from`.
    pub(super) fn narrow_source(&self) -> Vec<PatchCandidate> {
        let Some(deciding) = self.deciding_rule().filter(|deciding| deciding.rule.accepts()) else { return Vec::new() };
        let networks = self.ssh_networks();
        let narrowed = |clause: &Clause| {
            let wide = source_network(clause)?;
            let mut within = networks.iter().filter(|network| wide.covers(network) && **network != wide);
            let (Some(network), None) = (within.next(), within.next()) else { return None };
            Some(self.rewritten(deciding, clause, &format!("-s {network}")))
        };
        deciding.rule.clauses.iter().filter_map(narrowed).collect()
    }

    pub(super) fn ssh_networks(&self) -> Vec<Network> {
        self.scene.ssh_from.map(|from| from.networks(self.scene.listing.family)).unwrap_or_default()
    }

    /// Removes the `!` before the match that refuses the packet.
    pub(super) fn unnegated(&self) -> Vec<PatchCandidate> {
        let Some((placed, clause)) = self.finding.refusal().filter(|(_, clause)| clause.negated) else {
            return Vec::new();
        };
        let words = format!("remove the `!` from line {}", placed.rule.line);
        vec![replaced(placed.rule, placed.rule.negating(clause), words)]
    }

    pub(super) fn right_interface(&self) -> Vec<PatchCandidate> {
        let Some((placed, clause)) = self.finding.refusal() else { return Vec::new() };
        let asks_interface = matches!(clause.ask, Match::InInterface(_)) && !clause.negated;
        let text = format!("-i {}", self.scene.interface);
        if asks_interface { vec![self.rewritten(placed, clause, &text)] } else { Vec::new() }
    }

    fn rewritten(&self, placed: PlacedRule, clause: &Clause, text: &str) -> PatchCandidate {
        let words = format!("write `{text}` in line {}", placed.rule.line);
        replaced(placed.rule, placed.rule.with(clause, text), words)
    }

    /// Matches the flags of the probe itself, with all six in the mask.
    pub(super) fn right_flags(&self) -> Vec<PatchCandidate> {
        let Some((meant, clause)) = self.finding.refusal().filter(|(rule, clause)| may_get_other_flags(rule, clause))
        else {
            return Vec::new();
        };
        let Content::Tcp { flags, .. } = self.finding.packet.content else { return Vec::new() };
        // In the notation of the rule: iptables-save prints all six names.
        let mask = if text_of(meant.rule, clause).contains(" ALL ") { "ALL" } else { "FIN,SYN,RST,PSH,ACK,URG" };
        let right = format!("--tcp-flags {mask} {}", TcpFlags(flags));
        let words = format!("write `{right}` in line {}", meant.rule.line);
        let mut edits = vec![Edit::Replace { line: meant.rule.line, text: meant.rule.with(clause, &right) }];
        let twins = self.group_after(meant);
        let alone = PatchCandidate { words: words.clone(), edits: edits.clone() };
        let Some(verdict) = twins.get(1) else { return vec![alone] };
        let flags_clause = verdict.rule.clauses.iter().find(|clause| matches!(clause.ask, Match::TcpFlags { .. }));
        let Some(flags_clause) = flags_clause else { return vec![alone] };
        edits.push(Edit::Replace { line: verdict.rule.line, text: verdict.rule.with(flags_clause, &right) });
        vec![PatchCandidate { words: format!("{words} and line {}", verdict.rule.line), edits }, alone]
    }

    /// Corrects the flags and moves the rule, if an earlier rule would still match the packet.
    pub(super) fn right_flags_and_up(&self) -> Vec<PatchCandidate> {
        let moves = self.move_up();
        let both = |flags: &PatchCandidate| -> Vec<PatchCandidate> {
            let joined = |up: &PatchCandidate| PatchCandidate {
                words: format!("{}, and {}", flags.words, up.words),
                edits: flags.edits.iter().chain(&up.edits).cloned().collect(),
            };
            moves.iter().map(joined).collect()
        };
        self.right_flags().iter().flat_map(both).collect()
    }

    pub(super) fn limit_last(&self) -> Vec<PatchCandidate> {
        let Some(meant) = self.finding.meant else { return Vec::new() };
        let Some(text) = with_limit_last(meant.rule) else { return Vec::new() };
        vec![replaced(meant.rule, text, format!("put the limit of line {} after its other matches", meant.rule.line))]
    }

    pub(super) fn no_limit(&self) -> Vec<PatchCandidate> {
        let Some(meant) = self.finding.meant else { return Vec::new() };
        let Some(limit) = meant.rule.clauses.iter().find(|clause| matches!(clause.ask, Match::Limit { .. })) else {
            return Vec::new();
        };
        vec![replaced(meant.rule, meant.rule.without(limit), format!("remove the limit from line {}", meant.rule.line))]
    }

    pub(super) fn right_burst(&self) -> Vec<PatchCandidate> {
        let (Some(meant), ExpectedEffect::Lines { expected, observed, rate, .. }) =
            (self.finding.meant, &self.finding.goal)
        else {
            return Vec::new();
        };
        let right_rate = rate.filter(|_| expected == observed);
        if meant.rule.hash_limit().is_some() {
            return right_hashlimit(meant.rule, *expected, right_rate).into_iter().collect();
        }
        if let Some(rate) = right_rate {
            return self::right_rate(meant.rule, rate).into_iter().collect();
        }
        let burst = format!("--limit-burst {expected}");
        let find = |wanted: fn(&Match) -> bool| meant.rule.clauses.iter().find(|clause| wanted(&clause.ask));
        let text =
            match (find(|ask| matches!(ask, Match::LimitBurst(_))), find(|ask| matches!(ask, Match::Limit { .. }))) {
                (Some(clause), _) => meant.rule.with(clause, &burst),
                (None, Some(clause)) => {
                    let limit = meant.rule.text.get(clause.span.clone()).unwrap_or_default();
                    meant.rule.with(clause, &format!("{limit} {burst}"))
                }
                (None, None) => return self.with_limit(meant, *rate, &burst),
            };
        vec![replaced(meant.rule, text, format!("set the burst of line {} to {expected}", meant.rule.line))]
    }

    fn with_limit(&self, meant: PlacedRule, rate: Option<Rate>, burst: &str) -> Vec<PatchCandidate> {
        let Some(rate) = rate else { return Vec::new() };
        let Some(target) = &meant.rule.target else { return Vec::new() };
        let target = meant.rule.text.get(target.span.clone()).unwrap_or_default();
        let text = meant.rule.with_target(&format!("-m limit --limit {rate} {burst} {target}"));
        vec![replaced(meant.rule, text, format!("give line {} a limit", meant.rule.line))]
    }

    pub(super) fn right_prefix(&self) -> Vec<PatchCandidate> {
        let (Some(meant), ExpectedEffect::Line { prefix, .. }) = (self.finding.meant, &self.finding.goal) else {
            return Vec::new();
        };
        let Some(target) = &meant.rule.target else { return Vec::new() };
        if target.name == "NFLOG" || prefix.starts_with(NFLOG_NAME) {
            return Vec::new();
        }
        let others = target.options.iter().filter(|(name, _)| name != "--log-prefix");
        let others: String = others.map(|(name, value)| format!(" {name} {value}").trim_end().to_owned()).collect();
        let text = meant.rule.with_target(&format!("-j LOG --log-prefix \"{prefix}\"{others}"));
        vec![replaced(meant.rule, text, format!("write the prefix {prefix:?} in line {}", meant.rule.line))]
    }
}

/// The network of a `-s` match.
fn source_network(clause: &Clause) -> Option<Network> {
    let Match::Source(prefix) = &clause.ask else { return None };
    Network::new(prefix.address, prefix.prefix_len()?).filter(|_| !clause.negated)
}

/// The nat rule with the port `new` in its target instead of `old`.
fn with_new_port(rule: &Rule, old: Port, new: Port) -> Option<String> {
    let target = rule.target.as_ref()?;
    let text = rule.text.get(target.span.clone())?;
    let given = target.option("--to-ports").or(target.option("--to-destination"))?;
    let written = format!("{}{new}", given.strip_suffix(&old.to_string())?);
    let (before, after) = text.rsplit_once(given)?;
    Some(rule.with_target(&format!("{before}{written}{after}")))
}

/// False for a rule that accepts, and one for the beginning of connections (`--syn`): they keep their flags.
fn may_get_other_flags(placed: &PlacedRule, clause: &Clause) -> bool {
    !placed.rule.accepts()
        && !matches!(clause.ask, Match::TcpFlags { mask, comp: TcpFlags::SYN } if mask & TcpFlags::SYN_ACK == TcpFlags::SYN_ACK)
}

/// The list of ports with `port` in place of a similar one, or with a range extended to it. A list of one port becomes
/// that port in any case.
fn corrected_list(list: &str, port: Port, is_one: bool) -> Option<String> {
    let corrected = |item: &str| {
        let (first, last) = item.split_once(':').unwrap_or((item, item));
        let (low, high) = (first.parse().ok()?, last.parse().ok()?);
        match (first == last, port.0.abs_diff(low), port.0.abs_diff(high)) {
            (true, ..) if is_one || are_similar_ports(Port(low), port) => Some(port.to_string()),
            (false, 1, _) => Some(format!("{port}:{last}")),
            (false, _, 1) => Some(format!("{first}:{port}")),
            _ => None,
        }
    };
    let items: Vec<&str> = list.split(',').collect();
    let place = items.iter().position(|item| corrected(item).is_some())?;
    let right = |(at, item): (usize, &&str)| if at == place { corrected(item) } else { Some((*item).to_owned()) };
    items.iter().enumerate().map(right).collect::<Option<Vec<_>>>().map(|items| items.join(","))
}

fn protocol_tcp(rule: &Rule) -> Option<&Clause> {
    rule.clauses.iter().find(|clause| clause.ask == Match::Protocol(6) && !clause.negated)
}

/// The rule with its limit directly before the target.
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

/// Sets the rate of the rule's `hashlimit`, or else its burst: an additional `limit` would count all sources together.
fn right_hashlimit(rule: &Rule, burst: u32, rate: Option<Rate>) -> Option<PatchCandidate> {
    let limit = rule.hash_clause(&["--hashlimit-upto", "--hashlimit", "--hashlimit-above"])?;
    let burst = format!("--hashlimit-burst {burst}");
    let (clause, text) = match (rate, rule.hash_clause(&["--hashlimit-burst"])) {
        (Some(rate), _) => (limit, format!("{} {rate}", text_of(rule, limit).rsplit_once([' ', '=', '\t'])?.0)),
        (None, Some(clause)) => (clause, burst),
        (None, None) => (limit, format!("{} {burst}", text_of(rule, limit))),
    };
    Some(replaced(rule, rule.with(clause, &text), format!("write `{text}` in line {}", rule.line)))
}

fn right_rate(rule: &Rule, rate: Rate) -> Option<PatchCandidate> {
    let limit = rule.clauses.iter().find(|clause| matches!(clause.ask, Match::Limit { .. }))?;
    let words = format!("write `--limit {rate}` in line {}", rule.line);
    Some(replaced(rule, rule.with(limit, &format!("--limit {rate}")), words))
}
