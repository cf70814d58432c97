//! Authentication of agents: by token, by certificate, or by both.

use rustls_pki_types::CertificateDer;
use watertight::{AuthRequest, ClientInfo, Grant, Refusal};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::cli::KeySource;
use crate::tls::Identity;
use crate::tokens::{TokenBook, TokenDigest};

/// The tokens and certificates that decide, and their sources. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// Without them certificates decide alone.
    pub(crate) tokens: Option<TokenBook>,
    /// Where a certificate names the client keys that it is for, if it has to.
    pub(crate) key_source: Option<KeySource>,
    pub(crate) identity: Option<Identity>,
}

/// The token and certificates with which an agent was authorized.
struct Credential {
    token: Option<TokenDigest>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Access {
    /// By tokens alone.
    pub(crate) fn by_tokens(tokens: TokenBook) -> Self {
        Self { tokens: Some(tokens), key_source: None, identity: None }
    }

    /// Authorizes the end that sent `request`, under its client key.
    pub(crate) fn check(&self, request: &AuthRequest) -> Result<Grant, Refusal> {
        // An empty one is none: a byte stream's preface always has both fields.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let key = match self.key_source {
            Some(source) => Some(certificate_key(request, source)?),
            None => given(&request.client_key),
        };
        let (key, token) = match (&self.tokens, key) {
            (Some(tokens), key) => {
                let token = given(&request.token);
                let (key, token) = tokens.current().check(key.as_deref(), token.as_deref())?;
                (key, Some(token))
            }
            (None, Some(key)) => (key, None),
            (None, None) => return Err(Refusal::unauthorized("nobody may connect here")),
        };
        let certificates = request.certificates.clone();
        let grant = Grant::new(key).credential(Credential { token, certificates });
        Ok(match subject(request) {
            Some(subject) => grant.identity(subject),
            None => grant,
        })
    }

    /// Why a connected client would be refused now.
    pub(crate) fn recheck(&self, client: &ClientInfo) -> Result<(), String> {
        let Some(credential) = client.credential::<Credential>() else { return Ok(()) };
        if let (Some(tokens), Some(token)) = (&self.tokens, &credential.token)
            && !tokens.current().is_good(&client.key, token)
        {
            return Err("its token is not good any more".to_string());
        }
        let verify = |identity: &Identity| identity.tls.verify_client(&credential.certificates);
        let verified = self.identity.iter().try_for_each(verify);
        verified.map_err(|error| format!("its certificate is not good any more: {error}"))
    }

    /// Reads the files again. Bad ones change nothing. Blocks.
    pub(crate) fn reload(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.reload();
        }
        if let Some(identity) = &self.identity {
            identity.reload();
        }
    }
}

/// Characters of a subject that are shown.
const SHOWN: usize = 200;

/// The subject of the certificate that an end has proved to own, for people.
fn subject(request: &AuthRequest) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(request.certificates.first()?).ok()?;
    let subject = certificate.subject().to_string();
    let shown = subject.chars().take(SHOWN);
    Some(shown.map(|char| if char.is_control() { '\u{fffd}' } else { char }).collect())
}

/// The client key of an end, which its certificate must name.
fn certificate_key(request: &AuthRequest, source: KeySource) -> Result<String, Refusal> {
    let certificate = request.certificates.first();
    let certificate = certificate.and_then(|der| X509Certificate::from_der(der).ok());
    let Some((_, certificate)) = certificate else {
        return Err(Refusal::unauthorized("no client certificate, which has to name you"));
    };
    let names = names(&certificate, source);
    let given = request.client_key.as_deref().filter(|key| !key.is_empty());
    match (given, names.as_slice()) {
        (Some(key), _) if names.contains(&key) => Ok(key.to_string()),
        (Some(key), _) => Err(Refusal::unauthorized(format!(
            "this certificate is not for client key {key:?}: its {} does not name it",
            source.what()
        ))),
        (None, [key]) => Ok((*key).to_string()),
        (None, _) => Err(Refusal::unauthorized("no client key: send `X-Tunnel-ID: KEY`")),
    }
}

fn names<'a>(certificate: &'a X509Certificate<'_>, source: KeySource) -> Vec<&'a str> {
    match source {
        KeySource::Cn => {
            let names = certificate.subject().iter_common_name();
            names.filter_map(|name| name.as_str().ok()).collect()
        }
        KeySource::San => {
            let extension = certificate.subject_alternative_name().ok().flatten();
            let names = extension.iter().flat_map(|extension| &extension.value.general_names);
            let text = |name: &'a GeneralName<'_>| match name {
                GeneralName::DNSName(name) | GeneralName::URI(name) => Some(*name),
                _ => None,
            };
            names.filter_map(text).collect()
        }
    }
}

impl KeySource {
    const fn what(self) -> &'static str {
        match self {
            Self::San => "subject alternative names (DNS or URI)",
            Self::Cn => "common name",
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn request(key: &str, names: &[SanType], common: &str) -> AuthRequest {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.to_vec();
        params.distinguished_name.push(DnType::CommonName, common);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let mut request = AuthRequest::new(key, "");
        request.certificates = vec![certificate.der().clone()];
        request
    }

    fn dns(name: &str) -> SanType {
        SanType::DnsName(name.try_into().unwrap())
    }

    #[test]
    fn a_certificate_is_for_the_keys_that_it_names() {
        let uri = SanType::URI("spiffe://acme/edge/8".try_into().unwrap());
        let names = [dns("edge-7"), uri];
        let key = |key, source| certificate_key(&request(key, &names, "lab"), source);
        for given in ["edge-7", "spiffe://acme/edge/8"] {
            assert_eq!(key(given, KeySource::San).unwrap(), given);
        }
        for given in ["lab", "edge-70", "", "EDGE-7"] {
            key(given, KeySource::San).unwrap_err();
        }
        assert_eq!(key("lab", KeySource::Cn).unwrap(), "lab");
        assert_eq!(key("", KeySource::Cn).unwrap(), "lab", "there is one name");
        let refusal = key("edge-7", KeySource::Cn).unwrap_err();
        assert!(refusal.reason.contains("not for client key \"edge-7\""), "{}", refusal.reason);
    }

    #[test]
    fn without_a_certificate_there_is_no_key() {
        certificate_key(&AuthRequest::new("edge-7", ""), KeySource::San).unwrap_err();
        assert_eq!(subject(&AuthRequest::new("edge-7", "")), None);
    }

    #[test]
    fn a_subject_is_shown_on_one_line() {
        let subject = subject(&request("", &[], "lab\n2026")).unwrap();
        assert!(subject.contains("CN=lab") && !subject.contains('\n'), "{subject}");
    }
}
