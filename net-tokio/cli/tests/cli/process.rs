//! Processes of the program, which end with the test that started them.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

/// How long anything may take before a test fails. A session accepts silence for longer by
/// otherwise.
pub(crate) const DEADLINE: Duration = Duration::from_secs(25);

/// Waits until `condition` gives something.
pub(crate) fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The program with arguments, and without the options in the test's own environment.
pub(crate) fn program<S: AsRef<str>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watertight"));
    command.args(arguments.iter().map(AsRef::as_ref));
    without_settings(&mut command);
    command
}

/// Removes the options in the test's own environment.
pub(crate) fn without_settings(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WATERTIGHT_") {
            command.env_remove(name);
        }
    }
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"]
        .into_iter()
        .flat_map(|name| [name.to_string(), name.to_lowercase()])
    {
        command.env_remove(proxy);
    }
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn last_line(&self) -> &str {
        self.stdout.lines().last().unwrap_or_default()
    }
}

/// Runs the program to its end.
pub(crate) fn run<S: AsRef<str>>(arguments: &[S]) -> Finished {
    Process::start(program(arguments)).wait()
}

/// A running process, which is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdout: Output,
    stderr: Output,
}

#[derive(Debug)]
struct Output {
    text: Arc<Mutex<String>>,
    reader: Option<thread::JoinHandle<()>>,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Output::of(child.stdout.take().unwrap());
        let stderr = Output::of(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// Starts it, and waits until it prints that it is ready: an agent, that it is connected.
    pub(crate) fn ready<S: AsRef<str>>(arguments: &[S]) -> Self {
        Self::ready_with(program(arguments))
    }

    pub(crate) fn ready_with(command: Command) -> Self {
        let mut process = Self::start(command);
        eventually("ready", || {
            let over = process.child.try_wait().unwrap();
            assert!(over.is_none(), "{over:?}: {}", process.log());
            process.is_ready().then_some(())
        });
        process
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.stdout.get().lines().any(|line| line == "ready")
    }

    /// The address that it listens on for `purpose`, by what it printed.
    pub(crate) fn address(&self, purpose: &str) -> String {
        let found = self.find_address(purpose);
        found.unwrap_or_else(|| panic!("no {purpose} in {}", self.stdout.get()))
    }

    /// The same, if it has been printed yet.
    pub(crate) fn find_address(&self, purpose: &str) -> Option<String> {
        let output = self.stdout.get();
        let mut lines = output.lines().filter_map(|line| line.split_once(" listening on "));
        let (_, address) = lines.find(|(what, _)| what.starts_with(purpose))?;
        Some(address.to_string())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Lets it open `more` files besides its open ones.
    pub(crate) fn limit_files(&self, more: u64) {
        let limit = Rlimit {
            current: Some(u64::try_from(self.open_files()).unwrap() + more),
            maximum: getrlimit(Resource::Nofile).maximum,
        };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).unwrap();
    }

    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.get()
    }

    pub(crate) fn wait(mut self) -> Finished {
        let status = eventually("the end of the process", || self.child.try_wait().unwrap());
        Finished {
            code: status.code().unwrap_or(-1),
            stdout: self.stdout.all(),
            stderr: self.stderr.all(),
        }
    }

    /// Asks it to stop, and waits for its end.
    pub(crate) fn stop(self) -> Finished {
        self.signal(Signal::TERM);
        self.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended long ago.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Output {
    fn of(pipe: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut lines = BufReader::new(pipe);
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                sink.lock().unwrap().push_str(&line);
                line.clear();
            }
        });
        Self { text, reader: Some(reader) }
    }

    fn get(&self) -> String {
        self.text.lock().unwrap().clone()
    }

    fn all(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.get()
    }
}
