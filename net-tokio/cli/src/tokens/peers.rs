//! The tokens with which servers prove to each other who they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use tracing::warn;
use zeroize::Zeroizing;

use super::file::{bad, check_token, is_weak, lines, problem, warn_if_weak};
use crate::exposure::warn_if_exposed;
use crate::failure::Failure;
use crate::text_file;

/// This server's own token, and those that it shares with one peer each.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PeerTokens {
    ours: Option<Zeroizing<String>>,
    shared: Shared,
}

/// By the ids of the peers.
pub(crate) type Shared = BTreeMap<String, Zeroizing<String>>;

impl PeerTokens {
    pub(crate) const fn new(ours: Option<Zeroizing<String>>, shared: Shared) -> Self {
        Self { ours, shared }
    }

    /// The token toward every peer that has none with this server alone.
    pub(crate) fn ours(&self) -> Option<&str> {
        self.ours.as_ref().map(|ours| &***ours)
    }

    /// The token that this server and the peer with this id prove themselves with to each other.
    pub(crate) fn shared_with(&self, id: &str) -> Option<&str> {
        self.shared.get(id).map(|shared| &***shared)
    }

    /// The ids of the peers that have one.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.shared.keys().map(String::as_str)
    }
}

impl fmt::Debug for PeerTokens {
    /// Without the tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerTokens").field("ids", &self.shared.keys()).finish_non_exhaustive()
    }
}

/// Reads a file of `ID TOKEN` lines.
pub(crate) fn read_shared(path: &Path) -> Result<Shared, Failure> {
    let content = text_file::read(path, "the file of the peers' tokens", "--peer-tokens")?;
    let content = Zeroizing::new(content);
    let (mut shared, mut weak) = (BTreeMap::new(), 0);
    for (number, line) in lines(&content) {
        let wrong = |text| bad(path, &problem(number, text));
        let words: Vec<_> = line.split_whitespace().collect();
        let &[id, token] = &*words else {
            return Err(wrong("expected `ID TOKEN`, the --peer-id of another server and a token"));
        };
        check_token(token).map_err(wrong)?;
        weak += usize::from(is_weak(token));
        if shared.insert(id.to_string(), token.to_string().into()).is_some() {
            return Err(wrong("this id has a line already"));
        }
    }
    let different: BTreeSet<&str> =
        shared.values().map(|token: &Zeroizing<String>| &***token).collect();
    if different.len() < shared.len() {
        let path = path.display();
        warn!(%path, "peers in the file have the same token: each of them can take the id of another one");
    }
    warn_if_exposed(path, "the file of the peers' tokens");
    warn_if_weak(path, weak);
    Ok(shared)
}
