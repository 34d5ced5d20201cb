//! What the scenarios about Endpoints have in common.

use std::time::Duration;

use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints};
use kube::api::Api;
use lab::{Lab, Manager, Pod, Result};

use super::PATIENCE;

/// The controller under test.
pub(crate) const ENDPOINTS: &str = "endpoints-controller";
/// Longer than anything takes with thousands of Pods on a busy machine.
pub(crate) const MUCH_PATIENCE: Duration = Duration::from_mins(3);

/// `fairlead manager` with the endpoints-controller alone.
pub(crate) async fn endpoints_manager(lab: &Lab) -> Result<Manager> {
    lab.manager().controllers(ENDPOINTS).start().await
}

/// The Endpoints of a Service of namespace `default`.
pub(crate) async fn endpoints_of(lab: &Lab, service: &str) -> Result<Option<Endpoints>> {
    let api: Api<Endpoints> = Api::namespaced(lab.api(), "default");
    api.get_opt(service)
        .await
        .map_err(|error| lab::Error::Invalid(format!("reading the Endpoints of {service}: {error}")))
}

/// Waits until the Endpoints of a Service exist and satisfy `condition`.
pub(crate) async fn endpoints_until(
    lab: &Lab,
    service: &str,
    what: &str,
    condition: impl Fn(&Endpoints) -> bool,
) -> Result<Endpoints> {
    lab.wait_until(format!("the Endpoints of {service} to show {what}"), PATIENCE, async || {
        match endpoints_of(lab, service).await? {
            Some(found) if condition(&found) => Ok(found),
            Some(found) => Err(serde_json::to_string(&found)?.chars().take(3000).collect::<String>().into()),
            None => Err("there are none".into()),
        }
    })
    .await
}

/// The addresses as `pod:r` or `pod:-`, sorted.
pub(crate) fn published(endpoints: &Endpoints) -> Vec<String> {
    let mut all: Vec<_> = endpoints
        .subsets
        .iter()
        .flatten()
        .flat_map(|EndpointSubset { addresses, not_ready_addresses, .. }| {
            let of = |list: &Option<Vec<EndpointAddress>>, letter: &str| -> Vec<String> {
                let name = |it: &EndpointAddress| it.target_ref.as_ref().and_then(|it| it.name.clone());
                let all = list.iter().flatten();
                all.map(|it| format!("{}:{letter}", name(it).unwrap_or_default())).collect()
            };
            [of(addresses, "r"), of(not_ready_addresses, "-")].concat()
        })
        .collect();
    all.sort();
    all
}

/// Numbers of addresses that are ready and that are not.
pub(crate) fn counts(endpoints: &Endpoints) -> (usize, usize) {
    let all = published(endpoints);
    let ready = all.iter().filter(|it| it.ends_with(":r")).count();
    (ready, all.len() - ready)
}

pub(crate) fn annotation<'a>(endpoints: &'a Endpoints, key: &str) -> Option<&'a str> {
    endpoints.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

pub(crate) fn label_of<'a>(endpoints: &'a Endpoints, key: &str) -> Option<&'a str> {
    endpoints.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// So many ready Pods on paper with the label `app=<app>`, named `<app>-<number>`.
pub(crate) async fn paper_pods(lab: &Lab, app: &str, numbers: std::ops::Range<usize>) -> Result<Vec<Pod>> {
    let one = |number: usize| async move {
        lab.pod("default", &format!("{app}-{number}"))
            .label("app", app)
            .paper()
            .grace_seconds(0)
            .start()
            .await
    };
    stream::iter(numbers).map(one).buffered(32).try_collect().await
}
