//! Concurrent operations of two or three threads on a session.

use std::time::Duration;

use bytes::Bytes;
use shuttle::future::block_on;
use shuttle::thread;
use tokio::io::AsyncWriteExt;
use watertight_core::SessionConfig;
use watertight_core::wire::GoAwayCode;

use super::{Session, explore};
use crate::session::{Buffers, InHand};
use crate::stream::{TunnelStream, dial};
use crate::sync::advance;
use crate::tasks::Tasks;

/// A session, and a connection of it that the remote has accepted.
fn connected(config: SessionConfig) -> (Session, TunnelStream, watertight_core::ConnectionId) {
    let mut session = Session::with(config, &Buffers::default());
    let shared = session.shared.clone();
    let dialling = thread::spawn(move || block_on(dial(&shared, "tcp/a:1", None)).unwrap());
    let id = session.remote.accept();
    (session, dialling.join().unwrap(), id)
}

#[test]
fn a_dial_learns_of_its_answer() {
    explore(|| {
        let (session, stream, _) = connected(SessionConfig::default());
        drop(stream);
        session.end();
    });
}

#[test]
fn a_blocked_reader_learns_of_bytes_and_a_blocked_remote_of_the_answer() {
    explore(|| {
        let (mut session, mut stream, id) = connected(SessionConfig::default());
        let reading = thread::spawn(move || {
            let read = block_on(stream.read_bytes(10)).unwrap();
            assert_eq!(read.as_deref(), Some(&b"question"[..]));
            block_on(stream.write_bytes(Bytes::from_static(b"answer"))).unwrap();
            stream
        });
        session.remote.write(id, b"question");
        session.remote.read(id, 6);
        drop(reading.join().unwrap());
        session.end();
    });
}

#[test]
fn a_blocked_writer_learns_of_credit() {
    explore(|| {
        let mut config = SessionConfig::default();
        config.limits.initial_window = 1024;
        let (mut session, mut stream, id) = connected(config);
        let writing = thread::spawn(move || {
            block_on(stream.write_bytes(Bytes::from_static(&[0; 1500]))).unwrap();
            stream
        });
        session.remote.read(id, 1500);
        drop(writing.join().unwrap());
        session.end();
    });
}

#[test]
fn an_end_of_file_reaches_a_remote_that_waits_for_it() {
    explore(|| {
        let (mut session, mut stream, id) = connected(SessionConfig::default());
        let finishing = thread::spawn(move || {
            block_on(stream.shutdown()).unwrap();
            stream
        });
        session.remote.read_end(id);
        drop(finishing.join().unwrap());
        session.end();
    });
}

#[test]
fn a_handle_that_is_dropped_while_its_session_ends_leaves_nothing() {
    explore(|| {
        let (session, stream, _) = connected(SessionConfig::default());
        let dropping = thread::spawn(move || drop(stream));
        let shared = session.shared.clone();
        let closing = thread::spawn(move || {
            shared.command(|core, now| core.close(now, GoAwayCode::SHUTDOWN, "over"));
        });
        dropping.join().unwrap();
        closing.join().unwrap();
        session.end();
    });
}

#[test]
fn halves_that_are_dropped_at_the_same_time_release_the_connection_once() {
    explore(|| {
        let (session, stream, _) = connected(SessionConfig::default());
        let (read, write) = stream.into_split();
        let reading = thread::spawn(move || drop(read));
        drop(write);
        reading.join().unwrap();
        session.end();
    });
}

#[test]
fn a_blocked_reader_learns_that_the_driver_was_dropped() {
    explore(|| {
        let (session, mut stream, _) = connected(SessionConfig::default());
        let reading = thread::spawn(move || block_on(stream.read_bytes(10)).is_err());
        session.tasks.kill();
        assert!(reading.join().unwrap(), "the session has ended");
        session.end();
    });
}

#[test]
fn a_deadline_that_is_set_while_a_read_blocks_ends_it() {
    explore(|| {
        let (session, mut stream, _) = connected(SessionConfig::default());
        let control = stream.control();
        let reading = thread::spawn(move || {
            let error = block_on(stream.read_bytes(10)).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
            stream
        });
        control.set_read_deadline(Some(crate::sync::now() + Duration::from_millis(10)));
        advance(Duration::from_millis(20));
        drop(reading.join().unwrap());
        drop(control);
        session.end();
    });
}

#[test]
fn a_group_of_tasks_ends_whether_it_is_killed_or_waited_for() {
    explore(|| {
        let tasks = Tasks::new();
        let child = tasks.child();
        child.spawn(std::future::pending());
        tasks.spawn(async {});
        let killing = {
            let child = child.clone();
            thread::spawn(move || child.kill())
        };
        block_on(tasks.wind_down(Duration::from_secs(1)));
        killing.join().unwrap();
        assert_eq!(tasks.live(), 0);
    });
}

#[test]
fn sessions_that_hold_too_much_at_the_same_time_give_all_of_it_back() {
    explore(|| {
        let buffers = Buffers::new(100);
        let holding = [(); 2].map(|()| {
            let buffers = buffers.clone();
            thread::spawn(move || {
                let session = Session::with(SessionConfig::default(), &buffers);
                let id = watertight_core::ConnectionId::SESSION;
                let mut in_hand = InHand::new(session.shared.clone(), id);
                let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
                in_hand.set(80, &mut cx);
                session.shared.account.keep_bound();
                drop(in_hand);
                session.end();
            })
        });
        holding.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(buffers.held(), 0);
    });
}
