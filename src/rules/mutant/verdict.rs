//! The right rule with the wrong verdict.

use crate::net::Family;
use crate::rules::iptables_save::Target;

use super::constraints;
use super::draft::Draft;
use super::site::MutationSite;

const VERDICTS: [&str; 3] = ["ACCEPT", "DROP", "REJECT"];

/// Exchanges ACCEPT, DROP and REJECT.
pub fn flip(site: &MutationSite<'_>) -> Vec<Draft> {
    let Some(target) = &site.rule.target else { return Vec::new() };
    if !VERDICTS.contains(&target.name.as_str()) {
        return Vec::new();
    }
    let others =
        VERDICTS.into_iter().filter(|verdict| *verdict != target.name && constraints::takes_verdict(site, verdict));
    others.map(|verdict| retarget(site, target, verdict)).collect()
}

/// Changes the type of a REJECT: closed, filtered, or prohibited.
pub fn reject_type(site: &MutationSite<'_>) -> Vec<Draft> {
    let Some(target) = site.rule.target.as_ref().filter(|target| target.name == "REJECT") else { return Vec::new() };
    let reject_type =
        target.options.iter().find(|(option, _)| option == "--reject-with").map(|(_, kind)| kind.as_str());
    let current = reject_type.unwrap_or(default_type(site.listing.family));
    let others = types(site.listing.family).into_iter().filter(|kind| *kind != current);
    let legal = others.filter(|kind| *kind != "tcp-reset" || constraints::is_tcp(site.rule));
    legal.map(|kind| retarget(site, target, &format!("REJECT --reject-with {kind}"))).collect()
}

fn retarget(site: &MutationSite<'_>, target: &Target, becomes: &str) -> Draft {
    let was = site.rule.text.get(target.span.clone()).unwrap_or_default();
    site.rewrite(site.rule.with_target(&format!("-j {becomes}")), format!("{was} becomes -j {becomes}"))
}

/// iptables-extensions(8) on `--reject-with`: "The default is `icmp-port-unreachable`", or its IPv6 counterpart.
fn default_type(family: Family) -> &'static str {
    family.pick("icmp-port-unreachable", "icmp6-port-unreachable")
}

fn types(family: Family) -> [&'static str; 3] {
    family.pick(
        ["icmp-port-unreachable", "icmp-admin-prohibited", "tcp-reset"],
        ["icmp6-port-unreachable", "icmp6-adm-prohibited", "tcp-reset"],
    )
}
