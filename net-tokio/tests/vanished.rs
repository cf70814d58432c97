//! Machines that vanish without closing, as hosts in network namespaces whose link is cut. N2 of
//! the list of bugs.
//!
//! `cargo test -p watertight --test vanished -- --ignored --nocapture` as root, with iproute2.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::fs::File;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use watertight::proto::Cause;
use watertight::{Keepalive, Listener, Policy};

use support::{KEY, Tunnel, in_time, server, until};

/// Connections of each kind.
const MANY: usize = 100;

/// The shortest timeout of keepalive.
const KEEPALIVE: Duration = Duration::from_secs(9);

/// The addresses of the host of the tunnel and of the one that vanishes.
const NEAR: &str = "10.231.77.1";
const FAR: &str = "10.231.77.2";

/// Two hosts and a link between them, for as long as it is held.
struct Network {
    near: String,
    far: String,
}

impl Network {
    fn create() -> Self {
        let id = std::process::id();
        let network = Self { near: format!("near-{id}"), far: format!("far-{id}") };
        let Self { near, far } = &network;
        ip(&["netns", "add", near]);
        ip(&["netns", "add", far]);
        let link = ["link", "add", "veth", "netns", near, "type", "veth"];
        ip(&[&link[..], &["peer", "name", "veth", "netns", far]].concat());
        for (host, address) in [(near, NEAR), (far, FAR)] {
            ip(&["-n", host, "address", "add", &format!("{address}/30"), "dev", "veth"]);
            ip(&["-n", host, "link", "set", "lo", "up"]);
            ip(&["-n", host, "link", "set", "veth", "up"]);
        }
        network
    }

    /// The far host sends nothing any more.
    fn cut(&self) {
        ip(&["-n", &self.far, "link", "set", "veth", "down"]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in [&self.near, &self.far] {
            Command::new("ip").args(["netns", "delete", host]).status().ok();
        }
    }
}

fn ip(arguments: &[&str]) {
    let status = Command::new("ip").args(arguments).status().unwrap();
    assert!(status.success(), "ip {arguments:?}: {status}");
}

/// Runs a function on a host. The sockets that it makes, and the threads that it starts, stay
/// there.
fn on<T: Send>(host: &str, run: impl FnOnce() -> T + Send) -> T {
    let place = File::open(format!("/run/netns/{host}")).unwrap();
    let enter = || {
        move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        run()
    };
    thread::scope(|scope| scope.spawn(enter).join().unwrap())
}

#[test]
#[ignore = "makes network namespaces, as root and with iproute2"]
fn n2_connections_of_machines_that_have_vanished_are_given_up() {
    let network = Network::create();
    on(&network.near, || {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(vanish(&network));
    });
}

async fn vanish(network: &Network) {
    let keepalive = Keepalive::after(KEEPALIVE);
    let allowed = ["tcp/127.0.0.1:*".parse().unwrap(), format!("tcp/{FAR}:*").parse().unwrap()];
    let policy: Policy = allowed.into_iter().collect();
    let agent = |agent: watertight::AgentBuilder| agent.keepalive(keepalive).policy(policy);
    let tunnel = Tunnel::with(server().keepalive(keepalive), agent, "ws").await;

    // Users there of a target here.
    let here = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let entrance = TcpListener::bind((NEAR, 0)).await.unwrap();
    let users = connect_from(&network.far, entrance.local_addr().unwrap());
    let target = format!("tcp/{}", here.local_addr().unwrap());
    let _forward = tunnel.server.forward(Listener::Tcp(entrance), KEY, &target);
    let mut targets = accept(&here).await;

    // Users here of a target there.
    let there = on(&network.far, || std::net::TcpListener::bind((FAR, 0)).unwrap());
    there.set_nonblocking(true).unwrap();
    let there = TcpListener::from_std(there).unwrap();
    let entrance = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut users_here = connect_from(&network.near, entrance.local_addr().unwrap());
    let target = format!("tcp/{}", there.local_addr().unwrap());
    let _other_forward = tunnel.server.forward(Listener::Tcp(entrance), KEY, &target);
    let targets_there = accept(&there).await;

    let live = || tunnel.server.ledger().connections.live;
    until(|| live() == 2 * MANY as u64).await;
    network.cut();
    let cut = Instant::now();
    // Half of them are idle. Bytes wait for the others.
    for target in targets.iter_mut().step_by(2) {
        target.write_all(b"for a user who has vanished").await.unwrap();
    }
    for user in users_here.iter_mut().step_by(2) {
        user.write_all(b"for a target that has vanished").unwrap();
    }
    until(|| live() == 0).await;
    println!("{} connections gone after {:.1} s", 2 * MANY, cut.elapsed().as_secs_f64());
    let vanished = |ledger: &watertight::proto::Ledger| ledger.removed.by(Cause::Vanished);
    let of_users = vanished(&tunnel.server.ledger().connections);
    let of_targets = vanished(&tunnel.agent.ledger().connections);
    assert_eq!((of_users, of_targets), (MANY as u64, MANY as u64));
    drop((users, targets_there));
    tunnel.end().await;
}

fn connect_from(host: &str, to: SocketAddr) -> Vec<TcpStream> {
    on(host, || (0..MANY).map(|_| TcpStream::connect(to).unwrap()).collect())
}

async fn accept(listener: &TcpListener) -> Vec<tokio::net::TcpStream> {
    let mut accepted = Vec::new();
    while accepted.len() < MANY {
        accepted.push(in_time(listener.accept()).await.unwrap().0);
    }
    accepted
}
