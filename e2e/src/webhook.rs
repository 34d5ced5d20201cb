//! A mutating admission webhook that the test serves.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Api, DeleteParams, PostParams};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::error::{Context, Error, Result};
use crate::lab::{Lab, Shared};
use crate::network;
use crate::pki::Pki;

/// What a webhook makes of an object: a JSON patch (RFC 6902).
type Mutate = Arc<dyn Fn(&Value) -> Value + Send + Sync>;

/// A webhook at work: see [`Lab::mutating_webhook`].
#[must_use = "nobody answers for the webhook once it is dropped"]
pub struct Webhook {
    name: String,
    api: kube::Client,
    server: JoinHandle<()>,
}

impl Lab {
    /// Lets `mutate` change every object of a resource, such as `discovery.k8s.io/v1` `endpointslices`, that is created
    /// or updated by anybody but the lab's admin. It gets the object and returns a JSON patch. The API server knows of
    /// it within a second or so.
    ///
    /// # Errors
    /// [`Error::Io`] when nothing can be served, [`Error::Api`] when the API server refuses the configuration.
    pub async fn mutating_webhook(
        &self,
        (group, version, plural): (&str, &str, &str),
        mutate: impl Fn(&Value) -> Value + Send + Sync + 'static,
    ) -> Result<Webhook> {
        let shared = self.shared();
        let (own, _) = network::management(shared.site.number());
        let (server, address) = serve(shared, own.into(), Arc::new(mutate)).await?;
        let name = format!("{plural}.webhook.example.com");
        let authority = std::fs::read(shared.pki.path("ca.crt"))
            .context(|| "reading the certificate of the lab's authority".into())?;
        let configuration = serde_json::from_value(json!({
            "metadata": { "name": name },
            "webhooks": [{
                "name": name, "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Fail",
                "clientConfig": { "url": format!("https://{address}/"), "caBundle": ByteString(authority) },
                "rules": [{ "apiGroups": [group], "apiVersions": [version], "resources": [plural],
                    "operations": ["CREATE", "UPDATE"] }],
                "matchConditions": [{ "name": "not-admin", "expression": "!('system:masters' in request.userInfo.groups)" }],
            }],
        }))
        .map_err(std::io::Error::other)
        .context(|| "writing the configuration of a webhook".into())?;
        let webhook = Webhook { name, api: self.api(), server };
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.api());
        let created = configurations.create(&PostParams::default(), &configuration).await;
        created.context(|| format!("creating the MutatingWebhookConfiguration {}", webhook.name))?;
        Ok(webhook)
    }
}

impl Webhook {
    /// Takes it away. What is written a moment later may still have to pass it.
    ///
    /// # Errors
    /// [`Error::Api`] when the API server refuses.
    pub async fn remove(&self) -> Result<()> {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.api.clone());
        let deleted = configurations.delete(&self.name, &DeleteParams::default()).await;
        deleted.map(drop).context(|| format!("deleting the MutatingWebhookConfiguration {}", self.name))
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}

async fn serve(shared: &Shared, address: IpAddr, mutate: Mutate) -> Result<(JoinHandle<()>, SocketAddr)> {
    let what = || format!("serving a webhook on {address}");
    let acceptor = acceptor(&shared.pki, address)?;
    let listener = TcpListener::bind((address, 0)).await.context(what)?;
    let bound = listener.local_addr().context(what)?;
    let server = tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let (acceptor, mutate) = (acceptor.clone(), Arc::clone(&mutate));
            tokio::spawn(async move {
                // A client that goes away is its own affair.
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(move |request| answer(request, Arc::clone(&mutate)));
                let server = hyper::server::conn::http1::Builder::new();
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    Ok((server, bound))
}

fn acceptor(pki: &Pki, address: IpAddr) -> Result<TlsAcceptor> {
    let broken = |error: &dyn fmt::Display| Error::Invalid(format!("the webhook's certificate: {error}"));
    let pair = pki.server(address)?;
    let certificate =
        CertificateDer::from_pem_slice(pair.certificate.as_bytes()).map_err(|error| broken(&error))?;
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).map_err(|error| broken(&error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
        .map_err(|error| broken(&error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// One AdmissionReview; what is none is answered with an empty one, which the API server refuses.
async fn answer(
    request: http::Request<Incoming>,
    mutate: Mutate,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
    let review: Value = body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    let patch = ByteString(mutate(&review["request"]["object"]).to_string().into_bytes());
    let response = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
        "uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch", "patch": patch } });
    let mut answer = http::Response::new(Full::new(Bytes::from(response.to_string())));
    let json = http::HeaderValue::from_static("application/json");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, json);
    Ok(answer)
}
