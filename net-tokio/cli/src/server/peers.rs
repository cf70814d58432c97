//! The peers of a server: options, tokens and TLS files that make sense together.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use tracing::warn;
use watertight::Server;
use watertight::peering::{Peer, PeerDiscovery, PeerIdentity};
use watertight::tls::ClientTls;

use crate::cli::ServerOptions;
use crate::failure::Failure;
use crate::files::warn_if_exposed;
use crate::specs::{BadPeer, PeerSpec, PeerUrl};
use crate::tls;
use crate::tokens::{PeerTokens, is_weak, read_shared, read_token, warn_if_weak};

/// The other servers, and the identity of this one toward them.
#[derive(Clone, Debug)]
pub(crate) struct PeerPlan {
    pub(crate) identity: PeerIdentity,
    pub(crate) peers: Vec<Peer>,
    pub(crate) discovery: Option<PeerDiscovery>,
    pub(crate) source: PeerSource,
}

/// The source of the peers and their tokens.
#[derive(Clone, Debug)]
pub(crate) struct PeerSource {
    id: String,
    files: TokenFiles,
    given: Vec<PeerSpec>,
    tls: Option<ClientTls>,
}

impl PeerSource {
    /// Reads the tokens again. A peer whose token has changed or is removed loses its sessions; files
    /// that are missing or bad change nothing. Blocks.
    pub(crate) fn reload(&self, server: &Server) {
        let keep =
            |failure: Failure| warn!(%failure, "the peers' tokens from before stay in force");
        let tokens = match self.files.read() {
            Ok(tokens) => tokens,
            Err(failure) => return keep(failure),
        };
        if let Err(failure) = check_ids(&self.id, &self.given, &tokens) {
            return keep(failure);
        }
        let read = |spec: &PeerSpec| match self.peer(spec, &tokens) {
            Ok(peer) => Ok((spec.id().to_string(), Some(peer))),
            Err(BadPeer::NoToken(id)) => Ok((id, None)),
            Err(error) => Err(Failure::configuration(format_args!("--peer: {error}"))),
        };
        let peers = match self.given.iter().map(read).collect::<Result<Vec<_>, _>>() {
            Ok(peers) => peers,
            Err(failure) => return keep(failure),
        };
        for (id, peer) in peers {
            match peer {
                Some(peer) => {
                    if let Err(error) = server.add_peer(peer) {
                        warn!(id, %error, "this peer stays as it was");
                    }
                }
                None if server.remove_peer(&id) => warn!(id, "this peer has no token any more"),
                None => {}
            }
        }
    }

    fn peer(&self, spec: &PeerSpec, tokens: &PeerTokens) -> Result<Peer, BadPeer> {
        let peer = spec.read(tokens)?;
        Ok(match &self.tls {
            Some(tls) => peer.tls(tls.clone()),
            None => peer,
        })
    }
}

impl PeerPlan {
    /// `None` if there are no peers. Takes the peers' options.
    pub(crate) fn of(options: &mut ServerOptions) -> Result<Option<Self>, Failure> {
        let found = options.peer_dns.take().map(|url| url.read("--peer-dns")).transpose()?;
        let list = PeerList { given: std::mem::take(&mut options.peer), found };
        let id = options.peer_id.take();
        let token_files =
            TokenFiles { own: options.peer_token_file.take(), shared: options.peer_tokens.take() };
        let files = TlsFiles {
            ca: options.peer_ca.take(),
            certificate: options.peer_cert.take(),
            key: options.peer_key.take(),
        };
        files.check_use(&list)?;
        list.check()?;
        match identity(id, &token_files, !list.is_nobody())? {
            Some((id, tokens)) => list.plan(id, &tokens, token_files, files).map(Some),
            None => Ok(None),
        }
    }
}

/// The peers that the options name.
struct PeerList {
    given: Vec<PeerSpec>,
    found: Option<PeerUrl>,
}

impl PeerList {
    fn is_nobody(&self) -> bool {
        self.given.is_empty() && self.found.is_none()
    }

    fn is_over_tls(&self) -> bool {
        let found = self.found.iter().any(|url| url.endpoint.to_string().starts_with("wss:"));
        found || self.given.iter().any(PeerSpec::is_over_tls)
    }

    fn check(&self) -> Result<(), Failure> {
        if let Some(url) = self.found.iter().find(|url| url.to_string().contains(',')) {
            return Err(Failure::configuration(format_args!(
                "--peer-dns {url}: a URL alone is expected, because ids are addresses and the token \
                 is that of --peer-token-file"
            )));
        }
        match self.found.iter().find(|url| !url.endpoint.to_string().starts_with("ws")) {
            Some(url) => Err(Failure::configuration(format_args!(
                "--peer-dns {url}: peers are reached by ws:// or wss://"
            ))),
            None => Ok(()),
        }
    }

    fn plan(
        self,
        id: String,
        tokens: &PeerTokens,
        token_files: TokenFiles,
        files: TlsFiles,
    ) -> Result<PeerPlan, Failure> {
        if self.is_nobody() {
            warn!("there are no peers: name the other servers with --peer URL,ID");
        }
        check_ids(&id, &self.given, tokens)?;
        if self.found.is_some() && id.parse::<IpAddr>().is_err() {
            return Err(Failure::configuration(format_args!(
                "--peer-id {id:?} is no IP address: with --peer-dns each server's id is the address \
                 by which the others find it"
            )));
        }
        let tls = tls::of_client(files.ca, files.certificate, files.key, TLS_OPTIONS)?;
        let source = PeerSource { id, files: token_files, given: self.given, tls };
        let read = |spec: &PeerSpec| {
            if spec.token().is_some_and(is_weak) {
                let id = spec.id();
                warn!(
                    id,
                    "the token of this --peer can be guessed: make one with `openssl rand -hex 32`"
                );
            }
            let peer = source.peer(spec, tokens);
            peer.map_err(|error| Failure::configuration(format_args!("--peer: {error}")))
        };
        let peers = source.given.iter().map(read).collect::<Result<_, _>>()?;
        // Toward peers that have a token of their own this one is not used.
        let own = tokens.own().unwrap_or_default();
        let discovery = self.found.map(|PeerUrl { endpoint, is_remotedialer }| {
            if own.is_empty() {
                return Err(Failure::configuration(
                    "--peer-dns: peers that are found have one token: give it with --peer-token-file",
                ));
            }
            let mut discovery = PeerDiscovery::new(endpoint, own);
            if is_remotedialer {
                discovery = discovery.remotedialer();
            }
            Ok(match &source.tls {
                Some(tls) => discovery.tls(tls.clone()),
                None => discovery,
            })
        });
        let discovery = discovery.transpose()?;
        let identity = PeerIdentity::new(&source.id, own);
        Ok(PeerPlan { identity, peers, discovery, source })
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
    fn check_use(&self, list: &PeerList) -> Result<(), Failure> {
        let given = self.ca.is_some() || self.certificate.is_some() || self.key.is_some();
        if given && !list.is_over_tls() {
            return Err(Failure::configuration(
                "--peer-ca, --peer-cert and --peer-key are for TLS, and no peer is reached over it: \
                 use wss://",
            ));
        }
        Ok(())
    }
}

/// Where the tokens are.
#[derive(Clone, Debug)]
struct TokenFiles {
    own: Option<PathBuf>,
    shared: Option<PathBuf>,
}

impl TokenFiles {
    fn read(&self) -> Result<PeerTokens, Failure> {
        let own = self.own.as_deref().map(|path| {
            let token = read_token(path, "--peer-token-file")?;
            warn_if_exposed(path, "the peer token file");
            warn_if_weak(path, usize::from(is_weak(&token)));
            Ok(token)
        });
        let shared = self.shared.as_deref().map(read_shared);
        Ok(PeerTokens::new(own.transpose()?, shared.transpose()?.unwrap_or_default()))
    }
}

/// Id and tokens; `None` if neither is given and no peer needs them.
fn identity(
    id: Option<String>,
    files: &TokenFiles,
    wanted: bool,
) -> Result<Option<(String, PeerTokens)>, Failure> {
    let has_tokens = files.own.is_some() || files.shared.is_some();
    let missing = match id.filter(|id| !id.is_empty()) {
        None if !wanted && !has_tokens => return Ok(None),
        Some(id) if has_tokens => {
            check_id(&id)?;
            return Ok(Some((id, files.read()?)));
        }
        None => "--peer-id ID, the name by which the peers know this server",
        Some(_) => {
            "--peer-tokens FILE, with a token for each peer, or --peer-token-file FILE, with one for \
             all of them"
        }
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

fn check_ids(own: &str, specs: &[PeerSpec], tokens: &PeerTokens) -> Result<(), Failure> {
    if let Some(id) = tokens.ids().find(|id| !specs.iter().any(|spec| spec.id() == *id)) {
        return Err(Failure::configuration(format_args!(
            "--peer-tokens has a token for {id:?}, which is the id of no --peer"
        )));
    }
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
