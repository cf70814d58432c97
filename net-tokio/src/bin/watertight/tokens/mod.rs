//! Who may connect: the tokens of a server's file, and the one of an agent's.

mod agent;
mod file;
mod reload;

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use watertight::{AuthRequest, Refusal};

pub(crate) use agent::AgentToken;
pub(crate) use file::{read_token, warn_if_exposed};
pub(crate) use reload::TokenBook;

/// A token as it is kept: digests have one length, so that comparing them tells nothing about the
/// token's.
type TokenDigest = [u8; 32];

/// The tokens that a server takes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tokens {
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Whose token it is; `None` if it is good for every client key.
    key: Option<String>,
    digest: TokenDigest,
}

fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

impl Tokens {
    pub(crate) fn add(&mut self, key: Option<&str>, token: &str) {
        self.entries.push(Entry { key: key.map(String::from), digest: digest(token) });
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The client key of the end that sent `request`. What a refusal says does not depend on
    /// other clients' keys.
    pub(crate) fn check(&self, request: &AuthRequest) -> Result<String, Refusal> {
        // An empty one is none: a byte stream's preface has room for both in any case.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (key, token) = (given(&request.client_key), given(&request.token));
        self.check_parts(key.as_deref(), token.as_deref())
    }

    fn check_parts(&self, key: Option<&str>, token: Option<&str>) -> Result<String, Refusal> {
        let token = token
            .ok_or_else(|| Refusal::unauthorized("no token: send `Authorization: Bearer TOKEN`"))?;
        let digest = digest(token);
        let (mut known, mut allowed) = (Choice::from(0), false);
        // Every entry is compared, whichever matches: the time tells nothing about the place.
        for entry in &self.entries {
            let same = entry.digest.ct_eq(&digest);
            known |= same;
            allowed |= bool::from(same) && entry.is_for(key);
        }
        match key {
            _ if !bool::from(known) => Err(Refusal::unauthorized("unknown token")),
            None => Err(Refusal::unauthorized("no client key: send `X-Tunnel-ID: KEY`")),
            Some(key) if allowed => Ok(key.to_string()),
            Some(key) => {
                Err(Refusal::unauthorized(format!("this token is not for client key {key:?}")))
            }
        }
    }
}

impl Entry {
    fn is_for(&self, key: Option<&str>) -> bool {
        self.key.is_none() || self.key.as_deref() == key
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
        let check = |key, token| tokens().check_parts(Some(key), Some(token));
        assert_eq!(check("lab", "any").unwrap(), "lab");
        assert_eq!(check("edge", "own").unwrap(), "edge");
        check("lab", "own").unwrap_err();
        check("edge", "").unwrap_err();
        check("edge", "own ").unwrap_err();
    }

    #[test]
    fn refusals_say_what_is_missing() {
        let reason = |key, token| tokens().check_parts(key, token).unwrap_err().reason;
        assert!(reason(Some("edge"), None).contains("Authorization: Bearer"));
        assert!(reason(None, Some("any")).contains("X-Tunnel-ID"));
        assert_eq!(reason(Some("edge"), Some("other")), "unknown token");
        assert_eq!(reason(Some("lab"), Some("own")), "this token is not for client key \"lab\"");
    }
}
