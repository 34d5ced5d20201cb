//! The CustomResourceDefinitions, as they are applied to a cluster.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube_core::CustomResourceExt;
use serde_json::Value;

use crate::{Layer2Announcement, LoadBalancerAddress, LoadBalancerPool, ServiceReservation};

/// The definitions of all kinds.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![
        definition::<LoadBalancerPool>(),
        definition::<Layer2Announcement>(),
        definition::<LoadBalancerAddress>(),
        definition::<ServiceReservation>(),
    ]
}

/// The definition of one kind.
///
/// `K::crd()` is for Rust: it lets optional fields be null, has defaults that are as good as absent, and breaks the lines
/// of descriptions as the source does. Here null is dropped by the API server, as in the kinds of Kubernetes.
#[must_use]
pub fn definition<K: CustomResourceExt>() -> CustomResourceDefinition {
    let mut definition = K::crd();
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut().and_then(|validation| validation.open_api_v3_schema.as_mut());
        if let Some(root) = schema {
            root.title = None;
            tidy(root);
        }
    }
    definition
}

fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if schema.default.as_ref().is_some_and(|default| says_nothing(&default.0)) {
        schema.default = None;
    }
    if let Some(description) = &mut schema.description {
        let paragraphs = description.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
        *description = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(tidy);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}

/// Whether it is what a field is read as that is absent.
fn says_nothing(default: &Value) -> bool {
    match default {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A definition as YAML, as it is in `config/crd`.
///
/// # Errors
/// When it cannot be written as YAML, which would be a bug.
#[cfg(feature = "yaml")]
pub fn yaml(definition: &CustomResourceDefinition) -> Result<String, serde_saphyr::SerializeError> {
    let mut value = serde_json::to_value(definition).map_err(|error| error.to_string())?;
    make_whole(&mut value);
    serde_saphyr::to_string(&value)
}

/// Bounds are floating-point numbers in Rust, and whole ones in every definition that people write.
#[cfg(feature = "yaml")]
fn make_whole(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let whole =
                number.as_f64().filter(|float| float.fract() == 0.0).map(|float| format!("{float:.0}"));
            if let Some(whole) = whole.and_then(|text| text.parse::<i64>().ok()) {
                *value = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_whole),
        Value::Object(fields) => fields.values_mut().for_each(make_whole),
        _ => {}
    }
}
