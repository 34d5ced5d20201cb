//! Services and their Pods, the same for both sides.

use std::fmt::Debug;

use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Endpoints, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Resource;
use kube::api::{Api, DeleteParams, ListParams};
use kube::core::NamespaceResourceScope;
use lab::{AuditedWrite, Lab, Pod, Result};
use serde::de::DeserializeOwned;
use serde_json::json;

/// What is created at a time: enough to keep the API server busy.
const AT_A_TIME: usize = 32;
/// Label of the slices of both sides.
const SLICES: &str = "endpointslice.kubernetes.io/managed-by=endpointslice-controller.k8s.io";
/// Label of the Endpoints of both sides.
const ENDPOINTS: &str = "endpoints.kubernetes.io/managed-by=endpoint-controller";

/// The namespace of Fairlead's canaries.
const CANARIES: &str = "fairlead-system";

/// A Service and the Pods that it selects.
pub(super) struct Member {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) pods: Vec<Pod>,
}

/// Services of one kind.
pub(super) struct Content {
    pub(super) services: Vec<Member>,
}

impl Content {
    /// Creates namespaces and, spread evenly over them, Services with their Pods, all of them ready.
    pub(super) async fn create(
        lab: &Lab,
        namespaces: &[String],
        services: usize,
        pods: usize,
    ) -> Result<Self> {
        for namespace in namespaces {
            lab.namespace(namespace).await?;
        }
        let mut members: Vec<_> = (0..services)
            .zip(namespaces.iter().cycle())
            .map(|(number, namespace)| Member {
                namespace: namespace.clone(),
                name: format!("app-{number}"),
                pods: Vec::new(),
            })
            .collect();
        let creating = members.iter().map(|member| create_service(lab, member));
        stream::iter(creating).buffer_unordered(AT_A_TIME).try_collect::<()>().await?;
        let wanted: Vec<_> = (0..members.len()).flat_map(|at| (0..pods).map(move |pod| (at, pod))).collect();
        let creating = wanted.iter().map(|&(at, pod)| {
            let member = &members[at];
            async move { Ok::<_, lab::Error>((at, create_pod(lab, member, &pod.to_string(), true).await?)) }
        });
        let created: Vec<_> = stream::iter(creating).buffer_unordered(AT_A_TIME).try_collect().await?;
        for (at, pod) in created {
            members[at].pods.push(pod);
        }
        Ok(Self { services: members })
    }

    /// So many Pods, or all if there are fewer, taken evenly from the whole.
    pub(super) fn spread_pods(&self, count: usize) -> Vec<Pod> {
        // One Pod of each Service, then the second of each, so that changes come to ever different Services.
        let most = self.services.iter().map(|member| member.pods.len()).max().unwrap_or_default();
        let in_turn: Vec<_> = (0..most)
            .flat_map(|at| self.services.iter().filter_map(move |member| member.pods.get(at)))
            .collect();
        let step = (in_turn.len() / count.max(1)).max(1);
        in_turn.into_iter().step_by(step).take(count).cloned().collect()
    }
}

async fn create_service(lab: &Lab, member: &Member) -> Result<()> {
    let object = json!({
        "metadata": { "name": member.name },
        "spec": {
            "selector": { "app": member.name },
            "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }],
        },
    });
    lab.create::<Service>(&member.namespace, object).await.map(drop)
}

/// A Pod of a Service, ready or not ready yet.
pub(super) async fn create_pod(lab: &Lab, member: &Member, suffix: &str, ready: bool) -> Result<Pod> {
    let name = format!("{}-{suffix}", member.name);
    let pod = lab.pod(&member.namespace, &name).label("app", &member.name).label("team", "bench").paper();
    if ready { pod.start().await } else { pod.not_ready().start().await }
}

/// How often anybody has asked so far to write slices or Endpoints, refused writes included. What ours asks by its canaries
/// in a namespace of its own is not about the content.
pub(super) fn writes(lab: &Lab) -> Result<usize> {
    let is_content = |write: &&AuditedWrite| {
        matches!(write.resource.as_str(), "endpointslices" | "endpoints") && write.namespace != CANARIES
    };
    Ok(lab.audited_writes()?.iter().filter(is_content).count())
}

/// Deletes all slices and Endpoints that either side has made.
pub(super) async fn delete_endpoints(lab: &Lab) -> Result<()> {
    delete::<EndpointSlice>(lab, SLICES).await?;
    delete::<Endpoints>(lab, ENDPOINTS).await
}

async fn delete<K>(lab: &Lab, labels: &str) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let found = Api::<K>::all(lab.api()).list_metadata(&ListParams::default().labels(labels)).await?;
    let deleting = found.items.into_iter().map(|object| async move {
        let namespace = object.metadata.namespace.unwrap_or_default();
        let api: Api<K> = Api::namespaced(lab.api(), &namespace);
        api.delete(&object.metadata.name.unwrap_or_default(), &DeleteParams::default()).await.map(drop)
    });
    Ok(stream::iter(deleting).buffer_unordered(AT_A_TIME).try_collect::<()>().await?)
}
