use super::*;

const LISTED: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
  {"table": {"family": "ip", "name": "filter", "handle": 1}},
  {"chain": {"family": "ip", "table": "filter", "name": "INPUT", "handle": 1, "type": "filter", "hook": "input",
             "prio": 0, "policy": "drop"}},
  {"chain": {"family": "ip", "table": "filter", "name": "input", "handle": 2, "type": "filter", "hook": "input",
             "prio": 5, "policy": "drop"}},
  {"chain": {"family": "inet", "table": "fw", "name": "in", "handle": 1, "type": "filter", "hook": "input",
             "prio": -10, "policy": "accept"}},
  {"chain": {"family": "inet", "table": "fw", "name": "idle", "handle": 3, "type": "filter", "hook": "input",
             "prio": -10, "policy": "accept"}},
  {"chain": {"family": "inet", "table": "fw", "name": "called", "handle": 4}},
  {"rule": {"family": "inet", "table": "fw", "chain": "in", "handle": 2, "expr": [{"drop": null}]}}]}"#;

/// Chain and table of each, with `(idle)` after one that has no effect.
fn found(backend: Backend, saved: &str) -> Vec<String> {
    let saved = [(Family::Ipv4, Source { name: "saved".into(), text: saved.to_owned().into() })];
    let names = |other: Other| {
        let names = other.text.split('`').skip(1).step_by(2).take(2).collect::<Vec<_>>().join(" of ");
        names + if other.is_idle { " (idle)" } else { "" }
    };
    chains(LISTED, backend, &saved).expect("a ruleset").into_iter().map(names).collect()
}

#[test]
fn base_chains_that_iptables_does_not_own_are_listed() {
    let others = ["input of ip filter", "in of inet fw", "idle of inet fw (idle)"];
    assert_eq!(found(Backend::Nft, "*filter\n:INPUT DROP [0:0]\nCOMMIT\n"), others);
}

#[test]
fn a_table_that_iptables_save_does_not_print_is_listed() {
    let saved = "# Table `filter' is incompatible, use 'nft' tool.\n";
    let others = ["INPUT of ip filter", "input of ip filter", "in of inet fw", "idle of inet fw (idle)"];
    assert_eq!(found(Backend::Nft, saved), others);
}

#[test]
fn with_the_legacy_flavour_every_base_chain_is_listed() {
    assert_eq!(found(Backend::Legacy, "*filter\n:INPUT DROP [0:0]\nCOMMIT\n").len(), 4);
}

#[test]
fn a_chain_is_listed_with_its_hook_priority_and_policy() {
    let others = chains(LISTED, Backend::Legacy, &[]).expect("a ruleset");
    let named = "the chain `input` in table `ip filter` of nf_tables (hook input, priority 5, policy drop)";
    assert!(others[1].text.contains(named), "{}", others[1].text);
}

#[test]
fn output_that_is_no_ruleset_is_an_error() {
    assert!(chains("", Backend::Nft, &[]).is_err());
}
