//! Numbers in iptables' notation.

/// Parses a number as `xtables_strtoui` does (strtoul(3) with base 0): decimal, `0x16`, and octal after a zero.
/// iptables 1.8.9 reads `--dport 022` as port 18.
pub(super) fn parse(text: &str) -> Option<u32> {
    let (digits, radix) = match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(hexadecimal) => (hexadecimal, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if plain { u32::from_str_radix(digits, radix).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn numbers_are_read_as_strtoul_reads_them() {
        assert_eq!(["22", "022", "0x16", "0"].map(parse), [Some(22), Some(18), Some(22), Some(0)]);
        assert_eq!(["", "0x", "+2", "-1", "2x", "09", "4294967296", "é"].map(parse), [None; 8]);
    }
}
