//! Labels that call for a write, and those that do not.

use fairlead_discovery::names::{ENDPOINTS_MANAGED_BY, HEADLESS};
use fairlead_objects::ClusterIp;

use crate::support::{Cluster, LABELS, Wrote};

/// Upstream counts labels of the Service that it does not copy, and so writes the object at every sync.
#[test]
fn gap_reserved_labels_of_the_service_make_no_loop() {
    for (key, value) in [(HEADLESS, ""), (HEADLESS, "x"), (ENDPOINTS_MANAGED_BY, "somebody")] {
        for cluster_ip in [ClusterIp::None, ClusterIp::Address([10, 96, 0, 1].into())] {
            let mut cluster = Cluster::with_pods(1);
            cluster.service.labels = [("team", "shop"), (key, value)].into_iter().collect();
            cluster.service.cluster_ip = cluster_ip;
            assert_eq!(cluster.sync(), Wrote::Created);
            assert_eq!(cluster.sync(), Wrote::Nothing, "{key}={value} {cluster_ip:?}");
            assert_eq!(cluster.label(ENDPOINTS_MANAGED_BY), Some("endpoint-controller"));
            assert_eq!(cluster.label(HEADLESS), (cluster_ip == ClusterIp::None).then_some(""));
        }
    }
}

#[test]
fn the_headless_label_alone_is_put_right_only_with_something_else() {
    let mut cluster = Cluster::with_pods(1);
    cluster.sync();
    cluster.service.cluster_ip = ClusterIp::None;
    assert_eq!(cluster.sync(), Wrote::Nothing);
    cluster.change_pod(0, |pod| pod.ready = false);
    assert_eq!(cluster.sync(), Wrote::Updated);
    assert_eq!(cluster.label(HEADLESS), Some(""));
}

#[test]
fn what_others_make_of_labels_is_put_right() {
    for labels in
        [&[][..], &[("team", "other"), LABELS[1]], &[LABELS[0], (ENDPOINTS_MANAGED_BY, "x")], &[LABELS[0]]]
    {
        let mut cluster = Cluster::with_pods(1);
        cluster.sync();
        cluster.change_endpoints(|it| it.labels = labels.iter().copied().collect());
        assert_eq!(cluster.sync(), Wrote::Updated, "{labels:?}");
        assert_eq!(cluster.endpoints.as_ref().unwrap().labels, LABELS.iter().copied().collect());
    }
}
