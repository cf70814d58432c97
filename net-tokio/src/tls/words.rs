//! What rustls says, in the words of who runs the tunnel.

use std::io;
use std::time::{Duration, SystemTime};

use rustls_pki_types::UnixTime;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// A failure of TLS with a server, said so that the one who runs the remote knows what to do.
/// Other failures stay as they are.
pub(crate) fn in_words(error: io::Error) -> io::Error {
    let text = error.get_ref().and_then(|source| source.downcast_ref()).and_then(explain);
    match text {
        Some(text) => io::Error::new(error.kind(), text),
        None => error,
    }
}

/// Why a client's certificate is not accepted, as the end of a sentence about it; `None` if that is not what
/// failed.
pub(crate) fn of_client(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref()? {
        Error::NoCertificatesPresented => Some("is missing: it is asked for here".to_string()),
        Error::InvalidCertificate(error) => {
            Some(certificate(error).unwrap_or_else(|| format!("is not accepted: {error}")))
        }
        _ => None,
    }
}

/// Whether TLS is what failed.
pub(crate) fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|source| source.is::<Error>())
}

fn explain(error: &Error) -> Option<String> {
    match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => Some(
            "the answer is not TLS: the port may be one for plain text, which ws:// and tcp:// are \
             for"
                .to_string(),
        ),
        Error::InvalidCertificate(error) => {
            certificate(error).map(|what| format!("the server's certificate {what}"))
        }
        Error::AlertReceived(alert) => refused(*alert).map(String::from),
        _ => None,
    }
}

/// What is wrong with a certificate, as the end of a sentence about it.
pub(super) fn certificate(error: &CertificateError) -> Option<String> {
    Some(match error {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("has expired on {}", date(*not_after))
        }
        CertificateError::Expired => "has expired".to_string(),
        CertificateError::NotValidYetContext { not_before, .. } => format!(
            "is not valid before {}, by this machine's clock",
            date(*not_before)
        ),
        CertificateError::NotValidYet => "is not valid yet, by this machine's clock".to_string(),
        CertificateError::UnknownIssuer => {
            "is of an authority that is not trusted here, or a certificate between the two is missing"
                .to_string()
        }
        CertificateError::Revoked => "was revoked".to_string(),
        CertificateError::UnknownRevocationStatus => {
            "is of an authority of which there is no list of revoked certificates here".to_string()
        }
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            "cannot be checked: the list of revoked certificates has expired".to_string()
        }
        CertificateError::BadSignature => {
            "is not signed by the authority of that name that is trusted here".to_string()
        }
        error if is_authority(error) => {
            "is an authority's own (CA:TRUE), which is not accepted as that of a server or client: \
             issue one with basicConstraints CA:FALSE"
                .to_string()
        }
        _ => return None,
    })
}

/// rustls hides the type of this one.
pub(super) fn is_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(other) if format!("{other:?}").contains("CaUsedAsEndEntity"))
}

/// Why the server ended TLS.
fn refused(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::CertificateRequired => "the server asks for a client certificate",
        AlertDescription::CertificateExpired => {
            "the server refuses the client certificate: it has expired"
        }
        AlertDescription::UnknownCA => {
            "the server refuses the client certificate: it does not trust its authority"
        }
        AlertDescription::CertificateRevoked => {
            "the server refuses the client certificate: it is revoked"
        }
        AlertDescription::BadCertificate
        | AlertDescription::DecryptError
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateUnknown => "the server refuses the client certificate",
        AlertDescription::ProtocolVersion => "the server speaks no version of TLS from 1.2 on",
        _ => return None,
    })
}

fn date(time: UnixTime) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
    // The format has four digits for a year.
    let last = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    httpdate::fmt_http_date(time.unwrap_or(last).min(last))
}
