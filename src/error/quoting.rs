//! The lines of a file that a message may quote. A scenario can name any file, and scanlab may, as root, read files
//! that its user may not: `/etc/shadow`, a private key, a file of passwords. So a line is quoted only if it looks like
//! one of scanlab's inputs: a rule, a row of a scenario or sensor, a line of the few other files that it reads.
//!
//! [`Source::error`](super::Source::error) and the rendering of an error call these functions; no other code decides.

/// Keys of scenarios, sensors and .link files. A line with another key is quoted only if the key is a mistyped one of
/// these.
const KEYS: &[&str] = &[
    "addresses",
    "because",
    "burst",
    "deny",
    "expect",
    "family",
    "honeypot",
    "host",
    "include",
    "interface",
    "known",
    "limit",
    "link",
    "listen",
    "log",
    "mac",
    "open",
    "order",
    "packet",
    "packets",
    "path",
    "ports",
    "prefix",
    "prober",
    "rate",
    "rules",
    "ruleset",
    "scan",
    "scans",
    "sensor",
    "sends",
    "ssh",
    "ssh_from",
    "sshd_config",
    "state",
    "title",
    "v4",
    "v6",
    "vendor",
    "verdict",
    "watched",
    "MACAddress",
    "MACAddressPolicy",
    "Name",
    "NamePolicy",
    "OriginalName",
    "PermanentMACAddress",
    "Driver",
    "Type",
];

/// Options that begin a rule.
const COMMANDS: &[&str] = &[
    "-A",
    "-C",
    "-D",
    "-E",
    "-F",
    "-I",
    "-N",
    "-P",
    "-R",
    "-S",
    "-X",
    "-Z",
    "-t",
    "--append",
    "--check",
    "--delete",
    "--delete-chain",
    "--flush",
    "--insert",
    "--new",
    "--new-chain",
    "--policy",
    "--rename-chain",
    "--replace",
    "--table",
    "--zero",
];

/// Directives of sshd_config(5) that are read.
const DIRECTIVES: &[&str] = &["Port", "ListenAddress", "Include", "Match", "AddressFamily"];

/// The text in place of a line that is not shown.
pub const WITHHELD: &str = "line not shown: it does not look like a rule";

/// True if a message may quote this line.
pub fn is_quotable(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || is_rule(line) || is_heading(line) || is_assignment(line) || is_vendor(line) || is_directive(line)
}

/// A line of iptables-save, with or without counters, or a command of iptables.
fn is_rule(line: &str) -> bool {
    let after_counters = line
        .strip_prefix('[')
        .and_then(|line| line.split_once(']'))
        .filter(|(counters, _)| counters.chars().all(|c| c.is_ascii_digit() || c == ':'));
    let rule = after_counters.map_or(line, |(_, rule)| rule.trim_start());
    let mut words = rule.split_ascii_whitespace();
    let first = words.next().unwrap_or_default();
    let is_table = |name: &str| !name.is_empty() && name.len() <= 32 && name.chars().all(|c| c.is_ascii_lowercase());
    let is_chain = |name: &str| !name.is_empty() && name.len() <= 32 && !name.contains(':');
    COMMANDS.contains(&first)
        || rule == "COMMIT"
        || rule.strip_prefix('*').is_some_and(is_table)
        || first.strip_prefix(':').is_some_and(is_chain)
        || ["iptables", "ip6tables", "ipset", "nft"].iter().any(|program| first.starts_with(program))
        || rule.split_ascii_whitespace().any(|word| ["-j", "--jump", "-g", "--goto"].contains(&word))
}

/// `[sensor]` and `[[expect]]`, closed or not.
fn is_heading(line: &str) -> bool {
    let name = line.trim_start_matches('[').trim_end_matches(']').trim();
    line.starts_with('[') && name.len() <= 32 && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.\"".contains(c))
}

/// `ports = 22`; the key is known, or nearly so.
fn is_assignment(line: &str) -> bool {
    let key = line.split(['=', ' ', '\t']).next().unwrap_or_default();
    let rest = line[key.len()..].trim_start();
    let is_known = |name: &str| KEYS.iter().any(|known| *known == name || is_mistyped(name, known));
    (rest.starts_with('=') || rest.is_empty()) && key.split('.').all(is_known)
}

/// True if `name` is `known` (at least four letters) with one letter missing, added or changed, or two swapped.
fn is_mistyped(name: &str, known: &str) -> bool {
    let (name, known) = (name.as_bytes(), known.as_bytes());
    if name.len().min(known.len()) < 4 || name.len().abs_diff(known.len()) > 1 {
        return false;
    }
    let alike = name.iter().zip(known).take_while(|(one, other)| one == other).count();
    let (name, known) = (&name[alike..], &known[alike..]);
    match (name, known) {
        ([a, b, rest @ ..], [c, d, others @ ..]) if a == d && b == c && rest == others => true,
        ([_, rest @ ..], [_, others @ ..]) if rest == others => true,
        ([_, rest @ ..], others) if rest == others => true,
        (rest, [_, others @ ..]) => rest == others,
        _ => false,
    }
}

/// A line of a vendor list: it begins with the prefix of a MAC address, or with the name of an IEEE registry.
fn is_vendor(line: &str) -> bool {
    let first = line.split([' ', '\t']).next().unwrap_or_default();
    let digits = first.chars().filter(char::is_ascii_hexdigit).count();
    let is_prefix = first.chars().all(|c| c.is_ascii_hexdigit() || "-:".contains(c)) && [6, 7, 9].contains(&digits);
    is_prefix || ["MA-L,", "MA-M,", "MA-S,"].iter().any(|register| line.starts_with(register))
}

fn is_directive(line: &str) -> bool {
    let first = line.split_ascii_whitespace().next().unwrap_or_default();
    DIRECTIVES.iter().any(|directive| directive.eq_ignore_ascii_case(first))
}

/// `text` without the words of `line`, which may not be quoted; the key of an assignment may stay.
pub fn without_words_of(line: &str, text: String) -> String {
    let is_key = |key: &str| key.trim().chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    let said = line.split_once('=').filter(|(key, _)| is_key(key)).map_or(line, |(_, value)| value);
    let separators = |c: char| c.is_whitespace() || "=:,;\"'`".contains(c);
    let mut words: Vec<&str> = said.split(separators).filter(|word| word.len() >= 4).collect();
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words.into_iter().fold(text, |text, word| {
        let quoted = |text: String, mark: &str| {
            text.replace(&format!("{mark}{word}"), &format!("{mark}…"))
                .replace(&format!("{word}{mark}"), &format!("…{mark}"))
        };
        ["`", "'", "\"", ":", "="].into_iter().fold(text, quoted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_inputs_of_scanlab_are_quoted() {
        for line in [
            "-A INPUT -p tcp -j DROP",
            "[0:0] -A INPUT -j DROP",
            "*filter",
            ":INPUT DROP [0:0]",
            "COMMIT",
            "iptables -A INPUT -j DROP",
            "A INPUT -j DROP",
            "[sensor]",
            "[[expect]]",
            "[sensor",
            "ports = 22",
            "honeypott = { SSH = 22 }",
            "watchd = 1",
            "prots = 1",
            "stat = \"open\"",
            "title=\"t\"",
            "MACAddress=00:0c:29:4f:8e:35",
            "B8-27-EB   (hex)\t\tRaspberry Pi",
            "b827eb Raspberry Pi",
            "Port 22",
            "",
        ] {
            assert!(is_quotable(line), "{line}");
        }
    }

    #[test]
    fn lines_of_secret_files_are_not_quoted() {
        for line in [
            "root:$6$salt$hash:19000:0:99999:7:::",
            "daemon:*:19000:0:99999:7:::",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAABlwAAAAdzc2gtcn",
            "PASSWORD=\"hunter2\"",
            "password = hunter2",
            "aws_secret_access_key = abc",
            "machine example.org login me",
            "mysql -u root -phunter2",
            "# hunter2",
            "Authorization: Bearer hunter2",
            "hunter2",
        ] {
            assert!(!is_quotable(line), "{line}");
        }
    }

    #[test]
    fn a_message_does_not_quote_it_either() {
        let said = without_words_of("password=hunter2", "`hunter2` is not a value of `password`".to_owned());
        assert_eq!(said, "`…` is not a value of `password`");
    }
}
