//! The codec on every short input there is: what fuzzers and properties only sample.

use std::ops::RangeInclusive;
use std::thread;

use watertight_fuzz::framing::{self, Stream};
use watertight_fuzz::message;

/// The types of both dialects, and the first ones beside them that neither knows.
const TYPES: [u8; 20] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41];

/// Those of them whose payload is read byte by byte: it is not empty, not taken as it is, and its
/// type is known.
const READ: [u8; 13] = [2, 3, 4, 5, 8, 32, 33, 35, 36, 37, 38, 39, 40];

/// Third bytes: a number continues after a byte of 0x80 and more. The bytes between these are read like their
/// neighbours.
const ENDINGS: [RangeInclusive<u8>; 3] = [0..=7, 0x78..=0x87, 0xf8..=0xff];

/// Calls `check` with every string of bytes that is `head` and at most `more` bytes.
fn each(head: &mut Vec<u8>, more: usize, check: &impl Fn(&[u8])) {
    check(head);
    if more > 0 {
        for byte in 0..=u8::MAX {
            head.push(byte);
            each(head, more - 1, check);
            head.pop();
        }
    }
}

fn check_framing(bytes: &[u8]) {
    // So short a limit that lengths are on both sides of it.
    framing::check(&Stream { limit: 130, pieces: &[1], bytes });
}

/// Every payload of at most so many bytes, of messages of these types about a connection.
fn each_payload(types: &[u8], connection: u8, most: usize) {
    for kind in types {
        let zig_zag = |number: u8| number * 2;
        each(&mut vec![0, zig_zag(connection), zig_zag(*kind)], most, &message::run);
    }
}

/// Every payload of two bytes and an ending, of messages of these types about connection 1.
fn each_payload_and_ending(types: &[u8]) {
    for kind in types {
        each(&mut vec![0, 2, kind * 2], 2, &|bytes| {
            for ending in ENDINGS.into_iter().flatten().filter(|_| bytes.len() == 5) {
                message::run(&[bytes, &[ending]].concat());
            }
        });
    }
}

#[test]
fn every_string_of_up_to_two_bytes() {
    each(&mut Vec::new(), 2, &message::run);
    each(&mut Vec::new(), 2, &check_framing);
    each_payload(&TYPES, 0, 1);
    each_payload(&TYPES, 1, 1);
}

#[test]
#[ignore = "takes half a minute with the profile `checked`, in which CI runs it"]
fn every_string_of_up_to_three_bytes_and_payloads_of_as_many_that_are_read() {
    let (some, others) = READ.split_at(READ.len() / 2);
    thread::scope(|scope| {
        scope.spawn(|| {
            each(&mut Vec::new(), 3, &message::run);
            each_payload(&TYPES, 0, 2);
            each_payload(&TYPES, 1, 2);
            each_payload_and_ending(some);
        });
        scope.spawn(|| {
            each(&mut Vec::new(), 3, &check_framing);
            each_payload_and_ending(others);
        });
    });
}
