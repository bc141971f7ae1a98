//! Stateful matches, and the rates that can be parsed from them.

use super::{Clause, Listing, Match, Module, Rule, RuleLimit};
use crate::error::Source;
use crate::net::Family;
use crate::net::rate::Rate;

/// iptables-extensions(8): matches whose result depends on earlier packets, connections or the clock.
const REMEMBERS: [&str; 9] =
    ["limit", "hashlimit", "recent", "connlimit", "connbytes", "quota", "statistic", "rateest", "nfacct"];

/// Those of them whose state has a name in the kernel: it survives when a rule is replaced by itself.
const NAMED: [&str; 4] = ["recent", "hashlimit", "rateest", "nfacct"];

impl Rule {
    /// The buckets of all its `limit` matches; a packet has to pass each of them.
    pub fn limits(&self) -> Vec<RuleLimit> {
        self.instances("limit").map(|limit| self.bucket_of_limit(limit)).collect()
    }

    /// The buckets of all its `hashlimit` matches within a rate in packets (`--hashlimit-upto`), one for each key.
    pub fn hash_limits(&self) -> Vec<RuleLimit> {
        self.instances("hashlimit").filter_map(|hash| self.bucket_of_hash(hash, HashSide::Upto)).collect()
    }

    /// The effect of all its `limit` matches together: the slowest rate and the smallest burst.
    pub fn limit(&self) -> Option<RuleLimit> {
        RuleLimit::together(&self.limits())
    }

    /// The effect of all its buckets of `hashlimit` together; `None` if the rule has none, or counts bytes.
    pub fn hash_limit(&self) -> Option<RuleLimit> {
        RuleLimit::together(&self.hash_limits())
    }

    /// The effect of all its `limit` and `hashlimit` matches together: the slowest rate and the smallest burst.
    pub fn packet_limit(&self) -> Option<RuleLimit> {
        RuleLimit::together(&self.packet_limits())
    }

    /// The buckets of all its `limit` and `hashlimit` matches.
    pub fn packet_limits(&self) -> Vec<RuleLimit> {
        [self.limits(), self.hash_limits()].concat()
    }

    /// The bucket of `-m hashlimit --hashlimit-above`: the rule matches packets over the limit.
    pub fn hash_above(&self) -> Option<RuleLimit> {
        self.instances("hashlimit").find_map(|hash| self.bucket_of_hash(hash, HashSide::Above))
    }

    /// The rate of [`Rule::hash_limit`].
    pub fn hash_rate(&self) -> Option<Rate> {
        self.hash_limit()?.rate()
    }

    /// The stateful matches, in the order of the text.
    pub fn remembers(&self) -> impl Iterator<Item = &str> {
        self.modules.iter().map(|module| module.name.as_str()).filter(|name| REMEMBERS.contains(name))
    }

    /// Those of [`Rule::remembers`] whose rate is unknown: neither a `limit` nor a `hashlimit` with a packet rate.
    pub fn remembers_unread(&self) -> impl Iterator<Item = &str> {
        let reads_hash = self.hash_limits().len() == self.instances("hashlimit").count();
        self.remembers().filter(move |name| *name != "limit" && !(*name == "hashlimit" && reads_hash))
    }

    /// The argument of an option (with its dashes) of the match `module`, if it is unsupported otherwise.
    pub fn argument(&self, module: &str, option: &str) -> Option<&str> {
        self.option(module, &[option]).map(|(_, argument)| argument)
    }

    /// The clause of the first of these options (with their dashes) of `hashlimit`.
    pub fn hash_clause(&self, names: &[&str]) -> Option<&Clause> {
        self.option("hashlimit", names).map(|(clause, _)| clause)
    }

    /// The modules of this name: a rule may load one several times, and each has its own options.
    pub(super) fn instances<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Module> {
        self.modules.iter().filter(move |module| module.name == name)
    }

    fn bucket_of_limit(&self, limit: &Module) -> RuleLimit {
        let of_it = self.clauses.iter().filter(|clause| self.module_of(clause) == Some(limit));
        of_it.fold(RuleLimit::DEFAULT, |bucket, clause| match clause.ask {
            Match::Limit { count, seconds } => RuleLimit { count, seconds, ..bucket },
            Match::LimitBurst(burst) => RuleLimit { burst, ..bucket },
            _ => bucket,
        })
    }

    fn bucket_of_hash(&self, hash: &Module, side: HashSide) -> Option<RuleLimit> {
        let option = |names: &[&str]| self.options("hashlimit", names).find(|(c, _)| self.module_of(c) == Some(hash));
        let upto = option(&["--hashlimit-upto", "--hashlimit"]);
        let above = option(&["--hashlimit-above"]);
        let (plain, inverse) = match side {
            HashSide::Upto => (upto, above),
            HashSide::Above => (above, upto),
        };
        let plain = plain.filter(|(clause, _)| !clause.negated);
        let (_, rate) = plain.or_else(|| inverse.filter(|(clause, _)| clause.negated))?;
        let Match::Limit { count, seconds } = super::match_kind::limit(rate)? else { return None };
        let burst = match option(&["--hashlimit-burst"]) {
            Some((_, burst)) => super::number::parse(burst)?,
            None => RuleLimit::DEFAULT.burst,
        };
        Some(RuleLimit { count, seconds, burst })
    }

    /// The list of the match `recent`; iptables-extensions(8) has the default name. `None` without that match.
    pub fn recent_list(&self) -> Option<&str> {
        self.modules.iter().find(|module| module.name == "recent")?;
        Some(self.argument("recent", "--name").unwrap_or("DEFAULT"))
    }

    /// True if the match `module` has this option (with its dashes).
    pub fn has_option(&self, module: &str, option: &str) -> bool {
        let of_module = self.clauses.iter().filter(|clause| clause.module.as_deref() == Some(module));
        let texts = of_module.filter_map(|clause| self.text.get(clause.span.clone()));
        texts.into_iter().any(|text| text.split([' ', '=', '\t']).any(|word| word == option))
    }

    fn option(&self, module: &str, names: &[&str]) -> Option<(&Clause, &str)> {
        self.options(module, names).next()
    }

    pub(super) fn options(&self, module: &str, names: &[&str]) -> impl Iterator<Item = (&Clause, &str)> {
        let of_module = move |clause: &&Clause| clause.module.as_deref() == Some(module);
        self.clauses.iter().filter(of_module).filter_map(move |clause| {
            let words = self.text.get(clause.span.clone())?.trim_start_matches('!').trim_start();
            let (name, argument) = words.split_once([' ', '=', '\t'])?;
            names.contains(&name).then_some((clause, argument.trim().trim_matches('"')))
        })
    }
}

/// The packets that a `hashlimit` matches: those within its rate, or those above it.
#[derive(Clone, Copy)]
enum HashSide {
    Upto,
    Above,
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
    fn each_of_two_limits_has_its_own_options() {
        let two = rule("-m limit --limit 5/min --limit-burst 8 -p tcp -m limit --limit 2/min -m tcp --dport 80");
        let [one, other] = [(5, 8), (2, 5)].map(|(count, burst)| RuleLimit { count, seconds: 60, burst });
        assert_eq!(two.limits(), [one, other]);
        assert_eq!(two.limit(), Some(RuleLimit { count: 2, seconds: 60, burst: 5 }));
        let hashes = "-m hashlimit --hashlimit-upto 5/min --hashlimit-name a -m hashlimit --hashlimit-name b \
                      --hashlimit-upto 1/hour --hashlimit-burst 3";
        let slowest = RuleLimit { count: 1, seconds: 3_600, burst: 3 };
        assert_eq!((rule(hashes).hash_limits().len(), rule(hashes).hash_limit()), (2, Some(slowest)));
        assert_eq!(rule(hashes).hash_rate().map(|rate| rate.to_string()).as_deref(), Some("1/hour"));
    }

    #[test]
    fn one_of_two_hashlimits_that_is_not_read_makes_the_rate_unknown() {
        let two = rule(
            "-m hashlimit --hashlimit-upto 5/min --hashlimit-name a -m hashlimit --hashlimit-above 1/hour \
             --hashlimit-name b",
        );
        assert_eq!(two.remembers_unread().count(), 2);
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
