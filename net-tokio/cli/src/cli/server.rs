//! The options of `watertight server`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::{ForwardedRule, KeySource, first};
use crate::config::text;
use crate::specs::{
    AdminAddr, AllowSpec, ConnectPath, KeepaliveSpec, ListenAddr, MaxBuffered, NonZeroTime,
    PeerSpec, ServerForward, Silence, UrlSpec, count, duration,
};

const LISTENING: &str = "Listening";
const ACCESS: &str = "Who may connect, and what they may do";
const FORWARDING: &str = "Reaching the agents' networks";
const PEERS: &str = "Other servers (peers)";
const LIMITS: &str = "Limits";

/// The options of `watertight server`, from whichever source.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct ServerOptions {
    /// Where agents connect: HOST:PORT or unix:/path; required, repeatable
    ///
    /// Agents use `ws://HOST:PORT/connect`, or `wss://` with --tls-cert; the same port takes their
    /// byte streams, `tcp://` and `tls://`. Port 0 lets the system choose; the address is printed.
    /// A name is listened on at each of its addresses. [::]:PORT takes IPv4 as well, unless the same
    /// port is asked for at an IPv4 address.
    /// In the environment, commas separate several.
    #[arg(long, value_name = "ADDR", value_delimiter = ',', help_heading = LISTENING)]
    #[arg(env = "WATERTIGHT_SERVER_LISTEN", hide_env_values = true)]
    #[serde(deserialize_with = "text::list")]
    pub(crate) listen: Vec<ListenAddr>,

    /// The path of the agents' WebSockets, where an ingress puts one in front [default: /connect]
    #[arg(long, value_name = "PATH", help_heading = LISTENING)]
    #[arg(env = "WATERTIGHT_SERVER_CONNECT_PATH", hide_env_values = true)]
    #[serde(deserialize_with = "text::option")]
    pub(crate) connect_path: Option<ConnectPath>,

    /// Certificate chain (PEM) for TLS on the TCP listeners; needs --tls-key
    ///
    /// On SIGHUP certificate, key, --client-ca and --client-crl are read again; if one of them is bad
    /// then, the old ones stay. Otherwise sessions end whose client certificate is not good any more.
    #[arg(long, value_name = "FILE", help_heading = LISTENING)]
    #[arg(env = "WATERTIGHT_SERVER_TLS_CERT", hide_env_values = true)]
    pub(crate) tls_cert: Option<PathBuf>,

    /// Private key (PEM) of the certificate
    #[arg(long, value_name = "FILE", help_heading = LISTENING)]
    #[arg(env = "WATERTIGHT_SERVER_TLS_KEY", hide_env_values = true)]
    pub(crate) tls_key: Option<PathBuf>,

    /// Authorities (PEM) of client certificates; with it, an agent must have one
    ///
    /// The token is asked for all the same. A certificate is checked at each connection: TLS sessions
    /// are not resumed.
    #[arg(long, value_name = "FILE", help_heading = LISTENING)]
    #[arg(env = "WATERTIGHT_SERVER_CLIENT_CA", hide_env_values = true)]
    pub(crate) client_ca: Option<PathBuf>,

    /// Certificates that their authorities have revoked: lists (PEM), one of each authority in --client-ca
    ///
    /// An agent whose certificate is on one is refused. A list that has expired lets nobody in: it
    /// lacks later revocations. On SIGHUP the file is read again, and sessions end whose
    /// certificate would be refused now: all of them, where the list has expired.
    #[arg(long, value_name = "FILE", help_heading = LISTENING)]
    #[arg(env = "WATERTIGHT_SERVER_CLIENT_CRL", hide_env_values = true)]
    pub(crate) client_crl: Option<PathBuf>,

    /// An agent may only use the client keys that its certificate names: san or cn; needs --client-ca
    ///
    /// san: the subject alternative names, DNS names and URIs; cn: the common name. With it, --token-file may
    /// be left out. Without it, any certificate of the authorities is good for any key that the
    /// token is good for.
    #[arg(long, value_name = "PART", hide_possible_values = true, help_heading = ACCESS)]
    #[arg(env = "WATERTIGHT_SERVER_CLIENT_KEY_FROM", hide_env_values = true)]
    pub(crate) client_key_from: Option<KeySource>,

    /// The agents' tokens, one entry a line: `KEY TOKEN`, or `TOKEN` alone for the other keys; required
    ///
    /// A key that has entries takes their tokens alone. Blank lines and lines that start with # are
    /// skipped. On SIGHUP the file is read again; if it is bad then, the old entries stay. Otherwise
    /// sessions end whose token is gone: an empty file ends all of them.
    #[arg(long, value_name = "FILE", help_heading = ACCESS)]
    #[arg(env = "WATERTIGHT_SERVER_TOKEN_FILE", hide_env_values = true)]
    pub(crate) token_file: Option<PathBuf>,

    /// What agents may dial on this side; nothing unless given; repeatable
    ///
    /// Patterns are those of the agent's --allow: HOST:PORT, CIDR:PORT or unix:/path, with *.
    #[arg(long, value_name = "PATTERN", num_args = 1.., value_delimiter = ',')]
    #[arg(env = "WATERTIGHT_SERVER_ALLOW_DIAL", hide_env_values = true, help_heading = ACCESS)]
    #[serde(deserialize_with = "text::list")]
    pub(crate) allow_dial: Vec<AllowSpec>,

    /// Look up names that only a network in --allow-dial can permit [default: true]
    ///
    /// An agent learns by it which names there are here. With =false a name needs a pattern of names.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, help_heading = FORWARDING)]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    #[arg(env = "WATERTIGHT_SERVER_RESOLVE_NAMES", hide_env_values = true)]
    pub(crate) resolve_names: Option<bool>,

    /// A local port or socket whose connections are dialled at an agent; repeatable
    ///
    /// LISTEN is HOST:PORT or unix:/path. KEY is the agent's --key. TARGET is what the agent
    /// dials: HOST:PORT, tcp/HOST:PORT or unix//path. In the environment, one a line.
    #[arg(long, value_name = "LISTEN=KEY=TARGET", value_delimiter = '\n')]
    #[arg(env = "WATERTIGHT_SERVER_FORWARD", hide_env_values = true, help_heading = FORWARDING)]
    #[serde(deserialize_with = "text::list")]
    pub(crate) forward: Vec<ServerForward>,

    /// Where the admin server listens: a port (on 127.0.0.1), HOST:PORT on loopback, or unix:/path
    ///
    /// It serves /healthz, /metrics, /clients, /peers and /client/{key}/{scheme}/{host}/{path}, an HTTP
    /// proxy into the agents' networks. It asks nobody for a password: anyone who reaches it can do
    /// everything that the agents' policies allow. That is why it does not listen on other interfaces.
    /// Other than on a Unix socket, it answers only requests whose Host is localhost or a loopback
    /// address, and none that a browser makes for a page of another origin.
    #[arg(long, value_name = "ADDR", help_heading = FORWARDING)]
    #[arg(env = "WATERTIGHT_SERVER_ADMIN", hide_env_values = true)]
    #[serde(deserialize_with = "text::option")]
    pub(crate) admin: Option<AdminAddr>,

    /// How /client/... passes the origin of a request to a target: append, replace or keep
    /// [default: append]
    ///
    /// The headers are X-Forwarded-For, -Proto, -Host and -Prefix, and Forwarded. A target sees
    /// each connection come from the agent's machine: a target that trusts its own machine has to
    /// check them. `append` adds a part to what the client sends, `replace` drops the client's part
    /// first, `keep` passes that on alone. The prefix is /client/KEY/SCHEME/HOST: a program that
    /// knows it writes links that stay below it. Location headers, cookies and pages are passed on
    /// as they are.
    #[arg(long, value_name = "RULE", hide_possible_values = true, help_heading = FORWARDING)]
    #[arg(env = "WATERTIGHT_SERVER_ADMIN_FORWARDED", hide_env_values = true)]
    pub(crate) admin_forwarded: Option<ForwardedRule>,

    /// Give what is behind each agent an origin of its own for browsers
    ///
    /// A browser then finds it at http://KEY--HOST--PORT.localhost:ADMIN, with s behind the port for
    /// https: such as http://edge-7--127_0_0_1--3000.localhost:9090. In KEY and HOST `.` is
    /// written as `_`, and a byte that a name cannot have as - and two hexadecimal digits. Neither
    /// cookies nor scripts of one target reach another one. A browser's request below /client/ is
    /// refused with the address to open instead.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, help_heading = FORWARDING)]
    #[arg(default_missing_value = "true", hide_possible_values = true)]
    #[arg(env = "WATERTIGHT_SERVER_ADMIN_PAGES", hide_env_values = true)]
    pub(crate) admin_pages: Option<bool>,

    /// Another server, to reach its agents and give it access to the agents here; repeatable
    ///
    /// URL is where the other server takes agents, ws:// or wss://; ID is its --peer-id; TOKEN is
    /// what it proves its ID with. It is left out where the peer has a line in the file of
    /// --peer-tokens, or the token of our --peer-token-file. Both servers name each other, so that
    /// each connects to the other one. They prove to each other that they know the tokens, and send
    /// none. A remotedialer server can only send and be sent tokens: put remotedialer+ in front of its
    /// URL. One with a wss:// URL is understood without. Other users of this machine can see command
    /// lines: a TOKEN is better given in the --config file or the environment, one peer a line.
    #[arg(long, value_name = "URL,ID[,TOKEN]", value_delimiter = '\n', help_heading = PEERS)]
    #[arg(env = "WATERTIGHT_SERVER_PEER", hide_env_values = true)]
    #[serde(deserialize_with = "text::list")]
    pub(crate) peer: Vec<PeerSpec>,

    /// A name at whose every address there is a peer, such as wss://HEADLESS-SERVICE:PORT/connect
    ///
    /// The name is looked up every 5s, and peers come and go with its addresses; a look-up that
    /// fails changes nothing. Each server's --peer-id must be its own address, as the name has it:
    /// that one is left out, as are all of the other kind, IPv4 or IPv6. All have one token, that of
    /// --peer-token-file. Certificates are checked by the name. Put remotedialer+ in front of the URL
    /// where some of the servers are remotedialer's.
    #[arg(long, value_name = "URL", help_heading = PEERS)]
    #[arg(env = "WATERTIGHT_SERVER_PEER_DNS", hide_env_values = true)]
    #[serde(deserialize_with = "text::option")]
    pub(crate) peer_dns: Option<UrlSpec>,

    /// The name by which the peers know this server
    #[arg(long, value_name = "ID", help_heading = PEERS)]
    #[arg(env = "WATERTIGHT_SERVER_PEER_ID", hide_env_values = true)]
    pub(crate) peer_id: Option<String>,

    /// A file whose first line, comments aside, is the token that this server proves its ID with
    ///
    /// Its peers know it, so each of them could take this server's ID toward the others: give each
    /// two servers a token of their own with --peer-tokens. The file is read again on SIGHUP; with
    /// --peer-dns another token needs a restart.
    #[arg(long, value_name = "FILE", help_heading = PEERS)]
    #[arg(env = "WATERTIGHT_SERVER_PEER_TOKEN_FILE", hide_env_values = true)]
    pub(crate) peer_token_file: Option<PathBuf>,

    /// A file with a token for each peer: lines of `ID TOKEN`
    ///
    /// The other server has the same token in a line with our --peer-id. With a token for each two
    /// servers, none of them can take the ID of another one. The file is read again on SIGHUP:
    /// sessions end whose token has changed or is gone.
    #[arg(long, value_name = "FILE", help_heading = PEERS)]
    #[arg(env = "WATERTIGHT_SERVER_PEER_TOKENS", hide_env_values = true)]
    pub(crate) peer_tokens: Option<PathBuf>,

    /// Authorities (PEM) that the peers' certificates are checked against, instead of the system's
    ///
    /// The file is read again before each connection, as those of --peer-cert and --peer-key. If one
    /// of them is bad then, the previous ones stay in force, and the log has the reason.
    #[arg(long, value_name = "FILE", help_heading = PEERS)]
    #[arg(env = "WATERTIGHT_SERVER_PEER_CA", hide_env_values = true)]
    pub(crate) peer_ca: Option<PathBuf>,

    /// Certificate chain (PEM) that this server shows to peers which ask for one; needs --peer-key
    #[arg(long, value_name = "FILE", help_heading = PEERS)]
    #[arg(env = "WATERTIGHT_SERVER_PEER_CERT", hide_env_values = true)]
    pub(crate) peer_cert: Option<PathBuf>,

    /// Private key (PEM) of that certificate
    #[arg(long, value_name = "FILE", help_heading = PEERS)]
    #[arg(env = "WATERTIGHT_SERVER_PEER_KEY", hide_env_values = true)]
    pub(crate) peer_key: Option<PathBuf>,

    /// How long a socket may take from being accepted to an agent's session [default: 10s]
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    #[arg(env = "WATERTIGHT_SERVER_HANDSHAKE_TIMEOUT", hide_env_values = true)]
    #[serde(deserialize_with = "text::option")]
    pub(crate) handshake_timeout: Option<NonZeroTime>,

    /// How many sockets of agents may be at their handshake at once [default: 1024]
    ///
    /// Four times as many wait, for their first byte or their turn. Where there are more, the oldest go of
    /// the address (or the IPv6 network of 64 bits) with the most of them, so that nobody keeps the
    /// others out. The default is a sixteenth of the open files that the system allows, if that is less.
    #[arg(long, value_name = "NUMBER", value_parser = count, help_heading = LIMITS)]
    #[arg(allow_negative_numbers = true)]
    #[arg(env = "WATERTIGHT_SERVER_MAX_HANDSHAKES", hide_env_values = true)]
    #[serde(deserialize_with = "text::count")]
    pub(crate) max_handshakes: Option<NonZeroUsize>,

    /// How long an agent may be silent before its session is over [default: 30s]
    ///
    /// At least 1s. Pings ask for a sign of life every 5s, or three times within this time if that
    /// is more often.
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    #[arg(env = "WATERTIGHT_SERVER_SILENCE", hide_env_values = true)]
    #[serde(deserialize_with = "text::option")]
    pub(crate) silence: Option<Silence>,

    /// How long the machine of a forward's or the admin server's user may be silent before its
    /// connection is given up, or `off` [default: 3m]
    ///
    /// A machine that is there answers the probes of TCP keepalive, even if its programs hang. At
    /// least 9s.
    #[arg(long, value_name = "TIME|off", help_heading = LIMITS)]
    #[arg(env = "WATERTIGHT_SERVER_KEEPALIVE", hide_env_values = true)]
    #[serde(deserialize_with = "text::option")]
    pub(crate) keepalive: Option<KeepaliveSpec>,

    /// How long open connections may continue after SIGTERM or Ctrl-C [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = LIMITS)]
    #[arg(env = "WATERTIGHT_SERVER_DRAIN_TIMEOUT", hide_env_values = true)]
    #[serde(deserialize_with = "text::duration")]
    pub(crate) drain_timeout: Option<Duration>,

    /// How many agents may be connected at once [default: 100000]
    ///
    /// A peer may announce as many, or 100000 if that is more; all peers together, five times as
    /// many.
    #[arg(long, value_name = "NUMBER", value_parser = count, help_heading = LIMITS)]
    #[arg(allow_negative_numbers = true)]
    #[arg(env = "WATERTIGHT_SERVER_MAX_CLIENTS", hide_env_values = true)]
    #[serde(deserialize_with = "text::count")]
    pub(crate) max_clients: Option<NonZeroUsize>,

    /// How many connections each agent's or peer's session may carry at once [default: 8192]
    #[arg(long, value_name = "NUMBER", value_parser = count, help_heading = LIMITS)]
    #[arg(allow_negative_numbers = true)]
    #[arg(env = "WATERTIGHT_SERVER_MAX_CONNECTIONS", hide_env_values = true)]
    #[serde(deserialize_with = "text::count")]
    pub(crate) max_connections: Option<NonZeroUsize>,

    /// How many bytes may wait in all sessions together, such as 512MiB [default: 1GiB]
    ///
    /// From half of it on, fewer bytes are asked for at once. At the limit the session that holds the most
    /// loses the connection with the most unread bytes, or ends.
    #[arg(long, value_name = "SIZE", help_heading = LIMITS)]
    #[arg(env = "WATERTIGHT_SERVER_MAX_BUFFERED", hide_env_values = true)]
    #[serde(deserialize_with = "text::option")]
    pub(crate) max_buffered: Option<MaxBuffered>,
}

impl ServerOptions {
    /// These, and `others` where these are not set.
    pub(crate) fn or(self, others: Self) -> Self {
        Self {
            listen: first(self.listen, others.listen),
            connect_path: self.connect_path.or(others.connect_path),
            tls_cert: self.tls_cert.or(others.tls_cert),
            tls_key: self.tls_key.or(others.tls_key),
            client_ca: self.client_ca.or(others.client_ca),
            client_crl: self.client_crl.or(others.client_crl),
            client_key_from: self.client_key_from.or(others.client_key_from),
            token_file: self.token_file.or(others.token_file),
            allow_dial: first(self.allow_dial, others.allow_dial),
            resolve_names: self.resolve_names.or(others.resolve_names),
            forward: first(self.forward, others.forward),
            admin: self.admin.or(others.admin),
            admin_forwarded: self.admin_forwarded.or(others.admin_forwarded),
            admin_pages: self.admin_pages.or(others.admin_pages),
            peer: first(self.peer, others.peer),
            peer_dns: self.peer_dns.or(others.peer_dns),
            peer_id: self.peer_id.or(others.peer_id),
            peer_token_file: self.peer_token_file.or(others.peer_token_file),
            peer_tokens: self.peer_tokens.or(others.peer_tokens),
            peer_ca: self.peer_ca.or(others.peer_ca),
            peer_cert: self.peer_cert.or(others.peer_cert),
            peer_key: self.peer_key.or(others.peer_key),
            handshake_timeout: self.handshake_timeout.or(others.handshake_timeout),
            max_handshakes: self.max_handshakes.or(others.max_handshakes),
            silence: self.silence.or(others.silence),
            keepalive: self.keepalive.or(others.keepalive),
            drain_timeout: self.drain_timeout.or(others.drain_timeout),
            max_clients: self.max_clients.or(others.max_clients),
            max_connections: self.max_connections.or(others.max_connections),
            max_buffered: self.max_buffered.or(others.max_buffered),
        }
    }
}
