//! External programs: whether they are installed, and running one to its end.

use std::ffi::OsStr;
use std::io::Write;
use std::process::{Command, Stdio};

use super::{Finished, PATIENCE, Process};

/// Whether the programs that a test drives are there. If not, the test is to return: this has printed
/// so, and how to get them. Where nothing may be skipped it fails instead.
pub(crate) fn found(programs: &[(&str, &str)]) -> bool {
    let missing = programs.iter().filter(|(program, _)| !is_there(program));
    let (names, packages): (Vec<_>, Vec<_>) = missing.copied().unzip();
    if names.is_empty() {
        return true;
    }
    let names = names.join(" and ");
    let text = format!("skipped: needs {names}: apt-get install {}", packages.join(" "));
    assert!(std::env::var_os("TESTS_REQUIRE_PROGRAMS").is_none(), "{text}");
    // Past what the test harness keeps to itself when a test passes.
    writeln!(std::io::stderr(), "{text}").ok();
    false
}

fn is_there(program: &str) -> bool {
    // There are several programs named nc, and only one of them has the option for half-closing.
    let (program, mark) = if program == "nc" { ("nc", "OpenBSD") } else { (program, "") };
    // A browser takes -h for something to show.
    let option = if program == "chromium" { "--version" } else { "-h" };
    let help = Command::new(program).arg(option).stdin(Stdio::null()).output();
    help.is_ok_and(|help| String::from_utf8_lossy(&help.stderr).contains(mark))
}

/// A program that neither proxies nor the user's configuration lead astray.
pub(crate) fn quiet_command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for proxy in ["http_proxy", "https_proxy", "all_proxy", "no_proxy"] {
        command.env_remove(proxy).env_remove(proxy.to_uppercase());
    }
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    command.stdin(Stdio::null());
    command
}

/// Runs a program to its end, and demands that it succeeds.
pub(crate) async fn run(command: &mut Command) -> Finished {
    let finished = Process::spawn(command).finish(PATIENCE).await;
    assert!(finished.status.success(), "{command:?}: {finished:?}");
    finished
}
