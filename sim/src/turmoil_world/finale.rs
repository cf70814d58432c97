//! How a run ends: traffic stops, faults heal, what is open comes to its end, what works is tried
//! once more, everything shuts down.

use std::sync::Arc;
use std::time::Duration;

use super::command::Command;
use super::quiet::{is_quiet, missing};
use super::runner::{Run, Runner};
use super::stage::Stage;
use super::steps::{bounce, bury};
use super::stream::Stream;
use crate::Player;
use crate::invariant::When;
use crate::observed::DialOutcome;
use crate::schedule::{Finale, TargetReads, millis};

/// What the library takes for the ends of things beyond what the schedule's times say: a closing
/// handshake may take 3 s, a copy into a socket that takes nothing 5 s.
pub(super) const LIBRARY: Duration = Duration::from_secs(10);

impl Runner {
    /// Brings the run to its end.
    pub(super) fn finish(&mut self) -> Run {
        let finale = self.stage.schedule.finale;
        let stage = Arc::clone(&self.stage);
        self.heal();
        if finale != Finale::Shutdown {
            self.heap.count(|| part(&stage, finale));
            self.become_quiet()?;
            self.heap.count(|| answer_names(&stage));
            self.try_everything()?;
            self.wait_for_memory(LIBRARY)?;
            self.check(When::Quiet)?;
            self.repeat()?;
            self.say_goodbye()?;
        }
        if finale == Finale::Shutdown && stage.schedule.knobs.hosts.lose_power {
            return self.lose_power();
        }
        self.shut_down()
    }

    /// Everything is dropped where it stands, as in machines that lose power: every host's runtime with
    /// all that runs on it. In which order that happens is left to chance, so nothing is told of it.
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
            network.heal_all();
            stage.door().heal();
            for host in stage.hosts() {
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
        let vanishing = self.stage.vanishing();
        let bound = self.stage.to_quiet() + vanishing;
        // What comes to an end by itself does; whoever waits for what does not lets go.
        self.wait(bound, |stage| !stage.any_stream(is_due))?;
        // A target may have gone while the others were waited for.
        let long = |stage: &Stage| !stage.any_stream(|stream| stream.is_left() && is_due(stream));
        self.wait(bound, long)?;
        if let Some(stuck) = self.stage.streams().iter().find(|stream| is_due(stream)) {
            return Err(self.stuck(stuck_words(&self.stage, stuck)));
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
            let stuck =
                stuck.map_or_else(|| missing(&stage), |stream| stuck_words(&stage, &stream));
            return Err(self.stuck(stuck));
        }
        self.heap.count(|| stage.streams().iter().for_each(|stream| stream.dismiss_targets()));
        Ok(())
    }

    fn shut_down(&mut self) -> Run {
        let stage = Arc::clone(&self.stage);
        let knobs = &stage.schedule.knobs.hosts;
        let within = millis(knobs.shutdown);
        stage.trace.step(self.network.now(), || format!("everybody shuts down within {within:?}"));
        let mut hosts: Vec<_> = stage.hosts().collect();
        if knobs.agents_first {
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

/// What still hangs has its answer.
fn answer_names(stage: &Stage) {
    for host in stage.hosts() {
        let names = stage.at(host, |desk| desk.names.clone()).flatten();
        names.iter().for_each(|names| names.answer());
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

/// Whether a stream should come to its end and has not: its ends meet, or its target has left it.
fn is_due(stream: &Stream) -> bool {
    !stream.is_over() && (stream.comes_to_an_end() || stream.is_left())
}

/// What does not come to its end. A violation has few words, so that a smaller schedule can show the
/// same; the trace has the rest.
fn stuck_words(stage: &Stage, stream: &Stream) -> String {
    tell_state(stage, stream);
    let id = stream.id;
    match stream.dial() {
        DialOutcome::Pending => format!("the dial of {id} has no end"),
        _ if stream.is_over() => format!("the socket of the target of {id} is held"),
        _ if stream.is_left() => {
            format!("the application of {id} never hears that its target is gone")
        }
        _ => format!("{id} does not come to its end"),
    }
}

pub(super) fn tell_state(stage: &Stage, stream: &Stream) {
    stage.trace.step(stage.now(), || format!("{:?}", stream.record(stage.promise())));
}
