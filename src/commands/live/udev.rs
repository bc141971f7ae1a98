//! The properties of an interface that systemd-udevd compares with `.link` files, and the `.link` files of this
//! machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::error::{Result, Source};
use crate::net::InterfaceName;

/// The folders of `.link` files, of highest priority first (systemd.link(5)).
const FOLDERS: [&str; 5] = [
    "/etc/systemd/network",
    "/run/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
    "/lib/systemd/network",
];

/// Properties of an interface's device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Device {
    /// The driver's name; `None` for a virtual interface.
    pub driver: Option<String>,
    /// `ID_PATH` of udev's database.
    pub path: Option<String>,
    /// As in `networkctl list`: `ether`, `wlan`.
    pub kind: Option<String>,
}

impl Device {
    /// Reads sysfs and udev's database; a missing property is `None`.
    pub fn read(interface: &InterfaceName) -> Device {
        let folder = Path::new("/sys/class/net").join(interface.as_str());
        let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        let driver = fs::read_link(folder.join("device/driver")).ok();
        let driver = driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let database = fs::read_to_string(format!("/run/udev/data/n{}", text("ifindex").trim())).unwrap_or_default();
        let kind = value(&text("uevent"), "DEVTYPE=");
        // ARPHRD_ETHER of if_arp.h.
        let kind = kind.or_else(|| (text("type").trim() == "1").then(|| "ether".to_owned()));
        Device { driver, path: value(&database, "E:ID_PATH="), kind }
    }
}

fn value(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned)
}

/// The `.link` files of this machine in the order in which systemd-udevd tries them. Of two files with one name, the one
/// in the folder of higher priority counts; a link to `/dev/null` masks it.
pub fn link_files() -> Result<Vec<Source>> {
    let mut files = BTreeMap::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "link") {
                files.entry(entry.file_name()).or_insert(path);
            }
        }
    }
    let is_masked = |path: &Path| path.canonicalize().is_ok_and(|target| target == Path::new("/dev/null"));
    files.values().filter(|path| !is_masked(path)).map(|path| Source::read_regular(path)).collect()
}
