//! Unix sockets as targets, where the system has none.

use std::io;
use std::path::Path;

use super::dial::Dialled;
use super::{Policy, TargetError};
use crate::target::Target;

impl Policy {
    #[allow(clippy::unused_async, reason = "where there are Unix sockets it waits")]
    pub(super) async fn dial_unix(
        &self,
        target: &Target,
        _path: &Path,
    ) -> Result<Dialled, TargetError> {
        let error = io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets");
        Err(TargetError::Connect { target: target.clone(), error })
    }
}
