use scanlab::error::Source;
use scanlab::findings::{Subject, measure};
use scanlab::lab::{Flavour, HOST_MAC, Iptables};
use scanlab::net::{Addresses, Family, InterfaceName};
fn main() {
    let iptables = Iptables::find(Flavour::Nft, &std::env::var("PATH").unwrap_or_default()).expect("iptables");
    let args: Vec<String> = std::env::args().skip(1).collect();
    for pair in args.chunks(1) {
        let path = &pair[0];
        let family = if path.ends_with("v6") { Family::Ipv6 } else { Family::Ipv4 };
        let source = Source::read(path.as_ref()).unwrap();
        let rulesets = [(family, &source)];
        let subject = Subject {
            iptables: &iptables,
            interface: &InterfaceName::default(),
            mac: HOST_MAC,
            addresses: &Addresses::default(),
            rulesets: &rulesets,
        };
        let start = std::time::Instant::now();
        match measure(&subject) {
            Ok(findings) => println!("{}", serde_json::to_string_pretty(&findings).unwrap()),
            Err(error) => println!("ERROR {error}"),
        }
        println!("{:?}", start.elapsed());
    }
}
