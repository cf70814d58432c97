//! Certificates, keys and revocation lists in PEM.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use tokio_rustls::rustls::RootCertStore;

use super::TlsError;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Bytes of a file; all public authorities together are a fiftieth of it. A device never ends.
const MAX_LEN: u64 = 16 << 20;

/// The source of certificates or a key, for errors to name.
pub(super) enum Pem<'a> {
    File(&'a Path),
    /// A file that has been read.
    Read(&'a Path, &'a [u8]),
    /// A text in memory, and its purpose.
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
            Err(error) => Err(self.wrong(&explain(&error))),
        }
    }

    pub(super) fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots
                .add(certificate)
                .map_err(|_| self.wrong(&"the text between BEGIN and END is no certificate"))?;
        }
        Ok(roots)
    }

    /// Revocation lists; at least one.
    pub(super) fn revocations(
        &self,
    ) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
        let text = self.text()?;
        let lists: Result<Vec<_>, _> =
            CertificateRevocationListDer::pem_slice_iter(unmarked(&text)).collect();
        match lists {
            Ok(lists) if lists.is_empty() => {
                Err(self.wrong(&"no list of revoked certificates in it"))
            }
            Ok(lists) => Ok(lists),
            Err(error) => Err(self.wrong(&explain(&error))),
        }
    }

    /// The first one.
    pub(super) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let text = self.text()?;
        PrivateKeyDer::from_pem_slice(unmarked(&text)).map_err(|error| match error {
            _ if is_encrypted(&text) => self.wrong(
                &"the private key is encrypted, and there is nobody to ask for its password: write it \
                  out in plain with `openssl pkey -in KEY -out PLAIN`, in a file that only the owner \
                  can read",
            ),
            pem::Error::NoItemsFound => self.wrong(&"no private key in it"),
            error => self.wrong(&explain(&error)),
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

    /// The whole content.
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

/// Explains an error of the PEM parser.
fn explain(error: &pem::Error) -> String {
    match error {
        pem::Error::Base64Decode(_) => {
            "a text between BEGIN and END is not base 64: it is damaged, or cut".to_string()
        }
        pem::Error::MissingSectionEnd { end_marker } => {
            let what = String::from_utf8_lossy(end_marker);
            format!("the line \"-----END {what}-----\" is missing: the text is cut")
        }
        pem::Error::IllegalSectionStart { line } => {
            format!("the line {:?} is no beginning", String::from_utf8_lossy(line).trim())
        }
        error => error.to_string(),
    }
}

/// Whether a key has a password, in the newer format or the older one.
fn is_encrypted(text: &[u8]) -> bool {
    let marks = ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"];
    let text = String::from_utf8_lossy(text);
    text.lines().any(|line| marks.contains(&line.trim()))
}

/// Removes the mark that some editors prepend, which would hide the first item.
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

    use crate::tls::{ClientAuthorities, ClientTls, ServerTls};

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
        assert!(
            ServerTls::from_pem(certificate, key, Some(ClientAuthorities::new(certificate)))
                .is_ok()
        );
        assert!(ClientTls::from_pem(Some(certificate), None).is_ok());
        assert!(ClientTls::from_pem(Some(certificate), Some((certificate, key))).is_ok());
    }

    #[test]
    fn an_unusable_text_is_named_with_the_reason() {
        let ((certificate, key), (_, other)) = (identity("localhost"), identity("localhost"));
        let (cut, _) = certificate.split_once("-----END").unwrap();
        let (cut, damaged) = (cut.to_string(), certificate.replace("MII", "M-I"));
        let new_encrypted =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let old_encrypted = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                             DEK-Info: AES-128-CBC,AA\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let garbled = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (certificate, key, ca, named) in [
            ("", &*key, None, "the certificate: no certificate in it"),
            (&certificate, "", None, "the private key: no private key in it"),
            (&certificate, &other, None, "the private key: it does not belong to the certificate"),
            (
                garbled,
                &key,
                None,
                "the certificate: the text between BEGIN and END is no certificate",
            ),
            (
                &cut,
                &key,
                None,
                "the certificate: the line \"-----END CERTIFICATE-----\" is missing",
            ),
            (&damaged, &key, None, "the certificate: a text between BEGIN and END is not base 64"),
            (&certificate, new_encrypted, None, "the private key: the private key is encrypted"),
            (&certificate, old_encrypted, None, "the private key: the private key is encrypted"),
            (&certificate, &key, Some(""), "the client authority: no certificate in it"),
            (&certificate, &key, Some(garbled), "the client authority: the text between BEGIN and"),
        ] {
            let ca = ca.map(str::as_bytes);
            let made = ServerTls::from_pem(
                certificate.as_bytes(),
                key.as_bytes(),
                ca.map(ClientAuthorities::new),
            );
            let error = made.unwrap_err().to_string();
            assert!(error.starts_with(named), "{named} ≠ {error}");
        }
        let error = ClientTls::from_pem(Some(b"no PEM"), None).unwrap_err().to_string();
        assert_eq!(error, "the authority: no certificate in it");
    }
}
