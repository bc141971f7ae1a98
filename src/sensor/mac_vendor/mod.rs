//! The vendor of a MAC address: the name that a scanner shows, and the name that the IEEE has registered.
//!
//! `cli::vendor` prints it, and the lab compares it with the vendor that a host is meant to show. The two names may
//! differ: a scanner shows the contents of *its* file when it was packaged, in nmap's shortened spelling.
//!
//! The built-in data are those of `macaddr-ouidb` (the IEEE's registries as of November 2026); a file in one of the
//! IEEE's formats or in nmap's can replace them. No data are from nmap's file.

mod built_in;
mod file;
mod nmap_name;
mod prefix;

use std::fmt;

pub use prefix::{MacPrefix, Registry};

use crate::error::{Result, Source};
use crate::net::Mac;
use file::{PrefixEntries, VendorFileFormat};

/// The facts about a MAC address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vendor {
    /// The organisation as registered with the IEEE.
    pub ieee: Option<String>,
    /// The name as nmap prints it; `None` if nmap prints `(Unknown)`.
    pub nmap: Option<String>,
    /// The registry of the prefix; `None` if a file does not contain it.
    pub registry: Option<Registry>,
    /// The prefix of the entry, such as `b8:27:eb`; `None` for a name that only nmap has.
    pub prefix: Option<MacPrefix>,
    /// Other facts about the address.
    pub notes: Vec<Note>,
}

/// A fact about a MAC address apart from its vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The I/G bit: the address names a group, no interface has it.
    Multicast,
    /// The U/L bit: the address was chosen locally, not assigned to a vendor.
    LocallyAdministered,
    /// A hypervisor or emulator assigns such addresses to its guests: its name.
    VirtualNic(String),
}

impl Vendor {
    /// True if the name identifies a Raspberry Pi. This checks the name and not a list of prefixes: the MA-L, MA-M and
    /// MA-S blocks of Raspberry Pi have three names, and new blocks are added.
    pub fn is_raspberry_pi(&self) -> bool {
        let names = self.ieee.iter().chain(&self.nmap);
        names.into_iter().any(|name| name.to_ascii_lowercase().contains("raspberry pi"))
    }
}

/// A table of vendors.
#[derive(Debug, Clone)]
pub struct VendorDb(VendorTable);

#[derive(Debug, Clone)]
enum VendorTable {
    BuiltIn,
    File(VendorFileFormat, PrefixEntries),
}

impl VendorDb {
    /// The table that is compiled in.
    pub fn built_in() -> VendorDb {
        VendorDb(VendorTable::BuiltIn)
    }

    /// Reads the IEEE's `oui.txt`, `mam.txt`, `oui36.txt`, `iab.txt` or their `.csv`, or a file in the format of nmap's
    /// `nmap-mac-prefixes`; which of them is seen from the text. Several IEEE texts may be joined. The first of two
    /// equal prefixes counts. A line that cannot be read is an input error with its place.
    pub fn from_file(source: &Source) -> Result<VendorDb> {
        let format = VendorFileFormat::detect(&source.text);
        Ok(VendorDb(VendorTable::File(format, file::parse(source, format)?)))
    }

    /// Looks `mac` up: the longest prefix counts, 36 bits before 28 before 24.
    pub fn lookup(&self, mac: Mac) -> Vendor {
        let registered = match &self.0 {
            VendorTable::BuiltIn => built_in::registered(mac),
            VendorTable::File(_, entries) => entries.longest(mac),
        };
        let vendor = match self.0 {
            VendorTable::File(VendorFileFormat::Nmap, _) => as_nmap_file(registered),
            VendorTable::BuiltIn | VendorTable::File(VendorFileFormat::IeeeText | VendorFileFormat::IeeeCsv, _) => {
                as_registered(mac, registered)
            }
        };
        Vendor { notes: notes(mac), ..vendor }
    }

    /// True if `mac` identifies a Raspberry Pi, see [`Vendor::is_raspberry_pi`].
    pub fn is_raspberry_pi(&self, mac: Mac) -> bool {
        self.lookup(mac).is_raspberry_pi()
    }

    /// True if `mac` may begin with a CID of the IEEE, and the table does not contain the CID registry.
    pub fn lacks_company_id(&self, mac: Mac) -> bool {
        let holds_it = match &self.0 {
            VendorTable::BuiltIn => false,
            VendorTable::File(_, entries) => entries.holds(Registry::Cid),
        };
        prefix::is_company_id(mac.0[0].into()) && !holds_it
    }

    /// True if the table contains the IEEE's names, and not only nmap's.
    pub fn has_ieee_names(&self) -> bool {
        !matches!(self.0, VendorTable::File(VendorFileFormat::Nmap, _))
    }
}

/// An entry of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Registered {
    name: String,
    prefix: MacPrefix,
    registry: Option<Registry>,
}

/// The name as nmap prints it, since the file is nmap's.
fn as_nmap_file(registered: Option<Registered>) -> Vendor {
    let Some(Registered { name, prefix, .. }) = registered else { return Vendor::default() };
    Vendor { nmap: Some(name), prefix: Some(prefix), ..Vendor::default() }
}

fn as_registered(mac: Mac, registered: Option<Registered>) -> Vendor {
    let nmap_own = nmap_name::of_unregistered(mac).map(str::to_owned);
    let Some(Registered { name, prefix, registry }) = registered else {
        return Vendor { nmap: nmap_own, ..Vendor::default() };
    };
    let nmap = nmap_own.or_else(|| Some(nmap_name::shorten(&name)));
    Vendor { ieee: Some(name), nmap, registry, prefix: Some(prefix), notes: Vec::new() }
}

fn notes(mac: Mac) -> Vec<Note> {
    let multicast = mac.is_multicast().then_some(Note::Multicast);
    let local = mac.is_locally_administered().then_some(Note::LocallyAdministered);
    let virtual_nic = built_in::virtual_nic(mac).map(Note::VirtualNic);
    multicast.into_iter().chain(local).chain(virtual_nic).collect()
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::Multicast => f.write_str("multicast: no interface has this address"),
            Note::LocallyAdministered => f.write_str("locally administered: not from the block of a vendor"),
            Note::VirtualNic(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(mac: &str) -> Vendor {
        VendorDb::built_in().lookup(mac.parse().unwrap())
    }

    fn names(mac: &str) -> (Option<String>, Option<String>) {
        let vendor = lookup(mac);
        (vendor.ieee, vendor.nmap)
    }

    fn both(ieee: &str, nmap: &str) -> (Option<String>, Option<String>) {
        (Some(ieee.to_owned()), Some(nmap.to_owned()))
    }

    #[test]
    fn every_block_of_raspberry_pi_is_known() {
        let db = VendorDb::built_in();
        let blocks = ["b827eb000000", "dca632000000", "e45f01000000", "28cdc1000000", "d83add000000", "2ccf67000000"];
        for mac in blocks.into_iter().chain(["88a29e000000", "98fe54000000", "f040af900000", "8c1f6434a000"]) {
            assert!(db.is_raspberry_pi(mac.parse().unwrap()), "{mac}");
        }
        for mac in ["000c294f8e35", "f040af800000", "8c1f6434b000", "020000000000"] {
            assert!(!db.is_raspberry_pi(mac.parse().unwrap()), "{mac}");
        }
    }

    #[test]
    fn the_registry_and_the_prefix_are_told() {
        let place = |mac: &str| {
            let vendor = lookup(mac);
            format!("{} {}", vendor.registry.unwrap(), vendor.prefix.unwrap())
        };
        assert_eq!(place("b8:27:eb:12:34:56"), "MA-L b8:27:eb");
        assert_eq!(place("f0:40:af:9a:bc:de"), "MA-M f0:40:af:9");
        assert_eq!(place("8c:1f:64:34:ab:cd"), "MA-S 8c:1f:64:34:a");
        assert_eq!(place("00:50:c2:7d:50:00"), "IAB 00:50:c2:7d:5");
    }

    /// The crate has the name of the hypervisor in place of the owner of the prefix; a scanner shows the owner.
    #[test]
    fn the_owner_of_a_hypervisors_prefix_is_told() {
        assert_eq!(names("00:0c:29:4f:8e:35"), both("VMware, Inc.", "VMware"));
        assert_eq!(lookup("00:0c:29:4f:8e:35").notes, [Note::VirtualNic("VMware virtual NIC".to_owned())]);
    }

    #[test]
    fn nmap_has_five_names_of_its_own() {
        assert_eq!(names("08:00:27:00:00:01"), both("PCS Systemtechnik GmbH", "Oracle VirtualBox virtual NIC"));
        assert_eq!(names("52:54:00:00:00:01"), (None, Some("QEMU virtual NIC".to_owned())));
        let notes = [Note::LocallyAdministered, Note::VirtualNic("QEMU virtual NIC".to_owned())];
        assert_eq!(lookup("52:54:00:00:00:01").notes, notes);
    }

    #[test]
    fn a_hypervisors_prefix_that_nobody_registered_is_unknown_to_nmap() {
        assert_eq!(names("fa:16:3e:00:00:01"), (None, None));
    }

    #[test]
    fn a_block_that_is_not_given_out_belongs_to_the_registration_authority() {
        let expected = both("IEEE Registration Authority", "Ieee Registration Authority");
        assert_eq!(names("8c:1f:64:ff:ff:ff"), expected);
    }

    #[test]
    fn chosen_and_group_addresses_are_said_so() {
        assert_eq!(lookup("02:77:00:00:00:01").notes, [Note::LocallyAdministered]);
        assert_eq!(lookup("01:00:5e:00:00:01").notes, [Note::Multicast]);
        assert_eq!(lookup("ff:ff:ff:ff:ff:ff").notes, [Note::Multicast, Note::LocallyAdministered]);
    }
}
