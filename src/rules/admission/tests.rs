//! Rulesets that exceed a limit, and similar ones that do not.

use super::*;
use proptest::prelude::*;

const TERMS: Terms = Terms { limits: Limits::USUAL, bridge_filter: true };

fn source(text: String) -> Source {
    Source { name: "rules.v4".into(), text: text.into() }
}

fn admit(lines: &str) -> Result<(), InputError> {
    TERMS.admit_new(Family::Ipv4, &source(format!("*filter\n:INPUT ACCEPT [0:0]\n{lines}\nCOMMIT\n")))
}

fn problem(lines: &str) -> String {
    admit(lines).expect_err(lines).problem
}

/// Chains that jump to the next one `width` times, `depth` deep.
fn nested(width: usize, depth: usize) -> String {
    let declared: String = (0..depth).map(|at| format!(":c{at} - [0:0]\n")).collect();
    let jumps = (1..depth).flat_map(|at| (0..width).map(move |_| format!("-A c{} -p tcp -j c{at}\n", at - 1)));
    format!("{declared}{}-A INPUT -j c0\n-A c{} -p tcp", jumps.collect::<String>(), depth - 1)
}

#[test]
fn jumps_that_multiply_are_refused_with_the_chain_named() {
    let problem = problem(&nested(10, 8));
    assert!(problem.contains("chain c7 of filter is entered up to 10000000 times by one packet"), "{problem}");
    assert!(admit(&nested(10, 4)).is_ok());
    assert!(admit(&nested(100, 60)).unwrap_err().problem.contains(&u64::MAX.to_string()), "saturated");
}

#[test]
fn a_bound_on_time_holds_for_every_way_to_write_a_jump() {
    let repeated = nested(10, 8);
    for (from, to) in [
        ("-p tcp -j c", "-p tcp --jump=c"),
        ("-p tcp -j c", "-p tcp -vj c"),
        ("-A c", "-I c"),
        ("-A c", "[1:2]-A c"),
        ("-p tcp -j c", "-j c"),
    ] {
        assert!(problem(&repeated.replace(from, to)).contains("entered up to"), "{to}");
    }
    // Lists of addresses multiply as well, including those that are too long to be expanded.
    let list = vec!["10.0.0.1"; 1_000].join(",");
    let lists = format!(":a - [0:0]\n:b - [0:0]\n-A INPUT -s {list} -j a\n-A a -s {list} -j b\n-A b -s {list}");
    assert!(problem(&lists).contains("chain b of filter is entered up to 1000000 times"), "{}", problem(&lists));
    // A deleted rule is counted, since it is unknown which of two equal rules `-D` deletes.
    assert!(problem(&format!("{repeated}\n-D INPUT 1")).contains("entered up to"));
    assert!(problem(&format!("{repeated}\n-F INPUT")).contains("entered up to"));
    assert!(problem("-N a\n-E a b").contains("-E is refused"));
    assert!(problem("-A INPUT -p tcp\n-R INPUT 1 -j ACCEPT").contains("-R is refused"));
}

#[test]
fn a_table_that_comes_again_is_bounded_each_time() {
    let filter = |lines: &str| format!("*filter\n:INPUT ACCEPT [0:0]\n{lines}\nCOMMIT\n");
    let admit = |text: String| TERMS.admit(Family::Ipv4, &source(text));
    assert!(admit(filter("-A INPUT -j DROP").repeat(2)).is_ok());
    assert!(admit(filter("-A INPUT -j DROP").repeat(101)).unwrap_err().problem.contains("more than 100 tables"));
    for text in [filter(&nested(10, 8)) + &filter(""), filter("") + &filter(&nested(10, 8))] {
        let error = admit(text.clone()).unwrap_err();
        assert!(error.problem.contains("chain c7 of filter is entered up to 10000000 times"), "{}", error.problem);
        let line = 1 + text.lines().position(|line| line.starts_with(":c7")).expect("it is declared");
        assert!(error.to_string().contains(&format!(" --> rules.v4:{line}:1")), "{error}");
    }
    let half = filter(&"-A INPUT -m string --algo bm --string x\n".repeat(600));
    assert!(admit(half.clone()).is_ok());
    assert!(admit(half.repeat(2)).unwrap_err().problem.contains("takes most"), "both are loaded");
    let circle = filter("") + &filter(":a - [0:0]\n-A a -j a");
    assert!(admit(circle).unwrap_err().to_string().contains(" --> rules.v4:8:1"));
    let lists =
        filter("").repeat(3) + &filter(&format!(":a - [0:0]\n-A INPUT -s {} -j a", vec!["10.0.0.1"; 1_000].join(",")));
    assert!(admit(lists.replace("-A INPUT", "-A a -p tcp -m string --algo bm --string x\n-A INPUT")).is_err());
}

#[test]
fn rules_for_different_ports_exclude_one_another() {
    let logged =
        |count: usize, rule: &str| (1..=count).map(|at| rule.replace('#', &at.to_string()) + "\n").collect::<String>();
    let chain = ":l - [0:0]\n-A l -j LOG\n";
    for rule in ["-A INPUT -p tcp -m tcp --dport # -j LOG", "-A INPUT -p tcp -m tcp --dport # -j l"] {
        assert!(admit(&format!("{chain}{}", logged(2_000, rule))).is_ok(), "{rule}");
        for all in [
            rule.replace('#', "7"),
            rule.replace("--dport", "! --dport"),
            rule.replace("--dport", "--sport"),
            rule.replace("--dport #", "--dport 1:20"),
        ] {
            assert!(admit(&format!("{chain}{}", logged(500, &all))).is_err(), "{all}");
        }
    }
}

#[test]
fn a_chain_that_no_packet_leaves_is_not_multiplied() {
    let log_drop = ":d - [0:0]\n-A d -j LOG\n-A d -j DROP\n";
    let jumps = |count: usize| "-A INPUT -p tcp --dport 1 -j d\n".repeat(count);
    assert!(admit(&format!("{log_drop}{}", jumps(2_000))).is_ok());
    let returns = log_drop.replace("-A d -j DROP", "-A d -p tcp -j DROP");
    assert!(problem(&format!("{returns}{}", jumps(2_000))).contains("chain d of filter is entered up to 2000 times"));
}

#[test]
fn a_circle_of_jumps_is_refused_and_ends() {
    let circle = ":a - [0:0]\n:b - [0:0]\n-A a -j b\n-A b -p tcp -j a\n-A INPUT -j a";
    assert!(problem(circle).contains("leads back to its own chain"));
    let deep = nested(1, 5_000);
    assert!(admit(&deep).is_ok(), "as deep as it is long");
}

#[test]
fn a_long_flat_ruleset_is_admitted() {
    // A tenth of the time for a tenth of 50,000 and of 10,000 rules.
    let tenth = Terms { limits: Limits { nanoseconds: Limits::USUAL.nanoseconds / 10, ..Limits::USUAL }, ..TERMS };
    let long = "-p tcp -m tcp --dport 22 -m comment --comment x -m conntrack --ctstate NEW";
    for (rule, count) in [("-s 10.1.2.3/32", 5_000), (long, 1_000)] {
        let text =
            format!("*filter\n:INPUT DROP [0:0]\n{}COMMIT\n", format!("-A INPUT {rule} -j DROP\n").repeat(count));
        assert!(tenth.admit(Family::Ipv4, &source(text)).is_ok(), "{rule}");
    }
    let of_string = "-A INPUT -m string --algo bm --string x\n".repeat(1_000);
    assert!(problem(&of_string).contains("chain INPUT of filter takes most"));
    let few = Terms { limits: Limits { rules: 100, ..Limits::USUAL }, ..TERMS };
    let problem = |text: String| few.admit(Family::Ipv4, &source(text)).unwrap_err().problem;
    assert!(problem(format!("*filter\n{}", "-A INPUT -j DROP\n".repeat(101))).contains("makes more than 100 rules"));
    assert!(problem(format!("*filter\n{}", ":a - [0:0]\n".repeat(101))).contains("declares more than 100 chains"));
}

#[test]
fn each_kind_of_memory_is_bounded() {
    let many =
        |rule: &str, count: usize| (0..count).map(|at| rule.replace('#', &at.to_string()) + "\n").collect::<String>();
    let hashlimit = "-A INPUT -m hashlimit --hashlimit-upto 1/s --hashlimit-name h#";
    for (rule, legal, too_many) in [
        (format!("{hashlimit} --hashlimit-htable-size 1048576"), 7, 9),
        (format!("{hashlimit} --hashlimit-htable-si=0x100000"), 7, 9),
        (hashlimit.to_owned(), 900, 1_100),
        ("-A INPUT -m recent --name r# --set".to_owned(), 1_000, 4_000),
        ("-A INPUT -m recent --name r# --rcheck --hitcount 65535".to_owned(), 2, 3),
        ("-A INPUT -m connlimit --connlimit-above #".to_owned(), 8_000, 25_000),
        ("-A INPUT -m bpf --bytecode \"1,6 0 0 #\"".to_owned(), 4_000, 16_000),
    ] {
        assert_eq!(admit(&many(&rule, legal)).map_err(|error| error.problem), Ok(()), "{rule}");
        assert!(problem(&many(&rule, too_many)).contains("MiB of kernel memory"), "{rule}");
    }
    let large = Terms { limits: Limits::LARGE, ..TERMS };
    let text = format!("*filter\n{}COMMIT\n", many("-A INPUT -m recent --name r# --rcheck --hitcount 65535", 3));
    assert!(large.admit(Family::Ipv4, &source(text)).is_ok());
}

#[test]
fn an_extension_that_is_not_on_the_list_is_refused_however_it_is_named() {
    for rule in [
        "-j IDLETIMER --timeout 5 --label x",
        "-jIDLETIMER --timeout 5 --label x",
        "-vj IDLETIMER",
        "--jump=IDLETIMER",
        "--j IDLETIMER",
        "-j \"IDLETIMER\"",
        "-g IDLETIMER",
        "-m comment --comment -j IDLETIMER",
        "-m osf --genre Linux",
        "--mat=nfacct",
        "-mgeoip --source-country XX",
        "-j TARPIT",
        "-j SYSRQ",
        "-j CT --timeout x",
        "-j CT --helpe=ftp",
        "-m bpf --object-pinned /sys/fs/bpf/x",
        "-m cgroup --pa /x",
    ] {
        assert!(problem(&format!("-A INPUT {rule}")).contains("is refused"), "{rule}");
        assert!(problem(&format!("-A INPUT {rule}\n-F INPUT")).contains("is refused"), "{rule}");
        assert!(problem(&format!(":IDLETIMER - [0:0]\n-A INPUT {rule}")).contains("is refused"), "{rule}");
    }
    assert!(problem(":LOG - [0:0]\n-A INPUT -j LOG").contains("a chain of this table has the name of a target"));
    let bridged = "*filter\n-A INPUT -m physdev --physdev-in eth0\nCOMMIT\n".to_owned();
    assert!(TERMS.admit(Family::Ipv4, &source(bridged.clone())).is_ok());
    let refused = Terms { bridge_filter: false, ..TERMS }.admit(Family::Ipv4, &source(bridged));
    assert!(refused.unwrap_err().problem.contains("br_netfilter"));
}

#[test]
fn a_name_of_a_host_is_refused_and_every_number_is_not() {
    for option in
        ["-s example.org", "-sexample.org", "! -d localhost", "--dst=a/8", "-s 1.1.1.1,x", "-d 256.1.1.1", "-s 1/x"]
    {
        assert!(
            problem(&format!("-A INPUT {option} -j DROP")).contains("names of hosts and networks are refused"),
            "{option}"
        );
    }
    for rule in [
        "-m conntrack --ctorigsrc x",
        "-j TEE --gateway x",
        "-j TPROXY --on-port 1 --on-ip x",
        "-m recent --set --mask x",
    ] {
        assert!(problem(&format!("-A INPUT {rule}")).contains("names of hosts and networks are refused"), "{rule}");
    }
    for rule in [
        "-s 10/8 -d 0/0",
        "-s 1.2.3.4,10.0.0.0/255.0.0.255",
        "! -s 10.0.0.1 -p tcp --sport ssh --dport http",
        "-m set --match-set x src,dst",
        "-m string --algo bm --string x --to 9999",
        "-j CONNMARK --save-mark --mask 0xff",
        "-m comment --comment \"-s example.org -j X\" -j LOG --log-prefix \"-m x: \"",
        "-j DNAT --to-destination 10.0.0.1:80",
    ] {
        assert_eq!(admit(&format!("-A INPUT {rule}")).map_err(|error| error.problem), Ok(()), "{rule}");
    }
    let v6 = |rule: &str| TERMS.admit(Family::Ipv6, &source(format!("*filter\n-A INPUT {rule}\nCOMMIT\n")));
    assert!(v6("-s fe80::/10,::1 -d fe80::/ffc0::").is_ok());
    assert!(v6("-s beef").is_err());
}

#[test]
fn the_place_is_shown() {
    let ruleset = source("*filter\n[0:0] -A INPUT -p tcp -j IDLETIMER --timeout 9 --label x\nCOMMIT\n".to_owned());
    insta::assert_snapshot!(TERMS.admit(Family::Ipv4, &ruleset).unwrap_err(), @r"
    error: -j IDLETIMER is refused: timers with the same label are one timer in the whole machine, so it would restart that of the host
     --> rules.v4:2:23
      |
    2 | [0:0] -A INPUT -p tcp -j IDLETIMER --timeout 9 --label x
      |                       ^^^^^^^^^^^^
      |
      = help: only extensions that are proved to stay within the lab are loaded: see docs/limits.md
    ");
    let ruleset = source(format!("*filter\n:INPUT ACCEPT [0:0]\n{}\nCOMMIT\n", nested(20, 6)));
    insta::assert_snapshot!(TERMS.admit(Family::Ipv4, &ruleset).unwrap_err(), @r"
    error: chain c5 of filter is entered up to 3200000 times by one packet, which may spend 105095 µs in these rules, more than 1000 µs
     --> rules.v4:8:1
      |
    8 | :c5 - [0:0]
      | ^^^^^^^^^^^
      |
      = help: if the ruleset is trusted, --allow-large raises this limit
    ");
}

proptest! {
    #[test]
    fn any_text_is_read_to_its_end(lines in prop::collection::vec("(-[AIDmjgsd]|--[a-z]{1,8}|:[A-Z]{1,3}|\\*filter|c[0-9]|\\PC{0,6})( (-[mjsg]|c[0-9]|\"[^\n]{0,4}|\\PC{0,6})){0,5}", 0..12)) {
        let _ = TERMS.admit(Family::Ipv4, &source(lines.join("\n")));
    }
}
