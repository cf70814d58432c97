//! What a server does with what its sessions tell it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tracing::{Instrument, info, info_span, warn};
use watertight_core::SessionEnd;
use watertight_core::registry::SessionKey;
use watertight_core::session::Fault;
use watertight_core::wire::ResetCode;

use super::{Inner, ServerEvent};
use crate::policy::Policy;
use crate::serve::Handler;
use crate::session::{Incoming, Notice, Owner, Shared};
use crate::tasks::Tasks;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What answers the dials of clients, where the server lets them dial.
#[derive(Clone)]
pub(crate) struct Backdial(Arc<dyn Fn(String, Incoming) -> Task + Send + Sync>);

impl Backdial {
    pub(crate) fn new<F, A>(answer: F) -> Self
    where
        F: Fn(String, Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move |key, incoming| Box::pin(answer(key, incoming))))
    }
}

impl Backdial {
    pub(crate) fn by_policy(policy: Policy) -> Self {
        let handler = Handler::by_policy(policy);
        Self(Arc::new(move |_, incoming| handler.handle(incoming)))
    }
}

impl fmt::Debug for Backdial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Backdial")
    }
}

/// Belongs to one session's driver, and takes the session out of the server's books at its end.
#[derive(Debug)]
pub(super) struct SessionOwner {
    server: Arc<Inner>,
    session: SessionKey,
    key: String,
    children: Tasks,
}

impl SessionOwner {
    pub(super) fn new(
        server: Arc<Inner>,
        session: SessionKey,
        key: String,
        children: Tasks,
    ) -> Self {
        info!(client = key, number = %session, "session started");
        Self { server, session, key, children }
    }

    fn on_incoming(&self, incoming: Incoming) {
        match &self.server.backdial {
            Some(backdial) => {
                let span =
                    info_span!("connection", id = %incoming.id(), target = incoming.target());
                let answer = (backdial.0)(self.key.clone(), incoming);
                self.children.spawn(answer.instrument(span));
            }
            None => incoming
                .refuse(ResetCode::DIAL_REFUSED, "this server does not let its clients dial"),
        }
    }

    fn on_closed(&self, end: SessionEnd) {
        match end.fault() {
            Fault::None => info!(%end, "session ended"),
            Fault::Peer | Fault::Transport => warn!(%end, "session ended"),
        }
        self.server.sessions().remove(self.session);
        self.server.announce(ServerEvent::Gone { key: self.key.clone(), end });
    }
}

impl Owner for SessionOwner {
    fn on_notice(&mut self, shared: &Arc<Shared>, notice: Notice) {
        match notice {
            Notice::Incoming { id, target, within } => {
                self.on_incoming(Incoming::new(Arc::clone(shared), id, target, within));
            }
            Notice::GoingAway { code, text } => {
                info!(%code, text, "the client takes no new connections");
            }
            Notice::Closed(end) => self.on_closed(end),
        }
    }
}
