//! What one plan hands to the next one of the same Service.

use std::sync::Arc;

use fairlead_objects::{Service, Slice};

use crate::action::Written;
use crate::desired::MissingNode;
use crate::hints::HintStates;
use crate::layout::Layout;

/// What one plan hands to the next one of the same Service. The default value knows nothing, as after a start.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The Service as it was last planned and written.
    pub(crate) planned: Option<Arc<Service>>,
    /// What topology-aware hints came to.
    pub(crate) hints: HintStates,
    /// Pods that are left out until their Node appears.
    pub(crate) missing_nodes: Vec<MissingNode>,
    /// Where the endpoints are.
    pub(crate) layout: Option<Layout>,
    /// The Service had slices of this controller, and has none any more.
    has_left: bool,
}

/// What to remember of a plan once everything is written.
#[derive(Clone, Debug)]
pub struct Next {
    pub(crate) planned: Arc<Service>,
    pub(crate) hints: HintStates,
    pub(crate) missing_nodes: Vec<MissingNode>,
    pub(crate) layout: NextLayout,
}

/// What becomes of the layout.
#[derive(Clone, Debug)]
pub(crate) enum NextLayout {
    /// It is not needed, or cannot be told.
    Forget,
    /// It follows the writes.
    Follow,
    /// It is made from these slices and then follows the writes.
    Make(Vec<Arc<Slice>>),
}

impl Memory {
    /// What topology-aware hints came to.
    #[must_use]
    pub fn hints(&self) -> &HintStates {
        &self.hints
    }

    /// The plan was written: these are the API server's answers to all of its actions.
    pub fn written(&mut self, next: Next, answers: &[Written]) {
        let layout = match next.layout {
            NextLayout::Forget => None,
            NextLayout::Follow => self.layout.take(),
            NextLayout::Make(slices) => Layout::new(&slices),
        };
        *self = Self {
            planned: Some(next.planned),
            hints: next.hints,
            missing_nodes: next.missing_nodes,
            layout: layout.and_then(|layout| follow(layout, answers)),
            has_left: false,
        };
    }

    /// The plan was not, or not completely, written: nobody knows where the endpoints are now.
    pub fn not_written(&mut self) {
        self.layout = None;
    }

    /// Was the Service, when it was last looked at, one with slices of this controller?
    #[must_use]
    pub fn had_slices(&self) -> bool {
        !self.has_left
    }

    /// The Service has no slices of this controller any more. When it has some again, it is still no new Service.
    pub fn left(&mut self) {
        *self = Self { planned: self.planned.take(), has_left: true, ..Self::default() };
    }

    /// The layout, if it was made for just this Service.
    pub(crate) fn layout_of(&self, service: &Service) -> Option<&Layout> {
        let planned = self.planned.as_ref()?;
        (planned.uid == service.uid && planned.same_endpoint_facts(service)).then_some(self.layout.as_ref()?)
    }
}

fn follow(mut layout: Layout, answers: &[Written]) -> Option<Layout> {
    for answer in answers {
        match answer {
            Written::Created(slice) => layout.insert(slice)?,
            Written::Updated { before, after } => layout.replace(before, after)?,
            Written::Deleted(slice) => layout.remove(slice)?,
        }
    }
    Some(layout)
}
