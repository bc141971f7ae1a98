//! Frames of a link: parsed as replies, and dissected with a name for each byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scanlab::wire::dissect::{LinkKind, dissect};
use scanlab::wire::reply::Reply;

fuzz_target!(|frame: &[u8]| {
    if let Some(reply) = Reply::from_ethernet(frame) {
        let _ = reply.flow().is_some_and(|flow| reply.answers(&flow, 0));
    }
    let _ = Reply::from_ip(frame);
    for link in [LinkKind::Ethernet, LinkKind::Ip] {
        let mut named = vec![false; frame.len()];
        for layer in dissect(frame, link) {
            for field in &layer.fields {
                assert!(!field.bytes.is_empty(), "{field:?}");
                assert!(layer.bytes.start <= field.bytes.start && field.bytes.end <= layer.bytes.end, "{field:?}");
                named[field.bytes.clone()].fill(true);
            }
        }
        assert!(named.iter().all(|named| *named), "a byte of no name");
    }
});
