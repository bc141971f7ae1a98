//! What a ruleset must not make iptables do. Loading is done as root, and one option of iptables runs a program.

use std::ops::Range;

use crate::error::{InputError, Source};

/// Refuses what makes iptables run a program, or read other lines than the ones that stand here:
///
/// 1. A NUL byte: the line ends there for iptables.
/// 2. A line that does not fit in its buffer: what is left is a line of its own, even after a `#`.
/// 3. `-M`/`--modprobe=COMMAND` (iptables(8): "use command to load modules"), however it is abbreviated or bundled: it
///    would run a command of the ruleset's choice, on this machine, as root. A text that looks like it is refused too:
///    whether a word is the argument of another option is known to iptables only.
pub fn refuse(ruleset: &Source) -> Result<(), InputError> {
    let mut start = 0;
    for line in ruleset.text.split_inclusive('\n') {
        let at = |span: Range<usize>| start + span.start..start + span.end;
        if let Some(nul) = line.find('\0') {
            let hint = "a ruleset is text, as iptables-save prints it";
            return Err(ruleset.error(at(nul..nul + 1), "there is a NUL byte in this ruleset", hint));
        }
        if line.len() > LONGEST_LINE {
            let problem = format!("this line is {} bytes long, and iptables-restore cuts it", line.len());
            let hint = format!("it reads at most {LONGEST_LINE} bytes as one line");
            return Err(ruleset.error(at(0..1), problem, hint));
        }
        // Everything else is a rule to iptables, whatever it begins with; a `#` begins a comment in the first column.
        let culprit = words(line).filter(|_| !line.starts_with('#')).find(|span| runs_a_program(&line[span.clone()]));
        if let Some(span) = culprit {
            let problem = "this option makes iptables run a program: it is refused";
            return Err(ruleset.error(at(span), problem, "take --modprobe (-M) out; a ruleset never needs it"));
        }
        start += line.len();
    }
    Ok(())
}

/// `char buffer[10240]` of iptables/iptables-restore.c and xtables-restore.c, less the NUL that fgets(3) adds.
const LONGEST_LINE: usize = 10239;

/// Long options may be cut short (`--mod`), short ones may be bundled (`-vM`), and quotes may stand anywhere.
fn runs_a_program(word: &str) -> bool {
    let word: String = word.chars().filter(|c| !matches!(c, '"' | '\'' | '\\')).collect();
    match word.strip_prefix("--") {
        Some(long) => {
            let name = long.split('=').next().unwrap_or_default();
            name.len() >= 2 && "modprobe".starts_with(name)
        }
        None => word
            .strip_prefix('-')
            .is_some_and(|short| short.bytes().take_while(u8::is_ascii_alphabetic).any(|byte| byte == b'M')),
    }
}

/// The words of a line: a quoted text is one word (as iptables-restore splits it), and never an option by itself.
fn words(line: &str) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        at += line[at..].len() - line[at..].trim_start().len();
        let start = at;
        let mut quoted = false;
        let mut escaped = false;
        for (offset, c) in line[start..].char_indices() {
            if c.is_whitespace() && !quoted {
                break;
            }
            quoted ^= c == '"' && !escaped;
            // Outside of quotes a backslash means nothing.
            escaped = c == '\\' && quoted && !escaped;
            at = start + offset + c.len_utf8();
        }
        (at > start).then_some(start..at)
    })
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
            "--mo\"\"dprobe=/tmp/x",
        ] {
            assert!(refused(&format!("-A INPUT {option} -j ACCEPT")), "{option}");
            assert!(refused(&format!("[0:0] -A INPUT {option} -j ACCEPT")), "{option}");
        }
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
          = help: take --modprobe (-M) out; a ruleset never needs it
        ");
    }
}
