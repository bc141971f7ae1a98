//! Lessons as a page: the packets, the requirements of the standards, and the results with and without the firewall.

use askama::Template;

use super::{SCRIPT, STYLE, cell_details, matrix, policy};
use crate::commands::teach::{Lesson, PortScene, ProbeResult, RuleVisit, ShownFrame};
use crate::net::Family;
use crate::probe::path::Fate;
use crate::probe::scan::PortState;
use crate::text::ci_escape::inert_markup;
use crate::wire::dissect::Layer;
use crate::wire::tcp_flags::TcpFlags;

/// The lessons as a page.
pub fn lesson_page(lessons: &[Lesson]) -> String {
    let title = match lessons {
        [lesson] => format!("{} scan", lesson.title),
        _ => "Scans".to_owned(),
    };
    let tool = concat!("scanlab ", env!("CARGO_PKG_VERSION"));
    let page = LessonPage { style: STYLE, script: SCRIPT, policy: policy(), title, tool, lessons, data: "{}" };
    let html = page.render().unwrap_or_else(|error| unreachable!("the page does not render: {error}"));
    inert_markup(&html).into_owned()
}

#[derive(Template)]
#[template(path = "lesson.html")]
struct LessonPage<'a> {
    style: &'static str,
    script: &'static str,
    policy: String,
    title: String,
    tool: &'static str,
    lessons: &'a [Lesson],
    data: &'static str,
}

/// A bit of the flags octet (RFC 9293, section 3.1), most significant first.
struct Bit {
    name: &'static str,
    is_set: bool,
}

/// The part of a path that is in one chain.
struct ChainSegment<'a> {
    name: String,
    rules: Vec<&'a RuleVisit>,
}

/// A row of bytes in a hex dump, each with the CSS class of its layer.
struct DumpRow {
    at: String,
    bytes: Vec<(String, &'static str)>,
}

impl LessonPage<'_> {
    fn bits(&self, lesson: &Lesson) -> Vec<Bit> {
        let bit = |flags: u8| move |(bit, name): (u8, _)| Bit { name, is_set: flags >> bit & 1 == 1 };
        lesson.flags.into_iter().flat_map(|flags| (0..8).zip(TcpFlags::NAMES).rev().map(bit(flags))).collect()
    }

    fn family(&self, family: &Family) -> &'static str {
        cell_details::family_name(*family)
    }

    fn sides<'a>(&self, scene: &'a PortScene) -> [&'a ProbeResult; 2] {
        [&scene.with_firewall, &scene.without]
    }

    fn probed(&self, scene: &PortScene) -> String {
        scene.port.map_or_else(|| "The host".to_owned(), |port| format!("Port {port}"))
    }

    fn look(&self, seen: &ProbeResult) -> &'static str {
        matrix::look(Some(seen.verdict.state))
    }

    fn letters(&self, seen: &ProbeResult) -> &'static str {
        let state: PortState = seen.verdict.state;
        matrix::letters(Some(state))
    }

    fn reason(&self, seen: &ProbeResult) -> String {
        let ttl = seen.verdict.reason_ttl.map(|ttl| format!(", ttl {ttl}")).unwrap_or_default();
        format!("{}{ttl}", seen.verdict.reason)
    }

    fn lanes<'a>(&self, trail: &'a [RuleVisit]) -> Vec<ChainSegment<'a>> {
        let same = |one: &RuleVisit, other: &RuleVisit| (&one.table, &one.chain) == (&other.table, &other.chain);
        let lane = |met: &'a [RuleVisit]| ChainSegment {
            name: format!("{} {}", met[0].table, met[0].chain),
            rules: met.iter().collect(),
        };
        trail.chunk_by(same).map(lane).collect()
    }

    fn end(&self, seen: &ProbeResult) -> &'static str {
        match seen.fate {
            None | Some(Fate::Accepted) => "It passes to the host",
            Some(Fate::Dropped) => "It is dropped without a reply",
            Some(Fate::Rejected) => "It is rejected: the sender gets an error",
            Some(Fate::Stolen) => "A target holds it (NFQUEUE, for example)",
            Some(Fate::Vanished) => "The kernel discarded it between two hooks",
            Some(Fate::Left(_)) => "It leaves the lab",
        }
    }

    fn dump(&self, frame: &ShownFrame) -> Vec<DumpRow> {
        let look = |at: usize| {
            let depth = frame.layers.iter().position(|layer| layer.bytes.contains(&at)).unwrap_or_default();
            self.depth(&depth)
        };
        let row = |(row, bytes): (usize, &[u8])| DumpRow {
            at: format!("{:04x}", row * 16),
            bytes: bytes.iter().enumerate().map(|(at, byte)| (format!("{byte:02x}"), look(row * 16 + at))).collect(),
        };
        frame.bytes.chunks(16).enumerate().map(row).collect()
    }

    fn depth(&self, depth: &usize) -> &'static str {
        ["l0", "l1", "l2", "l3"][depth % 4]
    }

    fn layer_name(&self, layer: &Layer) -> String {
        format!("{}{}", layer.name, if layer.is_quoted { " (quoted)" } else { "" })
    }
}
