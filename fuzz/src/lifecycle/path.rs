//! How a state was reached: replayed, because only fingerprints are kept.

use watertight_core::testkit::{Item, Side};
use watertight_core::wire::{DecodeLimits, Message};

use super::action::Action;
use super::bounds::Bounds;
use super::ends::Ends;
use super::shards::{Print, Visited, print};
use super::state::State;

/// The steps to the state with this fingerprint and the one after it, in words.
pub(super) fn path(
    bounds: &Bounds,
    ends: &Ends,
    visited: &Visited,
    to: Print,
    last: Action,
) -> Vec<String> {
    let mut prints = vec![to];
    let mut at = to;
    while let Some(from) = visited.from(at).filter(|from| *from != at) {
        prints.push(from);
        at = from;
    }
    let Some(mut state) = State::roots(ends, bounds).into_iter().find(|root| print(root) == at)
    else {
        return Vec::new();
    };
    let begins = match (bounds.open, state.is_still()) {
        (true, _) => "two connections are open",
        (false, true) => "the ends have settled",
        (false, false) => "the ends are fresh",
    };
    let mut path = vec![begins.to_string()];
    for to in prints.into_iter().rev().skip(1) {
        let Some((action, next)) = step_to(bounds, ends, &state, to) else { break };
        path.push(describe(&state, action));
        state = next;
    }
    path.push(describe(&state, last));
    path
}

fn step_to(bounds: &Bounds, ends: &Ends, state: &State, to: Print) -> Option<(Action, State)> {
    state.actions(bounds).into_iter().find_map(|action| {
        let mut next = state.clone();
        next.act(ends, action);
        (print(&next) == to).then_some((action, next))
    })
}

/// The step, with what it delivers.
fn describe(state: &State, action: Action) -> String {
    let front = match action {
        Action::Deliver(side) => state.pipe(side).front(),
        _ => None,
    };
    match front {
        Some(Item::Message(message)) => {
            let dialect = state.end(Side::Agent).session.dialect();
            let decoded = Message::decode(message.clone(), dialect, &DecodeLimits::default());
            let words = decoded.map_or_else(|error| error.to_string(), |message| words(&message));
            format!("{action} {words}")
        }
        Some(item) => format!("{action} {item:?}"),
        None => action.to_string(),
    }
}

/// A message without the bytes that it carries.
fn words(message: &Message) -> String {
    let mut words = format!("{} {:?}", message.connection, message.body);
    words.truncate(words.floor_char_boundary(100));
    words
}
