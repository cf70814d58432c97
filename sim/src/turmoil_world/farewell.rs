//! What a server says to an agent last, it says behind a link that takes nothing for a while.

use std::sync::Arc;
use std::time::Duration;

use super::command::Command;
use super::quiet::agents;
use super::runner::{Run, Runner};
use super::stage::Stage;
use super::steps::{Dial, dial};
use crate::Player;
use crate::observed::DialOutcome;
use crate::schedule::{Host, StreamId, TargetPlan, millis};

/// The numbers of the streams of this phase.
const LAST: u16 = 59_000;

/// Bytes on their way when the session is ended.
const UNDER_WAY: u64 = 3000;

/// How long the link takes nothing.
const FULL: Duration = Duration::from_millis(30);

/// How long the end of a session may take to be heard of.
const HEARD: Duration = Duration::from_secs(5);

impl Runner {
    /// A server ends the sessions of its agents while bytes are under way and the links are full. The
    /// agents hear why all the same.
    pub(super) fn say_goodbye(&mut self) -> Run {
        let stage = Arc::clone(&self.stage);
        let all: Vec<_> = agents(&stage).filter(|agent| stage.is_told_of_ends(*agent)).collect();
        if all.is_empty() || !stage.schedule.seed.is_multiple_of(4) {
            return Ok(());
        }
        let ids: Vec<_> = (LAST..).map(StreamId).zip(all.iter().copied()).collect();
        self.heap.count(|| ids.iter().for_each(|(id, agent)| echo(&stage, *id, *agent)));
        let patience = millis(stage.schedule.knobs.timing.dial) + FULL;
        self.wait(patience, |stage| ids.iter().all(|(id, _)| !is_dialling(stage, *id)))?;
        stage.part();
        let before: Vec<_> = all.iter().map(|agent| ended(&stage, *agent)).collect();
        self.heap.count(|| {
            fill(&stage, &all, true);
            for stream in ids.iter().filter_map(|(id, _)| stage.stream(*id)) {
                stream.near.tell(|player| player.write_more(UNDER_WAY));
            }
        });
        self.wait(FULL, |_| false)?;
        self.heap.count(|| all.iter().for_each(|agent| disconnect(&stage, *agent)));
        self.wait(FULL, |_| false)?;
        self.heap.count(|| fill(&stage, &all, false));
        let have_heard = |stage: &Stage| {
            all.iter().zip(&before).all(|(agent, before)| ended(stage, *agent) > *before)
        };
        self.wait(HEARD, have_heard)?;
        self.heap.count(|| {
            for stream in ids.iter().filter_map(|(id, _)| stage.stream(*id)) {
                stream.near.tell(Player::let_go);
            }
        });
        Ok(())
    }
}

fn echo(stage: &Stage, id: StreamId, agent: u8) {
    let Some(home) = stage.agent(agent).map(|agent| Host::Server(agent.home)) else { return };
    let within = stage.schedule.knobs.timing.dial;
    dial(stage, Dial { id, from: home, agent, target: TargetPlan::ECHO, within });
}

fn is_dialling(stage: &Stage, id: StreamId) -> bool {
    stage.stream(id).is_some_and(|stream| stream.dial() == DialOutcome::Pending)
}

/// Sessions of an agent that have ended.
fn ended(stage: &Stage, agent: u8) -> u64 {
    stage.at(Host::Agent(agent), |desk| desk.account.ended).unwrap_or(0)
}

fn fill(stage: &Stage, agents: &[u8], is_full: bool) {
    let lines: Vec<_> =
        agents.iter().flat_map(|agent| stage.lines().by(Host::Agent(*agent))).collect();
    lines.iter().for_each(|line| line.fill(is_full));
}

fn disconnect(stage: &Stage, agent: u8) {
    if let Some(home) = stage.agent(agent).map(|agent| agent.home) {
        stage.tell(Host::Server(home), Command::Disconnect(agent));
    }
}
