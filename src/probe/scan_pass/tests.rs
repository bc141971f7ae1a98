//! The numbers of nmap 7.93, as measured over thousands of its probes.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn phase(seed: u64, technique: Technique, family: Family) -> ScanPass {
    PassNumbering::new(seed).phase(technique, family, Addresses::default())
}

#[test]
fn the_ttl_takes_every_value_from_37_to_59() {
    let mut phase = phase(1, Technique::Xmas, Family::Ipv4);
    let mut histogram = [0_u32; 256];
    for _ in 0..2000 {
        histogram[usize::from(phase.probe(Port(80), 0).ttl)] += 1;
    }
    let seen: BTreeSet<usize> = (0..256).filter(|ttl| histogram[*ttl] > 0).collect();
    assert_eq!(seen, (37..=59).collect());
    // nmap itself, over 2000 probes: 67 to 113 each.
    assert!(seen.iter().all(|ttl| (50..=130).contains(&histogram[*ttl])), "{histogram:?}");
}

#[test]
fn the_hop_limit_is_always_255() {
    let mut phase = phase(1, Technique::Xmas, Family::Ipv6);
    assert!((1..1000).all(|port| phase.probe(Port(port), 0).ttl == 255));
}

#[test]
fn the_ip_id_is_random_and_never_zero() {
    let mut phase = phase(1, Technique::Null, Family::Ipv4);
    let ids: Vec<u16> = (0..60000).map(|port| phase.probe(Port(port), 0).ip_id).collect();
    assert!(!ids.contains(&0), "Linux would replace it");
    assert!(ids[..2000].iter().collect::<BTreeSet<_>>().len() > 1900, "nmap: about 1970 of 2000");
}

/// Captured from nmap 7.93: first tries from 35203 with mask 0xddaf47be, retries from 35205 with 0xddad47bc.
#[test]
fn a_retry_moves_the_port_by_two_and_flips_the_mask() {
    for (technique, in_ack) in [(Technique::Syn, false), (Technique::Ack, true)] {
        let mut phase = ScanPass { base: 35203, mask: 0xddaf_47be, ..phase(1, technique, Family::Ipv4) };
        let [first, retry] = [0, 1].map(|attempt| phase.probe(Port(82), attempt));
        assert_eq!([first, retry].map(|probe| probe.flow.prober_port), [Port(35203), Port(35205)]);
        let expected = [0xddaf_47be, 0xddad_47bc];
        if in_ack {
            assert_eq!([first, retry].map(|probe| (probe.seq, probe.ack)), expected.map(|mask| (0, mask)));
        } else {
            assert_eq!([first, retry].map(|probe| (probe.seq, probe.ack)), expected.map(|mask| (mask, 0)));
        }
    }
}

#[test]
fn the_mask_goes_where_nmap_puts_it() {
    for technique in Technique::ALL {
        let probe = phase(7, technique, Family::Ipv4).probe(Port(80), 0);
        let expected = match technique {
            Technique::Ack | Technique::Maimon | Technique::Window => (false, true),
            Technique::Udp | Technique::Echo => (false, false),
            _ => (true, false),
        };
        assert_eq!((probe.seq != 0, probe.ack != 0), expected, "{technique}");
    }
}

fn crafted(technique: Technique, craft: ProbeOverrides) -> Probe {
    phase(7, technique, Family::Ipv4).crafted(craft).probe(Port(80), 3)
}

/// Captured: `nmap -sS --scanflags 0xd2 -g 53 --ttl 9` sends a random sequence number, and the mask in the other.
#[test]
fn crafted_flags_move_the_mask() {
    let mask = crafted(Technique::Syn, ProbeOverrides::default()).seq;
    for flags in 0..=u8::MAX {
        let probe = crafted(Technique::Syn, ProbeOverrides { scanflags: Some(flags), ..ProbeOverrides::default() });
        let (syn, ack) = (flags & TcpFlags::SYN != 0, flags & TcpFlags::ACK != 0);
        assert_eq!(probe.flags(), flags);
        assert_eq!(if ack { probe.ack } else { probe.seq }, mask, "{flags:#04x}");
        assert_eq!(if ack { probe.seq != 0 } else { probe.ack != 0 }, ack && syn, "{flags:#04x}");
    }
}

#[test]
fn probe_overrides_are_applied_as_nmap_applies_them() {
    let source = "203.0.113.99".parse().unwrap();
    let craft = ProbeOverrides {
        scanflags: Some(0xff),
        badsum: true,
        source_port: Some(Port(53)),
        ttl: Some(9),
        source: Some(source),
    };
    let probe = crafted(Technique::Xmas, craft);
    assert_eq!((probe.flow.prober, probe.flow.prober_port, probe.ttl), (source, Port(53), 9));
    let connect = crafted(Technique::Connect, craft);
    assert_ne!(connect.flow.prober_port, Port(53), "a connect has its kernel's port");
    assert_eq!((connect.flags(), connect.flow.prober), (TcpFlags::SYN, source));
    // A source of the other family has no effect.
    let v6 = phase(7, Technique::Xmas, Family::Ipv6).crafted(craft).probe(Port(80), 0);
    assert_eq!((v6.flow.prober, v6.ttl), (Addresses::default().prober(Family::Ipv6), 9));
}

/// Captured: `nmap -PE`, identifier random and not 0, sequence number 0.
#[test]
fn one_echo_asks_for_all_ports() {
    let ports: PortSet = "1-100".parse().unwrap();
    let mut echo = phase(7, Technique::Echo, Family::Ipv4);
    let probes: Vec<Probe> = echo.probes(&ports).collect();
    assert_eq!(probes.len(), 1);
    assert_ne!(probes[0].flow.prober_port, Port(0));
    assert_eq!((probes[0].flow.port, probes[0].flow.protocol), (Port(0), Protocol::Icmp));
}

#[test]
fn all_ports_of_a_phase_share_source_port_and_mask() {
    let mut phase = phase(3, Technique::Fin, Family::Ipv6);
    let seen: BTreeSet<(Port, u32)> =
        (1..1000).map(|port| phase.probe(Port(port), 0)).map(|probe| (probe.flow.prober_port, probe.seq)).collect();
    assert_eq!(seen.len(), 1);
}

proptest! {
    #[test]
    fn the_source_port_stays_where_nmap_picks_it(seed: u64, phases in 1_usize..40, attempt in 0_u16..11) {
        let mut numbering = PassNumbering::new(seed);
        let mut bases = Vec::new();
        for _ in 0..phases {
            let mut phase = numbering.phase(Technique::Syn, Family::Ipv4, Addresses::default());
            let base = phase.probe(Port(1), 0).flow.prober_port.0;
            prop_assert!((33000..=65260).contains(&base), "{}", base);
            prop_assert_eq!(phase.probe(Port(1), attempt).flow.prober_port.0, base + 2 * attempt);
            bases.push(base);
        }
        for pair in bases.windows(2) {
            prop_assert_eq!((u32::from(pair[1]) + 32261 - u32::from(pair[0])) % 32261, 256);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_probes(seed: u64, ports in prop::collection::vec(any::<u16>(), 1..20)) {
        let probes = || {
            let mut numbering = PassNumbering::new(seed);
            let mut probes = Vec::new();
            for technique in Technique::ALL {
                let mut phase = numbering.phase(technique, Family::Ipv4, Addresses::default());
                probes.extend(ports.iter().map(|port| phase.probe(Port(*port), 0)));
            }
            probes
        };
        prop_assert_eq!(probes(), probes());
    }
}
