//! Where the names of services come from: nmap's own file, where nmap is installed, since a report in its words is to
//! name what nmap names; else the system's.

use std::path::Path;

use crate::error::{InputError, Result, Source};
use crate::net::Protocol;
use crate::net::port_selection::SelectedPorts;
use crate::net::services_file::ServicesFile;

/// Where nmap has its files: as packages install it, and as `make install` does.
const NMAP_FOLDERS: [&str; 2] = ["/usr/share/nmap", "/usr/local/share/nmap"];
const NMAP_FILE: &str = "nmap-services";
const SYSTEM_FILE: &str = "/etc/services";

/// The services that this machine knows of.
#[derive(Debug, Default)]
pub struct KnownServices {
    /// The file's content; empty on a machine that has none.
    pub file: ServicesFile,
    /// The folder of nmap's file, when it is nmap's.
    pub nmap_folder: Option<&'static str>,
}

impl KnownServices {
    /// Reads the first file that is there.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
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

    /// The ports that are open most often, so many of each protocol.
    ///
    /// # Errors
    /// No file tells how often ports are open.
    pub fn most_frequent(&self, count: u16) -> Result<SelectedPorts> {
        if !self.file.has_frequencies() {
            let problem = format!("which ports are open most often stands in nmap's {NMAP_FILE}, which is not here");
            return Err(InputError::new(problem, "install nmap, or name the ports with -p").into());
        }
        let of = |protocol| self.file.most_frequent(protocol, usize::from(count));
        Ok(SelectedPorts { tcp: of(Protocol::Tcp), udp: of(Protocol::Udp) })
    }
}

fn parse(path: &Path) -> Result<ServicesFile> {
    Ok(ServicesFile::parse(&Source::read(path)?.text))
}
