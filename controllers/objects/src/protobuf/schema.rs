//! Which fields of which messages are known, from `generated.proto` of k8s.io/api and k8s.io/apimachinery.
//!
//! Of EndpointSlices and Endpoints that is all that can be written; what the API server adds for itself is left out. Of
//! Pods it is what their record has.

/// A message: an object or a part of one.
pub(super) struct Message(&'static [Field]);

pub(super) struct Field {
    pub(super) number: u32,
    /// Name in JSON.
    pub(super) name: &'static str,
    pub(super) is_list: bool,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// A text for which there is no difference between absent and empty (`string` in Go).
    Text,
    /// A text that may be absent (`*string` in Go).
    OptionalText,
    /// A number of 32 or 64 bits.
    Number,
    Bool,
    /// `Time` of apimachinery; RFC 3339 to the second in JSON. It is only read.
    Time,
    /// A map from texts to texts.
    Map,
    Message(&'static Message),
}

impl Message {
    pub(super) fn by_number(&self, number: u32) -> Option<(usize, &'static Field)> {
        self.0.iter().enumerate().find(|(_, field)| field.number == number)
    }

    /// The index of the field that a list has in JSON even if there is nothing in it.
    pub(super) fn items(&self) -> Option<usize> {
        self.0.iter().position(|field| field.name == "items")
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&'static Field> {
        self.0.iter().find(|field| field.name == name)
    }
}

const fn one(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, is_list: false, kind }
}

const fn list(number: u32, name: &'static str, kind: Kind) -> Field {
    Field { number, name, is_list: true, kind }
}

use Kind::{Bool, Map, Number, OptionalText, Text, Time};

/// The entry of a map, as a message.
pub(super) static MAP_KEY: Field = one(1, "key", Text);
pub(super) static MAP_VALUE: Field = one(2, "value", Text);

static OWNER_REFERENCE: Message = Message(&[
    one(1, "kind", Text),
    one(3, "name", Text),
    one(4, "uid", Text),
    one(5, "apiVersion", Text),
    one(6, "controller", Bool),
    one(7, "blockOwnerDeletion", Bool),
]);
static METADATA: Message = Message(&[
    one(1, "name", Text),
    one(2, "generateName", Text),
    one(3, "namespace", Text),
    one(5, "uid", Text),
    one(6, "resourceVersion", Text),
    one(7, "generation", Number),
    one(9, "deletionTimestamp", Time),
    one(11, "labels", Map),
    one(12, "annotations", Map),
    list(13, "ownerReferences", Kind::Message(&OWNER_REFERENCE)),
    list(14, "finalizers", Text),
]);
static OBJECT_REFERENCE: Message = Message(&[
    one(1, "kind", Text),
    one(2, "namespace", Text),
    one(3, "name", Text),
    one(4, "uid", Text),
    one(5, "apiVersion", Text),
    one(6, "resourceVersion", Text),
    one(7, "fieldPath", Text),
]);
static NAMED: Message = Message(&[one(1, "name", Text)]);

static ENDPOINT_SLICE: Message = Message(&[
    one(1, "metadata", Kind::Message(&METADATA)),
    list(2, "endpoints", Kind::Message(&SLICE_ENDPOINT)),
    list(3, "ports", Kind::Message(&SLICE_PORT)),
    one(4, "addressType", Text),
]);
static SLICE_ENDPOINT: Message = Message(&[
    list(1, "addresses", Text),
    one(2, "conditions", Kind::Message(&SLICE_CONDITIONS)),
    one(3, "hostname", OptionalText),
    one(4, "targetRef", Kind::Message(&OBJECT_REFERENCE)),
    one(5, "deprecatedTopology", Map),
    one(6, "nodeName", OptionalText),
    one(7, "zone", OptionalText),
    one(8, "hints", Kind::Message(&SLICE_HINTS)),
]);
static SLICE_CONDITIONS: Message =
    Message(&[one(1, "ready", Bool), one(2, "serving", Bool), one(3, "terminating", Bool)]);
static SLICE_HINTS: Message =
    Message(&[list(1, "forZones", Kind::Message(&NAMED)), list(2, "forNodes", Kind::Message(&NAMED))]);
static SLICE_PORT: Message = Message(&[
    one(1, "name", OptionalText),
    one(2, "protocol", OptionalText),
    one(3, "port", Number),
    one(4, "appProtocol", OptionalText),
]);

static ENDPOINTS: Message =
    Message(&[one(1, "metadata", Kind::Message(&METADATA)), list(2, "subsets", Kind::Message(&SUBSET))]);
static SUBSET: Message = Message(&[
    list(1, "addresses", Kind::Message(&ADDRESS)),
    list(2, "notReadyAddresses", Kind::Message(&ADDRESS)),
    list(3, "ports", Kind::Message(&PORT)),
]);
static ADDRESS: Message = Message(&[
    one(1, "ip", Text),
    one(2, "targetRef", Kind::Message(&OBJECT_REFERENCE)),
    one(3, "hostname", Text),
    one(4, "nodeName", OptionalText),
]);
static PORT: Message = Message(&[
    one(1, "name", Text),
    one(2, "port", Number),
    one(3, "protocol", Text),
    one(4, "appProtocol", OptionalText),
]);

static POD: Message = Message(&[
    one(1, "metadata", Kind::Message(&POD_METADATA)),
    one(2, "spec", Kind::Message(&POD_SPEC)),
    one(3, "status", Kind::Message(&POD_STATUS)),
]);
static POD_METADATA: Message = Message(&[
    one(1, "name", Text),
    one(3, "namespace", Text),
    one(5, "uid", Text),
    one(6, "resourceVersion", Text),
    one(9, "deletionTimestamp", Time),
    one(11, "labels", Map),
]);
static POD_SPEC: Message = Message(&[
    list(2, "containers", Kind::Message(&CONTAINER)),
    one(10, "nodeName", Text),
    one(16, "hostname", Text),
    one(17, "subdomain", Text),
    list(20, "initContainers", Kind::Message(&CONTAINER)),
]);
static CONTAINER: Message =
    Message(&[list(6, "ports", Kind::Message(&CONTAINER_PORT)), one(24, "restartPolicy", OptionalText)]);
static CONTAINER_PORT: Message =
    Message(&[one(1, "name", Text), one(3, "containerPort", Number), one(4, "protocol", Text)]);
static POD_STATUS: Message = Message(&[
    one(1, "phase", Text),
    list(2, "conditions", Kind::Message(&POD_CONDITION)),
    one(6, "podIP", Text),
    list(12, "podIPs", Kind::Message(&POD_IP)),
]);
static POD_CONDITION: Message =
    Message(&[one(1, "type", Text), one(2, "status", Text), one(4, "lastTransitionTime", Time)]);
static POD_IP: Message = Message(&[one(1, "ip", Text)]);

static LIST_METADATA: Message = Message(&[
    one(2, "resourceVersion", Text),
    one(3, "continue", Text),
    one(4, "remainingItemCount", Number),
]);
const fn items(of: &'static Message) -> [Field; 2] {
    [one(1, "metadata", Kind::Message(&LIST_METADATA)), list(2, "items", Kind::Message(of))]
}
static POD_LIST: Message = Message(&items(&POD));
static ENDPOINTS_LIST: Message = Message(&items(&ENDPOINTS));
static ENDPOINT_SLICE_LIST: Message = Message(&items(&ENDPOINT_SLICE));

static STATUS: Message = Message(&[
    one(2, "status", Text),
    one(3, "message", Text),
    one(4, "reason", Text),
    one(5, "details", Kind::Message(&STATUS_DETAILS)),
    one(6, "code", Number),
]);
static STATUS_DETAILS: Message = Message(&[
    one(1, "name", Text),
    one(2, "group", Text),
    one(3, "kind", Text),
    list(4, "causes", Kind::Message(&STATUS_CAUSE)),
    one(5, "retryAfterSeconds", Number),
    one(6, "uid", Text),
]);
static STATUS_CAUSE: Message =
    Message(&[one(1, "reason", Text), one(2, "message", Text), one(3, "field", Text)]);

/// What is read of the object in a bookmark, of whatever kind it is.
pub(super) static BOOKMARK: Message = Message(&[one(1, "metadata", Kind::Message(&BOOKMARK_METADATA))]);
static BOOKMARK_METADATA: Message = Message(&[one(6, "resourceVersion", Text), one(12, "annotations", Map)]);

/// The message of a kind, if it is known.
pub(super) fn message(api_version: &str, kind: &str) -> Option<&'static Message> {
    Some(match (api_version, kind) {
        ("v1", "Pod") => &POD,
        ("v1", "PodList") => &POD_LIST,
        ("v1", "Endpoints") => &ENDPOINTS,
        ("v1", "EndpointsList") => &ENDPOINTS_LIST,
        ("discovery.k8s.io/v1", "EndpointSlice") => &ENDPOINT_SLICE,
        ("discovery.k8s.io/v1", "EndpointSliceList") => &ENDPOINT_SLICE_LIST,
        ("v1", "Status") => &STATUS,
        _ => return None,
    })
}

/// The message of a kind, if all of it that can be written is known.
pub(super) fn writable(api_version: &str, kind: &str) -> Option<&'static Message> {
    matches!(kind, "Endpoints" | "EndpointSlice").then(|| message(api_version, kind)).flatten()
}

/// Can objects of this kind be read in protobuf? `api_version` has the group before it, as in the objects.
#[must_use]
pub fn is_known(api_version: &str, kind: &str) -> bool {
    message(api_version, kind).is_some()
}
