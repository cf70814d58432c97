//! What is healed works: everybody is dialled once more.

use std::sync::Arc;
use std::time::Duration;

use super::finale::tell_state;
use super::quiet::{agents, is_at_rest, servers};
use super::runner::{Run, Runner};
use super::stage::Stage;
use super::steps::{Dial, dial};
use super::stream::Stream;
use crate::Player;
use crate::invariant::{Invariant, When};
use crate::observed::DialOutcome;
use crate::schedule::{Host, StreamId, TargetPlan, millis};
use crate::situation::Situation;

/// The numbers of the streams that the liveness check dials.
const FRESH: u16 = 60_000;

/// Everything is tried again in one of so many schedules: each time costs as much as a short one.
const REPEATED: u64 = 8;

/// How often everything is tried, at most: ten times were enough.
const ROUNDS: usize = 24;

/// How often no byte more is held than the time before.
const ENOUGH: u32 = 3;

/// Ticks among which one finds nothing under way.
const REST: u32 = 20;

/// Bytes that the liveness check sends there and back.
const ECHOED: u64 = 3000;

impl Runner {
    /// Everybody is dialled once more, by every server, and dials. Sessions that have lost bytes may
    /// still seem to be up, and limits are small: one that fails is tried again for a while.
    pub(super) fn try_everything(&mut self) -> Run {
        let timing = &self.stage.schedule.knobs.timing;
        let until = self.network.now() + self.stage.to_quiet();
        let patience = millis(timing.dial) + Duration::from_secs(1) + self.stage.crossing();
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
                let stream = stage.stream(*id);
                let what = stream.map_or_else(String::new, |stream| failed_words(&stage, &stream));
                return Err(self.stuck(what));
            }
            pairs = failed.into_iter().map(|(_, pair)| pair).collect();
        }
        let bound = self.stage.to_quiet();
        let streams_over = |stage: &Stage| !stage.any_stream(|stream| !stream.is_over());
        if !self.wait(bound, |stage| streams_over(stage) && is_at_rest(stage))? {
            self.check(When::Quiet)?;
            return Err(self.stuck("a new stream does not come to its end".into()));
        }
        Ok(())
    }
}

impl Runner {
    /// What is tried again and again takes no byte more than it gives back: whatever a connection leaves
    /// behind, however small, is seen. Not at once: queues grow to their size first, and what a transport
    /// reads into is made anew when it has been given away, smaller or larger.
    pub(super) fn repeat(&mut self) -> Run {
        if !self.stage.schedule.seed.is_multiple_of(REPEATED) {
            return Ok(());
        }
        let mut held = Vec::new();
        let mut no_more = 0;
        while held.len() < ROUNDS {
            self.try_everything()?;
            let now = self.at_quiet_moment()?;
            no_more += u32::from(held.last().is_some_and(|before| now <= *before));
            if no_more == ENOUGH {
                return Ok(());
            }
            held.push(now);
        }
        self.stage.trace.step(self.network.now(), || format!("bytes held: {held:?}"));
        let what = "each new connection leaves something on the heap".into();
        Err(self.violation(Invariant::HeapReturns, what))
    }

    /// What is held when nothing is under way.
    fn at_quiet_moment(&mut self) -> Run<i64> {
        let stage = Arc::clone(&self.stage);
        self.heap.count(|| stage.forget_streams(StreamId(FRESH)));
        let mut least = self.heap.held();
        for _ in 0..REST {
            self.tick()?;
            least = least.min(self.heap.held());
        }
        Ok(least)
    }
}

/// What is healed and does not work.
fn failed_words(stage: &Stage, stream: &Stream) -> String {
    tell_state(stage, stream);
    let (from, agent) = (stream.from, stream.agent);
    match stream.dial() {
        DialOutcome::Opened => format!("a new stream of {from} with agent{agent} has no echo"),
        _ => format!("a new dial of {from} at agent{agent} fails"),
    }
}

/// Who dials whom.
fn pairs(stage: &Stage) -> Vec<(Host, u8)> {
    let from_servers = servers(stage).flat_map(|from| agents(stage).map(move |to| (from, to)));
    from_servers.chain(agents(stage).map(|agent| (Host::Agent(agent), agent))).collect()
}

/// Dials an echo and speaks to it.
fn echo(stage: &Stage, id: StreamId, (from, agent): (Host, u8)) {
    let slow = u32::try_from(stage.crossing().as_millis()).unwrap_or(u32::MAX / 2);
    let within = stage.schedule.knobs.timing.dial.saturating_add(slow);
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
