//! Reads the ports of the SSH server from its configuration, as sshd does: sshd_config(5), and servconf.c of OpenSSH.
//!
//! Does not query a running server, and ignores `sshd -p` and systemd sockets.

use std::net::IpAddr;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use glob::{Pattern, glob};

use crate::error::{InputError, Result, Source};
use crate::net::Family;
use crate::net::port::Port;

/// servconf.h: `SERVCONF_MAX_DEPTH`.
const MAX_DEPTH: usize = 16;

/// The maximum number of files that are read. sshd has no such limit: if files include each other ten times it would
/// read 10^16.
const MAX_FILES: usize = 256;

/// The ports that the server configured by the file at `path` listens on, ascending.
pub fn ports_of_sshd(path: &Path) -> Result<Vec<Port>> {
    SshServer::read(path).map(|server| server.ports())
}

/// The addresses and ports that an SSH server is configured to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SshServer {
    ports: Vec<Port>,
    addresses: Vec<ListenAddress>,
    family: Option<Family>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ListenAddress {
    host: String,
    port: Option<Port>,
}

impl SshServer {
    /// Reads the file at `path` with all files that it includes.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, or sshd would refuse it.
    pub fn read(path: &Path) -> Result<SshServer> {
        let mut config = Config::default();
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        config.read(&folder, path, 0)?;
        let Config { mut ports, addresses, family, .. } = config;
        if ports.is_empty() {
            ports.push(Port(22));
        }
        Ok(SshServer { ports, addresses, family })
    }

    /// Its ports, ascending.
    ///
    /// 1. A `ListenAddress` with a port listens there; one without listens on every `Port`.
    /// 2. Without any `ListenAddress` it is every `Port`.
    /// 3. Without any `Port` that is 22.
    pub fn ports(&self) -> Vec<Port> {
        let mut ports: Vec<Port> = self.addresses.iter().filter_map(|address| address.port).collect();
        if self.addresses.iter().all(|address| address.port.is_some()) && !self.addresses.is_empty() {
            ports.sort();
            ports.dedup();
            return ports;
        }
        ports.extend(&self.ports);
        ports.sort();
        ports.dedup();
        ports
    }

    /// True if it listens on one of `ports` at `address`. A host name may resolve to any address, so it matches all of
    /// them.
    pub fn listens_at(&self, address: IpAddr, ports: &[Port]) -> bool {
        if self.family.is_some_and(|family| family != Family::from_address(address)) {
            return false;
        }
        let has_port = |own: &ListenAddress| match own.port {
            Some(port) => ports.contains(&port),
            None => self.ports.iter().any(|port| ports.contains(port)),
        };
        let is_at = |own: &ListenAddress| match own.host.parse::<IpAddr>() {
            Ok(host) if host.is_unspecified() => Family::from_address(host) == Family::from_address(address),
            Ok(host) => host == address,
            Err(_) => true,
        };
        match self.addresses.is_empty() {
            true => self.ports.iter().any(|port| ports.contains(port)),
            false => self.addresses.iter().any(|own| has_port(own) && is_at(own)),
        }
    }
}

#[derive(Default)]
struct Config {
    ports: Vec<Port>,
    addresses: Vec<ListenAddress>,
    /// `AddressFamily`, unless it is `any`.
    family: Option<Family>,
    /// The number of files that have been read.
    files: usize,
}

impl Config {
    /// Reads one file up to its first `Match`: the lines after it are conditional, and sshd refuses ports there. A
    /// `Match` in an included file ends with that file.
    fn read(&mut self, folder: &Path, path: &Path, depth: usize) -> Result<()> {
        let source = Source::read_regular(path)?;
        self.files += 1;
        let mut start = 0;
        for text in source.text.split_inclusive('\n') {
            let line = ConfigLine { source: &source, span: start..start + text.trim_end().len() };
            start += text.len();
            let words = line.words();
            let Some((keyword, arguments)) = words.split_first() else { continue };
            match keyword.to_ascii_lowercase().as_str() {
                "match" => break,
                "port" => self.ports.push(line.port(arguments.first())?),
                "listenaddress" => self.addresses.push(line.address(arguments.first())?),
                "addressfamily" => self.family = self.family.or(family(arguments.first())),
                "include" => self.include(folder, &line, arguments, depth + 1)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn include(&mut self, folder: &Path, line: &ConfigLine<'_>, patterns: &[String], depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            let hint = "sshd gives up here too: does a file include itself?";
            return Err(line.error(format!("Include goes deeper than {MAX_DEPTH} files"), hint).into());
        }
        for pattern in patterns {
            for path in line.matching(folder, pattern)? {
                if self.files >= MAX_FILES {
                    let hint = "name the ports with `ssh` instead";
                    return Err(line.error(format!("more than {MAX_FILES} files are included"), hint).into());
                }
                self.read(folder, &path, depth)?;
            }
        }
        Ok(())
    }
}

struct ConfigLine<'a> {
    source: &'a Source,
    span: Range<usize>,
}

impl ConfigLine<'_> {
    fn error(&self, problem: impl std::fmt::Display, hint: &str) -> InputError {
        self.source.error(self.span.clone(), problem, hint)
    }

    /// Keyword and arguments: separated by blanks and, after the keyword, by one `=`; quotes group, `#` ends the line.
    fn words(&self) -> Vec<String> {
        let text = self.source.text[self.span.clone()].trim();
        let end = text.find(|c: char| c.is_whitespace() || c == '=' || c == '"' || c == '#').unwrap_or(text.len());
        let (keyword, rest) = text.split_at(end);
        if keyword.is_empty() {
            return Vec::new();
        }
        let rest = rest.trim_start();
        let mut words = vec![keyword.to_owned()];
        words.extend(arguments(rest.strip_prefix('=').unwrap_or(rest)));
        words
    }

    fn port(&self, word: Option<&String>) -> Result<Port> {
        let Some(word) = word else {
            return Err(self.error("no port is named", "ports are 1 to 65535").into());
        };
        let number = word.parse::<i64>().ok().and_then(|number| Port::service(number).ok());
        number.ok_or_else(|| {
            self.error(format!("`{}` is not a port", word.escape_debug()), "ports are 1 to 65535").into()
        })
    }

    /// `host`, `host:port` or `[host]:port`; a bare IPv6 address has more than one colon and no bracket.
    fn address(&self, word: Option<&String>) -> Result<ListenAddress> {
        let word = word.map(String::as_str).unwrap_or_default();
        let bare_ipv6 = !word.starts_with('[') && word.matches(':').count() > 1;
        let in_brackets = word.strip_prefix('[').and_then(|word| word.split_once(']'));
        let (host, after_host) = in_brackets.unwrap_or_else(|| word.split_at(word.find(':').unwrap_or(word.len())));
        match after_host.rsplit_once(':') {
            _ if bare_ipv6 => Ok(ListenAddress { host: word.to_owned(), port: None }),
            Some((_, port)) => {
                Ok(ListenAddress { host: host.to_owned(), port: Some(self.port(Some(&port.to_owned()))?) })
            }
            None => Ok(ListenAddress { host: host.to_owned(), port: None }),
        }
    }

    /// The files that a pattern of `Include` matches, sorted by name. As in sshd, it is no error if there are none.
    fn matching(&self, folder: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
        let Some(folder) = folder.to_str() else {
            let problem = format!("the folder {} has a name that is not UTF-8", folder.display());
            return Err(self.error(problem, "rename the folder").into());
        };
        // To glob(3) two asterisks are one; the crate `glob` would search all subfolders.
        let mut pattern = pattern.to_owned();
        while pattern.contains("**") {
            pattern = pattern.replace("**", "*");
        }
        let pattern = Path::new(&Pattern::escape(folder)).join(pattern);
        let pattern = pattern.to_string_lossy();
        let paths = glob(&pattern).map_err(|error| {
            self.error(format!("`{}` is not a pattern: {}", pattern.escape_debug(), error.msg), "see glob(7)")
        })?;
        let paths = paths.collect::<std::result::Result<Vec<_>, _>>().map_err(|error| {
            let problem = format!("cannot read {}: {}", error.path().display(), error.error());
            self.error(problem, "run as a user who may read it")
        })?;
        Ok(paths.into_iter().filter(|path| writes_its_dots(&pattern, path) && path.is_file()).collect())
    }
}

/// "If a filename starts with a '.', this character must be matched explicitly", glob(7). (The option of `glob` for this
/// panics at names that are not UTF-8.)
fn writes_its_dots(pattern: &str, path: &Path) -> bool {
    let begins = |component: Component<'_>| component.as_os_str().as_encoded_bytes().starts_with(b".");
    let both = Path::new(pattern).components().rev().zip(path.components().rev());
    both.into_iter().all(|(pattern, name)| begins(pattern) || !begins(name))
}

/// The first word counts, as for every keyword of sshd.
fn family(word: Option<&String>) -> Option<Family> {
    match word?.as_str() {
        "inet" => Some(Family::Ipv4),
        "inet6" => Some(Family::Ipv6),
        _ => None,
    }
}

fn arguments(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (word, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}
