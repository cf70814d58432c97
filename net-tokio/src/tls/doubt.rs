//! What other ends will refuse about a certificate, found before they do.

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{CertificateError, Error, RootCertStore};

use super::words;

/// What is wrong with the first certificate of a chain, as the end of a sentence about it. Whether
/// others trust its authority cannot be known here.
pub(super) fn of_chain(
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
        Err(Error::InvalidCertificate(error)) if is_certain(&error) => words::certificate(&error),
        _ => None,
    }
}

/// That no server can be reached by the names of a chain's first certificate.
pub(super) fn of_names(chain: &[CertificateDer<'static>]) -> Option<String> {
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
        || words::is_authority(error)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

    use super::super::provider::provider;
    use super::*;

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

    fn doubt(chain: &[CertificateDer<'static>], year: u64) -> String {
        of_chain(chain, &provider().unwrap(), in_year(year)).unwrap_or_default()
    }

    #[test]
    fn what_others_will_refuse_is_found() {
        let own = [self_signed(&params(&["localhost"]))];
        assert_eq!(doubt(&own, 2020), "");
        assert_eq!(doubt(&own, 2024), "has expired on Thu, 31 Dec 2020 00:00:00 GMT");
        let early = doubt(&own, 2018);
        assert!(early.starts_with("is not valid before Wed, 01 Jan 2020 00:00:00 GMT"), "{early}");
        let ca = doubt(&[self_signed(&authority())], 2020);
        assert!(ca.contains("CA:TRUE") && ca.contains("CA:FALSE"), "{ca}");
    }

    #[test]
    fn an_authority_that_is_not_there_is_no_doubt() {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::new(authority(), key);
        let own = KeyPair::generate().unwrap();
        let signed = params(&["localhost"]).signed_by(&own, &issuer).unwrap();
        assert_eq!(doubt(&[signed.der().clone()], 2020), "");
        assert!(doubt(&[signed.der().clone()], 2024).contains("has expired"));
    }

    #[test]
    fn a_certificate_without_names_is_of_no_use_to_a_server() {
        assert!(of_names(&[self_signed(&params(&[]))]).unwrap().contains("subjectAltName"));
        assert_eq!(of_names(&[self_signed(&params(&["localhost"]))]), None);
        assert_eq!(of_names(&[self_signed(&params(&["127.0.0.1"]))]), None);
    }
}
