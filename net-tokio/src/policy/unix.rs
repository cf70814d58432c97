//! Unix sockets as targets.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

use super::dial::Dialled;
use super::{Policy, TargetError};
use crate::target::Target;

impl Policy {
    /// As [`exclude_address`](Self::exclude_address), for the Unix socket that now has this path.
    ///
    /// # Errors
    /// There is no such file.
    pub fn exclude_socket(&mut self, path: &Path) -> io::Result<()> {
        self.excluded.unix.push(identity(&path.metadata()?));
        Ok(())
    }

    pub(super) async fn dial_unix(
        &self,
        target: &Target,
        path: &Path,
    ) -> Result<Dialled, TargetError> {
        let real = self.real_path(target, path)?;
        let failed = |error| TargetError::Connect { target: target.clone(), error };
        UnixStream::connect(real).await.map(Dialled::Unix).map_err(failed)
    }

    /// The path without links, if that is allowed, too.
    fn real_path(&self, target: &Target, path: &Path) -> Result<PathBuf, TargetError> {
        let failed = |error| TargetError::Connect { target: target.clone(), error };
        let real = path.canonicalize().map_err(failed)?;
        if !self.patterns.iter().any(|pattern| pattern.allows_real_path(path, &real)) {
            return Err(TargetError::Refused(target.clone()));
        }
        if self.excluded.unix.contains(&identity(&real.metadata().map_err(failed)?)) {
            return Err(TargetError::Own(target.clone()));
        }
        Ok(real)
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::super::dial::tests::dial;
    use super::*;

    #[tokio::test]
    async fn a_link_below_a_folder_leads_nowhere_else() {
        let [folder, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let (inside, outside) = (folder.path().join("in.sock"), other.path().join("out.sock"));
        let _listeners = [&inside, &outside].map(|path| UnixListener::bind(path).unwrap());
        let link = |to, name: &str| {
            let path = folder.path().join(name);
            std::os::unix::fs::symlink(to, &path).unwrap();
            format!("unix/{}", path.display())
        };
        let pattern = format!("unix/{}/*", folder.path().display());
        let (to_inside, to_outside) = (link(&inside, "a"), link(&outside, "b"));
        assert!(matches!(dial(&[&pattern], &to_inside).await, Ok(Dialled::Unix(_))));
        let error = dial(&[&pattern], &to_outside).await.err().unwrap();
        assert!(error.is_refusal(), "{error}");
        // The operator who names a link knows its target.
        assert!(matches!(dial(&[&to_outside], &to_outside).await, Ok(Dialled::Unix(_))));
        // A folder may be one itself.
        let folder_link = other.path().join("folder");
        std::os::unix::fs::symlink(folder.path(), &folder_link).unwrap();
        let pattern = format!("unix/{}/*", folder_link.display());
        let target = format!("unix/{}/in.sock", folder_link.display());
        assert!(matches!(dial(&[&pattern], &target).await, Ok(Dialled::Unix(_))));
    }

    #[tokio::test]
    async fn a_unix_socket_is_dialled_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("target.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let pattern = format!("unix/{}/*", folder.path().display());
        let dialled = dial(&[&pattern], &format!("unix/{}", path.display())).await;
        assert!(matches!(dialled, Ok(Dialled::Unix(_))));
    }
}
