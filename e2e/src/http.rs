//! HTTP as the lab's hosts speak it: one GET per connection, and the server that stands behind a Pod.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

/// How long a connection and its answer may take together.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);

/// What an HTTP server answered.
#[derive(Clone, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Body as text.
    pub body: String,
}

/// What the server behind a Pod answers: who it is and whom it sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Name of the Pod.
    pub pod: String,
    /// Address that the connection came from.
    pub client: IpAddr,
    /// Port that the connection arrived at.
    pub port: u16,
}

impl Answer {
    pub(crate) fn parse(body: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(body).ok()?;
        Some(Self {
            pod: value["pod"].as_str()?.to_owned(),
            client: value["client"].as_str()?.parse().ok()?,
            port: value["port"].as_u64()?.try_into().ok()?,
        })
    }

    fn to_line(&self) -> String {
        let value = serde_json::json!({ "pod": self.pod, "client": self.client, "port": self.port });
        format!("{value}\n")
    }
}

/// GET `path` over a new connection of `socket`, or POST if there is a body. The error is the reason in words.
pub(crate) async fn exchange(
    socket: TcpSocket,
    to: SocketAddr,
    path: &str,
    body: Option<String>,
) -> Result<Response, String> {
    tokio::time::timeout(TIMEOUT, patient_exchange(socket, to, path, body))
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {TIMEOUT:?}")))
}

async fn patient_exchange(
    socket: TcpSocket,
    to: SocketAddr,
    path: &str,
    body: Option<String>,
) -> Result<Response, String> {
    let stream = socket.connect(to).await.map_err(|error| format!("no connection: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("no HTTP connection: {error}"))?;
    let method = if body.is_some() { http::Method::POST } else { http::Method::GET };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::HOST, to.to_string())
        .header(http::header::CONNECTION, "close")
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|error| format!("the path {path} cannot be sent: {error}"))?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Response { status, body: String::from_utf8_lossy(&body).into_owned() })
    };
    let (answer, _) = futures::join!(exchange, connection);
    answer.map_err(|error: hyper::Error| format!("no answer: {error}"))
}

/// Answers every request with [`Answer`] until the task is dropped.
pub(crate) async fn serve_pod(pod: Arc<str>, listener: TcpListener) {
    loop {
        // Accepting fails for a connection that is gone already; the next one may be well.
        if let Ok((stream, peer)) = listener.accept().await {
            tokio::spawn(serve_connection(pod.clone(), stream, peer));
        }
    }
}

/// Answers every datagram with [`Answer`] until the task is dropped.
pub(crate) async fn serve_datagrams(pod: Arc<str>, socket: UdpSocket) {
    let port = socket.local_addr().map_or(0, |address| address.port());
    let mut buffer = [0; 512];
    loop {
        // Receiving fails for a peer that has refused an answer; the next one may be well.
        if let Ok((_, peer)) = socket.recv_from(&mut buffer).await {
            let answer = Answer { pod: pod.to_string(), client: peer.ip().to_canonical(), port };
            let _ = socket.send_to(answer.to_line().as_bytes(), peer).await;
        }
    }
}

async fn serve_connection(pod: Arc<str>, stream: TcpStream, peer: SocketAddr) {
    let port = stream.local_addr().map_or(0, |address| address.port());
    let answer = Answer { pod: pod.to_string(), client: peer.ip().to_canonical(), port }.to_line();
    let service = service_fn(move |_| {
        let answer = answer.clone();
        async move { Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from(answer)))) }
    });
    // A client that goes away in the middle is its own affair.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_survives_its_line() {
        let answer = Answer { pod: "web-1".into(), client: "2001:db8::1".parse().unwrap(), port: 8080 };
        assert_eq!(Answer::parse(&answer.to_line()), Some(answer));
        assert_eq!(Answer::parse("404 page not found"), None);
    }
}
