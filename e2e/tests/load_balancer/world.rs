//! Where scenarios take place: in a lab that most of them share, each with a namespace and addresses of its own, or in a
//! lab of their own where they restart, break or delete what is everybody's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use lab::{
    AssignedAddress, Lab, LabBuilder, LoadBalancer, LoadBalancerBuilder, Manager, Object, ProxyMode, Result,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

use crate::judge::{self, Subjects};

/// Longer than anything takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// The controller under test.
pub(crate) const CONTROLLER: &str = "loadbalancer-controller";
/// Long enough for a controller to do what it must not do, and longer than it waits until it says why a Service is
/// pending.
pub(crate) const A_WHILE: Duration = Duration::from_millis(1500);

/// A lab for tests about objects alone: nobody routes packets.
pub(crate) fn objects_only() -> LabBuilder {
    Lab::builder().nodes(1).proxy(ProxyMode::None)
}

/// `fairlead manager` with the controller under test.
pub(crate) async fn manager(lab: &Lab) -> Result<Manager> {
    lab.manager().controllers(CONTROLLER).start().await
}

/// The lab that scenarios share, and its manager.
struct Stage {
    lab: Lab,
    manager: Manager,
}

/// It outlives the test that was first, so it cannot run on the runtime of any of them.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("threads can be started"));
static STAGE: OnceCell<Stage> = OnceCell::const_new();
static SCENES: AtomicU8 = AtomicU8::new(1);

async fn stage() -> Result<Stage> {
    let lab = objects_only().audit().start().await?;
    let manager = lab.manager().controllers(CONTROLLER).flag("--pool-drain-overlap=2s").start().await?;
    Ok(Stage { lab, manager })
}

/// Plays a scenario in the shared lab, and judges at the end what has become of its addresses.
pub(crate) fn scene(name: &str, play: impl AsyncFnOnce(&Scene) -> Result<()>) -> Result<()> {
    RUNTIME.block_on(async {
        let stage = STAGE.get_or_try_init(stage).await?;
        let number = SCENES.fetch_add(1, Ordering::Relaxed);
        let scene = Scene { lab: &stage.lab, manager: &stage.manager, namespace: name.to_owned(), number };
        scene.lab.namespace(name).await?;
        play(&scene).await?;
        judge::settled(scene.lab, &scene.subjects()).await
    })
}

/// What one scenario has for itself.
pub(crate) struct Scene {
    pub(crate) lab: &'static Lab,
    pub(crate) manager: &'static Manager,
    pub(crate) namespace: String,
    number: u8,
}

impl Scene {
    /// A namespace beside its own.
    pub(crate) fn neighbour(&self) -> String {
        format!("{}-neighbour", self.namespace)
    }

    /// One of its IPv4 addresses; the network has 24 bits.
    pub(crate) fn ipv4(&self, host: u8) -> String {
        Ipv4Addr::new(100, 64, self.number, host).to_string()
    }

    /// One of its IPv6 addresses; the network has 64 bits.
    pub(crate) fn ipv6(&self, host: u16) -> String {
        Ipv6Addr::new(0x2001, 0xdb8, 0x64, self.number.into(), 0, 0, 0, host).to_string()
    }

    /// The range of its IPv4 addresses with these ends.
    pub(crate) fn range(&self, first: u8, last: u8) -> String {
        format!("{}-{}", self.ipv4(first), self.ipv4(last))
    }

    /// The range of its IPv6 addresses with these ends.
    pub(crate) fn range6(&self, first: u16, last: u16) -> String {
        format!("{}-{}", self.ipv6(first), self.ipv6(last))
    }

    /// Full name of one of its pools.
    pub(crate) fn pool_name(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    /// A pool for its namespaces alone. What `serviceAllocation` says is added to that.
    pub(crate) async fn pool(&self, name: &str, mut spec: Value) -> Result<Object> {
        let allocation = &mut spec["serviceAllocation"];
        if allocation["namespaces"].is_null() && allocation["namespaceSelectors"].is_null() {
            allocation["namespaces"] = json!([self.namespace, self.neighbour()]);
        }
        self.lab.pool(&self.pool_name(name), spec).await
    }

    /// A pool `pool` with these ranges.
    pub(crate) async fn plain_pool(&self, addresses: &[String]) -> Result<Object> {
        self.pool("pool", json!({ "addresses": addresses })).await
    }

    /// A Service of its own namespace.
    pub(crate) fn service(&self, name: &str) -> LoadBalancerBuilder {
        self.lab.load_balancer(&self.namespace, name)
    }

    /// The objects of its addresses.
    pub(crate) async fn assigned(&self) -> Result<Vec<AssignedAddress>> {
        let all = self.lab.assigned_addresses().await?;
        let subjects = self.subjects();
        Ok(all.into_iter().filter(|it| subjects.contain(it.address)).collect())
    }

    /// Waits until the object of this address is there or gone.
    pub(crate) async fn wait_assigned(&self, address: &str, there: bool) -> Result<()> {
        let what = format!("{address} to be {}", if there { "assigned" } else { "free" });
        self.lab
            .wait_until(what, PATIENCE, async || {
                let assigned = self.assigned().await?;
                let found = assigned.iter().any(|it| it.address.to_string() == address);
                if found == there { Ok(()) } else { Err(format!("{assigned:?}").into()) }
            })
            .await
    }

    fn subjects(&self) -> Subjects {
        let number = self.number;
        Subjects {
            namespaces: vec![self.namespace.clone(), self.neighbour()],
            addresses: Box::new(move |address| match address {
                IpAddr::V4(it) => it.octets()[..3] == [100, 64, number],
                IpAddr::V6(it) => it.segments()[..4] == [0x2001, 0xdb8, 0x64, number.into()],
            }),
        }
    }
}

/// Fails when the Service gets an address within a while.
pub(crate) async fn stays_without_address(service: &LoadBalancer) -> Result<()> {
    tokio::time::sleep(A_WHILE).await;
    let addresses = service.addresses().await?;
    assert!(addresses.is_empty(), "{service} has {addresses:?}");
    Ok(())
}

/// So many Services of namespace `default`, created at once.
pub(crate) async fn services(lab: &Lab, prefix: &str, count: usize) -> Result<Vec<LoadBalancer>> {
    let creating =
        (0..count).map(|number| lab.load_balancer("default", &format!("{prefix}-{number}")).create());
    futures::future::try_join_all(creating).await
}

/// Waits until each of these Services has an address.
pub(crate) async fn all_addresses(services: &[LoadBalancer]) -> Result<Vec<IpAddr>> {
    futures::future::try_join_all(services.iter().map(LoadBalancer::wait_address)).await
}
