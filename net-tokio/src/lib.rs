//! A reverse tunnel whose connections, tasks and buffers cannot leak.

mod copy;
mod forward;
pub mod metrics;
mod session;
mod stream;
mod tasks;
mod transport;

pub use forward::{Forward, Listener};
pub use session::{DialError, Incoming};
pub use stream::{ReadHalf, StreamControl, TunnelStream, WriteHalf};
pub use transport::{BoxIo, Io};
pub use watertight_core as core;
