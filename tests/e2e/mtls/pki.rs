//! An authority that issues certificates.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd};

/// A CA.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// For `localhost`, 127.0.0.1 and these URIs.
    pub(super) fn issue(&self, uris: &[&str]) -> Identity {
        self.issue_with(uris, |_| {})
    }

    pub(super) fn expired(&self, uri: &str) -> Identity {
        self.issue_with(&[uri], |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        })
    }

    fn issue_with(&self, uris: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

impl Identity {
    /// Writes `<name>.crt` and `<name>.key`, each in one step, and returns their places.
    pub(super) fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let place = |suffix: &str| folder.join(format!("{name}.{suffix}"));
        for (suffix, text) in [("crt", &self.certificate), ("key", &self.key)] {
            std::fs::write(place("new"), text).unwrap();
            std::fs::rename(place("new"), place(suffix)).unwrap();
        }
        (place("crt"), place("key"))
    }
}
