use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::RootCertStore;

use super::TlsError;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes in a file; all public authorities together are a fiftieth of it. A device never ends.
const MAX_LEN: u64 = 16 << 20;

/// Where certificates or a key stand, for errors to name.
pub(super) enum Pem<'a> {
    File(&'a Path),
    /// A file that has been read.
    Read(&'a Path, &'a [u8]),
    /// A text in memory, and what it is for.
    Text(&'static str, &'a [u8]),
}

impl Pem<'_> {
    /// At least one.
    pub(super) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let text = self.text()?;
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(unmarked(&text)).collect();
        match certificates {
            Ok(certificates) if certificates.is_empty() => Err(self.wrong(&"no certificate in it")),
            Ok(certificates) => Ok(certificates),
            Err(error) => Err(self.wrong(&error)),
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
        PrivateKeyDer::from_pem_slice(unmarked(&self.text()?)).map_err(|error| match error {
            pem::Error::NoItemsFound => self.wrong(&"no private key in it"),
            error => self.wrong(&error),
        })
    }

    fn text(&self) -> Result<Cow<'_, [u8]>, TlsError> {
        match self {
            Self::File(path) => {
                read_bounded(path).map(Cow::Owned).map_err(|error| self.wrong(&error))
            }
            Self::Read(_, text) | Self::Text(_, text) => Ok(Cow::Borrowed(text)),
        }
    }

    /// All that it has in it.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, TlsError> {
        self.text().map(Cow::into_owned)
    }

    pub(super) fn wrong(&self, reason: &dyn fmt::Display) -> TlsError {
        let reason = reason.to_string();
        match self {
            Self::File(path) | Self::Read(path, _) => {
                TlsError::File { path: path.to_path_buf(), reason }
            }
            Self::Text(what, _) => TlsError::Pem { what, reason },
        }
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if File::open(path)?.take(MAX_LEN + 1).read_to_end(&mut bytes)? as u64 > MAX_LEN {
        return Err(io::Error::other(format!("it has more than {} MiB", MAX_LEN >> 20)));
    }
    Ok(bytes)
}

/// Without the mark that some editors put in front, which would hide the first item.
fn unmarked(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

impl fmt::Display for Pem<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Read(path, _) => path.display().fmt(f),
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
        let marked = |text: &[u8]| [super::BYTE_ORDER_MARK, text].concat();
        assert!(ServerTls::from_pem(&marked(certificate), &marked(key), None).is_ok());
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
