//! A set of packets: one set of values for each field that rules match, and a result for each unsupported match.

use std::collections::BTreeMap;

use super::values::Values;

/// A field that rules match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PacketField {
    /// The protocol's number.
    Protocol,
    /// The source address, as a number.
    Source,
    /// The destination address, as a number.
    Destination,
    /// The index of the incoming interface in the names.
    In,
    /// The index of the outgoing interface in the names.
    Out,
    /// The source port.
    SourcePort,
    /// The destination port.
    DestinationPort,
    /// The six TCP flags.
    Flags,
    /// The index of the state in `ConntrackState::ALL`.
    State,
    /// The ICMP type times 256, and the code.
    Message,
    /// 0 for a later fragment, which has no ports; 1 for a whole packet.
    Whole,
}

/// The number of fields.
pub const FIELDS: usize = 11;

/// A set of packets: those with every field in its set and with the results in `answers` for each match.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Region {
    sets: [Values; FIELDS],
    answers: BTreeMap<String, bool>,
}

impl Region {
    /// The packets with these values.
    pub fn new(sets: [Values; FIELDS]) -> Region {
        Region { sets, answers: BTreeMap::new() }
    }

    /// The values of a field.
    pub fn values(&self, field: PacketField) -> &Values {
        &self.sets[field as usize]
    }

    /// The unsupported matches, with their results.
    pub fn answers(&self) -> impl Iterator<Item = (&str, bool)> {
        self.answers.iter().map(|(key, answer)| (key.as_str(), *answer))
    }

    /// The packets with a value of `values` in `field`; `None` if there are none.
    pub fn with(&self, field: PacketField, values: &Values) -> Option<Region> {
        let kept = self.values(field).intersection(values);
        let mut region = self.clone();
        region.sets[field as usize] = kept;
        (!region.values(field).is_empty()).then_some(region)
    }

    /// The same packets with other values in `field`.
    pub fn changed(&self, field: PacketField, values: &Values) -> Region {
        let mut region = self.clone();
        region.sets[field as usize] = values.clone();
        region
    }

    /// The packets for which the match `key` has this result; `None` if there are none.
    pub fn answered(&self, key: &str, answer: bool) -> Option<Region> {
        let mut region = self.clone();
        let known = *region.answers.entry(key.to_owned()).or_insert(answer);
        (known == answer).then_some(region)
    }

    /// True if they have no packet in common.
    pub fn is_disjoint(&self, other: &Region) -> bool {
        let contradicts = |(key, answer): (&String, &bool)| self.answers.get(key).is_some_and(|own| own != answer);
        self.sets.iter().zip(&other.sets).any(|(own, others)| own.is_disjoint(others))
            || other.answers.iter().any(contradicts)
    }

    /// The packets that are in `other` as well; `None` if there are none.
    pub fn intersection(&self, other: &Region) -> Option<Region> {
        if self.is_disjoint(other) {
            return None;
        }
        let mut region = self.clone();
        for (own, others) in region.sets.iter_mut().zip(&other.sets) {
            *own = own.intersection(others);
        }
        other.answers.iter().try_fold(region, |region, (key, answer)| region.answered(key, *answer))
    }

    /// The number of ranges of its fields.
    pub fn ranges(&self) -> usize {
        self.sets.iter().map(Values::count).sum()
    }

    /// The packets of disjoint `regions` that are not in `other`.
    pub fn without(regions: Vec<Region>, other: &Region) -> Vec<Region> {
        let parts = |region: Region| if region.is_disjoint(other) { vec![region] } else { region.difference(other) };
        regions.into_iter().flat_map(parts).collect()
    }

    /// The packets that are not in `other`, as disjoint regions. Later fragments, which have no ports, are divided off
    /// first, so that they are not divided by ports.
    pub fn difference(&self, other: &Region) -> Vec<Region> {
        let (own, others) = (self.values(PacketField::Whole), other.values(PacketField::Whole));
        let (same, fragments) =
            (self.with(PacketField::Whole, others), self.with(PacketField::Whole, &own.difference(others)));
        same.iter().flat_map(|same| same.outside(other)).chain(fragments).collect()
    }

    fn outside(&self, other: &Region) -> Vec<Region> {
        let (mut outside, mut left) = (Vec::new(), self.clone());
        for field in 0..FIELDS {
            let apart = left.sets[field].difference(&other.sets[field]);
            if !apart.is_empty() {
                let mut region = left.clone();
                region.sets[field] = apart;
                outside.push(region);
            }
            left.sets[field] = left.sets[field].intersection(&other.sets[field]);
            if left.sets[field].is_empty() {
                return outside;
            }
        }
        for (key, answer) in &other.answers {
            outside.extend(left.answered(key, !answer));
            match left.answered(key, *answer) {
                Some(region) => left = region,
                None => return outside,
            }
        }
        outside
    }
}
