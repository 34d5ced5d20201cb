//! The process ends between any two steps, or an answer is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fairlead_fake_api::{FakeApi, POOLS, RESERVATIONS, SERVICES};
use serde_json::json;
use tokio::sync::Notify;

use crate::process::Process;
use crate::world::{
    NAMESPACE, SOON, api, crimes, published_of, put_pool, put_service, until, until_right, writes_after,
};

/// Where a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Just before the request is sent.
    Before,
    /// When it is done, and its answer on the way.
    After,
    /// Not at all, but the answer is lost.
    AnswerLost,
}

/// A client through which requests are counted, and that comes to an end at one of them.
struct Fuse {
    sent: Arc<AtomicUsize>,
    blown: Arc<Notify>,
}

impl Fuse {
    fn client(api: &FakeApi, at: usize, moment: Moment) -> (kube::Client, Self) {
        let (sent, blown) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let fuse = Self { sent: Arc::clone(&sent), blown: Arc::clone(&blown) };
        let client = api.client();
        let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
            let (client, sent, blown) = (client.clone(), Arc::clone(&sent), Arc::clone(&blown));
            async move {
                // The questions about MetalLB and the speakers' key at the start are part of nothing.
                let path = request.uri().path();
                let counts = !["/metallb.io", "/secrets/fairlead-beacon-key", "/secrets"]
                    .iter()
                    .any(|asked| path.ends_with(asked));
                let is_it = counts && sent.fetch_add(1, Ordering::SeqCst) == at;
                if is_it && moment == Moment::Before {
                    blown.notify_one();
                    std::future::pending::<()>().await;
                }
                let answer = client.send(request).await;
                if is_it {
                    blown.notify_one();
                    if moment == Moment::AnswerLost {
                        return Err(kube::Error::Service("connection reset by peer".into()));
                    }
                    std::future::pending::<()>().await;
                }
                answer
            }
        });
        (kube::Client::new(service, "default"), fuse)
    }
}

/// Something that is to be done to Services that have their addresses.
type Change = fn(&FakeApi);

const CHANGES: [(&str, Change); 6] = [
    ("a Service is created", |api| put_service(api, "new")),
    ("a Service is deleted", |api| {
        api.delete(&SERVICES, NAMESPACE, "web");
    }),
    ("a Service is deleted and created anew", |api| {
        api.delete(&SERVICES, NAMESPACE, "web");
        put_service(api, "web");
    }),
    ("a Service asks for another address", |api| {
        let taken = published_of(api, "web");
        let other = (1..14)
            .map(|it| format!("198.51.100.{it}"))
            .find(|it| !taken.contains(it) && !published_of(api, "other").contains(it));
        api.edit(&SERVICES, NAMESPACE, "web", |it| {
            it["metadata"]["annotations"]["fairlead.dev/addresses"] = other.unwrap_or_default().into();
        });
    }),
    ("an address is reserved", |api| {
        let spec = json!({ "service": { "name": "new" }, "loadBalancer": { "pool": "public" } });
        api.put(
            &RESERVATIONS,
            json!({ "metadata": { "namespace": NAMESPACE, "name": "kept" }, "spec": spec }),
        );
        put_service(api, "new");
    }),
    ("a pool is drained", |api| {
        put_pool(api, "spare", &json!({ "addresses": ["203.0.113.0/28"] }));
        api.edit(&POOLS, "", "public", |it| it["spec"]["drain"] = true.into());
    }),
];

/// Whatever is done, and whenever the process ends meanwhile: the next one finishes it, nobody ever has the address of
/// somebody else, nothing is left over, and who is not concerned keeps his address.
#[tokio::test(start_paused = true)]
async fn an_end_at_any_moment_leaves_nothing_wrong() {
    let mut ends = 0;
    for (what, change) in CHANGES {
        for moment in [Moment::Before, Moment::After, Moment::AnswerLost] {
            for at in 0.. {
                let context = format!("{what}, {moment:?} request {at}");
                let api = api(1);
                for name in ["web", "other"] {
                    put_service(&api, name);
                }
                let mut first = Process::start(&api);
                until_right(&api, SOON, &context).await;
                tokio::time::sleep(SOON).await;
                let untouched = published_of(&api, "other");
                first.kill();

                let (client, fuse) = Fuse::client(&api, at, moment);
                let mut process = Process::start_with(&api, client);
                tokio::time::sleep(SOON).await;
                assert_eq!(fuse.sent.load(Ordering::SeqCst), 0, "{context}: a start sends nothing");
                change(&api);
                // The last step of draining comes a minute later.
                let blown = tokio::time::timeout(SOON * 20, fuse.blown.notified()).await.is_ok();
                if blown && moment != Moment::AnswerLost {
                    process.kill();
                    // So late that the first watch of the next one does not see what the killed one wrote as news.
                    process = Process::start(&api);
                }
                let limit = SOON * 30;
                until_right(&api, limit, &context).await;
                if what == "a pool is drained" {
                    let moved =
                        |name: &str| published_of(&api, name).iter().all(|it| it.starts_with("203.0.113."));
                    let missing =
                        || (!moved("web") || !moved("other")).then(|| "still in the old pool".to_owned());
                    until("move", limit, missing).await;
                    until_right(&api, limit, &context).await;
                } else {
                    assert_eq!(published_of(&api, "other"), untouched, "{context}");
                }
                assert_eq!(crimes(&api), [""; 0], "{context}");
                // The status of the pool follows.
                tokio::time::sleep(SOON).await;
                let version = api.version();
                tokio::time::sleep(SOON * 10).await;
                assert_eq!(writes_after(&api, version), [], "{context}: all was done");
                process.kill();
                if !blown {
                    assert!(at >= 2, "{context}: it takes more than {at} requests");
                    break;
                }
                ends += 1;
            }
        }
    }
    assert!(ends > 40, "{ends} ends");
}
