//! The rules of nf_tables as the kernel dumps them (`NFT_MSG_GETRULE`): in the order in which they stand, each with its
//! table, its chain and its handle. What a rule says is kept as the kernel said it, so that it can be sent back unchanged.

use std::io;

use super::nfnetlink::{Attributes, NFTABLES, NLA_F_NESTED, Nfnetlink, Request, attributes, protocol_family};
use crate::error::{Doing, Result};
use crate::net::Family;

// enum nft_rule_attributes (linux/netfilter/nf_tables.h)
const TABLE: u16 = 1;
const CHAIN: u16 = 2;
const HANDLE: u16 = 3;
const EXPRESSIONS: u16 = 4;
const COMPAT: u16 = 5;
const POSITION: u16 = 6;

/// The rules of a family, in the order in which they stand in their chains.
pub struct Rules {
    /// The family.
    pub family: Family,
    rules: Vec<Rule>,
}

/// The attributes of a rule: type and value.
pub struct Rule(Vec<(u16, Vec<u8>)>);

impl Rules {
    /// Asks the kernel for them.
    pub fn list(netlink: &Nfnetlink, family: Family) -> Result<Rules> {
        let rules = Rules::dump(netlink, family).doing("list the rules (nf_tables)")?;
        Ok(Rules { family, rules })
    }

    fn dump(netlink: &Nfnetlink, family: Family) -> io::Result<Vec<Rule>> {
        const GETRULE: u8 = 7;
        let request = Request {
            subsystem: NFTABLES,
            kind: GETRULE,
            family: protocol_family(family),
            attributes: Attributes::new(),
        };
        let mut rules = Vec::new();
        netlink.dump(request, |bytes| {
            rules.push(Rule(attributes(bytes).map(|(kind, value)| (kind, value.to_vec())).collect()));
        })?;
        Ok(rules)
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Every rule that is `wanted`, to be put in its own place.
    pub fn replacements(&self, wanted: impl Fn(&Rule) -> bool) -> impl Iterator<Item = Request> {
        self.rules.iter().filter(move |rule| wanted(rule)).map(|rule| rule.as_replacement(self.family))
    }

    /// Every rule that is `wanted`, with other expressions, to be put in its own place; `change` is given the rule and the
    /// list of its expressions.
    pub fn changed(
        &self,
        wanted: impl Fn(&Rule) -> bool,
        change: impl Fn(&Rule, &[u8]) -> Attributes,
    ) -> impl Iterator<Item = Request> {
        let rules = self.rules.iter().filter(move |rule| wanted(rule));
        rules.map(move |rule| rule.as_changed(self.family, |list| change(rule, list)))
    }

    /// Whether both are the same rules in the same order, as far as `told` tells of their expressions.
    pub fn same_but(&self, other: &Rules, told: impl Fn(&[u8]) -> Vec<u8>) -> bool {
        let told = |list: &[u8]| told(&without_counters(list));
        let same = |(one, other): (&Rule, &Rule)| one.compared_by(&told).eq(other.compared_by(&told));
        self.rules.len() == other.rules.len() && self.rules.iter().zip(&other.rules).all(same)
    }

    /// Whether both are the same rules in the same order. Replacing gives a rule a new handle.
    pub fn same_but_handles(&self, other: &Rules) -> bool {
        let same =
            |(one, other): (&Rule, &Rule)| one.compared_by(without_counters).eq(other.compared_by(without_counters));
        self.rules.len() == other.rules.len() && self.rules.iter().zip(&other.rules).all(same)
    }
}

impl Rule {
    /// The name of its table.
    pub fn table(&self) -> &[u8] {
        self.name(TABLE)
    }

    /// The name of its chain.
    pub fn chain(&self) -> &[u8] {
        self.name(CHAIN)
    }

    /// The number by which the kernel names it within its table.
    pub fn handle(&self) -> Option<u64> {
        Some(u64::from_be_bytes(self.attribute(HANDLE)?.try_into().ok()?))
    }

    /// Its expressions, in order: the attributes of each.
    pub fn expressions(&self) -> Vec<&[u8]> {
        let lists = self.0.iter().filter(|(kind, _)| *kind == EXPRESSIONS);
        lists.flat_map(|(_, list)| attributes(list)).map(|(_, expression)| expression).collect()
    }

    /// Everything but where it stands, which its handle tells.
    fn as_replacement(&self, family: Family) -> Request {
        const NEWRULE: u8 = 6;
        let copied = self.0.iter().filter(|(kind, _)| *kind != POSITION);
        let attributes = copied.fold(Attributes::new(), |all, (kind, value)| match *kind {
            EXPRESSIONS | COMPAT => all.bytes(*kind | NLA_F_NESTED, value),
            kind => all.bytes(kind, value),
        });
        Request { subsystem: NFTABLES, kind: NEWRULE, family: protocol_family(family), attributes }
    }

    /// The same, with other expressions.
    fn as_changed(&self, family: Family, change: impl Fn(&[u8]) -> Attributes) -> Request {
        const NEWRULE: u8 = 6;
        let copied = self.0.iter().filter(|(kind, _)| *kind != POSITION);
        let attributes = copied.fold(Attributes::new(), |all, (kind, value)| match *kind {
            EXPRESSIONS => all.nested(*kind, change(value)),
            COMPAT => all.bytes(*kind | NLA_F_NESTED, value),
            kind => all.bytes(kind, value),
        });
        Request { subsystem: NFTABLES, kind: NEWRULE, family: protocol_family(family), attributes }
    }

    /// Replacing gives a rule a new handle, and the rule after it a new position. Of expressions, what `told` tells.
    fn compared_by(&self, told: impl Fn(&[u8]) -> Vec<u8>) -> impl Iterator<Item = (u16, Vec<u8>)> {
        let compared = self.0.iter().filter(|(kind, _)| !matches!(*kind, HANDLE | POSITION));
        compared.map(move |(kind, value)| match *kind {
            EXPRESSIONS => (*kind, told(value)),
            kind => (kind, value.clone()),
        })
    }

    fn attribute(&self, wanted: u16) -> Option<&[u8]> {
        self.0.iter().find(|(kind, _)| *kind == wanted).map(|(_, value)| value.as_slice())
    }

    fn name(&self, kind: u16) -> &[u8] {
        name(self.attribute(kind).unwrap_or_default())
    }
}

/// A name as netlink carries it, without the NUL behind it.
pub fn name(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(&[0]).unwrap_or(bytes)
}

/// Name and data of an expression (enum nft_expr_attributes).
pub fn expression_parts(expression: &[u8]) -> (&[u8], &[u8]) {
    const NAME: u16 = 1;
    const DATA: u16 = 2;
    let part = |wanted| attributes(expression).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    (part(NAME).unwrap_or_default(), part(DATA).unwrap_or_default())
}

/// The list of expressions, but for what `counter` and `quota` have counted.
fn without_counters(list: &[u8]) -> Vec<u8> {
    const LIST_ELEMENT: u16 = 1;
    let told =
        attributes(list).filter(|(_, expression)| !matches!(expression_parts(expression).0, b"counter\0" | b"quota\0"));
    told.fold(Attributes::new(), |all, (_, expression)| all.bytes(LIST_ELEMENT, expression)).into_bytes()
}
