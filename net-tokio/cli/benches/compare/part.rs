//! The processes of a comparison: started, watched through `/proc`, and ended with the tool.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use crate::Result;

/// How long a process may take to print that it is ready.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lines of standard error that an error message quotes.
const LAST_LINES: usize = 5;

/// The kernel's unit of processor time.
const TICKS_PER_SECOND: f64 = 100.0;

/// A child process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Part {
    name: String,
    child: Child,
    lines: Receiver<String>,
    errors: Arc<Mutex<VecDeque<String>>>,
}

impl Part {
    /// Starts a program that ends when this one does, however it does.
    pub(crate) fn start<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        Self::start_with(&[], program, args)
    }

    /// The same with variables in its environment.
    pub(crate) fn start_with<A: AsRef<OsStr>>(
        environment: &[(&str, &str)],
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        let name = program.as_ref().display().to_string();
        let mut child = Command::new(std::env::current_exe()?)
            .args(["part", "child"])
            .arg(program)
            .args(args)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (sender, lines) = channel();
        read_lines(child.stdout.take(), move |line| {
            sender.send(line).ok();
        });
        let errors = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&errors);
        read_lines(child.stderr.take(), move |line| {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_back(line);
            while kept.len() > LAST_LINES {
                kept.pop_front();
            }
        });
        Ok(Self { name, child, lines, errors })
    }

    /// Starts this program in the role of a part.
    pub(crate) fn own(args: &[&str]) -> Result<Self> {
        Self::start(std::env::current_exe()?, ["part"].iter().chain(args))
    }

    /// What follows `prefix` in the first line that begins with it.
    pub(crate) fn line(&self, prefix: &str) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if let Some(rest) = line.strip_prefix(prefix) {
                        return Ok(rest.trim().to_string());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.failure(&format!("did not say {prefix:?} in {PATIENCE:?}")));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.failure(&format!("ended before it said {prefix:?}")));
                }
            }
        }
    }

    /// Asks it to end, and returns the text behind `prefix` in its output.
    pub(crate) fn terminate(self, prefix: &str) -> Result<String> {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(id.ok_or("no such process")?, Signal::TERM)?;
        self.line(prefix)
    }

    fn failure(&self, what: &str) -> Box<dyn std::error::Error + Send + Sync> {
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        let words: Vec<&str> = errors.iter().map(String::as_str).collect();
        format!("{} {what}: {}", self.name, words.join(" / ")).into()
    }

    /// CPU seconds used so far, by all threads.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let stat = self.proc("stat")?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks = after_name.split_whitespace().skip(11).take(2);
        let ticks: f64 = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        Ok(ticks / TICKS_PER_SECOND)
    }

    /// Resident KiB that are the process's own.
    pub(crate) fn resident(&self) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let value = line.and_then(|line| line.split_whitespace().next()).ok_or("no RssAnon")?;
        Ok(value.parse()?)
    }

    fn proc(&self, file: &str) -> Result<String> {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id()))
            .map_err(|error| self.failure(&format!("is gone ({error})")))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Calls back for each line, on a thread that ends with the stream.
fn read_lines(
    stream: Option<impl Read + Send + 'static>,
    mut each: impl FnMut(String) + Send + 'static,
) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        BufReader::new(stream).lines().map_while(|line| line.ok()).for_each(&mut each)
    });
}

/// Becomes the program, which ends when the process that started this one does.
pub(crate) fn become_child(program: &OsStr, args: &[std::ffi::OsString]) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Err(Command::new(program).args(args).exec().into())
}
