//! The numbers of the message types.

pub(super) const DATA: i64 = 1;
pub(super) const CONNECT: i64 = 2;
pub(super) const ERROR: i64 = 3;
pub(super) const ADD_CLIENT: i64 = 4;
pub(super) const REMOVE_CLIENT: i64 = 5;
pub(super) const PAUSE: i64 = 6;
pub(super) const RESUME: i64 = 7;
pub(super) const SYNC_CONNECTIONS: i64 = 8;

// The extension starts at 32, so that it never meets a future type of the base protocol.
pub(super) const SETTINGS: i64 = 32;
pub(super) const OPENED: i64 = 33;
pub(super) const FINISH: i64 = 34;
pub(super) const RESET: i64 = 35;
pub(super) const CREDIT: i64 = 36;
pub(super) const GO_AWAY: i64 = 37;
pub(super) const PING: i64 = 38;
pub(super) const PONG: i64 = 39;
pub(super) const SYNC: i64 = 40;
