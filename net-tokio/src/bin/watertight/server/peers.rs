use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use tracing::warn;
use watertight::{Endpoint, Peer, PeerDiscovery, PeerIdentity};

use crate::cli::ServerOptions;
use crate::exposure::warn_if_exposed;
use crate::failure::Failure;
use crate::peer_spec::PeerSpec;
use crate::tls;
use crate::tokens::read_token;

/// The other servers, and who this one is to them.
#[derive(Clone, Debug)]
pub(crate) struct PeerPlan {
    pub(crate) identity: PeerIdentity,
    pub(crate) peers: Vec<Peer>,
    pub(crate) discovery: Option<PeerDiscovery>,
}

impl PeerPlan {
    /// `None` if there are no peers. Takes the peers' options.
    pub(crate) fn of(options: &mut ServerOptions) -> Result<Option<Self>, Failure> {
        let who = Who { given: std::mem::take(&mut options.peer), found: options.peer_dns.take() };
        let (id, token_file) = (options.peer_id.take(), options.peer_token_file.take());
        let files = TlsFiles {
            ca: options.peer_ca.take(),
            certificate: options.peer_cert.take(),
            key: options.peer_key.take(),
        };
        files.check_use(&who)?;
        who.check()?;
        match identity(id, token_file.as_deref(), !who.is_nobody())? {
            Some((id, token)) => who.plan(&id, &token, files).map(Some),
            None => Ok(None),
        }
    }
}

/// Whom the options name.
struct Who {
    given: Vec<PeerSpec>,
    found: Option<Endpoint>,
}

impl Who {
    fn is_nobody(&self) -> bool {
        self.given.is_empty() && self.found.is_none()
    }

    fn is_over_tls(&self) -> bool {
        let found = self.found.iter().any(|url| url.to_string().starts_with("wss:"));
        found || self.given.iter().any(PeerSpec::is_over_tls)
    }

    fn check(&self) -> Result<(), Failure> {
        if let Some(url) = self.found.iter().find(|url| url.to_string().contains(',')) {
            return Err(Failure::configuration(format_args!(
                "--peer-dns {url}: a URL alone is expected, because ids are addresses and the token \
                 is that of --peer-token-file"
            )));
        }
        match self.found.iter().find(|url| !url.to_string().starts_with("ws")) {
            Some(url) => Err(Failure::configuration(format_args!(
                "--peer-dns {url}: peers are reached by ws:// or wss://"
            ))),
            None => Ok(()),
        }
    }

    fn plan(self, id: &str, token: &str, files: TlsFiles) -> Result<PeerPlan, Failure> {
        if self.is_nobody() {
            warn!("there are no peers: name the other servers with --peer URL,ID");
        }
        check_ids(id, &self.given)?;
        if self.found.is_some() && id.parse::<IpAddr>().is_err() {
            return Err(Failure::configuration(format_args!(
                "--peer-id {id:?} is no IP address: with --peer-dns each server's id is the address \
                 by which the others find it"
            )));
        }
        let tls = tls::of_client(files.ca, files.certificate, files.key, TLS_OPTIONS)?;
        let read = |spec: PeerSpec| {
            let peer = spec.read(token);
            let peer =
                peer.map_err(|error| Failure::configuration(format_args!("--peer: {error}")));
            peer.map(|peer| match &tls {
                Some(tls) => peer.tls(tls.clone()),
                None => peer,
            })
        };
        let peers = self.given.into_iter().map(read).collect::<Result<_, _>>()?;
        let discovery = self.found.map(|url| {
            let discovery = PeerDiscovery::new(url, token);
            match &tls {
                Some(tls) => discovery.tls(tls.clone()),
                None => discovery,
            }
        });
        Ok(PeerPlan { identity: PeerIdentity::new(id, token), peers, discovery })
    }
}

const TLS_OPTIONS: [&str; 2] = ["--peer-cert", "--peer-key"];

struct TlsFiles {
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl TlsFiles {
    /// What nothing is done with was meant for something else.
    fn check_use(&self, who: &Who) -> Result<(), Failure> {
        let given = self.ca.is_some() || self.certificate.is_some() || self.key.is_some();
        if given && !who.is_over_tls() {
            return Err(Failure::configuration(
                "--peer-ca, --peer-cert and --peer-key are for TLS, and no peer is reached over it: \
                 use wss://",
            ));
        }
        Ok(())
    }
}

/// Id and token; `None` if there is neither, and nobody to show them to.
fn identity(
    id: Option<String>,
    token_file: Option<&Path>,
    wanted: bool,
) -> Result<Option<(String, String)>, Failure> {
    let missing = match (id.filter(|id| !id.is_empty()), token_file) {
        (None, None) if !wanted => return Ok(None),
        (Some(id), Some(file)) => {
            check_id(&id)?;
            let token = read_token(file, "--peer-token-file")?;
            warn_if_exposed(file, "the peer token file");
            return Ok(Some((id, token)));
        }
        (None, _) => "--peer-id ID, the name by which the peers know this server",
        (_, None) => "--peer-token-file FILE, whose token this server shows to its peers",
    };
    Err(Failure::configuration(format_args!(
        "peers need to know who this server is: give {missing}"
    )))
}

fn check_id(id: &str) -> Result<(), Failure> {
    let cannot_be = |character: char| character.is_control() || character == ',';
    if id.trim() != id || id.contains(cannot_be) {
        return Err(Failure::configuration(format_args!(
            "--peer-id {id:?} has blanks at its ends, commas or control characters: leave them out"
        )));
    }
    Ok(())
}

fn check_ids(own: &str, specs: &[PeerSpec]) -> Result<(), Failure> {
    let mut ids = BTreeSet::from([own]);
    match specs.iter().map(PeerSpec::id).find(|id| !ids.insert(id)) {
        Some(id) if id == own => Err(Failure::configuration(format_args!(
            "--peer with id {id:?} is this server itself, by its --peer-id: leave it out"
        ))),
        Some(id) => Err(Failure::configuration(format_args!(
            "--peer with id {id:?} is there twice: each server has an id of its own"
        ))),
        None => Ok(()),
    }
}
