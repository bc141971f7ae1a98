//! The rules of nf_tables as the kernel dumps them (`NFT_MSG_GETRULE`): in order, each with its table, its chain and
//! its handle. The attributes of a rule are kept as they were received, so that they can be sent back unchanged.

use std::io;

use super::lost;
use super::nfnetlink::{Attributes, Mode, NFTABLES, Nfnetlink, Request, attributes, protocol_family};
use crate::error::{CannotMeasure, Context, Result};
use crate::net::Family;
use crate::net::rate::Rate;

// From enum nft_rule_attributes (linux/netfilter/nf_tables.h).
const TABLE: u16 = 1;
const CHAIN: u16 = 2;
const HANDLE: u16 = 3;
const EXPRESSIONS: u16 = 4;
const COMPAT: u16 = 5;
const POSITION: u16 = 6;

/// A rule of the kernel without its matches.
#[derive(Debug, Clone, Copy)]
pub struct KernelRuleText<'a> {
    /// The name of its table.
    pub table: &'a [u8],
    /// The name of its chain.
    pub chain: &'a [u8],
    /// The number that identifies it in events, within its table.
    pub handle: u64,
    /// The slowest rate of its limits.
    pub rate: Option<Rate>,
}

/// A rule with a new handle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renamed {
    /// Its family.
    pub family: Family,
    /// The name of its table.
    pub table: Vec<u8>,
    /// The old handle.
    pub before: u64,
    /// The new handle.
    pub after: u64,
}

/// The rules of a family, in the order of their chains.
pub struct Rules {
    /// The family.
    pub family: Family,
    rules: Vec<RuleAttributes>,
}

/// The attributes of a rule: type and value.
pub struct RuleAttributes(Vec<(u16, Vec<u8>)>);

impl Rules {
    /// Lists the rules of the kernel.
    pub fn list(netlink: &Nfnetlink, family: Family) -> Result<Rules> {
        let rules = Rules::dump(netlink, family).context("list the rules (nf_tables)")?;
        Ok(Rules { family, rules })
    }

    /// Rules with table, chain and handle only.
    #[cfg(test)]
    pub fn named<'a>(family: Family, rules: impl Iterator<Item = (&'a str, &'a str, u64)>) -> Rules {
        let rule = |(table, chain, handle): (&str, &str, u64)| {
            let handle = (HANDLE, handle.to_be_bytes().to_vec());
            RuleAttributes(vec![(TABLE, table.as_bytes().to_vec()), (CHAIN, chain.as_bytes().to_vec()), handle])
        };
        Rules { family, rules: rules.map(rule).collect() }
    }

    fn dump(netlink: &Nfnetlink, family: Family) -> io::Result<Vec<RuleAttributes>> {
        const GETRULE: u8 = 7;
        let request = Request {
            subsystem: NFTABLES,
            kind: GETRULE,
            family: protocol_family(family),
            attributes: Attributes::new(),
        };
        let mut rules = Vec::new();
        netlink.dump(request, |bytes| {
            rules.push(RuleAttributes(attributes(bytes).map(|(kind, value)| (kind, value.to_vec())).collect()));
        })?;
        Ok(rules)
    }

    /// Iterates over the rules in order.
    pub fn iter(&self) -> impl Iterator<Item = &RuleAttributes> {
        self.rules.iter()
    }

    /// The rules, for the index of rules.
    pub fn known(&self) -> Result<Vec<KernelRuleText<'_>>> {
        let without_handle = || lost("the kernel listed a rule without a handle".to_owned());
        let rules = self.rules.iter().map(|rule| {
            let handle = rule.handle().ok_or_else(without_handle)?;
            Ok(KernelRuleText { table: rule.table(), chain: rule.chain(), handle, rate: rule.rate() })
        });
        rules.collect()
    }

    /// The requests that replace every rule that is `wanted` by itself, with other expressions; `change` gets the rule
    /// and the list of its expressions.
    pub fn changed(
        &self,
        wanted: impl Fn(&RuleAttributes) -> bool,
        change: impl Fn(&RuleAttributes, &[u8]) -> Attributes,
    ) -> impl Iterator<Item = Request> {
        let rules = self.rules.iter().filter(move |rule| wanted(rule));
        rules.map(move |rule| rule.as_changed(self.family, |list| change(rule, list)))
    }

    /// True if both are the same rules in the same order, and `project` returns the same for their expressions.
    pub fn same_but(&self, other: &Rules, project: impl Fn(&[u8]) -> Vec<u8>) -> bool {
        let project = |list: &[u8]| project(&without_counters(list));
        let same = |(one, other): (&RuleAttributes, &RuleAttributes)| one.is_same(other, project);
        self.rules.len() == other.rules.len() && self.rules.iter().zip(&other.rules).all(same)
    }

    /// True if both are the same rules in the same order. A replaced rule has a new handle.
    pub fn same_but_handles(&self, other: &Rules) -> bool {
        self.same_but(other, <[u8]>::to_vec)
    }
}

/// The rules of all families, for the index of rules.
pub fn all_known(rules: &[Rules]) -> Result<Vec<(Family, Vec<KernelRuleText<'_>>)>> {
    rules.iter().map(|rules| Ok((rules.family, rules.known()?))).collect()
}

/// The rules whose handles have changed; both lists are in the same order.
pub fn renamed(before: &[Rules], after: &[Rules]) -> Vec<Renamed> {
    let of = |family, before: &RuleAttributes, after: &RuleAttributes| {
        let (before, table, after) = (before.handle()?, before.table().to_vec(), after.handle()?);
        (before != after).then_some(Renamed { family, table, before, after })
    };
    let pairs = before.iter().zip(after).flat_map(|(before, after)| {
        before.rules.iter().zip(&after.rules).filter_map(|(one, other)| of(before.family, one, other))
    });
    pairs.collect()
}

/// The rules of all `families`.
pub fn list_all(netlink: &Nfnetlink, families: &[Family]) -> Result<Vec<Rules>> {
    families.iter().map(|family| Rules::list(netlink, *family)).collect()
}

/// The texts of the errors of a replacement.
pub struct ReplaceFailure {
    /// The operation.
    pub operation: &'static str,
    /// The problem if the rules are not `same` as before.
    pub disagreement: &'static str,
}

/// Replaces rules of `before` by `changed`, all in one transaction, and lists the rules again to prove that they are
/// the `same` otherwise. Returns them with their new handles; `None` if there was nothing to change.
pub fn replace(
    netlink: &Nfnetlink,
    before: &[Rules],
    changed: Vec<Request>,
    same: impl Fn(&Rules, &Rules) -> bool,
    words: ReplaceFailure,
) -> Result<Option<Vec<Rules>>> {
    if changed.is_empty() {
        return Ok(None);
    }
    netlink.transaction(changed, Mode::Replace).context(words.operation)?;
    let families: Vec<Family> = before.iter().map(|rules| rules.family).collect();
    let after = list_all(netlink, &families)?;
    if !before.iter().zip(&after).all(|(before, after)| same(before, after)) {
        return Err(CannotMeasure::Disagreement(words.disagreement.to_owned()).into());
    }
    Ok(Some(after))
}

impl RuleAttributes {
    /// The name of its table.
    pub fn table(&self) -> &[u8] {
        self.name(TABLE)
    }

    /// The name of its chain.
    pub fn chain(&self) -> &[u8] {
        self.name(CHAIN)
    }

    /// The number that identifies it within its table.
    pub fn handle(&self) -> Option<u64> {
        Some(u64::from_be_bytes(self.attribute(HANDLE)?.try_into().ok()?))
    }

    /// The slowest rate of its limits (enum nft_limit_attributes): packets in a number of seconds.
    pub fn rate(&self) -> Option<Rate> {
        const RATE: u16 = 1;
        const UNIT: u16 = 2;
        let of = |data, wanted| -> Option<u64> {
            let (_, value) = attributes(data).find(|(kind, _)| *kind == wanted)?;
            Some(u64::from_be_bytes(value.try_into().ok()?))
        };
        let parts = self.expressions().into_iter().map(expression_parts);
        let limits = parts.filter(|(name, _)| *name == b"limit\0");
        limits.filter_map(|(_, data)| Rate::new(of(data, RATE)?, of(data, UNIT)?)).max()
    }

    /// Its expressions, in order: the attributes of each.
    pub fn expressions(&self) -> Vec<&[u8]> {
        let lists = self.0.iter().filter(|(kind, _)| *kind == EXPRESSIONS);
        lists.flat_map(|(_, list)| attributes(list)).map(|(_, expression)| expression).collect()
    }

    /// The request that replaces the rule: all attributes except its position, which its handle gives, with other
    /// expressions. The kernel does not list `NFTA_RULE_COMPAT`, without which a match of x_tables that is for one
    /// protocol only (multiport, tcp) is refused; iptables-nft sends it with such rules (`add_compat`), so it is added
    /// again.
    fn as_changed(&self, family: Family, change: impl Fn(&[u8]) -> Attributes) -> Request {
        const NEWRULE: u8 = 6;
        let copied = self.0.iter().filter(|(kind, _)| !matches!(*kind, POSITION | COMPAT));
        let attributes = copied.fold(Attributes::new(), |all, (kind, value)| match *kind {
            EXPRESSIONS => all.nested(EXPRESSIONS, change(value)),
            kind => all.bytes(kind, value),
        });
        let attributes = match self.protocol() {
            Some(protocol) if self.has_compat() => attributes.nested(COMPAT, protocol.compat()),
            _ => attributes,
        };
        Request { subsystem: NFTABLES, kind: NEWRULE, family: protocol_family(family), attributes }
    }

    /// True for the same rule. A replacement changes the handle of a rule, and the position of the rule after it.
    /// Expressions that differ are compared by the results of `project`.
    fn is_same(&self, other: &RuleAttributes, project: impl Fn(&[u8]) -> Vec<u8>) -> bool {
        let same = |(kind, value): &(u16, Vec<u8>), (other_kind, other): &(u16, Vec<u8>)| {
            kind == other_kind && (value == other || *kind == EXPRESSIONS && project(value) == project(other))
        };
        let (one, other): (Vec<_>, Vec<_>) = (self.compared().collect(), other.compared().collect());
        one.len() == other.len() && one.into_iter().zip(other).all(|(one, other)| same(one, other))
    }

    fn compared(&self) -> impl Iterator<Item = &(u16, Vec<u8>)> {
        self.0.iter().filter(|(kind, _)| !matches!(*kind, HANDLE | POSITION))
    }

    fn has_compat(&self) -> bool {
        self.expressions().iter().any(|expression| matches!(expression_parts(expression).0, b"match\0" | b"target\0"))
    }

    /// The protocol that the rule requires: a load of it, directly followed by a comparison.
    fn protocol(&self) -> Option<TransportProtocol> {
        let expressions = self.expressions();
        expressions
            .windows(2)
            .find(|pair| loads_protocol(pair[0]))
            .and_then(|pair| TransportProtocol::compared(pair[1]))
    }

    fn attribute(&self, wanted: u16) -> Option<&[u8]> {
        self.0.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| value.as_slice())
    }

    fn name(&self, kind: u16) -> &[u8] {
        name(self.attribute(kind).unwrap_or_default())
    }
}

/// The transport protocol that a rule requires.
struct TransportProtocol {
    number: u8,
    inverted: bool,
}

impl TransportProtocol {
    /// Parses `cmp eq reg 1 PROTOCOL` (enum nft_cmp_attributes).
    fn compared(expression: &[u8]) -> Option<TransportProtocol> {
        const OPERATOR: u16 = 2;
        const DATA: u16 = 3;
        const VALUE: u16 = 1;
        let (name, data) = expression_parts(expression);
        let find = |data, wanted| attributes(data).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
        let value = find(find(data, DATA).filter(|_| name == b"cmp\0")?, VALUE)?;
        let inverted = find(data, OPERATOR)? != [0, 0, 0, 0].as_slice();
        Some(TransportProtocol { number: *value.first()?, inverted })
    }

    /// Builds the attributes of enum nft_rule_compat_attributes, with `NFT_RULE_COMPAT_F_INV`.
    fn compat(&self) -> Attributes {
        const PROTOCOL: u16 = 1;
        const FLAGS: u16 = 2;
        const INVERTED: u32 = 2;
        let flags = if self.inverted { INVERTED } else { 0 };
        Attributes::new().be32(PROTOCOL, u32::from(self.number)).be32(FLAGS, flags)
    }
}

/// True for `meta load l4proto` (enum nft_meta_keys), or `ip protocol` from the header, as older versions of iptables
/// have it.
fn loads_protocol(expression: &[u8]) -> bool {
    const META_KEY: u16 = 2;
    const L4PROTO: [u8; 4] = [0, 0, 0, 16];
    const OFFSET: u16 = 3;
    const LENGTH: u16 = 4;
    let (name, data) = expression_parts(expression);
    let is = |wanted, value: [u8; 4]| attributes(data).any(|(kind, found)| kind == wanted && found == value.as_slice());
    match name {
        b"meta\0" => is(META_KEY, L4PROTO),
        b"payload\0" => is(LENGTH, [0, 0, 0, 1]) && (is(OFFSET, [0, 0, 0, 9]) || is(OFFSET, [0, 0, 0, 6])),
        _ => false,
    }
}

/// Removes the NUL byte of a name in netlink.
pub fn name(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(&[0]).unwrap_or(bytes)
}

/// Returns name and data of an expression (enum nft_expr_attributes).
pub fn expression_parts(expression: &[u8]) -> (&[u8], &[u8]) {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    let part = |wanted| attributes(expression).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    (part(NAME).unwrap_or_default(), part(DATA).unwrap_or_default())
}

/// The list of expressions without the values of `counter` and `quota`.
fn without_counters(list: &[u8]) -> Vec<u8> {
    const LIST_ELEMENT: u16 = 1;
    let project =
        attributes(list).filter(|(_, expression)| !matches!(expression_parts(expression).0, b"counter\0" | b"quota\0"));
    project.fold(Attributes::new(), |all, (_, expression)| all.bytes(LIST_ELEMENT, expression)).into_bytes()
}
