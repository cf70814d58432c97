//! Standard output and standard error. Neither blocks the program.
//!
//! A pipe that nobody reads blocks its writer: a thread of the runtime, and with it traffic, health
//! checks and the signals that end the program. So all output goes through a queue to a thread of its
//! own. The queue counts bytes, not lines, and writes into the log itself how many lines are missing; the
//! usual appender does neither.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::Failure;

/// How long the end of the program waits until its lines have been written.
const FLUSH: Duration = Duration::from_secs(1);

static OUTPUT: OnceLock<LineQueue> = OnceLock::new();
static ERROR: OnceLock<LineQueue> = OnceLock::new();

/// Starts the threads that write. `missing` makes the line with the number of lines that are left out of the
/// log.
pub(crate) fn start(missing: fn(u64) -> String) -> Result<(), Failure> {
    // Of the standard output nothing should ever be missing; it has a line for each address.
    let output = queue("stdout", io::stdout().as_fd(), |_| String::new())?;
    let error = queue("stderr", io::stderr().as_fd(), missing)?;
    if OUTPUT.set(output).is_ok() && ERROR.set(error).is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
    Ok(())
}

/// Writes past the standard library's handle, whose lock a blocked write would hold.
fn queue(
    name: &str,
    stream: std::os::fd::BorrowedFd<'_>,
    missing: fn(u64) -> String,
) -> Result<LineQueue, Failure> {
    let sink = stream.try_clone_to_owned().map(File::from);
    let started = match sink {
        Ok(sink) => LineQueue::start(name, sink, missing),
        // Nobody reads a stream that is closed.
        Err(_) => LineQueue::start(name, io::sink(), missing),
    };
    started.map_err(|error| Failure::start(format_args!("cannot start a thread: {error}")))
}

fn log_panic(panic: &PanicHookInfo<'_>) {
    // It is empty unless RUST_BACKTRACE asks for it.
    let trace = std::backtrace::Backtrace::capture();
    let thread = thread::current();
    let name = thread.name().unwrap_or("<unnamed>");
    error(&format!("thread '{name}': {panic}\n{trace}"));
}

/// Prints a line to standard output.
pub(crate) fn output(line: &str) {
    print(&OUTPUT, io::stdout(), line);
}

/// Prints a line to standard error, among those of the log.
pub(crate) fn error(line: &str) {
    print(&ERROR, io::stderr(), line);
}

fn print(queue: &OnceLock<LineQueue>, mut stream: impl Write, line: &str) {
    match queue.get() {
        Some(queue) => queue.push(format!("{line}\n").as_bytes()),
        // The parent process may have closed it; that is no reason to stop.
        None => drop(writeln!(stream, "{line}")),
    }
}

/// Waits until all has been written, for a second at most.
pub(crate) fn flush() {
    let deadline = Instant::now() + FLUSH;
    for queue in [&OUTPUT, &ERROR].into_iter().filter_map(OnceLock::get) {
        queue.flush(deadline);
    }
}

/// A writer for the log: each write is a line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shown = visible(line);
        match ERROR.get() {
            Some(queue) => queue.push(&shown),
            None => io::stderr().write_all(&shown)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The most bytes that wait; the thread may hold as many again. A second of a log at its worst.
const MOST: usize = 1 << 20;

/// Between two tries to write to what does not block and takes nothing.
const PAUSE: Duration = Duration::from_millis(10);

/// Lines for a thread that writes them. The thread ends when this is dropped, as soon as
/// its write returns.
#[derive(Debug)]
struct LineQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to write, or nothing will follow.
    filled: Condvar,
    /// All that there was is written.
    emptied: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines that did not fit, behind the waiting ones.
    missing: u64,
    /// The thread has something that it has not written yet.
    writing: bool,
    closed: bool,
}

impl LineQueue {
    /// Starts the thread `name`, which writes to `sink`. `missing` makes the line that stands where
    /// so many lines should.
    ///
    /// # Errors
    /// The system gives no thread.
    fn start(
        name: &str,
        sink: impl Write + Send + 'static,
        missing: fn(u64) -> String,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let run = move || of_thread.run(sink, missing);
        thread::Builder::new().name(name.to_string()).spawn(run)?;
        Ok(Self(shared))
    }

    /// Adds a line, which ends with a line feed. Never waits: a line that does not fit is left out.
    fn push(&self, line: &[u8]) {
        let mut state = self.0.lock();
        // Once one is left out, so are the others, until the thread writes their number: the gap is then
        // where it seems to be.
        if state.missing > 0 || state.waiting.len() + line.len() > MOST {
            state.missing += 1;
        } else {
            state.waiting.extend_from_slice(line);
        }
        drop(state);
        self.0.filled.notify_one();
    }

    /// Waits until all is written, until `deadline` at most. Whether it is.
    fn flush(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        let is_busy = |state: &mut State| !state.is_idle() || state.writing;
        let waited = self.0.emptied.wait_timeout_while(self.0.lock(), left, is_busy);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl Drop for LineQueue {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.filled.notify_one();
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.missing == 0
    }
}

impl Shared {
    fn run(&self, mut sink: impl Write, missing: fn(u64) -> String) {
        while let Some((mut lines, left_out)) = self.next() {
            if left_out > 0 {
                lines.extend_from_slice(missing(left_out).as_bytes());
            }
            write_all(&mut sink, &lines);
        }
    }

    /// Waits for something to write, and how many lines are missing behind it.
    fn next(&self) -> Option<(Vec<u8>, u64)> {
        let mut state = self.lock();
        state.writing = false;
        if state.is_idle() {
            self.emptied.notify_all();
        }
        let is_idle = |state: &mut State| state.is_idle() && !state.closed;
        let waited = self.filled.wait_while(state, is_idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.is_idle() {
            return None;
        }
        state.writing = true;
        Some((std::mem::take(&mut state.waiting), std::mem::take(&mut state.missing)))
    }

    /// The lock guards what is consistent after each statement.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all, however long it takes. Bytes that cannot be written, for example to a full disk,
/// are lost: a log must not end the program.
fn write_all(sink: &mut impl Write, mut lines: &[u8]) {
    while !lines.is_empty() {
        match sink.write(lines) {
            Ok(0) => return,
            Ok(written) => lines = lines.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Another process may have set the pipe so.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(PAUSE),
            Err(_) => return,
        }
    }
}

/// The line with each character that reverses, hides or breaks text written as its code: `\u202e`. So
/// it stands in JSON as well. A line that is not UTF-8 stays as it is.
fn visible(line: &[u8]) -> Cow<'_, [u8]> {
    let Ok(text) = std::str::from_utf8(line) else { return Cow::Borrowed(line) };
    if !text.contains(is_deceptive) {
        return Cow::Borrowed(line);
    }
    let mut shown = String::new();
    for char in text.chars() {
        if is_deceptive(char) {
            // Writing to a string does not fail.
            write!(shown, "\\u{:04x}", u32::from(char)).ok();
        } else {
            shown.push(char);
        }
    }
    Cow::Owned(shown.into_bytes())
}

/// Marks of direction, blanks of no width, ends of lines that few programs know, and the second set of
/// control characters.
fn is_deceptive(char: char) -> bool {
    matches!(
        char,
        '\u{80}'..='\u{9f}'
            | '\u{61c}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Takes a write whenever the test lets it.
    struct Gate {
        open: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // The test has let go of it: everything may pass.
            self.open.recv().ok();
            self.written.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn start() -> (LineQueue, mpsc::Sender<()>, Arc<Mutex<Vec<u8>>>) {
        let (opener, open) = mpsc::channel();
        let written = Arc::default();
        let gate = Gate { open, written: Arc::clone(&written) };
        (
            LineQueue::start("test", gate, |lines| format!("{lines} missing\n")).unwrap(),
            opener,
            written,
        )
    }

    const FOREVER: Duration = Duration::from_secs(25);

    #[test]
    fn what_does_not_fit_is_counted_where_it_should_stand() {
        let (queue, opener, written) = start();
        queue.push(b"first\n");
        // The thread has it in hand, and stands before the gate.
        let deadline = Instant::now() + FOREVER;
        while !queue.0.lock().waiting.is_empty() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
        let line = [vec![b'x'; (MOST / 2) - 1], vec![b'\n']].concat();
        for _ in 0..5 {
            queue.push(&line);
        }
        queue.push(b"small, and behind the gap\n");
        assert!(!queue.flush(Instant::now()));
        drop(opener);
        assert!(queue.flush(Instant::now() + FOREVER));
        queue.push(b"last\n");
        assert!(queue.flush(Instant::now() + FOREVER));
        let expected = [b"first\n", &*line, &line, b"4 missing\nlast\n"].concat();
        assert!(*written.lock().unwrap() == expected);
    }

    #[test]
    fn the_end_of_the_queue_is_that_of_the_thread_which_writes_what_is_left() {
        let (queue, opener, written) = start();
        queue.push(b"a\n");
        let shared = Arc::downgrade(&queue.0);
        drop((queue, opener));
        let deadline = Instant::now() + FOREVER;
        while shared.upgrade().is_some() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
        assert_eq!(*written.lock().unwrap(), b"a\n");
    }

    #[test]
    fn what_deceives_is_written_as_its_code() {
        let shown = |text: &str| String::from_utf8(visible(text.as_bytes()).into_owned()).unwrap();
        assert_eq!(shown("client=\"a\u{202e}b\"\n"), "client=\"a\\u202eb\"\n");
        assert_eq!(shown("a\u{2028}INFO forged\u{85}x"), "a\\u2028INFO forged\\u0085x");
        let json = serde_json::json!({ "client": "\u{2066}x\u{200b}" }).to_string();
        let read: serde_json::Value = serde_json::from_str(&shown(&json)).unwrap();
        assert_eq!(read["client"], "\u{2066}x\u{200b}");
        for plain in ["Küche – 北京 🦀\n", "\t"] {
            assert!(matches!(visible(plain.as_bytes()), Cow::Borrowed(_)));
        }
        assert_eq!(&*visible(b"\xff\n"), b"\xff\n");
    }
}
