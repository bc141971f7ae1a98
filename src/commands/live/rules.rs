//! The rules of this machine, as `iptables-save` and `ip6tables-save` print them.

use std::fs;

use crate::error::{Result, Source};
use crate::lab::{Backend, Iptables, Lab};
use crate::net::Family;

/// The rules of each family.
pub fn read(iptables: &Iptables) -> Result<Vec<(Family, Source)>> {
    let ruleset = |family: Family| {
        let saved = match (iptables.backend, has_tables(family)) {
            // Without a table the program would print nothing.
            (Backend::Legacy, false) => String::new(),
            _ => iptables.save(family)?,
        };
        let name = format!("<live>/{}-save", program(family));
        Ok((family, Source { name: name.into(), text: saved.into() }))
    };
    Lab::families().into_iter().map(ruleset).collect()
}

/// The beginning of the names of a family's programs.
pub fn program(family: Family) -> &'static str {
    family.pick("iptables", "ip6tables")
}

/// True if tables of x_tables exist in this namespace (ipt_proc in net/netfilter/x_tables.c).
fn has_tables(family: Family) -> bool {
    let name = family.pick("ip_tables_names", "ip6_tables_names");
    fs::read_to_string(format!("/proc/thread-self/net/{name}")).is_ok_and(|names| !names.trim().is_empty())
}
