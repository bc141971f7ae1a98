//! A lesson for the terminal, page by page. Colour is never the only sign, and no line exceeds the width unless a
//! single word does.

use std::fmt::Write;

use anstyle::Style;

use crate::commands::teach::{Lesson, LoggedLine, PortScene, ProbeResult, RuleVisit, ShownFrame};
use crate::lab::Capture;
use crate::net::conntrack::ConntrackState;
use crate::net::{Family, Protocol};
use crate::probe::path::Fate;
use crate::probe::scan::{Reason, Technique};
use crate::text::escape::visible;
use crate::text::wrap;
use crate::wire::dissect::{HeaderField, Layer};
use crate::wire::tcp_flags::TcpFlags;

/// The pages, with ANSI styles (the caller strips them where there is no terminal).
pub fn lesson_pages(lesson: &Lesson, width: u16) -> Vec<String> {
    let width = usize::from(width);
    let mut pages = vec![idea(lesson, width), standards(lesson, width)];
    for (number, scene) in lesson.scenes.iter().enumerate() {
        let first = number == 0;
        pages.push(sent(lesson, scene, width, if first { Detail::Whole } else { Detail::Bytes }));
        let likewise =
            lesson.scenes[..number].iter().find(|other| same_result(&other.with_firewall, &scene.with_firewall));
        pages.push(on_its_way(lesson, scene, likewise, width));
        pages.push(logged(lesson, scene, width, if first { Detail::Whole } else { Detail::Bytes }));
        pages.push(answered(lesson, scene, &scene.with_firewall, width));
    }
    pages.extend(lesson.scenes.iter().map(|scene| firewall_off(lesson, scene, width)));
    pages.push(side_by_side(lesson, width));
    pages
}

/// The list of lessons.
pub fn lesson_menu(width: u16) -> String {
    let mut text = heading("Lessons");
    for technique in Technique::ALL {
        let idea = crate::commands::teach::technique_facts_of(technique, Family::Ipv4).idea;
        let name = format!("  {:<8} {:<4} ", technique.name(), technique.profile().nmap);
        text.push_str(&hanging(&name, idea, usize::from(width)));
    }
    text.push_str("\nscanlab teach xmas                 the lesson; Enter for the next page, q to quit\n");
    text.push_str("scanlab teach xmas -6              the same over IPv6\n");
    text.push_str("scanlab teach all                  every lesson\n");
    text.push_str("scanlab teach xmas --rules FILE    with your own firewall\n");
    text.push_str("scanlab teach --exercise           find the mistake\n");
    text
}

/// The level of detail: everything, or only the parts that differ from an earlier page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Detail {
    Whole,
    Bytes,
}

fn idea(lesson: &Lesson, width: usize) -> String {
    let mut text = heading(&format!("{} scan ({}), {}", lesson.title, lesson.nmap, lesson.family));
    text.push_str(&paragraph(lesson.doctrine.idea, width));
    match lesson.flags {
        Some(flags) => {
            text.push_str("\nThe flags octet of the TCP header (RFC 9293, section 3.1); set bits are marked:\n\n");
            text.push_str(&drawn(flags));
        }
        None => {
            text.push_str("\nIt is not TCP, and has no flags.\n");
        }
    }
    text
}

/// The bits of the flags octet, most significant first, each in a box; set bits are in brackets and have a mark below.
fn drawn(flags: u8) -> String {
    let is_set = |place: usize| flags << place & 0x80 != 0;
    let bold = Style::new().bold();
    let rule = format!("    {}+\n", "+-----".repeat(8));
    let cell = |place| match is_set(place) {
        true => format!("|{bold} [1] {bold:#}"),
        false => "|  0  ".to_owned(),
    };
    let cells: String = (0..8).map(cell).collect();
    let names: String = TcpFlags::NAMES.iter().rev().map(|name| format!("| {name} ")).collect();
    let marks: String = (0..8).map(|place| if is_set(place) { "   ^  " } else { "      " }).collect();
    let marks = if flags == 0 { "   no bit is set" } else { marks.trim_end() };
    format!("{rule}    {names}|\n{rule}    {cells}| = {flags:#04x}\n{rule}    {marks}\n")
}

fn standards(lesson: &Lesson, width: usize) -> String {
    let mut text = heading("The standards");
    let doctrine = &lesson.doctrine;
    for (kind, promise) in [("open", &doctrine.open), ("closed", &doctrine.closed)] {
        text.push_str(&hanging(&format!("  {kind:<7} "), promise.words, width));
        let _ = writeln!(text, "          ({})", promise.source);
    }
    text.push('\n');
    text.push_str(&paragraph(doctrine.conclusion, width));
    text
}

/// `80/tcp`, or the host if the technique has no port.
fn port_of(lesson: &Lesson, scene: &PortScene) -> String {
    scene.port.map_or_else(|| "the host".to_owned(), |port| format!("{port}/{}", lesson.protocol))
}

fn sent(lesson: &Lesson, scene: &PortScene, width: usize, detail: Detail) -> String {
    let mut text = heading(&format!("{}: {}", port_of(lesson, scene), scene.role.as_str()));
    let listens = if scene.is_listening { "A service listens on it." } else { "No service listens on it." };
    if scene.port.is_some() {
        let _ = writeln!(text, "{listens}");
    }
    let Some(probe) = scene.with_firewall.probe() else { return text };
    let _ = writeln!(text, "\nSent, {} bytes:\n", probe.bytes.len());
    text.push_str(&bytes(probe, width, detail));
    text
}

/// Every field with its bytes, or the bytes alone.
fn bytes(frame: &ShownFrame, width: usize, detail: Detail) -> String {
    match detail {
        Detail::Whole => frame.layers.iter().map(|layer| layer_text(layer, frame, width)).collect(),
        Detail::Bytes => hex_dump(&frame.bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn hex_dump(bytes: &[u8]) -> String {
    bytes.chunks(16).enumerate().map(|(row, line)| format!("  {:>4}  {}\n", row * 16, hex(line))).collect()
}

fn layer_text(layer: &Layer, frame: &ShownFrame, width: usize) -> String {
    let quoted = if layer.is_quoted { "the packet that caused it: " } else { "" };
    let mut text = format!("  {quoted}{}, bytes {} to {}\n", layer.name, layer.bytes.start, layer.bytes.end - 1);
    for field in layer.fields.iter().filter(|field| !is_unset_bit(field)) {
        text.push_str(&field_text(field, frame, width));
    }
    text
}

/// True for a flag that is not set: it is in the drawing and in the octet already.
fn is_unset_bit(field: &HeaderField) -> bool {
    TcpFlags::NAMES.contains(&field.name) && field.value == "0"
}

fn field_text(field: &HeaderField, frame: &ShownFrame, width: usize) -> String {
    const ROW: usize = 8;
    let bytes = frame.bytes.get(field.bytes.clone()).unwrap_or_default();
    let mut rows = bytes.chunks(ROW);
    let first = format!("  {:>4}  {:<24}", field.bytes.start, hex(rows.next().unwrap_or_default()));
    let note = field.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
    let mut text = hanging(&first, &format!("{}: {}{note}", field.name, field.value), width);
    for row in rows.take(4) {
        let _ = writeln!(text, "        {}", hex(row));
    }
    text
}

/// The path of the probe; if an earlier page has shown the same one, only the rules that matched.
fn on_its_way(lesson: &Lesson, scene: &PortScene, likewise: Option<&PortScene>, width: usize) -> String {
    let ruleset = visible(&lesson.ruleset);
    let mut text = heading(&format!("{}: its path through the chains of {ruleset}", port_of(lesson, scene)));
    let seen = &scene.with_firewall;
    let matched: Vec<RuleVisit> = seen.trail.iter().filter(|met| met.verdict.is_some()).cloned().collect();
    match likewise {
        Some(other) => {
            text.push_str(&paragraph(&conntrack(seen), width));
            text.push_str(&paragraph(&format!("The same path as to {}:", port_of(lesson, other)), width));
            text.push_str(&trail(&matched, width));
        }
        None => {
            text.push_str(&paragraph(&conntrack(seen), width));
            text.push_str(&trail(&seen.trail, width));
        }
    }
    text + &paragraph(end_of(lesson, seen), width)
}

/// True if the same rules were evaluated for both, with the same results.
fn same_result(one: &ProbeResult, other: &ProbeResult) -> bool {
    let came = |met: &RuleVisit| (met.table.clone(), met.chain.clone(), met.rule, met.verdict.clone());
    one.trail.iter().map(came).eq(other.trail.iter().map(came))
}

fn conntrack(seen: &ProbeResult) -> String {
    seen.conntrack.map_or_else(
        || {
            "Its conntrack state is not known: no rule uses conntrack, or this kernel does not report the \
            state."
                .to_owned()
        },
        |state| format!("For conntrack, the kernel's connection table, the packet is {state}{}.", meaning(state)),
    )
}

/// The meaning of a conntrack state for a first packet.
const fn meaning(state: ConntrackState) -> &'static str {
    match state {
        ConntrackState::New => ": a connection could begin with it",
        ConntrackState::Invalid => ": it belongs to no connection, and none can begin with it",
        _ => "",
    }
}

fn end_of(lesson: &Lesson, seen: &ProbeResult) -> &'static str {
    match (seen.fate, lesson.protocol) {
        (Some(Fate::Accepted), Protocol::Tcp) => "It is accepted: the kernel's TCP receives it.",
        (Some(Fate::Accepted), Protocol::Udp) => "It is accepted: the kernel's UDP receives it.",
        (Some(Fate::Accepted), Protocol::Icmp) => "It is accepted: the kernel's ICMP receives it.",
        (Some(Fate::Dropped), _) => "It is dropped: the host's TCP/IP stack never receives it.",
        (Some(Fate::Rejected), _) => {
            "It is rejected: the host's TCP/IP stack does not receive it, and the sender gets an error."
        }
        (Some(Fate::Stolen), _) => "A target holds it (NFQUEUE, for example).",
        (Some(Fate::Vanished), _) => "The kernel discarded it between two hooks: there was no route for it.",
        (Some(Fate::Left(_)), _) => "It leaves the lab: its fate is not known.",
        (None, _) => "",
    }
}

/// One entry for each rule: its verdict, or `no match` and the reason.
fn trail(met: &[RuleVisit], width: usize) -> String {
    let bold = Style::new().bold();
    let mut text = String::new();
    for met in met {
        let number = met.rule.map(|rule| format!(" {rule}")).unwrap_or_default();
        let line = met.line.map(|line| format!(", line {line}")).unwrap_or_default();
        let place = format!("{} {}{number}{line}", met.table, met.chain);
        let came = match &met.verdict {
            Some(verdict) => format!("{bold}* {place}: {verdict}{bold:#}"),
            None => format!("  {place}: no match"),
        };
        let _ = writeln!(text, "{}", visible_styled(&came));
        text.push_str(&hanging("      ", &visible(&met.text), width));
        if let Some(why) = &met.why_not {
            text.push_str(&hanging("      -> ", &visible(why), width));
        }
    }
    text
}

/// Escapes a text, except for the styles in it: chain names come from a file.
fn visible_styled(text: &str) -> String {
    let bold = Style::new().bold();
    let (on, off) = (format!("{bold}"), format!("{bold:#}"));
    match text.strip_prefix(&on).and_then(|rest| rest.strip_suffix(&off)) {
        Some(inner) => format!("{on}{}{off}", visible(inner)),
        None => visible(text),
    }
}

fn logged(lesson: &Lesson, scene: &PortScene, width: usize, detail: Detail) -> String {
    let mut text = heading("The log");
    let seen = &scene.with_firewall;
    if seen.log.is_empty() {
        text.push_str(&paragraph("No line: no LOG rule matched it.", width));
    }
    for line in &seen.log {
        text.push_str(&log_line(line, width, detail));
    }
    if !seen.log.is_empty() && detail == Detail::Whole && lesson.capture == Capture::Nflog {
        text.push('\n');
        text.push_str(&paragraph(READ_THROUGH_NFLOG, width));
    }
    for line in &seen.followup {
        text.push_str(&paragraph("A packet that had to follow the probe left this line:", width));
        text.push_str(&log_line(line, width, Detail::Bytes));
    }
    text
}

/// A note on the part that was not tested: the lesson reads log lines through NFLOG and not from the kernel's log.
const READ_THROUGH_NFLOG: &str = "The line is what LOG prints; it was read through NFLOG, so the lesson writes \
                                  nothing to this machine's log. --capture kmsg reads the kernel's own log instead.";

fn log_line(line: &LoggedLine, width: usize, detail: Detail) -> String {
    let mut text = hanging("  ", &visible(line.line.trim_end()), width);
    if detail == Detail::Whole {
        let _ = writeln!(text, "\n  the rule's own prefix: \"{}\"", visible(&line.prefix));
        for field in &line.fields {
            text.push_str(&word(&visible(&field.text), &visible(&field.meaning), width));
        }
    }
    text
}

/// A word of the line with its meaning, which is on the next line if the word is long.
fn word(text: &str, meaning: &str, width: usize) -> String {
    const COLUMN: usize = 22;
    let indent = " ".repeat(COLUMN + 3);
    match text.chars().count() {
        0..=COLUMN => hanging(&format!("  {text:<COLUMN$} "), meaning, width),
        _ => format!("  {text}\n{}", hanging(&indent, meaning, width)),
    }
}

fn answered(lesson: &Lesson, scene: &PortScene, seen: &ProbeResult, width: usize) -> String {
    let mut text = heading(&format!("{}: the answer", port_of(lesson, scene)));
    text.push_str(&answer(seen, width));
    if lost_its_answer(seen) {
        text.push_str("\nThe host sent one. Its path through the rules:\n");
        text.push_str(&trail(&seen.answer_trail, width));
    }
    text.push('\n');
    text.push_str(&in_words_of_nmap(lesson, scene, seen, width));
    text
}

fn answer(seen: &ProbeResult, width: usize) -> String {
    match seen.answer() {
        Some(frame) => {
            let text = format!("{}, {} bytes:\n\n", headline(frame), frame.bytes.len());
            text + &hex_dump(&frame.bytes)
        }
        None => paragraph(
            "None. That is a fact, not a timeout: the kernel has handled the probe before the call that sends it \
             returns, and it has answered a later packet (the fence). No answer can still be on its way.",
            width,
        ),
    }
}

/// `TCP, flags SYN, ACK`
fn headline(frame: &ShownFrame) -> String {
    let mut own = frame.layers.iter().filter(|layer| !layer.is_quoted && !matches!(layer.name, "Payload" | "Padding"));
    let Some(last) = own.next_back() else { return "A frame".to_owned() };
    let note_of = |name: &str| last.fields.iter().find(|field| field.name == name).and_then(|field| field.note.clone());
    let facts: Vec<String> =
        [note_of("Control bits"), note_of("Type"), note_of("Code")].into_iter().flatten().collect();
    if facts.is_empty() { last.name.to_owned() } else { format!("{}: {}", last.name, facts.join(", ")) }
}

fn in_words_of_nmap(lesson: &Lesson, scene: &PortScene, seen: &ProbeResult, width: usize) -> String {
    let ttl = seen.verdict.reason_ttl.map(|ttl| format!(" ttl {ttl}")).unwrap_or_default();
    let (state, reason) = (seen.verdict.state, seen.verdict.reason);
    let mut text = format!("nmap {} --reason{}:\n", options(lesson), column_left_out(scene));
    match scene.port {
        Some(port) => {
            let port = format!("{port}/{}", lesson.protocol);
            let (first, second) = (port.len().max(4), state.as_str().len().max(5));
            let _ = writeln!(text, "  {:<first$} {:<second$} REASON", "PORT", "STATE");
            let _ = writeln!(text, "  {port:<first$} {state:<second$} {reason}{ttl}");
        }
        None if reason == Reason::NoResponse => text.push_str("  Note: Host seems down.\n"),
        None => {
            let _ = writeln!(text, "  Host is up, received {reason}{ttl}");
        }
    }
    text + &paragraph(because(scene, seen), width)
}

/// The nmap options that send just this probe. On its own link nmap pings with ARP and not with ICMP, unless it has
/// `--disable-arp-ping`.
fn options(lesson: &Lesson) -> String {
    let more = match lesson.technique {
        Technique::Udp => " --data-length 0",
        Technique::Echo => " -sn --disable-arp-ping",
        _ => "",
    };
    let family = if lesson.family == Family::Ipv6 { "-6 " } else { "" };
    format!("{family}{}{more}", lesson.nmap)
}

/// A note that the column SERVICE is left out: service names are nmap's own data.
const fn column_left_out(scene: &PortScene) -> &'static str {
    if scene.port.is_some() { " (its column SERVICE is left out)" } else { "" }
}

/// True if a rule dropped the host's answer.
fn lost_its_answer(seen: &ProbeResult) -> bool {
    let last = seen.answer_trail.iter().rev().find_map(|met| met.verdict.as_deref());
    matches!(last, Some("drop" | "reject"))
}

fn because(scene: &PortScene, seen: &ProbeResult) -> &'static str {
    let silent = match (seen.fate, scene.is_listening) {
        (Some(Fate::Dropped), _) => "No answer, since the firewall dropped the probe.",
        _ if lost_its_answer(seen) => "The host answered, but the firewall dropped its answer.",
        (_, true) => "No answer, as the standard requires of an open port.",
        (_, false) => "No answer.",
    };
    match seen.verdict.reason {
        Reason::NoResponse => silent,
        Reason::Left(_) => "The probe left the lab: whether there is an answer is not known.",
        _ if seen.fate == Some(Fate::Rejected) => "The firewall rejected the probe, and sent an error.",
        Reason::Reset | Reason::ConnRefused => "A RST came back: the probe got through, and the kernel answered it.",
        Reason::SynAck => "A SYN/ACK came back: the probe got through, and a service listens.",
        Reason::PortUnreach if seen.fate == Some(Fate::Accepted) => {
            "Port unreachable came back: the probe got through, and no service listens."
        }
        Reason::UdpResponse => "A datagram came back: a service answered.",
        Reason::EchoReply => "An echo reply came back.",
        _ => "An ICMP error came back.",
    }
}

fn firewall_off(lesson: &Lesson, scene: &PortScene, width: usize) -> String {
    let seen = &scene.without;
    let kind = match (scene.port, scene.is_listening) {
        (None, _) => "",
        (Some(_), true) => " (open: a service listens)",
        (Some(_), false) => " (closed: no service listens)",
    };
    let mut text = heading(&format!("With the firewall off: {}{kind}", port_of(lesson, scene)));
    text.push_str(&trail(&seen.trail, width));
    text.push_str(&paragraph(end_of(lesson, seen), width));
    text.push('\n');
    text.push_str(&answer(seen, width));
    text.push('\n');
    text.push_str(&in_words_of_nmap(lesson, scene, seen, width));
    text
}

fn side_by_side(lesson: &Lesson, width: usize) -> String {
    let mut text = heading("Side by side");
    let state = |seen: &ProbeResult| format!("{} ({})", seen.verdict.state, seen.verdict.reason);
    let row = |cells: [&str; 4]| format!("  {:<10} {:<9} {:<28} {}\n", cells[0], cells[1], cells[2], cells[3]);
    text.push_str(&row(["PORT", "LISTENS", "WITH THE FIREWALL", "WITHOUT"]));
    for scene in &lesson.scenes {
        let listens = match (scene.port, scene.is_listening) {
            (None, _) => "-",
            (Some(_), true) => "yes",
            (Some(_), false) => "no",
        };
        let (on, off) = (state(&scene.with_firewall), state(&scene.without));
        text.push_str(&row([&port_of(lesson, scene), listens, &on, &off]));
        let prefixes: Vec<String> =
            scene.with_firewall.log.iter().map(|line| format!("\"{}\"", visible(&line.prefix))).collect();
        let logged = if prefixes.is_empty() {
            "no line in the log".to_owned()
        } else {
            format!("logged: {}", prefixes.join(", "))
        };
        let _ = writeln!(text, "  {:<10} {:<9} {logged}", "", "");
    }
    let differ = lesson.scenes.iter().any(|scene| scene.with_firewall.verdict != scene.without.verdict);
    let conclusion = match differ {
        true => "Where the two differ, the firewall decides what the scanner sees.",
        false => "The scanner sees no difference: the firewall has no effect on this scan.",
    };
    text.push('\n');
    text + &paragraph(conclusion, width)
}

fn heading(words: &str) -> String {
    let bold = Style::new().bold();
    format!("{bold}{words}{bold:#}\n{}\n", "-".repeat(words.chars().count().min(80)))
}

fn paragraph(words: &str, width: usize) -> String {
    hanging("", words, width)
}

/// Wraps the words; the first line begins with `first`, and the others are indented by its length.
pub(super) fn hanging(first: &str, words: &str, width: usize) -> String {
    let indent = first.chars().count();
    let text = wrap::hanging(first, indent, words, width.max(indent + 20));
    text.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
