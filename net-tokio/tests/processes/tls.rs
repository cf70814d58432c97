use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

/// An authority, and what it has signed, as files.
#[derive(Debug)]
pub(crate) struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// Its own certificate.
    pub(crate) fn ca(&self) -> String {
        self.path("ca.pem").display().to_string()
    }

    /// A certificate for `name`, and its key.
    pub(crate) fn sign(&self, name: &str) -> [String; 2] {
        let params = CertificateParams::new(vec![name.to_string()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let write = |file: &str, content: String| {
            let path = self.path(file);
            std::fs::write(&path, content).unwrap();
            path.display().to_string()
        };
        [
            write(&format!("{name}.cert.pem"), certificate.pem()),
            write(&format!("{name}.key.pem"), key.serialize_pem()),
        ]
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }
}
