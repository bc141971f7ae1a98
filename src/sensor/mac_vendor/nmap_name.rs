//! nmap's spelling of a vendor: the registered name, shortened. Written from the rules, not from nmap's script or file.
//!
//! Measured against the file of nmap 7.93 with the IEEE's `oui.txt` of August 2022, from which that file was made: 32,512
//! of 32,527 common prefixes (99.95 %) are spelled the same; the rest are artefacts (doubled dots, odd spaces, duplicate
//! registrations). With the built-in table of 2026 it is 95.4 %: four years of renamed companies lie between.

use crate::net::Mac;

/// nmap's own name for a prefix. Four of the five are not registered; the IEEE has `08:00:27` under the name of its
/// first owner.
pub(super) fn of_unregistered(mac: Mac) -> Option<&'static str> {
    match mac.0 {
        [0x00, 0xff, 0xd1, ..] => Some("Cooperative Linux virtual NIC"),
        [0x08, 0x00, 0x27, ..] => Some("Oracle VirtualBox virtual NIC"),
        [0x52, 0x54, 0x00, ..] => Some("QEMU virtual NIC"),
        [0xb0, 0xc4, 0x20, ..] => Some("Bochs virtual NIC"),
        [0xde, 0xad, 0xca, ..] => Some("PearPC virtual NIC"),
        _ => None,
    }
}

/// Shortens a registered name:
///
/// 1. A name in capitals (no lower-case letter, or a word that starts with four capitals) is lowered, word by word.
/// 2. A final comma is removed, with the one to six characters after it: `, Inc.`
/// 3. Legal forms are removed at any position: ` Corporation`, ` Ltd.`, ` S.A.`
/// 4. A lone dot and spaces at the end are removed.
/// 5. Characters outside ASCII and double quotes are removed.
pub(super) fn shorten(name: &str) -> String {
    let calm = if shouts(name) { lower_words(name) } else { name.to_owned() };
    let plain: String = calm.chars().filter(|c| c.is_ascii() && *c != '"').collect();
    let bare = without_legal_forms(without_final_clause(&plain));
    let end = bare.trim_end();
    end.strip_suffix(" .").unwrap_or(end).trim_end().to_owned()
}

fn shouts(name: &str) -> bool {
    let starts_loud = |word: &str| word.len() >= 4 && word.bytes().take(4).all(|byte| byte.is_ascii_uppercase());
    let mut words = name.split(|c: char| !c.is_alphanumeric() && c != '_');
    !name.contains(|c: char| c.is_ascii_lowercase()) || words.any(starts_loud)
}

fn lower_words(name: &str) -> String {
    let words: Vec<String> = name.split(' ').map(lower_word).collect();
    words.join(" ")
}

/// Lowers a longer word except for its first letter; a short one may be an acronym: `IBM`, `NEXT,`.
fn lower_word(word: &str) -> String {
    let acronym = match word.chars().count() {
        0..=3 => true,
        4..=5 => word.contains(['.', ',', '!', '$']),
        _ => false,
    };
    match word.chars().next() {
        Some(first) if !acronym => {
            format!("{}{}", first.to_ascii_uppercase(), word[first.len_utf8()..].to_ascii_lowercase())
        }
        _ => word.to_owned(),
    }
}

fn without_final_clause(name: &str) -> &str {
    // The first comma that is close enough to the end, as a leftmost match would find it.
    let near = |(at, _): &(usize, &str)| (1..=6).contains(&(name.len() - at - 1));
    name.match_indices(',').find(near).map_or(name, |(at, _)| &name[..at])
}

/// Words that are removed, each with the space before it and with a dot after it; a word boundary must follow.
const LEGAL_WORDS: [&str; 7] = [" corporation", " inc", " ltd", " corp", " co", " llc", " pty"];
/// Dotted forms that are removed, each with the space before it, unless a space follows: `S.A. de C.V.` stays whole.
const DOTTED_FORMS: [&str; 4] = [" s.a.", " s.p.a.", " b.v.", " l.l.c."];

/// `name` is ASCII.
fn without_legal_forms(name: &str) -> String {
    let mut kept = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        match legal_form_len(rest) {
            Some(len) => rest = &rest[len..],
            None => {
                kept.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    kept
}

/// Bytes of the legal form with which `text` starts.
fn legal_form_len(text: &str) -> Option<usize> {
    let starts = |form: &&str| text.get(..form.len()).is_some_and(|head| head.eq_ignore_ascii_case(form));
    let at_boundary = |word: &&str| !text[word.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let word = LEGAL_WORDS.iter().copied().find(|word| starts(word) && at_boundary(word));
    let with_dot = |word: &str| word.len() + usize::from(text[word.len()..].starts_with('.'));
    let dotted = |form: &&str| starts(form) && !text[form.len()..].starts_with(' ');
    word.map(with_dot).or_else(|| DOTTED_FORMS.iter().copied().find(dotted).map(str::len))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names of the IEEE's registry, with the names that nmap 7.93 was seen to print.
    #[test]
    fn names_are_shortened_as_nmap_does() {
        for (ieee, nmap) in [
            ("Raspberry Pi Foundation", "Raspberry Pi Foundation"),
            ("Raspberry Pi Trading Ltd", "Raspberry Pi Trading"),
            ("Raspberry Pi (Trading) Ltd", "Raspberry Pi (Trading)"),
            ("Dell Inc.", "Dell"),
            ("VMware, Inc.", "VMware"),
            ("OMRON TATEISI ELECTRONICS CO.", "Omron Tateisi Electronics"),
            ("Samsung Electronics Co.,Ltd", "Samsung Electronics"),
            ("Motorola Mobility LLC, a Lenovo Company", "Motorola Mobility, a Lenovo Company"),
            ("Lanix Internacional, S.A. de C.V.", "Lanix Internacional, S.A. de C.V."),
            ("Intel Corporate", "Intel Corporate"),
            ("Hercules Technologies S.A.S.", "Hercules TechnologiesS."),
            ("IEEE Registration Authority", "Ieee Registration Authority"),
        ] {
            assert_eq!(shorten(ieee), nmap, "{ieee}");
        }
    }

    proptest! {
        #[test]
        fn no_name_makes_it_panic(name in "\\PC{0,60}") {
            prop_assert!(shorten(&name).is_ascii());
        }
    }
}
