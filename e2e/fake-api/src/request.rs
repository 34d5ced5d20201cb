//! What a request asks for.

use std::collections::HashMap;

use http::{Method, Uri};

use crate::kinds::Kind;

/// A request's path, taken apart.
pub(crate) struct Target {
    pub(crate) kind: &'static Kind,
    /// Empty: all namespaces, or none.
    pub(crate) namespace: String,
    /// Empty: all objects.
    pub(crate) name: String,
    pub(crate) subresource: String,
}

impl Target {
    /// `/api/v1/...` or `/apis/GROUP/VERSION/...`, then `[namespaces/NAMESPACE/]PLURAL[/NAME[/SUBRESOURCE]]`.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut steps = path.trim_start_matches('/').split('/');
        let group = match steps.next()? {
            "api" => "",
            "apis" => steps.next()?,
            _ => return None,
        };
        let version = steps.next()?;
        let steps: Vec<_> = steps.collect();
        let (namespace, steps) = match steps[..] {
            // A namespace's own path, such as `namespaces/shop/status`, is shorter.
            ["namespaces", namespace, plural, ..] if plural != "status" => (namespace, &steps[2..]),
            _ => ("", &steps[..]),
        };
        let mut steps = steps.iter();
        let kind = Kind::find(group, steps.next()?).filter(|kind| kind.version == version)?;
        let mut rest = || (*steps.next().unwrap_or(&"")).to_owned();
        Some(Self { kind, namespace: namespace.to_owned(), name: rest(), subresource: rest() })
    }
}

/// The parameters of a query, decoded.
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    pub(crate) fn parse(uri: &Uri) -> Self {
        let pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        Self(pairs.map(|(key, value)| (decode(key), decode(value))).collect())
    }

    /// Empty if it is not given.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    pub(crate) fn is_true(&self, key: &str) -> bool {
        matches!(self.text(key), "true" | "1")
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.text(key).parse().ok()
    }
}

/// Percent-decoding of a form value.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |digit: Option<u8>| char::from(digit.unwrap_or(b'0')).to_digit(16).unwrap_or(0);
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => u8::try_from(hex(rest.next()) * 16 + hex(rest.next())).unwrap_or(b'?'),
            byte => byte,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a request is, for the dice of the weather: the same one gets the same fate, whatever else happens.
pub(crate) fn identity(method: &Method, target: &Target, watch: bool) -> String {
    let Target { kind, namespace, name, .. } = target;
    format!("{method}{} {} {namespace}/{name}", if watch { " watch" } else { "" }, kind.plural)
}
