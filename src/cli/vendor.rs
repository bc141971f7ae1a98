//! `scanlab vendor MAC...`: the vendor of a MAC address, in nmap's list and in the IEEE's.

use std::io::Write;
use std::path::Path;

use crate::error::{CannotMeasure, InputError, Result, Source};
use crate::net::Mac;
use crate::sensor::mac_vendor::{Vendor, VendorDb};
use crate::text::escape::visible;

/// Prints one line for each MAC address, from the built-in table or from `oui_file`.
///
/// # Errors
///
/// A text that is no MAC address and a file that cannot be read are input errors, before anything is printed.
pub fn vendor(macs: &[String], oui_file: Option<&Path>, out: &mut dyn Write) -> Result<()> {
    let macs = macs.iter().map(|text| parse_mac(text)).collect::<Result<Vec<Mac>>>()?;
    let db = match oui_file {
        Some(path) => VendorDb::from_file(&Source::read(path)?)?,
        None => VendorDb::built_in(),
    };
    for mac in macs {
        writeln!(out, "{}", visible(&line(&db, mac))).map_err(cannot_write)?;
    }
    Ok(())
}

fn parse_mac(text: &str) -> Result<Mac> {
    Ok(text.parse().map_err(|error| InputError::new(error, ""))?)
}

fn line(db: &VendorDb, mac: Mac) -> String {
    let vendor = db.lookup(mac);
    let nmap = vendor.nmap.as_deref().unwrap_or("(Unknown)");
    let ieee = if db.has_ieee_names() { format!("  IEEE: {}", ieee(db, mac, &vendor)) } else { String::new() };
    let notes: String = vendor.notes.iter().map(|note| format!("  [{note}]")).collect();
    format!("{mac}  nmap: {nmap}{ieee}{notes}")
}

fn ieee(db: &VendorDb, mac: Mac, vendor: &Vendor) -> String {
    match (&vendor.ieee, vendor.registry, vendor.prefix) {
        (Some(name), Some(registry), Some(prefix)) => format!("{name} ({registry} {prefix})"),
        (Some(name), ..) => name.clone(),
        (None, ..) if db.lacks_company_id(mac) => {
            "(not in MA-L, MA-M or MA-S; CID not checked: pass the IEEE's cid.txt with --oui-file)".to_owned()
        }
        (None, ..) => "(not registered)".to_owned(),
    }
}

fn cannot_write(source: std::io::Error) -> CannotMeasure {
    CannotMeasure::System { operation: "write the result".to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(macs: &[&str], oui_file: Option<&Path>) -> Result<String> {
        let macs: Vec<String> = macs.iter().map(|mac| (*mac).to_owned()).collect();
        let mut out = Vec::new();
        vendor(&macs, oui_file, &mut out)?;
        Ok(String::from_utf8(out).expect("UTF-8"))
    }

    #[test]
    fn every_kind_of_line() {
        let macs = [
            "B8-27-EB-12-34-56",
            "dc:a6:32:00:00:01",
            "f040af900001",
            "00:0c:29:4f:8e:35",
            "08:00:27:00:00:01",
            "52:54:00:00:00:01",
            "02:77:00:00:00:01",
            "01:00:5e:00:00:fb",
            "0a:77:00:00:00:01",
        ];
        insta::assert_snapshot!(run(&macs, None).unwrap(), @"
        b8:27:eb:12:34:56  nmap: Raspberry Pi Foundation  IEEE: Raspberry Pi Foundation (MA-L b8:27:eb)
        dc:a6:32:00:00:01  nmap: Raspberry Pi Trading  IEEE: Raspberry Pi Trading Ltd (MA-L dc:a6:32)
        f0:40:af:90:00:01  nmap: Raspberry Pi (Trading)  IEEE: Raspberry Pi (Trading) Ltd (MA-M f0:40:af:9)
        00:0c:29:4f:8e:35  nmap: VMware  IEEE: VMware, Inc. (MA-L 00:0c:29)  [VMware virtual NIC]
        08:00:27:00:00:01  nmap: Oracle VirtualBox virtual NIC  IEEE: PCS Systemtechnik GmbH (MA-L 08:00:27)  [Oracle VirtualBox virtual NIC]
        52:54:00:00:00:01  nmap: QEMU virtual NIC  IEEE: (not registered)  [locally administered: not from the block of a vendor]  [QEMU virtual NIC]
        02:77:00:00:00:01  nmap: (Unknown)  IEEE: (not registered)  [locally administered: not from the block of a vendor]
        01:00:5e:00:00:fb  nmap: (Unknown)  IEEE: (not registered)  [multicast: no interface has this address]
        0a:77:00:00:00:01  nmap: (Unknown)  IEEE: (not in MA-L, MA-M or MA-S; CID not checked: pass the IEEE's cid.txt with --oui-file)  [locally administered: not from the block of a vendor]
        ");
    }

    #[test]
    fn a_file_in_nmaps_format_says_nothing_of_the_ieee() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"B827EB Some Vendor Ltd\n").unwrap();
        let shown = run(&["b827eb123456"], Some(file.path())).unwrap();
        assert_eq!(shown, "b8:27:eb:12:34:56  nmap: Some Vendor Ltd\n");
    }

    #[test]
    fn a_company_id_with_the_cid_registry_is_named() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"Registry,Assignment,Organization Name,Organization Address\nCID,0A7700,Some Company,\n")
            .unwrap();
        let shown = run(&["0a7700000001", "0a7800000001"], Some(file.path())).unwrap();
        let note = "[locally administered: not from the block of a vendor]";
        let expected = format!(
            "0a:77:00:00:00:01  nmap: Some Company  IEEE: Some Company (CID 0a:77:00)  {note}\n\
             0a:78:00:00:00:01  nmap: (Unknown)  IEEE: (not registered)  {note}\n"
        );
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_bad_mac_is_bad_input_and_nothing_is_printed() {
        let error = run(&["b827eb123456", "b8:27:eb"], None).unwrap_err();
        assert_eq!(error.exit_status(), 2);
        assert!(error.to_string().contains("`b8:27:eb` is not a MAC address"), "{error}");
    }
}
