//! The way of a request through the faults to an API server, and of the answer back.

use std::io;
use std::sync::Arc;

use fairlead_fake_api::{Answer, Kind, Refusal};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::{Mutex, RwLock};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::request::{Asked, Requests, Verb};
use super::rules::{Fate, Fault, Rules, Verdict};
use super::watching::{self, Form};

/// What the connections of one layer share.
pub(crate) struct Proxy {
    pub(crate) rules: Mutex<Rules>,
    /// Grows whenever the faults end.
    pub(crate) calm: watch::Sender<u64>,
    /// Grows whenever all connections are to break.
    pub(crate) breaks: watch::Sender<u64>,
    pub(crate) tls: TlsAcceptor,
    /// A client without credentials for each API server: those of the request are passed on.
    pub(crate) servers: Vec<kube::Client>,
    /// Which requests go to another API server than the first one. The last match counts.
    pub(crate) routes: RwLock<Vec<(Requests, usize)>>,
}

pub(crate) fn reset() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, "the lab's faults broke the connection")
}

/// Serves until the task is dropped.
pub(crate) async fn serve(proxy: Arc<Proxy>, listener: TcpListener) {
    loop {
        // Accepting fails for a connection that is gone already; the next one may be well.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(Arc::clone(&proxy).connection(stream));
        }
    }
}

impl Proxy {
    pub(crate) fn count(&self, fault: Fault) {
        self.rules.lock().count(fault);
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let mut breaks = self.breaks.subscribe();
        let serving = async {
            // Small pieces of a watch must not wait for one another.
            let _ = stream.set_nodelay(true);
            let Ok(stream) = self.tls.accept(stream).await else { return };
            let service = service_fn(|request| Arc::clone(&self).answer(request));
            // An error here is a fault at work, or a client that went away.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        };
        tokio::select! {
            () = serving => {}
            _ = breaks.changed() => {}
        }
    }

    /// The answer. An error breaks the connection.
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> io::Result<Answer> {
        let asked = Asked::of(&request);
        let mut calm = self.calm.subscribe();
        let mut fate = self.rules.lock().decide(&asked);
        if let Some(delay) = fate.delay {
            self.count(Fault::Delay);
            if tokio::time::timeout(delay, calm.changed()).await.is_ok() {
                // All faults are over, also those that were still to come.
                fate = Fate::default();
            }
        }
        match fate.verdict {
            Verdict::Hangs => {
                self.count(Fault::Hang);
                let _ = calm.changed().await;
                return Err(reset());
            }
            Verdict::Refused(fault) => {
                if let Some(answer) = refusal(fault, &asked) {
                    self.count(fault);
                    return Ok(answer);
                }
            }
            Verdict::Served | Verdict::AnswerBreaks | Verdict::AnswerHangs => {}
        }
        let answer = self.forward(&asked, request).await?;
        if asked.verb == Verb::Watch && answer.status().is_success() {
            let form = Form::of(&answer);
            let (parts, body) = answer.into_parts();
            let body = watching::pass_on(Arc::clone(&self), asked, &fate, calm, form, body);
            return Ok(Response::from_parts(parts, body));
        }
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        if parts.status.is_success() && matches!(fate.verdict, Verdict::AnswerBreaks | Verdict::AnswerHangs) {
            self.count(Fault::LostAnswer);
            if fate.verdict == Verdict::AnswerHangs {
                let _ = calm.changed().await;
            }
            return Err(reset());
        }
        Ok(Response::from_parts(parts, whole(body)))
    }

    /// The answer of the API server, with the headers that belong to the connection left out.
    async fn forward(
        &self,
        asked: &Asked,
        request: Request<Incoming>,
    ) -> io::Result<Response<kube::client::Body>> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        for name in [header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
            parts.headers.remove(name);
        }
        let server = {
            let routes = self.routes.read();
            routes.iter().rev().find(|(requests, _)| requests.contain(asked)).map_or(0, |(_, server)| *server)
        };
        let mut answer = self.servers[server]
            .send(Request::from_parts(parts, kube::client::Body::from(body)))
            .await
            .map_err(io::Error::other)?;
        for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
            answer.headers_mut().remove(name);
        }
        Ok(answer)
    }
}

fn whole(body: Bytes) -> fairlead_fake_api::AnswerBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// The answer that a fault makes; none for conflicts about kinds that no controller writes.
fn refusal(fault: Fault, asked: &Asked) -> Option<Answer> {
    let kind = || Kind::find(&asked.group, &asked.resource);
    Some(match fault {
        Fault::Conflict if asked.verb == Verb::Create => {
            Refusal::already_exists(kind()?, &asked.name).answer()
        }
        Fault::Conflict => Refusal::modified(kind()?, &asked.name).answer(),
        Fault::Throttle => Refusal::too_many_requests(1).answer(),
        Fault::Error => Refusal::internal().answer(),
        Fault::Unavailable => Refusal::unavailable().answer(),
        Fault::Gone => Refusal::expired().answer(),
        Fault::Expired => {
            let mut answer = Response::new(whole(Form::Json.expired()));
            let json = header::HeaderValue::from_static("application/json");
            answer.headers_mut().insert(header::CONTENT_TYPE, json);
            answer
        }
        _ => return None,
    })
}
