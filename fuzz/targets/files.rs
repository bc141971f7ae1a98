//! Other files: a systemd `.link` file, the configuration of sshd, lists of vendors, nmap's list of services.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use scanlab::error::{Error, Result, Source};
use scanlab::net::port::Port;
use scanlab::net::services_file::ServicesFile;
use scanlab::net::{Mac, Protocol};
use scanlab::sensor::mac_vendor::VendorDb;
use scanlab::sensor::{LinkFile, ports_of_sshd};
use scanlab::text::escape;

/// A folder of this process alone.
static FOLDER: LazyLock<String> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("scanlab-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder.to_str().expect("UTF-8").to_owned()
});

fuzz_target!(|text: &str| {
    let source = Source { name: "file".into(), text: Arc::from(text) };
    if let Ok(link) = LinkFile::parse(&source) {
        assert!(link.mac.is_assignable());
    }
    fit_to_print(LinkFile::parse(&source));
    fit_to_print(ports(text));
    let vendors = VendorDb::from_file(&source);
    if let Ok(vendors) = &vendors {
        let _ = vendors.lookup(Mac([0x02, 0x11, 0x22, 0x33, 0x44, 0x66]));
    }
    fit_to_print(vendors);
    let services = ServicesFile::parse(text);
    let _ = (services.name_of(Protocol::Tcp, Port(80)), services.most_frequent(Protocol::Tcp, 10));
});

/// Files outside of the folder are not included.
fn ports(text: &str) -> Result<Vec<Port>> {
    let path = Path::new(&*FOLDER).join("sshd_config");
    fs::write(&path, text.replace('/', "_").replace("..", "_")).expect("write the file");
    ports_of_sshd(&path)
}

fn fit_to_print<T>(result: Result<T>) {
    if let Err(Error::Input(error)) = result {
        let shown = error.to_string();
        assert!(!shown.contains(|c| escape::is_terminal_control(c) && c != '\n'), "{shown:?}");
    }
}
