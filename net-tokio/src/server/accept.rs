//! The server's own listeners: from a socket to an authenticated session, within a deadline.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tracing::{Instrument, debug, info_span};
use watertight_core::wire::Dialect;

use super::Inner;
use super::admission::{Admission, Applicant};
use super::auth::{AuthRequest, Origin};
use super::peering::Claim;
use super::upgrade::UpgradeService;
use crate::handshake::{Refusal, receive_hello};
use crate::io::{BoxIo, Io, Prefixed};
use crate::listener::Listener;
use crate::metrics::handshake_refused;
use crate::tls::ServerTls;
use crate::transport::Masking;

/// The first byte of a byte-stream session's preface. No HTTP request starts with it.
const PREFACE: u8 = 0;

/// Bytes of an upgrade request. Tokens can be long; nothing else in it is.
const MAX_REQUEST: usize = 32 << 10;

/// The timeout of a socket's first byte. A client sends it at once; two losses of its first packet
/// take three seconds.
const FIRST_BYTE: Duration = Duration::from_secs(4);

/// Accepts until the server stops. Errors of one socket, and transient errors of accepting, do not
/// end it.
pub(super) async fn accept(server: Arc<Inner>, listener: Listener, tls: Option<ServerTls>) {
    loop {
        let free_descriptor = || server.handshakes.evict_waiting();
        let (io, remote) = tokio::select! {
            biased;
            () = server.stop.cancelled() => return,
            accepted = listener.accept_or(server.keepalive, free_descriptor) => accepted,
        };
        serve(&server, io, remote, tls.clone());
    }
}

/// Starts the handshake on a byte stream, in a task with a deadline. A stream above the limit is
/// dropped at once.
pub(super) fn serve(
    server: &Arc<Inner>,
    io: BoxIo,
    remote: Option<SocketAddr>,
    tls: Option<ServerTls>,
) {
    let Some(slot) = server.handshakes.add(remote) else { return };
    let (server, slot) = (Arc::clone(server), Arc::new(slot));
    let tasks = server.tasks.clone();
    tasks.spawn(async move {
        let span = info_span!("handshake", ?remote);
        let timeout = server.handshake_timeout;
        let origin = Origin { remote, slot: Some(Arc::clone(&slot)), ..Origin::default() };
        let handshake = handshake(&server, io, origin, tls).instrument(span.clone());
        tokio::select! {
            biased;
            () = slot.evicted() => debug!(parent: &span, "closed before its session began"),
            ended = tokio::time::timeout(timeout, handshake) => if ended.is_err() {
                handshake_refused("timeout");
                debug!(parent: &span, "no session in time");
            },
        }
    });
}

async fn handshake(server: &Arc<Inner>, io: BoxIo, mut origin: Origin, tls: Option<ServerTls>) {
    let timeout = FIRST_BYTE.min(server.handshake_timeout);
    let (io, first) = match tokio::time::timeout(timeout, Prefixed::peek(io)).await {
        Ok(Ok(peeked)) => peeked,
        Ok(Err(error)) => return debug!(%error, "closed before its first byte"),
        Err(_) => {
            handshake_refused("timeout");
            return debug!("no first byte in time");
        }
    };
    if let Some(slot) = &origin.slot {
        slot.wait_to_run().await;
    }
    let Some(tls) = tls else { return speak(server, io, first, origin).await };
    let io = match tls.accept(Box::new(io)).await {
        Ok((io, certificates)) => {
            origin.certificates = certificates;
            origin.tls = true;
            io
        }
        Err(error) => {
            handshake_refused("tls");
            return server.log_tls_failure(origin.remote, &error);
        }
    };
    match Prefixed::peek(io).await {
        Ok((io, first)) => speak(server, io, first, origin).await,
        Err(error) => debug!(%error, "closed before its first byte"),
    }
}

/// Selects the protocol of a byte stream by its first byte.
async fn speak(server: &Arc<Inner>, io: Prefixed<BoxIo>, first: u8, origin: Origin) {
    match first {
        PREFACE => byte_stream(server, io, origin).await,
        _ => http(server, io, origin).await,
    }
}

/// Serves one HTTP request: the upgrade, or an error that names the expected one. In simulations
/// the answer has no date, which would differ in every run.
async fn http(server: &Arc<Inner>, io: Prefixed<BoxIo>, origin: Origin) {
    let service = UpgradeService::new(Arc::clone(server), Some(origin));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(server.handshake_timeout)
        .max_buf_size(MAX_REQUEST)
        .auto_date_header(server.web_socket.masking == Masking::ByRole)
        .serve_connection(TokioIo::new(io), TowerToHyperService::new(service))
        .with_upgrades();
    if let Err(error) = connection.await {
        handshake_refused("http");
        debug!(%error, "not an HTTP request");
    }
}

/// Runs the preface of a byte stream.
async fn byte_stream<I: Io>(server: &Arc<Inner>, io: I, origin: Origin) {
    let (hello, pending) = match receive_hello(io, server.web_socket.max_extended).await {
        Ok(received) => received,
        Err(error) => {
            handshake_refused("preface");
            debug!(%error, "not a preface");
            return;
        }
    };
    server.slow_down(&origin).await;
    origin.authenticates();
    let request = AuthRequest::of_hello(&hello, &origin);
    match server.authorize(request, &Claim::None).await {
        Ok(permit) => match pending.accept().await {
            Ok(transport) => {
                let dialect = Dialect::Extended;
                let applicant = Applicant::Client(permit);
                let admission = Admission { applicant, remote: origin.remote, dialect };
                if let Err(refusal) = server.admit(transport, admission) {
                    server.log_refused(None, origin.remote, &refusal);
                }
            }
            Err(error) => debug!(%error, "disconnected before the session began"),
        },
        Err(refusal) => {
            server.count_guess(&origin, &refusal);
            let Refusal { status, reason, .. } = refusal;
            // The remote may be disconnected; the refusal counts anyway.
            pending.refuse(status.as_u16(), &reason).await.ok();
        }
    }
}
