//! What two ends do with each other. Each scenario is written once, for every pair.

mod both;
mod breaks;
mod bulk;
mod closing;
mod crossing;
mod deaf;
mod dials;
mod flow;
mod half_close;
mod idle;
mod many;

pub(crate) use both::both_ends_dial;
pub(crate) use breaks::{agent_killed, link_cut, server_killed};
pub(crate) use bulk::{one_gibibyte_each_way, request_response, sixty_four_connections_at_once};
pub(crate) use closing::close_from_each_end;
pub(crate) use crossing::dials_crossing;
pub(crate) use deaf::client_resets_at_deaf_target;
pub(crate) use dials::{dial_hangs, dial_refused, forbidden_target};
pub(crate) use flow::{slow_reader, stopped_reader};
pub(crate) use half_close::half_close;
pub(crate) use idle::idle_for_two_minutes;
pub(crate) use many::ten_thousand_short_connections;
