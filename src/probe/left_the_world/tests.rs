use super::*;

fn words(text: &str, is_stolen: bool) -> Option<String> {
    LeftTheWorld::by(text, is_stolen).map(|left| left.to_string())
}

#[test]
fn a_queue_that_kept_the_packet_is_named_with_its_number() {
    let kept = |text| words(text, true);
    assert_eq!(kept("-A INPUT -p tcp -j NFQUEUE").as_deref(), Some("queued to NFQUEUE 0"));
    assert_eq!(kept("-A INPUT -j NFQUEUE --queue-num 3").as_deref(), Some("queued to NFQUEUE 3"));
    assert_eq!(kept("-A INPUT -j NFQUEUE --queue-balance 2:5").as_deref(), Some("queued to NFQUEUE 2:5"));
    assert_eq!(words("-A INPUT -j NFQUEUE --queue-num 3", false), None);
}

#[test]
fn a_proxy_is_named_with_what_the_rule_says_of_it() {
    let left = |text| words(text, false);
    let whole = "-A PREROUTING -p tcp -j TPROXY --on-port 3129 --on-ip 192.0.2.1 --tproxy-mark 0x1/0x1";
    assert_eq!(left(whole).as_deref(), Some("tproxy to 192.0.2.1:3129"));
    let no_address = "-A PREROUTING -p tcp -j TPROXY --on-port 3129 --on-ip 0.0.0.0 --tproxy-mark 0x1/0x1";
    assert_eq!(left(no_address).as_deref(), Some("tproxy to port 3129"));
    assert_eq!(left("-A INPUT -j DROP"), None);
}

#[test]
fn an_ipv6_address_with_a_port_stands_in_brackets() {
    let left = LeftTheWorld::Forwarded { to: "2001:db8::2".parse().expect("an address"), port: Some(Port(80)) };
    assert_eq!(left.to_string(), "forwarded to [2001:db8::2]:80");
}

#[test]
fn addresses_of_the_host_and_of_groups_are_not_foreign() {
    let addresses = Addresses::default();
    let own = ["203.0.113.10", "127.0.0.1", "203.0.113.255", "255.255.255.255", "224.0.0.1", "2001:db8:113::10", "::1"];
    for address in own {
        assert!(!is_foreign(address.parse().expect("an address"), &addresses), "{address}");
    }
    for address in ["172.17.0.2", "203.0.113.11", "2001:db8:113::11", "fd00::2"] {
        assert!(is_foreign(address.parse().expect("an address"), &addresses), "{address}");
    }
}
