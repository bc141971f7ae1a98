//! Translates nmap's arguments into the options of `scanlab scan`: a pure step before the command line is parsed. nmap
//! parses single-dash options like getopt_long(3): several letters in a row, with a value attached or in the next word.
//!
//! 1. An option that `scan` has under another name is renamed: `-oX FILE` to `--output-xml=FILE`.
//! 2. An option for scanlab's default behaviour (no name resolution, no host discovery, ports in order) is left out.
//! 3. An option without a meaning here (timing, retries, kinds of host discovery) is left out, and reported to the
//!    user.
//! 4. An option that promises more than a scan does (`-sV`, `-O`, `--script`, `-f`, `-D`) is refused; the hint names
//!    `scanlab exec`, where real nmap does it.
//! 5. Every other argument is unchanged.

use std::collections::VecDeque;
use std::ffi::OsString;

use crate::error::InputError;

/// The translated arguments, and those that were left out.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Translation {
    /// The arguments for the parser of `scan`.
    pub words: Vec<OsString>,
    /// Arguments without a meaning here, as they were written, each once.
    pub without_meaning: Vec<String>,
}

/// Options with a value that have no meaning here.
const IDLE_WITH_VALUE: [&str; 18] = [
    "--dns-servers",
    "--host-timeout",
    "--initial-rtt-timeout",
    "--max-hostgroup",
    "--max-parallelism",
    "--max-rate",
    "--max-retries",
    "--max-rtt-timeout",
    "--max-scan-delay",
    "--min-hostgroup",
    "--min-parallelism",
    "--min-rate",
    "--min-rtt-timeout",
    "--nsock-engine",
    "--scan-delay",
    "--stats-every",
    "--stylesheet",
    "--datadir",
];

/// Options for scanlab's default behaviour.
const KEPT: [&str; 4] = ["--no-stylesheet", "--privileged", "--send-eth", "--noninteractive"];

/// Options without a value that have no meaning here.
const IDLE: [&str; 13] = [
    "--debug",
    "--defeat-icmp-ratelimit",
    "--defeat-rst-ratelimit",
    "--discovery-ignore-rst",
    "--log-errors",
    "--packet-trace",
    "--randomize-hosts",
    "--release-memory",
    "--resolve-all",
    "--system-dns",
    "--unique",
    "--unprivileged",
    "--webxml",
];

/// Options that are refused, with the reason. Real nmap in `scanlab exec` does what they request.
const LEFT_TO_NMAP: [(&str, &str); 35] = [
    ("--adler32", NO_SCTP),
    ("--allports", NO_SERVICES),
    ("--append-output", "a report is written whole: name another file"),
    ("--data", NO_PAYLOAD),
    ("--data-length", NO_PAYLOAD),
    ("--data-string", NO_PAYLOAD),
    ("--decoys", NO_DECOYS),
    ("--exclude", ONE_HOST),
    ("--excludefile", ONE_HOST),
    ("--fuzzy", NO_SERVICES),
    ("--ip-options", "probes carry no IP options"),
    ("--iflist", "the lab has one interface: --interface NAME"),
    ("--max-os-tries", NO_SERVICES),
    ("--mtu", NO_FRAGMENTS),
    ("--osscan-guess", NO_SERVICES),
    ("--osscan-limit", NO_SERVICES),
    ("--port-ratio", "choose ports by number: --top-ports NUMBER"),
    ("--proxies", ONE_HOST),
    ("--proxy", ONE_HOST),
    ("--resume", "a scan is fast: run it again"),
    ("--script", NO_SERVICES),
    ("--script-args", NO_SERVICES),
    ("--script-args-file", NO_SERVICES),
    ("--script-help", NO_SERVICES),
    ("--script-timeout", NO_SERVICES),
    ("--script-trace", NO_SERVICES),
    ("--script-updatedb", NO_SERVICES),
    ("--servicedb", NO_SERVICES),
    ("--spoof-mac", "the prober's MAC address is the lab's own; the host's is set with --mac"),
    ("--traceroute", "the host is the next hop"),
    ("--version-all", NO_SERVICES),
    ("--version-intensity", NO_SERVICES),
    ("--version-light", NO_SERVICES),
    ("--version-trace", NO_SERVICES),
    ("--versiondb", NO_SERVICES),
];

const NO_SERVICES: &str = "scanlab tests rulesets: it does not detect services or operating systems";
const NO_PAYLOAD: &str = "scan probes carry no payload, as nmap's own do not";
const NO_FRAGMENTS: &str = "probes are not fragmented";
const NO_SCTP: &str = "only TCP and UDP are scanned";
const NO_DECOYS: &str = "all probes come from one address";
const NO_THIRD_HOST: &str = "there is no third host on the lab's link";
const ONE_HOST: &str = "probes go only to the lab's own host, see --host-addr";

/// The hint of a refusal: the reason, and the command that does it with real nmap.
pub fn left_to_nmap(option: &str, why: &str) -> String {
    format!("{why}; real nmap: scanlab exec --rules FILE -- nmap {option} ...")
}

/// Translates the arguments after `scan`. `takes_value` is true for an option of the command line whose value is the
/// next argument.
///
/// # Errors
/// If nmap has the option and scanlab cannot do what it requests, and if a value is missing or wrong.
pub fn translate(
    words: impl IntoIterator<Item = OsString>,
    takes_value: impl Fn(&str) -> bool,
) -> Result<Translation, InputError> {
    let mut rest: VecDeque<OsString> = words.into_iter().collect();
    let mut translation = Translation::default();
    while let Some(word) = rest.pop_front() {
        match word.to_str() {
            Some("--") => {
                translation.words.push(word);
                translation.words.extend(rest.drain(..));
            }
            Some(long) if long.starts_with("--") => {
                let long = long.to_owned();
                translation.long(&long, word, &mut rest, &takes_value)?;
            }
            Some(short) if short.starts_with('-') && short.len() > 1 => translation.short(&short[1..], &mut rest)?,
            _ => translation.words.push(word),
        }
    }
    Ok(translation)
}

impl Translation {
    fn long(
        &mut self,
        text: &str,
        word: OsString,
        rest: &mut VecDeque<OsString>,
        takes_value: &impl Fn(&str) -> bool,
    ) -> Result<(), InputError> {
        let (name, attached) = text.split_once('=').map_or((text, false), |(name, _)| (name, true));
        if let Some((_, why)) = LEFT_TO_NMAP.iter().find(|(refused, _)| *refused == name) {
            return Err(refused_for_nmap(name, why));
        }
        match name {
            "--vv" => return Err(refused(name, "write -vv")),
            "--verbose" => return self.verbosity(text.split_once('=').map_or("", |(_, level)| level)),
            _ if KEPT.contains(&name) => return Ok(()),
            _ => {}
        }
        if IDLE.contains(&name) {
            self.leave_out(name);
            return Ok(());
        }
        if IDLE_WITH_VALUE.contains(&name) {
            self.leave_out(name);
            return if attached { Ok(()) } else { next_word(name, rest).map(drop) };
        }
        self.words.push(word);
        if !attached && takes_value(name) {
            self.words.extend(rest.pop_front());
        }
        Ok(())
    }

    /// Translates `letters` after a single dash.
    fn short(&mut self, letters: &str, rest: &mut VecDeque<OsString>) -> Result<(), InputError> {
        for (at, letter) in letters.char_indices() {
            let after = &letters[at + letter.len_utf8()..];
            match letter {
                '4' | '6' | 'F' | 'h' => self.words.push(format!("-{letter}").into()),
                'n' | 'r' => {}
                'R' | 'q' => self.leave_out(&format!("-{letter}")),
                'v' => return self.verbosity(after),
                'd' => {
                    self.leave_out(&format!("-{letter}{after}"));
                    return Ok(());
                }
                'P' => return self.ping(after),
                'o' => return self.output(after, rest),
                's' | 'p' => {
                    let value = value(&format!("-{letter}"), after, rest)?;
                    self.words.extend([format!("-{letter}").into(), value]);
                    return Ok(());
                }
                'g' => return self.renamed("-g", "--source-port", after, rest),
                'S' => return self.renamed("-S", "--source-address", after, rest),
                'T' => return self.timing(after, rest),
                'e' | 'M' | 'm' => {
                    value(&format!("-{letter}"), after, rest)?;
                    self.leave_out(&format!("-{letter}"));
                    return Ok(());
                }
                'A' | 'O' => return Err(refused_for_nmap(&format!("-{letter}"), NO_SERVICES)),
                'D' => return Err(refused_for_nmap("-D", NO_DECOYS)),
                'b' => return Err(refused_for_nmap("-b", NO_THIRD_HOST)),
                'f' => return Err(refused_for_nmap("-f", NO_FRAGMENTS)),
                'i' => return Err(refused_for_nmap(&format!("-i{}", first_letter(after)), ONE_HOST)),
                _ => {
                    self.words.push(format!("-{}", &letters[at..]).into());
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// `-v`, `-vv`, `-v2`.
    fn verbosity(&mut self, after: &str) -> Result<(), InputError> {
        let level = match after.parse::<usize>() {
            Ok(level) if level <= 10 => level,
            _ if after.bytes().all(|byte| byte == b'v') => 1 + after.len(),
            _ => {
                return Err(InputError::new(
                    format!("`-v{}` is not a verbosity level", after.escape_debug()),
                    "write -v or -vv",
                ));
            }
        };
        self.words.extend(std::iter::repeat_n(OsString::from("-v"), level));
        Ok(())
    }

    /// `-Pn` and its older spellings; every other letter selects a kind of host discovery.
    fn ping(&mut self, after: &str) -> Result<(), InputError> {
        match after.chars().next() {
            Some('n' | 'N' | '0' | 'D') => {
                let word = OsString::from("--no-ping");
                if !self.words.contains(&word) {
                    self.words.push(word);
                }
            }
            _ => self.leave_out(&format!("-P{}", first_letter(after))),
        }
        Ok(())
    }

    fn output(&mut self, after: &str, rest: &mut VecDeque<OsString>) -> Result<(), InputError> {
        let (letter, attached) = after.split_at(first_letter(after).len());
        let option = match letter {
            "N" => "--output-normal",
            "X" => "--output-xml",
            "G" => "--output-grepable",
            "A" => "--output-all",
            _ => {
                let option = format!("-o{}", letter.escape_debug());
                let hint = "use -oN, -oX, -oG or -oA; JSON comes with --format json";
                // The other formats of nmap.
                let hint =
                    if matches!(letter, "S" | "H" | "M") { left_to_nmap(&option, hint) } else { hint.to_owned() };
                return Err(InputError::new(format!("{option} is not an output option of scanlab"), hint));
            }
        };
        self.renamed(&format!("-o{letter}"), option, attached, rest)
    }

    fn timing(&mut self, after: &str, rest: &mut VecDeque<OsString>) -> Result<(), InputError> {
        const NAMES: [&str; 6] = ["paranoid", "sneaky", "polite", "normal", "aggressive", "insane"];
        let template = value("-T", after, rest)?.to_string_lossy().to_lowercase();
        if !NAMES.contains(&&*template) && !matches!(&*template, "0" | "1" | "2" | "3" | "4" | "5") {
            let problem = format!("`-T {}` is not a timing template", template.escape_debug());
            return Err(InputError::new(problem, format!("use 0 to 5, or {}", NAMES.join(", "))));
        }
        self.leave_out(&format!("-T{template}"));
        Ok(())
    }

    fn renamed(
        &mut self,
        nmap: &str,
        option: &str,
        attached: &str,
        rest: &mut VecDeque<OsString>,
    ) -> Result<(), InputError> {
        let mut word = OsString::from(format!("{option}="));
        word.push(value(nmap, attached, rest)?);
        self.words.push(word);
        Ok(())
    }

    fn leave_out(&mut self, word: &str) {
        if !self.without_meaning.iter().any(|other| other == word) {
            self.without_meaning.push(word.to_owned());
        }
    }
}

fn first_letter(text: &str) -> &str {
    let end = text.chars().next().map_or(0, char::len_utf8);
    &text[..end]
}

fn value(option: &str, attached: &str, rest: &mut VecDeque<OsString>) -> Result<OsString, InputError> {
    if attached.is_empty() { next_word(option, rest) } else { Ok(attached.into()) }
}

fn next_word(option: &str, rest: &mut VecDeque<OsString>) -> Result<OsString, InputError> {
    let missing = || InputError::new(format!("{option} has no value"), format!("nmap's {option} needs one"));
    rest.pop_front().ok_or_else(missing)
}

fn refused_for_nmap(option: &str, why: &str) -> InputError {
    let nmaps = if option == "--decoys" { "-D" } else { option };
    refused(option, &left_to_nmap(nmaps, why))
}

fn refused(option: &str, why: &str) -> InputError {
    InputError::new(format!("{option} is not an option of scanlab"), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> String {
        let takes_value = |word: &str| ["--rules", "--listen", "--ports"].contains(&word);
        let translation = translate(line.split(' ').map(OsString::from), takes_value);
        translation.map_or_else(
            |error| format!("! {}", error.problem),
            |Translation { words, without_meaning }| {
                let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
                format!("{} | {}", words.join(" "), without_meaning.join(" "))
            },
        )
    }

    #[test]
    fn nmaps_words_are_translated() {
        for (line, translation) in [
            ("-sX -p- -6 --reason --open -n -Pn", "-s X -p - -6 --reason --open --no-ping | "),
            (
                "-oN - -oXa.xml -oG b -oA c",
                "--output-normal=- --output-xml=a.xml --output-grepable=b --output-all=c | ",
            ),
            ("-sSU -p22 -p -100", "-s SU -p 22 -p -100 | "),
            ("-T4 -T insane -T4 --max-retries 1 --min-rate=5", " | -T4 -Tinsane --max-retries --min-rate"),
            ("-nvv -v2 -d2 -r", "-v -v -v -v | -d2"),
            ("-6nF -PE -PS22,80 -e eth1", "-6 -F | -PE -PS -e"),
            ("-g 53 -S192.0.2.1", "--source-port=53 --source-address=192.0.2.1 | "),
            ("--rules -oX --listen -100 -- -oX", "--rules -oX --listen -100 -- -oX | "),
            ("203.0.113.10 --ports -", "203.0.113.10 --ports - | "),
            ("--send-eth --privileged --packet-trace -R", " | --packet-trace -R"),
            ("-z --no-such", "-z --no-such | "),
            ("--verbose --verbose=2 --debug=3 --release-memory", "-v -v -v | --debug --release-memory"),
        ] {
            assert_eq!(translated(line), translation, "{line}");
        }
    }

    #[test]
    fn a_refusal_names_the_command_with_which_real_nmap_does_it() {
        let short = ["-A", "-O", "-D", "-f", "-b", "-iL", "-iR", "-oS", "-oH", "-oM"];
        for option in short.into_iter().chain(LEFT_TO_NMAP.map(|(option, _)| option)) {
            let InputError { problem, hint, .. } = translate([option.into()], |_| false).expect_err(option);
            assert!(problem.starts_with(&format!("{option} is not an o")), "{problem}");
            let nmaps = if option == "--decoys" { "-D" } else { option };
            let hint = hint.unwrap_or_default();
            assert!(hint.contains(&format!("scanlab exec --rules FILE -- nmap {nmaps} ...")), "{option}: {hint}");
        }
    }

    #[test]
    fn nmap_arguments_without_a_meaning_are_refused() {
        assert_eq!(translated("-nDRND:3"), "! -D is not an option of scanlab");
        assert_eq!(translated("-oS x"), "! -oS is not an output option of scanlab");
        assert_eq!(translated("-T7"), "! `-T 7` is not a timing template");
        assert_eq!(translated("-vv6"), "! `-vv6` is not a verbosity level");
        assert_eq!(translated("-oX"), "! -oX has no value");
        assert_eq!(translated("--max-retries"), "! --max-retries has no value");
    }
}
