use std::net::Ipv6Addr;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

use super::*;
use crate::shutdown::Shutdown;

struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

async fn start(address: &str) -> Server {
    let shutdown = Shutdown::new();
    let registry = Registry::new();
    crate::process_metrics::register(&registry).unwrap();
    let admin = Admin::bind(address.parse().unwrap(), Checks::new(shutdown.clone()), registry).await.unwrap();
    let stop = CancellationToken::new();
    let address = admin.address();
    Server { address, shutdown, task: tokio::spawn(admin.serve(stop.clone())), stop }
}

/// Sends these bytes and returns everything that comes back until the server closes.
async fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
}

#[tokio::test]
async fn serves_over_tcp_and_closes_after_each_answer() {
    let server = start("127.0.0.1:0").await;
    assert_ne!(server.address.port(), 0);
    let ready = get(server.address, "/readyz?verbose").await;
    assert!(ready.starts_with("HTTP/1.1 200 OK\r\n"), "{ready}");
    assert!(ready.ends_with("\r\n\r\n[+]shutdown ok\nreadyz check passed\n"), "{ready}");
    let metrics = get(server.address, "/metrics").await;
    assert!(metrics.contains("\nprocess_resident_memory_bytes "), "{metrics}");
    let head = exchange(server.address, "HEAD /livez HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn the_ipv6_wildcard_serves_ipv4_too_and_keeps_metrics_to_itself() {
    let server = start("[::]:0").await;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.address.port()));
    assert!(get(address, "/livez").await.ends_with("\r\n\r\nok"));
    let metrics = get(address, "/metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 404 "), "{metrics}");
    if server.address.is_ipv6() {
        let address = SocketAddr::from((Ipv6Addr::LOCALHOST, server.address.port()));
        assert!(get(address, "/livez").await.ends_with("\r\n\r\nok"));
    }
}

#[tokio::test]
async fn unready_but_alive_from_shutdown_until_stopped_then_refusing() {
    let server = start("127.0.0.1:0").await;
    server.shutdown.begin();
    assert!(get(server.address, "/livez").await.starts_with("HTTP/1.1 200 "));
    let ready = get(server.address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 500 "), "{ready}");
    assert!(ready.contains("[-]shutdown failed: the process is shutting down\n"), "{ready}");

    server.stop.cancel();
    server.task.await.unwrap();
    let error = TcpStream::connect(server.address).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_request_in_progress_is_answered_after_stop() {
    let server = start("127.0.0.1:0").await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
    // The server answers others in between, so it has accepted the half-sent request by then.
    get(server.address, "/livez").await;
    server.stop.cancel();
    stream.write_all(b"Host: x\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    server.task.await.unwrap();
}

#[tokio::test]
async fn a_silent_client_neither_blocks_others_nor_the_end() {
    let server = start("127.0.0.1:0").await;
    let mut silent = TcpStream::connect(server.address).await.unwrap();
    assert!(get(server.address, "/livez").await.ends_with("ok"));
    server.stop.cancel();
    let start = Instant::now();
    server.task.await.unwrap();
    assert!(start.elapsed() < STOP_GRACE + Duration::from_secs(2), "{:?}", start.elapsed());
    // Cut, not answered.
    assert!(silent.read(&mut [0; 1]).await.map_or(true, |read| read == 0));
}

#[tokio::test]
async fn a_slow_header_is_cut() {
    let server = start("127.0.0.1:0").await;
    let start = Instant::now();
    let answer = exchange(server.address, "GET /livez HTT").await;
    assert!(!answer.contains("200 OK"), "{answer}");
    assert!(start.elapsed() >= HEADER_TIMEOUT, "{:?}", start.elapsed());
    assert!(start.elapsed() < CONNECTION_TIMEOUT, "{:?}", start.elapsed());
}

#[tokio::test]
async fn connections_beyond_the_bound_wait_for_a_place() {
    let server = start("127.0.0.1:0").await;
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }
    // The kernel hands connections over in order, so the places are taken by the silent ones.
    let asked = get(server.address, "/livez");
    tokio::pin!(asked);
    assert!(tokio::time::timeout(Duration::from_millis(300), &mut asked).await.is_err());
    silent.pop();
    assert!(asked.await.ends_with("ok"));
}

#[tokio::test]
async fn garbage_is_refused() {
    let server = start("127.0.0.1:0").await;
    let long = format!("GET /livez HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(2 * MAX_HEAD_BYTES));
    for request in ["\u{1}\u{2}\u{3}\r\n\r\n", "GET\r\n\r\n", "GET /livez HTTP/9.9\r\n\r\n", &long] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The server may refuse before it has read everything.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(get(server.address, "/livez").await.ends_with("ok"));
}

#[tokio::test]
async fn a_bind_failure_is_a_sentence() {
    let server = start("127.0.0.1:0").await;
    let checks = Checks::new(Shutdown::new());
    let Err(error) = Admin::bind(server.address, checks.clone(), Registry::new()).await else {
        panic!("bound twice");
    };
    let sentence = error.to_string();
    assert!(sentence.contains(&format!("cannot listen on {} ", server.address)), "{sentence}");
    assert!(sentence.contains("another process has that port"), "{sentence}");

    let Err(error) = Admin::bind("192.0.2.1:0".parse().unwrap(), checks, Registry::new()).await else {
        panic!("bound to an address of documentation");
    };
    assert!(error.to_string().contains("this machine does not have that address"), "{error}");
}
