//! The lab's certificates: one authority, a server certificate, client certificates by user and group.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::error::{Context, Result};

/// A certificate and its private key, both PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// The lab's certificate authority and the folder where its files are.
pub(crate) struct Pki {
    folder: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// A new authority, with the files that kube-apiserver and kube-controller-manager read: `ca.crt`, `ca.key`,
    /// `apiserver.crt`, `apiserver.key` (valid for `addresses`), `sa.key`, `sa.pub`.
    pub(crate) fn create(folder: &Path, addresses: &[IpAddr]) -> Result<Self> {
        std::fs::create_dir_all(folder).context(|| format!("making {}", folder.display()))?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "fairlead lab");
        let authority = key_pair().and_then(|key| {
            CertifiedIssuer::self_signed(params, key).context(|| "making the lab's authority".into())
        })?;
        let pki = Self { folder: folder.to_owned(), authority };
        pki.write("ca.crt", &pki.authority.pem())?;
        pki.write("ca.key", &pki.authority.key().serialize_pem())?;

        let names = [
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ];
        let mut params =
            CertificateParams::new(names.map(String::from)).context(|| "naming the API server".into())?;
        params.subject_alt_names.extend(addresses.iter().map(|&address| SanType::IpAddress(address)));
        params.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server = pki.sign(&params)?;
        pki.write("apiserver.crt", &server.certificate)?;
        pki.write("apiserver.key", &server.key)?;

        let tokens = key_pair()?;
        pki.write("sa.key", &tokens.serialize_pem())?;
        pki.write("sa.pub", &tokens.public_key_pem())?;
        Ok(pki)
    }

    /// The path of one of its files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A client certificate: the API server takes the common name as user and the organization as group.
    pub(crate) fn client(&self, user: &str, group: Option<&str>) -> Result<Pair> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    /// A certificate for a server at this address.
    pub(crate) fn server(&self, address: IpAddr) -> Result<Pair> {
        let mut params = CertificateParams::default();
        params.subject_alt_names.push(SanType::IpAddress(address));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<Pair> {
        let key = key_pair()?;
        let certificate =
            params.signed_by(&key, &self.authority).context(|| "signing a certificate".into())?;
        Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
    }

    fn write(&self, name: &str, content: &str) -> Result<()> {
        let path = self.path(name);
        std::fs::write(&path, content).context(|| format!("writing {}", path.display()))
    }
}

fn key_pair() -> Result<KeyPair> {
    KeyPair::generate().context(|| "generating a key".into())
}
