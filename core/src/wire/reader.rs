use super::{Field, InvalidMessage, varint};

/// Reads the fields of a message from its start.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    pub(super) const fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    #[inline]
    pub(super) fn signed(&mut self, field: Field) -> Result<i64, InvalidMessage> {
        let (value, len) = varint::read_signed(self.rest)
            .map_err(|source| InvalidMessage::Varint { field, source })?;
        self.rest = self.rest.get(len..).unwrap_or_default();
        Ok(value)
    }

    pub(super) fn non_negative(&mut self, field: Field) -> Result<u64, InvalidMessage> {
        let value = self.signed(field)?;
        u64::try_from(value).map_err(|_| InvalidMessage::Negative { field, value })
    }

    #[inline]
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The end of a message of the extension, after which nothing may come.
    pub(super) const fn end(&self, kind: i64) -> Result<(), InvalidMessage> {
        match self.rest.len() {
            0 => Ok(()),
            length => Err(InvalidMessage::Trailing { kind, length }),
        }
    }
}
