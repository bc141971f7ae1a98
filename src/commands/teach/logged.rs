//! A line of the kernel's log, word by word. Source of the words: `net/netfilter/nf_log_syslog.c`.

use serde::Serialize;

use crate::log_line::LogLine;
use crate::probe::observation::LogRecord;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedLine {
    /// The rule's own prefix, byte for byte.
    pub prefix: String,
    /// The whole line.
    pub line: String,
    /// Its words after the prefix, in order.
    pub fields: Vec<LoggedField>,
}

/// A word of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LoggedField {
    /// The text: `SPT=41012`, `DF`.
    pub text: String,
    /// Its meaning.
    pub meaning: String,
}

impl LoggedLine {
    /// Parses the line.
    pub fn new(record: &LogRecord) -> LoggedLine {
        let body = LogLine::parse(&record.line).map(|line| line.body().to_string()).unwrap_or_default();
        let mut is_after_ports = false;
        let fields = body.split(' ').filter(|word| !word.is_empty()).map(|word| {
            is_after_ports |= word.starts_with("DPT=");
            LoggedField { text: word.to_owned(), meaning: meaning(word, is_after_ports) }
        });
        LoggedLine { prefix: record.prefix.clone(), line: record.line.clone(), fields: fields.collect() }
    }
}

fn meaning(word: &str, is_after_ports: bool) -> String {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let known = match (name, value) {
        ("IN", "") => "none: the host created the packet",
        ("IN", _) => "the interface on which it arrived",
        ("OUT", "") => "empty: it is for this host, and leaves on no interface",
        ("OUT", _) => "the interface on which it leaves",
        ("MAC", "") => "empty: the link has no addresses",
        ("MAC", value) => return mac(value),
        ("SRC", _) => "source address",
        ("DST", _) => "destination address",
        ("LEN", _) if is_after_ports => "length of the datagram, in bytes",
        ("LEN", _) => "length of the IP packet, in bytes",
        ("TOS", _) => "type of service, without precedence",
        ("PREC", _) => "precedence: the upper bits of the type of service",
        ("TC", _) => "traffic class",
        ("TTL", _) => "time to live: how many more routers it may pass",
        ("HOPLIMIT", _) => "hop limit: how many more routers it may pass",
        ("FLOWLBL", _) => "flow label",
        ("ID", _) => "identification, or that of an echo request",
        ("DF" | "MF" | "CE", _) => "a flag of the IP header",
        ("FRAG", _) => "fragment offset",
        ("PROTO", _) => "the protocol of its payload",
        ("SPT", _) => "source port",
        ("DPT", _) => "destination port",
        ("WINDOW", _) => "window",
        ("RES", _) => "reserved bits; the TCP flags that are set follow",
        ("CWR" | "ECE" | "AE" | "URG" | "ACK" | "PSH" | "RST" | "SYN" | "FIN", "") => "this TCP flag is set",
        ("SEQ", _) => "sequence number",
        ("ACK", _) => "acknowledgment number",
        ("URGP", _) => "urgent pointer",
        ("TYPE", _) => "ICMP type",
        ("CODE", _) => "ICMP code",
        ("MARK", _) => "the mark that a rule has set",
        ("UID" | "GID", _) => "the owner of the socket",
        _ => "",
    };
    known.to_owned()
}

/// `destination 00:0c:29:4f:8e:35, source 02:00:5e:10:00:66, EtherType 08:00`
fn mac(value: &str) -> String {
    let octets: Vec<&str> = value.split(':').collect();
    match (octets.get(..6), octets.get(6..12), octets.get(12..14)) {
        (Some(destination), Some(source), Some(ether_type)) => format!(
            "destination {}, source {}, EtherType {}",
            destination.join(":"),
            source.join(":"),
            ether_type.concat()
        ),
        _ => "the link's header".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_line_are_told() {
        let line = "<IPT> x: IN=eth0 OUT= MAC=00:0c:29:4f:8e:35:02:00:5e:10:00:66:08:00 SRC=203.0.113.66 URG URGP=0 ";
        let read = LoggedLine::new(&LogRecord { prefix: "<IPT> x: ".into(), line: line.into() });
        let meanings: Vec<&str> = read.fields.iter().map(|field| field.meaning.as_str()).collect();
        let expected = [
            "the interface on which it arrived",
            "empty: it is for this host, and leaves on no interface",
            "destination 00:0c:29:4f:8e:35, source 02:00:5e:10:00:66, EtherType 0800",
            "source address",
            "this TCP flag is set",
            "urgent pointer",
        ];
        assert_eq!(meanings, expected);
    }
}
