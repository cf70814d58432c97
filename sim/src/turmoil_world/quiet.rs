//! When everybody is there and nothing is open.

use super::stage::Stage;
use crate::schedule::Host;

/// Whether everybody is there, and nothing is open.
pub(super) fn is_quiet(stage: &Stage) -> bool {
    stage.hosts().all(|host| is_host_quiet(stage, host)) && knows_all(stage)
}

/// Whether, besides, no task is left that nobody needs.
pub(super) fn is_at_rest(stage: &Stage) -> bool {
    let rests = |host| {
        let books = stage.at(host, |desk| desk.books(stage, host));
        books.is_none_or(|books| books.tasks <= books.tasks_at_rest)
    };
    is_quiet(stage) && stage.hosts().all(rests)
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

pub(super) fn missing(stage: &Stage) -> String {
    for server in servers(stage) {
        for agent in agents(stage) {
            if !stage.at(server, |desk| desk.knows(agent)).unwrap_or(true) {
                return format!("{server} has no way to agent{agent}");
            }
        }
    }
    "nothing is open, and yet it is not quiet".into()
}

pub(super) fn servers(stage: &Stage) -> impl Iterator<Item = Host> + '_ {
    stage.hosts().filter(|host| matches!(host, Host::Server(_)))
}

/// The agents that behave.
pub(super) fn agents(stage: &Stage) -> impl Iterator<Item = u8> + '_ {
    stage.hosts().filter_map(|host| match host {
        Host::Agent(number) if stage.is_honest(host) => Some(number),
        _ => None,
    })
}
