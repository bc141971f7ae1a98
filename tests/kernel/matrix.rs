//! scanlab compared with itself: for every flavour, link, capture and user, the results for a ruleset are the same:
//! state, reason, TTL, lines except `MAC=`, paths by line, verdicts. Needs root, see `.ci/setup tests`.
//!
//! Each ruleset is scanned with every other setting, each setting scans every other ruleset; `SCANLAB_MATRIX=all`
//! leaves none out.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;

use crate::support::binary::{HARDENED, ended, share_the_machine};
use crate::support::ordinary::{Home, Tun, USER};
use scanlab::intent::scenario::Scenario;
use scanlab::net::Family;
use scanlab::rules::generate;
use serde_json::Value;

/// All settings of a scan; the first is the reference.
#[derive(Debug, Clone, Copy)]
struct Setting {
    flavour: &'static str,
    link: &'static str,
    /// Only root has access to the kernel's own log.
    witness: Witness,
}

#[derive(Debug, Clone, Copy)]
enum Witness {
    RootKmsg,
    RootNflog,
    UserNflog,
}

fn settings() -> Vec<Setting> {
    let mut settings = Vec::new();
    for flavour in ["nft", "legacy"] {
        for link in ["tap", "tun"] {
            for witness in [Witness::RootKmsg, Witness::RootNflog, Witness::UserNflog] {
                settings.push(Setting { flavour, link, witness });
            }
        }
    }
    settings
}

/// A ruleset of each family, and its purpose.
struct Subject {
    name: &'static str,
    rules: [String; 2],
}

fn subject(name: &'static str, of: impl Fn(Family) -> String) -> Subject {
    Subject { name, rules: Family::BOTH.map(of) }
}

fn filter(rules: &str) -> String {
    format!("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n")
}

/// The name of ICMP in the family.
fn icmp(family: Family) -> (&'static str, &'static str, &'static str) {
    family.pick(("icmp", "--icmp-type 8", "--icmp-type 3/3"), ("ipv6-icmp", "--icmpv6-type 128", "--icmpv6-type 1/4"))
}

/// In each of them the last rule matters.
fn subjects() -> Vec<Subject> {
    let scenario = Scenario::load(Path::new(HARDENED)).expect("a scenario");
    let generated = generate::generate(&scenario.sensor.expect("a sensor"));
    let hardened = Subject { name: "the hardened sensor", rules: [generated.v4, generated.v6] };
    vec![
        hardened,
        subject("a policy and what it lets in", |_| {
            "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n-A INPUT -i lo -j ACCEPT\n\
             -A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\n\
             -A INPUT -p udp -m udp --dport 23 -j ACCEPT\nCOMMIT\n"
                .to_owned()
        }),
        subject("kinds of REJECT", |family| {
            let (one, other) = family.pick(
                ("icmp-admin-prohibited", "icmp-proto-unreachable"),
                ("icmp6-adm-prohibited", "icmp6-addr-unreachable"),
            );
            filter(&format!(
                "-A INPUT -p tcp -m tcp --dport 22 -j REJECT --reject-with tcp-reset\n\
                 -A INPUT -p tcp -m tcp --dport 23 -j REJECT --reject-with {one}\n\
                 -A INPUT -m multiport -p udp --dports 22,80 -j REJECT --reject-with {other}\n\
                 -A INPUT -p tcp -m tcp --dport 81 -j REJECT\n"
            ))
        }),
        subject("ways from chain to chain", |_| {
            "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:ports - [0:0]\n:deep - [0:0]\n\
             -A INPUT -p tcp -j ports\n-A INPUT -p udp -g deep\n-A INPUT -p tcp -m tcp --dport 81 -j RETURN\n\
             -A INPUT -m mark ! --mark 0x7 -j LOG --log-prefix \"behind: \"\n-A INPUT -j ACCEPT\n\
             -A ports -p tcp -m multiport --dports 22,23 -j deep\n-A ports -p tcp -m tcp --dport 80:81 -j RETURN\n\
             -A ports -p tcp -m tcp ! --syn -j REJECT --reject-with tcp-reset\n\
             -A deep -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG FIN,PSH,URG -j LOG --log-prefix \"xmas: \"\n\
             -A deep -m tcp -p tcp --dport 22 -j ACCEPT\n-A deep -p tcp -m tcp --dport 23 -j DROP\nCOMMIT\n"
                .to_owned()
        }),
        subject("what is not tracked", |_| {
            format!(
                "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 22 -j CT --notrack\n\
                 -A PREROUTING -p tcp -m tcp --dport 80 -j LOG --log-prefix \"raw: \"\n\
                 -A PREROUTING -p udp -m udp --dport 81 -j DROP\n-A OUTPUT -p tcp -m tcp --sport 22 -j CT --notrack\nCOMMIT\n{}",
                filter(
                    "-A INPUT -m conntrack --ctstate UNTRACKED -j LOG --log-prefix \"untracked: \"\n\
                     -A INPUT -p tcp -m conntrack --ctstate INVALID -j DROP\n\
                     -A OUTPUT -m conntrack --ctstate UNTRACKED -j LOG --log-prefix \"answer: \"\n"
                )
            )
        }),
        subject("marks", |_| {
            format!(
                "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
                 :POSTROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x7/0xffffffff\n\
                 -A INPUT -p udp -m udp --dport 22 -j DROP\n-A POSTROUTING -p tcp -m tcp --sport 22 -j LOG --log-prefix \"leaves: \"\n\
                 COMMIT\n{}",
                filter(
                    "-A INPUT -m mark --mark 0x7 -j LOG --log-prefix \"marked: \"\n\
                     -A INPUT -m mark --mark 0x7 -p tcp -j REJECT --reject-with tcp-reset\n"
                )
            )
        }),
        subject("ports that are redirected", |_| {
            format!(
                "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
                 -A PREROUTING -p tcp -m tcp --dport 81 -j REDIRECT --to-ports 22\n\
                 -A PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 23\nCOMMIT\n{}",
                filter(
                    "-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate DNAT -j LOG --log-prefix \"redirected: \"\n\
                     -A OUTPUT -p tcp -m tcp --sport 22 -j LOG --log-prefix \"from 22: \"\n"
                )
            )
        }),
        subject("what the host may not say", |family| {
            let (icmp, _, port) = icmp(family);
            filter(&format!(
                "-A OUTPUT -p tcp -m tcp --sport 22 --tcp-flags SYN,ACK SYN,ACK -j LOG --log-prefix \"hello: \"\n\
                 -A OUTPUT -p tcp -m tcp --sport 23 --tcp-flags RST RST -j DROP\n\
                 -A OUTPUT -p tcp -m tcp --sport 80 -j REJECT\n\
                 -A OUTPUT -p {icmp} -m conntrack --ctstate RELATED -j LOG --log-prefix \"related: \"\n\
                 -A OUTPUT -p {icmp} -m {} {port} -j DROP\n",
                if family == Family::Ipv4 { "icmp" } else { "icmp6" },
            ))
        }),
        subject("limits and levels", |_| {
            filter(
                "-A INPUT -p tcp -m limit --limit 1/hour --limit-burst 2 -j LOG --log-prefix \"few: \" --log-level 7\n\
                 -A INPUT -p tcp -m tcp --dport 22 -m limit --limit 1/hour --limit-burst 1 -j ACCEPT\n\
                 -A INPUT -p tcp -j LOG --log-prefix \"all: \" --log-tcp-options --log-ip-options --log-uid\n\
                 -A INPUT -p tcp -m tcp --dport 22 -j DROP\n",
            )
        }),
        subject("echo requests", |family| {
            let (icmp, request, _) = icmp(family);
            let module = if family == Family::Ipv4 { "icmp" } else { "icmp6" };
            filter(&format!(
                "-A INPUT -p {icmp} -m {module} {request} -j LOG --log-prefix \"ping: \"\n\
                 -A INPUT -p {icmp} -m {module} {request} -j REJECT\n"
            ))
        }),
    ]
}

const SCAN: [&str; 14] = [
    "scan",
    "-4",
    "-6",
    "--static-neighbour",
    "--scan",
    "syn,connect,null,fin,xmas,ack,maimon,window,udp,echo",
    "-p",
    "22,23,80,81",
    "--listen",
    "22,80",
    "--trace",
    "--format",
    "json",
    "--rules",
];

/// The report on these rules with this setting; `name` is that of the files.
fn scan(home: &Home, name: &str, rules: &[String; 2], setting: Setting) -> Result<Value, String> {
    let files = ["v4", "v6"].map(|family| format!("{name}.{family}"));
    for (file, rules) in files.iter().zip(rules) {
        fs::write(home.path().join(file), rules).expect("write the ruleset");
    }
    let capture = if matches!(setting.witness, Witness::RootKmsg) { "kmsg" } else { "nflog" };
    let words = [&files[0], "--rules6", &files[1], "--iptables", setting.flavour, "--link", setting.link];
    let words = [&SCAN[..], &words, &["--capture", capture]].concat();
    let mut command = match setting.witness {
        Witness::UserNflog => home.as_user(Tun::ForEverybody, &words),
        Witness::RootKmsg | Witness::RootNflog => home.as_root(&words),
    };
    let ended = ended(command.output().expect("scanlab starts"));
    if ended.status != Some(0) {
        return Err(format!("exit status {:?}: {}", ended.status, ended.stderr));
    }
    let mut report = ended.report();
    let entries = report.as_object_mut().expect("a report");
    // The environment, and the MAC address, which a TUN does not have.
    entries.retain(|key, _| !["environment", "host", "not_applicable"].contains(&key.as_str()));
    forget(&mut report);
    Ok(report)
}

/// Removes the MAC addresses, the random flow label of the host's answers, and the random identification of a packet
/// that quotes another.
fn forget(value: &mut Value) {
    match value {
        Value::String(text) => {
            let drawn: &[&str] =
                if text.contains(" [SRC=") { &["MAC=", "FLOWLBL=", "ID="] } else { &["MAC=", "FLOWLBL="] };
            let forgotten = |word: &&str| drawn.iter().copied().find(|start| word.starts_with(start));
            let words = text.split(' ').map(|word| forgotten(&word).unwrap_or(word));
            *text = words.collect::<Vec<_>>().join(" ");
        }
        Value::Array(values) => values.iter_mut().for_each(forget),
        Value::Object(values) => values.values_mut().for_each(forget),
        _ => {}
    }
}

/// The first probe whose results differ, or the whole reports if another part differs.
fn difference(reference: &Value, other: &Value) -> Option<String> {
    let probes = |report: &Value| report["probes"].as_array().expect("probes").clone();
    let (of_reference, of_other) = (probes(reference), probes(other));
    let pair = of_reference.iter().zip(&of_other).find(|(one, other)| one != other);
    let pair = pair.map(|(one, other)| format!("{one:#}\n{other:#}"));
    pair.or_else(|| (reference != other).then(|| "another number of probes, or what is told besides".to_owned()))
}

/// Every setting compared with the first one; a missing rule is a difference.
#[test]
fn every_setting_says_the_same() {
    let _machine = share_the_machine();
    let home = Home::new(USER, &[]);
    let (subjects, settings) = (subjects(), settings());
    let is_whole = env::var("SCANLAB_MATRIX").is_ok_and(|which| which == "all");
    let todo = Mutex::new(subjects.iter().enumerate());
    let differences = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let next = || todo.lock().expect("a list").next();
                while let Some((number, subject)) = next() {
                    let is_due = |(place, _): &(usize, &Setting)| *place == 0 || (place + number) % 2 == 0 || is_whole;
                    let due: Vec<Setting> = settings.iter().enumerate().filter(is_due).map(|(_, one)| *one).collect();
                    let found = of_subject(&home, &number.to_string(), subject, &due);
                    differences.lock().expect("a list").extend(found);
                }
            });
        }
    });
    let differences = differences.into_inner().expect("a list");
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

fn of_subject(home: &Home, file: &str, subject: &Subject, settings: &[Setting]) -> Vec<String> {
    let reference =
        scan(home, file, &subject.rules, settings[0]).unwrap_or_else(|why| panic!("{}: {why}", subject.name));
    let mut found = Vec::new();
    for setting in &settings[1..] {
        let what = match scan(home, file, &subject.rules, *setting) {
            Ok(report) => difference(&reference, &report),
            Err(why) => Some(why),
        };
        found.extend(what.map(|what| format!("{} with {setting:?}, {:?} first: {what}", subject.name, settings[0])));
    }
    let planted = scan(home, file, &subject.rules.each_ref().map(|rules| without_last_rule(rules)), settings[0]);
    let planted = planted.unwrap_or_else(|why| panic!("{}: {why}", subject.name));
    let seen = verdicts(&reference) != verdicts(&planted);
    found.extend((!seen).then(|| format!("{}: nobody saw that the last rule was missing", subject.name)));
    found
}

fn without_last_rule(rules: &str) -> String {
    let mut lines: Vec<&str> = rules.lines().collect();
    let last = lines.iter().rposition(|line| line.starts_with("-A")).expect("a rule");
    lines.remove(last);
    lines.join("\n") + "\n"
}

/// The results for each probe as a scanner and a reader of the log see them.
fn verdicts(report: &Value) -> Vec<[Value; 4]> {
    let probes = report["probes"].as_array().expect("probes").iter();
    let of = |probe: &Value| ["state", "reason", "log", "followup"].map(|key| probe[key].clone());
    probes.map(of).collect()
}
