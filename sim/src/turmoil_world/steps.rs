//! The steps of a schedule, one after the other.

use super::command::Command;
use super::network::Network;
use super::stage::Stage;
use super::strangers::Visitors;
use super::stream::{Stream, Terms};
use crate::Player;
use crate::schedule::{Action, Host, StreamId, TargetPlan, millis};
use crate::situation::Situation;

/// What a dial is.
pub(super) struct Dial {
    pub(super) id: StreamId,
    pub(super) from: Host,
    pub(super) agent: u8,
    pub(super) target: TargetPlan,
    pub(super) within: u32,
}

/// Does what a step says.
pub(super) fn perform(network: &mut Network, stage: &Stage, action: &Action) {
    match *action {
        Action::Dial { stream, from, to, ref target, within } => {
            let dial = Dial { id: stream, from, agent: to, target: target.clone(), within };
            self::dial(stage, dial);
        }
        Action::Write { stream, bytes } => {
            tell(stage, stream, |player| player.write_more(bytes.into()));
        }
        Action::Read { stream, bytes } => {
            tell(stage, stream, |player| player.read_more(bytes.into()));
        }
        Action::ReadAll { stream } => tell(stage, stream, Player::read_all),
        Action::Finish { stream } => tell(stage, stream, Player::finish),
        Action::Reset { stream } => tell(stage, stream, Player::reset),
        Action::Drop { stream } => tell(stage, stream, Player::let_go),
        Action::Replace { agent } => {
            stage.note_if(moves(stage, Host::Agent(agent)), Situation::ReplacedDuringTransfer);
            stage.tell(Host::Agent(agent), Command::Replace);
        }
        Action::Disconnect { agent } => tell_home(stage, agent, Command::Disconnect(agent)),
        Action::Drain { agent, by_server, within } => drain(stage, agent, by_server, within),
        Action::Restart { host, within } => {
            stage.note_if(moves(stage, host), Situation::RestartDuringTransfer);
            stage.tell(host, Command::Restart(millis(within)));
        }
        Action::Crash { host } => crash(network, stage, host),
        Action::Bounce { host } => bounce(network, stage, host),
        Action::Cut { by } => cut(stage, by),
        Action::Say { agent, ref message } => {
            stage.tell(Host::Agent(agent), Command::Say(message.clone()));
        }
        Action::StrangersConnect {
            server,
            sockets,
            transport,
            ref opening,
            leave_after,
            again_for,
            hold_on,
        } => {
            let until = stage.now() + millis(again_for);
            stage.door().connects(until);
            let opening = opening.clone();
            let visitors =
                Visitors { server, sockets, transport, opening, leave_after, until, hold_on };
            stage.tell(Host::Strangers, Command::Visit(visitors));
        }
        Action::Impersonate { server, ref opening, within } => {
            let until = stage.now() + millis(within);
            stage.door().impersonate(server, opening.clone(), until);
        }
        Action::Idle => {}
        ref link => break_link(network, stage, link),
    }
}

/// Has an application dial.
pub(super) fn dial(stage: &Stage, dial: Dial) {
    let Dial { id, from, agent, target, within } = dial;
    let Some(kind) = stage.agent(agent).map(|agent| agent.kind) else { return };
    let stream = stage.add_stream(Stream::new(Terms {
        id,
        plan: target,
        from,
        agent,
        within: millis(within),
        honest: kind.is_honest(),
        half_closes: !kind.is_base(),
    }));
    let runs = stage.at(from, |desk| !desk.is_crashed).unwrap_or(false);
    if runs {
        stage.tell(from, Command::Dial(stream));
    } else {
        stream.settle(stage.now(), crate::DialOutcome::GivenUp);
    }
}

fn tell(stage: &Stage, stream: StreamId, tell: impl FnOnce(&mut Player)) {
    if let Some(stream) = stage.stream(stream) {
        stream.near.tell(tell);
    }
}

fn tell_home(stage: &Stage, agent: u8, command: Command) {
    if let Some(home) = stage.agent(agent).map(|agent| agent.home) {
        stage.tell(Host::Server(home), command);
    }
}

/// Whether bytes are moving on a stream that a host has a part in.
fn moves(stage: &Stage, host: Host) -> bool {
    stage.any_stream(|stream| stream.is_moving() && takes_part(stage, stream, host))
}

fn dials(stage: &Stage, host: Host) -> bool {
    stage.any_stream(|stream| stream.is_dialling() && takes_part(stage, stream, host))
}

fn takes_part(stage: &Stage, stream: &Stream, host: Host) -> bool {
    match host {
        Host::Agent(agent) => stream.agent == agent,
        Host::Server(server) => {
            stream.from == host
                || stage.agent(stream.agent).is_some_and(|agent| agent.home == server)
        }
        Host::Strangers => false,
    }
}

fn drain(stage: &Stage, agent: u8, by_server: bool, within: u32) {
    let host = Host::Agent(agent);
    stage.note_if(moves(stage, host), Situation::DrainDuringTransfer);
    stage.note_if(dials(stage, host), Situation::DrainWhileDialling);
    let command = Command::Drain { agent, within: millis(within) };
    if by_server {
        tell_home(stage, agent, command);
    } else {
        stage.tell(host, command);
    }
}

fn crash(network: &mut Network, stage: &Stage, host: Host) {
    let situation = match host {
        Host::Server(_) => Situation::ServerCrashDuringTransfer,
        Host::Agent(_) => Situation::AgentCrashDuringTransfer,
        Host::Strangers => return,
    };
    stage.note_if(moves(stage, host), situation);
    if stage.at(host, |desk| desk.is_crashed).unwrap_or(true) {
        return;
    }
    stage.at(host, |desk| desk.death.notify_one());
    // What goes wrong in it shows in the next one, too.
    network.tick().ok();
    let survives = !stage.at(host, |desk| desk.is_dead).unwrap_or(true);
    if survives && stage.is_honest(host) {
        stage.contradict(format!("{host} survives its death"));
    }
    network.crash(host);
    bury(stage, host);
    stage.at(host, |desk| desk.is_crashed = true);
}

/// Nothing may be left of a process that has died, not even in the books.
pub(super) fn bury(stage: &Stage, host: Host) {
    for stream in stage.streams().iter().filter(|stream| stream.from == host) {
        stream.die(stage.now());
    }
    let desk = stage.at(host, |desk| {
        let mut books = desk.last_books(stage, host);
        // Who watched them is dead, too, and was told of no end.
        if matches!(host, Host::Agent(_)) {
            books.sessions = crate::observed::Tally::default();
            books.closes_reported = 0;
        }
        // Its applications and its runtime are gone with it.
        desk.commands = None;
        desk.runtime = None;
        stage.close(books);
        desk.bury()
    });
    drop(desk);
}

pub(super) fn bounce(network: &mut Network, stage: &Stage, host: Host) {
    let is_crashed = stage.at(host, |desk| desk.is_crashed).unwrap_or(true);
    if !is_crashed {
        crash(network, stage, host);
    }
    stage.at(host, |desk| desk.is_crashed = false);
    network.bounce(host);
}

fn cut(stage: &Stage, host: Host) {
    let lines = stage.lines().by(host);
    if lines.is_empty() {
        return;
    }
    // A peer dials through the session that the agents' server has opened with it.
    let is_on_them = |stream: &Stream| match host {
        Host::Agent(agent) => stream.agent == agent,
        Host::Server(_) => {
            stage.goes_through_peer(stream)
                && takes_part(stage, stream, host)
                && stream.from != host
        }
        Host::Strangers => false,
    };
    let moves = stage.any_stream(|stream| stream.is_moving() && is_on_them(stream));
    stage.note_if(moves, Situation::CutDuringTransfer);
    let dials = stage.any_stream(|stream| stream.is_dialling() && is_on_them(stream));
    stage.note_if(dials, Situation::CutWhileDialling);
    lines.iter().for_each(|line| line.cut());
}

fn break_link(network: &Network, stage: &Stage, action: &Action) {
    let is_on_link = |stream: &Stream, a: Host, b: Host| {
        takes_part(stage, stream, a) && takes_part(stage, stream, b)
    };
    let moves = |a, b| stage.any_stream(|stream| stream.is_moving() && is_on_link(stream, a, b));
    let dials = |a, b| stage.any_stream(|stream| stream.is_dialling() && is_on_link(stream, a, b));
    match *action {
        Action::Partition { a, b } => {
            stage.note_if(moves(a, b), Situation::PartitionDuringTransfer);
            stage.note_if(dials(a, b), Situation::PartitionWhileDialling);
            stage.lines().lose(a, b);
            stage.lines().lose(b, a);
            network.partition(a, b);
        }
        Action::PartitionOneWay { from, to } => {
            stage.note_if(moves(from, to), Situation::PartitionOneWay);
            stage.lines().lose(from, to);
            network.partition_one_way(from, to);
        }
        Action::Hold { a, b } => {
            stage.note_if(moves(a, b), Situation::HoldDuringTransfer);
            network.hold(a, b);
        }
        Action::Repair { a, b } => network.repair(a, b),
        Action::Release { a, b } => network.heal(a, b),
        Action::Latency { a, b, millis: latency } => network.latency(a, b, millis(latency)),
        _ => {}
    }
}
