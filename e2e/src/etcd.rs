//! What the lab asks of etcd itself, through its JSON gateway.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use crate::control_plane::ETCD_PORT;
use crate::error::{Error, Result};
use crate::host::Host;

/// Forgets all versions but the newest, and returns that one.
pub(crate) async fn compact(host: &Host) -> Result<u64> {
    // Any key: the answer's header has the version.
    let answer = ask(host, "/v3/kv/range", json!({ "key": "AA==" })).await?;
    let version = answer["header"]["revision"].as_str().and_then(|text| text.parse().ok()).unwrap_or(0);
    ask(host, "/v3/kv/compaction", json!({ "revision": version.to_string() })).await?;
    Ok(version)
}

async fn ask(host: &Host, path: &str, body: Value) -> Result<Value> {
    let to = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), ETCD_PORT);
    let response = host.exchange(to, path, Some(body.to_string())).await?;
    match serde_json::from_str(&response.body) {
        Ok(answer) if response.status == 200 => Ok(answer),
        _ => Err(Error::Http {
            from: host.name().to_owned(),
            url: format!("http://{to}{path}"),
            reason: format!("etcd answered {}: {}", response.status, response.body.trim()),
        }),
    }
}
