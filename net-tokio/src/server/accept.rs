//! The server's own listeners: from a socket to an authenticated session, within a deadline.

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tracing::{Instrument, debug, info_span};
use watertight_core::wire::Dialect;

use super::Inner;
use super::auth::{AuthRequest, Origin};
use super::peering::Claim;
use super::sessions::Admission;
use super::upgrade::UpgradeService;
use crate::handshake::{Refusal, receive_hello};
use crate::listener::Listener;
use crate::metrics::handshake_refused;
use crate::tls::ServerTls;
use crate::transport::{BoxIo, Io, Masking, Prefixed};

/// The first byte of a byte-stream session's preface. No HTTP request starts with it.
const PREFACE: u8 = 0;

/// Bytes of an upgrade request. Tokens can be long; nothing else in it is.
const MAX_REQUEST: usize = 32 << 10;

/// Accepts until the server stops. What goes wrong with one socket, or with accepting for a while,
/// does not end it.
pub(super) async fn accept(server: Arc<Inner>, listener: Listener, tls: Option<ServerTls>) {
    loop {
        // The next socket is accepted only when there was room for this one's handshake: silent
        // ones wait in the kernel's queue, not in our memory.
        let next = async {
            let accepted = listener.accept(server.keepalive).await;
            (Arc::clone(&server.handshakes).acquire_owned().await, accepted)
        };
        let (permit, (io, remote)) = tokio::select! {
            biased;
            () = server.stop.cancelled() => return,
            next = next => next,
        };
        let (handling, tls) = (Arc::clone(&server), tls.clone());
        server.tasks.spawn(async move {
            handshake_in_time(&handling, io, remote, tls).await;
            drop(permit);
        });
    }
}

/// Makes a session of a byte stream, or gives up at the deadline.
pub(super) async fn handshake_in_time(
    server: &Arc<Inner>,
    io: BoxIo,
    remote: Option<SocketAddr>,
    tls: Option<ServerTls>,
) {
    let span = info_span!("handshake", ?remote);
    let handshake = handshake(server, io, remote, tls).instrument(span.clone());
    if tokio::time::timeout(server.handshake_deadline, handshake).await.is_err() {
        handshake_refused("timeout");
        debug!(parent: &span, "no session in time");
    }
}

async fn handshake(
    server: &Arc<Inner>,
    io: BoxIo,
    remote: Option<SocketAddr>,
    tls: Option<ServerTls>,
) {
    let (io, certificates) = match tls {
        None => (io, Vec::new()),
        Some(tls) => match tls.accept(io).await {
            Ok(accepted) => accepted,
            Err(error) => {
                handshake_refused("tls");
                debug!(%error, "TLS handshake failed");
                return;
            }
        },
    };
    let origin = Origin { remote, certificates };
    match Prefixed::peek(io).await {
        Ok((io, PREFACE)) => byte_stream(server, io, origin).await,
        Ok((io, _)) => http(server, io, origin).await,
        Err(error) => debug!(%error, "closed before it said anything"),
    }
}

/// Serves one HTTP request: the upgrade, or an answer that says what was expected. In simulations it
/// has no date, which would be another one in every run.
async fn http(server: &Arc<Inner>, io: Prefixed<BoxIo>, origin: Origin) {
    let service = UpgradeService::new(Arc::clone(server), Some(origin));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(server.handshake_deadline)
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
    let (hello, pending) = match receive_hello(io, server.web_socket.max_message).await {
        Ok(received) => received,
        Err(error) => {
            handshake_refused("preface");
            debug!(%error, "not a preface");
            return;
        }
    };
    let request = AuthRequest::of_hello(&hello, &origin);
    match server.welcome(request, &Claim::None).await {
        Ok(place) => match pending.accept().await {
            Ok(transport) => {
                let dialect = Dialect::Extended;
                let admission = Admission { place, remote: origin.remote, dialect };
                if let Err(refusal) = server.admit(transport, admission) {
                    server.log_refused(None, origin.remote, &refusal);
                }
            }
            Err(error) => debug!(%error, "gone before the session began"),
        },
        Err(Refusal { status, reason }) => {
            // The other end may be gone; it was refused all the same.
            pending.refuse(status.as_u16(), &reason).await.ok();
        }
    }
}
