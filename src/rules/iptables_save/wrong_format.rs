//! Recognizes files that iptables-restore refuses because they have another format, with a hint how to convert them.
//! Pure.

/// The hint for a text in another format of firewall rules, or one that an editor has changed.
pub fn hint(text: &str) -> Option<&'static str> {
    let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().take(3).collect()).collect();
    let any = |is_meant: fn(&[&str]) -> bool| words.iter().any(|words| is_meant(words));
    let of = |is_so: bool, hint| is_so.then_some(hint);
    of(text.starts_with('\u{feff}'), BYTE_ORDER_MARK)
        .or_else(|| of(text.contains("\r\n"), LINE_ENDS))
        .or_else(|| of(any(is_of_nft), NFT))
        .or_else(|| of(any(is_of_list), LIST))
        .or_else(|| of(any(is_of_ufw), UFW))
        .or_else(|| of(any(is_of_dash_s) && !text.lines().any(|line| line.starts_with('*')), DASH_S))
        .or_else(|| of(is_without_commit(text), NO_COMMIT))
        .or_else(|| of(is_outside(text), OUTSIDE))
        .or_else(|| of(any(is_of_shell), SHELL))
}

const BYTE_ORDER_MARK: &str = r"it begins with a byte order mark, which Windows editors write; to remove it: `sed \
                                -i '1s/^\xef\xbb\xbf//' FILE`";
const LINE_ENDS: &str = r"its lines have Windows line ends (CR LF); to convert them: `sed -i 's/\r$//' FILE`";
const NFT: &str = "this is an nft(8) ruleset; scanlab reads the output of iptables-save(8). `iptables-save` prints \
                   the rules of iptables-nft; other nft rules cannot be tested";
const LIST: &str =
    "this is the output of `iptables -L`, which leaves out parts of the rules; use the output of `iptables-save`";
const UFW: &str = "this is the output of `ufw status`, which does not show the rules; use the output of \
                   `iptables-save` and `ip6tables-save`";
const DASH_S: &str = "this is the output of `iptables -S`, which names no table; use `iptables-save`, which prints \
                      all tables, each from `*filter` to COMMIT";
const NO_COMMIT: &str = "every table ends with a line COMMIT, before the next one begins and at the end of the file";
const OUTSIDE: &str = "a rule belongs between the `*filter` of its table and COMMIT";
const SHELL: &str = "this is a shell script; scanlab reads the output of iptables-save(8). To run the script in a \
                     namespace of its own and save its rules: `unshare --net sh -c 'sh FILE; iptables-save' > rules.v4`";

/// `table ip filter {`, `add rule ip filter input drop`, `flush ruleset`; see nft(8).
fn is_of_nft(words: &[&str]) -> bool {
    const FAMILIES: [&str; 6] = ["ip", "ip6", "inet", "arp", "bridge", "netdev"];
    match words {
        ["flush", "ruleset", ..] => true,
        ["table", family, ..] => FAMILIES.contains(family),
        ["add", "table" | "chain" | "rule", family, ..] => FAMILIES.contains(family),
        _ => false,
    }
}

/// `Chain INPUT (policy DROP)`.
fn is_of_list(words: &[&str]) -> bool {
    matches!(words, ["Chain", _, reason, ..] if reason.starts_with('('))
}

/// `-A INPUT -j DROP` with no table around it.
fn is_of_dash_s(words: &[&str]) -> bool {
    matches!(words, ["-P" | "-N" | "-A", _, ..])
}

/// `Status: active`, `ufw allow 22/tcp`.
fn is_of_ufw(words: &[&str]) -> bool {
    matches!(words, ["Status:", "active" | "inactive", ..] | ["To", "Action", "From"])
        || matches!(words, ["ufw", "allow" | "deny" | "limit" | "reject" | "default" | "enable", ..])
}

/// True if a table begins while another is open, or is open at the end.
fn is_without_commit(text: &str) -> bool {
    let mut open = false;
    let clashes = text.lines().any(|line| {
        let begins = line.starts_with('*');
        let clash = begins && open;
        open = (open || begins) && line != "COMMIT";
        clash
    });
    clashes || open
}

/// True if a rule or a chain is outside any table, in a file that has tables.
fn is_outside(text: &str) -> bool {
    let mut open = false;
    text.lines().any(|line| {
        open = (open || line.starts_with('*')) && line != "COMMIT";
        !open && line.starts_with(['-', ':', '['])
    })
}

/// `sudo iptables -A INPUT -j DROP`.
fn is_of_shell(words: &[&str]) -> bool {
    let command = match words {
        ["sudo", command, ..] | [command, ..] => command,
        [] => return false,
    };
    ["iptables", "ip6tables"].contains(&command.rsplit('/').next().unwrap_or(command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_for_others_is_told_by_what_it_says() {
        for (text, expected) in [
            ("\u{feff}*filter\r\nCOMMIT\r\n", Some(BYTE_ORDER_MARK)),
            ("*filter\r\n-A INPUT -j DROP\r\nCOMMIT\r\n", Some(LINE_ENDS)),
            ("#!/usr/sbin/nft -f\n\nflush ruleset\n", Some(NFT)),
            ("table inet filter {\n\tchain input {\n", Some(NFT)),
            ("add rule ip filter INPUT tcp dport 22 accept\n", Some(NFT)),
            ("Chain INPUT (policy DROP)\ntarget     prot opt source\n", Some(LIST)),
            ("#!/bin/sh\niptables -P INPUT DROP\n", Some(SHELL)),
            ("sudo /sbin/ip6tables -A INPUT -j DROP\n", Some(SHELL)),
            ("-P INPUT DROP\n-A INPUT -i lo -j ACCEPT\n", Some(DASH_S)),
            ("-N scans\n", Some(DASH_S)),
            ("Status: active\n\nTo                         Action      From\n", Some(UFW)),
            ("Status: inactive\n", Some(UFW)),
            ("*filter\n-A INPUT -j DROP\n", Some(NO_COMMIT)),
            ("*filter\n*nat\nCOMMIT\n", Some(NO_COMMIT)),
            ("*filter\nCOMMIT\n-A INPUT -j DROP\n", Some(OUTSIDE)),
            ("", None),
            (
                "# table ip\n*filter\n:INPUT DROP [0:0]\n-A INPUT -m comment --comment \"table ip\" -j DROP\nCOMMIT\n",
                None,
            ),
        ] {
            assert_eq!(hint(text), expected, "{text}");
        }
    }
}
