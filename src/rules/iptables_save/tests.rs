//! Rulesets as people write them. iptables' interpretation of each was measured in a network namespace.

use proptest::prelude::*;

use super::*;

fn source(text: &str) -> Source {
    Source { name: "rules.v4".into(), text: text.into() }
}

fn listing(text: &str) -> Listing {
    Listing::parse(Family::Ipv4, &source(text))
}

/// The rules of INPUT after `lines` have been executed.
fn input(lines: &str) -> Vec<Rule> {
    let listing = listing(&format!("*filter\n{lines}\nCOMMIT\n"));
    listing.chain("filter", "INPUT").map(|chain| chain.rules.clone()).unwrap_or_default()
}

/// A rule in `family` as text: each clause with its module and its text, then the target.
fn shown_in(family: Family, rule: &str) -> String {
    let listing = Listing::parse(family, &source(&format!("*filter\n-A INPUT {rule}\n")));
    let Some(rule) = listing.rules().next() else { return "nothing".to_owned() };
    let clause = |clause: &Clause| {
        let not = if clause.negated { "! " } else { "" };
        let module = clause.module.as_ref().map_or(String::new(), |module| format!("{module} "));
        format!("{not}{module}{} = `{}`", ask_shown(&clause.ask), &rule.text[clause.span.clone()])
    };
    let mut parts: Vec<String> = rule.clauses.iter().map(clause).collect();
    parts.extend(rule.target.as_ref().map(|target| target_shown(target, &rule.text)));
    parts.join("; ")
}

fn ask_shown(ask: &Match) -> String {
    match ask {
        Match::Source(prefix) | Match::Destination(prefix) => prefix.to_string(),
        Match::SourcePorts(ports) => format!("from {ports}"),
        Match::DestinationPorts(ports) => format!("to {ports}"),
        Match::State(states) => states.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(","),
        other => format!("{other:?}"),
    }
}

fn target_shown(target: &Target, text: &str) -> String {
    let go = if target.goto { "go to" } else { "do" };
    format!("{go} {} {:?} = `{}`", target.name, target.options, &text[target.span.clone()])
}

fn shown(rule: &str) -> String {
    shown_in(Family::Ipv4, rule)
}

/// The targets of INPUT's rules with their lines.
fn order(lines: &str) -> String {
    let target = |rule: &Rule| rule.target.as_ref().map_or("-", |target| target.name.as_str()).to_owned();
    input(lines).iter().map(|rule| format!("{}:{}", rule.line, target(rule))).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_option_is_read_in_each_of_its_forms() {
    for (rules, read) in [
        (&["-p tcp", "--protocol tcp", "--proto=TCP", "-ptcp", "-p 6", "-p 0x6"][..], "Protocol(6) = `…`"),
        (&["-p all", "-p 0"], "Protocol(0) = `…`"),
        (&["! -p udp", "-p ! udp"], "! Protocol(17) = `…`"),
        (&["-p no-such"], r#"Other("…") = `…`"#),
        (&["-s 10.1.2.3/8", "--source 10/8", "--src 10.0.0.0/255.0.0.0", "--sour 10.0.0.0/8"], "10.0.0.0/8 = `…`"),
        (&["-s localhost", "-f", "--no-such-option a b", "--mac-source 00:0c:29:4f:8e:35"], r#"Other("…") = `…`"#),
        (&["-i eth0", "--in-interface eth0", "--in-=eth0"], r#"InInterface("eth0") = `…`"#),
        (&["-o eth+", "--out-interface eth+"], r#"OutInterface("eth+") = `…`"#),
        // iptables 1.8.9 saves `-i -ieth0`.
        (&["-ieth0"], r#"InInterface("-ieth0") = `…`"#),
    ] {
        for rule in rules {
            assert_eq!(shown(rule), read.replace('…', rule), "{rule}");
        }
    }
}

#[test]
fn every_option_of_a_match_is_read_in_each_of_its_forms() {
    for (module, rules, read) in [
        ("-p tcp", &["--dport 22", "--destination-port 22", "--dpo 22", "--dport=22", "--dport ssh"][..], "tcp to 22"),
        ("-p tcp", &["--dport 1:100"], "tcp to 1-100"),
        ("-p tcp", &["--dport :100"], "tcp to 0-100"),
        ("-p udp", &["--sport 100:", "--source-port 100:65535"], "udp from 100-65535"),
        ("-p tcp", &["! --dport 22", "--dport ! 22"], "! tcp to 22"),
        ("-p tcp", &["--dport no-such", "--dport 25:22", "--tcp-option 8"], r#"tcp Other("…")"#),
        ("-m multiport", &["--dports 80,443,1000:2000", "--dport 443,80,1000:2000"], "multiport to 80,443,1000-2000"),
        ("-m multiport", &["--sports 22"], "multiport from 22"),
        ("-m multiport", &["--ports 22"], r#"multiport Other("…")"#),
        (
            "-p tcp",
            &["--tcp-flags ALL FIN,PSH,URG", "--tcp-flags all fin,urg,psh"],
            "tcp TcpFlags { mask: 63, comp: 41 }",
        ),
        ("-p tcp", &["! --tcp-flags ALL NONE"], "! tcp TcpFlags { mask: 63, comp: 0 }"),
        ("-p tcp", &["--syn", "--tcp-flags FIN,SYN,RST,ACK SYN"], "tcp TcpFlags { mask: 23, comp: 2 }"),
        ("-p tcp", &["--tcp-flags SYN,ECE SYN"], r#"tcp Other("…")"#),
        ("-m state", &["--state NEW,INVALID", "--state INVALID,NEW"], "state INVALID,NEW"),
        ("-m conntrack", &["--ctstate EST,rel", "--ctstate RELATED,ESTABLISHED"], "conntrack ESTABLISHED,RELATED"),
        ("-m conntrack", &["--ctstate NEW,DNAT", "--ctproto tcp"], r#"conntrack Other("…")"#),
        ("-m limit", &["--limit 5/min", "--limit 5/minute", "--limit 5/m"], "limit Limit { count: 5, seconds: 60 }"),
        ("-m limit", &["--limit 300/hour"], "limit Limit { count: 300, seconds: 3600 }"),
        ("-m limit", &["--limit 5", "--limit 5/s", "--limit 5/SEC"], "limit Limit { count: 5, seconds: 1 }"),
        ("-m limit", &["--limit 5/x", "--limit 5/", "--limit -5/s"], r#"limit Other("…")"#),
        ("-m limit", &["--limit-burst 7", "--limit-b 7"], "limit LimitBurst(7)"),
        (
            "-p icmp",
            &["--icmp-type 8", "--icmp-type echo-request", "--icmp-type ping"],
            "icmp IcmpType(Some((8, None)))",
        ),
        ("-p icmp", &["--icmp-type 3/4", "--icmp-type fragmentation-needed"], "icmp IcmpType(Some((3, Some(4))))"),
        ("-p icmp", &["--icmp-type any"], "icmp IcmpType(None)"),
        ("-m comment", &["--comment \"a b\"", "--comment=\"a b\""], r#"comment Comment("a b")"#),
        ("-m comment", &["--comment !", "--comment \"!\""], r#"comment Comment("!")"#),
        ("-m comment", &["--comment -j"], r#"comment Comment("-j")"#),
        ("-m set", &["--match-set name src,dst", "! --match-set name src"], "…"),
        ("-m recent", &["--rcheck", "--name n"], r#"recent Other("…")"#),
        ("-m no-such", &["--what a b"], r#"no-such Other("…")"#),
    ] {
        for option in rules {
            let shown = shown(&format!("{module} {option} -j DROP"));
            let (before, after) = shown.rsplit_once("; ").unwrap();
            let clause = before.split("; ").last().unwrap();
            if read != "…" {
                assert_eq!(clause, format!("{} = `{option}`", read.replace('…', option)), "{option}");
            }
            assert_eq!(after, "do DROP [] = `-j DROP`", "{option}");
        }
    }
}

#[test]
fn targets_keep_their_options() {
    assert_eq!(shown("-jDROP"), "do DROP [] = `-jDROP`");
    assert_eq!(shown("--jump=scans"), "do scans [] = `--jump=scans`");
    assert_eq!(shown("-g scans"), "go to scans [] = `-g scans`");
    assert_eq!(
        shown("-j LOG --log-pre \"a: \" --log-uid --log-level=7"),
        r#"do LOG [("--log-prefix", "a: "), ("--log-uid", ""), ("--log-level", "7")] = `-j LOG --log-pre "a: " --log-uid --log-level=7`"#
    );
    assert_eq!(
        shown("-j REJECT --reject-with tcp-reset"),
        r#"do REJECT [("--reject-with", "tcp-reset")] = `-j REJECT --reject-with tcp-reset`"#
    );
    assert_eq!(
        shown("-j NEW --flag --pair a b"),
        r#"do NEW [("--flag", ""), ("--pair", "a b")] = `-j NEW --flag --pair a b`"#
    );
}

#[test]
fn an_option_belongs_to_the_last_that_owns_it() {
    // iptables 1.8.9 saves `-p tcp -m multiport --dports 3 -m tcp --dport 1`.
    assert_eq!(
        shown("-p tcp -m multiport -m tcp --dport 1 --dports 3"),
        "Protocol(6) = `-p tcp`; tcp to 1 = `--dport 1`; multiport to 3 = `--dports 3`"
    );
    // iptables 1.8.9 saves `-p tcp -m tcp --dport 22 -j LOG --log-prefix x`.
    assert_eq!(
        shown("-j LOG -p tcp --dport 22 --log-prefix x"),
        r#"Protocol(6) = `-p tcp`; tcp to 22 = `--dport 22`; do LOG [("--log-prefix", "x")] = `-j LOG`"#
    );
    let rule = &input("-A INPUT -j LOG -p tcp --log-prefix x --log-uid")[0];
    let apart: Vec<&str> =
        rule.target.iter().flat_map(|target| &target.apart).map(|at| &rule.text[at.clone()]).collect();
    assert_eq!(apart, ["--log-prefix x", "--log-uid"]);
}

#[test]
fn the_beginning_of_two_options_is_none() {
    // iptables 1.8.9: unknown option "--s".
    assert_eq!(shown("-p tcp --s 1.1.1.1"), r#"Protocol(6) = `-p tcp`; Other("--s 1.1.1.1") = `--s 1.1.1.1`"#);
    // The match of the protocol is not loaded yet: `--sour` is `--source`. iptables 1.8.9 saves `-s 1.1.1.1/32 -p tcp`.
    assert_eq!(shown("-p tcp --sour 1.1.1.1"), "Protocol(6) = `-p tcp`; 1.1.1.1/32 = `--sour 1.1.1.1`");
}

#[test]
fn ipv6_has_its_own_addresses_and_types() {
    let v6 = |rule| shown_in(Family::Ipv6, rule);
    assert_eq!(v6("-s fe80::/10"), "fe80::/10 = `-s fe80::/10`");
    assert_eq!(v6("-s 10.0.0.0/8"), r#"Other("-s 10.0.0.0/8") = `-s 10.0.0.0/8`"#);
    assert_eq!(
        v6("-p icmpv6 --icmpv6-type neighbour-solicitation"),
        "Protocol(58) = `-p icmpv6`; icmp6 IcmpType(Some((135, None))) = `--icmpv6-type neighbour-solicitation`"
    );
}

#[test]
fn a_rule_for_the_other_family_is_passed_over() {
    // iptables-restore 1.8.9 loads the second one only, silently.
    assert_eq!(shown("-6 -s fe80::/10 -j DROP"), "nothing");
    assert_eq!(shown("--ipv4 -j DROP"), "do DROP [] = `-j DROP`");
    assert_eq!(shown_in(Family::Ipv6, "-j DROP -4"), "nothing");
}

#[test]
fn commands_are_carried_out_in_order() {
    for (lines, then) in [
        ("-A INPUT -j ACCEPT\n-I INPUT -j DROP", "3:DROP 2:ACCEPT"),
        ("-A INPUT -j ACCEPT\n--insert INPUT 2 -j DROP", "2:ACCEPT 3:DROP"),
        ("-A INPUT -j ACCEPT\n--ins INPUT 9 -j DROP", "2:ACCEPT 3:DROP"),
        ("-A INPUT -j ACCEPT\n-A INPUT -j DROP\n-D INPUT 1", "3:DROP"),
        ("-A INPUT -j ACCEPT\n-A INPUT -j DROP\n-D INPUT 3\n-D INPUT 0", "2:ACCEPT 3:DROP"),
        ("-A INPUT -j ACCEPT\n-A INPUT -j DROP\n-R INPUT 1 -j REJECT", "4:REJECT 3:DROP"),
        ("-A INPUT -p tcp --dport 22 -j DROP\n-D INPUT -p tcp -m tcp --dport 22 -j DROP", ""),
        ("-A INPUT -s 10.1.2.3/8 -j DROP\n-D INPUT -j DROP -s 10.0.0.0/8 -d 0/0", ""),
        ("-A INPUT -p tcp -j DROP\n-D INPUT -p tcp -j ACCEPT", "2:DROP"),
        ("-A INPUT -j DROP\n-F FORWARD\n-Z INPUT\n-L\n-C INPUT -j DROP", "2:DROP"),
        ("-A INPUT -j DROP\n-F", ""),
        ("-A INPUT -j DROP\n--flush INPUT\n-A INPUT -j ACCEPT", "4:ACCEPT"),
        ("-N a\n-A a -j DROP\n-E a INPUT", "3:DROP"),
        ("-j DROP -A INPUT", "2:DROP"),
        ("--append=INPUT -j DROP\n-AINPUT -j ACCEPT", "2:DROP 3:ACCEPT"),
        // iptables-nft 1.8.9: a built-in chain that is declared again keeps its rules.
        ("-A INPUT -j ACCEPT\n:INPUT DROP [0:0]", "2:ACCEPT"),
    ] {
        assert_eq!(order(lines), then, "{lines}");
    }
}

#[test]
fn a_list_of_addresses_makes_several_rules() {
    let pairs = |lines: &str| -> Vec<String> {
        let asks = |rule: &Rule| rule.clauses.iter().map(|clause| ask_shown(&clause.ask)).collect::<Vec<_>>().join(">");
        input(lines).iter().map(asks).collect()
    };
    // iptables 1.8.9, both backends: sources in the outer loop, destinations in the inner one; `-I` puts each before
    // the last one.
    let appended = ["1.0.0.0/8>3.0.0.0/8", "1.0.0.0/8>4.0.0.0/8", "2.0.0.0/8>3.0.0.0/8", "2.0.0.0/8>4.0.0.0/8"];
    assert_eq!(pairs("-A INPUT -s 1/8,2/8 -d 3/8,4/8"), appended);
    let inserted: Vec<&str> = appended.iter().rev().copied().collect();
    assert_eq!(pairs("-I INPUT -s 1/8,2/8 -d 3/8,4/8"), inserted);
    // `-D` removes one rule for each.
    assert_eq!(pairs("-A INPUT -s 1/8\n-A INPUT -s 2/8\n-A INPUT -s 1/8\n-D INPUT -s 1/8,2/8"), ["1.0.0.0/8"]);
}

#[test]
fn address_lists_expand_to_a_bounded_number_of_rules() {
    let addresses = vec!["0"; 2_000].join(",");
    assert!(input(&format!("-A INPUT -s {addresses} -d {addresses}")).len() <= 2_000);
}

#[test]
fn tables_and_chains_are_found_with_their_lines() {
    let listing = listing(
        "# x\n\n*nat\n:PREROUTING ACCEPT [1:2]\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n:scans - [0:0]\n-N more\n[1:2] -A scans -j RETURN\n-A OUTPUT -j ACCEPT\n",
    );
    let tables: Vec<(&str, usize)> = listing.tables.iter().map(|table| (table.name.as_str(), table.line)).collect();
    assert_eq!(tables, [("nat", 3), ("filter", 6)]);
    let line = |name| listing.chain("filter", name).map(|chain| (chain.line, chain.policy, chain.rules.len()));
    assert_eq!(line("INPUT"), Some((Some(7), Some(Policy::Drop), 0)));
    assert_eq!(line("scans"), Some((Some(8), None, 1)));
    assert_eq!(line("more"), Some((Some(9), None, 0)));
    assert_eq!(line("OUTPUT"), Some((None, None, 1)));
    let rules: Vec<_> = listing.placed_rules().map(|at| (at.table, at.chain, at.number, at.rule.line)).collect();
    assert_eq!(rules, [("filter", "scans", 1, 10), ("filter", "OUTPUT", 1, 11)]);
    let rule = &listing.chain("filter", "scans").unwrap().rules[0];
    assert_eq!((&*rule.text, &listing.source.text[rule.span.clone()]), ("-A scans -j RETURN", "-A scans -j RETURN"));
}

#[test]
fn a_table_that_comes_again_starts_anew() {
    // iptables-restore 1.8.9 without --noflush: one REJECT rule is left.
    let listing = listing("*filter\n-A INPUT -j ACCEPT\n-N a\nCOMMIT\n*filter\n-A INPUT -j REJECT\nCOMMIT\n");
    assert_eq!(listing.rules().map(|rule| rule.line).collect::<Vec<_>>(), [6]);
    assert!(listing.chain("filter", "a").is_none());
}

#[test]
fn odd_white_space_does_no_harm() {
    let text = "*filter \n:INPUT DROP [0:0]\n\t\n [1:2] -A\n[0:0]\t-A INPUT\t-p tcp  -j\tDROP \t\nCOMMIT\n";
    let listing = listing(text);
    let chain = &listing.tables[0].chains[0];
    let rule = &chain.rules[0];
    assert_eq!((chain.policy, rule.line, &*rule.text), (Some(Policy::Drop), 5, "-A INPUT\t-p tcp  -j\tDROP"));
    assert_eq!(&listing.source.text[rule.span.clone()], rule.text);
    // iptables 1.8.9 parses ` # x` as a rule, and refuses it.
    assert_eq!(order(" # -A INPUT -j DROP\n#-A INPUT -j DROP"), "2:DROP");
}

#[test]
fn a_carriage_return_is_part_of_a_word() {
    // iptables 1.8.9 logs with the prefix `x\r`.
    let listing = listing("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j LOG --log-prefix x\r\nCOMMIT\n");
    let rule = listing.rules().next().unwrap();
    assert_eq!(rule.log_prefix().as_deref(), Some("x\r"));
}

#[test]
fn rules_outside_of_a_table_are_ignored() {
    assert_eq!(listing("-A INPUT -j DROP\n*filter\nCOMMIT\n-A INPUT -j DROP\n:x -\n").rules().count(), 0);
}

#[test]
fn a_prefix_is_cut_to_what_the_kernel_keeps() {
    let prefix = |text: &str| input(&format!("-A INPUT -j LOG --log-prefix \"{text}\""))[0].log_prefix();
    assert_eq!(prefix("a: ").as_deref(), Some("a: "));
    assert_eq!(prefix("12345678901234567890123456789X").as_deref(), Some("12345678901234567890123456789"));
    assert_eq!(prefix("1234567890123456789012345678é").as_deref(), Some("1234567890123456789012345678\u{fffd}"));
    assert_eq!(input("-A INPUT -j LOG")[0].log_prefix().as_deref(), Some(""));
    assert_eq!(input("-A INPUT -j NFLOG --nflog-prefix x")[0].log_prefix().as_deref(), Some("nflog:0 x"));
    assert_eq!(input("-A INPUT -j NFLOG --nflog-group 65101")[0].log_prefix(), None, "the lab's own block");
}

#[test]
fn a_limit_has_defaults() {
    let limit = |text: &str| input(&format!("-A INPUT {text}"))[0].limit();
    assert_eq!(limit("-m limit"), Some(RuleLimit { count: 3, seconds: 3_600, burst: 5 }));
    assert_eq!(limit("-m limit --limit 5/min"), Some(RuleLimit { count: 5, seconds: 60, burst: 5 }));
    assert_eq!(limit("-m limit --limit 5/min --limit-burst 1"), Some(RuleLimit { count: 5, seconds: 60, burst: 1 }));
    assert_eq!(limit("-p tcp"), None);
}

#[test]
fn a_rule_ends_goes_on_or_jumps() {
    let facts = |text: &str| {
        let rule = &input(&format!("-A INPUT {text}"))[0];
        (rule.is_terminal(), rule.is_jump(), rule.uses_conntrack())
    };
    for text in ["-j ACCEPT", "-j DROP", "-j REJECT", "-j NFQUEUE --queue-num 1"] {
        assert_eq!(facts(text), (true, false, false), "{text}");
    }
    for text in ["-j LOG", "-j NFLOG", "-j TRACE", "-j MARK --set-mark 1", "-p tcp"] {
        assert_eq!(facts(text), (false, false, false), "{text}");
    }
    for text in ["-j scans", "-g scans", "-j RETURN"] {
        assert_eq!(facts(text), (false, true, false), "{text}");
    }
    assert_eq!(facts("-m state --state NEW -j ACCEPT"), (true, false, true));
    assert_eq!(facts("-m conntrack --ctstate NEW"), (false, false, true));
    assert_eq!(facts("-j CT --notrack"), (false, false, false));
    assert_eq!(facts("-j NOTRACK"), (false, false, false));
    assert_eq!(facts("-j CT --zone 1"), (false, false, true));
}

fn check_spans(listing: &Listing) {
    for rule in listing.rules() {
        assert_eq!(&listing.source.text[rule.span.clone()], rule.text);
        let target = rule.target.iter().flat_map(|target| target.apart.iter().chain([&target.span]));
        let spans =
            rule.clauses.iter().map(|clause| &clause.span).chain(rule.modules.iter().map(|module| &module.span));
        for span in spans.chain(target) {
            assert!(rule.text.get(span.clone()).is_some_and(|text| !text.is_empty()), "{span:?} of {}", rule.text);
        }
    }
}

/// The result of every rewrite can be parsed as a rule again.
fn check_rewrites(listing: &Listing) {
    for rule in listing.rules() {
        for clause in &rule.clauses {
            for text in
                [rule.without(clause), rule.with(clause, "-i lo"), rule.negating(clause), rule.with_target("-j DROP")]
            {
                check_spans(&Listing::parse(listing.family, &source(&format!("*filter\n{text}\n"))));
            }
        }
    }
}

/// Words of rules, valid and broken, so that most texts are parsed far.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        " ",
        "\t",
        "\n",
        "\r\n",
        "!",
        "-A INPUT",
        "-I INPUT",
        "-D INPUT 1",
        "-R INPUT 1",
        "-F",
        "-X",
        "-E a b",
        "*filter\n",
        "COMMIT\n",
        ":a -\n",
        "[1:2]",
        "-p tcp",
        "-ptcp",
        "--dport",
        "22",
        "=",
        "--tcp-flags",
        "ALL",
        "-m",
        "limit",
        "--limit",
        "5/min",
        "-j",
        "LOG",
        "--log-prefix",
        "\"",
        "\\",
        "é",
        "\u{201c}",
        "-s 1/8,2/8",
        "-d",
        "1.1.1.1,::1",
        "--",
        "-",
        "-é",
        "--é",
        "=é",
        "#",
        "-i",
        "-g",
        "-c",
        "--match-set",
        "state",
        "--state",
        "NEW,é",
        "--icmp-type",
        "3/é",
        "-6",
        "-vfi",
    ]);
    prop::collection::vec((piece, prop::bool::weighted(0.7)), 0..60).prop_map(|words| {
        words.iter().map(|(word, blank)| format!("{word}{}", if *blank { " " } else { "" })).collect()
    })
}

proptest! {
    #[test]
    fn the_iptables_save_parser_given_any_text_does_not_panic(text in any::<String>(), rule in "\\PC*") {
        check_spans(&listing(&text));
        check_spans(&listing(&format!("*filter\n-A INPUT {rule}\n")));
    }

    #[test]
    fn no_ruleset_makes_the_reader_panic(text in pieces()) {
        for family in Family::BOTH {
            check_spans(&Listing::parse(family, &source(&text)));
            check_spans(&Listing::parse(family, &source(&format!("*filter\n-A INPUT {text}"))));
            check_rewrites(&Listing::parse(family, &source(&format!("*filter\n-A INPUT {text}"))));
        }
    }
}

/// Rules of all kinds, with every protocol's match named, so that no option depends on another clause.
const RULES: &[&str] = &[
    "-A INPUT -i lo -j ACCEPT",
    "-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -m limit --limit 5/min --limit-burst 7 -j LOG --log-prefix \"a: \"",
    "-A INPUT ! -s 10.0.0.0/8 -d 1.2.3.4 -p udp -m udp ! --sport 53 -m comment --comment \"x y\" -j DROP",
    "-A INPUT -p icmp -m icmp --icmp-type 8 -m limit --limit 1/sec -j ACCEPT",
    "-A INPUT -p tcp -m multiport --dports 80,443 -m tcp --tcp-flags ALL NONE -m state ! --state NEW -g scans",
    "-A INPUT -m recent --set --name n --rsource -m no-such --what a b -f -o eth+ -j NEW --x",
];

#[test]
fn a_rule_without_a_clause_asks_for_all_the_others() {
    for text in RULES {
        let rule = &input(text)[0];
        for (at, clause) in rule.clauses.iter().enumerate() {
            let shorter = rule.without(clause);
            let left = input(&shorter);
            let bound = matches!(clause.ask, Match::Limit { .. });
            let kept =
                |(other, one): &(usize, &Clause)| *other != at && !(bound && matches!(one.ask, Match::LimitBurst(_)));
            let expected: Vec<_> =
                rule.clauses.iter().enumerate().filter(kept).map(|(_, one)| (&one.ask, one.negated)).collect();
            let observed: Vec<_> = left[0].clauses.iter().map(|one| (&one.ask, one.negated)).collect();
            assert_eq!(expected, observed, "{shorter}");
            assert_eq!(
                left[0].target.as_ref().map(|target| &target.options),
                rule.target.as_ref().map(|target| &target.options)
            );
        }
    }
}

#[test]
fn turning_a_clause_around_twice_changes_nothing() {
    for text in RULES {
        let rule = &input(text)[0];
        for (at, clause) in rule.clauses.iter().enumerate() {
            let turned = &input(&rule.negating(clause))[0];
            assert_eq!(turned.clauses[at].negated, !clause.negated, "{}", turned.text);
            assert_eq!(turned.negating(&turned.clauses[at]), rule.text);
        }
    }
}

/// The time to parse many lines of each kind that was once quadratic.
#[test]
fn commands_that_change_many_chains_or_rules_are_read_in_seconds() {
    let chains = |count: usize| (0..count).map(|at| format!("-N c{at}\n-A c{at}\n")).collect::<String>();
    let rule = |verb: &str, at: usize| format!("-{verb} INPUT -s 10.{}.{}.1\n", at >> 8, at & 255);
    let rules = |verb: &str, count: usize| (0..count).map(|at| rule(verb, at)).collect::<String>();
    for (name, lines) in [
        ("-F", format!("{}{}", chains(10_000), "-F\n".repeat(10_000))),
        ("-X", format!("{}{}", chains(10_000), "-X\n".repeat(10_000))),
        ("-F with a rule", format!("{}{}", chains(10_000), "-A INPUT\n-F\n".repeat(10_000))),
        ("-D RULE", format!("{}{}", rules("A", 10_000), (0..10_000).rev().map(|at| rule("D", at)).collect::<String>())),
        ("-D of no rule", format!("{}{}", rules("A", 10_000), "-D INPUT -s 192.0.2.1\n".repeat(10_000))),
        ("-I in the middle", format!("{}{}", rules("A", 10_000), "-I INPUT 5000 -s 192.0.2.1\n".repeat(10_000))),
    ] {
        let source = Source { name: "rules.v4".into(), text: format!("*filter\n{lines}COMMIT\n").into() };
        let start = std::time::Instant::now();
        let listing = Listing::parse(Family::Ipv4, &source);
        assert!(start.elapsed().as_secs() < 10, "{name}: {:?}", start.elapsed());
        let left = listing.rules().count();
        let expected = match name {
            "-X" | "-D of no rule" => 10_000,
            "-I in the middle" => 20_000,
            _ => 0,
        };
        assert_eq!(left, expected, "{name}");
    }
}

#[test]
fn a_bare_x_deletes_the_empty_chains_of_ones_own_only() {
    let text = "*filter\n:INPUT ACCEPT\n-N a\n-N b\n-N c\n-A b\n-E c d\n-A INPUT\n-F INPUT\n-X\n-N a\nCOMMIT\n";
    let listing = Listing::parse(Family::Ipv4, &Source { name: "rules.v4".into(), text: text.into() });
    let names: Vec<&str> = listing.tables[0].chains.iter().map(|chain| chain.name.as_str()).collect();
    assert_eq!(names, ["INPUT", "b", "a"]);
}
