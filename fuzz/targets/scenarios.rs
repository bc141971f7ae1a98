//! TOML files: a scenario or a sensor. If one is accepted, it can be planned, and the ruleset generated from it has no
//! rule that a name inserted.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use scanlab::error::{Error, Result, Source};
use scanlab::intent::expect::{self, Author};
use scanlab::intent::scenario::Scenario;
use scanlab::net::Family;
use scanlab::rules::generate;
use scanlab::rules::iptables_save::Listing;
use scanlab::sensor::{Sensor, SensorFile};
use scanlab::text::escape;

fuzz_target!(|text: &str| {
    let source = Source { name: "scenario.toml".into(), text: Arc::from(text) };
    // `ssh = "auto"` would read a file of this machine.
    if text.contains("auto") {
        return;
    }
    let rules = |_: &Path| Ok(Source { name: "rules".into(), text: Arc::from("*filter\nCOMMIT\n") });
    let scenario = Scenario::parse_with(source.clone(), &rules);
    if let Ok(Scenario { sensor: Some(sensor), host, .. }) = &scenario {
        holds_its_own_rules_only(sensor);
        for author in [Author::Sensor, Author::Other] {
            let _ = expect::expectations(sensor, host, author);
        }
    }
    fit_to_print(scenario);
    fit_to_print(SensorFile::parse(source));
});

fn holds_its_own_rules_only(sensor: &Sensor) {
    let generated = generate::generate(sensor);
    for (family, text) in [(Family::Ipv4, generated.v4), (Family::Ipv6, generated.v6)] {
        let listing = Listing::parse(family, &Source { name: "generated".into(), text: Arc::from(text.as_str()) });
        let prefixes: Vec<String> = listing.rules().filter_map(|rule| rule.log_prefix()).collect();
        assert!(prefixes.iter().all(|prefix| prefix.starts_with(&sensor.prefix)), "{prefixes:?}");
        assert_eq!(text.matches("-j LOG").count(), prefixes.len(), "{text}");
    }
}

fn fit_to_print<T>(result: Result<T>) {
    if let Err(Error::Input(error)) = result {
        let shown = error.to_string();
        assert!(!shown.contains(|c| escape::is_terminal_control(c) && c != '\n'), "{shown:?}");
    }
}
