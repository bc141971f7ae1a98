//! Refuses dangerous options of iptables in a ruleset: rules are loaded as root, and one option runs a program.

use std::ops::Range;

use crate::error::{InputError, Source};
use crate::text::words::{has_odd_counters, without_counters, words};

/// Refuses options with which iptables runs a program, and text that two parsers could read differently:
///
/// 1. A NUL byte: the line ends there for iptables.
/// 2. A line that does not fit in its buffer: the rest becomes a line of its own, even after a `#`.
/// 3. Malformed counters, not `[packets:bytes]`: iptables may cut the rule after them.
/// 4. A quote that is never closed: the newline becomes part of the word.
/// 5. `-M`/`--modprobe=COMMAND` (iptables(8): "use command to load modules"), abbreviated or bundled in any way: it
///    would run a command of the ruleset's choice, on this machine, as root. A word that looks like it is refused too,
///    since only iptables knows whether a word is the argument of another option.
pub fn refuse(ruleset: &Source) -> Result<(), InputError> {
    let mut start = 0;
    for line in ruleset.text.split_inclusive('\n') {
        if let Some(Refused { span, problem, hint }) = refused(line) {
            return Err(ruleset.error(start + span.start..start + span.end, problem, hint));
        }
        start += line.len();
    }
    Ok(())
}

/// The reason why a line is refused, and the range in the line.
struct Refused {
    span: Range<usize>,
    problem: String,
    hint: String,
}

fn refused(line: &str) -> Option<Refused> {
    let refused = |span, problem: &str, hint: &str| Refused { span, problem: problem.into(), hint: hint.into() };
    if let Some(nul) = line.find('\0') {
        let hint = "a ruleset is text, as iptables-save prints it";
        return Some(refused(nul..nul + 1, "there is a NUL byte in this ruleset", hint));
    }
    if line.len() > LONGEST_LINE {
        let problem = format!("this line is {} bytes long, and iptables-restore cuts it", line.len());
        return Some(refused(0..1, &problem, &format!("it reads at most {LONGEST_LINE} bytes as one line")));
    }
    // Every other line is a rule to iptables, whatever its beginning; a `#` begins a comment in the first column only.
    if line.starts_with('#') {
        return None;
    }
    if has_odd_counters(line) {
        let hint = "write [packets:bytes], two numbers, as iptables-save prints them";
        return Some(refused(0..1, "iptables-restore misreads these counters", hint));
    }
    let rule = without_counters(line.strip_suffix('\n').unwrap_or(line));
    let offset = line.strip_suffix('\n').unwrap_or(line).len() - rule.len();
    words(rule).into_iter().find_map(|word| {
        let span = offset + word.span.start..offset + word.span.end;
        if runs_a_program(&word.text) {
            let problem = "this option makes iptables run a program: it is refused";
            return Some(refused(span, problem, "remove --modprobe (-M); a ruleset never needs it"));
        }
        let hint = "close it with a second \"; within quotes, write \\\" for a quote";
        word.is_open.then(|| refused(span, "this quote is never closed", hint))
    })
}

/// `char buffer[10240]` of iptables/iptables-restore.c and xtables-restore.c, less the NUL that fgets(3) adds.
const LONGEST_LINE: usize = 10239;

/// True for a long option, which may be abbreviated (`--mod`), and a short one, which may be bundled (`-vM`).
fn runs_a_program(word: &str) -> bool {
    match word.strip_prefix("--") {
        Some(long) => {
            let name = long.split('=').next().unwrap_or_default();
            // One letter is also the beginning of `--match`, and refused by getopt_long(3).
            name.len() >= 2 && "modprobe".starts_with(name)
        }
        None => word
            .strip_prefix('-')
            .is_some_and(|short| short.bytes().take_while(u8::is_ascii_alphanumeric).any(|byte| byte == b'M')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> bool {
        refuse(&Source { name: "rules.v4".into(), text: format!("*filter\n{line}\nCOMMIT\n").into() }).is_err()
    }

    #[test]
    fn an_option_that_runs_a_program_is_refused_however_it_is_written() {
        for option in [
            "-M /tmp/x",
            "-M/tmp/x",
            "-vM /tmp/x",
            "--modprobe=/tmp/x",
            "--modprobe /tmp/x",
            "--mod=/tmp/x",
            "\"--modprobe=/tmp/x\"",
            "--modp=/tmp/x",
        ] {
            assert!(refused(&format!("-A INPUT {option} -j ACCEPT")), "{option}");
            assert!(refused(&format!("[0:0] -A INPUT {option} -j ACCEPT")), "{option}");
        }
    }

    #[test]
    fn a_word_ends_at_a_closing_quote_and_after_counters() {
        for line in [
            "[0:0]--modprobe=/x -A INPUT -j ACCEPT",
            "[0:0]-M/x -A INPUT -j ACCEPT",
            "-A INPUT -i \"eth0\"--modprobe=/x -j ACCEPT",
            "-A INPUT -i \"eth0\"\"--modp\" /x -j ACCEPT",
            "-A INPUT -i eth\"0\"-M /x -j ACCEPT",
            "-A INPUT -4M/x -j ACCEPT",
        ] {
            assert!(refused(line), "{line}");
        }
    }

    #[test]
    fn a_line_that_can_be_read_in_two_ways_is_refused() {
        for line in ["[0]-A INPUT -m comment --comment a:b] -j DROP", "[ -A INPUT", "-A INPUT -i \"eth0 -j DROP"] {
            assert!(refused(line), "{line}");
        }
        assert!(!refused("[1:2] -A INPUT -i \"eth0\" -j DROP"));
        assert!(!refused("# \"open"));
    }

    #[test]
    fn it_does_not_hide_behind_other_words() {
        for rule in [
            "-A INPUT -i --comment --modprobe=/tmp/x -j ACCEPT",
            "-A INPUT -j LOG --log-prefix --comment --modprobe=/tmp/x",
            "\"-A\" INPUT --modprobe=/tmp/x -j ACCEPT",
            "-A INPUT -m comment --comment \\\" x\" --modprobe=/tmp/x -j ACCEPT",
            "! --modprobe=/tmp/x -A INPUT -j ACCEPT",
            " # --modprobe=/tmp/x",
        ] {
            assert!(refused(rule), "{rule}");
        }
    }

    #[test]
    fn a_line_that_iptables_would_cut_is_refused() {
        let comment = |len: usize| format!("#{}", "0".repeat(len - 1));
        assert!(!refused(&comment(LONGEST_LINE - 1)));
        assert!(refused(&comment(LONGEST_LINE)));
        assert!(refused("-A INPUT -j ACCEPT\0"));
    }

    #[test]
    fn what_merely_looks_like_it_is_not() {
        for rule in [
            "-A INPUT -m mac --mac-source 00:0c:29:4f:8e:35 -j ACCEPT",
            "-A INPUT -j LOG --log-prefix \"a -M b: \"",
            "-A INPUT -m comment --comment \"a \\\" --modprobe\" -j DROP",
            "# -M",
            "-A MyM -j DROP",
            "-N M",
        ] {
            assert!(!refused(rule), "{rule}");
        }
    }

    #[test]
    fn the_place_is_shown() {
        let ruleset =
            Source { name: "rules.v4".into(), text: "*filter\n-A INPUT -M /bin/sh -j ACCEPT\nCOMMIT\n".into() };
        insta::assert_snapshot!(refuse(&ruleset).unwrap_err(), @r"
        error: this option makes iptables run a program: it is refused
         --> rules.v4:2:10
          |
        2 | -A INPUT -M /bin/sh -j ACCEPT
          |          ^^
          |
          = help: remove --modprobe (-M); a ruleset never needs it
        ");
    }
}
