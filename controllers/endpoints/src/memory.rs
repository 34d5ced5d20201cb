//! What one plan hands to the next one of the same Service.

use std::sync::Arc;

use fairlead_objects::{ResourceVersion, Service};

/// What one plan hands to the next one of the same Service. The default value knows nothing, as after a start.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The Service as it was last planned and written.
    planned: Option<Arc<Service>>,
    /// The object was right at this version.
    right_at: Option<ResourceVersion>,
    /// The Service had an Endpoints object of this controller, and has none any more.
    has_left: bool,
    /// An attempt to create the object was not answered: it may exist although nobody has seen it.
    may_exist: bool,
}

/// What to remember of a plan once it is written.
#[derive(Clone, Debug)]
pub struct Next {
    planned: Arc<Service>,
}

impl Next {
    pub(crate) fn of(service: &Arc<Service>) -> Self {
        Self { planned: Arc::clone(service) }
    }
}

impl Memory {
    /// The Service as it was last planned and written.
    pub(crate) fn planned(&self) -> Option<&Service> {
        self.planned.as_deref()
    }

    /// The plan was written, or there was nothing to write: the object is right at this version. `None`: it could not be
    /// created, and need not be.
    pub fn written(&mut self, next: Next, version: Option<ResourceVersion>) {
        *self = Self { planned: Some(next.planned), right_at: version, has_left: false, may_exist: false };
    }

    /// An attempt to create the object was not answered.
    pub(crate) fn unanswered(&mut self) {
        self.may_exist = true;
    }

    /// May there be an object that nobody has seen?
    pub(crate) fn may_exist(&self) -> bool {
        self.may_exist
    }

    /// Is the object in the state in which this controller last left it, or found it right?
    pub(crate) fn was_right_at(&self, version: &ResourceVersion) -> bool {
        self.right_at.as_ref() == Some(version)
    }

    /// Was the Service, when it was last looked at, one with an Endpoints object of this controller?
    pub(crate) fn had_endpoints(&self) -> bool {
        self.planned.is_some() && !self.has_left
    }

    /// The Service has no Endpoints object of this controller any more. When it has one again, it is still no new Service.
    pub(crate) fn left(&mut self) {
        *self = Self { planned: self.planned.take(), has_left: true, ..Self::default() };
    }
}
