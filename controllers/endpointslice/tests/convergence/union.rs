//! The union of a Service's slices, as a consumer sees it that watches them, and the moments in which an endpoint is
//! missing there that should always be ready. Both the API server in memory and the real one are watched with it.

use std::collections::BTreeMap;
use std::fmt::Display;

use serde_json::Value;

/// Follows the slices of one Service.
pub(crate) struct Union {
    /// Names of Pods that are ready all the time.
    steady: Vec<String>,
    slices: BTreeMap<String, Value>,
    /// Do moments count yet?
    counting: bool,
    moments: Vec<String>,
}

impl Union {
    pub(crate) fn new<T: ToString>(steady: &[T]) -> Self {
        let steady = steady.iter().map(ToString::to_string).collect();
        Self { steady, slices: BTreeMap::new(), counting: false, moments: Vec::new() }
    }

    /// From now on moments count.
    pub(crate) fn begin(&mut self) {
        self.counting = true;
    }

    /// A slice is seen in this state, or is gone or another Service's; `when` tells the moment in messages.
    pub(crate) fn see(&mut self, name: &str, slice: Option<Value>, when: impl Display) {
        match slice {
            Some(slice) => self.slices.insert(name.to_owned(), slice),
            None => self.slices.remove(name),
        };
        if self.counting {
            let missing: Vec<_> = self.missing().map(|pod| format!("{pod} @{when}")).collect();
            self.moments.extend(missing);
        }
    }

    /// Steady Pods that no slice shows as ready now.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &str> {
        let shows = |slice: &Value, pod: &str| {
            slice["endpoints"].as_array().is_some_and(|list| {
                list.iter().any(|it| it["targetRef"]["name"] == *pod && it["conditions"]["ready"] == true)
            })
        };
        let is_missing = move |pod: &&String| !self.slices.values().any(|slice| shows(slice, pod));
        self.steady.iter().filter(is_missing).map(String::as_str)
    }

    /// The moments so far: a Pod that is missing at three events in a row was missing in three moments.
    pub(crate) fn moments(&self) -> &[String] {
        &self.moments
    }
}

#[test]
fn moments_without_an_endpoint_are_counted() {
    let slice = |pods: &[(&str, bool)]| {
        let endpoint = |(name, ready): &(&str, bool)| serde_json::json!({"targetRef": {"name": name}, "conditions": {"ready": ready}});
        Some(serde_json::json!({"endpoints": pods.iter().map(endpoint).collect::<Vec<_>>()}))
    };
    let both = slice(&[("a", true), ("b", true)]);
    let mut union = Union::new(&["a", "b"]);
    union.see("one", slice(&[("a", true)]), 1);
    assert_eq!(union.missing().collect::<Vec<_>>(), ["b"]);
    union.see("one", both.clone(), 2);
    union.begin();
    // Moving an endpoint over is fine as long as it is somewhere.
    union.see("two", slice(&[("b", true)]), 3);
    union.see("one", slice(&[("a", true)]), 4);
    assert_eq!(union.moments(), [] as [&str; 0]);
    // It is nowhere, in two moments; the other way round than above.
    union.see("two", None, 5);
    union.see("three", slice(&[("c", true)]), 6);
    union.see("two", slice(&[("b", true)]), 7);
    assert_eq!(union.moments(), ["b @5", "b @6"]);
    // It is there and not ready.
    union.see("two", slice(&[("b", false)]), 8);
    assert_eq!(union.moments().len(), 3);
    union.see("one", both, 9);
    assert_eq!(union.moments().len(), 3);
}
