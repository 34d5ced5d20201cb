//! What the informer needs to know of a record.

use std::borrow::Cow;
use std::fmt::Debug;

use serde::de::DeserializeOwned;

use crate::{ObjectKey, ResourceVersion};

/// Where the API serves a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resource {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// API version without the group.
    pub version: &'static str,
    /// Kind.
    pub kind: &'static str,
    /// Plural name in the path.
    pub plural: &'static str,
    /// Does it live in a namespace?
    pub namespaced: bool,
}

impl Resource {
    /// Group and version as objects have them: `v1`, `discovery.k8s.io/v1`.
    #[must_use]
    pub fn api_version(&self) -> Cow<'static, str> {
        if self.group.is_empty() {
            Cow::Borrowed(self.version)
        } else {
            Cow::Owned(format!("{}/{}", self.group, self.version))
        }
    }
}

/// A lean record of one watched object.
pub trait Record: DeserializeOwned + Clone + Debug + Send + Sync + 'static {
    /// The resource that the record is decoded from.
    const RESOURCE: Resource;

    /// Namespace and name.
    fn key(&self) -> &ObjectKey;

    /// `metadata.resourceVersion`.
    fn version(&self) -> &ResourceVersion;

    /// Do both records say the same, versions apart? Only fields that a controller uses are in a record, so
    /// an update that leaves them all alone is dropped before anybody is told.
    fn same_facts(&self, other: &Self) -> bool;
}
