//! The connection to a target through the tunnel, and its upgrade.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;
use tracing::debug;
use watertight::{BoxIo, ResetCode, Side, StreamControl, TcpState, splice_sides};

use super::super::answer::Answer;
use super::super::client::Client;
use super::super::{HEADER_LINES, State};
use super::route::Route;
use super::target::{Target, request_body};
use super::{Problem, empty, headers};
use crate::tasks::Tied;

/// Interim answers (1xx) that a target may send: one every few seconds for an hour. They are not passed on,
/// and a target that sends nothing else would keep a processor busy for as long as the client waits.
const MAX_INTERIM: usize = 1000;

/// How long the target's TLS may take.
const TLS_DEADLINE: Duration = Duration::from_secs(15);

/// Dials the target, and lays TLS over the stream where the scheme asks for it.
pub(super) async fn connect(
    state: &State,
    route: &Route,
) -> Result<(BoxIo, StreamControl), Problem> {
    let stream = state.server.dial(&route.key, &route.target).await;
    let stream = stream.map_err(|error| Problem::of_dial(error, &route.key, &route.target))?;
    let control = stream.control();
    if !route.https {
        return Ok((Box::new(stream), control));
    }
    let name = || route.name.clone();
    let tls = state.tls.as_ref();
    let tls = tls.map_err(|error| Problem::NoTrust { error: error.to_string() })?;
    let handshake = tls.connect(&route.name, stream);
    match tokio::time::timeout(TLS_DEADLINE, handshake).await {
        Ok(Ok(stream)) => Ok((Box::new(stream), control)),
        Ok(Err(error)) => Err(Problem::Tls { name: name(), error }),
        Err(_) => Err(Problem::TlsTimeout { name: name() }),
    }
}

/// A connection to a target, besides its bytes: its task, and whether it is cut even where it is not
/// read. Dropping it ends the two.
#[derive(Debug)]
pub(super) struct Tunnelled {
    control: StreamControl,
    task: Option<Tied>,
}

impl Tunnelled {
    pub(super) fn control(&self) -> &StreamControl {
        &self.control
    }

    /// Lets the connection end by itself.
    pub(super) fn release(mut self) {
        self.task.take().into_iter().for_each(Tied::release);
    }
}

impl Drop for Tunnelled {
    fn drop(&mut self) {
        if self.task.is_some() {
            // The drop of a stream whose end was passed on resets nothing.
            self.control.reset(ResetCode::CANCELLED, "the client waits for the answer no longer");
        }
    }
}

/// Sends the request and waits for the head of the answer. The connection lives in a task that
/// ends with the returned guard.
///
/// How long a target thinks is its own business: the wait ends with the client's connection.
pub(super) async fn send(
    state: &Arc<State>,
    (io, control): (BoxIo, StreamControl),
    request: Request<Incoming>,
    route: &Route,
    client: &Client,
) -> Result<(Response<Incoming>, Tunnelled), Problem> {
    let broken = |error: hyper::Error| match error.is_user() {
        true => Problem::Body { error },
        false => Problem::Http { target: route.target.clone(), error },
    };
    let target = Target::new(io, Arc::clone(client.counter()));
    let mut http = http1::Builder::new();
    http.preserve_header_case(true).max_headers(HEADER_LINES);
    let (mut sender, connection) =
        http.handshake(TokioIo::new(target.wire())).await.map_err(broken)?;
    let (end, finished) = (target.clone(), client.finished().clone());
    // After an upgrade the end follows the bytes that the client has sent with it.
    let upgrades = request.headers().contains_key(header::UPGRADE);
    let finished = async move {
        if upgrades { std::future::pending().await } else { finished.cancelled().await }
    };
    let task = state.tasks.spawn_tied(async move {
        if let Err(error) = end.run(connection.with_upgrades(), finished).await {
            debug!(%error, "connection to the target failed");
        }
    });
    let tunnelled = Tunnelled { control, task: Some(task) };
    let mut request = request.map(|body| request_body(body, target));
    let too_many = limit_interim(&mut request);
    tokio::select! {
        answer = sender.send_request(request) => Ok((answer.map_err(broken)?, tunnelled)),
        () = too_many.cancelled() => Err(Problem::Interim { target: route.target.clone() }),
    }
}

/// Counts the interim answers to a request. The token is cancelled when there are too many.
fn limit_interim<B>(request: &mut Request<B>) -> CancellationToken {
    let (too_many, count) = (CancellationToken::new(), AtomicUsize::new(0));
    let exceeded = too_many.clone();
    hyper::ext::on_informational(request, move |_| {
        if count.fetch_add(1, Ordering::Relaxed) >= MAX_INTERIM {
            exceeded.cancel();
        }
    });
    too_many
}

/// The body of an answer. The connection that it comes from ends with it: in good order once the
/// body is complete, at once if nobody wants the rest. Where it fails, the client's connection is to
/// end in a reset: the library would end that of a client without chunks as if the body were whole.
#[derive(Debug)]
pub(super) struct TiedBody {
    incoming: Incoming,
    target: Option<Tunnelled>,
    client: Client,
}

impl TiedBody {
    pub(super) fn new(incoming: Incoming, target: Tunnelled, client: Client) -> Self {
        Self { incoming, target: Some(target), client }
    }

    fn release(&mut self) {
        self.target.take().into_iter().for_each(Tunnelled::release);
    }
}

impl Body for TiedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.client.is_cut() {
            return Poll::Pending;
        }
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        match &frame {
            Poll::Ready(None) => self.release(),
            Poll::Ready(Some(Err(error))) => {
                debug!(%error, "the answer was cut");
                // The client's task checks this after each poll of the library, which writes the
                // bytes so far while it waits for more.
                self.client.cut();
                return Poll::Pending;
            }
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for TiedBody {
    fn drop(&mut self) {
        // A body of known length is not polled past its last byte.
        if self.incoming.is_end_stream() {
            self.release();
        }
    }
}

/// How long the client's side of an upgrade may take once it has been answered.
const SWITCH_DEADLINE: Duration = Duration::from_secs(10);

/// Passes the target's 101 on and joins the two connections.
pub(super) fn switch(
    state: &Arc<State>,
    mut answer: Response<Incoming>,
    downstream: OnUpgrade,
    wanted: Option<HeaderValue>,
    client: &Client,
    target: Tunnelled,
) -> Result<Answer, Problem> {
    let protocol = headers::upgrade(answer.headers()).filter(|_| wanted.is_some());
    let unwanted = || Problem::Upgrade { target: "the target".to_string() };
    let protocol = protocol.ok_or_else(unwanted)?;
    let upstream = hyper::upgrade::on(&mut answer);
    client.hand_over();
    let client = client.clone();
    state.tasks.spawn(async move {
        if let Err(error) = join(&client, target, downstream, upstream).await {
            debug!(%error, "upgraded connection failed");
        }
    });
    let (mut parts, _) = answer.into_parts();
    headers::strip(&mut parts.headers);
    headers::ask_for_upgrade(&mut parts.headers, &protocol);
    Ok(empty(parts))
}

async fn join(
    client: &Client,
    target: Tunnelled,
    downstream: OnUpgrade,
    upstream: OnUpgrade,
) -> io::Result<()> {
    let both = async { tokio::try_join!(downstream, upstream) };
    let switched = tokio::time::timeout(SWITCH_DEADLINE, both).await?;
    let (downstream, upstream) = switched.map_err(io::Error::other)?;
    let (mut downstream, mut upstream) = (TokioIo::new(downstream), TokioIo::new(upstream));
    let of_client = Joined { io: &mut downstream, owner: client };
    let of_target = Joined { io: &mut upstream, owner: target.control() };
    let result = splice_sides(of_client, of_target, client.keepalive()).await;
    if result.is_ok() {
        target.release();
        return result.map(drop);
    }
    // In this order: a stream that has ended in good order is not reset by its drop.
    drop(target);
    drop(upstream);
    // It ends in a reset, which takes what the client has not received.
    client.received().await;
    result.map(drop)
}

/// An upgraded connection as the HTTP library gives it, and the owner of the stream below.
struct Joined<'a, T> {
    io: &'a mut TokioIo<Upgraded>,
    owner: &'a T,
}

impl Side for Joined<'_, Client> {
    fn failure(&self) -> Option<io::Error> {
        self.owner.failure()
    }

    fn tcp(&self) -> Option<TcpState> {
        self.owner.tcp()
    }
}

impl Side for Joined<'_, StreamControl> {
    fn failure(&self) -> Option<io::Error> {
        self.owner.is_cut().then(|| io::ErrorKind::ConnectionReset.into())
    }

    fn reset(&self, code: ResetCode, reason: &str) {
        self.owner.reset(code, reason);
    }
}

impl<T> AsyncRead for Joined<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_read(cx, buffer)
    }
}

impl<T> AsyncWrite for Joined<'_, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write(cx, data)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io).poll_write_vectored(cx, pieces)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io).poll_shutdown(cx)
    }
}
