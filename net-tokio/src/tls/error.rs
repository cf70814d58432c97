//! rustls's errors in an operator's terms, and problems of a certificate that remotes will refuse.

use std::io;
use std::time::{Duration, SystemTime};

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, RootCertStore,
};

/// Explains a TLS failure with a server, so that the server's operator can fix it. Other errors are
/// returned unchanged.
pub(crate) fn explain_failure(error: io::Error) -> io::Error {
    let text = error.get_ref().and_then(|source| source.downcast_ref()).and_then(explain);
    match text {
        Some(text) => io::Error::new(error.kind(), text),
        None => error,
    }
}

/// Why a client's certificate is refused, as the predicate of a sentence about it; `None` if
/// another thing failed.
pub(crate) fn client_certificate_failure(error: &io::Error) -> Option<String> {
    match error.get_ref()?.downcast_ref()? {
        Error::NoCertificatesPresented => Some("is missing: it is asked for here".to_string()),
        Error::InvalidCertificate(error) => {
            Some(certificate(error).unwrap_or_else(|| format!("is not accepted: {error}")))
        }
        _ => None,
    }
}

/// Whether TLS failed.
pub(crate) fn is_tls_failure(error: &io::Error) -> bool {
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

/// The problem of a certificate, as the predicate of a sentence about it.
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

/// The type of this error is private in rustls.
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

/// The problem of a chain's first certificate, as the predicate of a sentence about it. Whether
/// remotes trust its authority is unknown here.
pub(super) fn chain_problem(
    chain: &[CertificateDer<'static>],
    provider: &CryptoProvider,
    now: UnixTime,
) -> Option<String> {
    let (own, above) = chain.split_first()?;
    let parsed = ParsedCertificate::try_from(own).ok()?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(chain.iter().cloned());
    let algorithms = provider.signature_verification_algorithms.all;
    let verified =
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, above, now, algorithms);
    match verified {
        Err(Error::InvalidCertificate(error)) if is_certain(&error) => certificate(&error),
        _ => None,
    }
}

/// The problem of a certificate without names, by which no server can be reached.
pub(super) fn names_problem(chain: &[CertificateDer<'static>]) -> Option<String> {
    let parsed = ParsedCertificate::try_from(chain.first()?).ok()?;
    let any = ServerName::try_from("name.invalid").ok()?;
    match verify_server_name(&parsed, &any) {
        Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented,
            ..
        })) if presented.is_empty() => {
            Some("names no host: agents look at its subjectAltName, not at its subject".to_string())
        }
        _ => None,
    }
}

fn is_certain(error: &CertificateError) -> bool {
    use CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    matches!(error, Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. })
        || is_authority(error)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

    use super::*;
    use crate::tls::provider;

    /// Valid in 2020, for these names.
    fn params(names: &[&str]) -> CertificateParams {
        let names: Vec<String> = names.iter().map(|name| (*name).to_string()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2020, 12, 31);
        params
    }

    fn authority() -> CertificateParams {
        let mut params = params(&["localhost"]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn self_signed(params: &CertificateParams) -> CertificateDer<'static> {
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn in_year(year: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs((year - 1970) * 31_557_600 + 15_000_000))
    }

    fn problem(chain: &[CertificateDer<'static>], year: u64) -> String {
        chain_problem(chain, &provider().unwrap(), in_year(year)).unwrap_or_default()
    }

    #[test]
    fn problems_that_remotes_will_refuse_are_found() {
        let own = [self_signed(&params(&["localhost"]))];
        assert_eq!(problem(&own, 2020), "");
        assert_eq!(problem(&own, 2024), "has expired on Thu, 31 Dec 2020 00:00:00 GMT");
        let early = problem(&own, 2018);
        assert!(early.starts_with("is not valid before Wed, 01 Jan 2020 00:00:00 GMT"), "{early}");
        let ca = problem(&[self_signed(&authority())], 2020);
        assert!(ca.contains("CA:TRUE") && ca.contains("CA:FALSE"), "{ca}");
    }

    #[test]
    fn an_authority_that_is_not_there_is_no_doubt() {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::new(authority(), key);
        let own = KeyPair::generate().unwrap();
        let signed = params(&["localhost"]).signed_by(&own, &issuer).unwrap();
        assert_eq!(problem(&[signed.der().clone()], 2020), "");
        assert!(problem(&[signed.der().clone()], 2024).contains("has expired"));
    }

    #[test]
    fn a_certificate_without_names_is_of_no_use_to_a_server() {
        assert!(names_problem(&[self_signed(&params(&[]))]).unwrap().contains("subjectAltName"));
        assert_eq!(names_problem(&[self_signed(&params(&["localhost"]))]), None);
        assert_eq!(names_problem(&[self_signed(&params(&["127.0.0.1"]))]), None);
    }
}
