//! Reading single objects past the cache, for what the cache does not keep.

use std::time::Duration;

use http::{Request, header};
use http_body_util::BodyExt;
use kube::client::Body;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::{WriteError, WriteFailure, Writer, classify, object, path};
use crate::client::chain;
use fairlead_objects::Resource;

/// Work waits for what is read, which only tells people more.
const TIMEOUT: Duration = Duration::from_secs(2);

impl Writer {
    /// An object as the API server has it now. One request, so for rare occasions only; it needs no permit, waits
    /// for no place among the writes, and is given up after two seconds.
    pub async fn read<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<T, WriteError> {
        let what = || format!("read {}", object(resource, namespace, name));
        self.get(path(resource, namespace, name), &what).await
    }

    /// The objects of a namespace, or of all of them if none is named, that have all of these labels, as [`Writer::read`]
    /// reads one. For a few small objects.
    pub async fn read_labelled<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        labels: &[(&str, &str)],
    ) -> Result<Vec<T>, WriteError> {
        /// A list of any kind.
        #[derive(Deserialize)]
        struct List<T> {
            items: Vec<T>,
        }

        let what = || match namespace {
            "" => format!("list {} in all namespaces", resource.plural),
            namespace => format!("list {} in namespace {namespace}", resource.plural),
        };
        let selector: Vec<_> = labels.iter().map(|(key, value)| format!("{key}%3D{value}")).collect();
        let path = format!("{}?labelSelector={}", path(resource, namespace, ""), selector.join("%2C"));
        let list: List<T> = self.get(path, &what).await?;
        Ok(list.items)
    }

    /// Does the API server serve this group of resources?
    pub async fn serves_group(&self, group: &str) -> Result<bool, WriteError> {
        let what = || format!("ask for the API group {group}");
        match self.get::<IgnoredAny>(format!("/apis/{group}"), &what).await {
            Ok(_) => Ok(true),
            Err(WriteError { kind: WriteFailure::NotFound(_), .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: String,
        what: &impl Fn() -> String,
    ) -> Result<T, WriteError> {
        let failed = |kind| WriteError { what: what(), kind };
        let request = Request::get(path)
            .header(header::ACCEPT, "application/json")
            .body(Body::empty())
            .map_err(|error| failed(WriteFailure::Refused(error.to_string())))?;
        let exchange = async {
            let response = self.shared.client.send(request).await.map_err(|error| chain(&error))?;
            let (parts, body) = response.into_parts();
            let bytes = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
            Ok::<_, String>((parts.status, bytes))
        };
        let (status, bytes) = match tokio::time::timeout(TIMEOUT, exchange).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => return Err(failed(WriteFailure::Unanswered(reason))),
            Err(_) => return Err(failed(WriteFailure::Unanswered(format!("none within {TIMEOUT:?}")))),
        };
        if !status.is_success() {
            return Err(failed(classify(status, None, &bytes)));
        }
        serde_json::from_slice(&bytes)
            .map_err(|error| failed(WriteFailure::Unanswered(format!("it cannot be decoded: {error}"))))
    }
}
