//! From a byte stream to a transport: who is there, and what do both speak.

mod connect;
mod error;
mod exchange;
mod hello;
mod preface;
pub(crate) mod proof;
mod refusal;
#[cfg(test)]
mod tests;
pub(crate) mod upgrade;

pub(crate) use connect::{Connected, connect_byte_stream, connect_web_socket, nonce};
pub use error::ConnectError;
pub(crate) use exchange::{Answer, exchange};
pub(crate) use hello::{ClientHello, PeerRemote};
pub(crate) use preface::receive_hello;
pub use refusal::Refusal;
