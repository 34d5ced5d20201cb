//! Asking the API server for the Lease.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::PostParams;
use kube::core::Status;

use super::timer::sleep_until;
use super::{Input, Request, Seen};
use crate::client::chain;
use crate::clock::Clock;

/// The Lease of one name.
#[derive(Clone)]
pub(super) struct Remote {
    pub(super) api: Api<Lease>,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) clock: Clock,
}

/// How a request ended: what the elector is told, and what people are told if it failed.
pub(super) struct Answer {
    pub(super) input: Input,
    pub(super) trouble: Option<String>,
}

impl Remote {
    /// Sends the request, and gives up at `deadline`, a time of the clock.
    pub(super) async fn ask(self, request: Request, deadline: Duration) -> Answer {
        let sent = self.clock.now();
        let written = |lease: Lease| Input::Written { sent, seen: Seen(lease) };
        let post = PostParams::default();
        let verb = match &request {
            Request::Read => "get",
            Request::Create(_) => "create",
            Request::Replace(_) => "update",
        };
        let exchange = async {
            match &request {
                Request::Read => self.api.get_opt(&self.name).await.map(|lease| Input::Read(lease.map(Seen))),
                Request::Create(lease) => self.api.create(&post, lease).await.map(written),
                Request::Replace(lease) => self.api.replace(&self.name, &post, lease).await.map(written),
            }
        };
        let (input, reason) = tokio::select! {
            // An answer that is there counts, also when the clock has passed the deadline: the elector looks at it itself.
            biased;
            answer = exchange => match answer {
                Ok(input) => return Answer { input, trouble: None },
                Err(error) => refused(&request, &error),
            },
            () = sleep_until(&self.clock, deadline) => {
                let waited = deadline.saturating_sub(sent);
                (Input::Failed, format!("the API server gave no answer within {waited:.1?}"))
            }
        };
        let trouble = reason_matters(&input)
            .then(|| format!("cannot {verb} Lease {}/{}: {reason}", self.namespace, self.name));
        Answer { input, trouble }
    }
}

/// A conflict is how others who write the Lease are noticed, and nobody's trouble.
fn reason_matters(input: &Input) -> bool {
    !matches!(input, Input::Conflict)
}

/// What a refusal means, and why it was.
fn refused(request: &Request, error: &kube::Error) -> (Input, String) {
    let kube::Error::Api(status) = error else { return (Input::Failed, chain(error)) };
    match (status.code, request) {
        (409, Request::Create(_) | Request::Replace(_)) | (404, Request::Replace(_)) => {
            (Input::Conflict, status.message.clone())
        }
        _ => (Input::Failed, with_advice(status)),
    }
}

/// What the API server says, and what to do about it.
pub(super) fn with_advice(status: &Status) -> String {
    let advice = match status.code {
        // The right is missing, or the namespace: the same manifests bring both.
        403 | 404 => "; the manifests in config/rbac give what is needed",
        _ => "",
    };
    format!("{}{advice}", status.message)
}
