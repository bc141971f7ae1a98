//! The rules for log prefixes. A prefix is printed between double quotes in a ruleset, and in a kernel log line: it
//! must neither end the quotes, nor be cut off.

use std::ops::Range;

use super::table::{TomlKey, Value};
use crate::error::{InputError, Result, Source};
use crate::log_line::{NFLOG_NAME, is_of_the_lab};
use crate::probe::scan::Technique;

/// The longest prefix that LOG keeps: `struct xt_log_info` has 30 bytes for it, including the final NUL. Both restore
/// programs cut a longer one silently.
pub const MAX_PREFIX: usize = 29;

/// The log prefix of a port rule: `<IPT> SSH port: `.
pub fn port_prefix(beginning: &str, service: &str) -> String {
    format!("{beginning}{service} port: ")
}

/// The log prefix of a scan rule: `<IPT> Xmas scan: `.
pub fn scan_prefix(beginning: &str, technique: Technique) -> String {
    format!("{beginning}{} scan: ", technique.profile().title)
}

/// True if all prefixes can begin so, see [`check_prefix`].
pub fn is_prefix(text: &str) -> bool {
    unsafe_in_a_rule(text).is_none() && !text.starts_with('-') && text.ends_with(' ')
}

/// True if a service can have this name, see [`check_name`].
pub fn is_service_name(name: &str) -> bool {
    has_safe_letters(name) && has_safe_ends(name)
}

fn has_safe_letters(name: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b" ._/+-".contains(&byte);
    !name.is_empty() && name.bytes().all(safe)
}

fn has_safe_ends(name: &str) -> bool {
    !name.starts_with(['-', ' ']) && !name.ends_with(' ')
}

/// Checks the common beginning of all prefixes.
pub fn check_prefix(value: &Value<'_>) -> Result<()> {
    let text = value.text()?;
    if let Some(problem) = unsafe_in_a_rule(text) {
        return Err(value
            .error(problem, "use printable ASCII, without quotes and backslashes, like \"<IPT> \"")
            .into());
    }
    if text.starts_with('-') {
        return Err(value
            .error("a prefix cannot start with a dash", "iptables-restore may read it as an option")
            .into());
    }
    if !text.ends_with(' ') {
        let better = if text.is_empty() { "<IPT>" } else { text };
        let hint = format!("write \"{better} \": iptables adds no space between the prefix and what follows it");
        return Err(value.error("the prefix does not end with a space", hint).into());
    }
    Ok(())
}

/// Checks that the prefix of every scan fits after `value`.
pub fn check_scan_prefixes(value: &Value<'_>, scans: &[Technique]) -> Result<()> {
    let whole = |scan: &Technique| scan_prefix(value.text().unwrap_or_default(), *scan);
    match scans.iter().map(whole).max_by_key(String::len) {
        Some(longest) => fits(&longest).map_err(|(problem, hint)| value.error(problem, hint).into()),
        None => Ok(()),
    }
}

/// Checks a complete prefix in a row of a scenario; `""` means no line. The prefix may be that of a rule that scanlab
/// did not generate, so it may contain everything that a line of a ruleset can.
pub fn check_whole_prefix(value: &Value<'_>) -> Result<()> {
    let text = value.text()?;
    if let Some(c) = text.chars().find(|c| matches!(c, '\n' | '\0')) {
        let hint = "no rule can log such a prefix: write the prefix as in the rule";
        return Err(value.error(format!("a log prefix cannot hold {c:?}"), hint).into());
    }
    if let Some(line) = text.strip_prefix(NFLOG_NAME) {
        return check_nflog(line).map_err(|(problem, hint)| value.error(problem, hint).into());
    }
    // Each byte of a character that LOG has cut shows as U+FFFD.
    fits(&text.replace(char::REPLACEMENT_CHARACTER, "?")).map_err(|(problem, hint)| value.error(problem, hint).into())
}

/// Checks the text after `nflog:`, the group and the prefix of an NFLOG rule.
fn check_nflog(line: &str) -> std::result::Result<(), (String, String)> {
    const HINT: &str = "write `nflog:GROUP PREFIX`, with the group in decimal and one space before the rule's prefix";
    let (group, prefix) = line.split_once(' ').unwrap_or((line, ""));
    let Some(number) = group.parse::<u16>().ok().filter(|number| number.to_string() == group) else {
        return Err((format!("`{}` is not an NFLOG group", group.escape_debug()), HINT.to_owned()));
    };
    if is_of_the_lab(number) {
        let problem = format!(
            "NFLOG group {number} is reserved for the lab, and the lines of a rule in it are not \
                               read"
        );
        return Err((problem, "choose a group outside 65024 to 65279".to_owned()));
    }
    match prefix.len().saturating_sub(NFLOG_PREFIX) {
        0 => Ok(()),
        over => {
            Err((format!("the NFLOG prefix is {over} bytes too long"), format!("iptables takes {NFLOG_PREFIX} bytes")))
        }
    }
}

/// `char prefix[64]` of `struct xt_nflog_info`, without its NUL.
const NFLOG_PREFIX: usize = 63;

/// Checks the name of a service, and that its prefix fits.
pub fn check_service_name(source: &Source, key: &TomlKey, prefix: &str) -> Result<()> {
    check_name(source, key)?;
    let fitted = fits(&port_prefix(prefix, &key.name));
    fitted.map_err(|(problem, hint)| error_at(source, &key.span, problem, hint).into())
}

/// Checks the name of a service.
pub fn check_name(source: &Source, key: &TomlKey) -> Result<()> {
    let name = key.name.as_str();
    let error = |(problem, hint)| Err(error_at(source, &key.span, problem, hint).into());
    if !has_safe_letters(name) {
        let problem = format!("`{}` cannot name a service", name.escape_debug());
        return error((problem, "use letters, digits, spaces and . _ / + -".to_owned()));
    }
    if !has_safe_ends(name) {
        let problem = format!("`{name}` cannot name a service");
        return error((problem, "no dash or space at its start, no space at its end".to_owned()));
    }
    Ok(())
}

fn error_at(source: &Source, span: &Range<usize>, problem: String, hint: String) -> InputError {
    source.error(span.clone(), problem, hint)
}

fn unsafe_in_a_rule(text: &str) -> Option<String> {
    let unsafe_char = |c: &char| !(c.is_ascii_graphic() || *c == ' ') || "\"'`\\".contains(*c);
    text.chars().find(unsafe_char).map(|c| format!("a log prefix cannot hold {c:?}"))
}

fn fits(whole: &str) -> std::result::Result<(), (String, String)> {
    let over = whole.len().saturating_sub(MAX_PREFIX);
    if over == 0 {
        return Ok(());
    }
    let problem = format!("the log prefix \"{whole}\" is {} bytes long", whole.len());
    Err((problem, format!("LOG keeps {MAX_PREFIX} and silently cuts the rest: shorten it by {over}")))
}
