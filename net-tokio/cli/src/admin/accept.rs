//! The connections of the admin server: accepted, served, and ended.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};
use tracing::debug;
use watertight::Listener;

use super::client::Client;
use super::routes::answer;
use super::slots::Slots;
use super::watch::Watch;
use super::{HEADER_LINES, State};

/// How long a request's header may take to arrive, and how long a connection may be idle between
/// two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to accept the bytes before a cut.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

/// Accepts until the admin server stops.
pub(super) async fn accept(state: Arc<State>, listener: Listener, slots: Arc<Slots>) {
    loop {
        let next = async {
            let accepted = listener.accept_socket(state.keepalive).await;
            (accepted, slots.take().await)
        };
        let (accepted, slot) = tokio::select! {
            biased;
            () = state.stop.cancelled() => return,
            next = next => next,
        };
        let client = Client::new(accepted, state.keepalive, slot);
        let serving = serve(Arc::clone(&state), client.clone());
        state.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = client.slot().evicted() => debug!("an idle admin connection is evicted for a new one"),
                () = serving => {}
            }
        });
    }
}

async fn serve(state: Arc<State>, client: Client) {
    let preface = timeout(HEADER_TIMEOUT, client.begins_with(PREFACE));
    let preface = tokio::select! {
        biased;
        () = state.stop.cancelled() => return,
        preface = preface => preface,
    };
    match preface {
        Ok(Ok(true)) => return decline_http2(client).await,
        Ok(Ok(false)) => {}
        Ok(Err(error)) => return debug!(%error, "admin connection failed"),
        Err(_) => return debug!("admin connection without a request"),
    }
    match serve_http_1(state, &client).await {
        End::Served(_) | End::Failed(_) if client.is_handed_over() => {}
        End::Served(served) => {
            if let Err(error) = served {
                debug!(%error, "admin connection failed");
            }
            client.linger().await;
        }
        End::Failed(error) => {
            debug!(%error, "admin connection failed");
            client.abort();
        }
        End::Cut => client.reset().await,
    }
}

/// How a connection ended.
enum End {
    Served(hyper::Result<()>),
    /// The client is disconnected.
    Failed(std::io::Error),
    /// The answer is not whole, and what there is of it has been written.
    Cut,
}

async fn serve_http_1(state: Arc<State>, client: &Client) -> End {
    let stop = state.stop.clone();
    let caller = client.clone();
    let service = service_fn(move |request| answer(Arc::clone(&state), request, caller.clone()));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    http.half_close(true).preserve_header_case(true).max_headers(HEADER_LINES);
    let connection = http.serve_connection(TokioIo::new(client.wire()), service).with_upgrades();
    let mut connection = pin!(connection);
    let mut stop = pin!(stop.cancelled());
    let (mut stopping, mut deadline, mut watch) = (false, None, Watch::default());
    poll_fn(|cx| {
        if !stopping && stop.as_mut().poll(cx).is_ready() {
            stopping = true;
            connection.as_mut().graceful_shutdown();
        }
        loop {
            if let Poll::Ready(served) = connection.as_mut().poll(cx) {
                return Poll::Ready(End::Served(served));
            }
            if client.is_cut() {
                let late = deadline.get_or_insert_with(|| Box::pin(sleep(FLUSH_TIMEOUT)));
                let over = client.is_flushed() || late.as_mut().poll(cx).is_ready();
                return if over { Poll::Ready(End::Cut) } else { Poll::Pending };
            }
            let mut news = client.poll_ahead(cx);
            if news.is_pending() {
                news = watch.poll(cx, client.needs_look(), || client.failure(), || client.passed());
            }
            match news {
                // The library may be waiting for it.
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(End::Failed(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

/// The preface of an HTTP/2 client (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An empty SETTINGS frame, which has to be the first one.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

const GOAWAY: u8 = 7;

/// The client is to use HTTP/1.1 (RFC 9113, 7).
const HTTP_1_1_REQUIRED: u32 = 13;

const TEXT: &[u8] = b"the admin server speaks HTTP/1.1, not HTTP/2";

/// Declines in HTTP/2, and ends the connection.
async fn decline_http2(client: Client) {
    // A disconnected client needs no answer.
    client.wire().write_all(&go_away()).await.ok();
    client.linger().await;
}

fn go_away() -> Vec<u8> {
    // The last processed stream (none), the code and the text.
    let length = u8::try_from(8 + TEXT.len()).unwrap_or(u8::MAX);
    let head = [0, 0, length, GOAWAY, 0, 0, 0, 0, 0];
    [&SETTINGS[..], &head, &[0; 4], &HTTP_1_1_REQUIRED.to_be_bytes(), TEXT].concat()
}
