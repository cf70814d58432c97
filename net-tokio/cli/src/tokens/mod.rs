//! Who may connect by token: the tokens of a server's file.

mod files;

use std::array;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use sha2::{Digest, Sha256};
use tracing::{error, info};
use watertight::Refusal;

use crate::failure::Failure;

use files::read_tokens;
pub(crate) use files::{
    AgentToken, PeerTokens, check_token, is_weak, read_shared, read_token, warn_if_weak,
};

/// A token as it is kept: salted, so that nobody outside can compute it and the time of a look-up reveals
/// nothing about the known tokens.
pub(crate) type TokenDigest = [u8; 32];

/// The tokens that a server takes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    /// Tokens of the client keys that have entries.
    own: BTreeMap<String, BTreeSet<TokenDigest>>,
    /// Tokens for every other client key.
    shared: BTreeSet<TokenDigest>,
    /// All of them.
    known: BTreeSet<TokenDigest>,
    entries: usize,
}

fn digest(token: &str) -> TokenDigest {
    /// Another one in each process.
    static SALT: LazyLock<[[u8; 8]; 4]> =
        LazyLock::new(|| array::from_fn(|_| RandomState::new().hash_one(()).to_le_bytes()));
    Sha256::new().chain_update(SALT.as_flattened()).chain_update(token).finalize().into()
}

impl Tokens {
    pub(crate) fn add(&mut self, key: Option<&str>, token: &str) {
        let digest = digest(token);
        match key {
            Some(key) => self.own.entry(key.to_string()).or_default().insert(digest),
            None => self.shared.insert(digest),
        };
        self.known.insert(digest);
        self.entries += 1;
    }

    pub(crate) const fn len(&self) -> usize {
        self.entries
    }

    /// The client key of an end, and its token as it is kept. Where the key has an entry, only that is
    /// good for it: the holder of a shared token cannot take over a client with its own.
    pub(crate) fn check(
        &self,
        key: Option<&str>,
        token: Option<&str>,
    ) -> Result<(String, TokenDigest), Refusal> {
        let token = token
            .ok_or_else(|| Refusal::unauthorized("no token: send `Authorization: Bearer TOKEN`"))?;
        let digest = digest(token);
        match key {
            _ if !self.known.contains(&digest) => Err(Refusal::unauthorized("unknown token")),
            None => Err(Refusal::unauthorized("no client key: send `X-Tunnel-ID: KEY`")),
            Some(key) if self.is_good(key, &digest) => Ok((key.to_string(), digest)),
            Some(key) => {
                Err(Refusal::unauthorized(format!("this token is not for client key {key:?}")))
            }
        }
    }

    /// Whether a token is good for a client key.
    pub(crate) fn is_good(&self, key: &str, digest: &TokenDigest) -> bool {
        self.own.get(key).unwrap_or(&self.shared).contains(digest)
    }
}

/// The tokens in force, and their file.
#[derive(Clone, Debug, Default)]
pub(crate) struct TokenBook {
    current: Arc<RwLock<Arc<Tokens>>>,
    /// Tokens that are made up for the occasion have none.
    file: Option<PathBuf>,
}

impl TokenBook {
    pub(crate) fn of_file(path: PathBuf) -> Result<Self, Failure> {
        let tokens = read_tokens(&path)?;
        Ok(Self { file: Some(path), ..Self::of(tokens) })
    }

    pub(crate) fn of(tokens: Tokens) -> Self {
        Self { current: Arc::new(RwLock::new(Arc::new(tokens))), file: None }
    }

    pub(crate) fn current(&self) -> Arc<Tokens> {
        // The lock guards one pointer, which is whole after any panic.
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again. A bad one changes nothing.
    pub(crate) fn reload(&self) {
        let Some(path) = &self.file else { return };
        match read_tokens(path) {
            Ok(tokens) => {
                info!(tokens = tokens.len(), "token file read again");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
            }
            Err(failure) => {
                error!(%failure, "the token file is bad; the tokens from before stay in force");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> Tokens {
        let mut tokens = Tokens::default();
        tokens.add(None, "any");
        tokens.add(Some("edge"), "own");
        tokens
    }

    #[test]
    fn tokens_open_what_they_are_for() {
        let check = |key, token| tokens().check(Some(key), Some(token)).map(|(key, _)| key);
        assert_eq!(check("lab", "any").unwrap(), "lab");
        assert_eq!(check("edge", "own").unwrap(), "edge");
        check("lab", "own").unwrap_err();
        check("edge", "any").unwrap_err();
        check("edge", "").unwrap_err();
        check("edge", "own ").unwrap_err();
    }

    #[test]
    fn a_token_is_good_until_its_entry_is_gone() {
        let mut tokens = Tokens::default();
        tokens.add(None, "any");
        assert!(tokens.is_good("edge", &digest("any")));
        tokens.add(Some("edge"), "own");
        assert!(!tokens.is_good("edge", &digest("any")) && tokens.is_good("lab", &digest("any")));
        assert!(tokens.is_good("edge", &digest("own")) && !tokens.is_good("lab", &digest("own")));
        assert!(!Tokens::default().is_good("edge", &digest("any")));
    }

    #[test]
    fn refusals_say_what_is_missing() {
        let reason = |key, token| tokens().check(key, token).unwrap_err().reason;
        assert!(reason(Some("edge"), None).contains("Authorization: Bearer"));
        assert!(reason(None, Some("any")).contains("X-Tunnel-ID"));
        assert_eq!(reason(Some("edge"), Some("other")), "unknown token");
        assert_eq!(reason(Some("lab"), Some("own")), "this token is not for client key \"lab\"");
    }
}
