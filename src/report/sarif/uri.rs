//! Paths as URI references (RFC 3986): relative paths stay relative, so that a code scanner finds them from the root of
//! the repository, and all other characters are percent-encoded.

use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The path as a URI reference, byte for byte.
pub fn uri(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let mut bytes = bytes;
    while let Some(rest) = bytes.strip_prefix(b"./") {
        bytes = rest;
    }
    // `file://` makes the rest of an absolute path a path; without it two slashes at the start would begin an
    // authority.
    let mut uri = if path.is_absolute() { "file://".to_owned() } else { String::new() };
    for byte in bytes {
        match byte {
            // Unreserved characters (section 2.3), and the slash between segments. A colon is encoded, since it would
            // end a scheme.
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(*byte)),
            other => {
                let _ = write!(uri, "%{other:02X}");
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn a_path_is_a_uri_whatever_its_name() {
        for (path, expected) in [
            ("rules.v4", "rules.v4"),
            ("./a/rules.v4", "a/rules.v4"),
            ("../rules.v4", "../rules.v4"),
            ("/etc/iptables/rules.v4", "file:///etc/iptables/rules.v4"),
            ("javascript:alert(1)", "javascript%3Aalert%281%29"),
            ("a b/50%/<x>\"\n#?.v4", "a%20b/50%25/%3Cx%3E%22%0A%23%3F.v4"),
            ("ä", "%C3%A4"),
        ] {
            assert_eq!(uri(Path::new(path)), expected);
        }
        assert_eq!(uri(Path::new(OsStr::from_bytes(b"\xff.v4"))), "%FF.v4", "no text at all");
    }
}
