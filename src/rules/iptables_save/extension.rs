//! The options of each match and target, and the number of their arguments. From the `--help` texts and option tables
//! of iptables 1.8.9 (extensions/lib{xt,ipt,ip6t}_*.c).

/// A match (`-m`) or a target (`-j`).
#[derive(Debug)]
pub(super) struct ExtensionModule {
    /// Its name after `-m` or `-j`.
    pub name: &'static str,
    /// Options without an argument, separated by blanks.
    flags: &'static str,
    /// Options with one argument.
    valued: &'static str,
}

impl ExtensionModule {
    /// Its options: name, and number of arguments.
    pub fn options(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let flags = self.flags.split_ascii_whitespace().map(|name| (name, 0));
        flags.chain(self.valued.split_ascii_whitespace().map(|name| (name, arguments(name))))
    }
}

/// The number of arguments; a few options have two.
fn arguments(option: &str) -> usize {
    match option {
        "tcp-flags" | "match-set" | "add-set" | "del-set" | "map-set" => 2,
        _ => 1,
    }
}

/// The match of this name, if its options are known.
pub(super) fn known_match(name: &str) -> Option<&'static ExtensionModule> {
    MATCHES.iter().find(|extension| extension.name == name)
}

/// The target of this name, if its options are known.
pub(super) fn known_target(name: &str) -> Option<&'static ExtensionModule> {
    TARGETS.iter().find(|extension| extension.name == name)
}

const fn extension(name: &'static str, flags: &'static str, valued: &'static str) -> ExtensionModule {
    ExtensionModule { name, flags, valued }
}

const PORTS: &str = "source-port sport destination-port dport";

const MATCHES: &[ExtensionModule] = &[
    extension("addrtype", "limit-iface-in limit-iface-out", "src-type dst-type"),
    extension("ah", "ahres", "ahspi ahlen"),
    extension("bpf", "", "bytecode object-pinned"),
    extension("cgroup", "", "path cgroup"),
    extension("comment", "", "comment"),
    extension("connbytes", "", "connbytes connbytes-dir connbytes-mode"),
    extension("connlabel", "set", "label"),
    extension("connlimit", "connlimit-saddr connlimit-daddr", "connlimit-upto connlimit-above connlimit-mask"),
    extension("connmark", "", "mark"),
    extension(
        "conntrack",
        "",
        "ctstate ctproto ctorigsrc ctorigdst ctreplsrc ctrepldst ctorigsrcport ctorigdstport ctreplsrcport \
         ctrepldstport ctstatus ctexpire ctdir",
    ),
    extension("cpu", "", "cpu"),
    extension("dccp", "", "source-port sport destination-port dport dccp-types dccp-option"),
    extension("devgroup", "", "src-group dst-group"),
    extension("dscp", "", "dscp dscp-class"),
    extension("ecn", "ecn-tcp-cwr ecn-tcp-ece", "ecn-ip-ect"),
    extension("esp", "", "espspi"),
    extension("eui64", "", ""),
    extension("frag", "fragres fragfirst fragmore fraglast", "fragid fraglen"),
    extension(
        "hashlimit",
        "hashlimit-rate-match",
        "hashlimit-upto hashlimit-above hashlimit hashlimit-mode hashlimit-srcmask hashlimit-dstmask hashlimit-name \
         hashlimit-burst hashlimit-htable-size hashlimit-htable-max hashlimit-htable-gcinterval \
         hashlimit-htable-expire hashlimit-rate-interval",
    ),
    extension("helper", "", "helper"),
    extension("hl", "", "hl-eq hl-lt hl-gt"),
    extension("icmp", "", "icmp-type"),
    extension("icmp6", "", "icmpv6-type"),
    extension("iprange", "", "src-range dst-range"),
    extension("ipv6header", "soft", "header"),
    extension("length", "", "length"),
    extension("limit", "", "limit limit-burst"),
    extension("mac", "", "mac-source"),
    extension("mark", "", "mark"),
    extension("multiport", "", "source-ports sports source-port destination-ports dports destination-port dport ports"),
    extension("osf", "", "genre ttl log"),
    extension("owner", "socket-exists suppl-groups", "uid-owner gid-owner"),
    extension("physdev", "physdev-is-in physdev-is-out physdev-is-bridged", "physdev-in physdev-out"),
    extension("pkttype", "", "pkt-type"),
    extension("policy", "strict next", "dir pol reqid spi proto mode tunnel-src tunnel-dst"),
    extension("quota", "", "quota"),
    extension("realm", "", "realm"),
    extension("recent", "set rcheck update remove reap rttl rsource rdest", "seconds hitcount name mask"),
    extension("rpfilter", "loose validmark accept-local invert", ""),
    extension("sctp", "", "source-port sport destination-port dport"),
    extension(
        "set",
        "return-nomatch update-counters update-subcounters",
        "match-set packets-eq packets-lt packets-gt bytes-eq bytes-lt bytes-gt",
    ),
    extension("socket", "nowildcard transparent restore-skmark", ""),
    extension("state", "", "state"),
    extension("statistic", "", "mode probability every packet"),
    extension("string", "icase", "from to algo string hex-string"),
    extension("tcp", "syn", "source-port sport destination-port dport tcp-flags tcp-option"),
    extension("tcpmss", "", "mss"),
    extension("time", "kerneltz utc localtz contiguous", "datestart datestop timestart timestop monthdays weekdays"),
    extension("tos", "", "tos"),
    extension("ttl", "", "ttl-eq ttl-lt ttl-gt ttl"),
    extension("u32", "", "u32"),
    extension("udp", "", PORTS),
    extension("udplite", "", PORTS),
];

const TARGETS: &[ExtensionModule] = &[
    extension("ACCEPT", "", ""),
    extension("DROP", "", ""),
    extension("RETURN", "", ""),
    extension("AUDIT", "", "type"),
    extension("CHECKSUM", "checksum-fill", ""),
    extension("CLASSIFY", "", "set-class"),
    extension(
        "CONNMARK",
        "restore-mark save-mark",
        "and-mark ctmask left-shift-mark mask nfmask or-mark right-shift-mark set-mark set-xmark xor-mark",
    ),
    extension("CONNSECMARK", "restore save", ""),
    extension("CT", "notrack", "ctevents expevents helper timeout zone zone-orig zone-reply"),
    extension("DNAT", "persistent random random-fully", "to-destination"),
    extension("DSCP", "", "set-dscp set-dscp-class"),
    extension("ECN", "ecn-tcp-remove", ""),
    extension("HL", "", "hl-set hl-dec hl-inc"),
    extension("LOG", "log-tcp-sequence log-tcp-options log-ip-options log-uid log-macdecode", "log-level log-prefix"),
    extension(
        "HMARK",
        "",
        "hmark-tuple hmark-mod hmark-offset hmark-rnd hmark-src-prefix hmark-dst-prefix hmark-sport hmark-dport hmark-spi hmark-sport-mask hmark-dport-mask hmark-spi-mask hmark-proto-mask",
    ),
    extension("IDLETIMER", "alarm", "timeout label"),
    extension("LED", "led-always-blink", "led-trigger-id led-delay"),
    extension("RATEEST", "", "rateest-name rateest-interval rateest-ewmalog"),
    extension("SECMARK", "", "selctx"),
    extension("CLUSTERIP", "new", "hashmode clustermac total-nodes local-node hash-init"),
    extension("DNPT", "", "src-pfx dst-pfx"),
    extension("SNPT", "", "src-pfx dst-pfx"),
    extension("QUEUE", "", ""),
    extension("MARK", "", "and-mark or-mark set-mark set-xmark xor-mark"),
    extension("MASQUERADE", "random random-fully", "to-ports"),
    extension("NETMAP", "", "to"),
    extension("NFLOG", "", "nflog-group nflog-prefix nflog-range nflog-size nflog-threshold"),
    extension("NFQUEUE", "queue-bypass queue-cpu-fanout", "queue-balance queue-num"),
    extension("NOTRACK", "", ""),
    extension("REDIRECT", "random", "to-ports"),
    extension("REJECT", "", "reject-with"),
    extension("SET", "exist map-mark map-prio map-queue", "add-set del-set map-set timeout"),
    extension("SNAT", "persistent random random-fully", "to-source"),
    extension("SYNPROXY", "ecn sack-perm timestamp", "mss wscale"),
    extension("TCPMSS", "clamp-mss-to-pmtu", "set-mss"),
    extension("TCPOPTSTRIP", "", "strip-options"),
    extension("TEE", "", "gateway oif"),
    extension("TOS", "", "and-tos or-tos set-tos xor-tos"),
    extension("TPROXY", "", "on-ip on-port tproxy-mark"),
    extension("TRACE", "", ""),
    extension("TTL", "", "ttl-set ttl-dec ttl-inc"),
    extension("ULOG", "", "ulog-cprange ulog-nlgroup ulog-prefix ulog-qthreshold"),
];
