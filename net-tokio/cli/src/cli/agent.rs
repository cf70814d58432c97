//! The options of `watertight agent`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::first;
use crate::config::text;
use crate::specs::{
    AgentForward, AllowSpec, HeaderSpec, KeepaliveSpec, MaxBuffered, ProxySpec, Silence, UrlSpec,
    count, duration,
};

const SERVER: &str = "The server";
const IDENTITY: &str = "Who this agent is";
const DIALS: &str = "What goes through the tunnel";
const LIMITS: &str = "Limits";

/// The options of `watertight agent`, from whichever source.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct AgentOptions {
    /// The server: ws://HOST:PORT/connect or wss://…; also tcp://, tls:// and unix:/path;
    /// required
    ///
    /// ws and wss go through HTTP proxies and ingresses; the others are bare byte streams.
    #[arg(long, value_name = "URL", help_heading = SERVER)]
    #[arg(env = "WATERTIGHT_AGENT_CONNECT", hide_env_values = true)]
    #[serde(deserialize_with = "text::option")]
    pub(crate) connect: Option<UrlSpec>,

    /// Authorities (PEM) that the server's certificate is checked against, instead of the system's
    ///
    /// The file is read again before each connection, as those of --client-cert and --client-key. If
    /// one of them is bad then, the previous ones stay in force, and the log has the reason.
    #[arg(long, value_name = "FILE", help_heading = SERVER)]
    #[arg(env = "WATERTIGHT_AGENT_CA", hide_env_values = true)]
    pub(crate) ca: Option<PathBuf>,

    /// The proxy to go through, or `none` [default: by HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and
    /// NO_PROXY]
    ///
    /// `http://[USER:PASSWORD@]HOST:PORT`, or `https://` where the proxy wants TLS with itself; its
    /// certificate is checked against the system's authorities. Or `socks5://`, also written
    /// `socks5h://`, whose proxy is given the server's name. Only ws:// and wss:// go through proxies.
    /// The variables are read as Go's programs read them, and ALL_PROXY where the other one is not
    /// set: NO_PROXY lists names (example.com, .example.com, *.example.com), addresses and networks,
    /// the first two with a port or without; localhost and loopback addresses need no entry.
    #[arg(long, value_name = "URL|none", help_heading = SERVER)]
    #[arg(env = "WATERTIGHT_AGENT_PROXY", hide_env_values = true)]
    #[serde(deserialize_with = "text::option")]
    pub(crate) proxy: Option<ProxySpec>,

    /// The client key: the name under which the server dials this agent; required
    ///
    /// Two agents with the same key take turns: the newest session wins.
    #[arg(long, value_name = "KEY", help_heading = IDENTITY)]
    #[arg(env = "WATERTIGHT_AGENT_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,

    /// A file whose first line, comments aside, is the token that the server knows
    #[arg(long, value_name = "FILE", help_heading = IDENTITY)]
    #[arg(env = "WATERTIGHT_AGENT_TOKEN_FILE", hide_env_values = true)]
    pub(crate) token_file: Option<PathBuf>,

    /// A header of the upgrade request, for servers that know their agents by others than
    /// Authorization; repeatable
    ///
    /// Rancher's, for one, want X-API-Tunnel-Token and X-API-Tunnel-Params. Others see a command
    /// line: secrets are better off in the environment, one header a line, or in the --config file.
    #[arg(long, value_name = "NAME: VALUE", value_delimiter = '\n', help_heading = IDENTITY)]
    #[arg(env = "WATERTIGHT_AGENT_HEADER", hide_env_values = true)]
    #[serde(deserialize_with = "text::list")]
    pub(crate) header: Vec<HeaderSpec>,

    /// Certificate chain (PEM) for a server that wants one; needs --client-key
    #[arg(long, value_name = "FILE", help_heading = IDENTITY)]
    #[arg(env = "WATERTIGHT_AGENT_CLIENT_CERT", hide_env_values = true)]
    pub(crate) client_cert: Option<PathBuf>,

    /// Private key (PEM) of the client certificate
    #[arg(long, value_name = "FILE", help_heading = IDENTITY)]
    #[arg(env = "WATERTIGHT_AGENT_CLIENT_KEY", hide_env_values = true)]
    pub(crate) client_key: Option<PathBuf>,

    /// Targets that the server may dial on this side; nothing unless given; repeatable
    ///
    /// HOST:PORT, where HOST is a name, *.DOMAIN, an address, a network such as 10.0.0.0/8 or
    /// [fd00::/8], or * for all, and PORT is a number, a range such as 8000-8999, or *. Or
    /// unix:/path for one socket, unix:/folder/* for those below a folder. A network also permits
    /// names that resolve to an address in it.
    #[arg(long, value_name = "PATTERN", num_args = 1.., value_delimiter = ',')]
    #[arg(env = "WATERTIGHT_AGENT_ALLOW", hide_env_values = true, help_heading = DIALS)]
    #[serde(deserialize_with = "text::list")]
    pub(crate) allow: Vec<AllowSpec>,

    /// Look up names that only a network in --allow can permit [default: true]
    ///
    /// The server learns by it which names there are here. With =false a name needs a pattern of names.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, help_heading = DIALS)]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    #[arg(env = "WATERTIGHT_AGENT_RESOLVE_NAMES", hide_env_values = true)]
    pub(crate) resolve_names: Option<bool>,

    /// A local port or socket whose connections are dialled by the server; repeatable
    ///
    /// The server must permit the target with --allow-dial. LISTEN is HOST:PORT or unix:/path;
    /// TARGET is HOST:PORT, tcp/HOST:PORT or unix//path. In the environment, one a line.
    #[arg(long, value_name = "LISTEN=TARGET", value_delimiter = '\n', help_heading = DIALS)]
    #[arg(env = "WATERTIGHT_AGENT_FORWARD", hide_env_values = true)]
    #[serde(deserialize_with = "text::list")]
    pub(crate) forward: Vec<AgentForward>,

    /// How long the server may be silent before the session is over [default: 30s]
    ///
    /// At least 1s. Pings ask for a sign of life every 5s, or three times within this time if that
    /// is more often.
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    #[arg(env = "WATERTIGHT_AGENT_SILENCE", hide_env_values = true)]
    #[serde(deserialize_with = "text::option")]
    pub(crate) silence: Option<Silence>,

    /// How long the machine of a target or of a forward's user may be silent before its
    /// connection is given up, or `off` [default: 3m]
    ///
    /// A machine that is there answers the probes of TCP keepalive, even if its programs hang. At
    /// least 9s.
    #[arg(long, value_name = "TIME|off", help_heading = LIMITS)]
    #[arg(env = "WATERTIGHT_AGENT_KEEPALIVE", hide_env_values = true)]
    #[serde(deserialize_with = "text::option")]
    pub(crate) keepalive: Option<KeepaliveSpec>,

    /// Within how long after its session has ended the agent tries again first [default: 5s]
    ///
    /// At a time of its own choice: the agents of a server that restarts do not all come at once. A
    /// large fleet needs longer. A try that fails is followed by others within 1s, 2s and so on up to
    /// 30s, and a server's Retry-After counts up to 5m.
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = LIMITS)]
    #[arg(env = "WATERTIGHT_AGENT_RECONNECT_SPREAD", hide_env_values = true)]
    #[serde(deserialize_with = "text::duration")]
    pub(crate) reconnect_spread: Option<Duration>,

    /// How long open connections may continue after SIGTERM or Ctrl-C [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = LIMITS)]
    #[arg(env = "WATERTIGHT_AGENT_DRAIN_TIMEOUT", hide_env_values = true)]
    #[serde(deserialize_with = "text::duration")]
    pub(crate) drain_timeout: Option<Duration>,

    /// How many connections the session may carry at once [default: 8192]
    ///
    /// The smaller limit of the two ends counts. Each connection takes a file descriptor.
    #[arg(long, value_name = "NUMBER", value_parser = count, help_heading = LIMITS)]
    #[arg(allow_negative_numbers = true)]
    #[arg(env = "WATERTIGHT_AGENT_MAX_CONNECTIONS", hide_env_values = true)]
    #[serde(deserialize_with = "text::count")]
    pub(crate) max_connections: Option<NonZeroUsize>,

    /// How many bytes may wait in its sessions together, such as 512MiB [default: 256MiB]
    ///
    /// From half of it on, fewer bytes are asked for at once. At the limit the session that holds the most
    /// loses the connection with the most unread bytes, or ends.
    #[arg(long, value_name = "SIZE", help_heading = LIMITS)]
    #[arg(env = "WATERTIGHT_AGENT_MAX_BUFFERED", hide_env_values = true)]
    #[serde(deserialize_with = "text::option")]
    pub(crate) max_buffered: Option<MaxBuffered>,

    /// Take no session of a server that speaks only remotedialer's protocol
    ///
    /// That protocol knows no credit: a server may send as much as a whole session may hold, and is only
    /// asked to pause.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, help_heading = LIMITS)]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    #[arg(env = "WATERTIGHT_AGENT_EXTENDED_ONLY", hide_env_values = true)]
    pub(crate) extended_only: Option<bool>,
}

impl AgentOptions {
    /// These, and `others` where these are not set.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            connect: self.connect.or(others.connect),
            ca: self.ca.or(others.ca),
            proxy: self.proxy.or(others.proxy),
            key: self.key.or(others.key),
            token_file: self.token_file.or(others.token_file),
            header: first(self.header, others.header),
            client_cert: self.client_cert.or(others.client_cert),
            client_key: self.client_key.or(others.client_key),
            allow: first(self.allow, others.allow),
            resolve_names: self.resolve_names.or(others.resolve_names),
            forward: first(self.forward, others.forward),
            silence: self.silence.or(others.silence),
            keepalive: self.keepalive.or(others.keepalive),
            reconnect_spread: self.reconnect_spread.or(others.reconnect_spread),
            drain_timeout: self.drain_timeout.or(others.drain_timeout),
            max_connections: self.max_connections.or(others.max_connections),
            max_buffered: self.max_buffered.or(others.max_buffered),
            extended_only: self.extended_only.or(others.extended_only),
        }
    }
}
