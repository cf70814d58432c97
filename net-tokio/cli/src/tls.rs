//! Certificates and keys, as the options name them.

use std::fs;
use std::path::{Path, PathBuf};

use tracing::{error, info, warn};
use watertight::tls::{ClientAuthorities, ClientTls, ServerTls, TlsError};
use x509_parser::pem::Pem;
use x509_parser::prelude::{ASN1Time, CertificateRevocationList, FromDer};

use crate::failure::Failure;
use crate::files::{warn_if_exposed, warn_if_others_can_write};

/// A server's identity, and whose agents it takes.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) tls: ServerTls,
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    client_crl: Option<PathBuf>,
}

impl Identity {
    /// Reads the files again. Bad ones change nothing. Blocks.
    pub(crate) fn reload(&self) {
        match self.tls.reload() {
            Ok(()) => {
                info!("certificate and key read again");
                self.warn();
            }
            Err(error) => error!(%error, "{} from before stay in force", self.what()),
        }
    }

    const fn what(&self) -> &'static str {
        match (&self.client_ca, &self.client_crl) {
            (None, _) => "certificate and key",
            (Some(_), None) => "certificate, key and agents' authorities",
            (Some(_), Some(_)) => {
                "certificate, key, agents' authorities and lists of revoked certificates"
            }
        }
    }

    /// Warns of what others could do with the files, and of lists with which no agent can connect.
    fn warn(&self) {
        warn_if_exposed(&self.key, "the private key");
        warn_if_others_can_write(&self.certificate, "the certificate");
        if let Some(path) = &self.client_ca {
            warn_if_others_can_write(path, "the agents' authorities");
        }
        if let Some(path) = &self.client_crl {
            warn_if_others_can_write(path, "the list of revoked certificates");
            warn_if_expired(path);
        }
    }
}

/// An expired list lacks later revocations, so that no certificate can be checked.
fn warn_if_expired(lists: &Path) {
    let Ok(content) = fs::read(lists) else { return };
    for expired in expired(&content) {
        let path = lists.display();
        warn!(%path, expired, "a list of revoked certificates has expired: no agent of its authority \
            can connect");
    }
}

/// When the lists in a PEM text expired that have.
fn expired(lists: &[u8]) -> Vec<String> {
    let expired = |pem: Pem| {
        let (_, list) = CertificateRevocationList::from_der(&pem.contents).ok()?;
        list.next_update().filter(|next| *next < ASN1Time::now()).map(|next| next.to_string())
    };
    Pem::iter_from_buffer(lists).flatten().filter_map(expired).collect()
}

/// The identity that the options name.
pub(crate) fn of_server(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    client_crl: Option<PathBuf>,
) -> Result<Option<Identity>, Failure> {
    if client_crl.is_some() && client_ca.is_none() {
        return Err(Failure::configuration(
            "--client-crl is for certificates that agents show: give --client-ca as well",
        ));
    }
    match pair(certificate, key, ["--tls-cert", "--tls-key"])? {
        Some((certificate, key)) => {
            let clients = client_ca.as_deref().map(ClientAuthorities::new);
            let clients = clients.map(|clients| match &client_crl {
                Some(lists) => clients.revoked(lists),
                None => clients,
            });
            let tls = ServerTls::from_pem_files(&certificate, &key, clients);
            let tls = tls.map_err(|error| unusable(&error))?;
            let identity = Identity { tls, certificate, key, client_ca, client_crl };
            identity.warn();
            Ok(Some(identity))
        }
        None if client_ca.is_some() => Err(Failure::configuration(
            "--client-ca asks agents for certificates, which needs TLS: give --tls-cert and \
             --tls-key as well",
        )),
        None => Ok(None),
    }
}

/// The authorities and the identity of this end when it connects, where they differ from the default.
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

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, IsCa, Issuer,
        KeyIdMethod, KeyPair, SerialNumber, date_time_ymd,
    };

    use super::*;

    #[test]
    fn a_list_that_has_expired_is_found() {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = Issuer::new(params, KeyPair::generate().unwrap());
        let list = |year| {
            let list = CertificateRevocationListParams {
                this_update: date_time_ymd(2020, 1, 1),
                next_update: date_time_ymd(year, 1, 1),
                crl_number: SerialNumber::from(1_u64),
                issuing_distribution_point: None,
                revoked_certs: Vec::new(),
                key_identifier_method: KeyIdMethod::Sha256,
            };
            list.signed_by(&issuer).unwrap().pem().unwrap()
        };
        let expired = expired((list(4000) + &list(2021)).as_bytes());
        assert!(expired.len() == 1 && expired[0].contains("2021"), "{expired:?}");
    }
}
