//! The binary as a process: what it prints, how it ends, and that signals end it.

#![expect(clippy::unwrap_used, reason = "the functions that are not tests serve tests only")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// No controller: nothing here needs an API server.
const IDLE: [&str; 4] = ["manager", "--leader-elect=false", "--controllers=", "--logging-format=json"];

/// A running process, which is killed when its test ends.
struct Fairlead {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Fairlead {
    fn start(flags: &[&str]) -> Self {
        Self::run(&[&IDLE, flags].concat())
    }

    fn run(arguments: &[&str]) -> Self {
        let mut child = command(arguments).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    /// Reads the log up to the entry whose message has this text. The end of the log fails the test.
    fn wait_for(&mut self, text: &str) -> serde_json::Value {
        let mut seen = String::new();
        loop {
            let start = seen.len();
            assert_ne!(self.log.read_line(&mut seen).unwrap(), 0, "the log ended without {text:?}:\n{seen}");
            let entry: serde_json::Value = serde_json::from_str(&seen[start..]).unwrap();
            if entry["message"].as_str().is_some_and(|message| message.contains(text)) {
                return entry;
            }
        }
    }

    fn address(&mut self) -> SocketAddr {
        self.wait_for("serving /livez")["address"].as_str().unwrap().parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The exit status and the rest of the log.
    fn end(mut self) -> (ExitStatus, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap(), rest)
    }
}

impl Drop for Fairlead {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fairlead"));
    command.args(arguments).env_remove("RUST_LOG").env("RUST_BACKTRACE", "1").stdin(Stdio::null());
    command
}

/// Exit code, standard output and standard error of a command that ends by itself.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = command(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn either_signal_ends_it_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut fairlead = Fairlead::start(&["--admin-bind-address=127.0.0.1:0"]);
        let address = fairlead.address();
        assert!(get(address, "/readyz?verbose").ends_with("[+]shutdown ok\nreadyz check passed\n"));
        assert!(get(address, "/metrics").contains("\nprocess_start_time_seconds "));
        fairlead.signal(signal);
        fairlead.wait_for("shutting down");
        let (status, rest) = fairlead.end();
        assert_eq!(status.code(), Some(0), "{rest}");
        assert!(rest.contains("fairlead manager ended"), "{rest}");
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut fairlead = Fairlead::start(&["--admin-bind-address=127.0.0.1:0"]);
    let address = fairlead.address();
    // A request that is not finished keeps the orderly end waiting for two seconds.
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(b"GET /livez HTTP/1.1\r\n").unwrap();
    assert!(get(address, "/livez").ends_with("ok"));
    fairlead.signal(Signal::TERM);
    fairlead.wait_for("shutting down");
    let second = Instant::now();
    fairlead.signal(Signal::INT);
    let (status, rest) = fairlead.end();
    assert_eq!(status.code(), Some(1), "{rest}");
    assert!(second.elapsed() < Duration::from_secs(2), "{:?}", second.elapsed());
    assert!(rest.contains("second signal") && !rest.contains("fairlead manager ended"), "{rest}");
}

#[test]
fn a_refusal_is_its_sentences_and_nothing_else() {
    let (code, out, err) = run(&[
        "manager",
        "--leader-elect=false",
        "--max-endpoints-per-slice=1001",
        "--concurrent-service-endpoint-syncs=0",
    ]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(
        err,
        "fairlead manager: --concurrent-service-endpoint-syncs must not be less than 1, but got 0 (allowed: 1 to 50)\n\
         fairlead manager: --max-endpoints-per-slice must not be more than 1000, but got 1001 (allowed: 1 to 1000)\n"
    );
    let (code, out, err) = run(&["manager", "--nope"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(
        err,
        "fairlead manager: unknown flag --nope; \"fairlead manager --help\" lists what there is\n"
    );
}

#[test]
fn help_and_version_are_printed_to_standard_output() {
    let (code, out, err) = run(&["manager", "--help"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("--max-endpoints-per-slice"), "{out}");
    let (code, out, err) = run(&["--version"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, format!("fairlead {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn an_address_in_use_is_said_in_a_sentence() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let flag = format!("--admin-bind-address={address}");
    let (code, out, err) = run(&[&IDLE[..], &[&flag]].concat());
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    let last: serde_json::Value = serde_json::from_str(err.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "ERROR");
    let message = last["message"].as_str().unwrap();
    assert!(message.contains(&format!("cannot listen on {address} ")), "{message}");
    assert!(message.contains("another process has that port"), "{message}");
    assert!(!err.contains("panicked"), "{err}");
}

/// A kubeconfig of an API server that is not there, which is removed with this.
struct Unreachable(std::path::PathBuf);

impl Unreachable {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("kubeconfig-{}", std::process::id()));
        let config = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
            // The port of tcpmux, which nobody has.
            "clusters": [{ "name": "c", "cluster": { "server": "http://127.0.0.1:1" } }],
            "users": [{ "name": "u", "user": {} }],
        });
        std::fs::write(&path, config.to_string()).unwrap();
        Self(path)
    }
}

impl Drop for Unreachable {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_speaker_waits_for_the_api_server_and_says_so() {
    let kubeconfig = Unreachable::new();
    let flag = format!("--kubeconfig={}", kubeconfig.0.display());
    let mut speaker = Fairlead::run(&[
        "speaker",
        "--node-name=node-1",
        "--insecure-beacons",
        "--logging-format=json",
        "--admin-bind-address=127.0.0.1:0",
        &flag,
    ]);
    speaker.wait_for("beacons are not authenticated");
    let address = speaker.address();
    speaker.wait_for("nothing is announced before it is known which cluster this is");
    assert!(get(address, "/livez").ends_with("ok"));
    let ready = get(address, "/readyz?verbose");
    assert!(ready.starts_with("HTTP/1.1 500"), "{ready}");
    assert!(ready.contains("waiting for the API server to say which cluster this is"), "{ready}");
    speaker.signal(Signal::TERM);
    speaker.wait_for("shutting down");
    let (status, rest) = speaker.end();
    assert_eq!(status.code(), Some(0), "{rest}");
    assert!(rest.contains("fairlead speaker ended"), "{rest}");
}

#[test]
fn a_speaker_without_keys_is_not_started() {
    let (code, out, err) =
        run(&["speaker", "--node-name=node-1", "--beacon-key-dir=/nowhere", "--logging-format=json"]);
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    let last: serde_json::Value = serde_json::from_str(err.lines().last().unwrap()).unwrap();
    let message = last["message"].as_str().unwrap();
    assert!(message.contains("the keys of the beacons cannot be read from /nowhere: "), "{message}");
    assert!(message.contains("mount the Secret fairlead-beacon-key"), "{message}");
}
