//! The cryptography below TLS.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::CryptoProvider;

use super::TlsError;

/// The provider that the process has installed as its default; without one, that of this crate's features.
///
/// # Errors
/// There is neither.
pub(super) fn provider() -> Result<Arc<CryptoProvider>, TlsError> {
    let installed = CryptoProvider::get_default().map(Arc::clone);
    installed.or_else(of_features).ok_or(TlsError::NoProvider)
}

/// With both features aws-lc-rs: `ring` may be on by default, `aws-lc-rs` is on by request.
#[cfg(feature = "aws-lc-rs")]
fn of_features() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider()))
}

#[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
fn of_features() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()))
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
const fn of_features() -> Option<Arc<CryptoProvider>> {
    None
}
