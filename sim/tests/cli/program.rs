//! The `watertight-sim` process, in a temporary folder.

use std::path::Path;
use std::process::{Command, Output};

/// The program, run in a folder of its own.
pub(crate) struct Program {
    folder: tempfile::TempDir,
}

/// Its output and its exit code.
pub(crate) struct Printed {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watertight-sim"));
        command.current_dir(self.folder()).args(arguments.split_whitespace());
        command
    }

    pub(crate) fn run(&self, arguments: &str) -> Printed {
        Printed::new(&self.command(arguments).output().unwrap())
    }

    /// Runs it, which must end with this code.
    pub(crate) fn ends_with(&self, code: i32, arguments: &str) -> Printed {
        let printed = self.run(arguments);
        assert_eq!(printed.code, Some(code), "{arguments}\n{}\n{}", printed.out, printed.err);
        printed
    }

    pub(crate) fn json(&self, file: &str) -> serde_json::Value {
        let text = std::fs::read_to_string(self.folder().join(file)).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

impl Printed {
    pub(crate) fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}
