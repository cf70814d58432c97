use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use tracing::{error, info};

use super::Tokens;
use super::file::read_tokens;
use crate::failure::Failure;

/// The tokens in force, and the file they come from.
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
        // The lock guards one pointer, which is whole whatever panicked.
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
