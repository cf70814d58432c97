//! The software of a hostile agent: sends the messages of its commands, and reads the answers, or not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

use super::connect::{connect, exchange};
use super::environment::Environment;
use super::host_state::Command;
use super::plan::client_key;
use super::tcp::TcpSocket;
use crate::schedule::{AgentKind, Host, HostileMessage, Transport, unsigned};
use crate::situation::Situation;

/// How long it waits before it connects again.
const BREAK: Duration = Duration::from_millis(20);

/// How long a server may take nothing of its bytes.
const PATIENCE: Duration = Duration::from_millis(200);

/// Runs a hostile agent, until the command to hang up.
pub(super) async fn run(
    env: Arc<Environment>,
    number: u8,
    mut commands: UnboundedReceiver<Command>,
) -> turmoil::Result {
    let host = Host::Agent(number);
    env.with_host(host, |state| state.runtime = Some(tokio::runtime::Handle::current()));
    while let Ok(Goes::On) | Err(_) = visit(&env, number, &mut commands).await {
        sleep(BREAK).await;
        // Messages in between are lost.
        if drain(&mut commands) {
            break;
        }
    }
    env.with_host(host, |state| state.is_stopped = true);
    std::future::pending().await
}

/// Whether there was a command to leave.
fn drain(commands: &mut UnboundedReceiver<Command>) -> bool {
    let dropped = std::iter::from_fn(|| commands.try_recv().ok());
    dropped.into_iter().any(|command| matches!(command, Command::HangUp | Command::Stop(_)))
}

/// Whether it comes back.
enum Goes {
    On,
    Away,
}

/// One connection, from its greeting to its end.
async fn visit(
    env: &Arc<Environment>,
    number: u8,
    commands: &mut UnboundedReceiver<Command>,
) -> io::Result<Goes> {
    let agent = env.plan.agent(number).ok_or(io::ErrorKind::NotFound)?;
    let (home, transport, base) = (agent.home, agent.transport, agent.kind.is_base());
    let opening = async {
        let mut socket = connect(Arc::clone(env), Host::Agent(number), home).await?;
        exchange(&mut socket, &client_key(number), transport, base).await?;
        io::Result::Ok(socket)
    };
    let mut socket = match timeout(env.plan.handshake(), opening).await {
        Ok(opened) => opened?,
        Err(_) => return Ok(Goes::On),
    };
    let mut visit = Visit { env, transport, is_deaf: false };
    if matches!(agent.kind, AgentKind::Hostile { introduces_itself: true, .. }) {
        visit.send(&mut socket, &HostileMessage::INTRODUCTION).await?;
    }
    visit.exchange_bytes(&mut socket, commands).await
}

struct Visit<'a> {
    env: &'a Environment,
    transport: Transport,
    is_deaf: bool,
}

impl Visit<'_> {
    async fn exchange_bytes(
        &mut self,
        socket: &mut TcpSocket,
        commands: &mut UnboundedReceiver<Command>,
    ) -> io::Result<Goes> {
        let mut buffer = vec![0; 4096];
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Send(message)) => self.send(socket, &message).await?,
                    None | Some(Command::HangUp | Command::Stop(_)) => return Ok(Goes::Away),
                    Some(_) => {}
                },
                read = socket.read(&mut buffer), if !self.is_deaf => {
                    if read? == 0 {
                        return Ok(Goes::On);
                    }
                }
            }
        }
    }

    async fn send(&mut self, socket: &mut TcpSocket, message: &HostileMessage) -> io::Result<()> {
        self.note(message);
        if matches!(message, HostileMessage::Deaf) {
            self.is_deaf = true;
        }
        let bytes = bytes(message, self.transport);
        match timeout(PATIENCE, socket.write_all(&bytes)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    fn note(&self, message: &HostileMessage) {
        let situation = match message {
            HostileMessage::Raw { .. } | HostileMessage::Length { .. } => Situation::HostileGarbage,
            HostileMessage::Flood { .. } => Situation::HostileFlood,
            HostileMessage::AddClient { .. } => Situation::HostileRoutes,
            HostileMessage::Data { .. }
            | HostileMessage::Opened { .. }
            | HostileMessage::Finish { .. }
            | HostileMessage::Reset { .. }
            | HostileMessage::Credit { .. } => Situation::HostileId,
            _ => return,
        };
        self.env.recorder.note(situation);
    }
}

/// The bytes of a hostile agent's message, frames included.
pub(super) fn bytes(message: &HostileMessage, transport: Transport) -> Vec<u8> {
    let mut out = Vec::new();
    append(message, transport, &mut out);
    out
}

fn append(message: &HostileMessage, transport: Transport, out: &mut Vec<u8>) {
    match message {
        HostileMessage::Deaf => {}
        HostileMessage::Length { length } => prefix(*length, transport, out),
        HostileMessage::Flood { count, message } => {
            for turn in 0..*count {
                append(&message.in_flood(turn), transport, out);
            }
        }
        message => {
            let payload = message.payload().unwrap_or_default();
            prefix(payload.len() as u64, transport, out);
            out.extend_from_slice(&payload);
        }
    }
}

/// What stands in front of a message: a length, or the head of a binary WebSocket frame.
fn prefix(length: u64, transport: Transport, out: &mut Vec<u8>) {
    if transport == Transport::ByteStream {
        unsigned(length, out);
        return;
    }
    out.push(0x82);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(length @ 0..=125), _) => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use watertight::proto::wire::decode_frame;

    use super::*;

    #[test]
    fn a_flood_is_as_many_frames() {
        let message = Box::new(HostileMessage::Data { id: 3, bytes: 300 });
        let payload = message.payload().unwrap();
        let flood = HostileMessage::Flood { count: 3, message };
        let mut buffer = BytesMut::from(&*bytes(&flood, Transport::ByteStream));
        for _ in 0..3 {
            assert_eq!(decode_frame(&mut buffer, 1 << 16).unwrap().unwrap(), payload);
        }
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_frame_of_a_web_socket_has_the_length_that_it_needs() {
        let head = |count| {
            let message = HostileMessage::Raw { bytes: vec![7; count] };
            let mut frame = bytes(&message, Transport::WebSocket);
            let payload = frame.split_off(frame.len() - count);
            assert!(payload.iter().all(|byte| *byte == 7));
            frame
        };
        assert_eq!(head(125), [0x82, 125]);
        assert_eq!(head(126), [0x82, 126, 0, 126]);
        assert_eq!(head(1 << 16), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
