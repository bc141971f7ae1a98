//! The kernel's log as a second witness of a sweep: every LOG rule on the path of a stimulus must have left its line, in
//! order, and no other line of that stimulus may be there.

use super::kernel_log::Turn;
use crate::error::{CannotMeasure, Result};
use crate::iptables_save::Content;
use crate::log_line::{LogLine, Network, Transport};
use crate::port::Port;
use crate::sweep::{Response, Stimulus};

/// Who is asked of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witnesses {
    /// The rule trace alone: for thousands of packets, of which nobody asks what they log.
    Trace,
    /// The log as well.
    TraceAndLog,
}

/// The lab's turn at the kernel log, and what was heard in it.
pub struct Ear<'a> {
    turn: Turn<'a>,
    /// None when nobody listens.
    lines: Option<Vec<(LogLine, String)>>,
}

impl<'a> Ear<'a> {
    /// An ear that listens if the log is to be a witness.
    pub fn new(turn: Turn<'a>, witnesses: Witnesses) -> Ear<'a> {
        Ear { turn, lines: (witnesses == Witnesses::TraceAndLog).then(Vec::new) }
    }

    /// Reads what was logged since the last time.
    pub fn listen(&mut self) -> Result<()> {
        let Some(lines) = &mut self.lines else { return Ok(()) };
        self.turn.drain(|record| lines.extend(LogLine::parse(&record.text).map(|line| (line, record.text))))
    }

    /// Compares what was heard with the paths of the stimuli, each of which has a tag of its own.
    pub fn agree(&self, stimuli: &[Stimulus], responses: &[Response], tag: impl Fn(usize) -> u16) -> Result<()> {
        let Some(lines) = &self.lines else { return Ok(()) };
        for (index, (stimulus, response)) in stimuli.iter().zip(responses).enumerate() {
            let own = lines.iter().filter(|(line, _)| is_line_of(line, stimulus, tag(index)));
            let logged: Vec<&str> = own.map(|(_, text)| text.as_str()).collect();
            same_lines(stimulus, response, &logged)?;
        }
        Ok(())
    }
}

/// What the packet carries tells whose line it is. A nat table may have changed where it goes, but not yet where it is
/// from: that is done behind all LOG rules.
fn is_line_of(line: &LogLine, stimulus: &Stimulus, tag: u16) -> bool {
    let (number, source) = match &line.network {
        Some(Network::Ipv4(packet)) => (u32::from(packet.id), packet.source.into()),
        Some(Network::Ipv6(packet)) => (packet.flow_label, packet.source.into()),
        Some(Network::Arp(_)) | None => return false,
    };
    let of = &stimulus.headers;
    let transport = line.network.as_ref().and_then(Network::transport);
    (number, source) == (tag.into(), of.source) && carries(transport, &of.content)
}

fn carries(transport: Option<&Transport>, content: &Content) -> bool {
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

fn same_lines(stimulus: &Stimulus, response: &Response, logged: &[&str]) -> Result<()> {
    let traced: Vec<&str> = response.own.iter().flat_map(|own| own.path.log_prefixes()).collect();
    let is_of = |(prefix, text): (&&str, &&str)| text.strip_prefix(*prefix).is_some_and(|rest| rest.starts_with("IN="));
    if traced.len() == logged.len() && traced.iter().zip(logged).all(is_of) {
        return Ok(());
    }
    let what = format!("{stimulus:?}: the trace shows LOG rules with the prefixes {traced:?}, the log has {logged:?}");
    Err(CannotMeasure::Disagreement(what).into())
}
