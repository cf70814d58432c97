//! The configurations of a schedule, and their generator.

use std::time::Duration;

use proptest::prelude::*;
use watertight_core::SessionConfig;
use watertight_core::wire::Dialect;

/// The two sessions of a schedule: limits so small that they are met.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) dialect: Dialect,
    pub(crate) agent: Small,
    pub(crate) server: Small,
    pub(crate) last: Last,
}

/// How the applications end what is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// They finish and read to the end.
    Finish,
    /// They drop their handles.
    Drop,
}

#[derive(Clone, Debug)]
pub(crate) struct Small {
    pub(crate) initial_window: u64,
    pub(crate) max_window: u64,
    pub(crate) window_budget: u64,
    pub(crate) max_data: usize,
    pub(crate) send_buffer: usize,
    pub(crate) send_budget: usize,
    pub(crate) max_connections: usize,
    pub(crate) max_dials: usize,
    pub(crate) pause_above: usize,
    pub(crate) resume_below: usize,
    pub(crate) unread_cap: usize,
    pub(crate) unread_budget: usize,
}

impl Small {
    pub(crate) fn config(&self) -> SessionConfig {
        let mut config = SessionConfig::default();
        let limits = &mut config.limits;
        limits.initial_window = self.initial_window;
        limits.max_window = self.max_window;
        limits.window_budget = self.window_budget;
        limits.max_data = self.max_data;
        limits.send_buffer = self.send_buffer;
        limits.send_budget = self.send_budget;
        limits.max_connections = self.max_connections;
        limits.max_dials = self.max_dials;
        limits.max_queued_control = 100;
        limits.base.pause_above = self.pause_above;
        limits.base.resume_below = self.resume_below;
        limits.base.unread_cap = self.unread_cap;
        limits.base.unread_budget = self.unread_budget;
        config.timing.reconcile = Duration::from_secs(7);
        config
    }
}

fn small() -> impl Strategy<Value = Small> {
    // Payloads from 4096 bytes on are not copied, so some must be longer.
    let max_data = prop_oneof![2 => 1024..3000_usize, 1 => 4000..9000_usize];
    let initial = prop_oneof![2 => 1024..4096_u64, 1 => 4096..12_000_u64];
    let windows = (initial, 1024..16_384_u64, 0..16_384_u64, max_data);
    let buffer = prop_oneof![100..6000_usize, 6000..20_000_usize];
    let sends = (buffer, 100..20_000_usize, 1..8_usize, 1..6_usize);
    let cap = || prop_oneof![3000..8000_usize, 6000..60_000_usize];
    let unread = (500..4000_usize, 0..500_usize, cap(), cap());
    (windows, sends, unread).prop_map(|(windows, sends, unread)| Small {
        initial_window: windows.0,
        max_window: windows.1,
        window_budget: windows.2,
        max_data: windows.3,
        send_buffer: sends.0,
        send_budget: sends.1,
        max_connections: sends.2,
        max_dials: sends.3,
        pause_above: unread.0,
        resume_below: unread.1,
        unread_cap: unread.2,
        unread_budget: unread.3,
    })
}

pub(crate) fn setups() -> impl Strategy<Value = Setup> {
    let dialect = prop_oneof![Just(Dialect::Base), Just(Dialect::Extended)];
    let last = prop_oneof![Just(Last::Finish), Just(Last::Drop)];
    (dialect, small(), small(), last).prop_map(|(dialect, agent, server, last)| Setup {
        dialect,
        agent,
        server,
        last,
    })
}
