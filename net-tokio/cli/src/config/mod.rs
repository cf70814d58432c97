//! The configuration file, and its precedence.
//!
//! Flags win over the environment, which clap reads; both win over the file. Defaults stand in the code
//! that uses the value.

use std::path::Path;

use clap::CommandFactory;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeString, DeTable};

use crate::cli::{AgentOptions, Cli, LogOptions, ServerOptions};
use crate::failure::Failure;
use crate::files;
use crate::specs::{PeerSpec, ProxySpec};

pub(crate) mod text;

/// The options of a configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FileOptions {
    #[serde(flatten)]
    pub(crate) log: LogOptions,
    pub(crate) server: ServerOptions,
    pub(crate) agent: AgentOptions,
}

impl FileOptions {
    /// Reads the file, if there is one to read.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::default()) };
        let content = files::read(path, "the configuration", "--config")?;
        Self::parse(&content).map_err(|error| {
            Failure::configuration(format_args!("{}: {}", path.display(), error.trim_end()))
        })
    }

    /// Whether there is something in it that others should not know.
    pub(crate) fn has_secrets(&self) -> bool {
        let Self { server, agent, .. } = self;
        let of_peers = server.peer.iter().any(PeerSpec::has_token);
        let of_proxy = agent.proxy.as_ref().is_some_and(ProxySpec::has_password);
        of_peers || of_proxy || !agent.header.is_empty()
    }

    fn parse(content: &str) -> Result<Self, String> {
        check_keys(content)?;
        toml::from_str(content).map_err(|error| explain(content, &error))
    }
}

/// The error with its line. The library would show the line and the value, which may be a secret.
fn explain(content: &str, error: &toml::de::Error) -> String {
    let message = error.message();
    let expected = message.strip_prefix("invalid type: ").and_then(|text| text.rsplit_once(", "));
    let message = expected.map_or(message, |(_, expected)| expected);
    match error.span() {
        Some(span) => {
            let line = line_of(content, span.start);
            let key = key_of(content, line).map(|key| format!("{key}: ")).unwrap_or_default();
            format!("line {line}: {key}{message}")
        }
        None => message.to_string(),
    }
}

/// The commands that have a table.
const TABLES: [&str; 2] = ["server", "agent"];

/// How alike two names are if one may be a slip for the other.
const ALIKE: f64 = 0.75;

/// Refuses the first key that is no option.
fn check_keys(content: &str) -> Result<(), String> {
    let file = DeTable::parse(content).map_err(|error| explain(content, &error))?;
    let command = Cli::command();
    let common = names(&command, true).filter(|name| name != "config");
    let known: Vec<String> = common.chain(TABLES.map(String::from)).collect();
    let hint_at_top = |name: &str| misplaced(&command, name).unwrap_or_else(|| hint(name, &known));
    check_table(content, "at the top", file.get_ref(), &known, hint_at_top)?;
    for table in TABLES {
        let inner = file.get_ref().get(table).and_then(|value| value.get_ref().as_table());
        let options = command.find_subcommand(table);
        if let (Some(inner), Some(options)) = (inner, options) {
            let known: Vec<String> = names(options, false).collect();
            let table_name = format!("in [{table}]");
            check_table(content, &table_name, inner, &known, |name| hint(name, &known))?;
        }
    }
    Ok(())
}

/// The long names of a command's options.
fn names(command: &clap::Command, global: bool) -> impl Iterator<Item = String> {
    let options = command.get_arguments().filter(move |option| option.is_global_set() == global);
    options.filter_map(|option| option.get_long().map(String::from))
}

fn check_table(
    content: &str,
    table_name: &str,
    table: &DeTable<'_>,
    known: &[String],
    hint: impl Fn(&str) -> String,
) -> Result<(), String> {
    let is_known = |key: &Spanned<DeString<'_>>| known.iter().any(|name| name == key.get_ref());
    match table.keys().find(|key| !is_known(key)) {
        None => Ok(()),
        Some(key) => {
            let line = line_of(content, key.span().start);
            let name = key.get_ref();
            let hint = hint(name);
            Err(format!("line {line}: unknown key {name:?} {table_name}; {hint}"))
        }
    }
}

/// Where an option of a command belongs that stands at the top.
fn misplaced(command: &clap::Command, name: &str) -> Option<String> {
    let has = |table: &&str| {
        let options = command.find_subcommand(table);
        options.is_some_and(|options| names(options, false).any(|option| option == name))
    };
    let tables: Vec<String> =
        TABLES.into_iter().filter(has).map(|table| format!("[{table}]")).collect();
    (!tables.is_empty()).then(|| format!("it belongs under {}", tables.join(" or ")))
}

fn line_of(content: &str, offset: usize) -> usize {
    content.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The key that a line gives a value to.
fn key_of(content: &str, line: usize) -> Option<&str> {
    let (key, _) = content.lines().nth(line.checked_sub(1)?)?.split_once('=')?;
    let is_key = |key: &&str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    Some(key.trim()).filter(is_key)
}

fn hint(unknown: &str, known: &[String]) -> String {
    let likeness = |name: &&String| strsim::jaro_winkler(unknown, name);
    let nearest = known.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    match nearest.filter(|name| likeness(name) >= ALIKE) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("the known keys are {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_is_read() {
        let options = FileOptions::parse(
            r#"
            log = "debug"
            log-format = "json"
            [server]
            listen = ["127.0.0.1:1", "unix:/run/w.sock"]
            connect-path = "/tunnel/connect"
            tls-cert = "c.pem"
            tls-key = "k.pem"
            client-ca = "ca.pem"
            client-crl = "crl.pem"
            client-key-from = "san"
            token-file = "tokens"
            allow-dial = "localhost:80"
            forward = "127.0.0.1:2=key=web:80"
            admin = "9090"
            admin-forwarded = "replace"
            admin-pages = true
            peer = ["wss://b.example:1/connect,b", "ws://c:1,c,token"]
            peer-dns = "wss://peers.example"
            peer-id = "a"
            peer-token-file = "peer-token"
            peer-tokens = "peer-tokens"
            peer-ca = "ca.pem"
            peer-cert = "c.pem"
            peer-key = "k.pem"
            handshake-timeout = "3s"
            max-handshakes = 7
            silence = "1m"
            keepalive = "off"
            drain-timeout = "1m30s"
            max-clients = 5
            max-connections = 6
            max-buffered = "2GiB"
            [agent]
            connect = "ws://localhost:1/connect"
            ca = "ca.pem"
            proxy = "none"
            key = "edge"
            token-file = "token"
            client-cert = "c.pem"
            client-key = "k.pem"
            allow = ["localhost:80", "10.0.0.0/8:*"]
            forward = ["127.0.0.1:3=db:5432"]
            silence = "10s"
            keepalive = "1m"
            reconnect-spread = "1m"
            resolve-names = false
            drain-timeout = "5s"
            max-connections = 7
            max-buffered = 1048576
            extended-only = true
            "#,
        )
        .unwrap();
        assert_eq!(options.server.listen.len(), 2);
        assert_eq!(options.server.forward.len(), 1);
        assert_eq!(options.server.peer.len(), 2);
        assert!(options.server.peer_dns.is_some());
        assert_eq!(options.server.admin_forwarded, Some(crate::cli::ForwardedRule::Replace));
        assert_eq!(options.server.drain_timeout.unwrap().as_secs(), 90);
        assert_eq!(options.server.handshake_timeout.unwrap().0.as_secs(), 3);
        assert!(options.server.silence.is_some() && options.agent.silence.is_some());
        assert!(options.server.keepalive.is_some() && options.agent.keepalive.is_some());
        assert_eq!(options.server.max_connections.unwrap().get(), 6);
        assert_eq!(options.agent.reconnect_spread.unwrap().as_secs(), 60);
        assert_eq!(options.agent.max_connections.unwrap().get(), 7);
        assert_eq!(options.agent.allow.len(), 2);
        assert!(options.log.log_format.is_some());
    }

    #[test]
    fn a_port_may_be_a_number() {
        let options = FileOptions::parse("[server]\nadmin = 9090\n").unwrap();
        assert!(options.server.admin.is_some());
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_its_neighbour() {
        let error = FileOptions::parse("[server]\nlisten = \"h:1\"\nforwrad = []\n").unwrap_err();
        assert!(error.contains("line 3"), "{error}");
        assert!(error.contains("\"forwrad\""), "{error}");
        assert!(error.contains("did you mean \"forward\"?"), "{error}");
    }

    #[test]
    fn a_key_outside_of_its_table_is_told_where_it_belongs() {
        let error = |text: &str| FileOptions::parse(text).unwrap_err();
        assert!(error("listen = \"h:1\"").ends_with("it belongs under [server]"));
        assert!(error("token-file = \"f\"").ends_with("it belongs under [server] or [agent]"));
    }

    #[test]
    fn an_unknown_table_is_named() {
        let error = FileOptions::parse("[sever]\n").unwrap_err();
        assert!(error.contains("did you mean \"server\"?"), "{error}");
    }

    #[test]
    fn a_complaint_shows_no_secret() {
        for content in [
            "[server]\npeer = [\"ws://b:1,b,s3cret\", 5]\n",
            "[server]\npeer = \"ws://b:1,b,s3cret\nlisten = 5\n",
            "[agent]\nheader = \"Authorization: s3cret\" x\n",
            "[agent]\nproxy = [\"http://u:s3cret@proxy\"]\n",
        ] {
            let error = FileOptions::parse(content).unwrap_err();
            assert!(error.contains("line 2") && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named_by_its_option_and_not_shown() {
        for (value, why) in [
            (
                "max-handshakes = \"s3cret\"",
                "max-handshakes: expected a whole number of at least 1",
            ),
            ("max-clients = 0", "max-clients: expected a whole number of at least 1"),
            ("max-connections = -1", "max-connections: expected a whole number of at least 1"),
            ("admin-pages = \"s3cret\"", "admin-pages: expected a boolean"),
        ] {
            let error = FileOptions::parse(&format!("[server]\n{value}\n")).unwrap_err();
            assert!(error.contains(why) && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_bad_value_is_explained() {
        let error = FileOptions::parse("[server]\nforward = [\"8080\"]\n").unwrap_err();
        assert!(error.contains("line 2") && error.contains("LISTEN=KEY=TARGET"), "{error}");
    }
}
