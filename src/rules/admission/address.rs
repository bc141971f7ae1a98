//! Addresses must be numbers: for a name, iptables queries the name service of the machine, and so the network.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::load::CommandLine;
use super::naming::argument;
use crate::error::InputError;
use crate::net::Family;

/// Refuses a name where iptables would look one up.
pub fn admit(family: Family, line: &CommandLine<'_>) -> Result<(), InputError> {
    let has_netmap = line.words.iter().any(|word| word.text.ends_with("NETMAP"));
    for (at, word) in line.words.iter().enumerate() {
        let base = ["source", "src", "destination", "dst"].into_iter().zip(['s', 's', 'd', 'd']);
        let of_base = base.filter_map(|(long, letter)| argument(&word.text, letter, long, 1)).next();
        let extensions = OF_EXTENSIONS.iter().filter(|long| **long != "to" || has_netmap);
        let of_extension = extensions.filter_map(|long| argument(&word.text, '\0', long, 2)).next();
        let Some(glued) = of_base.or(of_extension) else { continue };
        let after = line.words[at + 1..].iter().find(|word| word.text != "!");
        let Some(value) = glued.or(after.map(|word| word.text.as_str())) else { continue };
        if !value.contains(char::is_whitespace) && !value.split(',').all(|one| is_number(family, one)) {
            let span = if glued.is_some() { word.span.clone() } else { after.map_or(0..0, |word| word.span.clone()) };
            let problem = format!("{value} is not an {family} address, and names of hosts and networks are refused");
            return Err(line.error(
                span,
                problem,
                "write the address as a number: iptables would ask the network for a name",
            ));
        }
    }
    Ok(())
}

/// Options of extensions that look up names: `XTTYPE_HOST`, `XTTYPE_HOSTMASK` and `xtables_ipparse_any` in the source
/// of iptables 1.8.9. The others accept numbers only.
const OF_EXTENSIONS: [&str; 11] = [
    "ctorigsrc",
    "ctorigdst",
    "ctreplsrc",
    "ctrepldst",
    "tunnel-src",
    "tunnel-dst",
    "gateway",
    "on-ip",
    "to",
    "mask",
    "vaddr",
];

fn is_number(family: Family, text: &str) -> bool {
    let (address, mask) = text.split_once('/').map_or((text, None), |(address, mask)| (address, Some(mask)));
    let is_address = |text: &str| family.pick(is_ipv4(text), text.parse::<Ipv6Addr>().is_ok());
    let is_length = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // CONNMARK and MARK also have a `--mask`: a number in hexadecimal or decimal.
    let is_mark = is_length(text) || text.strip_prefix("0x").is_some_and(|hex| u64::from_str_radix(hex, 16).is_ok());
    is_mark || is_address(address) && mask.is_none_or(|mask| is_length(mask) || is_address(mask))
}

/// `xtables_numeric_to_ipaddr`: missing bytes are zero.
fn is_ipv4(text: &str) -> bool {
    let full = format!("{text}{}", ".0".repeat(3_usize.saturating_sub(text.matches('.').count())));
    full.parse::<Ipv4Addr>().is_ok()
}
