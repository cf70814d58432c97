//! Whose fault an error of the WebSocket library is.

use std::io;

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::transport::TransportError;

pub(super) fn transport_error(error: Error) -> TransportError {
    match error {
        Error::Io(error) => error.into(),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            let text = "the remote ended the connection without closing the WebSocket";
            io::Error::new(io::ErrorKind::UnexpectedEof, text).into()
        }
        Error::Protocol(ProtocolError::SendAfterClosing)
        | Error::ConnectionClosed
        | Error::AlreadyClosed => {
            io::Error::new(io::ErrorKind::NotConnected, "the WebSocket is closed").into()
        }
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            let text =
                format!("the remote sent a message of {size} bytes, the limit is {max_size}");
            TransportError::Invalid(text)
        }
        error => {
            TransportError::Invalid(format!("the remote broke the WebSocket protocol: {error}"))
        }
    }
}

/// What the remote is told about it.
pub(super) const fn close_code(error: &Error) -> CloseCode {
    match error {
        Error::Capacity(_) => CloseCode::Size,
        Error::Utf8(_) => CloseCode::Invalid,
        Error::Protocol(_) => CloseCode::Protocol,
        _ => CloseCode::Normal,
    }
}
