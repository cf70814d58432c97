//! Answers to the remote's dials.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use thiserror::Error;
use tracing::{Instrument, debug, info};
use watertight_core::wire::ResetCode;

use crate::io::{BoxIo, Io};
use crate::kernel::Keepalive;
use crate::log_limit::{shortened_text, some};
use crate::policy::{Dialled, Policy, TargetError};
use crate::splice::{OnEof, Side, splice};
use crate::stream::Incoming;
use crate::target::Target;
use crate::tasks::Tasks;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

type Handle = dyn Fn(&str, Incoming, Keepalive) -> Task + Send + Sync;

/// The handler of dials, with its type erased. It gets the key of the session's client.
///
/// All of it runs in the connection's own task, the embedder's closure included: in the task of the
/// session's driver it could panic or block for all connections.
#[derive(Clone)]
pub(crate) struct Handler(Arc<Handle>);

impl Handler {
    pub(crate) fn new<F, A>(handle: F) -> Self
    where
        F: Fn(Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let handle = Arc::new(handle);
        Self::sockets(move |incoming, _| {
            let handle = Arc::clone(&handle);
            async move { handle(incoming).await }
        })
    }

    pub(crate) fn by_client<F, A>(handle: F) -> Self
    where
        F: Fn(String, Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let handle = Arc::new(handle);
        Self(Arc::new(move |client, incoming, _| {
            let (handle, client) = (Arc::clone(&handle), client.to_string());
            Box::pin(async move { handle(client, incoming).await })
        }))
    }

    fn sockets<F, A>(handle: F) -> Self
    where
        F: Fn(Incoming, Keepalive) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let handle = Arc::new(handle);
        Self(Arc::new(move |_, incoming, keepalive| {
            let handle = Arc::clone(&handle);
            Box::pin(async move { handle(incoming, keepalive).await })
        }))
    }

    /// Refuses every dial.
    pub(crate) fn refusing(reason: &'static str) -> Self {
        Self::new(move |incoming| async move { incoming.refuse(ResetCode::DIAL_REFUSED, reason) })
    }

    /// Dials what the policy allows.
    pub(crate) fn by_policy(policy: Policy) -> Self {
        let policy = Arc::new(policy);
        Self::sockets(move |incoming, keepalive| {
            let policy = Arc::clone(&policy);
            async move { serve_by_policy(&policy, incoming, keepalive).await }
        })
    }

    /// Dials by the embedder's own means.
    pub(crate) fn by_dialer<F, A, I>(dialer: F) -> Self
    where
        F: Fn(String) -> A + Send + Sync + 'static,
        A: Future<Output = Result<I, DialRefusal>> + Send + 'static,
        I: Io,
    {
        let dialer = Arc::new(dialer);
        Self::sockets(move |incoming, keepalive| {
            let dialer = Arc::clone(&dialer);
            async move {
                let dial = dialer(incoming.target().to_string());
                let dial = async { dial.await.map(|io| Box::new(io) as BoxIo) };
                if let Some((incoming, socket)) = answer(incoming, dial).await {
                    serve(incoming, socket, keepalive).await;
                }
            }
        })
    }

    /// Answers a dial of the session to which `tasks` belong. `keepalive` is for the target's socket.
    pub(crate) fn spawn(
        &self,
        tasks: &Tasks,
        client: &str,
        incoming: Incoming,
        keepalive: Keepalive,
    ) {
        let span = incoming.span().clone();
        tasks.spawn((self.0)(client, incoming, keepalive).instrument(span));
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

/// Why an embedder's dialer returned no stream. The remote receives both fields.
#[derive(Clone, Debug, Error)]
#[error("{text}")]
#[non_exhaustive]
pub struct DialRefusal {
    /// The reason for programs.
    pub code: ResetCode,
    /// The reason for people.
    pub text: String,
}

impl DialRefusal {
    /// A refusal with this code and text.
    pub fn new(code: ResetCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

impl From<io::Error> for DialRefusal {
    fn from(error: io::Error) -> Self {
        Self { code: ResetCode::DIAL_FAILED, text: error.to_string() }
    }
}

impl From<TargetError> for DialRefusal {
    fn from(error: TargetError) -> Self {
        let code =
            if error.is_refusal() { ResetCode::DIAL_REFUSED } else { ResetCode::DIAL_FAILED };
        Self { code, text: error.to_string() }
    }
}

async fn serve_by_policy(policy: &Policy, incoming: Incoming, keepalive: Keepalive) {
    let dial = dial_by_policy(policy, incoming.target().to_string());
    // Boxed, so that an open connection does not keep the memory of its dial's future.
    let answered = Box::pin(answer(incoming, dial)).await;
    match answered {
        Some((incoming, Dialled::Tcp(socket))) => serve(incoming, socket, keepalive).await,
        #[cfg(unix)]
        Some((incoming, Dialled::Unix(socket))) => serve(incoming, socket, keepalive).await,
        None => {}
    }
}

async fn dial_by_policy(policy: &Policy, target: String) -> Result<Dialled, DialRefusal> {
    let target: Target = target
        .parse()
        .map_err(|error| DialRefusal { code: ResetCode::DIAL_REFUSED, text: format!("{error}") })?;
    Ok(policy.dial(&target).await?)
}

/// Waits for the dial, and refuses if it failed. A dial that the remote withdraws is dropped.
pub(crate) async fn answer<S>(
    mut incoming: Incoming,
    dial: impl Future<Output = Result<S, DialRefusal>>,
) -> Option<(Incoming, S)> {
    let dialled = tokio::select! {
        biased;
        end = incoming.withdrawn() => {
            debug!(target = incoming.target(), %end, "dial withdrawn");
            return None;
        }
        dialled = dial => dialled,
    };
    match dialled {
        Ok(socket) => Some((incoming, socket)),
        Err(refusal) => {
            log_refused(&incoming, &refusal);
            incoming.refuse(refusal.code, &refusal.text);
            None
        }
    }
}

/// Limited: a remote can dial forbidden targets all day.
fn log_refused(incoming: &Incoming, refusal: &DialRefusal) {
    let (target, error) = (incoming.target(), refusal.to_string());
    let (target, error) = (&*shortened_text(target), &*shortened_text(&error));
    match incoming.may_log_refusal() {
        Some(left_out) => info!(target, error, left_out = some(left_out), "dial refused"),
        None => debug!(target, error, "dial refused"),
    }
}

/// Accepts a dial, and splices its stream with the target's socket. If the dial was withdrawn
/// meanwhile, the socket is reset.
pub(crate) async fn serve<S: Side>(incoming: Incoming, socket: S, keepalive: Keepalive) {
    let Ok(stream) = incoming.accept() else { return socket.abort() };
    socket.keep();
    socket.probe(keepalive);
    let on_eof = if stream.half_closes() { OnEof::HalfClose } else { OnEof::Close };
    match splice(socket, stream, on_eof, keepalive).await {
        Ok(spliced) => debug!(spliced.sent, spliced.received, "connection finished"),
        Err(error) => debug!(%error, "connection failed"),
    }
}
