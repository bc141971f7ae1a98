//! The source of service names: nmap's own file if nmap is installed, so that reports in nmap's format have nmap's
//! names; else that of the system.

use std::path::Path;

use crate::error::{InputError, Result, Source};
use crate::net::Protocol;
use crate::net::port_selection::SelectedPorts;
use crate::net::services_file::ServicesFile;

/// The folders of nmap's files: as packages install them, and as `make install` does.
const NMAP_FOLDERS: [&str; 2] = ["/usr/share/nmap", "/usr/local/share/nmap"];
const NMAP_FILE: &str = "nmap-services";
const SYSTEM_FILE: &str = "/etc/services";

/// The services that this machine has names for.
#[derive(Debug, Default)]
pub struct KnownServices {
    /// The content of the file; empty if there is none.
    pub file: ServicesFile,
    /// The folder of the file, if it is nmap's.
    pub nmap_folder: Option<&'static str>,
}

impl KnownServices {
    /// Reads the first file that exists.
    ///
    /// # Errors
    /// If a file exists and cannot be read.
    pub fn read() -> Result<KnownServices> {
        for folder in NMAP_FOLDERS {
            let path = Path::new(folder).join(NMAP_FILE);
            if path.is_file() {
                return Ok(KnownServices { file: parse(&path)?, nmap_folder: Some(folder) });
            }
        }
        let system = Path::new(SYSTEM_FILE);
        let file = if system.is_file() { parse(system)? } else { ServicesFile::default() };
        Ok(KnownServices { file, nmap_folder: None })
    }

    /// The `count` ports of each protocol that are open most often.
    ///
    /// # Errors
    /// If no file has frequencies.
    pub fn most_frequent(&self, count: u16) -> Result<SelectedPorts> {
        if !self.file.has_frequencies() {
            let problem =
                format!("the list of the most frequent open ports is in nmap's {NMAP_FILE}, which was not found");
            return Err(InputError::new(problem, "install nmap, or name the ports with -p").into());
        }
        let of = |protocol| self.file.most_frequent(protocol, usize::from(count));
        Ok(SelectedPorts { tcp: of(Protocol::Tcp), udp: of(Protocol::Udp) })
    }
}

fn parse(path: &Path) -> Result<ServicesFile> {
    Ok(ServicesFile::parse(&Source::read(path)?.text))
}
