//! Other firewalls on this machine: base chains of nf_tables that iptables does not own, and tables of x_tables in
//! addition to those of nf_tables. A packet passes all of them, so a packet that one of them accepts may be dropped by
//! another.

use std::fs;
use std::io::ErrorKind;

use serde::Deserialize;

use super::rules;
use crate::error::{Result, Source};
use crate::lab::{Backend, Lab, list_rules};
use crate::net::Family;
use crate::rules::iptables_save::{HOOKS, Listing, Policy};

/// A firewall in addition to the rules that were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Other {
    /// True if packets pass it unchanged: it has no rule, and its policy is ACCEPT.
    pub is_idle: bool,
    /// Its names, or the reason why it could not be read, in words.
    pub text: String,
}

impl Other {
    fn active(text: String) -> Other {
        Other { is_idle: false, text }
    }
}

/// The other firewalls. One that cannot be read counts as active. `saved` is the output of iptables-save.
pub fn read(backend: Backend, saved: &[(Family, Source)]) -> Vec<Other> {
    let native = list_rules("nft", &["-j", "list", "ruleset"]).map_err(|error| one_line(&error.to_string()));
    let native = native.and_then(|json| chains(&json, backend, saved));
    let mut found =
        native.unwrap_or_else(|why| vec![Other::active(format!("other tables of nf_tables were not read: {why}"))]);
    if backend == Backend::Nft {
        found.extend(Lab::families().into_iter().flat_map(legacy));
    }
    found
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The output of `nft -j list ruleset`, see libnftables-json(5).
#[derive(Deserialize)]
struct NftRuleset {
    nftables: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    chain: Option<NftChain>,
    rule: Option<NftRulePlace>,
}

#[derive(Deserialize)]
struct NftChain {
    family: String,
    table: String,
    name: String,
    /// The hook; `None` except in base chains.
    hook: Option<String>,
    prio: Option<i64>,
    policy: Option<String>,
}

/// The place of a rule.
#[derive(Deserialize)]
struct NftRulePlace {
    family: String,
    table: String,
    chain: String,
}

/// The base chains that iptables does not own.
fn chains(json: &str, backend: Backend, saved: &[(Family, Source)]) -> std::result::Result<Vec<Other>, String> {
    let ruleset: NftRuleset =
        serde_json::from_str(json).map_err(|error| format!("the output of nft is not a ruleset ({error})"))?;
    let rules: Vec<&NftRulePlace> = ruleset.nftables.iter().filter_map(|object| object.rule.as_ref()).collect();
    let is_foreign = |chain: &&NftChain| !(backend == Backend::Nft && chain.is_of_iptables(saved));
    let chains = ruleset.nftables.iter().filter_map(|object| object.chain.as_ref());
    let foreign = chains.filter(|chain| chain.hook.is_some()).filter(is_foreign);
    Ok(foreign.map(|chain| chain.other(&rules)).collect())
}

impl NftChain {
    fn other(&self, rules: &[&NftRulePlace]) -> Other {
        let is_here =
            |rule: &&NftRulePlace| (&rule.family, &rule.table, &rule.chain) == (&self.family, &self.table, &self.name);
        let is_idle = !rules.iter().any(is_here) && self.policy() == "accept";
        let name = format!(
            "the chain `{}` in table `{} {}` of nf_tables (hook {}, priority {}, policy {})",
            self.name,
            self.family,
            self.table,
            self.hook.as_deref().unwrap_or_default(),
            self.prio.unwrap_or_default(),
            self.policy(),
        );
        let text = match is_idle {
            true => format!("{name} is not part of iptables, and has no rule"),
            false => format!(
                "another firewall filters on this machine: {name} is not of iptables, may drop or accept, and was not \
                 loaded in the lab"
            ),
        };
        Other { is_idle, text }
    }

    /// The policy; a base chain without one accepts.
    fn policy(&self) -> &str {
        self.policy.as_deref().unwrap_or("accept")
    }

    /// True if iptables-save prints the chain. iptables-nft has tables of these names in `ip` and `ip6`, whose base
    /// chains have the names of the hooks of x_tables. iptables-save does not print a table with any other content.
    fn is_of_iptables(&self, saved: &[(Family, Source)]) -> bool {
        const TABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];
        let family = match self.family.as_str() {
            "ip" => Family::Ipv4,
            "ip6" => Family::Ipv6,
            _ => return false,
        };
        let block = format!("*{}", self.table);
        let is_printed =
            |(of, source): &(Family, Source)| *of == family && source.text.lines().any(|line| line.trim_end() == block);
        let has_its_names = TABLES.contains(&self.table.as_str()) && HOOKS.contains(&self.name.as_str());
        has_its_names && saved.iter().any(is_printed)
    }
}

/// The tables of x_tables that exist in this namespace (ipt_proc in net/netfilter/x_tables.c); `None` if there are
/// none.
fn legacy(family: Family) -> Option<Other> {
    let names = family.pick("ip_tables_names", "ip6_tables_names");
    let program = format!("{}-legacy-save", rules::program(family));
    let title = family.title();
    let tables = match fs::read_to_string(format!("/proc/thread-self/net/{names}")) {
        Ok(tables) => tables.split_whitespace().collect::<Vec<_>>().join(", "),
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => return Some(Other::active(format!("legacy tables of {title} were not read: {error}"))),
    };
    let is_idle = accepts_all(family, &program).unwrap_or(false);
    let text = match is_idle {
        true => format!("{title} has legacy tables ({tables}) beside those of nf_tables, without a rule"),
        false => format!(
            "another firewall filters on this machine: {title} has legacy tables ({tables}) beside those of nf_tables, \
             which may drop or accept and were not loaded in the lab (see `{program}`)"
        ),
    };
    (!tables.is_empty()).then_some(Other { is_idle, text })
}

fn accepts_all(family: Family, program: &str) -> Result<bool> {
    let source = Source { name: program.into(), text: list_rules(program, &[])?.into() };
    let listing = Listing::parse(family, &source);
    let mut chains = listing.tables.iter().flat_map(|table| &table.chains);
    Ok(listing.rules().next().is_none() && chains.all(|chain| chain.policy != Some(Policy::Drop)))
}

#[cfg(test)]
mod tests;
