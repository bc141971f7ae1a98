//! The host is ready when it answers in every family, before any rule is loaded. An IPv6 address becomes usable in a
//! workqueue (`addrconf_dad_work` in net/ipv6/addrconf.c), even one that is exempt from duplicate address detection; on
//! a busy machine that takes a while, and probes sent earlier would look filtered.

use std::thread;
use std::time::{Duration, Instant};

use super::link::ProberLink;
use crate::error::{CannotMeasure, Result};
use crate::net::port::Port;
use crate::net::{Addresses, Family, Protocol};
use crate::probe::scan::Technique;
use crate::probe::{Probe, ProbeOverrides};
use crate::wire::reply::Flow;

/// The time limit of the host, on a machine that is busy with other work.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the host answers a bare ACK with a RST, which it does on open and closed ports alike (RFC 9293, section
/// 3.5.2, group 1).
pub fn wait(link: &mut ProberLink, addresses: &Addresses, families: &[Family]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    for family in families {
        while !answers(link, &ack(*family, addresses))? {
            if Instant::now() > deadline {
                let what = format!("an answer of the host's {family} address before any rule is loaded");
                return Err(CannotMeasure::Deadline { what, seconds: PATIENCE.as_secs() }.into());
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

fn answers(link: &mut ProberLink, probe: &Probe) -> Result<bool> {
    let mut answered = false;
    link.send(&probe.frame(&link.ends))?;
    link.fence(|_, reply| {
        answered |= reply.answers(&probe.flow, probe.seq);
        Ok(())
    })?;
    Ok(answered)
}

/// Sent from a port below those of nmap's numbering, so that no probe has the same flow.
fn ack(family: Family, addresses: &Addresses) -> Probe {
    const READINESS: Port = Port(1);
    let flow = Flow {
        protocol: Protocol::Tcp,
        prober: addresses.prober(family),
        prober_port: READINESS,
        host: addresses.host(family),
        port: READINESS,
    };
    Probe {
        technique: Technique::Ack,
        flow,
        seq: 0,
        ack: 1,
        ttl: 64,
        ip_id: 1,
        flow_label: 0,
        craft: ProbeOverrides::default(),
    }
}
