//! Prefixes of MAC addresses, and the registries that assign them.

use std::fmt;

use crate::net::Mac;

/// A registry of the IEEE Registration Authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Registry {
    /// MA-L, 24 bits; once called OUI.
    MaL,
    /// MA-M, 28 bits.
    MaM,
    /// MA-S, 36 bits; once called OUI-36.
    MaS,
    /// IAB, 36 bits under `00:50:c2` and `40:d8:55`; no longer assigned.
    Iab,
    /// CID, 24 bits with the U/L bit set: names a company, not for universal addresses.
    Cid,
}

impl Registry {
    const NAMES: [(Registry, &'static str); 5] = [
        (Registry::MaL, "MA-L"),
        (Registry::MaM, "MA-M"),
        (Registry::MaS, "MA-S"),
        (Registry::Iab, "IAB"),
        (Registry::Cid, "CID"),
    ];

    /// The registry that the IEEE's files call `name`.
    pub(super) fn named(name: &str) -> Option<Registry> {
        Registry::NAMES.iter().find(|(_, own)| *own == name).map(|(registry, _)| *registry)
    }

    /// The registry that a prefix of this length belongs to.
    pub(super) fn from_prefix(prefix: MacPrefix) -> Registry {
        match (prefix.bits, prefix.value >> (prefix.bits - 24)) {
            // Blocks of Digital Equipment, older than the CID registry.
            (24, 0xaa_0000..=0xaa_0004) => Registry::MaL,
            (24, value) if is_company_id(value >> 16) => Registry::Cid,
            (24, _) => Registry::MaL,
            (28, _) => Registry::MaM,
            (_, 0x0050c2 | 0x40d855) => Registry::Iab,
            (_, _) => Registry::MaS,
        }
    }
}

/// True if a MAC address with this first octet can begin with a CID: its last four bits are 1010 (IEEE 802c-2017,
/// extended local identifiers).
pub(super) fn is_company_id(first_octet: u64) -> bool {
    first_octet & 0x0f == 0x0a
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Registry::NAMES.iter().find(|(registry, _)| registry == self);
        f.pad(named.expect("every registry has a name").1)
    }
}

/// The first 24, 28 or 36 bits of a MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacPrefix {
    bits: u32,
    value: u64,
}

impl MacPrefix {
    /// The lengths that are assigned, longest first, in bits.
    pub const LENGTHS: [u32; 3] = [36, 28, 24];

    /// The first `bits` (24 to 48) of `mac`.
    pub(super) fn from_mac(mac: Mac, bits: u32) -> MacPrefix {
        let value = mac.0.iter().fold(0, |value, octet| value << 8 | u64::from(*octet));
        MacPrefix { bits, value: value >> (48 - bits) }
    }

    /// Reads 6, 7 or 9 hexadecimal digits.
    pub(super) fn from_hex(digits: &str) -> Option<MacPrefix> {
        let bits = 4 * u32::try_from(digits.len()).ok()?;
        let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex || !MacPrefix::LENGTHS.contains(&bits) {
            return None;
        }
        Some(MacPrefix { bits, value: u64::from_str_radix(digits, 16).ok()? })
    }
}

impl fmt::Display for MacPrefix {
    /// `b8:27:eb`, `f0:40:af:9`, `8c:1f:64:34:a`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:0width$x}", self.value, width = self.bits as usize / 4);
        let pairs: Vec<&str> = (0..digits.len()).step_by(2).map(|at| &digits[at..digits.len().min(at + 2)]).collect();
        f.pad(&pairs.join(":"))
    }
}
