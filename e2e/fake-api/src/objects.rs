//! Creates, updates and deletes, as the registry of an API server does them.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::Shared;
use crate::answer::{Answer, Refusal, object};
use crate::kinds::Kind;
use crate::request::Target;
use crate::store::Author;

type Outcome = Result<Answer, Refusal>;

/// Fields of the metadata that belong to the server.
const SERVERS: [&str; 5] =
    ["uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"];
/// The most that the API server keeps of a `generateName`.
const LONGEST_PREFIX: usize = 58;

fn metadata(body: &mut Value) -> Result<&mut Map<String, Value>, Refusal> {
    let body = body.as_object_mut().ok_or_else(|| Refusal::bad_request("the body is no object"))?;
    let metadata = body.entry("metadata").or_insert_with(|| json!({}));
    metadata.as_object_mut().ok_or_else(|| Refusal::bad_request("metadata is no object"))
}

/// Is a list or map absent or empty?
fn is_empty(value: &Value) -> bool {
    value.as_array().is_none_or(Vec::is_empty) && value.as_object().is_none_or(Map::is_empty)
}

impl Shared {
    pub(crate) fn create(&self, target: &Target, mut body: Value) -> Outcome {
        let kind = target.kind;
        let mut state = self.state.lock();
        let (uid, now) = (state.new_uid(), self.timestamp());
        let given = metadata(&mut body)?;
        let mut name = given.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(prefix) = given.get("generateName").and_then(Value::as_str).filter(|_| name.is_empty()) {
            let mut prefix = prefix.to_owned();
            prefix.truncate(LONGEST_PREFIX);
            name = format!("{prefix}{}", state.name_suffix(&prefix));
        }
        if name.is_empty() {
            let message = format!("{} \"\" is invalid: metadata.name: Required value", kind.kind);
            return Err(Refusal::invalid(message));
        }
        if given.get("resourceVersion").is_some_and(|version| version != "") {
            return Err(Refusal::bad_request("resourceVersion should not be set on objects to be created"));
        }
        for field in SERVERS {
            given.remove(field);
        }
        given.insert("name".into(), name.clone().into());
        given.insert("uid".into(), uid.into());
        given.insert("creationTimestamp".into(), now.into());
        if kind.namespaced {
            given.insert("namespace".into(), target.namespace.clone().into());
        }
        if kind.has_generation {
            given.insert("generation".into(), 1.into());
        }
        if kind.has_status {
            body["status"] = kind.first_phase.map_or_else(|| json!({}), |phase| json!({"phase": phase}));
        }
        complete(&mut body, target);
        let key = (target.namespace.clone(), name.clone());
        if state.store.get(kind, &key).is_some() {
            return Err(Refusal::already_exists(kind, &name));
        }
        if state.terminating_namespaces.contains(&target.namespace) {
            return Err(Refusal::namespace_terminating(kind, &name, &target.namespace));
        }
        let stored = state.store.commit(kind, key, Some(body), Author::Client);
        Ok(object(StatusCode::CREATED, &stored))
    }

    /// Replaces an object, or its status alone.
    pub(crate) fn update(&self, target: &Target, mut body: Value) -> Outcome {
        let (kind, name) = (target.kind, target.name.as_str());
        let mut state = self.state.lock();
        let key = (target.namespace.clone(), name.to_owned());
        let old = state.store.get(kind, &key).ok_or_else(|| Refusal::not_found(kind, name))?;
        let given = metadata(&mut body)?;
        if given.get("name").is_some_and(|given| given != name) {
            return Err(Refusal::bad_request("the name of the object does not match the name on the URL"));
        }
        if let Some(uid) = given.get("uid").filter(|uid| **uid != "" && **uid != old["metadata"]["uid"]) {
            let why = format!("Precondition failed: UID in precondition: {uid}");
            return Err(Refusal::conflict(kind, name, &why));
        }
        let version = given.remove("resourceVersion").unwrap_or_default();
        if !(version.is_null() || version == "" || version == old["metadata"]["resourceVersion"]) {
            return Err(Refusal::modified(kind, name));
        }
        for field in SERVERS {
            given.remove(field);
            if let Some(value) = old["metadata"].get(field) {
                given.insert(field.into(), value.clone());
            }
        }
        given.insert("name".into(), name.into());
        if kind.namespaced {
            given.insert("namespace".into(), target.namespace.clone().into());
        }
        let mut new = if target.subresource == "status" {
            let mut new = (*old).clone();
            new["status"] = body["status"].take();
            new
        } else {
            if kind.has_status {
                body["status"] = old["status"].clone();
            }
            complete(&mut body, target);
            body
        };
        if kind.has_generation && differs(kind, &old, &new) {
            new["metadata"]["generation"] = (old["metadata"]["generation"].as_i64().unwrap_or(0) + 1).into();
        }
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
        if *old == new {
            return Ok(object(StatusCode::OK, &old));
        }
        let is_over =
            !new["metadata"]["deletionTimestamp"].is_null() && is_empty(&new["metadata"]["finalizers"]);
        if is_over && !is_empty(&old["metadata"]["finalizers"]) {
            state.store.commit(kind, key, None, Author::Client);
            return Ok(object(StatusCode::OK, &new));
        }
        let stored = state.store.commit(kind, key, Some(new), Author::Client);
        Ok(object(StatusCode::OK, &stored))
    }

    /// Changes what a patch names, of an object or of its status alone.
    pub(crate) fn patch(&self, target: &Target, content_type: &str, patch: &Value) -> Outcome {
        let key = (target.namespace.clone(), target.name.clone());
        let old = self.state.lock().store.get(target.kind, &key);
        let old = old.ok_or_else(|| Refusal::not_found(target.kind, &target.name))?;
        let mut body = Value::clone(&old);
        if let Ok(metadata) = metadata(&mut body) {
            // Only a version that the patch names is a precondition.
            metadata.remove("resourceVersion");
        }
        match content_type {
            "application/merge-patch+json" => merge(&mut body, patch, false),
            // The API server has no such patches for custom resources.
            "application/strategic-merge-patch+json" if target.kind.version == "v1" => {
                merge(&mut body, patch, true);
            }
            _ => return Err(Refusal::unsupported_media_type()),
        }
        let (wanted, is) = (&patch["metadata"], &old["metadata"]);
        let names_another = |field: &str| !wanted[field].is_null() && wanted[field] != is[field];
        if !names_another("resourceVersion") && names_another("uid") {
            // The version is looked at first, and this by validation.
            let why = format!("metadata.uid: Invalid value: {}: field is immutable", wanted["uid"]);
            return Err(Refusal::invalid(format!(
                "{} \"{}\" is invalid: {why}",
                target.kind.kind, target.name
            )));
        }
        self.update(target, body)
    }

    pub(crate) fn delete(&self, target: &Target, options: &Value, author: Author) -> Outcome {
        let (kind, name) = (target.kind, target.name.as_str());
        let mut state = self.state.lock();
        let key = (target.namespace.clone(), name.to_owned());
        let old = state.store.get(kind, &key).ok_or_else(|| Refusal::not_found(kind, name))?;
        for (field, text) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
            let (wanted, is) = (&options["preconditions"][field], &old["metadata"][field]);
            if !wanted.is_null() && wanted != is {
                let why = format!(
                    "Precondition failed: {text} in precondition: {wanted}, {text} in object meta: {is}"
                );
                return Err(Refusal::conflict(kind, name, &why));
            }
        }
        // Only Pods on a Node have a time to end in.
        let on_node =
            kind.kind == "Pod" && old["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
        let grace = options["gracePeriodSeconds"].as_u64().unwrap_or(if on_node { 30 } else { 0 });
        let held = !is_empty(&old["metadata"]["finalizers"]) || (on_node && grace > 0);
        if !held {
            let uid = &old["metadata"]["uid"];
            state.store.commit(kind, key, None, author);
            let details = json!({"name": name, "group": kind.group, "kind": kind.plural, "uid": uid});
            let success = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
            return Ok(object(StatusCode::OK, &success));
        }
        if !old["metadata"]["deletionTimestamp"].is_null() {
            return Ok(object(StatusCode::OK, &old));
        }
        let mut new = Arc::unwrap_or_clone(old);
        new["metadata"]["deletionTimestamp"] = self.timestamp().into();
        new["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        if let Some(generation) = new["metadata"]["generation"].as_i64() {
            new["metadata"]["generation"] = (generation + 1).into();
        }
        let stored = state.store.commit(kind, key, Some(new), author);
        Ok(object(StatusCode::OK, &stored))
    }
}

/// Kind and version are in every answer, whether or not they were in the request.
fn complete(body: &mut Value, target: &Target) {
    body["kind"] = target.kind.kind.into();
    body["apiVersion"] = target.kind.api_version().into();
}

/// Does the generation grow? It does with everything but metadata and status; for EndpointSlices with labels, too.
pub(crate) fn differs(kind: &Kind, old: &Value, new: &Value) -> bool {
    let content = |object: &Value| {
        let mut content = object.clone();
        content["metadata"] = Value::Null;
        if kind.has_status {
            content["status"] = Value::Null;
        }
        content
    };
    let labels =
        |object: &Value| Some(object["metadata"]["labels"].clone()).filter(|labels| !is_empty(labels));
    let is_slice = kind.kind == "EndpointSlice";
    (is_slice && labels(old) != labels(new)) || content(old) != content(new)
}

/// Merges a patch into a value: as JSON (RFC 7396), or strategically, where conditions are merged by their type and other
/// lists are replaced.
fn merge(value: &mut Value, patch: &Value, strategic: bool) {
    let Value::Object(patch) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = json!({});
    }
    for (key, change) in patch {
        match (change, &mut value[key.as_str()]) {
            (Value::Null, _) => {
                value.as_object_mut().map(|object| object.remove(key));
            }
            (Value::Array(changes), Value::Array(known)) if strategic && key == "conditions" => {
                for change in changes {
                    merge_condition(known, change);
                }
            }
            (change, known) => merge(known, change, strategic),
        }
    }
}

fn merge_condition(conditions: &mut Vec<Value>, change: &Value) {
    let at = conditions.iter().position(|known| known["type"] == change["type"]);
    match (change["$patch"] == "delete", at) {
        (true, Some(at)) => {
            conditions.remove(at);
        }
        (true, None) => {}
        (false, Some(at)) => merge(&mut conditions[at], change, true),
        (false, None) => conditions.push(change.clone()),
    }
}
