use std::fs;
use std::path::PathBuf;

use insta::assert_snapshot;

use super::*;
use crate::net::Family;
use crate::net::port::Port;
use crate::probe::scan::{FilterVerdict, PortState, Technique};

const SENSOR: &str = "title = \"t\"\n[sensor]\nssh = 22\n";

fn parse(text: &str) -> Result<Scenario> {
    Scenario::parse(Source { name: "scenario.toml".into(), text: text.into() })
}

fn complaint(text: &str) -> String {
    parse(text).map_or_else(|error| error.to_string(), |scenario| format!("no complaint: {scenario:?}"))
}

fn row_complaints(rows: &[&str]) -> String {
    rows.iter().map(|row| complaint(&format!("{SENSOR}{row}\n"))).collect::<Vec<_>>().join("\n")
}

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// An echo request goes to the host: its row has no ports, and may expect any fact.
#[test]
fn a_row_of_the_echo_request_has_no_ports() {
    let read = |row: &str| {
        let text = format!("title = \"t\"\n[ruleset]\nv4 = \"rules.v4\"\n{row}\n");
        let rules = |path: &Path| Ok(Source { name: path.into(), text: "*filter\nCOMMIT\n".into() });
        Scenario::parse_with(Source { name: "s.toml".into(), text: text.into() }, &rules)
    };
    let row = |rest: &str| format!("[[expect]]\nscan = \"echo\"\n{rest}");
    let scenario = read(&row("state = \"unfiltered\"\nlog = \"\"")).expect("a scenario");
    assert_eq!((scenario.expect[0].select.ports.as_ref(), scenario.expect[0].state.is_some()), (None, true));
    assert!(read(&row("ports = 80\nstate = \"unfiltered\"")).is_err());
}

#[test]
fn every_example_is_read() {
    let scenarios = discover(&[examples()]).unwrap();
    let names: Vec<String> = scenarios
        .iter()
        .map(|scenario| scenario.source.name.strip_prefix(examples()).unwrap().display().to_string())
        .collect();
    for name in ["article-order.toml", "mac/after.toml", "mac/before.toml", "own-ruleset.toml", "sensor-hardened.toml"]
    {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
    }
    assert!(names.is_sorted(), "{names:?}");
}

#[test]
fn rows_are_read() {
    let scenario = parse(&format!(
        "{SENSOR}[[expect]]\nscan = \"all\"\nports = \"1-3,80\"\nstate = \"open|filtered\"\nlog = \"\"\nverdict = \"drop\"\n\
         rate = {{ rate = \"3/sec\", burst = 2 }}\n[[known]]\nscan = [\"ndp\"]\nfamily = \"ipv6\"\nbecause = \"b\"\n"
    ))
    .unwrap();
    let [expect] = &scenario.expect[..] else { panic!("{scenario:?}") };
    assert_eq!(expect.select.subjects, Technique::DERIVED.map(CheckSubject::Scan));
    assert_eq!(expect.select.ports.as_ref().unwrap().to_string(), "1-3,80");
    assert_eq!((expect.state, expect.verdict), (Some(PortState::OpenFiltered), Some(FilterVerdict::Drop)));
    assert_eq!((expect.log.clone(), expect.rate.unwrap().burst, expect.line), (Some(vec![String::new()]), 2, 4));
    let [known] = &scenario.known[..] else { panic!("{scenario:?}") };
    assert_eq!((known.because.as_str(), known.rate, known.line), ("b", false, 11));
    assert!(known.select.covers(CheckSubject::Ndp, None, Family::Ipv6));
    assert!(!known.select.covers(CheckSubject::Ndp, None, Family::Ipv4));
    assert!(expect.select.covers(CheckSubject::Scan(Technique::Xmas), Some(Port(2)), Family::Ipv4));
    assert!(!expect.select.covers(CheckSubject::Scan(Technique::Xmas), Some(Port(4)), Family::Ipv4));
}

#[test]
fn lines_are_a_text_or_a_list() {
    let log = |written: &str, rest: &str| {
        let row = format!("scan = \"syn\"\nports = 80\nlog = {written}\n{rest}");
        let scenario = parse(&format!("{SENSOR}[[expect]]\n{row}\n[[known]]\n{row}because = \"b\"\n")).unwrap();
        assert_eq!(scenario.expect[0].log, scenario.known[0].log);
        scenario.expect[0].log.clone().unwrap()
    };
    let none: [&str; 0] = [];
    assert_eq!(log("\"\"", ""), none);
    assert_eq!(log("[]", ""), none);
    assert_eq!(log("[\"\"]", ""), [""]);
    assert_eq!(log("\"a: \"", ""), ["a: "]);
    assert_eq!(log("[\"a: \"]", ""), ["a: "]);
    assert_eq!(log("[\"a: \", \"b: \", \"\", \"a: \"]", ""), ["a: ", "b: ", "", "a: "]);
}

#[test]
fn complaints_about_lines() {
    assert_snapshot!(row_complaints(&[
        "[[expect]]\nscan = \"syn\"\nports = 80\nlog = 5",
        "[[expect]]\nscan = \"syn\"\nports = 80\nlog = [\"a: \", 5]",
        "[[expect]]\nscan = \"syn\"\nports = 80\nlog = [[\"a: \"]]",
        "[[expect]]\nscan = \"syn\"\nports = 80\nlog = [\"a: \", \"a prefix of more than 29 bytes\"]",
        "[[known]]\npacket = \"udp to 53\"\nlog = [\"a\\nb\"]\nbecause = \"b\"",
        "[[expect]]\nscan = \"syn\"\nports = 80\nlog = [\"a: \", \"b: \"]\nrate = \"5/min\"",
        "[[expect]]\nscan = \"syn\"\nports = 80\nlog = []\nrate = \"5/min\"",
    ]));
}

#[test]
fn a_built_in_scenario_reads_its_compiled_in_files() {
    let source = Source {
        name: "<built-in>/own-ruleset.toml".into(),
        text: include_str!("../../../scenarios/own-ruleset.toml").into(),
    };
    let read = |path: &Path| Ok(Source { name: path.to_owned(), text: "*filter\nCOMMIT\n".into() });
    let ruleset = Scenario::parse_with(source, &read).unwrap().ruleset.unwrap();
    assert_eq!(ruleset.v4.unwrap().name, Path::new("<built-in>/own-ruleset.v4"));
    assert_eq!(ruleset.v6.unwrap().name, Path::new("<built-in>/own-ruleset.v6"));
}

#[test]
fn complaints_about_a_scenario() {
    let texts = [
        "[sensor]\nssh = 22\n",
        "title = \" \"\n[sensor]\nssh = 22\n",
        "title = \"t\"\n",
        "title = \"t\"\n[ruleset]\n",
        "title = \"t\"\n[ruleset]\nv4 = \"no such file.v4\"\n",
        "title = \"t\"\n[ruleset]\nv5 = \"rules\"\nv4 = \"rules\"\n",
        "titel = \"t\"\ntitle = \"t\"\n[sensor]\nssh = 22\n",
        "title = \"t\"\n[sensor]\nssh = 0\n",
    ];
    assert_snapshot!(texts.map(complaint).join("\n"), @r#"
    error: the scenario has no title
     --> scenario.toml:1:1
      |
    1 | [sensor]
      | ^
      |
      = help: add a title that says what it proves: title = "the sensor logs every scan"
    error: the title is empty
     --> scenario.toml:1:9
      |
    1 | title = " "
      |         ^^^
      |
      = help: add a title that says what it proves: title = "the sensor logs every scan"
    error: the scenario has neither [sensor] nor [ruleset]
     --> scenario.toml:1:1
      |
    1 | title = "t"
      | ^
      |
      = help: add [sensor] to test a generated ruleset, [ruleset] to test yours, or both to test yours against the intent
    error: [ruleset] names neither `v4` nor `v6`
     --> scenario.toml:2:1
      |
    2 | [ruleset]
      | ^^^^^^^^^
      |
      = help: name the files: v4 = "rules.v4", v6 = "rules.v6", as iptables-save and ip6tables-save wrote them
    error: cannot read no such file.v4: No such file or directory (os error 2)
     --> scenario.toml:3:6
      |
    3 | v4 = "no such file.v4"
      |      ^^^^^^^^^^^^^^^^^
      |
      = help: paths are relative to the folder of the scenario
    error: cannot read rules: No such file or directory (os error 2)
     --> scenario.toml:4:6
      |
    4 | v4 = "rules"
      |      ^^^^^^^
      |
      = help: paths are relative to the folder of the scenario
    error: unknown key `titel`
     --> scenario.toml:1:1
      |
    1 | titel = "t"
      | ^^^^^
      |
      = help: did you mean `title`? known here: title, tags, sensor, ruleset, host, expect, known
    error: port 0 is out of range
     --> scenario.toml:3:7
      |
    3 | ssh = 0
      |       ^
      |
      = help: ports are 1 to 65535
    "#);
}

#[test]
fn rows_of_packets_are_read() {
    let scenario = parse(&format!(
        "{SENSOR}[[expect]]\npacket = [\"tcp FIN,PSH to 22\", \"icmp 8/0\"]\nverdict = \"drop\"\nlog = \"\"\n\
         [[known]]\npacket = \"udp to 53\"\nfamily = \"ipv6\"\nverdict = \"accept\"\nbecause = \"b\"\n"
    ))
    .unwrap();
    let [expect] = &scenario.expect[..] else { panic!("{scenario:?}") };
    let [fin_psh, ping] = ["tcp FIN,PSH to 22", "icmp 8/0"].map(|text| CheckSubject::Packet(text.parse().unwrap()));
    assert_eq!((&expect.select.subjects, &expect.select.ports), (&vec![fin_psh, ping], &None));
    assert!(expect.select.covers(fin_psh, None, Family::Ipv6));
    let [known] = &scenario.known[..] else { panic!("{scenario:?}") };
    let udp = CheckSubject::Packet("udp to 53".parse().unwrap());
    assert!(known.select.covers(udp, None, Family::Ipv6) && !known.select.covers(udp, None, Family::Ipv4));
    assert!(!known.select.covers(ping, None, Family::Ipv6));
}

#[test]
fn complaints_about_rows_of_packets() {
    assert_snapshot!(row_complaints(&[
        "[[expect]]\npacket = \"tcp SYN,FIN to 22\"\nverdict = \"drop\"",
        "[[expect]]\npacket = [\"udp to 53\", \"upd to 53\"]\nverdict = \"drop\"",
        "[[expect]]\npacket = 22\nverdict = \"drop\"",
        "[[expect]]\npacket = []\nverdict = \"drop\"",
        "[[expect]]\npacket = [\"udp to 53\", \"udp to 53\"]\nverdict = \"drop\"",
        "[[expect]]\npacket = \"udp to 53\"\nscan = \"syn\"\nports = 53\nverdict = \"drop\"",
        "[[expect]]\npacket = \"udp to 53\"\nports = 53\nverdict = \"drop\"",
        "[[expect]]\npacket = \"udp to 53\"\nstate = \"open\"",
        "[[expect]]\npacket = \"udp to 53\"\nlog = \"x: \"\nrate = \"5/min\"",
        "[[expect]]\npacket = \"udp to 53\"",
        "[[expect]]\npacket = \"icmp 8/0\"\nfamily = \"ipv6\"\nverdict = \"drop\"",
        "[[expect]]\npacket = \"udp to 53 from 2001:db8::1\"\nfamily = \"both\"\nverdict = \"drop\"",
        "[[known]]\npacket = \"udp to 53\"\nstate = \"open\"\nbecause = \"b\"",
        "[[known]]\npacket = \"udp to 53\"\nrate = true\nbecause = \"b\"",
        "[[known]]\npacket = \"udp to 53\"",
    ]));
}

#[test]
fn complaints_about_rows() {
    assert_snapshot!(row_complaints(&[
        "[[expect]]\nports = 80\nstate = \"open\"",
        "[[expect]]\nscan = \"smoke\"\nports = 80\nstate = \"open\"",
        "[[expect]]\nscan = []\nports = 80\nstate = \"open\"",
        "[[expect]]\nscan = [\"fin\", \"fin\"]\nports = 80\nstate = \"open\"",
        "[[expect]]\nscan = [\"fin\", \"arp\"]\nports = 80\nstate = \"open\"",
        "[[expect]]\nscan = \"fin\"\nstate = \"open\"",
        "[[expect]]\nscan = \"arp\"\nports = 80\nstate = \"open\"",
        "[[expect]]\nscan = \"fin\"\nports = 80",
        "[[expect]]\nscan = \"vendor\"\nverdict = \"accept\"",
        "[[expect]]\nscan = \"arp\"\nlog = \"\"",
        "[[expect]]\nscan = \"fin\"\nports = 0\nstate = \"open\"",
        "[[expect]]\nscan = \"fin\"\nports = [80, 0]\nstate = \"open\"",
        "[[expect]]\nscan = \"fin\"\nports = \"0-3\"\nstate = \"open\"",
        "[[expect]]\nscan = \"fin\"\nports = \"90-80\"\nstate = \"open\"",
        "[[expect]]\nscan = \"fin\"\nports = []\nstate = \"open\"",
        "[[expect]]\nscan = \"fin\"\nports = 80\nstate = \"shut\"",
        "[[expect]]\nscan = \"fin\"\nports = 80\nverdict = \"deny\"",
        "[[expect]]\nscan = \"fin\"\nports = 80\nlog = \"a prefix of more than 29 bytes\"",
        "[[expect]]\nscan = \"fin\"\nports = 80\nlog = \"a\\nb\"",
        "[[expect]]\nscan = \"fin\"\nports = 80\nfamily = \"ipv5\"\nstate = \"open\"",
        "[[expect]]\nscan = \"fin\"\nports = 80\nrate = \"fast\"",
        "[[expect]]\nscan = \"fin\"\nports = 80\nstat = \"open\"",
        "[expect]\nscan = \"fin\"",
        "[[known]]\nscan = \"fin\"\nports = 80",
        "[[known]]\nscan = \"fin\"\nports = 80\nbecause = \"\"",
        "[[known]]\nscan = \"fin\"\nports = 80\nrate = \"5/min\"\nbecause = \"b\"",
    ]), @r#"
    error: the row has neither `scan` nor `packet`
     --> scenario.toml:4:1
      |
    4 | [[expect]]
      | ^^^^^^^^^^
      |
      = help: name its subject: packet = "tcp SYN to 80", or scan: syn, connect, null, fin, xmas, ack, maimon, window, udp, echo, vendor, arp, ndp, or all (syn, connect, null, fin, xmas, ack)
    error: `smoke` is neither a scan nor another check
     --> scenario.toml:5:8
      |
    5 | scan = "smoke"
      |        ^^^^^^^
      |
      = help: use syn, connect, null, fin, xmas, ack, maimon, window, udp, echo, vendor, arp, ndp, or all (syn, connect, null, fin, xmas, ack)
    error: `scan` is empty
     --> scenario.toml:5:8
      |
    5 | scan = []
      |        ^^
      |
      = help: use syn, connect, null, fin, xmas, ack, maimon, window, udp, echo, vendor, arp, ndp, or all (syn, connect, null, fin, xmas, ack)
    error: fin is listed twice
     --> scenario.toml:5:16
      |
    5 | scan = ["fin", "fin"]
      |                ^^^^^
      |
      = help: name it once
    error: the row mixes scans with other checks
     --> scenario.toml:4:1
      |
    4 | [[expect]]
      | ^^^^^^^^^^
      |
      = help: write a row for each
    error: the row names no ports
     --> scenario.toml:4:1
      |
    4 | [[expect]]
      | ^^^^^^^^^^
      |
      = help: add ports = 80, [80, 443] or "1-1024,8080"
    error: arp has no ports
     --> scenario.toml:6:9
      |
    6 | ports = 80
      |         ^^
      |
      = help: remove `ports`
    error: the row expects nothing
     --> scenario.toml:4:1
      |
    4 | [[expect]]
      | ^^^^^^^^^^
      |
      = help: add `state`, `log`, `verdict` or `rate`
    error: only a verdict can be expected of what is not a scan
     --> scenario.toml:4:1
      |
    4 | [[expect]]
      | ^^^^^^^^^^
      |
      = help: the expected vendor is in [host]: vendor = "VMware"
    error: only a verdict can be expected of what is not a scan
     --> scenario.toml:4:1
      |
    4 | [[expect]]
      | ^^^^^^^^^^
      |
      = help: write verdict = "accept" or "drop", and nothing else
    error: port 0 is out of range
     --> scenario.toml:6:9
      |
    6 | ports = 0
      |         ^
      |
      = help: ports are 1 to 65535: 80, [80, 443] or "1-1024,8080"
    error: port 0 is out of range
     --> scenario.toml:6:14
      |
    6 | ports = [80, 0]
      |              ^
      |
      = help: ports are 1 to 65535: 80, [80, 443] or "1-1024,8080"
    error: port 0 is not a service's
     --> scenario.toml:6:9
      |
    6 | ports = "0-3"
      |         ^^^^^
      |
      = help: ports are 1 to 65535: 80, [80, 443] or "1-1024,8080"
    error: port range 90-80 is reversed: write 80-90
     --> scenario.toml:6:9
      |
    6 | ports = "90-80"
      |         ^^^^^^^
      |
      = help: ports are 1 to 65535: 80, [80, 443] or "1-1024,8080"
    error: no port is named
     --> scenario.toml:6:9
      |
    6 | ports = []
      |         ^^
      |
      = help: ports are 1 to 65535: 80, [80, 443] or "1-1024,8080"
    error: `shut` is not a port state: use open, closed, filtered, unfiltered, open|filtered or closed|filtered
     --> scenario.toml:7:9
      |
    7 | state = "shut"
      |         ^^^^^^
    error: `deny` is not a verdict: use accept, drop or reject
     --> scenario.toml:7:11
      |
    7 | verdict = "deny"
      |           ^^^^^^
    error: the log prefix "a prefix of more than 29 bytes" is 30 bytes long
     --> scenario.toml:7:7
      |
    7 | log = "a prefix of more than 29 bytes"
      |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      |
      = help: LOG keeps 29 and silently cuts the rest: shorten it by 1
    error: a log prefix cannot hold '\n'
     --> scenario.toml:7:7
      |
    7 | log = "a\nb"
      |       ^^^^^^
      |
      = help: no rule can log such a prefix: write the prefix as in the rule
    error: `ipv5` is not a family
     --> scenario.toml:7:10
      |
    7 | family = "ipv5"
      |          ^^^^^^
      |
      = help: use "ipv4", "ipv6" or "both"
    error: `fast` is not a rate
     --> scenario.toml:7:8
      |
    7 | rate = "fast"
      |        ^^^^^^
      |
      = help: write a number and a unit, like 5/min; the units are sec, min, hour and day
    error: unknown key `stat`
     --> scenario.toml:7:1
      |
    7 | stat = "open"
      | ^^^^
      |
      = help: did you mean `state`? known here: scan, packet, ports, family, state, log, verdict, rate
    error: [expect] is one table
     --> scenario.toml:4:1
      |
    4 | [expect]
      | ^^^^^^^^
      |
      = help: write [[expect]]: there can be many
    error: the row has no `because`
     --> scenario.toml:4:1
      |
    4 | [[known]]
      | ^^^^^^^^^
      |
      = help: a known mismatch has a reason: because = "..."
    error: `because` is empty
     --> scenario.toml:7:11
      |
    7 | because = ""
      |           ^^
      |
      = help: a known mismatch has a reason: because = "..."
    error: `rate` is a text
     --> scenario.toml:7:8
      |
    7 | rate = "5/min"
      |        ^^^^^^^
      |
      = help: it must be true or false
    "#);
}

#[test]
fn a_folder_is_read_in_the_order_of_its_names_without_its_sensor_files() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("notes.txt", "not TOML");
    put("a/sensor.toml", "[sensor]\nssh = 22\n");
    let here = [folder.path().to_owned()];
    let unnamed = |text: String| text.replace(&folder.path().display().to_string(), "FOLDER");
    assert_snapshot!(unnamed(discover(&here).unwrap_err().to_string()), @r#"
    error: no scenario in FOLDER
     |
     = help: scenarios are .toml files with a title; see the folder `scenarios` of scanlab for some
    "#);

    put("b.toml", SENSOR);
    put("a/c.toml", SENSOR);
    let names = discover(&here).unwrap().into_iter().map(|scenario| scenario.source.name.display().to_string());
    assert_eq!(unnamed(names.collect::<Vec<_>>().join(" ")), "FOLDER/a/c.toml FOLDER/b.toml");

    put("c.toml", "[sensor]\nssh = 22\n[[expect]]\n");
    assert_snapshot!(unnamed(discover(&here).unwrap_err().to_string()), @r#"
    error: the scenario has no title
     --> FOLDER/c.toml:1:1
      |
    1 | [sensor]
      | ^
      |
      = help: add a title that says what it proves: title = "the sensor logs every scan"
    "#);
}

#[test]
fn rows_ask_for_a_bounded_number_of_probes_and_packets() {
    let full = "[[expect]]\nscan = \"syn\"\nports = \"-\"\nstate = \"closed\"\n";
    assert!(parse(&format!("{SENSOR}{full}")).is_ok());
    let error = complaint(&format!("{SENSOR}{full}[[expect]]\nscan = \"ack\"\nports = 1\nstate = \"closed\"\n"));
    assert!(error.contains("asks for more than 131070 probes") && error.contains("scenario.toml:8:"), "{error:.300}");
    let rows = "[[known]]\nscan = \"syn\"\nports = 80\nbecause = \"x\"\n".repeat(row::MOST_ROWS + 1);
    let error = complaint(&format!("{SENSOR}{rows}"));
    assert!(error.contains("at most 5000 rows of [[known]], and this one has 5001"), "{error:.300}");
    let packets: Vec<String> = (1..=60_000).map(|port| format!("\"tcp SYN to {port}\"")).collect();
    let error = complaint(&format!("{SENSOR}[[expect]]\npacket = [{}]\nverdict = \"drop\"\n", packets.join(",")));
    assert!(error.contains("at most 2000 packets, and this one has 60000"), "{error:.300}");
}
