use proptest::prelude::*;

use super::*;

fn pod(name: &str, labels: &[(&str, &str)], ready: bool) -> Arc<Pod> {
    let labels: serde_json::Map<_, _> =
        labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect();
    let json = serde_json::json!({"metadata": {"namespace": "n", "name": name, "labels": labels},
        "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]}});
    Arc::new(serde_json::from_value(json).unwrap())
}

fn selector(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

fn sorted(concerned: Vec<Concerned>) -> Vec<String> {
    names(concerned.into_iter().map(|it| it.service))
}

fn names(names: impl Iterator<Item = Istr>) -> Vec<String> {
    let mut names: Vec<_> = names.map(|name| name.to_string()).collect();
    names.sort();
    names
}

fn added(new: &Arc<Pod>) -> Change<Pod> {
    Change { old: None, new: Some(Arc::clone(new)) }
}

#[test]
fn services_and_pods_find_each_other_whoever_came_first() {
    let mut index = SelectorIndex::default();
    let web = ObjectKey::new("n", "web");
    index.service_changed(&web, Some(&selector(&[("app", "web")])));
    assert_eq!(sorted(index.pod_changed(&added(&pod("a", &[("app", "web"), ("v", "1")], true)))), ["web"]);
    assert!(index.pod_changed(&added(&pod("b", &[("app", "db")], true))).is_empty());
    index.service_changed(&ObjectKey::new("n", "all-v1"), Some(&selector(&[("v", "1")])));
    assert_eq!(index.members(&web).len(), 1);
    assert_eq!(index.members(&ObjectKey::new("n", "all-v1")).len(), 1);
    assert_eq!(index.members(&ObjectKey::new("other", "web")).len(), 0);
}

#[test]
fn a_pod_whose_labels_alone_change_concerns_those_that_it_left_or_joined() {
    let mut index = SelectorIndex::default();
    for (name, pairs) in
        [("both", &[("app", "web")][..]), ("blue", &[("color", "blue")]), ("green", &[("color", "green")])]
    {
        index.service_changed(&ObjectKey::new("n", name), Some(&selector(pairs)));
    }
    let blue = pod("p", &[("app", "web"), ("color", "blue")], true);
    let green = pod("p", &[("app", "web"), ("color", "green")], true);
    let unready = pod("p", &[("app", "web"), ("color", "blue")], false);
    assert_eq!(sorted(index.pod_changed(&added(&blue))), ["blue", "both"]);
    let relabelled = Change { old: Some(Arc::clone(&blue)), new: Some(Arc::clone(&green)) };
    let mut concerned = index.pod_changed(&relabelled);
    concerned.sort_by(|a, b| a.service.cmp(&b.service));
    let of = |service: &str, had, has| Concerned { service: service.into(), had, has };
    assert_eq!(concerned, [of("blue", true, false), of("green", false, true)]);
    let both = Change { old: Some(green), new: Some(unready) };
    assert_eq!(sorted(index.pod_changed(&both)), ["blue", "both", "green"]);
}

#[test]
fn nothing_is_kept_of_what_is_gone() {
    let mut index = SelectorIndex::default();
    let key = ObjectKey::new("n", "web");
    let only = pod("a", &[("app", "web")], true);
    index.service_changed(&key, Some(&selector(&[("app", "web")])));
    index.pod_changed(&added(&only));
    index.service_changed(&key, None);
    index.pod_changed(&Change { old: Some(only), new: None });
    assert!(index.namespaces.is_empty());
}

#[test]
fn services_are_filed_under_the_label_that_tells_them_apart() {
    let mut index = SelectorIndex::default();
    for n in 0..100 {
        let own = format!("app-{n}");
        let pairs = [("managed-by", "Helm"), ("name", own.as_str())];
        index.service_changed(&ObjectKey::new("n", own.as_str()), Some(&selector(&pairs)));
    }
    let busiest = index.namespaces[&Istr::from("n")].services_by_anchor.values().map(HashSet::len).max();
    assert_eq!(busiest, Some(1));
}

#[derive(Clone, Debug)]
enum Step {
    Pod { name: u8, labels: Option<(u8, u8)>, ready: bool },
    Service { name: u8, selector: Option<(Option<u8>, Option<u8>)> },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u8..6, proptest::option::of((0_u8..3, 0_u8..3)), any::<bool>())
            .prop_map(|(name, labels, ready)| Step::Pod { name, labels, ready }),
        (0_u8..4, proptest::option::of((proptest::option::of(0_u8..3), proptest::option::of(0_u8..3))))
            .prop_map(|(name, selector)| Step::Service { name, selector }),
    ]
}

proptest! {
    /// The index says at every moment what comparing every Pod with every Service says.
    #[test]
    fn agrees_with_comparing_everything(steps in proptest::collection::vec(step(), 1..60)) {
        let mut index = SelectorIndex::default();
        let mut pods: HashMap<String, Arc<Pod>> = HashMap::new();
        let mut services: HashMap<String, Labels> = HashMap::new();
        for step in steps {
            match step {
                Step::Pod { name, labels, ready } => {
                    let name = format!("pod-{name}");
                    let new = labels.map(|(a, b)| {
                        pod(&name, &[("a", &a.to_string()), ("b", &b.to_string())], ready)
                    });
                    let old = match &new {
                        Some(new) => pods.insert(name, Arc::clone(new)),
                        None => pods.remove(&name),
                    };
                    if old.is_none() && new.is_none() {
                        continue;
                    }
                    let matching = |pod: &Option<Arc<Pod>>| -> HashSet<String> {
                        pod.iter().flat_map(|pod| services.iter()
                            .filter(|(_, selector)| selector.selects(&pod.labels))
                            .map(|(name, _)| name.clone())).collect()
                    };
                    let (before, after) = (matching(&old), matching(&new));
                    let change = Change { old, new };
                    let mut expected: Vec<_> = if only_labels_changed(&change) {
                        before.symmetric_difference(&after).cloned().collect()
                    } else {
                        before.union(&after).cloned().collect()
                    };
                    expected.sort();
                    prop_assert_eq!(sorted(index.pod_changed(&change)), expected);
                }
                Step::Service { name, selector } => {
                    let name = format!("service-{name}");
                    let key = ObjectKey::new("n", name.as_str());
                    let labels: Option<Labels> = selector.map(|(a, b)| {
                        let pairs = [("a", a), ("b", b)];
                        pairs.into_iter().filter_map(|(key, value)| Some((Istr::from(key), Istr::from(value?.to_string())))).collect()
                    }).filter(|labels: &Labels| !labels.is_empty());
                    index.service_changed(&key, labels.as_ref());
                    match labels {
                        Some(labels) => services.insert(name, labels),
                        None => services.remove(&name),
                    };
                }
            }
            for (name, selector) in &services {
                let mut expected: Vec<_> = pods.values().filter(|pod| selector.selects(&pod.labels))
                    .map(|pod| pod.key.name.to_string()).collect();
                expected.sort();
                let members = index.members(&ObjectKey::new("n", name.as_str()));
                prop_assert_eq!(names(members.iter().map(|pod| pod.key.name.clone())), expected);
            }
        }
    }
}
