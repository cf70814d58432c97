use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that wait, at most; as many again may be on their way. A second of a log at its worst.
const MOST: usize = 1 << 20;

/// Between two tries to write to what does not block and takes nothing.
const PAUSE: Duration = Duration::from_millis(10);

/// Lines on their way to a thread that writes them. The thread ends when this is dropped, as soon as
/// its write returns.
#[derive(Debug)]
pub(super) struct LineQueue(Arc<Shared>);

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
    /// Lines behind those that wait for which there was no room.
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
    pub(super) fn start(
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

    /// Adds a line, which ends with a line feed. Never waits: without room the line is left out.
    pub(super) fn push(&self, line: &[u8]) {
        let mut state = self.0.lock();
        // Once one is left out, so are the others, until the thread says how many: the gap is then
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
    pub(super) fn flush(&self, deadline: Instant) -> bool {
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

/// Writes all, however long it takes. What cannot be written, to a full disk say, is lost: it must
/// not end what it tells of.
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
}
