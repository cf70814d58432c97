//! Two servers of different kinds that are peers, with agents of both kinds on each.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::task::JoinSet;

use super::both::talk;
use crate::close::Close;
use crate::end::End;
use crate::go::{GoEnd, Version};
use crate::pair::{Case, PEER_TOKEN, add_peer};
use crate::processes::{PATIENCE, TOKEN, Target, Watertight, eventually, in_time, write_private};
use crate::rest::Rest;
use crate::services::named;

/// The agents: their keys, and what they are.
const AGENTS: [(&str, Kind, Kind); 4] = [
    ("a", Kind::Ours, Kind::Ours),
    ("b", Kind::Go, Kind::Ours),
    ("c", Kind::Ours, Kind::Go),
    ("d", Kind::Go, Kind::Go),
];

/// What an end is, and the server that it is connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ours,
    Go,
}

const AT_ONCE: u64 = 25;

/// Both servers, all agents, and the services behind them.
struct Fleet {
    ours: End,
    theirs: End,
    agents: Vec<End>,
    targets: Vec<Target>,
}

pub(crate) async fn dials_crossing(case: Case) {
    let folder = tempfile::tempdir().unwrap();
    let fleet = Fleet::start(&folder).await;
    fleet.cross().await;
    let before = fleet.rest().await;
    for _ in 0..5 {
        fleet.cross().await;
    }
    let Fleet { ours, theirs, agents, targets: _targets } = fleet;
    let names = ["a", "b", "c", "d"];
    let agents = names.into_iter().zip(agents);
    let ends = agents.chain([("their server", theirs), ("our server", ours)]).collect();
    Close::of(case, ends, &before).all_is_back().await;
}

impl Fleet {
    async fn start(folder: &TempDir) -> Self {
        let targets = [named(b'a').await, named(b'b').await, named(b'c').await, named(b'd').await];
        let peering = ["--peer-id", "theirs", "--peer-token", PEER_TOKEN];
        let args = [&["server", "--token", TOKEN], &peering[..]].concat();
        let mut theirs = GoEnd::start(Version::V0_6_2, &args).await;
        for (target, (key, ..)) in targets.iter().zip(AGENTS) {
            theirs.open_forward(key, target.at).await;
        }
        let theirs = End::Go(theirs);
        let ours = start_ours(folder, &theirs, &targets).await;
        add_peer(&theirs, ours.agents(), "ours").await;
        let mut agents = Vec::new();
        for (target, (key, agent, server)) in targets.iter().zip(AGENTS) {
            let server = if server == Kind::Ours { &ours } else { &theirs };
            agents.push(start_agent(agent, key, server.agents(), target.at, folder).await);
        }
        let fleet = Self { ours, theirs, agents, targets: targets.into() };
        fleet.is_up().await;
        fleet
    }

    /// Waits until each server reaches each agent.
    async fn is_up(&self) {
        eventually(PATIENCE, "all sessions", async || {
            let End::Ours(ours) = &self.ours else { unreachable!("it is ours") };
            if !ours.is_peered().await || ours.routes().await < 2 {
                return Err("the servers are not connected".to_string());
            }
            for (key, ..) in AGENTS {
                if !self.theirs.reaches(key).await {
                    return Err(format!("{key} is not reached"));
                }
            }
            Ok(())
        })
        .await;
    }

    /// Both servers dial all agents at once.
    async fn cross(&self) {
        let mut all = JoinSet::new();
        for (target, (key, ..)) in self.targets.iter().zip(AGENTS) {
            let name = key.as_bytes()[0];
            let End::Ours(ours) = &self.ours else { unreachable!("it is ours") };
            let from_ours = ours.address(&format!("forward {key}=tcp/{}", target.at));
            for number in 0..AT_ONCE {
                all.spawn(talk(from_ours, name, u64::from(name) << 8 | number));
                all.spawn(talk(
                    self.theirs.forward(target.at),
                    name,
                    u64::from(name) << 16 | number,
                ));
            }
        }
        while let Some(done) = in_time("a connection", all.join_next()).await {
            done.unwrap();
        }
    }

    /// The resources of all idle ends: the agents, then the servers.
    async fn rest(&self) -> Rest {
        let ends: Vec<_> = self.agents.iter().chain([&self.theirs, &self.ours]).collect();
        Rest::of_all(&ends).await
    }
}

async fn start_ours(folder: &TempDir, peer: &End, targets: &[Target]) -> End {
    let (tokens, shown) = (folder.path().join("tokens"), folder.path().join("shown"));
    write_private(&tokens, TOKEN);
    write_private(&shown, PEER_TOKEN);
    let peer = format!("remotedialer+ws://{}/connect,theirs", peer.agents());
    let (tokens, shown) = (tokens.display().to_string(), shown.display().to_string());
    let mut args = vec!["server", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    args.extend(["--token-file", &tokens, "--peer-token-file", &shown]);
    args.extend(["--peer-id", "ours", "--peer", &peer]);
    let forwards = targets.iter().zip(AGENTS);
    let forwards: Vec<_> =
        forwards.map(|(target, (key, ..))| format!("127.0.0.1:0={key}={}", target.at)).collect();
    args.extend(forwards.iter().flat_map(|forward| ["--forward", forward]));
    End::Ours(Watertight::start(args).await)
}

async fn start_agent(
    kind: Kind,
    key: &str,
    server: SocketAddr,
    target: SocketAddr,
    folder: &TempDir,
) -> End {
    let (url, target) = (format!("ws://{server}/connect"), target.to_string());
    let common = ["--connect", &url, "--key", key, "--allow", &target];
    if kind == Kind::Go {
        let args = [&["client", "--token", TOKEN], &common[..]].concat();
        return End::Go(GoEnd::start(Version::V0_6_2, &args).await);
    }
    let tokens = folder.path().join("tokens").display().to_string();
    End::Ours(Watertight::start([&["agent", "--token-file", &tokens], &common[..]].concat()).await)
}
