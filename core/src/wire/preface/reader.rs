use alloc::string::String;

use bytes::{Buf, BytesMut};

use super::{InvalidPreface, PrefaceField};
use crate::wire::InvalidVarint;
use crate::wire::varint;

/// Why reading stopped before the end of a preface.
pub(super) enum Stop {
    Incomplete,
    Invalid(InvalidPreface),
}

impl From<InvalidPreface> for Stop {
    fn from(error: InvalidPreface) -> Self {
        Self::Invalid(error)
    }
}

/// A preface is short, so reading it again from its start whenever more arrives costs nothing.
pub(super) fn decode<T>(
    buffer: &mut BytesMut,
    magic: &[u8],
    fields: impl FnOnce(&mut Reader<'_>) -> Result<T, Stop>,
) -> Result<Option<T>, InvalidPreface> {
    let mut reader = Reader { rest: buffer };
    let read = reader.magic(magic).and_then(|()| fields(&mut reader));
    let left = reader.rest.len();
    match read {
        Ok(preface) => {
            buffer.advance(buffer.len() - left);
            Ok(Some(preface))
        }
        Err(Stop::Incomplete) => Ok(None),
        Err(Stop::Invalid(error)) => Err(error),
    }
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A wrong byte is told at once: whoever speaks another protocol may not send any more.
    fn magic(&mut self, magic: &[u8]) -> Result<(), Stop> {
        if let Some(position) = self.rest.iter().zip(magic).position(|(got, want)| got != want) {
            return Err(InvalidPreface::Magic { position }.into());
        }
        self.take(magic.len()).map(|_| ())
    }

    pub(super) fn number(&mut self, field: PrefaceField) -> Result<u64, Stop> {
        let (value, len) = match varint::read_unsigned(self.rest) {
            Ok(number) => number,
            Err(InvalidVarint::Truncated) => return Err(Stop::Incomplete),
            Err(source) => return Err(InvalidPreface::Varint { field, source }.into()),
        };
        if varint::is_padded(value, len) {
            return Err(InvalidPreface::Padded { field }.into());
        }
        self.take(len).map(|_| value)
    }

    pub(super) fn status(&mut self) -> Result<u16, Stop> {
        let status = self.number(PrefaceField::Status)?;
        u16::try_from(status).map_err(|_| InvalidPreface::Status { status }.into())
    }

    pub(super) fn text(&mut self, field: PrefaceField, limit: usize) -> Result<String, Stop> {
        let announced = self.number(field)?;
        let length = usize::try_from(announced).ok().filter(|&length| length <= limit);
        let length = length.ok_or(InvalidPreface::TooLong { field, length: announced, limit })?;
        let text = str::from_utf8(self.take(length)?);
        Ok(text.map_err(|_| InvalidPreface::NotUtf8 { field })?.into())
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Stop> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Stop::Incomplete)?;
        self.rest = rest;
        Ok(taken)
    }
}
