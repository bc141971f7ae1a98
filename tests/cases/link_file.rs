//! The effect of a `.link` file, as systemd.link(5) defines it.

use serde_json::Value;

use super::{facts, scanlab};

fn check(arguments: &[&str]) -> Value {
    let arguments = [&["check", "--sensor", "sensor.toml", "--format", "json"], arguments].concat();
    scanlab("link-file", &arguments).report()
}

/// The facts about the file, as `tone: text`.
fn judged(file: &str) -> Vec<String> {
    let mut facts = facts(&check(&["--link", file]), "disguise");
    facts.retain(|fact| fact.contains(".link"));
    facts
}

fn has(facts: &[String], start: &str, part: &str) -> bool {
    facts.iter().any(|fact| fact.starts_with(start) && fact.contains(part))
}

#[test]
fn a_file_that_sorts_after_the_default_has_no_effect() {
    let facts = judged("99-mac.link");
    assert!(has(&facts, "bad: 99-mac.link sorts after", "99-default.link"), "{facts:#?}");
    assert!(!has(&facts, "good", ""), "{facts:#?}");
}

#[test]
fn a_file_with_a_small_number_takes_effect() {
    for file in ["00-good.link", "00-name.link", "00-not.link"] {
        let facts = judged(file);
        assert!(has(&facts, "good", "gives 00:0c:29:4f:8e:35") && !has(&facts, "bad", ""), "{file}: {facts:#?}");
    }
}

#[test]
fn a_key_of_network_files_is_no_condition() {
    let facts = judged("10-match-name.link");
    assert!(has(&facts, "note: 10-match-name.link:2: ", "Name= is not a key of [Match]"), "{facts:#?}");
    assert!(has(&facts, "bad: 10-match-name.link: ", "no valid condition"), "{facts:#?}");
}

#[test]
fn a_file_for_another_interface_is_not_applied_without_live_too() {
    for file in ["10-wlan.link", "10-inverted.link"] {
        let facts = judged(file);
        assert!(has(&facts, &format!("bad: {file}:2: "), "does not match eth0"), "{file}: {facts:#?}");
    }
}

#[test]
fn a_condition_on_the_device_is_unknown_off_the_machine() {
    for file in ["10-path.link", "10-driver.link", "10-host.link"] {
        let facts = judged(file);
        assert!(has(&facts, &format!("unknown: {file}:2: "), "not known here"), "{file}: {facts:#?}");
        assert!(!has(&facts, "good", ""), "{file}: {facts:#?}");
    }
}

#[test]
fn a_file_without_the_suffix_is_not_read_by_systemd() {
    let facts = judged("00-mac.link.txt");
    assert!(has(&facts, "bad: 00-mac.link.txt: ", "names end in .link"), "{facts:#?}");
}

#[test]
fn a_file_that_sorts_after_the_one_for_usb_adapters_is_noted() {
    let facts = judged("80-mac.link");
    assert!(has(&facts, "note: 80-mac.link sorts after", "73-usb-net-by-mac.link"), "{facts:#?}");
}

#[test]
fn the_file_that_the_sensor_names_is_judged_too() {
    let report = scanlab("link-file", &["check", "--sensor", "linked.toml", "--format", "json"]).report();
    let facts = facts(&report, "disguise");
    assert!(has(&facts, "bad: ", "sorts after"), "{facts:#?}");
}

#[test]
fn a_sensor_without_a_mac_is_not_checked() {
    let report = check(&[]);
    let answers = report["answers"].as_array().unwrap();
    let answer = answers.iter().find(|answer| answer["question"] == "disguise").unwrap();
    assert_eq!(answer["answer"], "Not checked.");
    assert!(has(&facts(&report, "disguise"), "note: not checked: no MAC is set; a Raspberry Pi shows its own", ""));
}
