//! Handshakes, from a byte stream to a transport: authentication and the choice of a dialect.

mod connect;
mod error;
mod exchange;
mod hello;
pub(crate) mod proof;
#[cfg(test)]
mod tests;
pub(crate) mod upgrade;

pub(crate) use connect::{Connected, connect_byte_stream, connect_web_socket, nonce};
pub use error::{ConnectError, Refusal};
pub(crate) use exchange::{Answer, exchange};
pub(crate) use hello::{ClientHello, PeerRemote, receive_hello};
