//! TCP in place of UDP, and UDP in place of TCP.

use crate::rules::iptables_save::{Clause, Match, Rule};

use super::constraints::TCP;
use super::draft::Draft;
use super::site::MutationSite;
use super::text;

/// IANA's number of UDP.
const UDP: u8 = 17;

/// `-p tcp -m tcp --dport 53` becomes `-p udp -m udp --dport 53`, and the other way round.
pub fn other(site: &MutationSite<'_>) -> Vec<Draft> {
    let protocols = site.clauses(|ask| matches!(ask, Match::Protocol(TCP | UDP)));
    protocols.filter_map(|clause| exchange(site, clause)).collect()
}

fn exchange(site: &MutationSite<'_>, clause: &Clause) -> Option<Draft> {
    let (was, becomes) = if clause.ask == Match::Protocol(TCP) { ("tcp", "udp") } else { ("udp", "tcp") };
    let not = if clause.negated { "! " } else { "" };
    let rule = site.reread(&site.rule.with(clause, &format!("{not}-p {becomes}")))?;
    let draft = || site.rewrite(text::with_module(&rule, was, becomes), format!("-p {was} becomes -p {becomes}"));
    (!is_tcp_by_nature(site.rule)).then(draft)
}

/// True if a match or the target of the rule exists for TCP only.
fn is_tcp_by_nature(rule: &Rule) -> bool {
    let flags = |clause: &Clause| matches!(clause.ask, Match::TcpFlags { .. });
    let option =
        |clause: &Clause| matches!(clause.ask, Match::Other(_)) && clause.module.as_deref() != Some("conntrack");
    let reset = rule.target.iter().flat_map(|target| &target.options).any(|(_, argument)| argument == "tcp-reset");
    reset || rule.clauses.iter().any(|clause| flags(clause) || option(clause))
}
