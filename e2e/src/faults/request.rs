//! What a request asks for, and which requests a fault befalls.

use http::{Method, Request};

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads a collection.
    List,
    /// Follows a collection; a streaming list is one, too.
    Watch,
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH.
    Patch,
    /// DELETE of one object or of a collection.
    Delete,
}

impl Verb {
    /// Does it change anything?
    #[must_use]
    pub fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

/// A set of requests, by what they do and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requests {
    verbs: Vec<Verb>,
    resource: Option<String>,
    namespace: Option<String>,
}

impl Requests {
    /// Those that do one of these things; all for an empty list.
    #[must_use]
    pub fn of_verbs(verbs: &[Verb]) -> Self {
        Self { verbs: verbs.to_vec(), resource: None, namespace: None }
    }

    /// All.
    #[must_use]
    pub fn all() -> Self {
        Self::of_verbs(&[])
    }

    /// Everything that changes something.
    #[must_use]
    pub fn writes() -> Self {
        Self::of_verbs(&[Verb::Create, Verb::Update, Verb::Patch, Verb::Delete])
    }

    /// Everything else.
    #[must_use]
    pub fn reads() -> Self {
        Self::of_verbs(&[Verb::Get, Verb::List, Verb::Watch])
    }

    /// Watches.
    #[must_use]
    pub fn watches() -> Self {
        Self::of_verbs(&[Verb::Watch])
    }

    /// Of these, those for one resource in its plural, such as `endpointslices`.
    #[must_use]
    pub fn of(mut self, resource: &str) -> Self {
        self.resource = Some(resource.to_owned());
        self
    }

    /// Of these, those in one namespace. Lists and watches of all namespaces are in none.
    #[must_use]
    pub fn in_namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    pub(crate) fn contain(&self, asked: &Asked) -> bool {
        (self.verbs.is_empty() || self.verbs.contains(&asked.verb))
            && self.resource.as_ref().is_none_or(|resource| *resource == asked.resource)
            && self.namespace.as_ref().is_none_or(|namespace| *namespace == asked.namespace)
    }
}

/// A request, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) verb: Verb,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// It goes on from a version that was seen before, which may be forgotten by now.
    pub(crate) resumes: bool,
}

impl Asked {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let query: Vec<_> = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .collect();
        let value = |key: &str| query.iter().find(|(found, _)| *found == key).map(|(_, value)| *value);
        let (group, resource, namespace, name) = target(request.uri().path());
        let verb = match *request.method() {
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => Verb::Patch,
            Method::DELETE => Verb::Delete,
            _ if matches!(value("watch"), Some("true" | "1")) => Verb::Watch,
            _ if name.is_empty() => Verb::List,
            _ => Verb::Get,
        };
        let resumes = match verb {
            Verb::Watch => value("resourceVersion").is_some_and(|version| !matches!(version, "" | "0")),
            Verb::List => value("continue").is_some_and(|token| !token.is_empty()),
            _ => false,
        };
        let text = str::to_owned;
        Self {
            verb,
            group: text(group),
            resource: text(resource),
            namespace: text(namespace),
            name: text(name),
            resumes,
        }
    }

    /// The same for requests that are to have one sequence of fates. Names are left out: many are random.
    pub(crate) fn identity(&self) -> String {
        format!("{:?} {} {}", self.verb, self.resource, self.namespace)
    }
}

/// Group, resource, namespace and name of `/api/v1/...` or `/apis/GROUP/VERSION/...`; empty where there is none.
fn target(path: &str) -> (&str, &str, &str, &str) {
    let mut steps = path.trim_start_matches('/').split('/');
    let group = match steps.next() {
        Some("api") => "",
        Some("apis") => steps.next().unwrap_or_default(),
        _ => return ("", "", "", ""),
    };
    let mut rest = steps.skip(1);
    let mut next = || rest.next().unwrap_or_default();
    match (next(), next(), next()) {
        ("namespaces", namespace, resource) if !resource.is_empty() => (group, resource, namespace, next()),
        (resource, name, _) => (group, resource, "", name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, uri: &str) -> Asked {
        Asked::of(&Request::builder().method(method).uri(uri).body(()).unwrap())
    }

    #[test]
    fn requests_are_taken_apart() {
        let slice = asked(Method::PUT, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1");
        assert_eq!(
            (slice.verb, slice.group.as_str(), slice.resource.as_str()),
            (Verb::Update, "discovery.k8s.io", "endpointslices")
        );
        assert_eq!((slice.namespace.as_str(), slice.name.as_str()), ("shop", "web-1"));
        let pods = asked(Method::GET, "/api/v1/pods?&watch=true&resourceVersion=7");
        assert_eq!(
            (pods.verb, pods.resource.as_str(), pods.namespace.as_str(), pods.resumes),
            (Verb::Watch, "pods", "", true)
        );
        assert!(!asked(Method::GET, "/api/v1/pods?watch=true&resourceVersion=0").resumes);
        assert_eq!(asked(Method::GET, "/api/v1/nodes").verb, Verb::List);
        assert_eq!(asked(Method::GET, "/api/v1/nodes/n").verb, Verb::Get);
        let namespace = asked(Method::GET, "/api/v1/namespaces/shop");
        assert_eq!((namespace.resource.as_str(), namespace.name.as_str()), ("namespaces", "shop"));
    }

    #[test]
    fn a_set_is_narrowed_by_each_word() {
        let create = asked(Method::POST, "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices");
        let set = Requests::writes().of("endpointslices").in_namespace("shop");
        assert!(set.contain(&create) && Requests::all().contain(&create));
        assert!(!Requests::reads().contain(&create));
        assert!(!Requests::writes().of("pods").contain(&create));
        assert!(!set.in_namespace("other").contain(&create));
    }
}
