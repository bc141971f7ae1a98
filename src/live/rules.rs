//! The rules of this machine, as `iptables-save` and `ip6tables-save` print them.

use std::fs;

use super::other;
use crate::error::{Result, Source};
use crate::lab::{Backend, Iptables, Lab};
use crate::net::Family;

/// The rules of each family.
type Rulesets = Vec<(Family, Source)>;

/// The rules of both families, and what there is to know about them.
pub fn read(iptables: &Iptables) -> Result<(Rulesets, Vec<String>)> {
    let (mut rulesets, mut warnings) = (Vec::new(), Vec::new());
    for family in Lab::families() {
        let saver = format!("{}-save", program(family));
        let saved = match (iptables.backend, has_tables(family)) {
            // Begun without a table, it would have nothing to print.
            (Backend::Legacy, false) => String::new(),
            _ => iptables.save(family)?,
        };
        rulesets.push((family, Source { name: format!("<live>/{saver}").into(), text: saved.into() }));
        if iptables.backend == Backend::Nft && has_tables(family) {
            warnings.push(format!(
                "this machine has {} tables for {} besides those of {saver}: both filter, and only the latter were \
                 looked at (see them with {}-legacy-save)",
                other(iptables.backend),
                family,
                program(family),
            ));
        }
    }
    Ok((rulesets, warnings))
}

fn program(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "iptables",
        Family::Ipv6 => "ip6tables",
    }
}

/// The tables of x_tables that exist in this namespace (ipt_proc in net/netfilter/x_tables.c).
fn has_tables(family: Family) -> bool {
    let name = match family {
        Family::Ipv4 => "ip_tables_names",
        Family::Ipv6 => "ip6_tables_names",
    };
    fs::read_to_string(format!("/proc/thread-self/net/{name}")).is_ok_and(|names| !names.trim().is_empty())
}
