//! The conntrack table, filled with real entries that early drop may not evict, created over ctnetlink.
//!
//! The limit (`nf_conntrack_max`) is the machine's and cannot be set from a namespace, but each namespace counts its
//! own entries against it, so connections outside of the lab are not affected.

use std::fs;
use std::io;
use std::net::Ipv4Addr;

use nix::errno::Errno;

use super::Sabotage;
use crate::error::Result;
use crate::lab::host::namespace::Isolated;
use crate::lab::trace::nfnetlink::{Attributes, CTNETLINK, Nfnetlink, Request, protocol_family};
use crate::net::Family;

/// The largest table that is filled: it takes two to four seconds; a larger one takes too long and too much memory (320
/// bytes for each entry).
const MOST: u32 = 1_000_000;

/// Entries per call. Each refused entry is answered, and the answers must fit into the socket: if they do not, it
/// reports its own overrun (ENOBUFS) instead of the refusal. The answers to 256 take more than 212992 bytes on Debian's
/// 6.12 and on 7.3.
const STEP: u32 = 64;

const LIMIT: &str = "/proc/sys/net/netfilter/nf_conntrack_max";

/// Creates entries until the kernel reports that the table is full.
pub fn fill(isolated: &Isolated, sabotage: &Sabotage) -> Result<()> {
    let limit = fs::read_to_string(LIMIT).ok().and_then(|text| text.trim().parse::<u32>().ok());
    match limit {
        None => sabotage.decline("this kernel has no connection tracking".to_owned()),
        // "0 means unlimited", as `__nf_conntrack_alloc` reads it.
        Some(0) => sabotage.decline("nf_conntrack_max is 0: the table is never full".to_owned()),
        Some(limit) if limit > MOST => {
            sabotage.decline(format!("nf_conntrack_max is {limit}: too many entries to make"))
        }
        Some(limit) => fill_beyond(isolated, sabotage, limit)?,
    }
    Ok(())
}

fn fill_beyond(isolated: &Isolated, sabotage: &Sabotage, limit: u32) -> Result<()> {
    match first_refusal(isolated, sabotage, limit)? {
        Some(error) if is_full(&error) && sabotage.planted() + u64::from(STEP) > u64::from(limit) => sabotage.meet(),
        Some(error) => sabotage.decline(format!("cannot make an entry over ctnetlink: {error}")),
        None => {}
    }
    Ok(())
}

/// Creates entries until one is refused; `None` if none is. It uses a socket of its own, because the answers that are
/// still queued after the refusal are closed with it.
fn first_refusal(isolated: &Isolated, sabotage: &Sabotage, limit: u32) -> Result<Option<io::Error>> {
    let netlink = Nfnetlink::open(isolated)?;
    for first in (0..limit + 2 * STEP).step_by(STEP as usize) {
        if let Err(error) = netlink.create_each((first..first + STEP).map(entry).collect()) {
            return Ok(Some(error));
        }
        sabotage.plant(u64::from(STEP));
    }
    Ok(None)
}

/// True if the error is that of a full table: `__nf_conntrack_alloc` returns ENOMEM if early drop found no entry to
/// evict.
fn is_full(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ENOMEM as i32)
}

/// Status bits of an entry: seen in both directions, assured (so that early drop does not evict it), confirmed (as
/// every entry in the table is): `IPS_SEEN_REPLY`, `IPS_ASSURED`, `IPS_CONFIRMED`.
const STATUS: u32 = 2 | 4 | 8;

/// Longer than a lab lasts, in seconds.
const TIMEOUT: u32 = 600;

/// Builds `IPCTNL_MSG_CT_NEW` for a UDP flow between two networks for benchmarks (RFC 2544); each number gives another
/// flow.
fn entry(number: u32) -> Request {
    const NEW: u8 = 0;
    const ORIGINAL: u16 = 1;
    const REPLY: u16 = 2;
    const STATUS_BITS: u16 = 3;
    const SECONDS: u16 = 7;
    let here = (Ipv4Addr::new(198, 18, 0, 1), 1 + (number % 60_000) as u16);
    let there = (Ipv4Addr::new(198, 19, 0, 1), 1 + (number / 60_000) as u16);
    let attributes = Attributes::new()
        .nested(ORIGINAL, tuple(here, there))
        .nested(REPLY, tuple(there, here))
        .be32(STATUS_BITS, STATUS)
        .be32(SECONDS, TIMEOUT);
    Request { subsystem: CTNETLINK, kind: NEW, family: protocol_family(Family::Ipv4), attributes }
}

type Endpoint = (Ipv4Addr, u16);

fn tuple(source: Endpoint, destination: Endpoint) -> Attributes {
    const IP: u16 = 1;
    const PROTOCOL: u16 = 2;
    const SOURCE: u16 = 1;
    const DESTINATION: u16 = 2;
    const NUMBER: u16 = 1;
    const SOURCE_PORT: u16 = 2;
    const DESTINATION_PORT: u16 = 3;
    const UDP: u8 = 17;
    let ip = Attributes::new().bytes(SOURCE, &source.0.octets()).bytes(DESTINATION, &destination.0.octets());
    let protocol = Attributes::new()
        .bytes(NUMBER, &[UDP])
        .bytes(SOURCE_PORT, &source.1.to_be_bytes())
        .bytes(DESTINATION_PORT, &destination.1.to_be_bytes());
    Attributes::new().nested(IP, ip).nested(PROTOCOL, protocol)
}
