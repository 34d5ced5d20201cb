//! What goes on while faults happen: Services, Pods and Endpoints by hand change.

use k8s_openapi::api::core::v1::{Endpoints, Service};
use kube::api::{Api, Patch, PatchParams};
use lab::{Lab, Pod, Result};
use serde_json::{Value, json};

use crate::support::service;

/// Fewer Pods than this are replaced by new ones.
const FEWEST: usize = 4;

/// Seeded changes of the namespace `default`, straight at the first API server.
pub(crate) struct Churn<'a> {
    lab: &'a Lab,
    rng: fastrand::Rng,
    pods: Vec<Pod>,
    made: usize,
}

impl<'a> Churn<'a> {
    /// Services of several kinds, Pods, and Endpoints of a Service that selects none.
    pub(crate) async fn begin(lab: &'a Lab) -> Result<Self> {
        let mut churn = Self { lab, rng: fastrand::Rng::with_seed(5), pods: Vec::new(), made: 0 };
        let selector = json!({ "app": "web" });
        service(lab, "web", json!({ "selector": selector, "ipFamilyPolicy": "RequireDualStack" })).await?;
        let named = json!([{ "name": "http", "port": 80, "targetPort": "http" }, { "name": "dns", "port": 53, "targetPort": 53, "protocol": "UDP" }]);
        service(lab, "set", json!({ "selector": selector, "clusterIP": "None", "ports": named })).await?;
        let ports = json!([{ "name": "http", "port": 80 }]);
        let database = json!({ "metadata": { "name": "database" }, "spec": { "ports": ports } });
        lab.create::<Service>("default", database).await?;
        let subsets = churn.subsets();
        lab.create::<Endpoints>("default", json!({ "metadata": { "name": "database" }, "subsets": subsets }))
            .await?;
        for _ in 0..=FEWEST {
            churn.add_pod().await?;
        }
        Ok(churn)
    }

    /// So many changes, one right after the other.
    pub(crate) async fn steps(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            self.step().await?;
        }
        Ok(())
    }

    async fn step(&mut self) -> Result<()> {
        match self.rng.u8(0..12) {
            0 => self.add_pod().await,
            1 if self.pods.len() > FEWEST => {
                let pod = self.pods.swap_remove(self.rng.usize(0..self.pods.len()));
                pod.remove().await
            }
            2 => {
                let port = self.rng.u16(8080..8083);
                let ports = json!([{ "name": "http", "port": 80, "targetPort": port }]);
                self.patch::<Service>("web", json!({ "spec": { "ports": ports } })).await
            }
            3 => {
                let team = self.rng.u8(0..3).to_string();
                self.patch::<Service>("set", json!({ "metadata": { "labels": { "team": team } } })).await
            }
            4 | 5 => {
                let subsets = self.subsets();
                self.patch::<Endpoints>("database", json!({ "subsets": subsets })).await
            }
            6 => {
                let skip = if self.rng.bool() { "true" } else { "false" };
                let labels = json!({ "endpointslice.kubernetes.io/skip-mirror": skip });
                self.patch::<Endpoints>("database", json!({ "metadata": { "labels": labels } })).await
            }
            _ => {
                let pod = &self.pods[self.rng.usize(0..self.pods.len())];
                pod.set_ready(self.rng.bool()).await
            }
        }
    }

    async fn add_pod(&mut self) -> Result<()> {
        self.made += 1;
        let pod = self.lab.pod("default", &format!("web-{}", self.made)).label("app", "web").paper();
        self.pods.push(pod.start().await?);
        Ok(())
    }

    fn subsets(&mut self) -> Value {
        let ip = |number: u8| json!({ "ip": format!("10.9.0.{number}") });
        let (one, other) = (self.rng.u8(1..5), self.rng.u8(5..9));
        json!([{ "addresses": [ip(one), { "ip": "fd00:9::1" }], "notReadyAddresses": [ip(other)],
            "ports": [{ "name": "http", "port": 5432 }] }])
    }

    async fn patch<K>(&self, name: &str, patch: Value) -> Result<()>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        let api: Api<K> = Api::namespaced(self.lab.api(), "default");
        Ok(api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)?)
    }
}
