use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::{sleep, timeout};
use tracing::debug;
use watertight::Listener;

use super::client::Client;
use super::http2;
use super::routes::answer;
use super::slots::Slots;
use super::watch::Watch;
use super::{HEADER_LINES, State};

/// How long a request's header may take to arrive, and how long a connection may be idle between
/// two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a client may take to accept what came before a cut.
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
                () = client.slot().evicted() => debug!("an idle admin connection makes room"),
                () = serving => {}
            }
        });
    }
}

async fn serve(state: Arc<State>, client: Client) {
    let preface = timeout(HEADER_TIMEOUT, client.begins_with(http2::PREFACE));
    let preface = tokio::select! {
        biased;
        () = state.stop.cancelled() => return,
        preface = preface => preface,
    };
    match preface {
        Ok(Ok(true)) => return http2::decline(client).await,
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
    /// The client has gone away.
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
