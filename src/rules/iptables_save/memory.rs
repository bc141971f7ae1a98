//! Stateful matches, and the rates that can be parsed from them.

use super::{Clause, Listing, Match, Rule, RuleLimit};
use crate::error::Source;
use crate::net::Family;
use crate::net::rate::Rate;

/// iptables-extensions(8): matches whose result depends on earlier packets, connections or the clock.
const REMEMBERS: [&str; 9] =
    ["limit", "hashlimit", "recent", "connlimit", "connbytes", "quota", "statistic", "rateest", "nfacct"];

/// Those of them whose state has a name in the kernel: it survives when a rule is replaced by itself.
const NAMED: [&str; 4] = ["recent", "hashlimit", "rateest", "nfacct"];

impl Rule {
    /// The bucket of `-m hashlimit --hashlimit-upto`, one for each key; `None` if the rule has none, or counts bytes.
    pub fn hash_limit(&self) -> Option<RuleLimit> {
        let upto = self.hash_option(&["--hashlimit-upto", "--hashlimit"]).filter(|(clause, _)| !clause.negated);
        let above = self.hash_option(&["--hashlimit-above"]).filter(|(clause, _)| clause.negated);
        self.bucket_of(upto.or(above)?.1)
    }

    /// The bucket of `-m hashlimit --hashlimit-above`: the rule matches packets over the limit.
    pub fn hash_above(&self) -> Option<RuleLimit> {
        let inverse = self.hash_option(&["--hashlimit-upto", "--hashlimit"]).filter(|(clause, _)| clause.negated);
        let above = self.hash_option(&["--hashlimit-above"]).filter(|(clause, _)| !clause.negated);
        self.bucket_of(above.or(inverse)?.1)
    }

    /// The rate of [`Rule::hash_limit`].
    pub fn hash_rate(&self) -> Option<Rate> {
        let limit = self.hash_limit()?;
        Rate::new(limit.count.into(), limit.seconds.into())
    }

    /// The stateful matches, in the order of the text.
    pub fn remembers(&self) -> impl Iterator<Item = &str> {
        self.modules.iter().map(|module| module.name.as_str()).filter(|name| REMEMBERS.contains(name))
    }

    /// Those of [`Rule::remembers`] whose rate is unknown: neither a `limit` nor a `hashlimit` with a packet rate.
    pub fn remembers_unread(&self) -> impl Iterator<Item = &str> {
        let reads_hash = self.hash_limit().is_some();
        self.remembers().filter(move |name| *name != "limit" && !(*name == "hashlimit" && reads_hash))
    }

    /// The argument of an option (with its dashes) of the match `module`, if it is unsupported otherwise.
    pub fn argument(&self, module: &str, option: &str) -> Option<&str> {
        self.option(module, &[option]).map(|(_, argument)| argument)
    }

    /// The clause of the first of these options (with their dashes) of `hashlimit`.
    pub fn hash_clause(&self, names: &[&str]) -> Option<&Clause> {
        self.hash_option(names).map(|(clause, _)| clause)
    }

    fn bucket_of(&self, rate: &str) -> Option<RuleLimit> {
        let Match::Limit { count, seconds } = super::match_kind::limit(rate)? else { return None };
        let burst = match self.argument("hashlimit", "--hashlimit-burst") {
            Some(burst) => super::number::parse(burst)?,
            None => RuleLimit::DEFAULT.burst,
        };
        Some(RuleLimit { count, seconds, burst })
    }

    /// True if the match `module` has this option (with its dashes).
    pub fn has_option(&self, module: &str, option: &str) -> bool {
        let of_module = self.clauses.iter().filter(|clause| clause.module.as_deref() == Some(module));
        let texts = of_module.filter_map(|clause| self.text.get(clause.span.clone()));
        texts.into_iter().any(|text| text.split([' ', '=', '\t']).any(|word| word == option))
    }

    fn hash_option(&self, names: &[&str]) -> Option<(&Clause, &str)> {
        self.option("hashlimit", names)
    }

    fn option(&self, module: &str, names: &[&str]) -> Option<(&Clause, &str)> {
        let of_module = |clause: &&Clause| clause.module.as_deref() == Some(module);
        self.clauses.iter().filter(of_module).find_map(|clause| {
            let words = self.text.get(clause.span.clone())?.trim_start_matches('!').trim_start();
            let (name, argument) = words.split_once([' ', '=', '\t'])?;
            names.contains(&name).then_some((clause, argument.trim().trim_matches('"')))
        })
    }
}

impl Listing {
    /// True if a rule keeps a named list of addresses (`recent`, `hashlimit`, a set), which outlives the rule.
    pub fn keeps_lists(&self) -> bool {
        self.rules().any(|rule| {
            let writes_a_set = rule.target.as_ref().is_some_and(|target| target.name == "SET");
            writes_a_set || rule.modules.iter().any(|module| NAMED.contains(&module.name.as_str()))
        })
    }
}

/// True if `ruleset` keeps lists of addresses, so that its effects depend on earlier packets. The matches have the same
/// names in both families.
pub fn keeps_lists(ruleset: &Source) -> bool {
    Listing::parse(Family::Ipv4, ruleset).keeps_lists()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(matches: &str) -> Rule {
        let text = format!("*filter\n-A INPUT {matches} -j LOG\nCOMMIT\n");
        let listing = Listing::parse(Family::Ipv4, &Source { name: "rules.v4".into(), text: text.into() });
        listing.rules().next().expect("a rule").clone()
    }

    #[test]
    fn hashlimit_upto_a_rate_is_read() {
        for text in [
            "-m hashlimit --hashlimit-name x --hashlimit-mode srcip --hashlimit-upto 5/min --hashlimit-burst 7",
            "-m hashlimit --hashlimit 300/hour --hashlimit-name x --hashlimit-burst 7",
            "-m hashlimit ! --hashlimit-above 5/minute --hashlimit-name x --hashlimit-burst 7",
        ] {
            assert_eq!(rule(text).hash_rate().map(|rate| rate.to_string()).as_deref(), Some("5/min"), "{text}");
            assert_eq!(rule(text).hash_limit().map(|limit| limit.burst), Some(7), "{text}");
            assert_eq!(rule(text).remembers_unread().count(), 0, "{text}");
        }
    }

    #[test]
    fn hashlimit_above_a_rate_or_in_bytes_is_not_read() {
        for text in [
            "-m hashlimit --hashlimit-name x --hashlimit-above 5/min",
            "-m hashlimit --hashlimit-name x ! --hashlimit-upto 5/min",
            "-m hashlimit --hashlimit-name x --hashlimit-upto 512kb/s",
        ] {
            assert_eq!(rule(text).hash_limit(), None, "{text}");
            assert_eq!(rule(text).remembers_unread().collect::<Vec<_>>(), ["hashlimit"], "{text}");
        }
    }

    #[test]
    fn lists_are_found_however_the_match_is_spelt() {
        for (text, keeps) in [
            ("--match recent --name x --set", true),
            ("-m  hashlimit --hashlimit-name x --hashlimit-upto 5/min", true),
            ("-m comment --comment \"-m recent\"", false),
            ("-m limit --limit 5/min", false),
        ] {
            let text = format!("*filter\n-A INPUT {text} -j DROP\nCOMMIT\n");
            let source = Source { name: "rules.v4".into(), text: text.clone().into() };
            assert_eq!(Listing::parse(Family::Ipv4, &source).keeps_lists(), keeps, "{text}");
        }
    }
}
