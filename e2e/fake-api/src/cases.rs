//! What we rely on of an API server, as statements that hold for the real one and for [`crate::FakeApi`] alike.
//!
//! Each case works in the namespace `default` on objects of its own names, with a client that may do everything. It
//! says what is wrong. Before, [`ENDING`] must be terminating.

mod patches;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use futures::StreamExt;
use http::Request;
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use self::patches::{
    a_merge_patch_names_what_changes, a_patch_asks_for_the_version_and_the_uid,
    a_strategic_patch_of_a_status_merges_conditions_by_type,
};

const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const PODS: &str = "/api/v1/namespaces/default/pods";
/// Longer than an event takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

type Outcome = Result<(), String>;
type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A case: what it states, and how it is tried.
pub struct Case {
    /// The statement.
    pub name: &'static str,
    run: fn(Api) -> Running,
}

impl Case {
    /// Tries it.
    ///
    /// # Errors
    /// What is not as stated.
    pub async fn run(&self, client: Client) -> Result<(), String> {
        (self.run)(Api { client }).await
    }
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        /// All cases.
        pub const CASES: &[Case] =
            &[$(Case { name: stringify!($name), run: |api| Box::pin($name(api)) }),*];
    };
}

cases![
    a_created_object_has_what_the_server_adds,
    a_name_is_generated_from_its_prefix,
    a_name_is_given_once,
    an_update_of_an_old_version_conflicts,
    an_update_of_nothing_is_not_found,
    an_update_that_changes_nothing_keeps_the_version,
    the_generation_grows_with_labels_and_content_only,
    a_delete_asks_for_the_uid,
    a_delete_of_nothing_is_not_found,
    a_finalizer_holds_a_deleted_object,
    versions_grow_over_all_resources,
    a_list_comes_in_pages_of_one_state,
    a_watch_tells_what_happened_since_a_version,
    a_streaming_list_ends_with_a_bookmark,
    a_streaming_list_needs_a_match,
    an_object_that_leaves_the_selector_is_deleted,
    a_finished_pod_leaves_the_field_selector,
    a_watch_ends_in_good_order,
    nothing_is_created_in_a_namespace_that_ends,
    a_merge_patch_names_what_changes,
    a_strategic_patch_of_a_status_merges_conditions_by_type,
    a_patch_asks_for_the_version_and_the_uid,
];

/// A case that needs a server which has forgotten its first version. A young real one has not.
pub const FORGOTTEN: Case = Case {
    name: "a_watch_from_a_forgotten_version_expires",
    run: |api| Box::pin(a_watch_from_a_forgotten_version_expires(api)),
};

/// A namespace that is terminating when the cases are run.
pub const ENDING: &str = "ending";

/// Plain requests.
struct Api {
    client: Client,
}

impl Api {
    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Body), String> {
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .body(Body::from(bytes))
            .map_err(|error| error.to_string())?;
        let answer = self.client.send(request).await.map_err(|error| format!("{method} {path}: {error}"))?;
        Ok((answer.status().as_u16(), answer.into_body()))
    }

    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), String> {
        let (code, body) = self.send(method, path, body).await?;
        let bytes = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok((code, serde_json::from_slice(&bytes).map_err(|error| format!("{method} {path}: {error}"))?))
    }

    /// A call that must succeed.
    async fn ok(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let (code, answer) = self.call(method, path, body).await?;
        if (200..300).contains(&code) { Ok(answer) } else { Err(format!("{method} {path}: {answer}")) }
    }

    /// Code and answer of a patch of this type.
    async fn patch(&self, path: &str, kind: &str, body: &Value) -> Result<(u16, Value), String> {
        let request = Request::patch(path)
            .header("content-type", format!("application/{kind}+json"))
            .header("accept", "application/json")
            .body(Body::from(body.to_string().into_bytes()))
            .map_err(|error| error.to_string())?;
        let answer = self.client.send(request).await.map_err(|error| format!("PATCH {path}: {error}"))?;
        let code = answer.status().as_u16();
        let bytes = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok((code, serde_json::from_slice(&bytes).map_err(|error| format!("PATCH {path}: {error}"))?))
    }

    async fn create(&self, slice: &Value) -> Result<Value, String> {
        self.ok("POST", SLICES, Some(slice)).await
    }

    async fn update(&self, slice: &Value) -> Result<Value, String> {
        self.ok("PUT", &path(slice), Some(slice)).await
    }

    async fn delete(&self, slice: &Value) -> Result<Value, String> {
        self.ok("DELETE", &path(slice), None).await
    }

    /// A call that must fail with this code and reason.
    async fn fails(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        code: u16,
        reason: &str,
    ) -> Outcome {
        let (got, answer) = self.call(method, path, body).await?;
        is(json!([got, answer["reason"]]), json!([code, reason]), &format!("{method} {path}"))
    }

    async fn watch(&self, path: &str, query: &str) -> Result<Watch, String> {
        let path = format!("{path}?watch=true&{query}");
        let (code, body) = self.send("GET", &path, None).await?;
        if code != 200 {
            return Err(format!("{path}: {code}"));
        }
        Ok(Watch { body, read: Vec::new() })
    }
}

/// The events of a watch.
struct Watch {
    body: Body,
    read: Vec<u8>,
}

impl Watch {
    /// The next event that is no bookmark, or one that ends the list; `None` at the end.
    async fn next(&mut self) -> Result<Option<Value>, String> {
        loop {
            let Some(event) =
                tokio::time::timeout(PATIENCE, self.line()).await.map_err(|_| "no event came")??
            else {
                return Ok(None);
            };
            if event["type"] != "BOOKMARK" || !event["object"]["metadata"]["annotations"].is_null() {
                return Ok(Some(event));
            }
        }
    }

    async fn line(&mut self) -> Result<Option<Value>, String> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(|error| error.to_string());
            }
            let mut data =
                futures::stream::unfold(&mut self.body, |body| async { Some((body.frame().await, body)) })
                    .boxed();
            match data.next().await.flatten() {
                None => return Ok(None),
                Some(Err(error)) => return Err(error.to_string()),
                Some(Ok(frame)) => {
                    drop(data);
                    self.read.extend(frame.into_data().unwrap_or_default());
                }
            }
        }
    }

    /// The next events as `TYPE name`.
    async fn told(&mut self, count: usize) -> Result<Vec<String>, String> {
        let mut told = Vec::new();
        for _ in 0..count {
            let event = self.next().await?.ok_or_else(|| format!("the watch ended after {told:?}"))?;
            told.push(format!("{} {}", text(&event["type"]), text(&event["object"]["metadata"]["name"])));
        }
        Ok(told)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn path(slice: &Value) -> String {
    format!("{SLICES}/{}", text(&slice["metadata"]["name"]))
}

fn version(object: &Value) -> Result<u64, String> {
    let version = &object["metadata"]["resourceVersion"];
    text(version).parse().map_err(|_| format!("{version} is no version"))
}

fn is(actual: impl Into<Value>, expected: impl Into<Value>, what: &str) -> Outcome {
    let (actual, expected) = (actual.into(), expected.into());
    if actual == expected { Ok(()) } else { Err(format!("{what}: {actual}, expected {expected}")) }
}

fn slice(name: &str) -> Value {
    json!({"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
        "metadata": {"name": name, "labels": {"case": name}},
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}],
        "ports": [{"name": "http", "protocol": "TCP", "port": 80}]})
}

async fn a_created_object_has_what_the_server_adds(api: Api) -> Outcome {
    let made = api.create(&slice("made")).await?;
    let metadata = &made["metadata"];
    is(metadata["namespace"].clone(), "default", "namespace")?;
    is(metadata["generation"].clone(), 1, "generation")?;
    is(text(&metadata["uid"]).len(), 36, "length of the UID")?;
    is(text(&metadata["creationTimestamp"]).len(), 20, "length of the time")?;
    is(made["kind"].clone(), "EndpointSlice", "kind")?;
    version(&made)?;
    is(api.ok("GET", &path(&made), None).await?, made.clone(), "what is read")?;
    api.delete(&made).await.map(drop)
}

async fn a_name_is_generated_from_its_prefix(api: Api) -> Outcome {
    let mut body = slice("generated");
    body["metadata"] = json!({"generateName": "generated-"});
    let (one, two) = (api.create(&body).await?, api.create(&body).await?);
    let name = text(&one["metadata"]["name"]);
    is(name.starts_with("generated-") && name.len() == 15, true, name)?;
    is(one["metadata"]["generateName"].clone(), "generated-", "generateName")?;
    is(one["metadata"]["name"] == two["metadata"]["name"], false, "two of one name")?;
    api.delete(&one).await?;
    api.delete(&two).await.map(drop)
}

async fn a_name_is_given_once(api: Api) -> Outcome {
    let made = api.create(&slice("once")).await?;
    api.fails("POST", SLICES, Some(&slice("once")), 409, "AlreadyExists").await?;
    api.delete(&made).await.map(drop)
}

async fn an_update_of_an_old_version_conflicts(api: Api) -> Outcome {
    let old = api.create(&slice("old")).await?;
    let mut new = old.clone();
    new["endpoints"] = json!([]);
    api.update(&new).await?;
    api.fails("PUT", &path(&old), Some(&new), 409, "Conflict").await?;
    // Without a version, the last one wins.
    new["metadata"]["resourceVersion"] = "".into();
    new["endpoints"] = old["endpoints"].clone();
    api.update(&new).await?;
    new["metadata"]["uid"] = "00000000-0000-4000-8000-00000000ffff".into();
    api.fails("PUT", &path(&old), Some(&new), 409, "Conflict").await?;
    api.delete(&old).await.map(drop)
}

async fn an_update_of_nothing_is_not_found(api: Api) -> Outcome {
    let mut nothing = slice("nothing");
    nothing["metadata"]["resourceVersion"] = "1".into();
    api.fails("PUT", &path(&nothing), Some(&nothing), 404, "NotFound").await
}

async fn an_update_that_changes_nothing_keeps_the_version(api: Api) -> Outcome {
    let made = api.create(&slice("same")).await?;
    let same = api.update(&made).await?;
    is(same["metadata"]["resourceVersion"].clone(), made["metadata"]["resourceVersion"].clone(), "version")?;
    api.delete(&made).await.map(drop)
}

async fn the_generation_grows_with_labels_and_content_only(api: Api) -> Outcome {
    let mut it = api.create(&slice("generation")).await?;
    it["metadata"]["annotations"] = json!({"a": "b"});
    it = api.update(&it).await?;
    is(it["metadata"]["generation"].clone(), 1, "after an annotation")?;
    it["metadata"]["labels"]["a"] = "b".into();
    it = api.update(&it).await?;
    is(it["metadata"]["generation"].clone(), 2, "after a label")?;
    it["endpoints"] = json!([]);
    it = api.update(&it).await?;
    is(it["metadata"]["generation"].clone(), 3, "after endpoints")?;
    it["metadata"]["generation"] = 9.into();
    it["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Node", "name": "n", "uid": it["metadata"]["uid"]}]);
    let owned = api.update(&it).await;
    // The garbage collector of a real cluster may be quicker than the next step.
    is(owned?["metadata"]["generation"].clone(), 3, "after an owner")?;
    let (code, _) = api.call("DELETE", &path(&it), None).await?;
    is(code == 200 || code == 404, true, "delete")
}

async fn a_delete_asks_for_the_uid(api: Api) -> Outcome {
    let made = api.create(&slice("uid")).await?;
    let other = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "00000000-0000-4000-8000-00000000ffff"}});
    api.fails("DELETE", &path(&made), Some(&other), 409, "Conflict").await?;
    let right = json!({"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": made["metadata"]["uid"]}});
    let answer = api.ok("DELETE", &path(&made), Some(&right)).await?;
    is(json!([answer["kind"], answer["status"]]), json!(["Status", "Success"]), "answer")?;
    api.fails("GET", &path(&made), None, 404, "NotFound").await
}

async fn a_delete_of_nothing_is_not_found(api: Api) -> Outcome {
    api.fails("DELETE", &path(&slice("nothing")), None, 404, "NotFound").await
}

async fn a_finalizer_holds_a_deleted_object(api: Api) -> Outcome {
    let mut body = slice("held");
    body["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let made = api.create(&body).await?;
    let mut watch = api
        .watch(SLICES, &format!("fieldSelector=metadata.name%3Dheld&resourceVersion={}", version(&made)?))
        .await?;
    let mut held = api.delete(&made).await?;
    is(held["metadata"]["deletionTimestamp"].is_string(), true, "deletionTimestamp")?;
    is(held["metadata"]["generation"].clone(), 2, "generation")?;
    let again = api.delete(&made).await?;
    is(
        again["metadata"]["resourceVersion"].clone(),
        held["metadata"]["resourceVersion"].clone(),
        "version after another delete",
    )?;
    // It can still be changed, but not be brought back.
    held["metadata"]["labels"]["a"] = "b".into();
    held["metadata"].as_object_mut().map(|metadata| metadata.remove("deletionTimestamp"));
    held = api.update(&held).await?;
    is(held["metadata"]["deletionTimestamp"].is_string(), true, "deletionTimestamp after an update")?;
    held["metadata"]["finalizers"] = json!([]);
    api.update(&held).await?;
    api.fails("GET", &path(&made), None, 404, "NotFound").await?;
    is(watch.told(3).await?, json!(["MODIFIED held", "MODIFIED held", "DELETED held"]), "watch")
}

async fn versions_grow_over_all_resources(api: Api) -> Outcome {
    let made = api.create(&slice("grows")).await?;
    let pod = api.ok("POST", PODS, Some(&pod("grows"))).await?;
    let mut newer = made.clone();
    newer["endpoints"] = json!([]);
    let newer = api.update(&newer).await?;
    let versions = [version(&made)?, version(&pod)?, version(&newer)?];
    is(versions.is_sorted() && versions[0] < versions[2], true, "versions")?;
    let mut watch = api
        .watch(SLICES, &format!("fieldSelector=metadata.name%3Dgrows&resourceVersion={}", versions[2]))
        .await?;
    api.delete(&made).await?;
    let event = watch.next().await?.ok_or("the watch ended")?;
    is(event["type"].clone(), "DELETED", "event")?;
    is(version(&event["object"])? > versions[2], true, "the version of a deletion is its own")?;
    is(event["object"]["endpoints"].clone(), newer["endpoints"].clone(), "last state")?;
    end_pod(&api, "grows").await
}

fn pod(name: &str) -> Value {
    json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name},
        "spec": {"containers": [{"name": "a", "image": "a"}]}})
}

async fn end_pod(api: &Api, name: &str) -> Outcome {
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0});
    api.ok("DELETE", &format!("{PODS}/{name}"), Some(&options)).await.map(drop)
}

async fn a_list_comes_in_pages_of_one_state(api: Api) -> Outcome {
    let mut made = Vec::new();
    for name in ["page-a", "page-b", "page-c"] {
        let mut body = slice(name);
        body["metadata"]["labels"] = json!({"case": "page"});
        made.push(api.create(&body).await?);
    }
    let names = |list: &Value| -> Value {
        list["items"].as_array().into_iter().flatten().map(|it| it["metadata"]["name"].clone()).collect()
    };
    let query = format!("{SLICES}?labelSelector=case%3Dpage&limit=2");
    let first = api.ok("GET", &query, None).await?;
    is(names(&first), json!(["page-a", "page-b"]), "first page")?;
    is(first["kind"].clone(), "EndpointSliceList", "kind")?;
    // The second page shows the time of the first.
    api.delete(&made[2]).await?;
    let token = text(&first["metadata"]["continue"]).bytes();
    let more = token.fold(String::new(), |more, byte| format!("{more}%{byte:02X}"));
    let second = api.ok("GET", &format!("{query}&continue={more}"), None).await?;
    is(names(&second), json!(["page-c"]), "second page")?;
    is(second["metadata"]["continue"].as_str().unwrap_or_default(), "", "continue of the last page")?;
    is(
        second["metadata"]["resourceVersion"].clone(),
        first["metadata"]["resourceVersion"].clone(),
        "version of the pages",
    )?;
    api.delete(&made[0]).await?;
    api.delete(&made[1]).await.map(drop)
}

async fn a_watch_tells_what_happened_since_a_version(api: Api) -> Outcome {
    let made = api.create(&slice("since")).await?;
    let mut changed = made.clone();
    changed["endpoints"] = json!([]);
    api.update(&changed).await?;
    api.delete(&made).await?;
    api.create(&slice("since")).await?;
    let query = format!("labelSelector=case%3Dsince&resourceVersion={}", version(&made)?);
    let told = api.watch(SLICES, &query).await?.told(3).await?;
    is(told, json!(["MODIFIED since", "DELETED since", "ADDED since"]), "events")?;
    api.delete(&made).await.map(drop)
}

async fn a_streaming_list_ends_with_a_bookmark(api: Api) -> Outcome {
    let made = api.create(&slice("streamed")).await?;
    let query = "labelSelector=case%3Dstreamed&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&resourceVersion=";
    let (code, answer) = api.send("GET", &format!("{SLICES}?watch=true&{query}"), None).await?;
    if code == 422 {
        // Kubernetes 1.33 by default; the client then lists by pages.
        let bytes = answer.collect().await.map_err(|error| error.to_string())?.to_bytes();
        let refusal: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        is(text(&refusal["message"]).contains("sendInitialEvents"), true, "message")?;
        return api.delete(&made).await.map(drop);
    }
    let mut watch = Watch { body: answer, read: Vec::new() };
    is(watch.told(1).await?, json!(["ADDED streamed"]), "list")?;
    let end = watch.next().await?.ok_or("the watch ended")?;
    is(end["type"].clone(), "BOOKMARK", "end")?;
    is(end["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"].clone(), "true", "mark")?;
    is(version(&end["object"])? >= version(&made)?, true, "version of the list")?;
    api.delete(&made).await?;
    is(watch.told(1).await?, json!(["DELETED streamed"]), "watch")
}

async fn a_streaming_list_needs_a_match(api: Api) -> Outcome {
    let query = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true";
    api.fails("GET", &format!("{SLICES}?{query}"), None, 422, "Invalid").await
}

async fn an_object_that_leaves_the_selector_is_deleted(api: Api) -> Outcome {
    let mut it = api.create(&slice("leaves")).await?;
    let mut watch =
        api.watch(SLICES, &format!("labelSelector=case%3Dleaves&resourceVersion={}", version(&it)?)).await?;
    it["metadata"]["labels"]["case"] = "left".into();
    it = api.update(&it).await?;
    let event = watch.next().await?.ok_or("the watch ended")?;
    is(
        json!([event["type"], event["object"]["metadata"]["labels"]["case"]]),
        json!(["DELETED", "leaves"]),
        "leaving",
    )?;
    is(version(&event["object"])?, version(&it)?, "version of the event")?;
    it["metadata"]["labels"]["case"] = "leaves".into();
    it = api.update(&it).await?;
    is(watch.told(1).await?, json!(["ADDED leaves"]), "coming back")?;
    api.delete(&it).await.map(drop)
}

async fn a_finished_pod_leaves_the_field_selector(api: Api) -> Outcome {
    let mut made = api.ok("POST", PODS, Some(&pod("finishes"))).await?;
    let fields = "fieldSelector=status.phase!%3DSucceeded,status.phase!%3DFailed,metadata.name%3Dfinishes";
    let mut watch = api.watch(PODS, &format!("{fields}&resourceVersion={}", version(&made)?)).await?;
    let status = format!("{PODS}/finishes/status");
    for phase in ["Running", "Succeeded"] {
        made["status"]["phase"] = phase.into();
        made = api.ok("PUT", &status, Some(&made)).await?;
    }
    is(watch.told(2).await?, json!(["MODIFIED finishes", "DELETED finishes"]), "events")?;
    end_pod(&api, "finishes").await
}

async fn a_watch_ends_in_good_order(api: Api) -> Outcome {
    let made = api.create(&slice("ends")).await?;
    let query = format!("labelSelector=case%3Dends&timeoutSeconds=1&resourceVersion={}", version(&made)?);
    let mut watch = api.watch(SLICES, &query).await?;
    is(watch.next().await?.unwrap_or_default(), Value::Null, "event")?;
    api.delete(&made).await.map(drop)
}

/// An event and not an answer of that code: the client would keep the version.
async fn a_watch_from_a_forgotten_version_expires(api: Api) -> Outcome {
    let made = api.create(&slice("forgotten")).await?;
    let mut watch = api.watch(SLICES, "resourceVersion=1").await?;
    let event = watch.next().await?.ok_or("the watch ended")?;
    let object = &event["object"];
    is(
        json!([event["type"], object["kind"], object["code"], object["reason"]]),
        json!(["ERROR", "Status", 410, "Expired"]),
        "event",
    )?;
    is(watch.next().await?.unwrap_or_default(), Value::Null, "what follows")?;
    api.delete(&made).await.map(drop)
}

async fn nothing_is_created_in_a_namespace_that_ends(api: Api) -> Outcome {
    let path = format!("/apis/discovery.k8s.io/v1/namespaces/{ENDING}/endpointslices");
    let (code, answer) = api.call("POST", &path, Some(&slice("late"))).await?;
    is(json!([code, answer["reason"]]), json!([403, "Forbidden"]), "answer")?;
    let causes = answer["details"]["causes"].as_array().into_iter().flatten();
    let reasons: Value = causes.map(|cause| cause["reason"].clone()).collect();
    is(reasons, json!(["NamespaceTerminating"]), "causes")
}
