//! Who one is to the API server, and the file that says so.

use std::path::{Path, PathBuf};
use std::sync::Once;

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use crate::api_server::Endpoint;
use crate::error::{Context, Result};
use crate::pki::Pki;

/// Somebody whom the API server knows.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A member of `system:masters`: everything is allowed.
    Admin,
    /// A user by client certificate.
    User {
        /// Name, such as `system:kube-proxy`.
        name: String,
        /// A group, such as `system:masters`.
        group: Option<String>,
    },
    /// A ServiceAccount by token. It must exist.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A ServiceAccount by a token that is bound to an object, such as a Pod, and names its node. Both must exist.
    BoundServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The object.
        bound_to: BoundObjectReference,
    },
}

impl Identity {
    /// A user without groups of its own.
    #[must_use]
    pub fn user(name: &str) -> Self {
        Self::User { name: name.to_owned(), group: None }
    }

    /// A ServiceAccount.
    #[must_use]
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self::ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Whether it is known by a token, which passes where TLS ends on the way.
    fn has_token(&self) -> bool {
        matches!(self, Self::ServiceAccount { .. } | Self::BoundServiceAccount { .. })
    }

    /// A name for files.
    fn file_name(&self) -> String {
        let name = match self {
            Self::Admin => "admin".to_owned(),
            Self::User { name, .. } => name.clone(),
            Self::ServiceAccount { namespace, name } => format!("{namespace}-{name}"),
            Self::BoundServiceAccount { namespace, name, bound_to } => {
                format!("{namespace}-{name}-{}", bound_to.name.as_deref().unwrap_or_default())
            }
        };
        name.replace([':', '/'], "-")
    }
}

/// Writes kubeconfig files of one lab.
pub(crate) struct Writer {
    folder: PathBuf,
    server: String,
}

impl Writer {
    /// Files go to `folder`; `server` is the URL of the API server.
    pub(crate) fn new(folder: PathBuf, server: String) -> Result<Self> {
        std::fs::create_dir_all(&folder).context(|| format!("making {}", folder.display()))?;
        Ok(Self { folder, server })
    }

    /// A kubeconfig with a client certificate, or for a ServiceAccount with a token got by `admin`.
    pub(crate) async fn write(
        &self,
        identity: &Identity,
        pki: &Pki,
        admin: Option<&kube::Client>,
    ) -> Result<PathBuf> {
        self.write_file(&identity.file_name(), &self.server, identity, pki, admin).await
    }

    /// [`Writer::write`] for another server.
    pub(crate) async fn write_to(
        &self,
        endpoint: &Endpoint,
        identity: &Identity,
        pki: &Pki,
        admin: Option<&kube::Client>,
    ) -> Result<PathBuf> {
        if !endpoint.certificates && !identity.has_token() {
            return Err(crate::Error::Invalid(format!(
                "a client certificate ends at the faults and the API server does not see it: go through {} as a \
                 ServiceAccount, which has a token",
                endpoint.name
            )));
        }
        let name = format!("{}-{}", identity.file_name(), endpoint.name);
        self.write_file(&name, &endpoint.url, identity, pki, admin).await
    }

    async fn write_file(
        &self,
        name: &str,
        server: &str,
        identity: &Identity,
        pki: &Pki,
        admin: Option<&kube::Client>,
    ) -> Result<PathBuf> {
        let user = match (identity, admin) {
            (Identity::Admin, _) => self.certificate(name, "lab-admin", Some("system:masters"), pki)?,
            (Identity::User { name: user, group }, _) => {
                self.certificate(name, user, group.as_deref(), pki)?
            }
            (Identity::ServiceAccount { namespace, name }, Some(admin)) => {
                json!({ "token": token(admin, namespace, name, None).await? })
            }
            (Identity::BoundServiceAccount { namespace, name, bound_to }, Some(admin)) => {
                json!({ "token": token(admin, namespace, name, Some(bound_to)).await? })
            }
            (Identity::ServiceAccount { .. } | Identity::BoundServiceAccount { .. }, None) => {
                return Err(crate::Error::Invalid("a token needs a running API server".into()));
            }
        };
        let content = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "lab", "cluster": { "server": server, "certificate-authority": pki.path("ca.crt") } }],
            "users": [{ "name": name, "user": user }],
            "contexts": [{ "name": "lab", "context": { "cluster": "lab", "user": name } }],
            "current-context": "lab",
        });
        let path = self.folder.join(format!("{name}.kubeconfig"));
        save(&path, &format!("{content:#}\n"))?;
        Ok(path)
    }

    fn certificate(&self, file: &str, user: &str, group: Option<&str>, pki: &Pki) -> Result<Value> {
        let pair = pki.client(user, group)?;
        let certificate = self.folder.join(format!("{file}.crt"));
        let key = self.folder.join(format!("{file}.key"));
        save(&certificate, &pair.certificate)?;
        save(&key, &pair.key)?;
        Ok(json!({ "client-certificate": certificate, "client-key": key }))
    }
}

/// A client for the identity of a kubeconfig file.
pub(crate) async fn client(path: &Path) -> Result<kube::Client> {
    // Once per process; a test may have installed the same provider itself, and then this one is refused.
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
    let what = || format!("using the kubeconfig {}", path.display());
    let kubeconfig = Kubeconfig::read_from(path).map_err(std::io::Error::other).context(what)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .map_err(std::io::Error::other)
        .context(what)?;
    kube::Client::try_from(config).context(what)
}

/// A token that outlives any test.
async fn token(
    admin: &kube::Client,
    namespace: &str,
    name: &str,
    bound_to: Option<&BoundObjectReference>,
) -> Result<String> {
    let spec = TokenRequestSpec {
        expiration_seconds: Some(24 * 3600),
        bound_object_ref: bound_to.cloned(),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), namespace);
    let answer = accounts
        .create_token_request(name, &PostParams::default(), &request)
        .await
        .context(|| format!("getting a token for the ServiceAccount {namespace}/{name}"))?;
    Ok(answer.status.map(|status| status.token).unwrap_or_default())
}

fn save(path: &Path, content: &str) -> Result<()> {
    std::fs::write(path, content).context(|| format!("writing {}", path.display()))
}
