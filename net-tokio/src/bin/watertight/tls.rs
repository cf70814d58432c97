//! Certificates and keys, as the options name them.

use std::path::PathBuf;

use tracing::{error, info};
use watertight::{ClientAuthorities, ClientTls, ServerTls, TlsError};

use crate::exposure::warn_if_exposed;
use crate::failure::Failure;

/// A server's identity, and whose agents it takes.
pub(crate) fn of_server(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    client_crl: Option<PathBuf>,
) -> Result<Option<ServerTls>, Failure> {
    if client_crl.is_some() && client_ca.is_none() {
        return Err(Failure::configuration(
            "--client-crl is for certificates that agents show: give --client-ca as well",
        ));
    }
    match pair(certificate, key, ["--tls-cert", "--tls-key"])? {
        Some((certificate, key)) => {
            warn_if_exposed(&key, "the private key");
            let clients = client_ca.as_deref().map(ClientAuthorities::new);
            let clients = clients.map(|clients| match &client_crl {
                Some(lists) => clients.revoked(lists),
                None => clients,
            });
            let tls = ServerTls::from_pem_files(&certificate, &key, clients);
            tls.map(Some).map_err(|error| unusable(&error))
        }
        None if client_ca.is_some() => Err(Failure::configuration(
            "--client-ca asks agents for certificates, which needs TLS: give --tls-cert and \
             --tls-key as well",
        )),
        None => Ok(None),
    }
}

/// Reads the files again. Bad ones change nothing.
pub(crate) fn reload(tls: &ServerTls) {
    match tls.reload() {
        Ok(()) => info!("certificate and key read again"),
        Err(error) => error!(%error, "certificate and key from before stay in force"),
    }
}

/// Whom this end trusts when it connects and who it is, where that differs from the default.
pub(crate) fn of_client(
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    options: [&str; 2],
) -> Result<Option<ClientTls>, Failure> {
    let identity = pair(certificate, key, options)?;
    if ca.is_none() && identity.is_none() {
        return Ok(None);
    }
    if let Some((_, key)) = &identity {
        warn_if_exposed(key, "the private key");
    }
    let identity = identity.as_ref().map(|(certificate, key)| (&**certificate, &**key));
    let tls = ClientTls::from_pem_files(ca.as_deref(), identity);
    tls.map(Some).map_err(|error| unusable(&error))
}

/// Both files or none.
fn pair(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    [certificate_option, key_option]: [&str; 2],
) -> Result<Option<(PathBuf, PathBuf)>, Failure> {
    let missing = match (certificate, key) {
        (Some(certificate), Some(key)) => return Ok(Some((certificate, key))),
        (None, None) => return Ok(None),
        (None, Some(_)) => certificate_option,
        (Some(_), None) => key_option,
    };
    Err(Failure::configuration(format_args!(
        "certificate and key go together: give {missing} as well"
    )))
}

fn unusable(error: &TlsError) -> Failure {
    Failure::configuration(format_args!("{error}; PEM files with certificates or a key are needed"))
}
