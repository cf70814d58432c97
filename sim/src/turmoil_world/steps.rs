//! The steps of a schedule, one after the other.

use super::environment::Environment;
use super::host_state::{Command, Visitors};
use super::ledger::last_ledger;
use super::network::Network;
use super::stream::{Stream, Terms};
use crate::Player;
use crate::schedule::{Action, Host, StreamId, TargetPlan, millis};
use crate::situation::Situation;

/// The parameters of a dial.
pub(super) struct DialStep {
    pub(super) id: StreamId,
    pub(super) from: Host,
    pub(super) agent: u8,
    pub(super) target: TargetPlan,
    pub(super) within: u32,
}

/// Performs a step.
pub(super) fn perform(network: &mut Network, env: &Environment, action: &Action) {
    match *action {
        Action::Dial { stream, from, to, ref target, within } => {
            let dial = DialStep { id: stream, from, agent: to, target: target.clone(), within };
            self::dial(env, dial);
        }
        Action::Write { stream, bytes } => {
            update(env, stream, |player| player.write_more(bytes.into()));
        }
        Action::Read { stream, bytes } => {
            update(env, stream, |player| player.read_more(bytes.into()));
        }
        Action::ReadAll { stream } => update(env, stream, Player::read_all),
        Action::Finish { stream } => update(env, stream, Player::finish),
        Action::Reset { stream } => update(env, stream, Player::reset),
        Action::Drop { stream } => update(env, stream, Player::let_go),
        Action::Replace { agent } => {
            env.recorder.note_if(moves(env, Host::Agent(agent)), Situation::ReplacedDuringTransfer);
            env.send(Host::Agent(agent), Command::Replace);
        }
        Action::Disconnect { agent } => send_home(env, agent, Command::Disconnect(agent)),
        Action::Drain { agent, by_server, within } => drain(env, agent, by_server, within),
        Action::Restart { host, within } => {
            env.recorder.note_if(moves(env, host), Situation::RestartDuringTransfer);
            env.send(host, Command::Restart(millis(within)));
        }
        Action::Crash { host } => crash(network, env, host),
        Action::Bounce { host } => bounce(network, env, host),
        Action::Cut { by } => cut(env, by),
        Action::Send { agent, ref message } => {
            env.send(Host::Agent(agent), Command::Send(message.clone()));
        }
        Action::UnauthenticatedConnect {
            server,
            sockets,
            transport,
            ref opening,
            leave_after,
            again_for,
            hold_on,
        } => {
            let until = env.recorder.now() + millis(again_for);
            env.remotes().connects(until);
            let opening = opening.clone();
            let visitors =
                Visitors { server, sockets, transport, opening, leave_after, until, hold_on };
            env.send(Host::Unauthenticated, Command::Visit(visitors));
        }
        Action::Impersonate { server, ref opening, within } => {
            let until = env.recorder.now() + millis(within);
            env.remotes().impersonate(server, opening.clone(), until);
        }
        Action::Idle => {}
        ref link => break_link(network, env, link),
    }
}

/// Has an application dial.
pub(super) fn dial(env: &Environment, dial: DialStep) {
    let DialStep { id, from, agent, target, within } = dial;
    let Some(kind) = env.plan.agent(agent).map(|agent| agent.kind) else { return };
    let stream = env.add_stream(Stream::new(Terms {
        id,
        plan: target,
        from,
        agent,
        within: millis(within),
        honest: kind.is_honest(),
        half_closes: !kind.is_base(),
    }));
    let runs = env.with_host(from, |state| !state.is_crashed).unwrap_or(false);
    if runs {
        env.send(from, Command::Dial(stream));
    } else {
        stream.settle(env.recorder.now(), crate::DialOutcome::GivenUp);
    }
}

fn update(env: &Environment, stream: StreamId, update: impl FnOnce(&mut Player)) {
    if let Some(stream) = env.stream(stream) {
        stream.near.update(update);
    }
}

fn send_home(env: &Environment, agent: u8, command: Command) {
    if let Some(home) = env.plan.agent(agent).map(|agent| agent.home) {
        env.send(Host::Server(home), command);
    }
}

/// Whether bytes are moving on a stream that a host has a part in.
fn moves(env: &Environment, host: Host) -> bool {
    env.any_stream(|stream| stream.is_moving() && takes_part(env, stream, host))
}

fn dials(env: &Environment, host: Host) -> bool {
    env.any_stream(|stream| stream.is_dialling() && takes_part(env, stream, host))
}

fn takes_part(env: &Environment, stream: &Stream, host: Host) -> bool {
    match host {
        Host::Agent(agent) => stream.agent == agent,
        Host::Server(server) => {
            stream.from == host
                || env.plan.agent(stream.agent).is_some_and(|agent| agent.home == server)
        }
        Host::Unauthenticated => false,
    }
}

fn drain(env: &Environment, agent: u8, by_server: bool, within: u32) {
    let host = Host::Agent(agent);
    env.recorder.note_if(moves(env, host), Situation::DrainDuringTransfer);
    env.recorder.note_if(dials(env, host), Situation::DrainWhileDialling);
    let command = Command::Drain { agent, within: millis(within) };
    if by_server {
        send_home(env, agent, command);
    } else {
        env.send(host, command);
    }
}

fn crash(network: &mut Network, env: &Environment, host: Host) {
    let situation = match host {
        Host::Server(_) => Situation::ServerCrashDuringTransfer,
        Host::Agent(_) => Situation::AgentCrashDuringTransfer,
        Host::Unauthenticated => return,
    };
    env.recorder.note_if(moves(env, host), situation);
    if env.with_host(host, |state| state.is_crashed).unwrap_or(true) {
        return;
    }
    env.with_host(host, |state| state.death.notify_one());
    // What goes wrong in it shows in the next one, too.
    network.tick().ok();
    let survives = !env.with_host(host, |state| state.is_dead).unwrap_or(true);
    if survives && env.plan.is_honest(host) {
        env.recorder.contradict(format!("{host} survives its death"));
    }
    network.crash(host);
    bury(env, host);
    env.with_host(host, |state| state.is_crashed = true);
}

/// Nothing may be left of a process that has died, not even in the ledger.
pub(super) fn bury(env: &Environment, host: Host) {
    for stream in env.streams().iter().filter(|stream| stream.from == host) {
        stream.die(env.recorder.now());
    }
    let state = env.with_host(host, |state| {
        let mut ledger = last_ledger(env, host, state);
        // The tasks that watched them are dead, too, and were notified of no end.
        if matches!(host, Host::Agent(_)) {
            ledger.sessions = crate::observed::Counts::default();
            ledger.closes_reported = 0;
        }
        // Its applications and its runtime have ended with it.
        state.commands = None;
        state.runtime = None;
        env.recorder.close(ledger);
        state.clear()
    });
    drop(state);
}

pub(super) fn bounce(network: &mut Network, env: &Environment, host: Host) {
    let is_crashed = env.with_host(host, |state| state.is_crashed).unwrap_or(true);
    if !is_crashed {
        crash(network, env, host);
    }
    env.with_host(host, |state| state.is_crashed = false);
    network.bounce(host);
}

fn cut(env: &Environment, host: Host) {
    let lines = env.connections().by(host);
    if lines.is_empty() {
        return;
    }
    // A peer dials through the session that the agents' server has opened with it.
    let is_on_them = |stream: &Stream| match host {
        Host::Agent(agent) => stream.agent == agent,
        Host::Server(_) => {
            env.goes_through_peer(stream) && takes_part(env, stream, host) && stream.from != host
        }
        Host::Unauthenticated => false,
    };
    let moves = env.any_stream(|stream| stream.is_moving() && is_on_them(stream));
    env.recorder.note_if(moves, Situation::CutDuringTransfer);
    let dials = env.any_stream(|stream| stream.is_dialling() && is_on_them(stream));
    env.recorder.note_if(dials, Situation::CutWhileDialling);
    lines.iter().for_each(|line| line.cut());
}

fn break_link(network: &Network, env: &Environment, action: &Action) {
    let is_on_link = |stream: &Stream, a: Host, b: Host| {
        takes_part(env, stream, a) && takes_part(env, stream, b)
    };
    let moves = |a, b| env.any_stream(|stream| stream.is_moving() && is_on_link(stream, a, b));
    let dials = |a, b| env.any_stream(|stream| stream.is_dialling() && is_on_link(stream, a, b));
    match *action {
        Action::Partition { a, b } => {
            env.recorder.note_if(moves(a, b), Situation::PartitionDuringTransfer);
            env.recorder.note_if(dials(a, b), Situation::PartitionWhileDialling);
            env.connections().lose(a, b);
            env.connections().lose(b, a);
            network.partition(a, b);
        }
        Action::PartitionOneWay { from, to } => {
            env.recorder.note_if(moves(from, to), Situation::PartitionOneWay);
            env.connections().lose(from, to);
            network.partition_one_way(from, to);
        }
        Action::Hold { a, b } => {
            env.recorder.note_if(moves(a, b), Situation::HoldDuringTransfer);
            network.hold(a, b);
        }
        Action::Repair { a, b } => network.repair(a, b),
        Action::Release { a, b } => network.heal(a, b),
        Action::Latency { a, b, millis: latency } => network.latency(a, b, millis(latency)),
        _ => {}
    }
}
