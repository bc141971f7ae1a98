use scanlab::error::Source;
use scanlab::iptables_save::Listing;
use scanlab::lab::*;
use scanlab::net::*;
use scanlab::sweep::Plan;
fn main() {
    let iptables = Iptables::find(Flavour::Nft, &std::env::var("PATH").unwrap_or_default()).expect("iptables");
    for path in std::env::args().skip(1) {
        let family = if path.ends_with("v6") { Family::Ipv6 } else { Family::Ipv4 };
        let source = Source::read(path.as_ref()).unwrap();
        let addresses = Addresses::default();
        let mut plan = Plan::of(&Listing::parse(family, &source), &addresses);
        let services: Vec<Service> = plan.services().iter().map(|port| Service { port, greeting: None }).collect();
        let blueprint = Blueprint {
            iptables: &iptables,
            interface: &InterfaceName::default(),
            mac: HOST_MAC,
            addresses: &addresses,
            services: &services,
            rulesets: &[(family, &source)],
            watch: Watch::Paths,
            fault: None,
        };
        let start = std::time::Instant::now();
        Lab::run(&blueprint, |lab| {
            println!("lab stands: {:?}", start.elapsed());
            let stimuli = plan.stimuli();
            let fresh: Vec<_> = stimuli.iter().copied().filter(|s| s.lead == scanlab::sweep::Lead::None).collect();
            for _ in 0..5 {
                for (name, set) in [("all", &stimuli), ("fresh", &fresh)] {
                    let start = std::time::Instant::now();
                    let r = lab.sweep(set, &plan.strangers(), Limits::Wide)?;
                    let t = start.elapsed();
                    let j: usize = r.iter().map(|r| r.journeys().count()).sum();
                    println!(
                        "{name} {} stimuli, {j} journeys, {t:?}, {:.0}/s, {:.0} packets/s",
                        r.len(),
                        r.len() as f64 / t.as_secs_f64(),
                        j as f64 / t.as_secs_f64()
                    );
                }
            }
            let r = lab.sweep(&stimuli, &plan.strangers(), Limits::Wide)?;
            let more = plan.in_connections(&stimuli, &r);
            println!("{} in connections", more.len());
            Ok(())
        })
        .unwrap();
    }
}
