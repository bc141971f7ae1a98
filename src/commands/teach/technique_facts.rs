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
    words: "The state is LISTEN. The probe has none of RST, ACK and SYN set: any other segment is dropped, without \
            an answer.",
    source: "RFC 9293, section 3.10.7.2, fourth step",
};

const LISTENER_RESETS: RfcRequirement = RfcRequirement {
    words: "The state is LISTEN. Nothing has been sent yet that could be acknowledged, so any segment with an ACK bit \
            is answered with a RST, as by a closed port.",
    source: "RFC 9293, sections 3.10.7.2, second step, and 3.5.2, group 2",
};

const SYN_ACK: RfcRequirement = RfcRequirement {
    words: "The state is LISTEN. A SYN opens a connection: the answer is SYN, ACK, and the connection is half open.",
    source: "RFC 9293, section 3.10.7.2, third step",
};

const SILENT_LIKE_A_FILTER: &str = "RST means closed. No answer means open or filtered: an open port does not \
                                    answer, and neither does a firewall that drops, so nmap prints open|filtered. An \
                                    ICMP error means filtered.";

/// The facts of a technique.
pub fn facts(technique: Technique, family: Family) -> TechniqueFacts {
    match technique {
        Technique::Xmas => TechniqueFacts {
            idea: "A segment lit up like a Christmas tree: FIN, PSH and URG are set. No connection begins with such \
                   a segment. The scan was designed to pass filters that match SYN only.",
            open: SILENCE,
            closed: RESET,
            conclusion: SILENT_LIKE_A_FILTER,
        },
        Technique::Null => TechniqueFacts {
            idea: "A segment without any flag. No connection sends one: the first segment has SYN, the later ones \
                   have ACK, and a RST, which may lack ACK, has RST.",
            open: SILENCE,
            closed: RESET,
            conclusion: SILENT_LIKE_A_FILTER,
        },
        Technique::Fin => TechniqueFacts {
            idea: "A FIN alone, as if to close a connection that does not exist. A real FIN has ACK set too.",
            open: SILENCE,
            closed: RESET,
            conclusion: SILENT_LIKE_A_FILTER,
        },
        Technique::Syn => TechniqueFacts {
            idea: "Only the first step of a connection: the scanner's kernel, which knows of no connection, answers \
                   the SYN/ACK with a RST. The state of the port is then known, and the service notices nothing.",
            open: SYN_ACK,
            closed: RESET,
            conclusion: "SYN/ACK means open, RST means closed; no answer or an ICMP error means filtered.",
        },
        Technique::Connect => TechniqueFacts {
            idea: "The connection of an ordinary client: the whole handshake, by the scanner's own kernel, then a \
                   close. It needs no privilege, and the service notices it.",
            open: SYN_ACK,
            closed: RESET,
            conclusion: "A connection means open, a refused one closed (a RST or ICMP port unreachable: connect() \
                         does not show which), no answer filtered.",
        },
        Technique::Ack => TechniqueFacts {
            idea: "An ACK outside any connection. It does not look for services: it finds out whether a firewall \
                   filters the port.",
            open: LISTENER_RESETS,
            closed: RESET_OF_ACK,
            conclusion: "A RST means that the port can be reached (unfiltered); open and closed cannot be \
                         distinguished. No answer or an ICMP error means filtered.",
        },
        Technique::Window => TechniqueFacts {
            idea: "The packet of an ACK scan. Some systems set a window other than 0 in the RST of an open port, and \
                   this scan reads it. Linux never does.",
            open: LISTENER_RESETS,
            closed: RESET_OF_ACK,
            conclusion: "A RST with a window means open, one without means closed; with Linux every port looks \
                         closed. No answer or an ICMP error means filtered.",
        },
        Technique::Maimon => TechniqueFacts {
            idea: "FIN and ACK, as Uriel Maimon described it in Phrack 49: some BSD systems dropped it at open \
                   ports. By the standard open and closed ports answer the same, as on Linux.",
            open: LISTENER_RESETS,
            closed: RESET_OF_ACK,
            conclusion: "A RST means closed, although by the standard an open port sends one too. No answer means \
                         open|filtered, an ICMP error filtered.",
        },
        Technique::Udp => udp(family),
        Technique::Echo => echo(family),
    }
}

fn udp(family: Family) -> TechniqueFacts {
    let source = family.pick("RFC 1122, section 4.1.3.1", "RFC 4443, section 3.1");
    TechniqueFacts {
        idea: "An empty datagram. (To some well-known ports nmap sends a payload of the service, unless \
               --data-length 0 is given.) UDP has no handshake: whether an answer comes depends on the service.",
        open: RfcRequirement {
            words: "The datagram goes to the service, which may answer or not: UDP itself requires no answer.",
            source: "RFC 768",
        },
        closed: RfcRequirement { words: "The host should answer with an ICMP error: port unreachable.", source },
        conclusion: "A datagram means open, port unreachable means closed, another ICMP error filtered. No answer \
                     means open|filtered.",
    }
}

fn echo(family: Family) -> TechniqueFacts {
    let source = family.pick("RFC 1122, section 3.2.2.6", "RFC 4443, section 4.2");
    TechniqueFacts {
        idea: "Ping. It tests the host, and has no port. It is one of the probes with which nmap finds out whether a \
               host is up before a scan; in its own network nmap uses ARP (or neighbour discovery) instead.",
        open: RfcRequirement { words: "Every host must answer an echo request with an echo reply.", source },
        closed: RfcRequirement { words: "Ping has no \"closed\" state: any host that is up answers.", source },
        conclusion: "A reply means that the host is up. No answer means that it is down, or that a filter drops the \
                     request or the reply.",
    }
}
