//! The API servers' audit log: who wrote what, and when.

use std::fs;
use std::io::BufRead;
use std::path::PathBuf;

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use crate::control_plane::subfolder;
use crate::error::{Context, Result};
use crate::site::Site;

/// Writes, once they are answered.
const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
    verbs: [create, update, patch, delete, deletecollection]
";

/// A write that an API server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audited {
    /// When it arrived, to the microsecond.
    pub received: Timestamp,
    /// When it was answered.
    pub answered: Timestamp,
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// Plural, with the subresource after a slash if there is one.
    pub resource: String,
    /// Namespace; empty without one.
    pub namespace: String,
    /// Name; empty if the API server was to make it.
    pub name: String,
    /// HTTP status of the answer.
    pub code: u16,
    /// User name.
    pub user: String,
    /// User agent.
    pub agent: String,
}

impl Audited {
    /// Was it done?
    #[must_use]
    pub fn is_done(&self) -> bool {
        (200..300).contains(&self.code)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
    verb: String,
    #[serde(default)]
    user_agent: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    #[serde(default)]
    response_status: Status,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
}

fn folder(site: &Site) -> PathBuf {
    subfolder(site, "audit")
}

/// The flags of an API server of this name, for which a policy is written.
pub(crate) fn flags(site: &Site, name: &str) -> Result<Vec<String>> {
    let (folder, policy) = (folder(site), folder(site).join("policy.yaml"));
    fs::create_dir_all(&folder).context(|| format!("making {}", folder.display()))?;
    fs::write(&policy, POLICY).context(|| format!("writing {}", policy.display()))?;
    Ok(vec![
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", folder.join(format!("{name}.log")).display()),
        // A write is in the log before it is answered.
        "--audit-log-mode=blocking".to_owned(),
    ])
}

/// All that the API servers have written.
pub(crate) fn read(site: &Site) -> Result<Vec<Audited>> {
    let folder = folder(site);
    let mut audited = Vec::new();
    for entry in fs::read_dir(&folder).context(|| format!("reading {}", folder.display()))? {
        let path = entry.context(|| format!("reading {}", folder.display()))?.path();
        if path.extension().is_none_or(|extension| extension != "log") {
            continue;
        }
        let file = fs::File::open(&path).context(|| format!("reading {}", path.display()))?;
        for line in std::io::BufReader::new(file).lines() {
            let line = line.context(|| format!("reading {}", path.display()))?;
            // The last line may still be in the making.
            let Ok(line) = serde_json::from_str::<Line>(&line) else { continue };
            audited.push(Audited::from(line));
        }
    }
    audited.sort_by_key(|write| write.received);
    Ok(audited)
}

impl From<Line> for Audited {
    fn from(line: Line) -> Self {
        let ObjectRef { mut resource, subresource, namespace, name } = line.object_ref;
        if !subresource.is_empty() {
            resource = format!("{resource}/{subresource}");
        }
        Self {
            received: line.request_received_timestamp,
            answered: line.stage_timestamp,
            verb: line.verb,
            resource,
            namespace,
            name,
            code: line.response_status.code,
            user: line.user.username,
            agent: line.user_agent,
        }
    }
}
