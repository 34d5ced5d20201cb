//! The connection to the API server.

mod guarded;
mod transcode;

use std::path::PathBuf;
use std::time::Duration;

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderValue, Request};
use kube::Client;
use kube::client::Body;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};

pub(crate) use self::guarded::Guard;

/// What we call ourselves: the first part of the user agent, up to `/`, which the API server also puts into
/// `managedFields` of what we write.
pub const FIELD_MANAGER: &str = "fairlead";

/// How long it may take to be connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer to a list may take, and the beginning of one to a watch: as long as the API server itself
/// works on a request by default.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// How to reach the API server.
#[derive(Clone, Debug, Default)]
pub struct ClientSettings {
    /// A kubeconfig file; without one the Pod's ServiceAccount is used.
    pub kubeconfig: Option<PathBuf>,
    /// Overrides the server URL of the kubeconfig.
    pub master: Option<http::Uri>,
    /// What the API server's audit log and metrics should call us, for example `fairlead/0.1.0 (manager)`.
    pub user_agent: String,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig file is missing, unreadable or incomplete.
    #[error(
        "cannot use kubeconfig {path}: {reason}; check the file, its current-context and the files that it names"
    )]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Neither a kubeconfig nor a Pod's ServiceAccount.
    #[error("no --kubeconfig was given and this process does not run in a Pod with a ServiceAccount: {0}")]
    InCluster(#[from] kube::config::InClusterError),
    /// The settings were read but cannot be used, for example a broken certificate.
    #[error("cannot set up the connection to {server}: {reason}")]
    Setup {
        /// Server URL.
        server: String,
        /// What is wrong.
        reason: String,
    },
}

/// Connections to one API server. Each client has its own, so that none waits for the other.
#[derive(Clone)]
pub struct Clients {
    /// For lists, watches, and single requests.
    pub reads: Client,
    /// For [`crate::write::Writer`], whose permit it asks for once more at the last moment.
    pub writes: Client,
}

/// Clients that never resend by themselves: every answer, also a bad one, goes back to the caller, which plans
/// anew. (The default of kube would resend for minutes, long after the permit to write was checked.)
pub async fn connect(settings: &ClientSettings) -> Result<Clients, ClientError> {
    let mut config = match &settings.kubeconfig {
        Some(path) => {
            let broken = |error: kube::config::KubeconfigError| ClientError::Kubeconfig {
                path: path.display().to_string(),
                reason: chain(&error),
            };
            let file = Kubeconfig::read_from(path).map_err(broken)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(broken)?
        }
        None => Config::incluster()?,
    };
    if let Some(master) = &settings.master {
        config.cluster_url = master.clone();
    }
    let setup = |reason: String| ClientError::Setup { server: config.cluster_url.to_string(), reason };
    let agent = HeaderValue::from_str(&settings.user_agent).map_err(|error| setup(error.to_string()))?;
    let server = config.cluster_url.to_string();
    config.headers.push((USER_AGENT, agent));
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.default_retry = false;
    let setup = |error: kube::Error| ClientError::Setup { server: server.clone(), reason: chain(&error) };
    Ok(Clients {
        writes: guarded::connect(&config).map_err(&setup)?,
        reads: Client::try_from(config).map_err(&setup)?,
    })
}

/// The same client for lists and watches.
///
/// They have no timeout of their own in kube: an answer that does not come, or that stops coming, is given up after
/// a minute. Of a watch only the beginning is waited for.
///
/// Streaming lists are asked for without a version, which means the newest state. kube asks for version 0, which an
/// API server may answer from a cache that is behind: endpoints would go back in time (KEP-3157, KEP-2340).
///
/// `accept` takes the place of JSON as the form in which answers are asked for. What comes in protobuf comes out as JSON.
///
/// Must be called in a tokio runtime.
pub(crate) fn impatient(client: &Client, accept: Option<&'static str>) -> Client {
    let patient = client.clone();
    let accept = accept.map(HeaderValue::from_static);
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let client = patient.clone();
        if let Some(uri) = without_version_zero(request.uri()) {
            *request.uri_mut() = uri;
        }
        if let Some(accept) = &accept {
            request.headers_mut().insert(ACCEPT, accept.clone());
        }
        async move {
            let query = request.uri().query().unwrap_or_default();
            let is_watch = query.split('&').any(|pair| pair == "watch=true");
            let exchange = async {
                let answer = client.send(request).await?;
                if is_watch && answer.status().is_success() {
                    return Ok(transcode::watch(answer));
                }
                transcode::whole(answer).await
            };
            match tokio::time::timeout(ANSWER_TIMEOUT, exchange).await {
                Ok(answer) => answer,
                Err(_) => Err(format!("no answer from the API server within {ANSWER_TIMEOUT:?}").into()),
            }
        }
    });
    Client::new(service, client.default_namespace())
}

/// The address of a streaming list at version 0, without the version.
fn without_version_zero(uri: &http::Uri) -> Option<http::Uri> {
    let (path, query) = uri.path_and_query()?.as_str().split_once('?')?;
    if !query.split('&').any(|pair| pair == "sendInitialEvents=true") {
        return None;
    }
    let kept: Vec<_> = query.split('&').filter(|pair| *pair != "resourceVersion=0").collect();
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(format!("{path}?{}", kept.join("&")).parse().ok()?);
    http::Uri::from_parts(parts).ok()
}

/// An error with all its causes on one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_streaming_lists_lose_their_version() {
        let stripped = |uri: &str| without_version_zero(&uri.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(
            stripped(
                "/api/v1/pods?&watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&resourceVersion=0"
            ),
            Some("/api/v1/pods?&watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan".into())
        );
        assert_eq!(stripped("/api/v1/pods?&watch=true&resourceVersion=0"), None);
        assert_eq!(stripped("/api/v1/pods"), None);
    }
}
