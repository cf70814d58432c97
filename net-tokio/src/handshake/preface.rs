//! The acceptor's side of a byte stream's preface.

use std::future::poll_fn;
use std::io;

use bytes::BytesMut;
use http::StatusCode;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use watertight_core::wire::{Hello, HelloReply, InvalidPreface, PrefaceLimits};

use crate::transport::{ByteStream, Io, poll_drain};

/// The version of the protocol that this end speaks on byte streams.
pub(super) const VERSION: u64 = 1;

/// Room for a preface of a usual size, so that it takes one read.
pub(super) const ROOM: usize = 1024;

/// The HTTP status of a hello that breaks the protocol.
const BAD_REQUEST: u16 = StatusCode::BAD_REQUEST.as_u16();

/// Why there is no hello.
#[derive(Debug, Error)]
pub(crate) enum PrefaceError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("invalid preface: {0}")]
    Invalid(#[from] InvalidPreface),
    #[error("the remote speaks version {0}, which does not exist")]
    Version(u64),
}

/// A connector that said hello and waits for an answer.
pub(crate) struct Pending<I> {
    io: I,
    leftover: BytesMut,
    max_message: usize,
}

/// Waits for a connector's hello. One that can be told what is wrong with it is told. Not cancel
/// safe: the stream is lost. The caller sets the deadline.
pub(crate) async fn receive_hello<I: Io>(
    mut io: I,
    max_message: usize,
) -> Result<(Hello, Pending<I>), PrefaceError> {
    let mut buffer = BytesMut::with_capacity(ROOM);
    match read_hello(&mut io, &mut buffer).await {
        Ok(hello) => Ok((hello, Pending { io, leftover: buffer, max_message })),
        Err(error) => {
            if error.speaks_preface() {
                // It may be gone; what counts is what it did.
                refuse(&mut io, BAD_REQUEST, &error.to_string()).await.ok();
            }
            Err(error)
        }
    }
}

async fn read_hello<I: Io>(io: &mut I, buffer: &mut BytesMut) -> Result<Hello, PrefaceError> {
    loop {
        if let Some(hello) = Hello::decode(buffer, &PrefaceLimits::default())? {
            let version = hello.version;
            return if version < VERSION { Err(PrefaceError::Version(version)) } else { Ok(hello) };
        }
        if io.read_buf(buffer).await? == 0 {
            let text = "the remote ended the connection before its hello";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into());
        }
    }
}

impl PrefaceError {
    /// Whether the remote understands an answer.
    const fn speaks_preface(&self) -> bool {
        !matches!(self, Self::Io(_) | Self::Invalid(InvalidPreface::Magic { .. }))
    }
}

impl<I: Io> Pending<I> {
    /// Takes the connector in. Whatever newer version it knows, ours is spoken.
    pub(crate) async fn accept(mut self) -> io::Result<ByteStream<I>> {
        answer(&mut self.io, HelloReply::ACCEPTED, "").await?;
        Ok(ByteStream::new(self.io, self.leftover, self.max_message))
    }

    /// Sends the connector away, with an HTTP status and a text that say why.
    pub(crate) async fn refuse(mut self, status: u16, text: &str) -> io::Result<()> {
        refuse(&mut self.io, status, text).await
    }
}

/// Reads on until the remote has closed: one that still says hello does not listen yet, and
/// closing with unread input would reset the connection and take the answer with it.
async fn refuse<I: Io>(io: &mut I, status: u16, text: &str) -> io::Result<()> {
    let (mut input, mut output) = split(io);
    let answering = async {
        answer(&mut output, status, text).await?;
        output.shutdown().await
    };
    tokio::join!(answering, poll_fn(|cx| poll_drain(&mut input, cx))).0
}

async fn answer(io: &mut (impl AsyncWrite + Unpin), status: u16, text: &str) -> io::Result<()> {
    let reply = HelloReply { version: VERSION, status, text: text.to_string() };
    io.write_all(&reply.encode()).await?;
    io.flush().await
}
