//! The programs that are compared; those of others are fetched and built once.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;

const RATHOLE: &str = "rathole@0.5.0";
const BORE: &str = "bore-cli@0.6.0";

/// Where they are, each built when it is first needed.
#[derive(Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
    before: Option<PathBuf>,
    remotedialer: OnceCell<PathBuf>,
    yamux_go: OnceCell<PathBuf>,
    rathole: OnceCell<PathBuf>,
    bore: OnceCell<PathBuf>,
}

impl Programs {
    /// Keeps them beside what cargo builds. `before` is another build of watertight.
    pub(crate) fn new(before: Option<PathBuf>) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compare");
        let [remotedialer, yamux_go, rathole, bore] = [const { OnceCell::new() }; 4];
        Self { folder, before, remotedialer, yamux_go, rathole, bore }
    }

    pub(crate) fn ours(&self) -> &Path {
        Path::new(env!("CARGO_BIN_EXE_watertight"))
    }

    pub(crate) fn before(&self) -> Result<&Path> {
        self.before.as_deref().ok_or_else(|| "which other build? (--before)".into())
    }

    pub(crate) fn remotedialer(&self) -> Result<&Path> {
        once(&self.remotedialer, || self.go("tests/interop/remotedialer", "remotedialer"))
    }

    pub(crate) fn yamux_go(&self) -> Result<&Path> {
        once(&self.yamux_go, || self.go("benches/compare/yamux", "yamux"))
    }

    pub(crate) fn rathole(&self) -> Result<&Path> {
        // The versions that its lock file names do not compile any more. The part left out here is
        // other transports.
        let options = ["--no-default-features", "--features", "server,client"];
        once(&self.rathole, || self.cargo(RATHOLE, &options, "rathole"))
    }

    pub(crate) fn bore(&self) -> Result<&Path> {
        once(&self.bore, || self.cargo(BORE, &["--locked"], "bore"))
    }

    /// Builds a Go program of this package. Go itself sees whether anything has changed.
    fn go(&self, source: &str, name: &str) -> Result<PathBuf> {
        let program = self.folder.join(name);
        let mut build = Command::new("go");
        build.args(["build", "-o"]).arg(&program).arg(".");
        build.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(source));
        // The module file names the Go that it needs, which is fetched through the module proxy.
        build.envs([("GOTOOLCHAIN", "auto"), ("GOFLAGS", "-mod=readonly"), ("CGO_ENABLED", "0")]);
        run(build, "needs Go: https://go.dev/dl")?;
        Ok(program)
    }

    fn cargo(&self, package: &str, options: &[&str], name: &str) -> Result<PathBuf> {
        // Another version is another folder.
        let folder = self.folder.join(package);
        let program = folder.join("bin").join(name);
        if !program.exists() {
            let mut install = Command::new("cargo");
            install.args(["install", "--root"]).arg(&folder).arg(package).args(options);
            // What this workspace is built with is not for others.
            install.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
            install.env_remove("CARGO_TARGET_DIR").current_dir(std::env::temp_dir());
            run(install, "needs cargo")?;
        }
        Ok(program)
    }
}

fn once(cell: &OnceCell<PathBuf>, make: impl FnOnce() -> Result<PathBuf>) -> Result<&Path> {
    if let Some(path) = cell.get() {
        return Ok(path);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}

fn run(mut command: Command, hint: &str) -> Result<()> {
    eprintln!("running {command:?}");
    let status = command.status().map_err(|error| format!("{command:?}: {error}; it {hint}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}
