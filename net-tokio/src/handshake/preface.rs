//! The acceptor's side of a byte stream's preface.

use std::io;

use bytes::BytesMut;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watertight_core::wire::{Hello, HelloReply, InvalidPreface, PrefaceLimits};

use crate::transport::{ByteStream, Io};

/// The version of the protocol that this end speaks on byte streams.
pub(super) const VERSION: u64 = 1;

/// Room for a preface of a usual size, so that it takes one read.
pub(super) const ROOM: usize = 1024;

/// Why there is no hello.
#[derive(Debug, Error)]
pub(crate) enum PrefaceError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("invalid preface: {0}")]
    Invalid(#[from] InvalidPreface),
    #[error("the peer speaks version {0}, which does not exist")]
    Version(u64),
}

/// A connector that said hello and waits for an answer.
pub(crate) struct Pending<I> {
    io: I,
    leftover: BytesMut,
    max_message: usize,
}

/// Waits for a connector's hello. Not cancel safe: the stream is lost. The caller sets the
/// deadline.
pub(crate) async fn receive_hello<I: Io>(
    mut io: I,
    max_message: usize,
) -> Result<(Hello, Pending<I>), PrefaceError> {
    let mut buffer = BytesMut::with_capacity(ROOM);
    loop {
        if let Some(hello) = Hello::decode(&mut buffer, &PrefaceLimits::default())? {
            if hello.version < VERSION {
                return Err(PrefaceError::Version(hello.version));
            }
            return Ok((hello, Pending { io, leftover: buffer, max_message }));
        }
        if io.read_buf(&mut buffer).await? == 0 {
            let text = "the peer ended the connection before its hello";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into());
        }
    }
}

impl<I: Io> Pending<I> {
    /// Takes the connector in. Whatever newer version it knows, ours is spoken.
    pub(crate) async fn accept(mut self) -> io::Result<ByteStream<I>> {
        self.answer(HelloReply::ACCEPTED, "").await?;
        Ok(ByteStream::new(self.io, self.leftover, self.max_message))
    }

    /// Sends the connector away, with an HTTP status and a text that say why.
    pub(crate) async fn refuse(mut self, status: u16, text: &str) -> io::Result<()> {
        self.answer(status, text).await?;
        self.io.shutdown().await
    }

    async fn answer(&mut self, status: u16, text: &str) -> io::Result<()> {
        let reply = HelloReply { version: VERSION, status, text: text.to_string() };
        self.io.write_all(&reply.encode()).await?;
        self.io.flush().await
    }
}
