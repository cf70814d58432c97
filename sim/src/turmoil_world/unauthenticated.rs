//! The software of unauthenticated remotes: some connect to a server, others impersonate one.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_util::sync::CancellationToken;
use watertight::proto::wire::HelloReply;

use super::admission::{Visit, is_full_of_handshakes};
use super::connect::{accept, connect, exchange, greeting, lets_in, listen, read_head};
use super::environment::Environment;
use super::host_state::{Command, Visitors};
use super::plan::UNKNOWN;
use super::tcp::TcpSocket;
use crate::schedule::{BrokenFrames, Host, Opening, Transport, millis, unsigned};
use crate::situation::Situation;

/// Runs the host of unauthenticated remotes, until the command to stop.
pub(super) async fn run(
    env: Arc<Environment>,
    mut commands: UnboundedReceiver<Command>,
) -> turmoil::Result {
    let healed = CancellationToken::new();
    spawn_local(answer_all(Arc::clone(&env), healed.clone()));
    let mut number = 0;
    while let Some(command) = commands.recv().await {
        match command {
            Command::Visit(visitors) => {
                for _ in 0..visitors.sockets {
                    number += 1;
                    let (env, healed) = (Arc::clone(&env), healed.clone());
                    spawn_local(visit_again(env, number, visitors.clone(), healed));
                }
            }
            // Sockets that wait for the server stay: it has to close them.
            Command::HangUp => {
                healed.cancel();
                env.with_host(Host::Unauthenticated, |state| state.is_stopped = true);
            }
            Command::Stop(_) => break,
            _ => {}
        }
    }
    healed.cancel();
    env.with_host(Host::Unauthenticated, |state| state.is_stopped = true);
    pending().await
}

/// Answers connections that are meant for a server.
async fn answer_all(env: Arc<Environment>, healed: CancellationToken) -> turmoil::Result {
    let listener = listen().await?;
    loop {
        let (socket, _) = accept(&env, Host::Unauthenticated, &listener).await?;
        spawn_local(answer(Arc::clone(&env), socket, healed.clone()));
    }
}

/// Bytes of an answer that are checked.
const HEAD: usize = 64;

/// Between the end of a socket and the next one, and where the server is not there.
const BREAK: Duration = Duration::from_millis(2);
const REST: Duration = Duration::from_millis(30);

/// Visits a server, and again until the time of its command.
pub(super) async fn visit_again(
    env: Arc<Environment>,
    number: u64,
    visitors: Visitors,
    healed: CancellationToken,
) {
    loop {
        let was_there = visit(Arc::clone(&env), number, &visitors, &healed).await;
        if healed.is_cancelled() || env.recorder.now() >= visitors.until {
            return;
        }
        sleep(if was_there { BREAK } else { REST }).await;
    }
}

/// Connects, and stays until the server closes or it is time to leave. A remote with a session leaves when
/// everything is healed: nothing else ends it. Returns whether the server was there.
async fn visit(
    env: Arc<Environment>,
    number: u64,
    visitors: &Visitors,
    healed: &CancellationToken,
) -> bool {
    let Visitors { server, transport, ref opening, leave_after, hold_on, .. } = *visitors;
    let connecting = connect(Arc::clone(&env), Host::Unauthenticated, server);
    // The server may be away.
    let Ok(Ok(mut socket)) = timeout(env.plan.handshake(), connecting).await else { return false };
    let has_session = matches!(opening, Opening::Frames { .. });
    let visit = Visit::begin(&env, number, opening);
    let time_to_leave = async {
        match leave_after {
            Some(after) => sleep(millis(after)).await,
            None => pending().await,
        }
    };
    let answer = tokio::select! {
        biased;
        () = time_to_leave => return true,
        () = healed.cancelled(), if has_session => return true,
        answer = exchange_bytes(&mut socket, number, opening, transport) => answer,
    };
    // A remote that was closed before it could send had no answer.
    let Ok(answer) = answer else { return true };
    if !has_session && lets_in(&answer) {
        env.remotes().intrude(format!("an unauthenticated remote is let in with {opening:?}"));
    }
    note(&env, server, opening, &answer, &visit);
    drop(visit);
    if hold_on {
        sleep(env.plan.handshake()).await;
    }
    true
}

/// Greets the server, and reads until it closes. The beginning of its answer.
async fn exchange_bytes(
    socket: &mut TcpSocket,
    number: u64,
    opening: &Opening,
    transport: Transport,
) -> io::Result<Vec<u8>> {
    let wrong = greeting(UNKNOWN, "wrong", transport, false);
    match opening {
        Opening::Silence => {}
        Opening::Part { bytes } => socket.write_all(end_traffic(&wrong, *bytes)).await?,
        Opening::Garbage { bytes } => socket.write_all(bytes).await?,
        Opening::Wrong => socket.write_all(&wrong).await?,
        Opening::Frames { frames } => {
            let key = format!("{UNKNOWN}{number}");
            exchange(socket, &key, transport, false).await?;
            // The server may have had enough before the last of them.
            socket.write_all(&broken(frames, transport)).await.ok();
        }
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => {
                let writable = HEAD.saturating_sub(answer.len()).min(read);
                answer.extend_from_slice(buffer.get(..writable).unwrap_or_default());
            }
        }
    }
    Ok(answer)
}

/// The server has closed the socket.
fn note(env: &Environment, server: u8, opening: &Opening, answer: &[u8], visit: &Visit<'_>) {
    let ran_out = visit.ran_out();
    let without_share = answer.is_empty() && !ran_out && is_full_of_handshakes(env, server);
    let situation = match opening {
        Opening::Silence | Opening::Part { .. } if without_share => {
            Situation::UnauthenticatedEvicted
        }
        Opening::Silence if ran_out => Situation::UnauthenticatedSilent,
        Opening::Part { .. } if ran_out => Situation::UnauthenticatedHalf,
        Opening::Garbage { .. } if !answer.is_empty() => Situation::UnauthenticatedGarbage,
        Opening::Wrong if !answer.is_empty() => Situation::UnauthenticatedRefused,
        Opening::Frames { .. } => Situation::UnauthenticatedFrames,
        _ => return,
    };
    env.recorder.note(situation);
}

/// The first byte of a byte stream's greeting.
const PREFACE: u8 = 0;

/// Answers a connection, and holds it as long as it impersonates the server.
pub(super) async fn answer(
    env: Arc<Environment>,
    mut socket: TcpSocket,
    healed: CancellationToken,
) {
    let now = env.recorder.now();
    let Some((opening, left)) = env.remotes().impersonation(now) else { return };
    let over = async {
        tokio::select! {
            () = sleep(left) => {}
            () = healed.cancelled() => {}
        }
    };
    tokio::select! {
        biased;
        () = over => {}
        // The remote may have had enough.
        _ = answer_greeting(&env, &mut socket, &opening) => {}
    }
}

async fn answer_greeting(
    env: &Environment,
    socket: &mut TcpSocket,
    opening: &Opening,
) -> io::Result<()> {
    if *opening == Opening::Silence {
        read_to_end(socket).await?;
        env.recorder.note(Situation::ImpostorSilent);
        return Ok(());
    }
    let (transport, right) = receive(socket).await?;
    let answer = match opening {
        Opening::Silence => Vec::new(),
        Opening::Part { bytes } => end_traffic(&right, *bytes).to_vec(),
        Opening::Garbage { bytes } => bytes.clone(),
        Opening::Wrong => wrong(transport),
        Opening::Frames { frames } => [right, broken(frames, transport)].concat(),
    };
    socket.write_all(&answer).await?;
    read_to_end(socket).await?;
    env.recorder.note(match opening {
        Opening::Frames { .. } => Situation::ImpostorFrames,
        _ => Situation::ImpostorWrong,
    });
    Ok(())
}

async fn read_to_end(socket: &mut TcpSocket) -> io::Result<()> {
    let mut buffer = [0; 1024];
    while socket.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Reads the greeting of an agent or of a peer. Returns its transport, and the right answer.
async fn receive(socket: &mut TcpSocket) -> io::Result<(Transport, Vec<u8>)> {
    if socket.read_u8().await? == PREFACE {
        let reply = HelloReply { version: 1, status: HelloReply::ACCEPTED, text: String::new() };
        // The rest of it stays in the buffer of the socket.
        return Ok((Transport::ByteStream, reply.encode().to_vec()));
    }
    let head = read_head(socket).await?;
    let request = String::from_utf8_lossy(&head);
    let key = header(&request, "sec-websocket-key").unwrap_or_default();
    let proof = derive_accept_key(key.as_bytes());
    let extension = header(&request, "watertight-protocol").is_some();
    Ok((Transport::WebSocket, upgrade(&proof, extension)))
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    let headers = request.lines().filter_map(|line| line.split_once(": "));
    headers.filter(|(of, _)| of.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}

fn upgrade(proof: &str, extension: bool) -> Vec<u8> {
    let protocol = if extension { "Watertight-Protocol: 1\r\n" } else { "" };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {proof}\r\n{protocol}\r\n"
    );
    answer.into_bytes()
}

/// An answer that admits no agent.
fn wrong(transport: Transport) -> Vec<u8> {
    match transport {
        Transport::WebSocket => upgrade("AAAAAAAAAAAAAAAAAAAAAAAAAAA=", true),
        Transport::ByteStream => {
            let reply = HelloReply { version: 1, status: 403, text: "not you".into() };
            reply.encode().to_vec()
        }
    }
}

/// More than any message may have.
const HUGE: u64 = 1 << 40;

/// More fragments of this length than a message may have together.
const FRAGMENT: u16 = 4000;
const FRAGMENTS: usize = 20;

/// How many bytes of frames come after a greeting. A greeting is short.
pub(super) fn length(opening: &Opening) -> u64 {
    match opening {
        Opening::Frames { frames } => broken(frames, Transport::WebSocket).len() as u64,
        _ => 0,
    }
}

/// The first bytes of a greeting, never all.
pub(super) fn end_traffic(greeting: &[u8], bytes: u16) -> &[u8] {
    let most = greeting.len().saturating_sub(1);
    greeting.get(..most.min(bytes.into())).unwrap_or_default()
}

/// The bytes of broken frames.
pub(super) fn broken(frames: &BrokenFrames, transport: Transport) -> Vec<u8> {
    match (frames, transport) {
        (BrokenFrames::Garbage { bytes }, _) => bytes.clone(),
        (frames, Transport::WebSocket) => of_web_socket(frames),
        (frames, Transport::ByteStream) => of_byte_stream(frames),
    }
}

fn of_web_socket(frames: &BrokenFrames) -> Vec<u8> {
    match frames {
        BrokenFrames::Opcode => vec![0x83, 0],
        BrokenFrames::ReservedBits => vec![0xf2, 1, 0],
        BrokenFrames::Length => [vec![0x82, 127], HUGE.to_be_bytes().to_vec()].concat(),
        BrokenFrames::Unfinished => vec![0x82, 100, 0, 0, 0],
        BrokenFrames::Fragments => fragments(),
        BrokenFrames::LongControl => [vec![0x89, 126, 0, 126], vec![0; 126]].concat(),
        BrokenFrames::Masked => vec![0x82, 0x84, 1, 2, 3, 4, 0xfe, 0xfd, 0xfc, 0xfb],
        BrokenFrames::Garbage { bytes } => bytes.clone(),
    }
}

/// A first fragment and more of them, none of which is the last.
fn fragments() -> Vec<u8> {
    let fragment = |opcode: u8| {
        let head = [opcode, 126].into_iter().chain(FRAGMENT.to_be_bytes());
        head.chain((0..FRAGMENT).map(|_| 0)).collect()
    };
    let rest: Vec<u8> = fragment(0);
    [fragment(2), rest.repeat(FRAGMENTS)].concat()
}

/// There is a length in front of a message, and nothing else that could be broken.
fn of_byte_stream(frames: &BrokenFrames) -> Vec<u8> {
    let mut out = Vec::new();
    match frames {
        BrokenFrames::Unfinished => unsigned(100, &mut out),
        BrokenFrames::Opcode | BrokenFrames::Masked => out.extend([3, 0xff, 0xff, 0xff]),
        // A number that has no end.
        BrokenFrames::ReservedBits => out.extend([0xff; 12]),
        _ => unsigned(HUGE, &mut out),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_more_than_a_message_may_have_and_none_is_the_last() {
        let bytes = fragments();
        assert!(bytes.len() > 64 << 10);
        assert!(bytes.chunks(4 + usize::from(FRAGMENT)).all(|frame| frame[0] & 0x80 == 0));
    }

    #[test]
    fn a_part_is_never_the_whole() {
        assert_eq!(end_traffic(b"hello", 2), b"he");
        assert_eq!(end_traffic(b"hello", 5), b"hell");
        assert_eq!(end_traffic(b"", 1), b"");
    }

    #[test]
    fn what_is_unfinished_has_less_than_it_says() {
        let unfinished = BrokenFrames::Unfinished;
        assert_eq!(broken(&unfinished, Transport::WebSocket), [0x82, 100, 0, 0, 0]);
        assert_eq!(broken(&unfinished, Transport::ByteStream), [100]);
    }
}
