//! The table that is compiled in: the crate `macaddr-ouidb`, corrected where it differs from the IEEE's registries.

use macaddr_ouidb::{OUI_DB_BUNDLED, OuiDb};

use super::{MacPrefix, Registered, Registry};
use crate::net::Mac;

/// The IEEE's entry for `mac`.
pub(super) fn registered(mac: Mac) -> Option<Registered> {
    if let Some((_, name)) = OVERRIDDEN.iter().find(|(prefix, _)| mac.0.starts_with(prefix)) {
        return Some(entry(MacPrefix::from_mac(mac, 24), name));
    }
    // A block that is not assigned still belongs to the Registration Authority by its first 24 bits.
    let found = OUI_DB_BUNDLED.lookup(&mac.0).or_else(|| OUI_DB_BUNDLED.lookup(&mac.0[..3]))?;
    if OuiDb::is_virtual_nic(found.name()) {
        return None;
    }
    Some(entry(MacPrefix::from_hex(&found.prefix_hex())?, found.name()))
}

fn entry(prefix: MacPrefix, name: &str) -> Registered {
    Registered { name: name.to_owned(), prefix, registry: Some(Registry::from_prefix(prefix)) }
}

/// The hypervisor or emulator that assigns such an address to its guests.
pub(super) fn virtual_nic(mac: Mac) -> Option<String> {
    let found = OUI_DB_BUNDLED.lookup(&mac.0)?;
    Some(found.name().to_owned()).filter(|name| OuiDb::is_virtual_nic(name))
}

/// Prefixes that the crate attributes to a hypervisor, with their owners in the IEEE's MA-L registry. Prefixes that the
/// crate names and that are not here are not registered at all.
const OVERRIDDEN: [([u8; 3], &str); 14] = [
    ([0x00, 0x03, 0xff], "Microsoft Corporation"),
    ([0x00, 0x05, 0x69], "VMware, Inc."),
    ([0x00, 0x0c, 0x29], "VMware, Inc."),
    ([0x00, 0x0f, 0x4b], "Oracle Corporation"),
    ([0x00, 0x15, 0x5d], "Microsoft Corporation"),
    ([0x00, 0x16, 0x3e], "Xensource, Inc."),
    ([0x00, 0x1c, 0x14], "VMware, Inc."),
    ([0x00, 0x1c, 0x42], "Parallels, Inc."),
    ([0x00, 0x1d, 0xd8], "Microsoft Corporation"),
    ([0x00, 0x21, 0xf6], "Oracle Corporation"),
    ([0x00, 0x50, 0x56], "VMware, Inc."),
    ([0x08, 0x00, 0x27], "PCS Systemtechnik GmbH"),
    ([0x2c, 0xc2, 0x60], "Oracle Corporation"),
    ([0xbc, 0x24, 0x11], "Proxmox Server Solutions GmbH"),
];
