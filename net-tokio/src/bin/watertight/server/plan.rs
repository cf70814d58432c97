use std::num::NonZeroUsize;
use std::time::Duration;

use watertight::core::SessionConfig;
use watertight::core::registry::RegistryLimits;
use watertight::{Keepalive, Policy, ServerTls};

use super::peers::PeerPlan;
use crate::address::{AdminAddr, ListenAddr};
use crate::cli::{ForwardedRule, ServerOptions};
use crate::failure::Failure;
use crate::forward_spec::ServerForward;
use crate::session_config::session_config;
use crate::signals::DRAIN_TIMEOUT;
use crate::tls;
use crate::tokens::TokenBook;

/// What a server is started with: options that make sense, files that were read.
#[derive(Debug)]
pub(crate) struct ServerPlan {
    pub(crate) listen: Vec<ListenAddr>,
    /// The library's default if there is none.
    pub(crate) connect_path: Option<String>,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) tokens: TokenBook,
    pub(crate) allow_dial: Policy,
    pub(crate) forwards: Vec<ServerForward>,
    pub(crate) admin: Option<AdminAddr>,
    pub(crate) forwarded: ForwardedRule,
    pub(crate) session: SessionConfig,
    pub(crate) keepalive: Keepalive,
    pub(crate) registry: RegistryLimits,
    /// The library's default if there is none.
    pub(crate) handshake_timeout: Option<Duration>,
    pub(crate) drain_timeout: Duration,
    pub(crate) peers: Option<PeerPlan>,
}

impl ServerPlan {
    pub(crate) fn of(mut options: ServerOptions) -> Result<Self, Failure> {
        if options.listen.is_empty() {
            return Err(Failure::configuration(
                "no address for agents to connect to: give --listen ADDR, such as \
                 --listen 0.0.0.0:7000, or `listen` under [server] in the --config file",
            ));
        }
        if options.admin_forwarded.is_some() && options.admin.is_none() {
            return Err(Failure::configuration(
                "--admin-forwarded is for the admin server's proxy: give --admin ADDR as well",
            ));
        }
        let peers = PeerPlan::of(&mut options)?;
        let token_file = options.token_file.ok_or_else(|| {
            Failure::configuration(
                "no tokens, so no agent could connect: give --token-file FILE, whose lines are \
                 `TOKEN` or `KEY TOKEN`",
            )
        })?;
        Ok(Self {
            connect_path: options.connect_path.map(|path| path.0),
            tls: tls::of_server(options.tls_cert, options.tls_key, options.client_ca)?,
            tokens: TokenBook::of_file(token_file)?,
            allow_dial: options.allow_dial.into_iter().map(|allow| allow.0).collect(),
            forwarded: options.admin_forwarded.unwrap_or_default(),
            session: session_config(options.max_connections, options.silence),
            keepalive: options.keepalive.map(|spec| spec.0).unwrap_or_default(),
            registry: registry(options.max_clients),
            handshake_timeout: options.handshake_timeout.map(|time| time.0),
            drain_timeout: options.drain_timeout.unwrap_or(DRAIN_TIMEOUT),
            peers,
            ..Self::new(options.listen, options.forward, options.admin, TokenBook::default())
        })
    }

    /// A plan with the defaults for everything else.
    pub(crate) fn new(
        listen: Vec<ListenAddr>,
        forwards: Vec<ServerForward>,
        admin: Option<AdminAddr>,
        tokens: TokenBook,
    ) -> Self {
        Self {
            listen,
            connect_path: None,
            tls: None,
            tokens,
            allow_dial: Policy::default(),
            forwards,
            admin,
            forwarded: ForwardedRule::default(),
            session: SessionConfig::default(),
            keepalive: Keepalive::default(),
            registry: RegistryLimits::default(),
            handshake_timeout: None,
            drain_timeout: DRAIN_TIMEOUT,
            peers: None,
        }
    }

    /// What reads tokens, certificate and key again. Bad files change nothing.
    pub(crate) fn reload(&self) -> impl FnOnce() + use<> {
        let (tokens, tls) = (self.tokens.clone(), self.tls.clone());
        move || {
            tokens.reload();
            if let Some(tls) = &tls {
                tls::reload(tls);
            }
        }
    }
}

fn registry(max_clients: Option<NonZeroUsize>) -> RegistryLimits {
    max_clients.map_or_else(RegistryLimits::default, |max| RegistryLimits::of_agents(max.get()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_many_clients_takes_peers_of_as_many() {
        assert_eq!(registry(None), RegistryLimits::default());
        let many = registry(NonZeroUsize::new(200_000));
        assert_eq!((many.agents, many.routes_per_peer), (200_000, 200_000));
        let few = registry(NonZeroUsize::new(5));
        assert_eq!((few.agents, few.routes_per_peer), (5, 100_000));
    }
}
