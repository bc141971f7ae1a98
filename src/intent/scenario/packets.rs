//! Rows of packets: `packet = "tcp FIN,PSH to 22"`, one or a list.

use super::selection::{Selection, read_family};
use super::{CheckSubject, Packet};
use crate::error::Result;
use crate::net::Family;
use crate::probe::packet::PacketError;
use crate::sensor::{TomlTable, Value};

/// The packets of a row, in the families that it names; a packet that exists in one family only needs no `family`.
pub fn read_packets(row: &mut TomlTable<'_>, value: Value<'_>) -> Result<Selection> {
    let family = row.take("family");
    let stated = family.as_ref().map(read_family).transpose()?;
    let spot = value.spot();
    let listed = value.into_one_or_many();
    if listed.len() > MOST_IN_A_ROW {
        let problem = format!("a row has at most {MOST_IN_A_ROW} packets, and this one has {}", listed.len());
        return Err(spot.error(problem, "keep the packets that rules distinguish").into());
    }
    let mut subjects = Vec::new();
    for value in listed {
        let packet = read_packet(&value)?;
        check_family(&value, packet, stated.as_deref())?;
        if subjects.contains(&CheckSubject::Packet(packet)) {
            return Err(value.error(format!("`{packet}` is listed twice"), "name it once").into());
        }
        subjects.push(CheckSubject::Packet(packet));
    }
    refuse(row, "ports", "a packet names its own port", "remove `ports`")?;
    refuse(row, "state", "a packet has no port state", "expect what the filter does: `verdict`, `log` or both")?;
    refuse(row, "rate", "a packet has no rate", "write a row with `scan` and `ports` for it")?;
    let families = stated.unwrap_or(Family::BOTH.to_vec());
    if subjects.is_empty() {
        let hint = "write packet = \"tcp SYN to 80\", or a list of such strings";
        return Err(spot.error("`packet` is empty", hint).into());
    }
    Ok(Selection { subjects, ports: None, families })
}

/// Bounded, since every check is compared with every packet of a row.
const MOST_IN_A_ROW: usize = 2_000;

fn read_packet(value: &Value<'_>) -> Result<Packet> {
    let unreadable = |error: PacketError| value.error(&error, error.hint()).into();
    value.text()?.parse().map_err(unreadable)
}

fn check_family(value: &Value<'_>, packet: Packet, stated: Option<&[Family]>) -> Result<()> {
    match (packet.family(), stated) {
        (Some(only), Some(stated)) if stated != [only] => {
            let hint = format!("write family = \"{only}\", or leave it out");
            Err(value.error(format!("`{packet}` can only go over {only}"), hint).into())
        }
        _ => Ok(()),
    }
}

fn refuse(row: &mut TomlTable<'_>, key: &'static str, problem: &str, hint: &str) -> Result<()> {
    row.take(key).map_or(Ok(()), |value| Err(value.error(problem, hint).into()))
}
