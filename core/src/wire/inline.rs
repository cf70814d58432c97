use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::Deref;

/// At most `N` bytes, held without an allocation.
#[derive(Clone, Copy)]
pub struct Inline<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Inline<N> {
    pub(super) const fn new() -> Self {
        Self { bytes: [0; N], len: 0 }
    }

    /// `N` is chosen for the longest content, so a byte that does not fit is a bug of this crate.
    #[inline]
    pub(super) fn push(&mut self, byte: u8) {
        debug_assert!(self.len < N, "the inline buffer is too small");
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.push(byte);
        }
    }
}

impl<const N: usize> Deref for Inline<N> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl<const N: usize> AsRef<[u8]> for Inline<N> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<const N: usize> PartialEq for Inline<N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<const N: usize> Eq for Inline<N> {}

impl<const N: usize> Hash for Inline<N> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<const N: usize> fmt::Debug for Inline<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(bytes: &[u8]) -> Inline<4> {
        let mut inline = Inline::new();
        inline.extend(bytes);
        inline
    }

    #[test]
    fn what_is_equal_has_the_same_bytes() {
        assert_eq!(holding(b"ab"), holding(b"ab"));
        assert_ne!(holding(b"ab"), holding(b"ac"));
        assert_ne!(holding(b"a"), holding(b"a\0"));
    }
}
