//! The lab's own table: it catches the canaries before any rule of the ruleset under test can see them, and logs them; and
//! when a verdict is asked for, it logs what has come through all of the ruleset. Named `scanlab`, in `ip` and `ip6`, at a priority below `raw`, so that the ruleset stays as it was given.

use std::net::IpAddr;

use super::namespace::Isolated;
use super::nfnetlink::{Attributes, Mode, NFTABLES, Nfnetlink, Request, protocol_family};
use crate::canary;
use crate::error::{Doing, Result};
use crate::net::{Addresses, Family};

const TABLE: &str = "scanlab";

/// Where a chain hangs (enum nf_inet_hooks, linux/netfilter_ipv4.h).
struct Place {
    chain: &'static str,
    hook: u32,
    priority: i32,
}

/// Before all: conntrack's defragmentation is at -400, raw at -300.
const PREROUTING: Place = Place { chain: "prerouting", hook: 0, priority: -450 };

/// Behind all chains of the ruleset; only conntrack's confirmation is later.
const INPUT: Place = Place { chain: "input", hook: 1, priority: i32::MAX - 1 };

/// What the line of an accepted packet says first; see [`Witness`].
pub const ACCEPTED_PREFIX: &str = "scanlab accepted: ";

/// Whether the table also logs what the ruleset lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// Canaries only.
    Canaries,
    /// Every packet from the prober that comes out of the INPUT hook behind all chains of the ruleset.
    Accepted,
}

/// Makes the table for every family.
pub fn install(
    isolated: &Isolated,
    netlink: &Nfnetlink,
    families: &[Family],
    addresses: &Addresses,
    witness: Witness,
) -> Result<()> {
    isolated.assert("making the lab's own table")?;
    let mut requests = Vec::new();
    for family in families {
        requests.extend([table(*family), chain(*family, &PREROUTING), canary_rule(*family)]);
        if witness == Witness::Accepted {
            requests.extend([chain(*family, &INPUT), accepted_rule(*family, addresses)]);
        }
    }
    netlink.transaction(requests, Mode::Create).doing("make the lab's own table (nf_tables)")
}

fn table(family: Family) -> Request {
    const NEWTABLE: u8 = 0;
    const NAME: u16 = 1;
    request(NEWTABLE, family, Attributes::new().string(NAME, TABLE))
}

fn chain(family: Family, place: &Place) -> Request {
    const NEWCHAIN: u8 = 3;
    const TABLE_NAME: u16 = 1;
    const CHAIN_NAME: u16 = 3;
    const HOOK: u16 = 4;
    const TYPE: u16 = 7;
    const HOOK_NUMBER: u16 = 1;
    const HOOK_PRIORITY: u16 = 2;
    let hook = Attributes::new().be32(HOOK_NUMBER, place.hook).be32(HOOK_PRIORITY, place.priority as u32);
    let attributes = Attributes::new().string(TABLE_NAME, TABLE).string(CHAIN_NAME, place.chain);
    request(NEWCHAIN, family, attributes.nested(HOOK, hook).string(TYPE, "filter"))
}

/// `ip saddr CANARY log prefix "scanlab canary: " drop`
fn canary_rule(family: Family) -> Request {
    let source = octets(canary::source(family));
    rule(family, &PREROUTING, [load_source(family), equals(&source), log(canary::PREFIX), drop_packet()])
}

/// `ip saddr PROBER log prefix "scanlab accepted: "`
fn accepted_rule(family: Family, addresses: &Addresses) -> Request {
    let source = octets(addresses.prober(family));
    rule(family, &INPUT, [load_source(family), equals(&source), log(ACCEPTED_PREFIX)])
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn rule(family: Family, place: &Place, expressions: impl IntoIterator<Item = Attributes>) -> Request {
    const NEWRULE: u8 = 6;
    const TABLE_NAME: u16 = 1;
    const CHAIN_NAME: u16 = 2;
    const EXPRESSIONS: u16 = 4;
    const LIST_ELEMENT: u16 = 1;
    let list = expressions.into_iter().fold(Attributes::new(), |list, one| list.nested(LIST_ELEMENT, one));
    let attributes = Attributes::new().string(TABLE_NAME, TABLE).string(CHAIN_NAME, place.chain);
    request(NEWRULE, family, attributes.nested(EXPRESSIONS, list))
}

/// The 128-bit register that the expressions share.
const REGISTER: u32 = 1;

fn load_source(family: Family) -> Attributes {
    const TO_REGISTER: u16 = 1;
    const BASE: u16 = 2;
    const OFFSET: u16 = 3;
    const LENGTH: u16 = 4;
    const NETWORK_HEADER: u32 = 1;
    let (offset, length) = match family {
        Family::Ipv4 => (12, 4),
        Family::Ipv6 => (8, 16),
    };
    let data = Attributes::new().be32(TO_REGISTER, REGISTER).be32(BASE, NETWORK_HEADER);
    expression("payload", data.be32(OFFSET, offset).be32(LENGTH, length))
}

fn equals(value: &[u8]) -> Attributes {
    const FROM_REGISTER: u16 = 1;
    const OPERATOR: u16 = 2;
    const DATA: u16 = 3;
    const EQUAL: u32 = 0;
    const VALUE: u16 = 1;
    let data = Attributes::new().be32(FROM_REGISTER, REGISTER).be32(OPERATOR, EQUAL);
    expression("cmp", data.nested(DATA, Attributes::new().bytes(VALUE, value)))
}

fn log(prefix: &str) -> Attributes {
    const PREFIX: u16 = 2;
    const LEVEL: u16 = 5;
    const DEBUG: u32 = 7;
    expression("log", Attributes::new().string(PREFIX, prefix).be32(LEVEL, DEBUG))
}

fn drop_packet() -> Attributes {
    const TO_REGISTER: u16 = 1;
    const DATA: u16 = 2;
    const VERDICT_REGISTER: u32 = 0;
    const VERDICT: u16 = 2;
    const CODE: u16 = 1;
    const NF_DROP: u32 = 0;
    let verdict = Attributes::new().nested(VERDICT, Attributes::new().be32(CODE, NF_DROP));
    expression("immediate", Attributes::new().be32(TO_REGISTER, VERDICT_REGISTER).nested(DATA, verdict))
}

fn expression(name: &str, data: Attributes) -> Attributes {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    Attributes::new().string(NAME, name).nested(DATA, data)
}

fn request(kind: u8, family: Family, attributes: Attributes) -> Request {
    Request { subsystem: NFTABLES, kind, family: protocol_family(family), attributes }
}
