//! How a run ends: traffic stops, faults heal, what is open comes to its end, what works is tried
//! once more, everything shuts down.

use std::sync::Arc;
use std::time::Duration;

use super::command::Command;
use super::runner::{Run, Runner};
use super::stage::Stage;
use super::steps::{Dial, bounce, bury, dial};
use super::stream::Stream;
use crate::Player;
use crate::invariant::When;
use crate::observed::DialOutcome;
use crate::schedule::{Finale, Host, StreamId, TargetPlan, TargetReads, millis};
use crate::situation::Situation;

/// What the library takes for the ends of things beyond what the schedule's times say: a closing
/// handshake may take 3 s, a copy into a socket that takes nothing 5 s.
const LIBRARY: Duration = Duration::from_secs(10);

/// The numbers of the streams that the liveness check dials.
const FRESH: u16 = 60_000;

/// Bytes that the liveness check sends there and back.
const ECHOED: u64 = 3000;

impl Runner {
    /// Brings the run to its end.
    pub(super) fn finish(&mut self) -> Run {
        let finale = self.stage.schedule.finale;
        let stage = Arc::clone(&self.stage);
        self.heal();
        if finale != Finale::Shutdown {
            self.heap.count(|| part(&stage, finale));
            self.become_quiet()?;
            self.try_everything()?;
            self.wait_for_memory(LIBRARY)?;
            self.check(When::Quiet)?;
        }
        // One in so many ends as a machine does that loses power: everything is dropped where it stands.
        if finale == Finale::Shutdown && stage.schedule.seed.is_multiple_of(5) {
            return self.lose_power();
        }
        self.shut_down()
    }

    /// Drops every host's runtime with all that runs on it. In which order that happens is left to
    /// chance, so nothing is told of it.
    fn lose_power(&mut self) -> Run {
        let (network, stage) = (&mut self.network, &self.stage);
        stage.trace.step(network.now(), || "everybody loses power");
        stage.be_silent();
        self.heap.count(|| {
            let seen = *stage.seen();
            let hosts: Vec<_> = stage.hosts().collect();
            for host in hosts {
                network.crash(host);
                bury(stage, host);
            }
            *stage.seen() = seen;
        });
        self.check(When::Running)
    }

    /// Nothing is broken any more. Hostile agents are gone.
    fn heal(&mut self) {
        let (network, stage) = (&mut self.network, &self.stage);
        stage.trace.step(network.now(), || "everything is healed");
        self.heap.count(|| {
            let hosts: Vec<_> = stage.hosts().collect();
            for (place, a) in hosts.iter().enumerate() {
                for b in hosts.iter().skip(place + 1) {
                    network.heal(*a, *b);
                    network.latency(*a, *b, Duration::ZERO);
                }
            }
            for host in hosts {
                if stage.at(host, |desk| desk.is_crashed).unwrap_or(false) {
                    bounce(network, stage, host);
                }
                if !stage.is_honest(host) {
                    stage.tell(host, Command::HangUp);
                }
            }
        });
    }

    fn become_quiet(&mut self) -> Run {
        let bound = self.stage.schedule.knobs.timing.to_quiet() + LIBRARY;
        // What comes to an end by itself does; whoever waits for what does not lets go.
        self.wait(bound, |stage| {
            !stage.any_stream(|stream| stream.comes_to_an_end() && !stream.is_over())
        })?;
        if let Some(stuck) = self.stage.streams().iter().find(|stream| is_stuck(stream)) {
            return Err(self.stuck(describe(stuck)));
        }
        let stage = Arc::clone(&self.stage);
        self.heap.count(|| let_go(&stage));
        let is_over = |stage: &Stage| {
            is_quiet(stage) && !stage.any_stream(|stream| stream.holds_socket(stage))
        };
        if !self.wait(bound, is_over)? {
            self.check(When::Quiet)?;
            let stuck = |stream: &Arc<Stream>| !stream.is_over() || stream.holds_socket(&stage);
            let stuck = self.stage.streams().into_iter().find(stuck);
            let stuck = stuck.map_or_else(|| missing(&stage), |stream| describe(&stream));
            return Err(self.stuck(stuck));
        }
        self.heap.count(|| stage.streams().iter().for_each(|stream| stream.dismiss_targets()));
        Ok(())
    }

    /// Everybody is dialled once more, by every server, and dials. Sessions that have lost bytes may
    /// still seem to be up, and limits are small: one that fails is tried again for a while.
    fn try_everything(&mut self) -> Run {
        let timing = &self.stage.schedule.knobs.timing;
        let until = self.network.now() + timing.to_quiet() + LIBRARY;
        let patience = millis(timing.dial) + Duration::from_secs(1);
        let mut pairs = pairs(&self.stage);
        let mut next = FRESH;
        while !pairs.is_empty() {
            let stage = Arc::clone(&self.stage);
            let tried: Vec<_> = (next..).map(StreamId).zip(pairs).collect();
            next += u16::try_from(tried.len()).unwrap_or(u16::MAX);
            self.heap.count(|| tried.iter().for_each(|(id, pair)| echo(&stage, *id, *pair)));
            self.wait(patience, |stage| tried.iter().all(|(id, _)| is_decided(stage, *id)))?;
            let (done, failed): (Vec<_>, _) =
                tried.into_iter().partition(|(id, _)| has_echoed(&stage, *id));
            self.heap.count(|| {
                done.iter().for_each(|(id, _)| tell(&stage, *id, Player::finish));
                failed.iter().for_each(|(id, _)| tell(&stage, *id, Player::let_go));
            });
            if let Some((id, _)) = failed.first()
                && self.network.now() > until
            {
                let what = stage.stream(*id).map_or_else(String::new, |stream| describe(&stream));
                return Err(self.stuck(format!("a new dial does not work: {what}")));
            }
            pairs = failed.into_iter().map(|(_, pair)| pair).collect();
        }
        let bound = self.stage.schedule.knobs.timing.to_quiet() + LIBRARY;
        let streams_over = |stage: &Stage| !stage.any_stream(|stream| !stream.is_over());
        if !self.wait(bound, |stage| streams_over(stage) && is_quiet(stage))? {
            self.check(When::Quiet)?;
            return Err(self.stuck("a new stream does not come to its end".into()));
        }
        Ok(())
    }

    fn shut_down(&mut self) -> Run {
        let stage = Arc::clone(&self.stage);
        let within = Duration::from_millis(stage.schedule.seed % 3 * 50);
        stage.trace.step(self.network.now(), || format!("everybody shuts down within {within:?}"));
        let mut hosts: Vec<_> = stage.hosts().collect();
        if stage.schedule.seed.is_multiple_of(2) {
            hosts.reverse();
        }
        self.heap.count(|| hosts.iter().for_each(|host| stage.tell(*host, Command::Stop(within))));
        let all_stopped = |stage: &Stage| {
            stage.hosts().all(|host| stage.at(host, |desk| desk.is_stopped).unwrap_or(true))
        };
        if !self.wait(within * 2 + LIBRARY + LIBRARY, all_stopped)? {
            let running =
                hosts.iter().find(|host| !stage.at(**host, |desk| desk.is_stopped).unwrap_or(true));
            let running = running.map_or_else(String::new, ToString::to_string);
            return Err(self.stuck(format!("{running} does not shut down")));
        }
        self.check(When::Running)
    }
}

/// The applications end their part.
fn part(stage: &Stage, finale: Finale) {
    for stream in stage.streams() {
        stream.near.tell(|player| match finale {
            Finale::Drop => player.let_go(),
            _ => {
                player.finish();
                player.read_all();
            }
        });
    }
}

/// Applications let go, and so do targets that do not read: nothing else would end them.
fn let_go(stage: &Stage) {
    for stream in stage.streams() {
        if !stream.is_over() {
            stream.near.tell(Player::let_go);
        }
        if stream.plan.reads != TargetReads::All {
            stream.dismiss_targets();
        }
    }
}

/// Whether a stream should have come to its end and has not.
fn is_stuck(stream: &Stream) -> bool {
    stream.comes_to_an_end() && !stream.is_over()
}

fn describe(stream: &Stream) -> String {
    let record = stream.record();
    let far = record.far.map_or_else(|| "never reached".into(), |far| format!("{far:?}"));
    format!("{} is {:?}: {:?}, its target {far}", stream.id, record.dial, record.near)
}

/// Whether everybody is there, and nothing is open.
fn is_quiet(stage: &Stage) -> bool {
    stage.hosts().all(|host| is_host_quiet(stage, host)) && knows_all(stage)
}

fn is_host_quiet(stage: &Stage, host: Host) -> bool {
    stage
        .at(host, |desk| {
            let books = desk.books(stage, host);
            let up = books.sessions.live == books.sessions_expected;
            let gone = desk.is_stopped || stage.is_honest(host);
            let closed = books.sockets <= books.sessions.live;
            up && gone && closed && books.connections.is_quiet() && desk.agents.len() <= 1
        })
        .unwrap_or(true)
}

/// Whether each server knows a way to every agent.
fn knows_all(stage: &Stage) -> bool {
    servers(stage).all(|server| {
        agents(stage).all(|agent| stage.at(server, |desk| desk.knows(agent)).unwrap_or(true))
    })
}

fn missing(stage: &Stage) -> String {
    for server in servers(stage) {
        for agent in agents(stage) {
            if !stage.at(server, |desk| desk.knows(agent)).unwrap_or(true) {
                return format!("{server} has no way to agent{agent}");
            }
        }
    }
    "nothing is open, and yet it is not quiet".into()
}

fn servers(stage: &Stage) -> impl Iterator<Item = Host> + '_ {
    stage.hosts().filter(|host| matches!(host, Host::Server(_)))
}

/// The agents that behave.
fn agents(stage: &Stage) -> impl Iterator<Item = u8> + '_ {
    stage.hosts().filter_map(|host| match host {
        Host::Agent(number) if stage.is_honest(host) => Some(number),
        _ => None,
    })
}

/// Who dials whom.
fn pairs(stage: &Stage) -> Vec<(Host, u8)> {
    let from_servers = servers(stage).flat_map(|from| agents(stage).map(move |to| (from, to)));
    from_servers.chain(agents(stage).map(|agent| (Host::Agent(agent), agent))).collect()
}

/// Dials an echo and speaks to it.
fn echo(stage: &Stage, id: StreamId, (from, agent): (Host, u8)) {
    let within = stage.schedule.knobs.timing.dial;
    dial(stage, Dial { id, from, agent, target: TargetPlan::ECHO, within });
    tell(stage, id, |player| {
        player.write_more(ECHOED);
        player.read_all();
    });
}

fn tell(stage: &Stage, id: StreamId, tell: impl FnOnce(&mut Player)) {
    if let Some(stream) = stage.stream(id) {
        stream.near.tell(tell);
    }
}

/// Whether it is known if a stream works.
fn is_decided(stage: &Stage, id: StreamId) -> bool {
    has_echoed(stage, id) || stage.stream(id).is_none_or(|stream| stream.is_over())
}

fn has_echoed(stage: &Stage, id: StreamId) -> bool {
    let Some(stream) = stage.stream(id) else { return true };
    let echoed = stream.near.lock().player.end().read >= ECHOED;
    stage.note_if(echoed && stream.dial() == DialOutcome::Opened, Situation::BothWaysComplete);
    echoed
}
