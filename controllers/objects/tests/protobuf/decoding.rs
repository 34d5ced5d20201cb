//! What comes from the API server.

use std::fmt::Debug;

use fairlead_objects::protobuf::{Malformed, is_protobuf, to_json, watch_event_to_json};
use fairlead_objects::{Endpoints, Pod, Slice};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Captured;

fn same_record<R: DeserializeOwned + Debug>(name: &str) {
    let captured = Captured::find(name);
    let of_json: R = serde_json::from_value(captured.json.clone()).unwrap();
    let of_protobuf: R = serde_json::from_value(captured.decoded()).unwrap();
    assert_eq!(format!("{of_protobuf:#?}"), format!("{of_json:#?}"), "{name}");
}

#[test]
fn records_are_those_of_the_json() {
    same_record::<Slice>("EndpointSlice");
    same_record::<Endpoints>("Endpoints");
    same_record::<Pod>("Pod");
    same_record::<Pod>("a Pod with nothing but a name");
}

/// Where `found` says something else than `all`, which may say more.
fn contradiction(found: &Value, all: &Value) -> Option<String> {
    match (found, all) {
        (Value::Object(found), Value::Object(all)) => found.iter().find_map(|(key, value)| {
            // Numbers, lists and messages that Go leaves out when they are empty.
            let empty = [json!({}), json!([]), json!(0)];
            let expected = all.get(key);
            match expected {
                None if empty.contains(value) => None,
                _ => contradiction(value, expected.unwrap_or(&Value::Null)).map(|at| format!("{key}.{at}")),
            }
        }),
        (Value::Array(found), Value::Array(all)) if found.len() == all.len() => {
            found.iter().zip(all).find_map(|(found, all)| contradiction(found, all))
        }
        _ if found == all => None,
        _ => Some(format!(": {found} instead of {all}")),
    }
}

#[test]
fn nothing_is_told_that_the_json_does_not_tell() {
    for captured in Captured::all() {
        assert_eq!(contradiction(&captured.decoded(), &captured.json), None, "{}", captured.name);
        assert_eq!(is_protobuf(&captured.bytes()), !captured.is_event(), "{}", captured.name);
    }
}

#[test]
fn what_watches_and_lists_go_by_is_there() {
    let list = Captured::find("PodList").decoded();
    assert_eq!(
        list["metadata"],
        json!({"resourceVersion": "100", "continue": "abc", "remainingItemCount": 7})
    );
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let bookmark = Captured::find("BOOKMARK");
    let mut expected = bookmark.json.clone();
    expected["object"] = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"resourceVersion": "99", "annotations": {"k8s.io/initial-events-end": "true"}},
    });
    assert_eq!(bookmark.decoded(), expected);
    let error = Captured::find("ERROR").decoded();
    assert_eq!((&error["type"], &error["object"]["code"]), (&json!("ERROR"), &json!(429)));
    assert_eq!(error["object"]["details"]["causes"][0]["reason"], "NamespaceTerminating");
    assert_eq!(error["object"]["details"]["retryAfterSeconds"], 3);
}

#[test]
fn a_list_of_nothing_has_items() {
    // A PodList with the version 5.
    let body = b"k8s\0\x0a\x0d\x0a\x02v1\x12\x07PodList\x12\x05\x0a\x03\x12\x015";
    let list: Value = serde_json::from_slice(&to_json(body).unwrap()).unwrap();
    let expected =
        json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": "5"}, "items": []});
    assert_eq!(list, expected);
}

#[test]
fn a_kind_that_is_not_known_is_an_error_with_its_name() {
    // A runtime.Unknown with the kind Node of v1 and nothing in it.
    let Malformed { .. } = to_json(b"k8s\0\x0a\x0a\x0a\x02v1\x12\x04Node").unwrap_err();
    let error = to_json(b"k8s\0\x0a\x0a\x0a\x02v1\x12\x04Node").unwrap_err().to_string();
    assert!(error.contains("the kind Node of v1"), "{error}");
}

#[test]
fn texts_that_are_no_utf8_are_replaced() {
    // Endpoints with the name 0xff.
    let body = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Endpoints\x12\x05\x0a\x03\x0a\x01\xff";
    let endpoints: Endpoints = serde_json::from_slice(&to_json(body).unwrap()).unwrap();
    assert_eq!(endpoints.key.name, "\u{fffd}");
}

proptest! {
    #[test]
    fn cut_or_garbled_bytes_are_an_error_or_other_json(
        which in 0..Captured::all().len(),
        cut in any::<prop::sample::Index>(),
        garbled in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let captured = &Captured::all()[which];
        let mut bytes = captured.bytes();
        let at = garbled.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len()) + 1);
        let json = if captured.is_event() {
            let mut line = Vec::new();
            watch_event_to_json(&bytes, &mut line).map(|()| line)
        } else {
            to_json(&bytes)
        };
        if let Ok(json) = json {
            prop_assert!(serde_json::from_slice::<Value>(&json).is_ok(), "{}", String::from_utf8_lossy(&json));
        }
    }
}
