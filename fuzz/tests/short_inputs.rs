//! The codec on every short input there is: what fuzzers and properties only sample.

use std::thread;

use watertight_fuzz::framing::{self, Stream};
use watertight_fuzz::message;

/// The types of both dialects, and the first ones beside them that neither knows.
const TYPES: [u8; 20] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41];

/// Those of them whose payload is read byte by byte: it is not empty, not taken as it is, and its
/// type is known.
const READ: [u8; 13] = [2, 3, 4, 5, 8, 32, 33, 35, 36, 37, 38, 39, 40];

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

#[test]
fn every_string_of_up_to_two_bytes() {
    each(&mut Vec::new(), 2, &message::run);
    each(&mut Vec::new(), 2, &check_framing);
    each_payload(&TYPES, 0, 1);
    each_payload(&TYPES, 1, 1);
}

#[test]
#[ignore = "takes two minutes with the profile `checked`, in which CI runs it"]
fn every_string_of_up_to_three_bytes_and_every_payload_of_as_many_that_is_read() {
    let (some, others) = READ.split_at(READ.len() / 2);
    thread::scope(|scope| {
        scope.spawn(|| {
            each(&mut Vec::new(), 3, &message::run);
            each_payload(&TYPES, 0, 2);
            each_payload(&TYPES, 1, 2);
            each_payload(some, 1, 3);
        });
        scope.spawn(|| {
            each(&mut Vec::new(), 3, &check_framing);
            each_payload(others, 1, 3);
        });
    });
}
