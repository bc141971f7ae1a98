use std::time::Duration;

use super::*;
use crate::net::port::Port;
use crate::net::{Addresses, Family, Mac};
use crate::probe::path::{Step, StepVerdict};
use crate::probe::scan::Technique;
use crate::probe::scan_pass::{PassNumbering, SEED};
use crate::probe::{Ends, Probe};
use crate::wire::packet_id::PacketId;

const ENDS: Ends = Ends { prober: Mac([2, 0, 0, 0, 0, 1]), host: Mac([2, 0, 0, 0, 0, 2]) };

fn probe() -> Probe {
    PassNumbering::new(SEED).phase(Technique::Syn, Family::Ipv4, Addresses::default()).probe(Port(80), 0)
}

fn frame() -> RelayedFrame {
    let (bytes, path, verdict, log) = (probe().frame(&ENDS), None, None, Vec::new());
    RelayedFrame { at: Duration::ZERO, direction: Direction::In, bytes, cause: None, path, verdict, log }
}

fn traced(prefixes: &[&str], direction: Direction, fate: Fate) -> Traced {
    let step = |prefix: &&str| Step {
        log_prefix: Some((*prefix).to_owned()),
        ..Step::new(("filter", "INPUT"), [Some(1), Some(1)], "", StepVerdict::Continue)
    };
    let path = Path { steps: prefixes.iter().map(step).collect(), conntrack: None, fate };
    let bytes = frame().bytes;
    let sighting = TracedHeaders::from_packet(&bytes[14..]).unwrap();
    Traced {
        direction,
        seen: PacketId::from_headers(&sighting, &bytes[34..]),
        sighting,
        during: None,
        path: path.into(),
    }
}

fn line(prefix: &str, number: u16) -> TiedLine {
    let Probe { flow, .. } = probe();
    let text = format!(
        "{prefix}IN=eth0 OUT= MAC=02:00:5e:10:00:10:02:00:5e:10:00:66:08:00 SRC={} DST={} LEN=44 TOS=0x00 PREC=0x00 TTL=50 \
         ID={number} PROTO=TCP SPT={} DPT={} WINDOW=1024 RES=0x00 SYN URGP=0 ",
        flow.prober, flow.host, flow.prober_port, flow.port
    );
    TiedLine { line: LogLine::parse(&text).unwrap(), text, during: 0..1 }
}

#[test]
fn a_frame_gets_its_path_and_its_line() {
    let traced = vec![traced(&["in "], Direction::In, Fate::Dropped)];
    let (frames, held_back) = tie(vec![frame()], Some(traced), vec![line("in ", probe().ip_id)]).unwrap();
    assert_eq!((frames[0].verdict, frames[0].log[0].prefix.as_str()), (Some(FilterVerdict::Drop), "in "));
    assert!(held_back.is_empty());
}

#[test]
fn trace_and_log_must_agree() {
    let check_frames = |prefixes: &[&str], lines| {
        tie(vec![frame()], Some(vec![traced(prefixes, Direction::In, Fate::Dropped)]), lines)
    };
    let own = probe().ip_id;
    assert!(check_frames(&["in "], vec![]).is_err(), "a line is missing");
    assert!(check_frames(&["in "], vec![line("in ", own), line("in ", own)]).is_err(), "a line too much");
    assert!(check_frames(&["in "], vec![line("other ", own)]).is_err(), "another line");
    assert!(check_frames(&[], vec![line("in ", own.wrapping_add(1))]).is_ok(), "another packet's line");
}

#[test]
fn packets_dropped_by_the_hosts_own_rules_are_reported() {
    let traced = vec![traced(&["out "], Direction::Out, Fate::Dropped)];
    let (_, held_back) =
        tie(Vec::new(), Some(traced), vec![TiedLine { during: 0..0, ..line("out ", probe().ip_id) }]).unwrap();
    assert_eq!(held_back[0].log[0].prefix, "out ");
}
