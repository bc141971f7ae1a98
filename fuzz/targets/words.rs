//! Values of one word or line: ports, packets, flags, techniques, addresses, names. An accepted value is printed in a
//! form that is parsed to the same value.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use scanlab::intent::scenario::Packet;
use scanlab::net::port::PortSet;
use scanlab::net::port_selection::PortSelection;
use scanlab::net::services_file::ServicesFile;
use scanlab::net::{InterfaceName, Mac};
use scanlab::probe::scan::Technique;
use scanlab::wire::tcp_flags::TcpFlags;

fuzz_target!(|text: &str| {
    comes_back::<PortSet>(text);
    comes_back::<Packet>(text);
    comes_back::<Mac>(text);
    let _ = (text.parse::<Technique>(), text.parse::<TcpFlags>());
    if let Ok(name) = text.parse::<InterfaceName>() {
        assert!(!name.as_str().contains(['/', ' ']) && name.as_str().len() <= 15);
    }
    if let Ok(selection) = text.parse::<PortSelection>() {
        let _ = selection.tcp_by_default().resolve(&ServicesFile::parse("http 80/tcp 0.5\ndomain 53/udp 0.2\n"));
    }
});

fn comes_back<T: FromStr + Display + Debug + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse::<T>().ok(), Some(value), "{text:?}");
    }
}
