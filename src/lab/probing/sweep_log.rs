//! The kernel's log as a second witness of a sweep: every LOG rule on the path of a stimulus must have left its line,
//! in order, and no other line of that stimulus may be there.

use super::witnesses::in_order_of;
use crate::error::{CannotMeasure, Result};
use crate::lab::log::log_source::LogTurn;
use crate::log_line::{LogLine, LoggedPacketHeader, Transport};
use crate::net::port::Port;
use crate::probe::packet::{Response, Stimulus};
use crate::text::escape::listed;
use crate::wire::headers::Content;

/// The witnesses of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witnesses {
    /// The rule trace alone: for thousands of packets whose log lines do not matter.
    Trace,
    /// The log as well.
    TraceAndLog,
}

/// The lab's turn at the log, and the lines that were read in it.
pub struct SweepLogReader<'a> {
    turn: LogTurn<'a>,
    /// `None` if the log is no witness.
    lines: Option<Vec<(LogLine, String)>>,
}

impl<'a> SweepLogReader<'a> {
    /// Keeps lines if the log is to be a witness.
    pub fn new(turn: LogTurn<'a>, witnesses: Witnesses) -> SweepLogReader<'a> {
        SweepLogReader { turn, lines: (witnesses == Witnesses::TraceAndLog).then(Vec::new) }
    }

    /// Reads the lines since the last call.
    pub fn listen(&mut self) -> Result<()> {
        let Some(lines) = &mut self.lines else { return Ok(()) };
        self.turn.drain(|text| lines.extend(LogLine::parse(&text).map(|line| (line, text))))
    }

    /// Adds lines that came with the trace.
    pub fn add(&mut self, more: Vec<String>) {
        let Some(lines) = &mut self.lines else { return };
        lines.extend(more.into_iter().filter_map(|text| Some((LogLine::parse(&text)?, text))));
    }

    /// Compares the lines with the paths of the stimuli, each of which has a tag of its own.
    pub fn check_consistency(
        &self,
        stimuli: &[Stimulus],
        responses: &[Response],
        tag: impl Fn(usize) -> u16,
    ) -> Result<()> {
        let Some(lines) = &self.lines else { return Ok(()) };
        let mut each = stimuli.iter().zip(responses).enumerate();
        each.try_for_each(|(index, (stimulus, response))| same_lines(lines, stimulus, response, tag(index)))
    }
}

/// True if the line shows the stimulus, by the packet's content. A nat table may have changed the destination, but not
/// yet the source: that is changed after all LOG rules.
fn is_line_of(line: &LogLine, stimulus: &Stimulus, tag: u16) -> bool {
    let (number, source) = match &line.network {
        Some(LoggedPacketHeader::Ipv4(packet)) => (u32::from(packet.id), packet.source.into()),
        Some(LoggedPacketHeader::Ipv6(packet)) => (packet.flow_label, packet.source.into()),
        Some(LoggedPacketHeader::Arp(_)) | None => return false,
    };
    let of = &stimulus.headers;
    let transport = line.network.as_ref().and_then(LoggedPacketHeader::transport);
    (number, source) == (tag.into(), of.source) && carries(transport, &of.content)
}

pub(crate) fn carries(transport: Option<&Transport>, content: &Content) -> bool {
    let source_port = |port: &Port| match transport {
        Some(Transport::Tcp(header)) => header.source == *port,
        Some(Transport::Udp(header)) => header.source == *port,
        _ => false,
    };
    match content {
        Content::Tcp { source, .. } | Content::Udp { source, .. } => source_port(source),
        Content::Icmp { kind, .. } => matches!(transport, Some(Transport::Icmp(message)) if message.kind == *kind),
        Content::Other => !matches!(transport, Some(Transport::Tcp(_) | Transport::Udp(_) | Transport::Icmp(_))),
    }
}

fn same_lines(lines: &[(LogLine, String)], stimulus: &Stimulus, response: &Response, tag: u16) -> Result<()> {
    let own = lines.iter().filter(|(line, _)| is_line_of(line, stimulus, tag));
    let traced: Vec<&str> = response.own.iter().flat_map(|own| own.path.log_prefixes()).collect();
    let logged = in_order_of(&traced, own.map(|(_, text)| text.as_str()).collect(), |text| text);
    let is_of = |(prefix, text): (&&str, &&str)| text.strip_prefix(*prefix).is_some_and(|rest| rest.starts_with("IN="));
    if traced.len() == logged.len() && traced.iter().zip(&logged).all(is_of) {
        return Ok(());
    }
    let (traced, logged) = (listed(&traced), listed(&logged));
    let what = format!("{stimulus}: the trace shows LOG rules with the prefixes {traced}, the log has {logged}");
    Err(CannotMeasure::Disagreement(what).into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::net::{Addresses, Family};
    use crate::probe::packet::{Journey, Packet};
    use crate::probe::path::{Fate, Path, Step, StepVerdict};
    use crate::wire::frame::Direction;

    fn stimulus() -> Stimulus {
        let packet: Packet = "tcp FIN,PSH from 40001 to 22".parse().unwrap();
        packet.stimulus(Family::Ipv4, &Addresses::default(), 0)
    }

    /// A response whose path has these LOG rules.
    fn response(prefixes: &[&str]) -> Response {
        let step = |prefix: &&str| Step {
            log_prefix: Some((*prefix).to_owned()),
            ..Step::new(("filter", "INPUT"), [Some(1), Some(1)], "", StepVerdict::Continue)
        };
        let path = Path { steps: prefixes.iter().map(step).collect(), conntrack: None, fate: Fate::Accepted };
        let own = Journey { headers: stimulus().headers, direction: Direction::In, path: Arc::new(path) };
        Response { own: vec![own], answer: None, others: Vec::new(), frames: Vec::new() }
    }

    /// A line of Linux 6.18, with another prefix, IP ID and source port.
    fn line(prefix: &str, id: u16, port: u16) -> (LogLine, String) {
        let text = format!(
            "{prefix}IN=eth0 OUT= MAC=02:00:5e:10:00:10:02:00:5e:10:00:66:08:00 SRC=203.0.113.66 DST=203.0.113.10 LEN=40 \
             TOS=0x00 PREC=0x00 TTL=255 ID={id} PROTO=TCP SPT={port} DPT=22 WINDOW=1024 RES=0x00 PSH FIN URGP=0 "
        );
        (LogLine::parse(&text).unwrap(), text)
    }

    fn is_consistent(lines: &[(LogLine, String)], prefixes: &[&str]) -> bool {
        same_lines(lines, &stimulus(), &response(prefixes), 7).is_ok()
    }

    #[test]
    fn every_log_rule_on_the_path_leaves_its_line_and_no_other_is_there() {
        let lines = [line("odd: ", 7, 40_001), line("all: ", 7, 40_001)];
        assert!(is_consistent(&lines, &["odd: ", "all: "]));
        assert!(!is_consistent(&lines, &["all: ", "odd: "]), "in another order");
        assert!(!is_consistent(&lines, &["odd: "]), "a line too much");
        assert!(!is_consistent(&lines[..1], &["odd: ", "all: "]), "a line is missing");
        assert!(!is_consistent(&lines[..1], &["od"]), "another prefix");
    }

    #[test]
    fn log_lines_of_other_hosts_are_ignored() {
        assert!(is_consistent(&[line("odd: ", 8, 40_001), line("odd: ", 7, 40_002)], &[]));
    }

    #[test]
    fn a_prefix_may_look_like_the_beginning_of_a_line() {
        assert!(is_consistent(&[line("IN=", 7, 40_001)], &["IN="]));
    }
}
