//! Protobuf against what Kubernetes itself writes.

#![expect(clippy::unwrap_used, reason = "the functions that are not tests serve tests only")]

mod decoding;
mod encoding;

use serde::Deserialize;
use serde_json::Value;

/// An object as `capture.go` has written it.
#[derive(Deserialize)]
struct Captured {
    name: String,
    protobuf: String,
    json: Value,
}

impl Captured {
    fn all() -> Vec<Self> {
        let lines = include_str!("of-kubernetes-1.36.jsonl").lines();
        lines.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn find(name: &str) -> Self {
        Self::all().into_iter().find(|captured| captured.name == name).unwrap()
    }

    fn bytes(&self) -> Vec<u8> {
        let digits = self.protobuf.as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    fn is_event(&self) -> bool {
        self.json["kind"].is_null()
    }

    /// As it comes out of our decoder.
    fn decoded(&self) -> Value {
        let bytes = self.bytes();
        let json = if self.is_event() {
            let mut line = Vec::new();
            fairlead_objects::protobuf::watch_event_to_json(&bytes, &mut line).unwrap();
            line
        } else {
            fairlead_objects::protobuf::to_json(&bytes).unwrap()
        };
        serde_json::from_slice(&json).unwrap()
    }
}
