use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tracing::debug;
use watertight::{BoxIo, Listener};

use super::routes::answer;
use super::{Slot, State};

/// Connections at once. More wait in the kernel's queue.
const CONNECTIONS: usize = 1024;

/// How long a request's header may take to arrive, and how long a connection may be idle between
/// two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Accepts until the admin server stops.
pub(super) async fn accept(state: Arc<State>, listener: Listener) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let next = async {
            // The semaphore is never closed; without a permit the connection would just be one
            // more than intended.
            let permit = Arc::clone(&slots).acquire_owned().await.ok();
            (permit, listener.accept(state.keepalive).await)
        };
        let (permit, (io, _)) = tokio::select! {
            biased;
            () = state.stop.cancelled() => return,
            next = next => next,
        };
        state.tasks.spawn(serve(Arc::clone(&state), io, Arc::new(permit)));
    }
}

async fn serve(state: Arc<State>, io: BoxIo, slot: Slot) {
    let stop = state.stop.clone();
    let service = service_fn(move |request| {
        let (state, slot) = (Arc::clone(&state), Arc::clone(&slot));
        answer(state, request, slot)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let connection = http.serve_connection(TokioIo::new(io), service).with_upgrades();
    let mut connection = pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "admin connection failed");
    }
}
