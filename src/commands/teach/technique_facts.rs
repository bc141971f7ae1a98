//! A description of each technique, and the answers that the standards require of a host. Sections are those of RFC
//! 9293 (TCP), RFC 1122 (IPv4 hosts), RFC 768 (UDP), RFC 4443 (ICMPv6), paraphrased.

use serde::Serialize;

use crate::net::Family;
use crate::probe::scan::Technique;

/// The theory of a technique, before any packet is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TechniqueFacts {
    /// The technique and its use.
    pub idea: &'static str,
    /// The required answer of an open port.
    pub open: RfcRequirement,
    /// The required answer of a closed port.
    pub closed: RfcRequirement,
    /// The conclusion of the scanner.
    pub conclusion: &'static str,
}

/// A requirement of a standard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RfcRequirement {
    /// In words.
    pub words: &'static str,
    /// The place in the standard.
    pub source: &'static str,
}

const RESET: RfcRequirement = RfcRequirement {
    words: "No connection exists, so the state is CLOSED: any segment but a RST is answered with a RST. The probe has \
            no ACK bit to take a number from, so the RST has sequence number 0, and acknowledges the probe (RST, ACK).",
    source: "RFC 9293, sections 3.10.7.1 and 3.5.2, group 1",
};

const RESET_OF_ACK: RfcRequirement = RfcRequirement {
    words: "No connection exists, so the state is CLOSED: any segment but a RST is answered with a RST. The probe has \
            the ACK bit, so its acknowledgment number is the sequence number of the RST, which has no ACK bit itself.",
    source: "RFC 9293, sections 3.10.7.1 and 3.5.2, group 1",
};

const SILENCE: RfcRequirement = RfcRequirement {
    words: "The state is LISTEN. The probe has none of RST, ACK and SYN set: what is left is dropped, without a word.",
    source: "RFC 9293, section 3.10.7.2, fourth step",
};

const LISTENER_RESETS: RfcRequirement = RfcRequirement {
    words: "The state is LISTEN. Nothing has been sent yet that could be acknowledged, so any segment with an ACK bit \
            is answered with a RST: just what a closed port answers.",
    source: "RFC 9293, sections 3.10.7.2, second step, and 3.5.2, group 2",
};

const SYN_ACK: RfcRequirement = RfcRequirement {
    words: "The state is LISTEN. A SYN asks for a connection: the answer is SYN, ACK, and the connection is half open.",
    source: "RFC 9293, section 3.10.7.2, third step",
};

const SILENT_LIKE_A_FILTER: &str = "A RST says closed. Silence says open or filtered: an open port keeps as silent as \
                                    a firewall that drops, so nmap prints open|filtered. An ICMP error says \
                                    filtered.";

/// The facts of a technique.
pub fn facts(technique: Technique, family: Family) -> TechniqueFacts {
    match technique {
        Technique::Xmas => TechniqueFacts {
            idea: "A segment lit up like a Christmas tree: FIN, PSH and URG are set. No connection ever begins so. It \
                   was made to slip past filters that look for SYN alone.",
            open: SILENCE,
            closed: RESET,
            conclusion: SILENT_LIKE_A_FILTER,
        },
        Technique::Null => TechniqueFacts {
            idea: "A segment without any flag. No connection ever sends one: the first segment has SYN, the later ones have \
                   ACK, and a RST, which may lack ACK, has RST.",
            open: SILENCE,
            closed: RESET,
            conclusion: SILENT_LIKE_A_FILTER,
        },
        Technique::Fin => TechniqueFacts {
            idea: "A FIN alone, as if to end a connection that never was. A real FIN comes with ACK.",
            open: SILENCE,
            closed: RESET,
            conclusion: SILENT_LIKE_A_FILTER,
        },
        Technique::Syn => TechniqueFacts {
            idea: "The first step of every connection, and then no other: the scanner's kernel, which knows of no connection, \
                   answers the SYN/ACK with a RST. The state of the port is known, and the service never hears of it.",
            open: SYN_ACK,
            closed: RESET,
            conclusion: "SYN/ACK says open, RST says closed; silence or an ICMP error says filtered.",
        },
        Technique::Connect => TechniqueFacts {
            idea: "What every client does: the whole handshake, by the scanner's own kernel, then a hang-up. It needs no \
                   privilege, and the service sees it.",
            open: SYN_ACK,
            closed: RESET,
            conclusion: "A connection says open, a refused one closed (a RST or ICMP port unreachable: connect() does not tell \
                         which), silence filtered.",
        },
        Technique::Ack => TechniqueFacts {
            idea: "An ACK for a connection that never was. It does not look for services: it asks whether a firewall \
                   stands in front.",
            open: LISTENER_RESETS,
            closed: RESET_OF_ACK,
            conclusion: "A RST says that the port can be reached (unfiltered); open or closed cannot be told. Silence or \
                         an ICMP error says filtered.",
        },
        Technique::Window => TechniqueFacts {
            idea: "On the wire an ACK scan. But some systems put a window that is not 0 into the RST of an open port, \
                   and this scan looks at it. Linux never does.",
            open: LISTENER_RESETS,
            closed: RESET_OF_ACK,
            conclusion: "A RST with a window says open, one without says closed; from Linux everything looks closed. \
                         Silence or an ICMP error says filtered.",
        },
        Technique::Maimon => TechniqueFacts {
            idea: "FIN and ACK, as Uriel Maimon described it in Phrack 49: some BSD systems dropped it at open ports. By \
                   the standard both kinds of ports answer alike, as Linux does.",
            open: LISTENER_RESETS,
            closed: RESET_OF_ACK,
            conclusion: "A RST says closed, though by the standard an open port sends one too. Silence says open|filtered, an \
                         ICMP error filtered.",
        },
        Technique::Udp => udp(family),
        Technique::Echo => echo(family),
    }
}

fn udp(family: Family) -> TechniqueFacts {
    let source = family.pick("RFC 1122, section 4.1.3.1", "RFC 4443, section 3.1");
    TechniqueFacts {
        idea: "A datagram without content. (To some well-known ports nmap sends what their services understand, unless \
               --data-length 0 tells it not to.) UDP has no handshake: whether anybody answers is up to the service.",
        open: RfcRequirement {
            words: "The datagram goes to the service, which may answer or not: UDP itself says nothing.",
            source: "RFC 768",
        },
        closed: RfcRequirement { words: "The host should answer with an ICMP error: port unreachable.", source },
        conclusion: "A datagram says open, port unreachable says closed, another ICMP error filtered. Silence says \
                     open|filtered.",
    }
}

fn echo(family: Family) -> TechniqueFacts {
    let source = family.pick("RFC 1122, section 3.2.2.6", "RFC 4443, section 4.2");
    TechniqueFacts {
        idea: "Ping. It asks for the host, and has no port. It is one of the probes by which nmap finds out whether a host \
               is there before it scans it; in its own network it asks by ARP (or neighbour discovery) instead.",
        open: RfcRequirement { words: "Every host must answer an echo request with an echo reply.", source },
        closed: RfcRequirement { words: "There is nothing to be closed: a host that is there answers.", source },
        conclusion: "A reply says that the host is up. Silence says that it is down, or that a filter keeps it silent.",
    }
}
