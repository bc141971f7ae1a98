//! The canonical form of a target, whatever its notation. Defaults and aliases are those of iptables-extensions(8) and
//! of the tables in iptables 1.8.9 (libipt_REJECT.c, libip6t_REJECT.c, libxt_LOG.h).

use super::{LOG_PREFIX, Target};
use crate::net::Family;

impl Target {
    /// Its name, then its options with defaults filled in and aliases replaced, sorted.
    pub fn canonical(&self, family: Family) -> String {
        let mut options: Vec<String> = match self.name.as_str() {
            "REJECT" => vec![format!("--reject-with {}", self.reject_with(family))],
            "LOG" => self.log_options(),
            _ => self.options.iter().map(|(name, argument)| format!("{name} {argument}")).collect(),
        };
        options.sort();
        format!("{} {}", self.name, options.join(" ")).trim_end().to_owned()
    }

    /// The type of a REJECT, in iptables-save's name.
    pub fn reject_with(&self, family: Family) -> &str {
        let words = if family == Family::Ipv4 { REJECT_V4 } else { REJECT_V6 };
        let default = if family == Family::Ipv4 { "icmp-port-unreachable" } else { "icmp6-port-unreachable" };
        let Some(word) = self.option("--reject-with") else { return default };
        let begins = |name: &str| name.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
        let known = words.iter().find(|(name, alias)| begins(name) || begins(alias));
        known.map_or(word, |(name, _)| name)
    }

    fn log_options(&self) -> Vec<String> {
        let prefix = self.option("--log-prefix").unwrap_or_default().as_bytes();
        let prefix = String::from_utf8_lossy(&prefix[..prefix.len().min(LOG_PREFIX)]);
        let flags = self.options.iter().filter(|(name, _)| !matches!(name.as_str(), "--log-prefix" | "--log-level"));
        let flags = flags.map(|(name, _)| name.clone());
        flags.chain([format!("--log-level {}", self.log_level()), format!("--log-prefix {prefix:?}")]).collect()
    }

    /// The number of the level of a LOG; warning by default.
    fn log_level(&self) -> String {
        let Some(word) = self.option("--log-level") else { return "4".to_owned() };
        let known = LEVELS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        known.map_or_else(|| word.to_owned(), |(_, number)| number.to_string())
    }

    /// The options of a LOG, apart from its prefix, that differ from the default, as `--log-level 7 --log-uid`.
    pub fn log_style(&self) -> Option<String> {
        let is_default = |option: &String| option.starts_with("--log-prefix") || option == "--log-level 4";
        let mut style: Vec<String> = self.log_options().into_iter().filter(|option| !is_default(option)).collect();
        style.sort();
        (!style.is_empty()).then(|| style.join(" "))
    }
}

const LEVELS: &[(&str, u8)] = &[
    ("emerg", 0),
    ("panic", 0),
    ("alert", 1),
    ("crit", 2),
    ("err", 3),
    ("error", 3),
    ("warning", 4),
    ("warn", 4),
    ("notice", 5),
    ("info", 6),
    ("debug", 7),
];

const REJECT_V4: &[(&str, &str)] = &[
    ("icmp-net-unreachable", "net-unreach"),
    ("icmp-host-unreachable", "host-unreach"),
    ("icmp-proto-unreachable", "proto-unreach"),
    ("icmp-port-unreachable", "port-unreach"),
    ("icmp-net-prohibited", "net-prohib"),
    ("icmp-host-prohibited", "host-prohib"),
    ("tcp-reset", "tcp-rst"),
    ("icmp-admin-prohibited", "admin-prohib"),
];

const REJECT_V6: &[(&str, &str)] = &[
    ("icmp6-no-route", "no-route"),
    ("icmp6-adm-prohibited", "adm-prohibited"),
    ("icmp6-addr-unreachable", "addr-unreach"),
    ("icmp6-port-unreachable", "port-unreach"),
    ("tcp-reset", "tcp-reset"),
    ("icmp6-policy-fail", "policy-fail"),
    ("icmp6-reject-route", "reject-route"),
];

#[cfg(test)]
mod tests {
    use crate::error::Source;
    use crate::net::Family;
    use crate::rules::iptables_save::Listing;

    fn canonical(family: Family, target: &str) -> String {
        let text = format!("*filter\n-A INPUT -j {target}\nCOMMIT\n");
        let listing = Listing::parse(family, &Source { name: "rules".into(), text: text.into() });
        let rule = listing.rules().next().expect("a rule");
        rule.target.as_ref().expect("a target").canonical(family)
    }

    #[test]
    fn a_target_is_written_in_one_way() {
        for (family, one, other) in [
            (Family::Ipv4, "REJECT", "REJECT --reject-with icmp-port-unreachable"),
            (Family::Ipv4, "REJECT --reject-with tcp-rst", "REJECT --reject-with tcp-reset"),
            (Family::Ipv4, "REJECT --reject-with host-unreach", "REJECT --reject-with icmp-host-unreachable"),
            (Family::Ipv6, "REJECT", "REJECT --reject-with port-unreach"),
            (Family::Ipv6, "REJECT --reject-with no-route", "REJECT --reject-with icmp6-no-route"),
            (Family::Ipv4, "LOG --log-level warn --log-prefix x", "LOG --log-prefix x"),
            (Family::Ipv4, "LOG --log-level debug --log-uid", "LOG --log-uid --log-level 7"),
        ] {
            assert_eq!(canonical(family, one), canonical(family, other));
        }
        assert_ne!(canonical(Family::Ipv4, "LOG --log-level info"), canonical(Family::Ipv4, "LOG"));
        assert_ne!(canonical(Family::Ipv4, "REJECT --reject-with tcp-rst"), canonical(Family::Ipv4, "REJECT"));
    }
}
