//! How an address is announced: what speakers need of each `Layer2Announcement`, merged into its object.

use std::sync::Arc;

use fairlead_crds::Announce;
use fairlead_objects::{Istr, Labels};

use crate::records::{Announcement, Pool};

/// As many as the schema of `LoadBalancerAddress` allows.
const MOST: usize = 64;

impl Announcement {
    fn selects_pool(&self, pool: &Pool) -> bool {
        (self.pools.is_empty() && self.pool_selectors.is_empty())
            || self.pools.contains(&pool.key.name)
            || self.pool_selectors.iter().any(|selector| selector.matches(&pool.labels))
    }

    fn selects_service(&self, labels: &Labels) -> bool {
        self.service_selectors.is_empty()
            || self.service_selectors.iter().any(|selector| selector.matches(labels))
    }
}

/// What is said about an address of this pool, for Services with these labels: one entry for each announcement that
/// selects the pool and one of the Services. A pool that none selects is announced everywhere, which is one entry without a
/// name and limits, unless it wants to be selected.
pub(crate) fn merged<'a>(
    announcements: impl IntoIterator<Item = (&'a Istr, &'a Arc<Announcement>)>,
    pool: &Pool,
    services: &[&Labels],
) -> Vec<fairlead_crds::Announcement> {
    let mut any = false;
    let mut merged = Vec::new();
    for (_, announcement) in announcements {
        if !announcement.selects_pool(pool) {
            continue;
        }
        any = true;
        if merged.len() < MOST && services.iter().any(|labels| announcement.selects_service(labels)) {
            merged.push(announcement.merged.clone());
        }
    }
    if any || pool.announce == Announce::Explicit { merged } else { everywhere() }
}

/// Announced everywhere.
pub(crate) fn everywhere() -> Vec<fairlead_crds::Announcement> {
    vec![fairlead_crds::Announcement::default()]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use fairlead_crds::{Layer2Announcement, Layer2AnnouncementSpec};

    use super::*;
    use crate::testing::pool;

    fn announcement(name: &str, spec: &str) -> (Istr, Arc<Announcement>) {
        let spec: Layer2AnnouncementSpec = serde_json::from_str(spec).unwrap();
        (name.into(), Arc::new(Announcement::from(Layer2Announcement::new(name, spec))))
    }

    #[test]
    fn announcements_that_select_pool_and_service_are_merged() {
        let labelled =
            Pool { labels: [("tier", "gold")].into_iter().collect(), ..pool("public", &["198.51.100.0/24"]) };
        let explicit = Pool { announce: Announce::Explicit, ..labelled.clone() };
        let web: Labels = [("app", "web")].into_iter().collect();
        let api: Labels = [("app", "api")].into_iter().collect();
        let by_name = r#"{"pools": ["public"], "interfaces": ["eth*"]}"#;
        let by_label = r#"{"poolSelectors": [{"matchLabels": {"tier": "gold"}}]}"#;
        let others = r#"{"pools": ["private"]}"#;
        let for_web = r#"{"serviceSelectors": [{"matchLabels": {"app": "web"}}]}"#;
        for (about, pool, specs, services, names) in [
            ("none, Auto", &labelled, &[][..], &[&web][..], &[""][..]),
            ("none, Explicit", &explicit, &[], &[&web], &[]),
            ("none for this pool", &labelled, &[others], &[&web], &[""]),
            ("by name and by label", &labelled, &[by_name, others, by_label], &[&web], &["a0", "a2"]),
            (
                "union of both",
                &labelled,
                &[r#"{"pools": ["x"], "poolSelectors": [{"matchLabels": {"tier": "gold"}}]}"#],
                &[&web],
                &["a0"],
            ),
            ("an empty one is for all", &labelled, &["{}"], &[&web], &["a0"]),
            ("for this Service", &labelled, &[for_web], &[&web], &["a0"]),
            ("for other Services: nobody announces", &labelled, &[for_web], &[&api], &[]),
            ("for one of those that share", &labelled, &[for_web], &[&api, &web], &["a0"]),
        ] {
            let announcements: BTreeMap<_, _> =
                specs.iter().enumerate().map(|(n, spec)| announcement(&format!("a{n}"), spec)).collect();
            let merged = merged(&announcements, pool, services);
            let found: Vec<&str> = merged.iter().map(|entry| entry.name.as_str()).collect();
            assert_eq!(found, names, "{about}");
        }
    }
}
