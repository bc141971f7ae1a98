//! Paths as URI references (RFC 3986): relative ones stay relative, so that a code scanner finds them from the root of the
//! repository, and whatever a file name may hold is percent-encoded.

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
    // Of an absolute path `file://` says that the rest is no authority; so it would be with two slashes at its start.
    let mut uri = if path.is_absolute() { "file://".to_owned() } else { String::new() };
    for byte in bytes {
        match byte {
            // Section 2.3, unreserved; and the slash between segments. A colon would make a scheme of the first segment.
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
