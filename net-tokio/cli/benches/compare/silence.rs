//! Silent sockets at the agents' port: how long an agent takes to connect beside them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, interval, sleep, timeout};
use watertight::Agent;

use crate::Result;
use crate::contender::ours;
use crate::contender::programs::Programs;
use crate::part::Part;

/// Agents that connect, one after the other, and the pause between them: together longer than a socket may
/// be silent, so that some come as others go.
const AGENTS: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// How long each of them may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// An address that opens no silent sockets.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 9);

/// How often closed sockets are replaced, and how many of them at a time: 1,000 a second.
const REPLACING: (Duration, usize) = (Duration::from_millis(100), 100);

/// Prints a row for each pair of networks of the silent sockets and the agents.
pub(crate) async fn run(sockets: usize) -> Result<()> {
    let programs = Programs::new(None);
    println!(
        "| silent sockets | from addresses | the agents are | in after, p50 ms | longest \
         | not in after 20 s |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for (sockets, sources) in [(0, 1), (sockets, 1), (sockets, 100)] {
        let service = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let server = ours::server(programs.ours(), "ws", "edge", service)?;
        let arguments = ["silence", &server.agents, &sockets.to_string(), &sources.to_string()];
        let silence = Part::own(&arguments)?;
        silence.line("ready")?;
        let at = server.agents.parse()?;
        for (place, from) in [("elsewhere", ELSEWHERE), ("at one of these", source(0))] {
            let times = agents(at, from).await?;
            let (median, longest) = (times.get(times.len() / 2), times.last());
            let show = |time: Option<&f64>| time.map_or("-".into(), |time| format!("{time:.1}"));
            println!(
                "| {sockets} | {sources} | {place} | {} | {} | {} |",
                show(median),
                show(longest),
                AGENTS - times.len()
            );
        }
    }
    Ok(())
}

/// How long each of those took that got in, in ms, sorted.
async fn agents(at: SocketAddr, from: Ipv4Addr) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(AGENTS);
    for number in 0..AGENTS {
        let url = format!("ws://{at}/connect").parse()?;
        let agent = Agent::builder(url, &format!("edge-{number}")).token(ours::TOKEN);
        let started = Instant::now();
        let agent = agent.connect_with(move || connect_from(from, at)).start();
        if timeout(PATIENCE, agent.connected()).await.is_ok_and(|connected| connected.is_ok()) {
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        agent.shutdown(Duration::ZERO).await;
        sleep(PAUSE).await;
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

/// The part of the silent sockets: so many from so many addresses. Closed ones are replaced.
pub(crate) async fn hold(at: SocketAddr, sockets: usize, sources: usize) -> Result<()> {
    let mut held = Vec::with_capacity(sockets);
    for number in 0..sockets {
        held.push(connect_from(source(number % sources), at).await?);
    }
    println!("ready");
    let (every, most) = REPLACING;
    let mut turns = interval(every);
    loop {
        turns.tick().await;
        let closed = held.iter_mut().enumerate().filter(|(_, socket)| is_closed(socket));
        for (number, socket) in closed.take(most) {
            *socket = connect_from(source(number % sources), at).await?;
        }
    }
}

fn is_closed(socket: &TcpStream) -> bool {
    !matches!(socket.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn source(number: usize) -> Ipv4Addr {
    let [.., high, low] = number.to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

async fn connect_from(from: Ipv4Addr, at: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    socket.connect(at).await
}
