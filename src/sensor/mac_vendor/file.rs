//! Files of vendors: the IEEE's text and CSV, and the format of nmap's `nmap-mac-prefixes`.

use std::collections::HashMap;
use std::ops::Range;

use super::{MacPrefix, Registered, Registry};
use crate::error::{InputError, Source};
use crate::net::Mac;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VendorFileFormat {
    /// `oui.txt` and its siblings: blocks of a `(hex)` line, a `(base 16)` line and an address.
    IeeeText,
    /// `oui.csv` and its siblings.
    IeeeCsv,
    /// 6, 7 or 9 digits, white space and a name; `#` starts a comment line.
    Nmap,
}

impl VendorFileFormat {
    /// The format of `text`.
    pub(super) fn detect(text: &str) -> VendorFileFormat {
        match text {
            _ if text.starts_with(CSV_HEADER) => VendorFileFormat::IeeeCsv,
            _ if text.contains(BASE_16) => VendorFileFormat::IeeeText,
            _ => VendorFileFormat::Nmap,
        }
    }
}

const CSV_HEADER: &str = "Registry,Assignment,";
const HEX: &str = "(hex)";
const BASE_16: &str = "(base 16)";

/// The entries of a file, by prefix.
#[derive(Debug, Clone, Default)]
pub(super) struct PrefixEntries(HashMap<MacPrefix, Registered>);

impl PrefixEntries {
    /// The entry with the longest prefix of `mac`.
    pub(super) fn longest(&self, mac: Mac) -> Option<Registered> {
        MacPrefix::LENGTHS.iter().find_map(|bits| self.0.get(&MacPrefix::from_mac(mac, *bits))).cloned()
    }

    /// True if an entry is of this registry.
    pub(super) fn holds(&self, registry: Registry) -> bool {
        self.0.values().any(|entry| entry.registry == Some(registry))
    }

    fn insert(&mut self, prefix: MacPrefix, registry: Option<Registry>, name: &str) {
        // A name from a file must not control the reader's terminal.
        let name: String = name.chars().filter(|c| !c.is_control()).collect();
        self.0.entry(prefix).or_insert(Registered { name, prefix, registry });
    }
}

/// Reads `source`.
pub(super) fn parse(source: &Source, format: VendorFileFormat) -> Result<PrefixEntries, InputError> {
    let entries = match format {
        VendorFileFormat::IeeeText => parse_ieee_text(source),
        VendorFileFormat::IeeeCsv => parse_ieee_csv(source),
        VendorFileFormat::Nmap => parse_nmap(source),
    }?;
    if entries.0.is_empty() {
        let problem = format!("{} has no vendor", source.name.display());
        return Err(InputError::new(problem, "give the IEEE's oui.txt or oui.csv, or a file like nmap-mac-prefixes"));
    }
    Ok(entries)
}

/// The lines of `text` without their ends, each with its place.
fn lines(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut start = 0;
    text.split_inclusive('\n').map(move |line| {
        let place = start..start + line.trim_end().len();
        start += line.len();
        (place, line.trim_end())
    })
}

fn parse_nmap(source: &Source) -> Result<PrefixEntries, InputError> {
    let mut entries = PrefixEntries::default();
    for (place, line) in lines(&source.text).filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let entry = line.split_once(char::is_whitespace);
        let (prefix, name) =
            entry.and_then(|(digits, name)| Some((MacPrefix::from_hex(digits)?, name.trim_start()))).ok_or_else(
                || source.error(place, "no prefix with a vendor", "write `B827EB Raspberry Pi Foundation`"),
            )?;
        entries.insert(prefix, None, name);
    }
    Ok(entries)
}

/// The `(hex)` line of a block has the first 24 bits; its `(base 16)` line repeats these digits (MA-L), or has the
/// range of the digits that follow (MA-M, MA-S, IAB).
fn parse_ieee_text(source: &Source) -> Result<PrefixEntries, InputError> {
    let mut entries = PrefixEntries::default();
    let mut base = None;
    for (place, line) in lines(&source.text) {
        let bad = |problem: &str| source.error(place.clone(), problem, "is it the IEEE's file, unchanged?");
        if let Some((digits, _)) = line.split_once(HEX) {
            base = Some(digits.trim().replace('-', ""));
        } else if let Some((range, name)) = line.split_once(BASE_16) {
            let base = base.take().ok_or_else(|| bad("no `(hex)` line comes before it"))?;
            let prefix = ieee_prefix(&base, range.trim()).ok_or_else(|| bad("no prefix that the IEEE gives out"))?;
            entries.insert(prefix, Some(Registry::from_prefix(prefix)), name.trim());
        }
    }
    Ok(entries)
}

fn ieee_prefix(base: &str, range: &str) -> Option<MacPrefix> {
    let Some((first, last)) = range.split_once('-') else {
        return MacPrefix::from_hex(range).filter(|_| range == base);
    };
    let number = |digits: &str| u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 6);
    let (start, end) = (number(first)?, number(last)?);
    let fixed_digits = match end.checked_sub(start)? {
        0xf_ffff => 1,
        0xfff => 3,
        _ => return None,
    };
    let aligned = start % (end - start + 1) == 0;
    MacPrefix::from_hex(&format!("{base}{}", &first[..fixed_digits])).filter(|_| aligned)
}

fn parse_ieee_csv(source: &Source) -> Result<PrefixEntries, InputError> {
    let mut entries = PrefixEntries::default();
    for (place, row) in rows(&source.text).skip(1).filter(|(_, row)| row.len() > 1 || !row[0].is_empty()) {
        let (prefix, registry, name) = csv_entry(&row)
            .ok_or_else(|| source.error(place, "no row of the IEEE's registry", "the columns are those of oui.csv"))?;
        entries.insert(prefix, Some(registry), name);
    }
    Ok(entries)
}

fn csv_entry(row: &[String]) -> Option<(MacPrefix, Registry, &str)> {
    let [registry, assignment, name, ..] = row else { return None };
    Some((MacPrefix::from_hex(assignment)?, Registry::named(registry)?, name.trim()))
}

/// The rows of a CSV text (RFC 4180): a field in double quotes may hold commas, line ends and doubled quotes.
fn rows(text: &str) -> impl Iterator<Item = (Range<usize>, Vec<String>)> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let (len, row) = first_row(rest);
        let first_line = rest.lines().next().unwrap_or_default().len();
        let place = start..start + first_line;
        start += len;
        Some((place, row))
    })
}

/// The first row of `text`, and its length in bytes with the line end.
fn first_row(text: &str) -> (usize, Vec<String>) {
    let mut row = vec![String::new()];
    let mut quoted = false;
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        let field = row.last_mut().expect("a row has a field");
        match character {
            '"' if quoted && characters.next_if(|(_, next)| *next == '"').is_some() => field.push('"'),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(String::new()),
            '\n' if !quoted => return (at + 1, row),
            '\r' if !quoted => {}
            _ => field.push(character),
        }
    }
    (text.len(), row)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::VendorDb;
    use super::*;

    fn source(text: &str) -> Source {
        Source { name: "vendors".into(), text: text.into() }
    }

    /// The IEEE's name (or nmap's, if there is no other) and the prefix of `mac` in `text`.
    fn lookup(text: &str, mac: &str) -> String {
        let vendor = VendorDb::from_file(&source(text)).unwrap().lookup(mac.parse().unwrap());
        let Some(prefix) = vendor.prefix else { return "-".to_owned() };
        let registry = vendor.registry.map_or("?".to_owned(), |registry| registry.to_string());
        format!("{} ({registry} {prefix})", vendor.ieee.or(vendor.nmap).unwrap())
    }

    /// Blocks as the IEEE's files have them (address lines shortened), CRLF included.
    const TEXT: &str = "OUI/MA-L\tOrganization\r\n\r\nB8-27-EB   (hex)\t\tRaspberry Pi Foundation\r\n\
        B827EB     (base 16)\t\tRaspberry Pi Foundation\r\n\t\t\t\tCambridge\r\n\r\n\
        F0-40-AF   (hex)\t\tRaspberry Pi (Trading) Ltd\r\n900000-9FFFFF     (base 16)\t\tRaspberry Pi (Trading) Ltd\r\n\
        F0-40-AF   (hex)\t\tLast\r\nF00000-FFFFFF     (base 16)\t\tLast\r\n\
        8C-1F-64   (hex)\t\tSmall\r\n34A000-34AFFF     (base 16)\t\tSmall\r\n\
        8C-1F-64   (hex)\t\tSmall F\r\nAFF000-AFFFFF     (base 16)\t\tSmall F\r\n\
        00-50-C2                      (hex)                         DEUTA-WERKE GmbH        \r\n\
        7D5000-7D5FFF                 (base 16)                     DEUTA-WERKE GmbH        \r\n";

    #[test]
    fn the_ieees_text_is_read() {
        assert_eq!(lookup(TEXT, "b827eb000000"), "Raspberry Pi Foundation (MA-L b8:27:eb)");
        assert_eq!(lookup(TEXT, "f040af9fffff"), "Raspberry Pi (Trading) Ltd (MA-M f0:40:af:9)");
        assert_eq!(lookup(TEXT, "f040afffffff"), "Last (MA-M f0:40:af:f)");
        assert_eq!(lookup(TEXT, "8c1f6434a000"), "Small (MA-S 8c:1f:64:34:a)");
        assert_eq!(lookup(TEXT, "8c1f64afffff"), "Small F (MA-S 8c:1f:64:af:f)");
        assert_eq!(lookup(TEXT, "0050c27d5000"), "DEUTA-WERKE GmbH (IAB 00:50:c2:7d:5)");
        assert_eq!(lookup(TEXT, "f040af800000"), "-");
    }

    #[test]
    fn the_ieees_csv_is_read() {
        let csv = "Registry,Assignment,Organization Name,Organization Address\r\n\
            MA-L,000C29,\"VMware, \"\"Inc.\"\"\",\"3401 Hillview\r\nPalo Alto\"\r\nMA-S,8C1F6434A,Small ,\r\n";
        assert_eq!(lookup(csv, "000c29000000"), "VMware, \"Inc.\" (MA-L 00:0c:29)");
        assert_eq!(lookup(csv, "8c1f6434a000"), "Small (MA-S 8c:1f:64:34:a)");
    }

    #[test]
    fn nmaps_format_is_read_as_it_stands() {
        let text = "# comment\nB827EB First\nB827EB Second\n00000AB Twenty-eight\n00000ABCD Thirty-six Ltd\n00000A L\n";
        assert_eq!(lookup(text, "b827eb000000"), "First (? b8:27:eb)");
        assert_eq!(lookup(text, "00000abcd000"), "Thirty-six Ltd (? 00:00:0a:bc:d)");
        assert_eq!(lookup(text, "00000ab00000"), "Twenty-eight (? 00:00:0a:b)");
        assert_eq!(lookup(text, "00000a000000"), "L (? 00:00:0a)");
    }

    #[test]
    fn a_bad_line_is_told_with_its_place() {
        let error = |text: &str| VendorDb::from_file(&source(text)).unwrap_err();
        for (text, place) in [
            ("B827EB Pi\nB827E Pi\n", "vendors:2:1"),
            ("B827EB\n", "vendors:1:1"),
            ("900000-9FFFFF (base 16) x\n", "vendors:1:1"),
            ("F0-40-AF (hex) x\r\n900001-9FFFFF (base 16) x\n", "vendors:2:1"),
            ("F0-40-AF (hex) x\r\n000000-00000F (base 16) x\n", "vendors:2:1"),
            ("Registry,Assignment,Name\nMA-L,000C29\n", "vendors:2:1"),
            ("Registry,Assignment,Name\nMA-X,000C29,x\n", "vendors:2:1"),
        ] {
            let error = error(text);
            assert!(error.to_string().contains(place), "{text:?}: {error}");
            assert_eq!(error.exit_status(), 2);
        }
        assert!(error("# nothing\n").to_string().contains("has no vendor"));
    }

    proptest! {
        #[test]
        fn no_file_makes_it_panic(head in "(Registry,Assignment,x\n|[0-9A-F]{6} x\n|F0-40-AF \\(hex\\)\n)?", text in "([0-9A-F\",\\-é \r\n]|\\(base 16\\)|\\(hex\\)|MA-L,){0,60}") {
            let source = source(&format!("{head}{text}"));
            if let Err(error) = VendorDb::from_file(&source) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
