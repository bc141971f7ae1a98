//! TCP flags: those that are examined, and those that must be set.

use crate::net::conntrack::ConntrackState;
use crate::rules::iptables_save::{Clause, Match};
use crate::wire::tcp_flags::TcpFlags;

use super::constraints;
use super::draft::Draft;
use super::site::MutationSite;
use super::text;

const ALL: u8 = TcpFlags::ALL;
const FIN_SYN_RST_ACK: u8 = TcpFlags::FIN_SYN_RST_ACK;

/// ALL becomes `FIN,SYN,RST,ACK`, the mask of `--syn`; any other mask becomes ALL.
pub fn mask(site: &MutationSite<'_>) -> Vec<Draft> {
    let other = |mask| if mask == ALL { FIN_SYN_RST_ACK } else { ALL };
    let change = |(clause, mask, comp)| site.replace(clause, &option(other(mask), comp & other(mask)));
    flags(site).map(change).collect()
}

/// The flags that must be set become all examined ones; if they are all, none.
pub fn comp(site: &MutationSite<'_>) -> Vec<Draft> {
    let change = |(clause, mask, comp)| site.replace(clause, &option(mask, if comp == mask { 0 } else { mask }));
    flags(site).filter(|(_, mask, _)| *mask != 0).map(change).collect()
}

/// `--syn` becomes `--ctstate NEW`, which also matches a bare ACK; and vice versa. A rule with both is left to the
/// operator that deletes one of them.
pub fn syn_or_new(site: &MutationSite<'_>) -> Vec<Draft> {
    let syn =
        flags(site).find(|(clause, mask, comp)| !clause.negated && (*mask, *comp) == (FIN_SYN_RST_ACK, TcpFlags::SYN));
    let flagged = flags(site).next().is_some();
    let new = site.clauses(|ask| matches!(ask, Match::State(_))).collect::<Vec<_>>();
    match (syn, new.as_slice()) {
        (Some((syn, ..)), []) => exchange(site, syn, "-m conntrack --ctstate NEW"),
        (None, [new]) if !flagged && is_new(new) && constraints::is_tcp(site.rule) => {
            exchange(site, new, &option(FIN_SYN_RST_ACK, TcpFlags::SYN))
        }
        _ => Vec::new(),
    }
}

fn is_new(clause: &Clause) -> bool {
    let new = [ConntrackState::New].into();
    !clause.negated && clause.ask == Match::State(new)
}

/// Replaces `clause` and its module by `addition`.
fn exchange(site: &MutationSite<'_>, clause: &Clause, addition: &str) -> Vec<Draft> {
    let Some(rule) = site.reread(&site.rule.without(clause)) else { return Vec::new() };
    let text = text::with_match(&rule, addition);
    vec![site.rewrite(text, format!("{} becomes {addition}", site.written(clause)))]
}

fn flags<'a>(site: &MutationSite<'a>) -> impl Iterator<Item = (&'a Clause, u8, u8)> {
    site.rule.clauses.iter().filter_map(|clause| match clause.ask {
        Match::TcpFlags { mask, comp } => Some((clause, mask, comp)),
        _ => None,
    })
}

fn option(mask: u8, comp: u8) -> String {
    format!("--tcp-flags {} {}", TcpFlags(mask), TcpFlags(comp))
}
