//! Messages on a byte stream: each has its length in front, as unsigned LEB128.

use bytes::{Buf, Bytes, BytesMut};

use super::encode::Inline;
use super::varint::{self, InvalidVarint};

/// The longest message that a length of four bytes can tell.
pub const MAX_FRAME: usize = (1 << (7 * MAX_PREFIX)) - 1;

const MAX_PREFIX: usize = 4;

/// The length in front of a message.
pub type FramePrefix = Inline<{ varint::MAX_LEN }>;

/// How the remote's framing breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidFrame {
    /// A message has no bytes.
    #[error("the remote sent an empty message")]
    Empty,
    /// A message is longer than this end takes.
    #[error("the remote announced a message of {length} bytes, the limit is {limit}")]
    TooLong {
        /// Its bytes.
        length: u64,
        /// The largest that this end takes.
        limit: usize,
    },
    /// A length takes more than four bytes.
    #[error("the remote sent a length of more than {MAX_PREFIX} bytes")]
    PrefixTooLong,
    /// A length takes more bytes than it needs.
    #[error("the remote padded the length of a message")]
    PrefixPadded,
}

/// Takes the next message off the front of `buffer`, without copying it.
///
/// `None` while the message is incomplete; `buffer` is then as it was. How much room the rest of it
/// gets is for the caller to say: a length alone, which costs its sender nothing, must not take the
/// memory of a message.
///
/// # Errors
///
/// The remote broke the protocol, and where its next message starts is unknown.
pub fn decode_frame(
    buffer: &mut BytesMut,
    max_message: usize,
) -> Result<Option<Bytes>, InvalidFrame> {
    let Some((length, prefix)) = read_prefix(buffer)? else {
        return Ok(None);
    };
    let length = check_length(length, max_message)?;
    if buffer.len() < prefix + length {
        return Ok(None);
    }
    buffer.advance(prefix);
    Ok(Some(buffer.split_to(length).freeze()))
}

/// The length to send in front of a message of `len` bytes.
///
/// A receiver refuses what is longer than [`MAX_FRAME`].
#[must_use]
#[inline]
pub fn frame_prefix(len: usize) -> FramePrefix {
    let mut prefix = FramePrefix::new();
    varint::write_unsigned(len.try_into().unwrap_or(u64::MAX), |byte| prefix.push(byte));
    prefix
}

/// The length and how many bytes it takes; `None` while it is incomplete.
fn read_prefix(buffer: &[u8]) -> Result<Option<(u64, usize)>, InvalidFrame> {
    let head = buffer.get(..MAX_PREFIX).unwrap_or(buffer);
    match varint::read_unsigned(head) {
        Ok((length, bytes)) if varint::is_padded(length, bytes) => Err(InvalidFrame::PrefixPadded),
        Ok(prefix) => Ok(Some(prefix)),
        Err(InvalidVarint::Truncated) if head.len() < MAX_PREFIX => Ok(None),
        Err(_) => Err(InvalidFrame::PrefixTooLong),
    }
}

fn check_length(length: u64, limit: usize) -> Result<usize, InvalidFrame> {
    match usize::try_from(length) {
        Ok(0) => Err(InvalidFrame::Empty),
        Ok(length) if length <= limit => Ok(length),
        _ => Err(InvalidFrame::TooLong { length, limit }),
    }
}
