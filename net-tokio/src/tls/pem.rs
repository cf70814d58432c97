use std::fmt;
use std::path::Path;

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::RootCertStore;

use super::TlsError;

/// Where certificates or a key stand, for errors to name.
pub(super) enum Pem<'a> {
    File(&'a Path),
    /// A text in memory, and what it is for.
    Text(&'static str, &'a [u8]),
}

impl Pem<'_> {
    /// At least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificates: Result<Vec<_>, _> = match self {
            Self::File(path) => CertificateDer::pem_file_iter(path).and_then(Iterator::collect),
            Self::Text(_, text) => CertificateDer::pem_slice_iter(text).collect(),
        };
        match certificates {
            Ok(certificates) if certificates.is_empty() => Err(self.wrong(&"no certificate in it")),
            Ok(certificates) => Ok(certificates),
            Err(error) => Err(self.unreadable(&error)),
        }
    }

    pub(super) fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| self.wrong(&error))?;
        }
        Ok(roots)
    }

    /// The first one.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let key = match self {
            Self::File(path) => PrivateKeyDer::from_pem_file(path),
            Self::Text(_, text) => PrivateKeyDer::from_pem_slice(text),
        };
        key.map_err(|error| match error {
            pem::Error::NoItemsFound => self.wrong(&"no private key in it"),
            error => self.unreadable(&error),
        })
    }

    pub(super) fn wrong(&self, reason: &dyn fmt::Display) -> TlsError {
        let reason = reason.to_string();
        match self {
            Self::File(path) => TlsError::File { path: path.to_path_buf(), reason },
            Self::Text(what, _) => TlsError::Pem { what, reason },
        }
    }

    fn unreadable(&self, error: &pem::Error) -> TlsError {
        match error {
            pem::Error::Io(error) => self.wrong(error),
            error => self.wrong(error),
        }
    }
}

impl fmt::Display for Pem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Text(what, _) => write!(f, "the {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use crate::{ClientTls, ServerTls};

    fn identity(name: &str) -> (String, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed([name.to_string()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    #[test]
    fn an_identity_comes_from_texts() {
        let (certificate, key) = identity("localhost");
        let (certificate, key) = (certificate.as_bytes(), key.as_bytes());
        assert!(ServerTls::from_pem(certificate, key, None).is_ok());
        assert!(ServerTls::from_pem(certificate, key, Some(certificate)).is_ok());
        assert!(ClientTls::from_pem(Some(certificate), None).is_ok());
        assert!(ClientTls::from_pem(Some(certificate), Some((certificate, key))).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let ((certificate, key), (_, other)) = (identity("localhost"), identity("localhost"));
        let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (certificate, key, ca, named) in [
            ("", &*key, None, "the certificate: no certificate in it"),
            (&certificate, "", None, "the private key: no private key in it"),
            (&certificate, &other, None, "the private key: it does not belong to the certificate"),
            (garbled, &key, None, "the certificate: "),
            (&certificate, &key, Some(""), "the client authority: no certificate in it"),
            (&certificate, &key, Some(garbled), "the client authority: "),
        ] {
            let ca = ca.map(str::as_bytes);
            let made = ServerTls::from_pem(certificate.as_bytes(), key.as_bytes(), ca);
            let error = made.unwrap_err().to_string();
            assert!(error.starts_with(named), "{named} ≠ {error}");
        }
        let error = ClientTls::from_pem(Some(b"no PEM"), None).unwrap_err().to_string();
        assert_eq!(error, "the authority: no certificate in it");
    }
}
