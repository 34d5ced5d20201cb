//! What the admin server answers: a pure function of the request's head and the state of the process.

use std::net::SocketAddr;

use http::header::{ALLOW, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Bytes;
use prometheus::{Registry, TEXT_FORMAT, TextEncoder};

use super::checks::{Checks, Report};

const TEXT: &str = "text/plain; charset=utf-8";

/// Everything that answers are made of.
pub(super) struct State {
    /// The address that the server is bound to.
    pub(super) address: SocketAddr,
    pub(super) checks: Checks,
    pub(super) registry: Registry,
}

impl State {
    pub(super) fn answer(&self, method: &Method, uri: &Uri) -> Response<Full<Bytes>> {
        let handler = match uri.path() {
            "/livez" | "/healthz" | "/readyz" | "/metrics" => uri.path(),
            _ => {
                return text(
                    StatusCode::NOT_FOUND,
                    "not found; here are /livez, /healthz, /readyz and /metrics\n".to_owned(),
                );
            }
        };
        if method != Method::GET && method != Method::HEAD {
            let mut response = text(
                StatusCode::METHOD_NOT_ALLOWED,
                format!("{method} is not allowed; {handler} answers GET and HEAD\n"),
            );
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match handler {
            "/readyz" => health("readyz", &self.checks.report(), uri),
            "/metrics" => self.metrics(),
            alive => health(alive.trim_start_matches('/'), &self.checks.life(), uri),
        }
    }

    /// Metrics without authentication are for the machine itself only.
    fn metrics(&self) -> Response<Full<Bytes>> {
        if !self.address.ip().to_canonical().is_loopback() {
            return text(
                StatusCode::NOT_FOUND,
                format!(
                    "metrics are served here only while the admin server is bound to a loopback address, and it is \
                     bound to {}; to have them, start with --admin-bind-address=127.0.0.1:{}\n",
                    self.address,
                    self.address.port()
                ),
            );
        }
        match TextEncoder::new().encode_to_string(&self.registry.gather()) {
            Ok(metrics) => respond(StatusCode::OK, TEXT_FORMAT, metrics),
            Err(error) => {
                text(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot encode the metrics: {error}\n"))
            }
        }
    }
}

/// As kube-apiserver: `ok` alone unless asked for more; a failure always says which check.
fn health(name: &str, report: &Report, uri: &Uri) -> Response<Full<Bytes>> {
    if !report.is_ok() {
        return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{}{name} check failed\n", report.lines()));
    }
    let verbose = uri
        .query()
        .is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("verbose")));
    let body = if verbose { format!("{}{name} check passed\n", report.lines()) } else { "ok".to_owned() };
    text(StatusCode::OK, body)
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    respond(status, TEXT, body)
}

fn respond(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use http_body_util::BodyExt;
    use prometheus::IntCounter;

    use super::*;
    use crate::shutdown::Shutdown;

    fn state(address: &str) -> State {
        let registry = Registry::new();
        let counter = IntCounter::new("endpoint_slice_controller_changes", "Number of changes").unwrap();
        counter.inc_by(7);
        registry.register(Box::new(counter)).unwrap();
        State { address: address.parse().unwrap(), checks: Checks::new(Shutdown::new()), registry }
    }

    fn ask(state: &State, method: &Method, uri: &str) -> (u16, String) {
        let response = state.answer(method, &uri.parse().unwrap());
        let status = response.status().as_u16();
        let body = response.into_body().collect().now_or_never().unwrap().unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn health_and_readiness() {
        let state = state("[::]:10270");
        let pods = state.checks.add("informer/pods", "waiting for the first list");
        let not_ready =
            "[-]informer/pods failed: waiting for the first list\n[+]shutdown ok\nreadyz check failed\n";
        for (uri, status, body) in [
            ("/livez", 200, "ok"),
            ("/livez?verbose", 200, "[+]ping ok\nlivez check passed\n"),
            ("/healthz", 200, "ok"),
            ("/healthz?verbose=true", 200, "[+]ping ok\nhealthz check passed\n"),
            ("/readyz", 500, not_ready),
            ("/readyz?verbose", 500, not_ready),
        ] {
            assert_eq!(ask(&state, &Method::GET, uri), (status, body.to_owned()), "{uri}");
        }
        pods.ok();
        let ready = "[+]informer/pods ok\n[+]shutdown ok\nreadyz check passed\n";
        for (uri, body) in [
            ("/readyz", "ok"),
            ("/readyz?verbose", ready),
            ("/readyz?x=1&verbose=1", ready),
            ("/readyz?verboser", "ok"),
            ("/readyz?x=verbose", "ok"),
        ] {
            assert_eq!(ask(&state, &Method::GET, uri), (200, body.to_owned()), "{uri}");
        }
    }

    #[test]
    fn metrics_only_on_loopback() {
        for address in ["127.0.0.1:10270", "127.9.9.9:1", "[::1]:10270", "[::ffff:127.0.0.1]:10270"] {
            let (status, body) = ask(&state(address), &Method::GET, "/metrics");
            assert_eq!(status, 200, "{address}");
            assert!(body.contains("\nendpoint_slice_controller_changes 7\n"), "{body}");
        }
        for address in ["[::]:10270", "0.0.0.0:10270", "192.0.2.1:10270", "[2001:db8::1]:10270"] {
            let (status, body) = ask(&state(address), &Method::GET, "/metrics");
            assert_eq!(status, 404, "{address}");
            assert!(
                body.contains(address) && body.contains("--admin-bind-address=127.0.0.1:10270"),
                "{body}"
            );
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let state = state("127.0.0.1:1");
        for uri in
            ["/", "/readyz/", "/readyz/ping", "/livez/x", "/metrics/cadvisor", "/debug/pprof", "//livez"]
        {
            assert_eq!(ask(&state, &Method::GET, uri).0, 404, "{uri}");
        }
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
            let response = state.answer(&method, &Uri::from_static("/readyz"));
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(response.headers()[ALLOW], "GET, HEAD");
        }
        assert_eq!(ask(&state, &Method::HEAD, "/readyz").0, 200);
    }

    #[test]
    fn content_types() {
        let state = state("127.0.0.1:1");
        let content_type = |uri: &'static str| {
            state.answer(&Method::GET, &Uri::from_static(uri)).headers()[CONTENT_TYPE].clone()
        };
        assert_eq!(content_type("/readyz"), "text/plain; charset=utf-8");
        assert_eq!(content_type("/metrics"), "text/plain; version=0.0.4");
    }
}
