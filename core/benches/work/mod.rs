//! The work of the benchmarks: each piece has a preparation and a step.

mod pair;

use std::fmt;
use std::hint::black_box;

use bytes::Bytes;
use watertight_core::ConnectionId;
use watertight_core::wire::{Body, DecodeLimits, Dialect, Message};

use pair::Pair;

/// A small message, such as a request of an RPC.
const SMALL: usize = 64;

/// A full Data message.
const FULL: usize = 16 << 10;

/// Connections of a large session.
const MANY: usize = 10_000;

/// A piece of work.
#[derive(Clone, Copy)]
pub(crate) struct Work {
    pub(crate) name: &'static str,
    /// Makes what it begins with, and returns its step.
    pub(crate) begin: fn() -> Box<dyn FnMut()>,
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// All of it.
pub(crate) const ALL: [Work; 11] = [
    Work { name: "decode_64_b", begin: || decode(SMALL) },
    Work { name: "decode_16_kib", begin: || decode(FULL) },
    Work { name: "encode_64_b", begin: || encode(SMALL) },
    Work { name: "encode_16_kib", begin: || encode(FULL) },
    Work { name: "carry_64_b", begin: || carry(SMALL, Dialect::Extended) },
    Work { name: "carry_64_b_base", begin: || carry(SMALL, Dialect::Base) },
    Work { name: "carry_1_mib", begin: carry_mebibyte },
    Work { name: "carry_20_kib_on_100_at_once", begin: carry_at_once },
    Work { name: "open_accept_close", begin: open_accept_close },
    Work { name: "carry_64_b_beside_10000_idle", begin: || beside_idle(1) },
    Work { name: "carry_64_b_on_10_beside_10000_idle", begin: || beside_idle(10) },
];

/// Opens connections of a large session; they have carried something and do nothing.
#[allow(dead_code, reason = "one of the benchmarks measures it")]
pub(crate) fn idle_connections() -> (impl Sized, usize) {
    let mut pair = Pair::new(Dialect::Extended, MANY);
    for _ in 0..MANY {
        let id = pair.open();
        pair.carry(id, &payload(SMALL));
    }
    (pair, MANY)
}

fn payload(length: usize) -> Bytes {
    Bytes::from(vec![7; length])
}

fn data(length: usize) -> Message {
    let body = Body::Data { deadline: 0, payload: payload(length) };
    Message::new(Pair::new(Dialect::Extended, 1).open(), body)
}

fn decode(length: usize) -> Box<dyn FnMut()> {
    let (bytes, limits) = (data(length).encode().to_bytes(), DecodeLimits::default());
    Box::new(move || {
        let message = Message::decode(black_box(bytes.clone()), Dialect::Extended, &limits);
        drop(black_box(message));
    })
}

fn encode(length: usize) -> Box<dyn FnMut()> {
    let message = data(length);
    Box::new(move || drop(black_box(black_box(&message).encode())))
}

/// Bytes written at one end and read at the other.
fn carry(length: usize, dialect: Dialect) -> Box<dyn FnMut()> {
    let mut pair = Pair::new(dialect, 1);
    let (id, payload) = (pair.open(), payload(length));
    Box::new(move || pair.carry(id, &payload))
}

fn carry_mebibyte() -> Box<dyn FnMut()> {
    let mut pair = Pair::new(Dialect::Extended, 1);
    // As a read of a socket gives it.
    let (id, payload) = (pair.open(), payload(64 << 10));
    Box::new(move || (0..16).for_each(|_| pair.carry(id, &payload)))
}

/// All of them stand in the schedule together, and take more than one turn.
fn carry_at_once() -> Box<dyn FnMut()> {
    let mut pair = Pair::new(Dialect::Extended, 100);
    let ids: Vec<ConnectionId> = (0..100).map(|_| pair.open()).collect();
    let payload = payload(20 << 10);
    Box::new(move || pair.carry_all(&ids, &payload))
}

fn open_accept_close() -> Box<dyn FnMut()> {
    let mut pair = Pair::new(Dialect::Extended, 1);
    Box::new(move || {
        let id = pair.open();
        pair.close(id);
    })
}

fn beside_idle(busy: usize) -> Box<dyn FnMut()> {
    let mut pair = Pair::new(Dialect::Extended, MANY);
    let ids: Vec<ConnectionId> = (0..MANY).map(|_| pair.open()).collect();
    let busy: Vec<ConnectionId> = ids.iter().step_by(MANY / busy).copied().collect();
    let payload = payload(SMALL);
    Box::new(move || pair.carry_all(&busy, &payload))
}
