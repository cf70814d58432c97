//! Standard output and standard error that nobody reads.

use std::io::{PipeReader, Read, pipe};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::http::get;
use crate::process::{eventually, program};
use crate::tunnel::{folder, owned, server_arguments};

/// A server whose output goes into pipes that the test reads when it wants to.
struct Muted {
    child: Child,
    admin: String,
    _folder: tempfile::TempDir,
}

impl Muted {
    /// With its standard output in the same pipe as its log, or in one that is read.
    fn start(level: &str, shared: bool) -> (Self, PipeReader) {
        let folder = folder();
        let admin = free_address();
        let more = owned(&["--admin", &admin, "--log", level]);
        let mut command = program(&[server_arguments(&folder), more].concat());
        let (reader, writer) = pipe().unwrap();
        command.stdin(Stdio::null()).stderr(writer.try_clone().unwrap());
        command.stdout(if shared { Stdio::from(writer) } else { Stdio::null() });
        let child = command.spawn().unwrap();
        let muted = Self { child, admin, _folder: folder };
        eventually("the admin server", || {
            std::net::TcpStream::connect(&muted.admin).is_ok().then_some(())
        });
        (muted, reader)
    }

    /// Has a line of 8,000 bytes logged.
    fn log_a_line(&self) {
        let answer = get(&self.admin, &format!("/client/{}/http/web/", "k".repeat(8_000)));
        assert_eq!(answer.status, 404);
    }

    fn is_healthy(&self) {
        assert_eq!(get(&self.admin, "/healthz").status, 200);
    }

    fn signal(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    fn end(&mut self) -> Option<i32> {
        eventually("the end of the process", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Muted {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// An address that nothing listens on now.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

/// Reads a pipe as long as the test lasts.
fn read(mut pipe: PipeReader) -> Arc<Mutex<Vec<u8>>> {
    let all = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&all);
    thread::spawn(move || {
        let mut chunk = [0; 1 << 16];
        while let Ok(read @ 1..) = pipe.read(&mut chunk) {
            sink.lock().unwrap().extend_from_slice(&chunk[..read]);
        }
    });
    all
}

#[test]
fn a_log_that_nobody_reads_stops_nothing_and_says_what_is_missing() {
    const LINES: usize = 600;
    let (mut server, pipe) = Muted::start("debug", false);
    for _ in 0..LINES {
        server.log_a_line();
    }
    server.is_healthy();
    // Once somebody reads, it continues: old lines, the number of missing ones, and new ones.
    let log = read(pipe);
    let text = || String::from_utf8(log.lock().unwrap().clone()).unwrap();
    eventually("what is missing", || text().contains("log lines were left out").then_some(()));
    let (before, after) = {
        let text = text();
        let (before, after) = text.split_once("log lines were left out").unwrap();
        (before.to_string(), after.to_string())
    };
    let left_out: usize = before.rsplit(' ').nth(1).unwrap().parse().unwrap();
    assert_eq!(before.matches("request not passed on").count() + left_out, LINES, "{after}");
    assert!(before.lines().all(|line| line.contains(" watertight") || line.len() < 200));
    server.log_a_line();
    eventually("a new line", || {
        let text = text();
        let (_, after) = text.split_once("log lines were left out").unwrap();
        after.contains("request not passed on").then_some(())
    });
    server.signal();
    assert_eq!(server.end(), Some(0));
    assert!(text().contains("draining"), "the last lines are written before the end");
}

#[test]
fn a_program_ends_though_nobody_reads_its_output() {
    for shared in [false, true] {
        let (mut server, pipe) = Muted::start("debug", shared);
        for _ in 0..30 {
            server.log_a_line();
        }
        server.is_healthy();
        server.signal();
        assert_eq!(server.end(), Some(0), "standard output in the same pipe: {shared}");
        drop(pipe);
    }
}

#[test]
fn an_output_whose_reader_has_gone_stops_nothing() {
    let (mut server, pipe) = Muted::start("debug", true);
    drop(pipe);
    for _ in 0..30 {
        server.log_a_line();
    }
    server.is_healthy();
    server.signal();
    assert_eq!(server.end(), Some(0));
}
