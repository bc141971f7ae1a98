use super::*;

#[test]
fn a_probe_without_an_answer_is_a_mistake_where_one_is_expected() {
    let (probes, expected): (Vec<Probe>, Vec<ProbeOutcome>) =
        probes(&[Family::Ipv4], Addresses::default(), World::Whole).into_iter().unzip();
    let silent: Vec<Observation> = probes.iter().map(|probe| Observation::silence(probe.technique)).collect();
    let mistakes = mistakes(&probes, &expected, &silent);
    // For probes whose correct result is no reply, the log line is missing.
    assert_eq!(mistakes.len(), ROWS.len());
    assert_eq!(
        mistakes[2].to_string(),
        "ipv4 syn 80: expected filtered no-response and a line, observed filtered no-response"
    );
}

#[test]
fn the_ruleset_logs_what_is_looked_for() {
    assert!(RULESET.contains(&format!("--log-prefix \"{PREFIX}\"")));
}

#[test]
fn a_packet_that_left_the_world_is_a_mistake_where_it_looks_filtered() {
    for family in Family::BOTH {
        let (technique, port, look) = *World::Left.rows(family).last().expect("a row");
        let probe = PassNumbering::new(SEED).phase(technique, family, Addresses::default()).probe(port, 0);
        let silence = Observation::silence(technique);
        assert!(
            mistake(&probe, look, (&silence).into())
                .is_some_and(|mistake| mistake.to_string().contains("forwarded to"))
        );
    }
}

#[test]
fn no_two_probes_share_their_ports() {
    let probes = probes(&Family::BOTH, Addresses::default(), World::Left);
    let flows: std::collections::HashSet<_> = probes.iter().map(|(probe, _)| probe.flow).collect();
    assert_eq!(flows.len(), probes.len());
}
