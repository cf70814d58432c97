//! Frames that no end may send.

use crate::schedule::{BrokenFrames, Opening, Transport, unsigned};

/// More than any message may have.
const HUGE: u64 = 1 << 40;

/// More fragments of this length than a message may have together.
const FRAGMENT: u16 = 4000;
const FRAGMENTS: usize = 20;

/// How many bytes of frames come after a greeting. A greeting is short.
pub(in crate::turmoil_world) fn length(opening: &Opening) -> u64 {
    match opening {
        Opening::Frames { frames } => broken(frames, Transport::WebSocket).len() as u64,
        _ => 0,
    }
}

/// The first bytes of a greeting, never all.
pub(super) fn part(greeting: &[u8], bytes: u16) -> &[u8] {
    let most = greeting.len().saturating_sub(1);
    greeting.get(..most.min(bytes.into())).unwrap_or_default()
}

/// The bytes of broken frames.
pub(super) fn broken(frames: &BrokenFrames, transport: Transport) -> Vec<u8> {
    match (frames, transport) {
        (BrokenFrames::Garbage { bytes }, _) => bytes.clone(),
        (frames, Transport::WebSocket) => of_web_socket(frames),
        (frames, Transport::ByteStream) => of_byte_stream(frames),
    }
}

fn of_web_socket(frames: &BrokenFrames) -> Vec<u8> {
    match frames {
        BrokenFrames::Opcode => vec![0x83, 0],
        BrokenFrames::ReservedBits => vec![0xf2, 1, 0],
        BrokenFrames::Length => [vec![0x82, 127], HUGE.to_be_bytes().to_vec()].concat(),
        BrokenFrames::Unfinished => vec![0x82, 100, 0, 0, 0],
        BrokenFrames::Fragments => fragments(),
        BrokenFrames::LongControl => [vec![0x89, 126, 0, 126], vec![0; 126]].concat(),
        BrokenFrames::Masked => vec![0x82, 0x84, 1, 2, 3, 4, 0xfe, 0xfd, 0xfc, 0xfb],
        BrokenFrames::Garbage { bytes } => bytes.clone(),
    }
}

/// A first fragment and more of them, none of which is the last.
fn fragments() -> Vec<u8> {
    let fragment = |opcode: u8| {
        let head = [opcode, 126].into_iter().chain(FRAGMENT.to_be_bytes());
        head.chain((0..FRAGMENT).map(|_| 0)).collect()
    };
    let rest: Vec<u8> = fragment(0);
    [fragment(2), rest.repeat(FRAGMENTS)].concat()
}

/// There is a length in front of a message, and nothing else that could be broken.
fn of_byte_stream(frames: &BrokenFrames) -> Vec<u8> {
    let mut out = Vec::new();
    match frames {
        BrokenFrames::Unfinished => unsigned(100, &mut out),
        BrokenFrames::Opcode | BrokenFrames::Masked => out.extend([3, 0xff, 0xff, 0xff]),
        // A number that has no end.
        BrokenFrames::ReservedBits => out.extend([0xff; 12]),
        _ => unsigned(HUGE, &mut out),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_more_than_a_message_may_have_and_none_is_the_last() {
        let bytes = fragments();
        assert!(bytes.len() > 64 << 10);
        assert!(bytes.chunks(4 + usize::from(FRAGMENT)).all(|frame| frame[0] & 0x80 == 0));
    }

    #[test]
    fn a_part_is_never_the_whole() {
        assert_eq!(part(b"hello", 2), b"he");
        assert_eq!(part(b"hello", 5), b"hell");
        assert_eq!(part(b"", 1), b"");
    }

    #[test]
    fn what_is_unfinished_has_less_than_it_says() {
        let unfinished = BrokenFrames::Unfinished;
        assert_eq!(broken(&unfinished, Transport::WebSocket), [0x82, 100, 0, 0, 0]);
        assert_eq!(broken(&unfinished, Transport::ByteStream), [100]);
    }
}
