//! What is healed works again: a fresh dial of every agent.

use super::dial::Dial;
use super::finale::PROBES;
use super::stream::FRESH;
use super::tunnel::Tunnel;
use super::world::{World, agent_host, server_host};
use crate::schedule::{StreamId, TargetPlan};
use crate::{Player, StreamEnd};

/// What is sent there and back.
const FRESH_BYTES: u64 = 64;
/// Milliseconds that a dial takes at most where nothing is wrong, beside what the links take.
const FRESH_WITHIN: u32 = 1000;

impl<T: Tunnel> World<'_, T> {
    /// Every agent is dialled anew, and what is sent there comes back. A session that has lost its
    /// other end and does not know it yet may still break such a dial, but not for ever.
    pub(super) fn prove_liveness(&mut self) {
        let until = self.stage.now + self.patience();
        let mut left: Vec<_> = self.honest_agents().collect();
        let mut first = FRESH;
        while !left.is_empty() && self.violation.is_none() {
            self.wait_for_quiet();
            self.try_fresh(&left, first);
            let last = self.stage.now > until;
            left.retain(|agent| {
                let id = StreamId(first + u16::try_from(*agent).unwrap_or(0));
                let stream = self.stage.find(id).and_then(|place| self.stage.streams.get(place));
                stream.is_none_or(|stream| !came_through(stream.near.end()))
            });
            let next = first.checked_add(u16::from(u8::MAX)).filter(|_| !last);
            let Some(next) = next else { break };
            first = next;
        }
        for agent in left {
            let what = format!("a fresh dial of {} does not come through", agent_host(agent));
            self.stage.observed.stuck.push(what);
        }
    }

    fn try_fresh(&mut self, agents: &[usize], first: u16) {
        let slowest = self.stage.schedule.knobs.link.slowest().as_millis();
        let within =
            FRESH_WITHIN.saturating_add(4 * u32::try_from(slowest).unwrap_or(u32::MAX / 4));
        for agent in agents {
            let server = self.agents.get(*agent).map_or(0, |host| host.server);
            let to = u8::try_from(*agent).unwrap_or(u8::MAX);
            let stream = StreamId(first + u16::from(to));
            let plan = &TargetPlan::ECHO;
            self.dial(&Dial { stream, from: server_host(server), to, plan, within });
            // An end of the base dialect that finishes hears no answer.
            let base = self.agents.get(*agent).is_some_and(|host| host.kind.is_base());
            self.tell_application(stream, |player| {
                player.write_more(FRESH_BYTES);
                player.read_all();
                if !base {
                    player.finish();
                }
            });
        }
        self.wait_for_fresh(|near| near.read >= FRESH_BYTES || near.is_over());
        for agent in agents {
            let stream = StreamId(first + u16::try_from(*agent).unwrap_or(0));
            if self.agents.get(*agent).is_some_and(|host| host.kind.is_base()) {
                self.tell_application(stream, Player::let_go);
            }
        }
        self.wait_for_fresh(StreamEnd::is_over);
    }

    fn wait_for_fresh(&mut self, done: impl Fn(&StreamEnd) -> bool) {
        let until = self.stage.now + self.patience() + PROBES;
        self.settle();
        while self.violation.is_none() {
            let mut fresh = self.stage.streams.iter().filter(|stream| stream.is_fresh());
            if fresh.all(|stream| stream.seat.is_none() || done(stream.near.end())) {
                return;
            }
            match self.next_moment().filter(|next| *next <= until) {
                Some(next) => self.step_to(next),
                None => return,
            }
        }
    }
}

fn came_through(near: &StreamEnd) -> bool {
    near.read >= FRESH_BYTES && near.is_over() && near.broken.is_none()
}
