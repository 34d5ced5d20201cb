//! Of which cluster this node is.

use std::time::Duration;

use fairlead_layer2::ClusterId;
use fairlead_machinery::write::Writer;
use fairlead_objects::{Namespace, Record};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Between attempts to learn of which cluster this node is.
const RETRY: Duration = Duration::from_secs(2);

/// The cluster that this node is of, as soon as the API server says so; `None` if `stop` comes before.
pub async fn cluster(writer: &Writer, stop: &CancellationToken) -> Option<ClusterId> {
    #[derive(Deserialize)]
    struct Identified {
        metadata: Metadata,
    }
    #[derive(Deserialize)]
    struct Metadata {
        uid: String,
    }
    let ask = async {
        let mut told = false;
        loop {
            match writer.read::<Identified>(&Namespace::RESOURCE, "", "kube-system").await {
                Ok(namespace) => return ClusterId::of(&namespace.metadata.uid),
                Err(error) if told => debug!(%error, "still not known which cluster this is"),
                Err(error) => {
                    warn!(%error, "nothing is announced before it is known which cluster this is; trying again");
                    told = true;
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    stop.run_until_cancelled(ask).await
}
