//! Who may connect to a server: by token, by certificate, or by both.

use rustls_pki_types::CertificateDer;
use watertight::{AuthRequest, ClientInfo, Grant, Refusal};

use crate::certificate;
use crate::cli::KeySource;
use crate::tls::Identity;
use crate::tokens::{TokenBook, TokenDigest};

/// What decides, and where it comes from. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    /// Without them certificates decide alone.
    pub(crate) tokens: Option<TokenBook>,
    /// Where a certificate names the client keys that it is for, if it has to.
    pub(crate) key_source: Option<KeySource>,
    pub(crate) identity: Option<Identity>,
}

/// What an agent was let in with.
struct Credential {
    token: Option<TokenDigest>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Access {
    /// By tokens alone.
    pub(crate) fn by_tokens(tokens: TokenBook) -> Self {
        Self { tokens: Some(tokens), key_source: None, identity: None }
    }

    /// As whom the end that sent `request` is let in.
    pub(crate) fn check(&self, request: &AuthRequest) -> Result<Grant, Refusal> {
        // An empty one is none: a byte stream's preface has room for both in any case.
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let key = match self.key_source {
            Some(source) => Some(certificate::client_key(request, source)?),
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
        Ok(match certificate::subject(request) {
            Some(subject) => grant.identity(subject),
            None => grant,
        })
    }

    /// Why a client that is connected would not be let in any more.
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
