//! Log lines that are the same in each report: the host's initial sequence number is random (RFC 6528), and
//! `--log-tcp-sequence` shows it. Reports in JSON have `*` in its place; `--syslog` keeps the line as it was.

use serde::{Serialize, Serializer};

use crate::probe::observation::LogRecord;

/// Serializes the lines of a probe and its answer: a SYN/ACK is the only answer with a random number of the host's.
pub fn of_answer<S: Serializer>(records: &[LogRecord], serializer: S) -> Result<S::Ok, S::Error> {
    masked(records, in_answer).serialize(serializer)
}

/// Serializes the lines of later packets: the host's numbers follow from its first, and the prober acknowledges them.
pub fn of_followup<S: Serializer>(records: &[LogRecord], serializer: S) -> Result<S::Ok, S::Error> {
    masked(records, in_followup).serialize(serializer)
}

fn in_answer(line: &str) -> Option<Number> {
    (is_sent(line) && line.contains(" SYN ")).then_some(Number::Own)
}

fn in_followup(line: &str) -> Option<Number> {
    Some(if is_sent(line) { Number::Own } else { Number::Acknowledged })
}

/// The one of the two numbers that is random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Own,
    Acknowledged,
}

fn masked(records: &[LogRecord], which: impl Fn(&str) -> Option<Number>) -> Vec<LogRecord> {
    let mask = |record: &LogRecord| {
        let line = record.line.strip_prefix(&record.prefix).and_then(|line| without(line, which(line)?));
        LogRecord {
            line: line.map_or_else(|| record.line.clone(), |line| record.prefix.clone() + &line),
            ..record.clone()
        }
    };
    records.iter().map(mask).collect()
}

fn is_sent(line: &str) -> bool {
    line.starts_with("IN= ")
}

/// The line with the random number replaced; `None` if it has no sequence numbers, or only the constant 0.
fn without(line: &str, number: Number) -> Option<String> {
    let (before, rest) = line.split_once(" SEQ=")?;
    let (seq, rest) = rest.split_once(" ACK=")?;
    let (ack, rest) = rest.split_once(" WINDOW=")?;
    let (seq, ack) = match number {
        Number::Own => (Some("*").filter(|_| seq != "0")?, ack),
        Number::Acknowledged => (seq, Some("*").filter(|_| ack != "0")?),
    };
    Some(format!("{before} SEQ={seq} ACK={ack} WINDOW={rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(host: bool, flags: &str) -> LogRecord {
        let ends = if host { "IN= OUT=eth0" } else { "IN=eth0 OUT=" };
        let line = format!("SEQ=1: {ends} PROTO=TCP SPT=22 DPT=9 SEQ=77 ACK=88 WINDOW=1 RES=0x00 {flags} URGP=0 ");
        LogRecord { prefix: "SEQ=1: ".to_owned(), line }
    }

    #[test]
    fn only_the_numbers_that_the_host_chose_are_masked() {
        let lines = |records: Vec<LogRecord>| records.into_iter().map(|record| record.line).collect::<String>();
        let answer = |record| lines(masked(&[record], in_answer));
        assert!(answer(line(true, "ACK SYN")).contains(" SEQ=* ACK=88 "));
        assert!(answer(line(true, "RST")).contains(" SEQ=77 ACK=88 "));
        assert!(answer(line(false, "SYN")).contains(" SEQ=77 ACK=88 "));
        let followed = lines(masked(&[line(false, "ACK")], in_followup));
        assert!(followed.starts_with("SEQ=1: ") && followed.contains(" SEQ=77 ACK=* "), "{followed}");
    }
}
