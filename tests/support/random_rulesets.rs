//! Random rulesets with all features of iptables that a prober can see. The same seed gives the same ruleset.
//!
//! `statistic` is left out, and so are fields in which the two probers differ: the TTL and the source port are random,
//! and the options of a connect are those of its kernel (`length`, `--tcp-option 8`). Rules that count packets are
//! added separately ([`Ruleset::add_rules_that_count`]), since nmap must not send a packet twice to them.

use std::fmt::{self, Display, Formatter};

use scanlab::net::Family;

/// The ports in the rules.
pub const PORTS: [u16; 7] = [22, 23, 24, 80, 81, 1001, 1002];
/// The ports with a listener.
pub const LISTEN: [u16; 3] = [22, 80, 1001];
/// The addresses of a machine that is reached through the host, and the ports of its listeners.
pub const MACHINE: (&str, &str) = ("198.51.100.7", "2001:db8:9::7");
pub const LISTEN_BEHIND: [u16; 3] = [23, 80, 1002];

/// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (2014).
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// The direction of the packets in a built-in chain: from the prober, or from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    In,
    Out,
}

#[derive(Debug, Clone)]
struct Chain {
    name: String,
    /// The policy of a built-in chain.
    policy: Option<&'static str>,
}

#[derive(Debug, Clone)]
struct Table {
    name: &'static str,
    chains: Vec<Chain>,
    rules: Vec<String>,
}

/// The tables of one family.
#[derive(Debug, Clone)]
pub struct Ruleset {
    tables: Vec<Table>,
}

impl Display for Ruleset {
    /// Formats it for iptables-restore.
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for table in &self.tables {
            writeln!(formatter, "*{}", table.name)?;
            for Chain { name, policy } in &table.chains {
                writeln!(formatter, ":{name} {} [0:0]", policy.unwrap_or("-"))?;
            }
            table.rules.iter().try_for_each(|rule| writeln!(formatter, "{rule}"))?;
            writeln!(formatter, "COMMIT")?;
        }
        Ok(())
    }
}

impl Ruleset {
    pub fn draw(random: &mut Random, family: Family) -> Ruleset {
        Ruleset::draw_tables(random, family, false)
    }

    /// A ruleset without nat, whose rules also match fields that nmap and scanlab do not send alike, and change them.
    pub fn draw_of_all_fields(random: &mut Random, family: Family) -> Ruleset {
        Ruleset::draw_tables(random, family, true)
    }

    fn draw_tables(random: &mut Random, family: Family, has_more: bool) -> Ruleset {
        let mut tables = Vec::new();
        for (name, chains, often, most) in TABLES {
            let is_left_out = has_more && name == "nat";
            if !is_left_out && random.below(10) < often {
                let mut draft = Draft { random, family, table: name, rules: Vec::new(), has_more };
                tables.push(draft.table(chains, most));
            }
        }
        Ruleset { tables }
    }

    /// Adds rules whose verdict depends on earlier packets: `limit`, `hashlimit`, `recent`, `quota`. None of them
    /// counts an RST: nmap's kernel resets a half-open connection at any time, before or after the next probe.
    pub fn add_rules_that_count(&mut self, random: &mut Random, family: Family) {
        for number in 0..=random.below(3) {
            let tables: Vec<&mut Table> = self.tables.iter_mut().filter(|table| table.name != "nat").collect();
            let at = random.below(tables.len());
            let table = tables.into_iter().nth(at).expect("the table filter is always there");
            // Most of them in the first chain, which sees the probes.
            let chains: Vec<&str> = table.chains.iter().map(|chain| chain.name.as_str()).collect();
            let chain = if random.once_in(3) { random.one_of(&chains) } else { chains[0] };
            let protocol = random.one_of(&["-p tcp ! --tcp-flags RST RST", "-p tcp ! --tcp-flags RST RST", "-p udp"]);
            let matched = rule_match_that_counts(random, &format!("{family}{number}"));
            let target = random.one_of(&["-j DROP", "-j ACCEPT", "-j ACCEPT", ""]);
            // REJECT is for the table filter only.
            let target = if table.name == "filter" && random.once_in(4) { "-j REJECT" } else { target };
            let place = random.below(table.rules.len() + 1);
            table.rules.insert(place, format!("-A {chain} {protocol} {matched} {target}").trim_end().to_owned());
        }
    }

    /// A ruleset with these rules of the table filter only.
    pub fn of_rules(rules: &[&str]) -> Ruleset {
        let chain = |name: &str| Chain { name: name.to_owned(), policy: Some("ACCEPT") };
        let chains = ["INPUT", "OUTPUT"].map(chain).to_vec();
        let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
        Ruleset { tables: vec![Table { name: "filter", chains, rules }] }
    }

    /// All rulesets with one part less: a table, a policy, a rule, a chain that no rule names.
    pub fn smaller(&self) -> Vec<Ruleset> {
        let with = |change: &dyn Fn(&mut Vec<Table>)| {
            let mut smaller = self.clone();
            change(&mut smaller.tables);
            smaller
        };
        let mut all = Vec::new();
        for (at, table) in self.tables.iter().enumerate() {
            all.push(with(&|tables| drop(tables.remove(at))));
            for rule in 0..table.rules.len() {
                all.push(with(&|tables| drop(tables[at].rules.remove(rule))));
            }
            for (number, chain) in table.chains.iter().enumerate() {
                if chain.policy == Some("DROP") {
                    all.push(with(&|tables| tables[at].chains[number].policy = Some("ACCEPT")));
                }
                let is_named = |rule: &String| rule.split(' ').any(|word| word == chain.name);
                if chain.policy.is_none() && !table.rules.iter().any(is_named) {
                    all.push(with(&|tables| drop(tables[at].chains.remove(number))));
                }
            }
        }
        all
    }
}

/// A match that depends on earlier packets. No rate lets another packet pass during a scan.
fn rule_match_that_counts(random: &mut Random, name: &str) -> String {
    let few = 1 + random.below(6);
    match random.below(4) {
        0 => format!("-m limit --limit 1/hour --limit-burst {few}"),
        1 => {
            let sense = random.one_of(&["upto", "above"]);
            let mode = random.one_of(&["srcip", "dstport", "srcip,dstport", "srcip,srcport", "dstip"]);
            let rate = format!("--hashlimit-{sense} 1/hour --hashlimit-burst {few} --hashlimit-mode {mode}");
            format!("-m hashlimit {rate} --hashlimit-name hash{name}")
        }
        2 => {
            // All rules of a family share one table.
            let name = &name[..name.len() - 1];
            let within = random.one_of(&["", "--seconds 600", "--rttl"]);
            let hits = format!("{within} --hitcount {few} --name recent{name}");
            match random.below(4) {
                0 | 1 => format!("-m recent --set --name recent{name}"),
                2 => format!("-m recent --rcheck {hits}"),
                _ => format!("-m recent {}--update {hits}", random.one_of(&["", "! "])),
            }
        }
        _ => format!("-m quota --quota {}", 60 * few),
    }
}

type BuiltIn = (&'static str, Way);

/// The tables, with their built-in chains, the probability in tenths, and the largest number of rules.
const TABLES: [(&str, &[BuiltIn], usize, usize); 4] = [
    ("raw", &[("PREROUTING", Way::In), ("OUTPUT", Way::Out)], 4, 4),
    ("mangle", &[("PREROUTING", Way::In), ("INPUT", Way::In), ("OUTPUT", Way::Out), ("POSTROUTING", Way::Out)], 4, 5),
    ("nat", &[("PREROUTING", Way::In), ("OUTPUT", Way::Out)], 4, 4),
    ("filter", &[("INPUT", Way::In), ("OUTPUT", Way::Out)], 10, 12),
];

/// A table under construction.
struct Draft<'a> {
    random: &'a mut Random,
    family: Family,
    table: &'static str,
    rules: Vec<String>,
    /// True for rules on all fields.
    has_more: bool,
}

impl Draft<'_> {
    fn table(&mut self, built_in: &[BuiltIn], most: usize) -> Table {
        let users: Vec<String> = (1..=self.random.below(4)).map(|number| format!("user{number}")).collect();
        let mut chains = Vec::new();
        for (name, _) in built_in {
            let drops = self.table != "nat" && self.random.once_in(12);
            chains.push(Chain { name: (*name).to_owned(), policy: Some(if drops { "DROP" } else { "ACCEPT" }) });
        }
        chains.extend(users.iter().map(|name| Chain { name: name.clone(), policy: None }));
        for _ in 0..=self.random.below(most) {
            let (chain, way) = self.random.one_of(built_in);
            // Probes are matched more often than answers.
            let (chain, way) = if self.random.once_in(2) { built_in[0] } else { (chain, way) };
            self.rule(chain, way, &users);
        }
        for (number, user) in users.iter().enumerate() {
            for _ in 0..self.random.below(4) {
                let way = self.random.one_of(&[Way::In, Way::In, Way::Out]);
                self.rule(user, way, &users[number + 1..]);
            }
        }
        Table { name: self.table, chains, rules: self.rules.clone() }
    }

    /// A rule; it jumps only to `later` chains, so that there are no loops.
    fn rule(&mut self, chain: &str, way: Way, later: &[String]) {
        let protocol = self.random.one_of(&["tcp", "tcp", "tcp", "tcp", "udp", "icmp", "all", "all"]);
        let mut words = vec![format!("-A {chain}")];
        words.extend(self.place(way));
        let is_not = protocol == "tcp" && self.random.once_in(10);
        words.extend(self.protocol(protocol, is_not));
        if !is_not {
            words.extend(match protocol {
                "tcp" => self.of_tcp(way),
                "udp" => self.of_ports(way),
                "icmp" => self.of_icmp(),
                _ => Vec::new(),
            });
        }
        // A rule without a match would decide on all packets.
        if words.len() < 3 || self.random.once_in(4) {
            words.push(self.of_connections());
        }
        if self.random.once_in(10) {
            words.push(self.of_marks());
        }
        if self.has_more && self.random.once_in(3) {
            words.push(self.of_other_fields(chain));
        }
        let protocol = if is_not { "all" } else { protocol };
        words.push(self.target(protocol, later));
        self.rules.push(words.join(" "));
    }

    fn not(&mut self) -> &'static str {
        if self.random.once_in(4) { "! " } else { "" }
    }

    fn place(&mut self, way: Way) -> Option<String> {
        let not = self.not();
        let (link, far, near) = match way {
            Way::In => ("-i", "-s", "-d"),
            Way::Out => ("-o", "-d", "-s"),
        };
        let networks: [[&str; 5]; 2] = match self.family {
            Family::Ipv4 => [
                ["203.0.113.66/32", "203.0.113.64/28", "203.0.113.0/24", "198.51.100.0/24", "203.0.113.67/32"],
                ["203.0.113.10/32", "203.0.113.0/28", "203.0.0.0/16", "198.51.100.0/24", "203.0.113.11/32"],
            ],
            Family::Ipv6 => [
                ["2001:db8:113::66/128", "2001:db8:113::60/124", "2001:db8:113::/64", "2001:db8:9::/64", "fe80::/10"],
                ["2001:db8:113::10/128", "2001:db8:113::/112", "2001:db8::/32", "2001:db8:9::/64", "fe80::/10"],
            ],
        };
        match self.random.below(6) {
            0 => Some(format!("{not}{link} {}", self.random.one_of(&["eth0", "eth+", "lo", "eth1"]))),
            1 | 2 => Some(format!("{not}{far} {}", self.random.one_of(&networks[0]))),
            3 => Some(format!("{not}{near} {}", self.random.one_of(&networks[1]))),
            _ => None,
        }
    }

    fn protocol(&mut self, protocol: &str, is_not: bool) -> Option<String> {
        let name = match (protocol, self.family) {
            ("all", _) => return None,
            ("icmp", Family::Ipv6) => "ipv6-icmp",
            (name, _) => name,
        };
        Some(format!("{}-p {name}", if is_not { "! " } else { "" }))
    }

    fn of_tcp(&mut self, way: Way) -> Vec<String> {
        let mut words = self.of_ports(way);
        if words.is_empty() || self.random.once_in(3) {
            words.push(self.of_flags());
        }
        words
    }

    fn of_flags(&mut self) -> String {
        let not = self.not();
        match self.random.below(8) {
            0 | 1 => format!("{not}--syn"),
            2 => format!("{not}--tcp-option {}", self.random.one_of(&["2", "3", "4"])),
            3 => format!("{not}--tcp-flags ALL FIN,PSH,URG"),
            4 => format!("{not}--tcp-flags ALL NONE"),
            _ => format!("{not}--tcp-flags {} {}", self.flags("ALL"), self.flags("NONE")),
        }
    }

    fn flags(&mut self, otherwise: &str) -> String {
        let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG"];
        let chosen: Vec<&str> = names.into_iter().filter(|_| self.random.once_in(3)).collect();
        if chosen.is_empty() { otherwise.to_owned() } else { chosen.join(",") }
    }

    fn of_ports(&mut self, way: Way) -> Vec<String> {
        let not = self.not();
        let (near, far) = if way == Way::In { ("dport", "sport") } else { ("sport", "dport") };
        match self.random.below(10) {
            0..=4 => vec![format!("{not}--{near} {}", self.ports())],
            5 => vec![format!("{not}--{far} {}", self.random.one_of(&["1024:65535", "0:1023", "32768:65535"]))],
            6 | 7 => vec![format!("-m multiport {not}--{near}s {},{}", self.ports(), self.port())],
            8 => vec![format!("-m multiport {not}--ports {},{}", self.port(), self.port())],
            _ => Vec::new(),
        }
    }

    fn port(&mut self) -> u16 {
        self.random.one_of(&PORTS)
    }

    fn ports(&mut self) -> String {
        match self.random.below(6) {
            0 => self.random.one_of(&["22:24", "80:81", "1001:1002", "0:79", "81:1024", "0:65535"]).to_owned(),
            _ => self.port().to_string(),
        }
    }

    fn of_icmp(&mut self) -> Vec<String> {
        let not = self.not();
        let (option, kinds) = match self.family {
            Family::Ipv4 => ("--icmp-type", ["8", "0", "3", "3/3", "3/13"]),
            Family::Ipv6 => ("--icmpv6-type", ["128", "129", "1", "1/4", "1/1"]),
        };
        if self.random.once_in(4) { Vec::new() } else { vec![format!("{not}{option} {}", self.random.one_of(&kinds))] }
    }

    fn of_connections(&mut self) -> String {
        let not = self.not();
        let states = ["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED", "RELATED,ESTABLISHED", "NEW,INVALID"];
        match self.random.below(10) {
            0 | 1 => format!("-m state {not}--state {}", self.random.one_of(&states)),
            2..=6 => format!("-m conntrack {not}--ctstate {}", self.random.one_of(&states)),
            7 => format!("-m conntrack {not}--ctstate DNAT"),
            8 => format!("-m conntrack --ctdir {}", self.random.one_of(&["ORIGINAL", "REPLY"])),
            _ => {
                let status = ["NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED"];
                format!("-m conntrack {not}--ctstatus {}", self.random.one_of(&status))
            }
        }
    }

    fn of_marks(&mut self) -> String {
        let not = self.not();
        format!("-m mark {not}--mark {}", self.random.one_of(&["0x0", "0x1", "0x2/0x2", "0x3"]))
    }

    /// A match of a field that is the same in all packets of a lab, or of a kind of packet.
    fn of_other_fields(&mut self, chain: &str) -> String {
        let not = self.not();
        let v6 = self.family == Family::Ipv6;
        let ttl = if v6 { "-m hl --hl" } else { "-m ttl --ttl" };
        let range = if v6 { "2001:db8:113::60-2001:db8:113::70" } else { "203.0.113.60-203.0.113.70" };
        // MAC addresses are known in these chains only (`xt_mac` in net/netfilter/xt_mac.c).
        let kinds = if matches!(chain, "PREROUTING" | "INPUT") { 10 } else { 9 };
        match self.random.below(kinds) {
            0 => format!("-m length {not}--length {}", self.random.one_of(&["0:40", "41:100", "0:65535", "28"])),
            1 => format!("{ttl}-{}", self.random.one_of(&["lt 65", "gt 60", "lt 10", "eq 64"])),
            2 => format!("-m tos {not}--tos {}", self.random.one_of(&["0x00", "0x10", "0x00/0x1c"])),
            3 => format!("-m dscp {not}--dscp {}", self.random.one_of(&["0x00", "0x01"])),
            4 if v6 => format!("-m pkttype {not}--pkt-type unicast"),
            4 => format!("{not}-f"),
            5 => format!("-m pkttype {not}--pkt-type {}", self.random.one_of(&["unicast", "broadcast", "multicast"])),
            6 => format!("-m addrtype {not}--{}-type {}", self.random.one_of(&["src", "dst"]), "LOCAL"),
            7 => format!("-m iprange {not}--{}-range {range}", self.random.one_of(&["src", "dst"])),
            8 => "-m limit --limit 5/min".to_owned(),
            _ => {
                format!("-m mac {not}--mac-source {}", self.random.one_of(&["02:00:5e:10:00:66", "02:00:5e:10:00:67"]))
            }
        }
    }

    /// A target that changes a field which other rules match.
    fn change(&mut self) -> String {
        let ttl = if self.family == Family::Ipv6 { "HL --hl-set" } else { "TTL --ttl-set" };
        match self.random.below(3) {
            0 => format!("-j {ttl} 9"),
            1 => "-j TOS --set-tos 0x10".to_owned(),
            _ => "-j DSCP --set-dscp 0x01".to_owned(),
        }
    }

    fn target(&mut self, protocol: &str, later: &[String]) -> String {
        if self.has_more && self.table == "mangle" && self.random.once_in(5) {
            return self.change();
        }
        let special = self.random.once_in(2);
        match self.table {
            "raw" if special => return self.random.one_of(&["-j CT --notrack", "-j NOTRACK"]).to_owned(),
            "nat" if special => return self.redirect(protocol),
            "filter" if special => return self.reject(protocol),
            _ => {}
        }
        match self.random.below(13) {
            0..=2 if !later.is_empty() => format!("-j {}", later[self.random.below(later.len())]),
            3 if !later.is_empty() => format!("-g {}", later[self.random.below(later.len())]),
            4 | 5 => self.log(),
            6 => "-j RETURN".to_owned(),
            7 | 8 if self.table == "mangle" || self.table == "raw" => {
                format!("-j MARK --set-xmark {}", self.random.one_of(&["0x1/0xffffffff", "0x2/0x2", "0x0/0x1"]))
            }
            9 | 10 if self.table != "nat" => "-j DROP".to_owned(),
            11 => String::new(),
            _ => "-j ACCEPT".to_owned(),
        }
    }

    fn log(&mut self) -> String {
        let limit = if self.random.once_in(4) { "-m limit --limit 5/min " } else { "" };
        format!("{limit}-j LOG --log-prefix \"{} {}: \"", self.table, self.rules.len() + 1)
    }

    fn redirect(&mut self, protocol: &str) -> String {
        if self.random.once_in(4) {
            return self.forward(protocol);
        }
        match protocol {
            "tcp" | "udp" => format!("-j REDIRECT --to-ports {}", self.port()),
            _ => "-j REDIRECT".to_owned(),
        }
    }

    /// A target that redirects to the machine behind the host, or to the host's own address.
    fn forward(&mut self, protocol: &str) -> String {
        let to = match self.family {
            Family::Ipv4 => self.random.one_of(&[MACHINE.0, "203.0.113.10"]),
            Family::Ipv6 => self.random.one_of(&[MACHINE.1, "2001:db8:113::10"]),
        };
        match (protocol, self.family) {
            ("tcp" | "udp", Family::Ipv4) => format!("-j DNAT --to-destination {to}:{}", self.port()),
            ("tcp" | "udp", Family::Ipv6) => format!("-j DNAT --to-destination [{to}]:{}", self.port()),
            _ => format!("-j DNAT --to-destination {to}"),
        }
    }

    fn reject(&mut self, protocol: &str) -> String {
        let v4 = ["net", "host", "proto", "port"].map(|what| format!("icmp-{what}-unreachable"));
        let v4 = v4.into_iter().chain(["net", "host", "admin"].map(|what| format!("icmp-{what}-prohibited")));
        let v6 = ["no-route", "adm-prohibited", "addr-unreachable", "port-unreachable", "policy-fail", "reject-route"];
        let mut kinds: Vec<String> = match self.family {
            Family::Ipv4 => v4.collect(),
            Family::Ipv6 => v6.map(|what| format!("icmp6-{what}")).to_vec(),
        };
        if protocol == "tcp" {
            kinds.extend(["tcp-reset".to_owned(), "tcp-reset".to_owned()]);
        }
        format!("-j REJECT --reject-with {}", kinds[self.random.below(kinds.len())])
    }
}
