use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use tracing::warn;
use zeroize::Zeroizing;

use super::file::{is_weak, read_token, warn_if_weak};
use crate::exposure::warn_if_exposed;
use crate::failure::Failure;

const OPTION: &str = "--token-file";

/// An agent's token. A file is read again before each connection, so that the token can be changed
/// without a restart.
pub(crate) struct AgentToken {
    file: Option<PathBuf>,
    /// The last good one.
    token: Mutex<Zeroizing<String>>,
}

impl AgentToken {
    pub(crate) fn of_file(file: PathBuf) -> Result<Self, Failure> {
        let token = read_token(&file, OPTION)?;
        warn_if_exposed(&file, "the token file");
        warn_if_weak(&file, usize::from(is_weak(&token)));
        Ok(Self { file: Some(file), token: Mutex::new(token) })
    }

    pub(crate) fn fixed(token: &str) -> Self {
        Self { file: None, token: Mutex::new(token.to_string().into()) }
    }

    /// The token for the next connection. Reads the file, which may block.
    pub(crate) fn current(&self) -> String {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = &self.file {
            match read_token(file, OPTION) {
                Ok(read) => *token = read,
                Err(failure) => warn!(%failure, "the token stays what it was"),
            }
        }
        token.to_string()
    }
}

impl fmt::Debug for AgentToken {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentToken").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "first\n").unwrap();
        let token = AgentToken::of_file(file.clone()).unwrap();
        assert_eq!(token.current(), "first");
        std::fs::write(&file, "second\n").unwrap();
        assert_eq!(token.current(), "second");
        std::fs::write(&file, "# nothing\n").unwrap();
        assert_eq!(token.current(), "second");
        std::fs::remove_file(&file).unwrap();
        assert_eq!(token.current(), "second");
        assert_eq!(AgentToken::fixed("mine").current(), "mine");
        let shown = format!("{token:?} {:?}", AgentToken::fixed("mine"));
        assert!(!shown.contains("second") && !shown.contains("mine"), "{shown}");
    }
}
