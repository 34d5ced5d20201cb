//! The Secret with which speakers authenticate to each other.

use std::collections::BTreeMap;
use std::time::Duration;

use fairlead_machinery::write::{WriteError, WriteFailure};
use fairlead_objects::Resource;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use ring::rand::{SecureRandom, SystemRandom};
use serde::de::IgnoredAny;

use super::Controller;

/// Name of the Secret.
const NAME: &str = "fairlead-beacon-key";
/// Its only entry; the one whose name sorts last is what speakers send with.
const ENTRY: &str = "1";
/// As long as the hash that is made with it.
const KEY_LENGTH: usize = 32;
/// Between attempts.
const RETRY: Duration = Duration::from_secs(30);

const SECRETS: Resource =
    Resource { group: "", version: "v1", kind: "Secret", plural: "secrets", namespaced: true };

impl Controller {
    /// Makes the key if there is none, as soon as something may be written.
    pub(super) async fn provide_beacon_key(&self) {
        loop {
            self.writer.permit().granted().await;
            // What is in it is of no interest here.
            if self.writer.read::<IgnoredAny>(&SECRETS, &self.settings.namespace, NAME).await.is_ok() {
                return;
            }
            let mut key = [0; KEY_LENGTH];
            if SystemRandom::new().fill(&mut key).is_err() {
                tracing::error!(
                    "the system gives no random numbers, so there is no Secret {NAME} for the speakers"
                );
                return;
            }
            let namespace = &self.settings.namespace;
            let secret = secret(namespace, &key);
            match self.writer.create_named::<IgnoredAny>(&SECRETS, namespace, NAME, &secret).await {
                Ok(_) => {
                    tracing::info!(
                        "created the Secret {namespace}/{NAME}, with which speakers authenticate to each other"
                    );
                    return;
                }
                Err(WriteError { kind: WriteFailure::AlreadyExists(_), .. }) => return,
                Err(WriteError { kind: WriteFailure::NotPermitted, .. }) => continue,
                Err(error) => match &error.kind {
                    WriteFailure::Refused(_) | WriteFailure::NotFound(_) => {
                        tracing::info!(%error, "speakers need a Secret that somebody else has to make then");
                        return;
                    }
                    _ => tracing::debug!(%error, "trying again"),
                },
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn secret(namespace: &str, key: &[u8]) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(ENTRY.to_owned(), ByteString(key.to_vec()))])),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_has_one_key() {
        let sent = serde_json::to_value(secret("fairlead-system", &[0xff; KEY_LENGTH])).unwrap();
        assert_eq!(sent["metadata"]["name"], NAME);
        assert_eq!(sent["data"][ENTRY], "//////////////////////////////////////////8=");
    }
}
