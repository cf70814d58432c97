//! Names of targets on the system's own resolver: an agent in a mount namespace whose resolv.conf names
//! a server that swallows what it is asked (row N5 of the list of broken tunnels), or one whose answers
//! change.
//!
//! `cargo test -p watertight-cli --test names -- --ignored --nocapture` as root, with util-linux.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "what fails here fails the test")]

use std::io::ErrorKind;
use std::net::UdpSocket;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use support::{KEY, TOKEN, Target, in_time, listen, server, until};

/// More than the threads of the agent's runtime that may block.
const NAMES: usize = 600;

/// Where nobody answers.
const SILENT: &str = "127.94.0.53";

/// Where an attacker answers.
const HOSTILE: &str = "127.94.0.54";

/// An agent in a mount namespace of its own.
struct Jailed(Child);

impl Jailed {
    /// Asks `names` for its targets' addresses.
    fn start(server: u16, names: &str, allow: &[&str]) -> (Self, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        // So long that nothing of it is over within this test.
        let resolv = format!("nameserver {names}\noptions timeout:30 attempts:2\n");
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
            .args(["--log", "warn", "--allow"])
            .args(allow)
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
    let (agent, _folder) = Jailed::start(port, SILENT, &["*:*"]);
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
    assert!(ledger.is_settled(), "{ledger:?}");
}

/// A name and its addresses at each question.
type NameAnswers = (&'static str, &'static [&'static [[u8; 4]]]);

/// The answers of the attacker. The policy allows the second address alone.
const ANSWERS: [NameAnswers; 3] = [
    ("rebound", &[&[[127, 0, 0, 2]], &[[127, 0, 0, 1]]]),
    ("both", &[&[[127, 0, 0, 1], [127, 0, 0, 2]]]),
    ("cloud", &[&[[169, 254, 169, 254]]]),
];

/// Answers questions of DNS (RFC 1035, 4.1) for as long as the process lives. No name has an IPv6
/// address.
fn answer_names(socket: &UdpSocket) {
    let (mut asked, mut question) = ([0; ANSWERS.len()], [0; 512]);
    while let Ok((length, from)) = socket.recv_from(&mut question) {
        let label = &question[13..13 + usize::from(question[12])];
        let index = ANSWERS.iter().position(|(name, _)| name.as_bytes() == label).unwrap();
        let is_v4 = question[..length].ends_with(&[0, 1, 0, 1]);
        let turns = ANSWERS[index].1;
        let addresses = if is_v4 { turns[asked[index] % turns.len()] } else { &[] };
        asked[index] += usize::from(is_v4);
        let count = u8::try_from(addresses.len()).unwrap();
        let header = [0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0];
        let mut answer = [&question[..2], &header, &question[12..length]].concat();
        for address in addresses {
            // The name of the question, A, IN, no time to live, four bytes.
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
            answer.extend(address);
        }
        socket.send_to(&answer, from).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "makes a mount namespace, as root and with util-linux"]
async fn a_name_that_is_rebound_leads_only_where_the_policy_allows() {
    let hostile = UdpSocket::bind((HOSTILE, 53)).unwrap();
    std::thread::spawn(move || answer_names(&hostile));
    let allowed = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let port = allowed.local_addr().unwrap().port();
    let forbidden = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    forbidden.set_nonblocking(true).unwrap();
    let server = server().build();
    let at = listen(&server).await.port();
    let (agent, _folder) = Jailed::start(at, HOSTILE, &["127.0.0.2:*", "cloud.test:*"]);
    until(|| !server.clients().is_empty()).await;

    let dial = async |name: &str| {
        let target = format!("tcp/{name}.test:{port}");
        in_time(server.dial(KEY, &target)).await.map_err(|error| error.to_string())
    };
    let refused = |name: &str| format!("tcp/{name}.test:{port} is not allowed here");
    let mut dialled = 0;
    for _ in 0..10 {
        // The address that was checked is the one that is dialled: a second look-up has another answer.
        match dial("rebound").await {
            Ok(_) => dialled += 1,
            Err(error) => assert_eq!(error, refused("rebound")),
        }
        dial("both").await.unwrap();
        // An allowed name does not lead to the credentials of the machine.
        let cloud = dial("cloud").await.unwrap_err();
        assert!(cloud.starts_with(&refused("cloud")) && cloud.contains("link-local"), "{cloud}");
    }
    assert_eq!(forbidden.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!((1..10).contains(&dialled), "{dialled} of 10");
    for _ in 0..dialled + 10 {
        in_time(allowed.accept()).await.unwrap();
    }
    drop(agent);
    assert!(in_time(server.shutdown(Duration::ZERO)).await.is_settled());
}
