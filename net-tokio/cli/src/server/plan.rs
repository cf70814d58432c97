//! The settings of a server, checked, with their defaults.

use std::num::NonZeroUsize;
use std::time::Duration;

use watertight::proto::SessionConfig;
use watertight::proto::registry::RegistryLimits;
use watertight::tls::ServerTls;
use watertight::{Keepalive, Policy};

use super::peers::PeerPlan;
use crate::access::Access;
use crate::admin::ProxyOptions;
use crate::cli::ServerOptions;
use crate::failure::Failure;
use crate::process::DRAIN_TIMEOUT;
use crate::specs::{AdminAddr, ListenAddr, MaxBuffered, ServerForward, policy, session_config};
use crate::tokens::TokenBook;
use crate::{process, tls};

/// Sockets that may be at their handshake at once.
const MAX_HANDSHAKES: usize = 1024;

/// The settings of a server: options that were checked, files that were read.
#[derive(Debug)]
pub(crate) struct ServerPlan {
    pub(crate) listen: Vec<ListenAddr>,
    /// The library's default if there is none.
    pub(crate) connect_path: Option<String>,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) access: Access,
    pub(crate) allow_dial: Policy,
    pub(crate) forwards: Vec<ServerForward>,
    pub(crate) admin: Option<AdminAddr>,
    pub(crate) proxy: ProxyOptions,
    pub(crate) session: SessionConfig,
    pub(crate) keepalive: Keepalive,
    pub(crate) registry: RegistryLimits,
    /// The library's default if there is none.
    pub(crate) handshake_timeout: Option<Duration>,
    pub(crate) max_handshakes: usize,
    pub(crate) max_buffered: MaxBuffered,
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
        let of_proxy = [
            ("--admin-forwarded", options.admin_forwarded.is_some()),
            ("--admin-pages", options.admin_pages.is_some()),
        ];
        if let Some((option, _)) = of_proxy.into_iter().find(|(_, given)| *given)
            && options.admin.is_none()
        {
            return Err(Failure::configuration(format_args!(
                "{option} is for the admin server's proxy: give --admin ADDR as well"
            )));
        }
        let peers = PeerPlan::of(&mut options)?;
        let key_source = options.client_key_from;
        if key_source.is_some() && options.client_ca.is_none() {
            return Err(Failure::configuration(
                "--client-key-from needs the certificates that --client-ca asks for: give that as well",
            ));
        }
        if key_source.is_none() && options.token_file.is_none() {
            return Err(Failure::configuration(
                "no tokens, so no agent could connect: give --token-file FILE, whose lines are \
                 `KEY TOKEN`, or `TOKEN` for all other keys",
            ));
        }
        let identity = tls::of_server(
            options.tls_cert,
            options.tls_key,
            options.client_ca,
            options.client_crl,
        )?;
        let tokens = options.token_file.map(TokenBook::of_file).transpose()?;
        Ok(Self {
            connect_path: options.connect_path.map(|path| path.0),
            tls: identity.as_ref().map(|identity| identity.tls.clone()),
            access: Access { tokens, key_source, identity },
            allow_dial: policy(options.allow_dial, options.resolve_names),
            proxy: ProxyOptions {
                forwarded: options.admin_forwarded.unwrap_or_default(),
                pages: options.admin_pages.unwrap_or_default(),
            },
            session: session_config(options.max_connections, options.silence),
            keepalive: options.keepalive.map(|spec| spec.0).unwrap_or_default(),
            registry: registry(options.max_clients),
            handshake_timeout: options.handshake_timeout.map(|time| time.0),
            max_handshakes: options.max_handshakes.map_or_else(max_handshakes, NonZeroUsize::get),
            max_buffered: options.max_buffered.unwrap_or(MaxBuffered::OF_SERVER),
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
            access: Access::by_tokens(tokens),
            allow_dial: Policy::default(),
            forwards,
            admin,
            proxy: ProxyOptions::default(),
            session: SessionConfig::default(),
            keepalive: Keepalive::default(),
            registry: RegistryLimits::default(),
            handshake_timeout: None,
            max_handshakes: max_handshakes(),
            max_buffered: MaxBuffered::OF_SERVER,
            drain_timeout: DRAIN_TIMEOUT,
            peers: None,
        }
    }
}

/// Handshakes, and four times as many sockets that wait for one, leave most open files to sessions.
fn max_handshakes() -> usize {
    MAX_HANDSHAKES.min(process::limit() / 16).max(1)
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
