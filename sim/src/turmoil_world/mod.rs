//! The world of real servers and agents on turmoil's simulated hosts.
//!
//! Each floor uses only those below it:
//!
//! 1. topology: `simulation`, `tcp`, `kernel`, `resolver`, `plan`; and `log`, `recorder`, the record of a run
//! 2. streams and sessions: `shared_player`, `stream`, `sessions`, `remotes`, `host_state`
//! 3. `environment`, which the hosts and the runner share
//! 4. accounts: `admission`, `session_events`, `ledger`
//! 5. host software: `connect`, `play`, `application`, `target`, `agent_host`, `server_host`, `hostile`,
//!    `unauthenticated`
//! 6. the runner: `network`, `steps`, `runner`, `probe`, `phases`, `run`

mod admission;
mod agent_host;
mod application;
mod connect;
mod environment;
mod host_state;
mod hostile;
mod kernel;
mod ledger;
pub(crate) mod log;
mod network;
mod phases;
mod plan;
mod play;
mod probe;
mod recorder;
mod remotes;
mod resolver;
mod run;
mod runner;
mod server_host;
mod session_events;
mod sessions;
mod shared_player;
pub(crate) mod simulation;
mod steps;
mod stream;
mod target;
pub(crate) mod tcp;
mod unauthenticated;

pub(crate) use plan::Deviation;
pub(crate) use run::{run, run_with};
