use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tracing::warn;
use watertight::{Peer, PeerIdentity};

use crate::cli::ServerOptions;
use crate::failure::Failure;
use crate::peer_spec::PeerSpec;
use crate::tls;
use crate::tokens::read_token;

/// The other servers, and who this one is to them.
#[derive(Clone, Debug)]
pub(crate) struct PeerPlan {
    pub(crate) identity: PeerIdentity,
    pub(crate) peers: Vec<Peer>,
}

impl PeerPlan {
    /// `None` if there are no peers. Takes the peers' options.
    pub(crate) fn of(options: &mut ServerOptions) -> Result<Option<Self>, Failure> {
        let specs = std::mem::take(&mut options.peer);
        let (id, token_file) = (options.peer_id.take(), options.peer_token_file.take());
        let files = TlsFiles {
            ca: options.peer_ca.take(),
            certificate: options.peer_cert.take(),
            key: options.peer_key.take(),
        };
        let Some((id, token)) = identity(id, token_file.as_deref(), !specs.is_empty())? else {
            files.check_use(&specs)?;
            return Ok(None);
        };
        if specs.is_empty() {
            warn!("there are no peers: name the other servers with --peer URL,ID");
        }
        files.check_use(&specs)?;
        check_ids(&id, &specs)?;
        let tls = tls::of_client(files.ca, files.certificate, files.key, TLS_OPTIONS)?;
        let mut peers = Vec::new();
        for spec in specs {
            let peer = spec
                .read(&token)
                .map_err(|error| Failure::configuration(format_args!("--peer: {error}")))?;
            peers.push(match &tls {
                Some(tls) => peer.tls(tls.clone()),
                None => peer,
            });
        }
        Ok(Some(Self { identity: PeerIdentity::new(&id, &token), peers }))
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
    fn check_use(&self, specs: &[PeerSpec]) -> Result<(), Failure> {
        let given = self.ca.is_some() || self.certificate.is_some() || self.key.is_some();
        if given && !specs.iter().any(PeerSpec::is_over_tls) {
            return Err(Failure::configuration(
                "--peer-ca, --peer-cert and --peer-key are for TLS, and no --peer is reached over \
                 it: use wss://",
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
            return read_token(file, "--peer-token-file").map(|token| Some((id, token)));
        }
        (None, _) => "--peer-id ID, the name by which the peers know this server",
        (_, None) => "--peer-token-file FILE, whose token this server shows to its peers",
    };
    Err(Failure::configuration(format_args!(
        "peers need to know who this server is: give {missing}"
    )))
}

fn check_id(id: &str) -> Result<(), Failure> {
    if id.trim() != id || id.contains(|character: char| character.is_control() || character == ',')
    {
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
