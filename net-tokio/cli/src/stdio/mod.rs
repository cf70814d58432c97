//! Standard output and standard error, which stop nobody.
//!
//! A pipe that nobody reads blocks who writes to it: a thread of the runtime, and with it traffic,
//! health checks and the signals that end the program. So all that the program says goes through a
//! queue to a thread of its own.
//!
//! The queue is ours because it counts bytes, not lines, and says in the log itself how many lines
//! are missing; the usual appender does neither.

mod line_queue;
mod visible;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::Duration;

use crate::failure::Failure;

use line_queue::LineQueue;
use visible::visible;

/// How long the end of the program waits until what was said has been written.
const FLUSH: Duration = Duration::from_secs(1);

static OUTPUT: OnceLock<LineQueue> = OnceLock::new();
static ERROR: OnceLock<LineQueue> = OnceLock::new();

/// Starts the threads that write. `missing` makes the line that says how many are left out of the
/// log.
pub(crate) fn start(missing: fn(u64) -> String) -> Result<(), Failure> {
    // Of the standard output nothing should ever be missing; it has a line for each address.
    let output = queue("stdout", io::stdout().as_fd(), |_| String::new())?;
    let error = queue("stderr", io::stderr().as_fd(), missing)?;
    if OUTPUT.set(output).is_ok() && ERROR.set(error).is_ok() {
        std::panic::set_hook(Box::new(tell_of_panic));
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
        // Whoever closed it does not want to read.
        Err(_) => LineQueue::start(name, io::sink(), missing),
    };
    started.map_err(|error| Failure::start(format_args!("cannot start a thread: {error}")))
}

fn tell_of_panic(panic: &PanicHookInfo<'_>) {
    // It is empty unless RUST_BACKTRACE asks for it.
    let trace = std::backtrace::Backtrace::capture();
    let thread = std::thread::current();
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
        // Whoever started the program may have closed it; that is no reason to stop.
        None => drop(writeln!(stream, "{line}")),
    }
}

/// Waits until all has been written, for a second at most.
pub(crate) fn flush() {
    let deadline = std::time::Instant::now() + FLUSH;
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
