//! `watertight server`

mod peers;
mod plan;

use std::future::ready;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;
use watertight::{Forward, Listener, Policy, Server};

use crate::access::Access;
use crate::admin::Admin;
use crate::bind::{Binder, Bound, bind_admin};
use crate::cli::ServerOptions;
use crate::failure::Failure;
use crate::ledger::{LedgerReport, Output};
use crate::process::Signals;
use crate::specs::{AdminAddr, ListenAddr, ServerForward};
use crate::unix_socket::SocketFile;

use peers::PeerSource;
pub(crate) use plan::ServerPlan;

/// Runs a server until a signal ends it, and returns its ledger.
pub(crate) async fn run(options: ServerOptions, output: Output) -> Result<LedgerReport, Failure> {
    let plan = ServerPlan::of(options)?;
    let mut signals = Signals::install()?;
    let hangup = signal(SignalKind::hangup()).map_err(Failure::start)?;
    let server = RunningServer::start(&plan).await?;
    server.announce(output);
    wait_and_reload(&mut signals, hangup, &server).await;
    Ok(server.stop(plan.drain_timeout, &mut signals).await)
}

/// Waits for the signal to stop. SIGHUP reads the files again that may change.
async fn wait_and_reload(signals: &mut Signals, mut hangup: Signal, server: &RunningServer) {
    loop {
        tokio::select! {
            biased;
            _ = signals.next() => return,
            // On a thread that a file which does not answer may block.
            _ = hangup.recv() => drop(tokio::task::spawn_blocking(server.reload())),
        }
    }
}

/// A server with all that belongs to it.
#[derive(Debug)]
pub(crate) struct RunningServer {
    pub(crate) server: Server,
    access: Access,
    peers: Option<PeerSource>,
    reloading: Arc<Mutex<()>>,
    admin: Option<Admin>,
    /// A forward ends when its handle is dropped.
    _forwards: Vec<Forward>,
    addresses: Vec<Address>,
    _files: Vec<SocketFile>,
}

/// An address that is listened on, and for what.
#[derive(Debug)]
struct Address {
    purpose: String,
    address: ListenAddr,
}

/// Every socket, before anything is done with any of them.
struct Sockets {
    agents: Vec<Bound>,
    /// Those of each forward.
    forwards: Vec<Vec<Bound>>,
    admin: Vec<Bound>,
}

impl Sockets {
    async fn bind(plan: &ServerPlan) -> Result<Self, Failure> {
        let mut sockets = Self { agents: Vec::new(), forwards: Vec::new(), admin: Vec::new() };
        let forwards = plan.forwards.iter().map(|forward| &forward.listen);
        let admin = plan.admin.iter().map(|AdminAddr(address)| address);
        let binder = Binder::of(plan.listen.iter().chain(forwards).chain(admin));
        for address in &plan.listen {
            sockets.agents.extend(binder.bind(address, "--listen").await?);
        }
        for forward in &plan.forwards {
            sockets.forwards.push(binder.bind(&forward.listen, "--forward").await?);
        }
        if let Some(address) = &plan.admin {
            sockets.admin = bind_admin(&binder, address).await?;
        }
        Ok(sockets)
    }

    /// What agents may dial.
    fn allowed(&self, plan: &ServerPlan) -> Result<Policy, Failure> {
        let mut policy = plan.allow_dial.clone();
        let forwards = self.forwards.iter().flatten();
        for bound in self.agents.iter().chain(forwards).chain(&self.admin) {
            bound.exclude_from(&mut policy)?;
        }
        Ok(policy)
    }
}

impl RunningServer {
    pub(crate) async fn start(plan: &ServerPlan) -> Result<Self, Failure> {
        let sockets = Sockets::bind(plan).await?;
        let server = build(plan, sockets.allowed(plan)?);
        let mut running = Self {
            server: server.clone(),
            access: plan.access.clone(),
            peers: plan.peers.as_ref().map(|peers| peers.source.clone()),
            reloading: Arc::default(),
            admin: None,
            _forwards: Vec::new(),
            addresses: Vec::new(),
            _files: Vec::new(),
        };
        let admin = sockets.admin.into_iter();
        let admin: Vec<_> = admin.map(|bound| running.take_up("admin server", bound)).collect();
        if !admin.is_empty() {
            let started = Admin::start(admin, server.clone(), plan.keepalive, plan.proxy)?;
            running.admin = Some(started);
        }
        for (forward, sockets) in plan.forwards.iter().zip(sockets.forwards) {
            for bound in sockets {
                running.forward(forward, bound);
            }
        }
        // Before the server listens: a peer that is not known yet would be refused.
        for peer in plan.peers.iter().flat_map(|plan| &plan.peers) {
            server.add_peer(peer.clone()).map_err(Failure::configuration)?;
        }
        if let Some(discovery) = plan.peers.as_ref().and_then(|plan| plan.discovery.clone()) {
            server.discover_peers(discovery).map_err(Failure::configuration)?;
        }
        for bound in sockets.agents {
            match running.take_up("agents", bound) {
                Listener::Tcp(listener) => server.listen(listener, plan.tls.clone()),
                Listener::Unix(listener) => server.listen_unix(listener),
            }
        }
        Ok(running)
    }

    fn forward(&mut self, forward: &ServerForward, bound: Bound) {
        let ServerForward { key, target, .. } = forward;
        let listener = self.take_up(&format!("forward {key}={target}"), bound);
        let handle = self.server.forward(listener, key, &target.to_string());
        self._forwards.push(handle);
    }

    /// Remembers a socket's address and file.
    fn take_up(&mut self, purpose: &str, bound: Bound) -> Listener {
        let Bound { listener, address, file } = bound;
        self.addresses.push(Address { purpose: purpose.to_string(), address });
        self._files.extend(file);
        listener
    }

    /// The addresses that are listened on, those for `purpose`.
    pub(crate) fn addresses(&self, purpose: &str) -> impl Iterator<Item = &ListenAddr> {
        let of_purpose = self.addresses.iter().filter(move |at| at.purpose.starts_with(purpose));
        of_purpose.map(|at| &at.address)
    }

    pub(crate) fn announce(&self, output: Output) {
        for Address { purpose, address } in &self.addresses {
            info!(%address, purpose, "listening");
            output.listening(purpose, &address.to_string());
        }
        output.ready();
    }

    /// Reads the files of authentication again, and ends the sessions of clients that may not connect any
    /// more. Blocks.
    pub(crate) fn reload(&self) -> impl FnOnce() + use<> {
        let (access, server) = (self.access.clone(), self.server.clone());
        let (peers, turn) = (self.peers.clone(), Arc::clone(&self.reloading));
        move || {
            // Files that are read later are applied later. The lock guards no data.
            let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
            access.reload();
            let ended = server.recheck(|client| access.recheck(client));
            if ended > 0 {
                info!(ended, "sessions ended of agents that may not connect any more");
            }
            if let Some(peers) = peers {
                peers.reload(&server);
            }
        }
    }

    /// Drains, for `drain_timeout` at most or until another signal, and returns the ledger.
    pub(crate) async fn stop(self, drain_timeout: Duration, signals: &mut Signals) -> LedgerReport {
        if let Some(admin) = &self.admin {
            admin.set_draining();
        }
        let drain = self.server.clone().shutdown(drain_timeout);
        let close = self.server.shutdown(Duration::ZERO);
        let ledger = signals.drain_or_close(drain, close).await;
        let admin_tasks = match self.admin {
            Some(admin) => admin.stop().await,
            None => 0,
        };
        LedgerReport::of_server(&ledger, admin_tasks)
    }
}

fn build(plan: &ServerPlan, allow_dial: Policy) -> Server {
    let access = plan.access.clone();
    let builder = Server::builder(move |request| ready(access.check(&request)));
    let builder = builder.session(plan.session.clone()).registry(plan.registry.clone());
    let builder = builder.keepalive(plan.keepalive).max_handshakes(plan.max_handshakes);
    let builder = builder.buffers(plan.max_buffered.buffers());
    let builder = match plan.handshake_timeout {
        Some(timeout) => builder.handshake_timeout(timeout),
        None => builder,
    };
    let builder = match &plan.connect_path {
        Some(path) => builder.connect_path(path),
        None => builder,
    };
    let builder = match &plan.peers {
        Some(peers) => builder.peering(peers.identity.clone()),
        None => builder,
    };
    if allow_dial.is_empty() { builder.build() } else { builder.policy(allow_dial).build() }
}
