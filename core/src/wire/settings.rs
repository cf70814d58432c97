//! Settings: what an end of an extended session grants.

use super::error::{Field, InvalidMessage};

/// What an end of an extended session grants and bears. Each end sends its own, first.
///
/// A later version may append fields; an end skips those that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// How many Data bytes you may send on a new connection before my first Credit.
    pub initial_window: u64,
    /// The largest Data payload that I accept.
    pub max_data: u64,
    /// How many connections of yours I hold at a time.
    pub max_connections: u64,
    /// After how many milliseconds without a sign of life I end the session, so that you give me some
    /// in time; 0, and not sent, from an end that does not say.
    pub silence: u64,
}

impl Settings {
    /// The values of [`Settings::initial_window`] that make sense: a window below one kilobyte
    /// costs more in Credit than it carries, one above a gigabyte bounds nothing.
    pub const INITIAL_WINDOW: core::ops::RangeInclusive<u64> = 1024..=1024 * 1024 * 1024;
    /// The values of [`Settings::max_data`] that make sense: above a megabyte, one message holds
    /// up all the other connections.
    pub const MAX_DATA: core::ops::RangeInclusive<u64> = 1024..=1024 * 1024;
    /// The values of [`Settings::max_connections`] that make sense: the rows of more connections
    /// would take gigabytes.
    pub const MAX_CONNECTIONS: core::ops::RangeInclusive<u64> = 1..=1 << 24;

    /// The values of [`Settings::silence`] that make sense: above seven weeks, nobody waits.
    pub const SILENCE: core::ops::RangeInclusive<u64> = 0..=1 << 32;

    /// Whether every value is in its range: the check that the remote makes.
    ///
    /// # Errors
    ///
    /// [`InvalidMessage::Setting`] names the first one that is not.
    pub fn check(&self) -> Result<(), InvalidMessage> {
        check(Field::InitialWindow, self.initial_window, &Self::INITIAL_WINDOW)?;
        check(Field::MaxData, self.max_data, &Self::MAX_DATA)?;
        check(Field::MaxConnections, self.max_connections, &Self::MAX_CONNECTIONS)?;
        check(Field::Silence, self.silence, &Self::SILENCE)
    }
}

fn check(
    field: Field,
    value: u64,
    range: &core::ops::RangeInclusive<u64>,
) -> Result<(), InvalidMessage> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(InvalidMessage::Setting { field, value, least: *range.start(), most: *range.end() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_are_those_of_the_protocol() {
        assert_eq!(Settings::INITIAL_WINDOW, 1024..=1_073_741_824);
        assert_eq!(Settings::MAX_DATA, 1024..=1_048_576);
        assert_eq!(Settings::MAX_CONNECTIONS, 1..=16_777_216);
        assert_eq!(Settings::SILENCE, 0..=4_294_967_296);
    }
}
