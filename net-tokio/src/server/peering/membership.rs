//! Who is a peer.

use std::sync::Arc;

use tokio::sync::watch;
use tracing::info;

use super::book::Known;
use super::{Peer, PeerError, link};
use crate::agent::AgentStatus;
use crate::metrics::PeerMeter;
use crate::server::Inner;

impl Inner {
    /// Adds a peer, and connects to it. `found_by` is the search that found it, if it was one: a
    /// search leaves those alone that it did not find.
    pub(super) fn add_peer(
        self: &Arc<Self>,
        peer: Peer,
        found_by: Option<u64>,
    ) -> Result<(), PeerError> {
        let mut sessions = self.sessions();
        if sessions.is_closed() {
            return Err(PeerError::ShuttingDown);
        }
        sessions.book().check(&peer)?;
        let identity = sessions.book().identity().ok_or(PeerError::NoIdentity)?;
        if let Some(known) = sessions.book().get(&peer.id) {
            let same = known.peer.is(&peer);
            if found_by.is_none() && same {
                sessions.book_mut().claim_by_id(&peer.id);
                return Ok(());
            }
            if same || (found_by.is_some() && known.found_by != found_by) {
                return Ok(());
            }
        }
        let removed = sessions.remove_peer(&peer.id);
        let (status, standing) = watch::channel(AgentStatus::Connecting);
        let number = sessions.book_mut().number();
        let (stop, retry_now) = (self.stop.child_token(), Arc::default());
        sessions.book_mut().insert(Known {
            peer: peer.clone(),
            number,
            found_by,
            stop: stop.clone(),
            retry_now: Arc::clone(&retry_now),
            status: standing,
        });
        drop(sessions);
        if let Some(removed) = removed {
            removed.end("this peer is to be reached in another way");
        }
        info!(id = peer.id, endpoint = %peer.endpoint, "peer added");
        let searched_for = found_by.map(|_| peer.endpoint.to_string());
        let meter = PeerMeter::new(searched_for.unwrap_or_else(|| peer.id.clone()));
        link::start(
            self,
            &identity,
            &peer,
            number,
            meter,
            link::LinkControl { stop, retry_now, status },
        );
        Ok(())
    }

    /// Removes a peer, or leaves it alone if it was not found by this search.
    pub(super) fn remove_peer(&self, id: &str, found_by: Option<u64>) -> bool {
        let removed = self.sessions().remove_peer_found_by(id, found_by);
        let Some(removed) = removed else { return false };
        info!(id, "peer removed");
        removed.end("this server is no peer any more");
        true
    }
}
