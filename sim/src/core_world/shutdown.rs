//! How the hosts go, and what is left then.

use super::link::Seated;
use super::stream::Role;
use super::tunnel::Tunnel;
use super::world::{AGENT, SERVER, State, World};
use crate::Player;

impl<T: Tunnel> World<'_, T> {
    /// How many sessions each host ought to have now.
    pub(super) fn expect_sessions(&mut self) {
        let honest: Vec<_> = self.honest_agents().collect();
        for agent in honest {
            for side in [AGENT, SERVER] {
                let books = self.books_of(agent, side);
                if let Some(books) =
                    books.and_then(|books| self.stage.observed.hosts.get_mut(books))
                {
                    books.sessions_expected += 1;
                }
            }
        }
        for server in &self.servers {
            let expected = self.stage.observed.hosts.get(server.books);
            let expected = expected.map_or(0, |books| books.sessions_expected);
            let registered = server.registry.ledger().agents.live;
            if registered != expected {
                let what = format!("{registered} agents are registered, {expected} expected");
                self.stage.observed.stuck.push(what);
            }
        }
    }

    /// All hosts shut down, some softly and some at once.
    pub(super) fn shut_down(&mut self) {
        for host in &mut self.agents {
            host.processes.iter_mut().for_each(|process| process.last = true);
        }
        let links: Vec<_> = self.links.iter().map(|link| link.number).collect();
        for (place, link) in links.into_iter().enumerate() {
            let side = if place % 2 == 0 { SERVER } else { AGENT };
            self.close(link, side, "shutting down");
        }
        self.settle();
        self.let_go();
        self.close_stragglers();
        self.wait_until_gone();
    }

    /// Whoever has no session yet, or again, goes at once.
    fn close_stragglers(&mut self) {
        for host in &mut self.agents {
            host.processes.retain(|process| matches!(process.state, State::Connected(_)));
        }
        for index in 0..self.links.len() {
            let Some(link) = self.links.get(index) else { continue };
            let number = link.number;
            if matches!(link.seats.first(), Some(Seated::Before)) {
                self.leave(number);
            }
        }
        self.settle();
    }

    fn wait_until_gone(&mut self) {
        let until = self.stage.now + self.patience();
        while self.violation.is_none() && !self.links.is_empty() {
            match self.next_moment().filter(|next| *next <= until) {
                Some(next) => self.step_to(next),
                None => break,
            }
            self.tell_all(Role::Far, Player::let_go);
        }
    }
}
