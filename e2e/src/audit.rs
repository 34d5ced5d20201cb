//! Who wrote what: the API servers' audit log.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Context, Error, Result};

/// Writes to the API, but for reviews of access, which change nothing; without what was written.
const POLICY: &str = r#"{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
    {"level": "None", "resources": [{"group": "authentication.k8s.io"}, {"group": "authorization.k8s.io"}]},
    {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]}]}"#;

/// A write that an API server was asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditedWrite {
    /// When the request arrived: RFC 3339 to the microsecond in UTC, so that text sorts by time.
    pub received: String,
    /// When it was answered, likewise.
    pub answered: String,
    /// User, such as `system:serviceaccount:fairlead-system:fairlead-manager`.
    pub user: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// Resource in its plural, with the subresource: `endpointslices`, `pods/status`.
    pub resource: String,
    /// Namespace; empty for what has none.
    pub namespace: String,
    /// Name; empty if the API server was to draw one.
    pub name: String,
    /// Status of the answer; refused writes are in the log, too.
    pub code: u16,
}

/// The flags of an API server that make it log to this folder.
pub(crate) fn flags(folder: &Path, server: u8) -> Result<[String; 4]> {
    let policy = folder.join("policy.json");
    fs::create_dir_all(folder).context(|| format!("making {}", folder.display()))?;
    fs::write(&policy, POLICY).context(|| format!("writing {}", policy.display()))?;
    Ok([
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", log(folder, server).display()),
        // What was answered is in the log, and all of it in one file.
        "--audit-log-mode=blocking".to_owned(),
        "--audit-log-maxsize=100000".to_owned(),
    ])
}

fn log(folder: &Path, server: u8) -> PathBuf {
    folder.join(format!("audit-{}.log", server + 1))
}

/// Everything that the first `servers` API servers have logged, by time.
pub(crate) fn read(folder: &Path, servers: u8) -> Result<Vec<AuditedWrite>> {
    let mut writes = Vec::new();
    for server in 0..servers {
        let path = log(folder, server);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && folder.exists() => continue,
            text => text.context(|| format!("reading {}", path.display()))?,
        };
        for line in text.lines() {
            let event = serde_json::from_str(line).map_err(|error| {
                Error::Invalid(format!("{} has a line that is no event: {error}", path.display()))
            })?;
            writes.push(write(&event));
        }
    }
    writes.sort();
    Ok(writes)
}

fn write(event: &Value) -> AuditedWrite {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["objectRef"];
    let resource = match object["subresource"].as_str() {
        Some(subresource) => format!("{}/{subresource}", text(&object["resource"])),
        None => text(&object["resource"]),
    };
    AuditedWrite {
        received: text(&event["requestReceivedTimestamp"]),
        answered: text(&event["stageTimestamp"]),
        user: text(&event["user"]["username"]),
        user_agent: text(&event["userAgent"]),
        verb: text(&event["verb"]),
        resource,
        namespace: text(&object["namespace"]),
        name: text(&object["name"]),
        code: event["responseStatus"]["code"]
            .as_u64()
            .and_then(|code| code.try_into().ok())
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_the_log_is_read() {
        let event = serde_json::json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": "ResponseComplete", "verb": "patch",
            "user": {"username": "system:admin"}, "userAgent": "fairlead/0.1.0 (manager)",
            "objectRef": {"resource": "pods", "namespace": "shop", "name": "web-1", "apiVersion": "v1", "subresource": "status"},
            "responseStatus": {"metadata": {}, "code": 200},
            "requestReceivedTimestamp": "2026-11-21T10:00:00.000001Z", "stageTimestamp": "2026-11-21T10:00:00.000002Z"
        });
        let expected = AuditedWrite {
            received: "2026-11-21T10:00:00.000001Z".into(),
            answered: "2026-11-21T10:00:00.000002Z".into(),
            user: "system:admin".into(),
            user_agent: "fairlead/0.1.0 (manager)".into(),
            verb: "patch".into(),
            resource: "pods/status".into(),
            namespace: "shop".into(),
            name: "web-1".into(),
            code: 200,
        };
        assert_eq!(write(&event), expected);
    }
}
