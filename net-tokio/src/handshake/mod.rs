//! From a byte stream to a transport: who is there, and what do both speak.

mod connect;
mod preface;
mod prefix;
pub(crate) mod upgrade;

pub use connect::ConnectError;
pub(crate) use connect::{ClientHello, Connected, connect_byte_stream, connect_web_socket};
pub(crate) use preface::receive_hello;
pub(crate) use prefix::Prefixed;
