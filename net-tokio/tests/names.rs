//! Names of targets that have no answer, on the system's own resolver: an agent in a mount namespace
//! whose resolv.conf names a server that swallows what it is asked. Row N5 of the list of broken tunnels.
//!
//! `cargo test -p watertight --test names -- --ignored --nocapture` as root, with util-linux.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::net::UdpSocket;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use support::{KEY, TOKEN, Target, in_time, listen, server, until};

/// More than the threads of the agent's runtime that may block.
const NAMES: usize = 600;

/// Where nobody answers.
const SILENT: &str = "127.94.0.53";

/// An agent in a mount namespace of its own.
struct Jailed(Child);

impl Jailed {
    fn start(server: u16) -> (Self, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        // So long that nothing of it is over within this test.
        let resolv = format!("nameserver {SILENT}\noptions timeout:30 attempts:2\n");
        let resolv = write("resolv.conf", resolv);
        let token = write("token", TOKEN.into());
        let child = Command::new("unshare")
            .args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\""])
            .arg(resolv)
            .arg(env!("CARGO_BIN_EXE_watertight"))
            // Its server has a name, too.
            .args(["agent", "--connect", &format!("ws://localhost:{server}"), "--key", KEY])
            .arg("--token-file")
            .arg(token)
            .args(["--allow", "*:*", "--log", "warn"])
            .spawn()
            .unwrap();
        (Self(child), folder)
    }
}

impl Drop for Jailed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "makes a mount namespace, as root and with util-linux"]
async fn n5_names_that_hang_starve_neither_other_targets_nor_the_agent() {
    let silent = UdpSocket::bind((SILENT, 53)).unwrap();
    let server = server().build();
    let port = listen(&server).await.port();
    let (agent, _folder) = Jailed::start(port);
    until(|| !server.clients().is_empty()).await;

    let mut hanging = JoinSet::new();
    for number in 0..NAMES {
        let server = server.clone();
        let target = format!("tcp/hangs-{number}.test:80");
        hanging.spawn(async move { server.dial(KEY, &target).await.map(drop) });
    }
    // As many look-ups as there may be hang now.
    silent.set_nonblocking(true).unwrap();
    let mut asked = 0;
    until(|| {
        while silent.recv(&mut [0; 512]).is_ok() {
            asked += 1;
        }
        asked >= 256
    })
    .await;

    let echo = Target::echo().await;
    let began = Instant::now();
    let target = format!("tcp/localhost:{}", echo.at.port());
    let mut stream = in_time(server.dial(KEY, &target)).await.unwrap();
    stream.write_all(b"hello").await.unwrap();
    in_time(stream.read_exact(&mut [0; 5])).await.unwrap();
    println!("localhost answers after {} ms", began.elapsed().as_millis());
    drop(stream);

    let cut = Instant::now();
    assert!(server.disconnect(KEY, "a test"));
    until(|| server.clients().is_empty()).await;
    until(|| !server.clients().is_empty()).await;
    println!("the agent is back after {:.1} s", cut.elapsed().as_secs_f64());
    while let Some(dialled) = hanging.join_next().await {
        assert!(dialled.unwrap().is_err());
    }
    drop(agent);
    let ledger = in_time(server.shutdown(Duration::ZERO)).await;
    assert!(ledger.is_even(), "{ledger:?}");
}
