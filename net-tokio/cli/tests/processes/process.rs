//! Child processes that end with the test, with their logs kept for its failure.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, Once};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{PATIENCE, eventually};

/// How much of a process's log is shown when a test fails.
const SHOWN_LINES: usize = 60;

/// A child process. It is killed and waited for when this is dropped, in any state.
///
/// When that happens because the test fails, what the process wrote to standard error is shown.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: UnboundedReceiver<String>,
    errors: Arc<Mutex<String>>,
    /// Ends with the process's standard error.
    listening: Option<JoinHandle<()>>,
}

/// Status and output of a process that has ended by itself.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Process {
    /// Starts a process whose standard output is text.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let (sender, lines) = unbounded_channel();
        let read = move |out: ChildStdout| {
            for line in BufReader::new(out).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        };
        let mut process = Self::spawn_with(command, read);
        process.lines = lines;
        process
    }

    /// Starts a process whose standard output `read` takes care of, in a thread of its own.
    pub(crate) fn spawn_with(
        command: &mut Command,
        read: impl FnOnce(ChildStdout) + Send + 'static,
    ) -> Self {
        raise_descriptor_limit();
        let name = command.get_program().to_string_lossy().into_owned();
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
        let out = child.stdout.take().unwrap();
        std::thread::spawn(move || read(out));
        let errors = Arc::<Mutex<String>>::default();
        let (mut err, kept) = (child.stderr.take().unwrap(), Arc::clone(&errors));
        let listening = std::thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(read @ 1..) = err.read(&mut chunk) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..read]));
            }
        });
        let listening = Some(listening);
        Self { name, child, lines: unbounded_channel().1, errors, listening }
    }

    /// The next line of standard output; `None` at its end.
    pub(crate) async fn next_line(&mut self) -> Option<String> {
        self.lines.recv().await
    }

    /// Its standard error so far.
    pub(crate) fn errors(&self) -> String {
        self.errors.lock().unwrap().clone()
    }

    /// Waits until it has written `text` to standard error, as it is or as it stands in JSON.
    pub(crate) async fn wait_for_log(&self, text: &str) {
        eventually(PATIENCE, &format!("{} logs {text:?}", self.name), async || {
            self.errors()
                .replace("\\\"", "\"")
                .contains(text)
                .then_some(())
                .ok_or_else(|| "it has not".to_string())
        })
        .await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it, and waits until none of its threads runs any more: on a busy machine that takes
    /// its time after the signal has been sent.
    pub(crate) async fn stop(&self) {
        self.signal(Signal::STOP);
        eventually(PATIENCE, "a stopped process", async || {
            let threads = std::fs::read_dir(self.proc("task")).unwrap();
            let states = threads.map(|thread| state(&thread.unwrap().path()));
            let running = states.filter(|state| *state != Some('T')).count();
            if running == 0 { Ok(()) } else { Err(format!("{running} threads run")) }
        })
        .await;
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn exit(&mut self, limit: Duration) -> ExitStatus {
        eventually(limit, &format!("the end of {}", self.name), async || {
            self.child.try_wait().unwrap().ok_or_else(|| "it is still running".to_string())
        })
        .await
    }

    /// Waits until it has ended by itself, and for the rest of its output.
    pub(crate) async fn finish(mut self, limit: Duration) -> Finished {
        let status = self.exit(limit).await;
        let mut out = String::new();
        while let Some(line) = self.next_line().await {
            out.push_str(&line);
            out.push('\n');
        }
        if let Some(listening) = self.listening.take() {
            listening.join().unwrap();
        }
        Finished { status, out, err: self.errors() }
    }

    /// Bytes of memory that are its alone: heap and stacks, without the program's file.
    pub(crate) fn resident(&self) -> u64 {
        self.status("RssAnon:")
    }

    /// The most memory that it ever had, the program's file included.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// The kernel's count of bytes with this name.
    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().unwrap();
        kib * 1024
    }

    /// File descriptors that it holds.
    pub(crate) fn fds(&self) -> usize {
        std::fs::read_dir(self.proc("fd")).unwrap().count()
    }

    fn proc(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }
}

/// The state of a thread, a letter after its name in parentheses; `None` if it has ended.
fn state(thread: &Path) -> Option<char> {
    let stat = std::fs::read_to_string(thread.join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

impl Drop for Process {
    fn drop(&mut self) {
        // Neither fails on a process that has been waited for.
        self.child.kill().ok();
        let status = self.child.wait();
        if std::thread::panicking() {
            let errors = self.errors.lock().unwrap();
            let lines: Vec<_> = errors.lines().collect();
            let shown = lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default();
            eprintln!("--- {} ({status:?}), standard error:\n{}", self.name, shown.join("\n"));
        }
    }
}

/// Hundreds of connections at once, both ends in this process, are more than the usual limit.
/// Processes that are started later inherit it.
fn raise_descriptor_limit() {
    static RAISED: Once = Once::new();
    RAISED.call_once(|| {
        let maximum = getrlimit(Resource::Nofile).maximum;
        // A system that does not allow it may get by with what there is.
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).ok();
    });
}
