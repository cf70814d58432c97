//! What all sessions of the program may hold, in the operator's words.

use std::str::FromStr;

use bytesize::ByteSize;
use watertight::Buffers;

/// Bytes that may wait in all sessions together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaxBuffered(u64);

/// Less is used up by a few connections that do nothing wrong.
const LEAST: u64 = 1 << 20;

impl MaxBuffered {
    /// A server's: of many sessions.
    pub(crate) const OF_SERVER: Self = Self(1 << 30);

    /// An agent's, which has one session and may be on a small machine.
    pub(crate) const OF_AGENT: Self = Self(256 << 20);

    pub(crate) fn buffers(self) -> Buffers {
        Buffers::new(self.0)
    }
}

impl FromStr for MaxBuffered {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size: ByteSize =
            text.parse().map_err(|_| "expected a size such as 512MiB or 2GiB".to_string())?;
        if size.as_u64() < LEAST {
            return Err(format!("{text} is too little to carry connections: write at least 1MiB"));
        }
        Ok(Self(size.as_u64()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("1MiB", 1 << 20),
            ("512 MiB", 512 << 20),
            ("2GiB", 2 << 30),
            ("2gb", 2_000_000_000),
            ("1048576", 1 << 20),
        ] {
            assert_eq!(text.parse(), Ok(MaxBuffered(bytes)), "{text}");
        }
        for (text, why) in [
            ("", "such as"),
            ("much", "such as"),
            ("-1", "such as"),
            ("0", "at least 1MiB"),
            ("1000", "at least 1MiB"),
        ] {
            let error = text.parse::<MaxBuffered>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
