//! What a ruleset must not make iptables do. Loading is done as root, and one option of iptables runs a program.

use std::ops::Range;

use crate::error::{InputError, Source};

/// Refuses `-M`/`--modprobe=COMMAND` (iptables(8): "use command to load modules"), however it is abbreviated or bundled:
/// it would run a command of the ruleset's choice, on this machine, as root.
pub fn refuse(ruleset: &Source) -> Result<(), InputError> {
    let mut start = 0;
    for line in ruleset.text.split_inclusive('\n') {
        let is_rule = line.trim_start().starts_with(['-', '[']);
        let mut before = "";
        let culprit = words(line).filter(|_| is_rule).find(|span| {
            let word = &line[span.clone()];
            let is_text = TAKES_TEXT.contains(&std::mem::replace(&mut before, word));
            !is_text && runs_a_program(word)
        });
        if let Some(span) = culprit {
            let place = start + span.start..start + span.end;
            let problem = "this option makes iptables run a program: it is refused";
            return Err(ruleset.error(place, problem, "take --modprobe (-M) out; a ruleset never needs it"));
        }
        start += line.len();
    }
    Ok(())
}

/// Options whose argument is free text, so that it may look like an option.
const TAKES_TEXT: [&str; 5] = ["--comment", "--log-prefix", "--nflog-prefix", "--string", "--hex-string"];

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
            escaped = c == '\\' && !escaped;
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
    fn what_merely_looks_like_it_is_not() {
        for rule in [
            "-A INPUT -m mac --mac-source 00:0c:29:4f:8e:35 -j ACCEPT",
            "-A INPUT -j LOG --log-prefix \"a -M b: \"",
            "-A INPUT -m comment --comment \"--modprobe\\\" -M\" -j DROP",
            "-A INPUT -m comment --comment \"-M\" -j DROP",
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
