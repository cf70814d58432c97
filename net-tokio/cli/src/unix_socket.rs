//! Unix sockets that are listened on, with the rights that they are to have from the first moment.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tokio::net::{UnixListener, UnixStream};

/// The default mode of a socket: a user who may write to it may connect.
const PRIVATE: u32 = 0o600;

/// A path, and who may connect: `/path?mode=660&group=admins`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnixSocket {
    pub(crate) path: PathBuf,
    mode: Option<u32>,
    /// A name or a number.
    group: Option<String>,
}

impl UnixSocket {
    /// A socket for this user alone.
    pub(crate) fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), mode: None, group: None }
    }
}

impl FromStr for UnixSocket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, options) = text.split_once('?').unwrap_or((text, ""));
        let mut socket = Self::at(path);
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("mode", mode)) => {
                    let digits = u32::from_str_radix(mode, 8).ok().filter(|mode| *mode <= 0o777);
                    let digits =
                        digits.ok_or(format!("{mode:?} is no mode: write 600, 660 or 666"))?;
                    socket.mode = Some(digits);
                }
                Some(("group", group)) if !group.is_empty() => {
                    socket.group = Some(group.to_string())
                }
                _ => {
                    return Err(format!(
                        "unknown option {option:?}: there are mode=660 and group=NAME"
                    ));
                }
            }
        }
        Ok(socket)
    }
}

impl fmt::Display for UnixSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.display().fmt(f)
    }
}

/// The file of a Unix socket, which is removed on drop.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode: another process may have replaced the socket with its own.
    identity: (u64, u64),
}

impl UnixSocket {
    /// Listens. Nobody else can connect before the socket has its mode and group: until then it is in a
    /// folder of its own. An existing file is not touched, except for the socket of a process that
    /// has ended.
    ///
    /// # Errors
    /// There is such a file, or the system does not let it be.
    pub(crate) async fn listen(&self) -> io::Result<(UnixListener, SocketFile)> {
        let gid = self.group.as_deref().map(gid).transpose()?;
        let private = PrivateFolder::beside(&self.path)?;
        let unpublished = private.0.join("socket");
        let listener = UnixListener::bind(&unpublished)?;
        if let Some(gid) = gid {
            chown(&unpublished, None, Some(gid))?;
        }
        let mode = self.mode.unwrap_or(PRIVATE);
        fs::set_permissions(&unpublished, fs::Permissions::from_mode(mode))?;
        if let Err(error) = rename_new(&unpublished, &self.path) {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            remove_stale(&self.path).await?;
            rename_new(&unpublished, &self.path)?;
        }
        let metadata = fs::symlink_metadata(&self.path)?;
        let identity = (metadata.dev(), metadata.ino());
        Ok((listener, SocketFile { path: self.path.clone(), identity }))
    }
}

/// A folder for this user alone, removed on drop with what is left in it.
struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// On the same file system.
    fn beside(path: &Path) -> io::Result<Self> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        for number in 0..100 {
            let name = format!(".watertight-{}-{number}", std::process::id());
            let private = folder.join(name);
            match fs::DirBuilder::new().mode(0o700).create(&private) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return created.map(|()| Self(private)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        // A folder that cannot be removed harms nobody.
        fs::remove_dir_all(&self.0).ok();
    }
}

fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

fn gid(group: &str) -> io::Result<u32> {
    if let Ok(gid) = group.parse() {
        return Ok(gid);
    }
    let groups = fs::read_to_string("/etc/group")?;
    let mut entries = groups.lines().map(|line| line.split(':'));
    let gid = entries.find_map(|mut entry| {
        let is_its = entry.next() == Some(group);
        entry.nth(1).filter(|_| is_its)?.parse().ok()
    });
    let unknown = || io::Error::new(io::ErrorKind::InvalidInput, format!("no group {group:?}"));
    gid.ok_or_else(unknown)
}

/// Removes the socket file of a process that has ended. A socket that answers, and a file that is no
/// socket, are left alone.
async fn remove_stale(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        let text = "there is a file of that name that is no socket";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let metadata = fs::symlink_metadata(&self.path);
        if metadata.is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            // Nothing more can be done about a file that cannot be removed; the next start does.
            fs::remove_file(&self.path).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> Result<UnixSocket, String> {
        text.parse()
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn rights_stand_behind_the_path() {
        let read = socket("/run/w.sock?mode=660&group=admins").unwrap();
        assert_eq!((read.mode, read.group.as_deref()), (Some(0o660), Some("admins")));
        assert_eq!(read.to_string(), "/run/w.sock");
        assert_eq!(socket("/run/w.sock").unwrap(), UnixSocket::at("/run/w.sock"));
        for text in ["/s?mode=888", "/s?mode=1777", "/s?group=", "/s?owner=a", "/s?mode"] {
            socket(text).unwrap_err();
        }
    }

    #[tokio::test]
    async fn a_socket_is_for_its_user_alone_unless_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.sock");
        let (_listener, file) = UnixSocket::at(&path).listen().await.unwrap();
        assert_eq!(mode(&path), 0o600);
        UnixStream::connect(&path).await.unwrap();
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "the private folder is removed"
        );
        drop(file);
        let own = rustix::process::getgid().as_raw();
        let text = format!("{}?mode=660&group={own}", path.display());
        let _held = socket(&text).unwrap().listen().await.unwrap();
        assert_eq!(mode(&path), 0o660);
        let error = socket("/tmp/w?group=no-such-group").unwrap().listen().await.unwrap_err();
        assert!(error.to_string().contains("no-such-group"), "{error}");
    }

    #[tokio::test]
    async fn a_link_in_its_place_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (precious, link) = (folder.path().join("precious"), folder.path().join("w.sock"));
        fs::write(&precious, "mine").unwrap();
        fs::set_permissions(&precious, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        UnixSocket::at(&link).listen().await.unwrap_err();
        assert_eq!(
            (mode(&precious), fs::read_to_string(&precious).unwrap()),
            (0o640, "mine".into())
        );
    }
}
