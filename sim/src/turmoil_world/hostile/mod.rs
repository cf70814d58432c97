//! The software of a hostile agent: says what it is told to, and reads what comes, or not.

mod wire;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{sleep, timeout};

use super::application::key;
use super::command::Command;
use super::connect::connect;
use super::greeting;
use super::socket::Socket;
use super::stage::Stage;
use crate::schedule::{AgentKind, Host, HostileMessage, Transport};
use crate::situation::Situation;

/// How long it waits before it connects again.
const BREAK: Duration = Duration::from_millis(20);

/// How long a server may take nothing of what it says.
const PATIENCE: Duration = Duration::from_millis(200);

/// Runs a hostile agent, until it is told to hang up.
pub(super) async fn run(
    stage: Arc<Stage>,
    number: u8,
    mut commands: UnboundedReceiver<Command>,
) -> turmoil::Result {
    let host = Host::Agent(number);
    stage.at(host, |desk| desk.runtime = Some(tokio::runtime::Handle::current()));
    while let Ok(Goes::On) | Err(_) = visit(&stage, number, &mut commands).await {
        sleep(BREAK).await;
        // What it says meanwhile, nobody hears.
        if drain(&mut commands) {
            break;
        }
    }
    stage.at(host, |desk| desk.is_stopped = true);
    std::future::pending().await
}

/// Whether it was told to go.
fn drain(commands: &mut UnboundedReceiver<Command>) -> bool {
    let unheard = std::iter::from_fn(|| commands.try_recv().ok());
    unheard.into_iter().any(|command| matches!(command, Command::HangUp | Command::Stop(_)))
}

/// Whether it comes back.
enum Goes {
    On,
    Away,
}

/// One connection, from its greeting to its end.
async fn visit(
    stage: &Arc<Stage>,
    number: u8,
    commands: &mut UnboundedReceiver<Command>,
) -> io::Result<Goes> {
    let agent = stage.agent(number).ok_or(io::ErrorKind::NotFound)?;
    let (home, transport, base) = (agent.home, agent.transport, agent.kind.is_base());
    let opening = async {
        let mut socket = connect(Arc::clone(stage), Host::Agent(number), home).await?;
        greeting::exchange(&mut socket, &key(number), transport, base).await?;
        io::Result::Ok(socket)
    };
    let mut socket = match timeout(stage.handshake(), opening).await {
        Ok(opened) => opened?,
        Err(_) => return Ok(Goes::On),
    };
    let mut visit = Visit { stage, transport, is_deaf: false };
    if matches!(agent.kind, AgentKind::Hostile { introduces_itself: true, .. }) {
        visit.say(&mut socket, &HostileMessage::INTRODUCTION).await?;
    }
    visit.talk(&mut socket, commands).await
}

struct Visit<'a> {
    stage: &'a Stage,
    transport: Transport,
    is_deaf: bool,
}

impl Visit<'_> {
    async fn talk(
        &mut self,
        socket: &mut Socket,
        commands: &mut UnboundedReceiver<Command>,
    ) -> io::Result<Goes> {
        let mut heard = vec![0; 4096];
        loop {
            tokio::select! {
                biased;
                command = commands.recv() => match command {
                    Some(Command::Say(message)) => self.say(socket, &message).await?,
                    None | Some(Command::HangUp | Command::Stop(_)) => return Ok(Goes::Away),
                    Some(_) => {}
                },
                read = socket.read(&mut heard), if !self.is_deaf => {
                    if read? == 0 {
                        return Ok(Goes::On);
                    }
                }
            }
        }
    }

    async fn say(&mut self, socket: &mut Socket, message: &HostileMessage) -> io::Result<()> {
        self.note(message);
        if matches!(message, HostileMessage::Deaf) {
            self.is_deaf = true;
        }
        let bytes = wire::bytes(message, self.transport);
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
        self.stage.note(situation);
    }
}
