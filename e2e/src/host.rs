//! A host of the lab: a network namespace with an address of each family on the lab's segment.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpSocket;

use crate::command;
use crate::error::{Context, Error, Result};
use crate::frames::Mac;
use crate::http::{self, Answer, Response};

/// A network namespace of the lab. Cloning gives another handle on the same namespace.
#[derive(Clone, Debug)]
pub struct Host {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    netns: String,
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    // Keeps the namespace usable through this handle even when its name has been taken away.
    handle: File,
}

impl Host {
    /// Makes the namespaces `netns` (name in the lab, name of the namespace, addresses) in one go.
    pub(crate) fn create(wanted: &[(String, String, Ipv4Addr, Ipv6Addr)]) -> Result<Vec<Self>> {
        let lines: Vec<_> = wanted.iter().map(|(_, netns, ..)| format!("netns add {netns}")).collect();
        command::ip(None, &lines)?;
        wanted.iter().map(|(name, netns, ipv4, ipv6)| Self::open(name, netns, *ipv4, *ipv6)).collect()
    }

    fn open(name: &str, netns: &str, ipv4: Ipv4Addr, ipv6: Ipv6Addr) -> Result<Self> {
        let path = netns_path(netns);
        let handle = File::open(&path).context(|| format!("opening the network namespace {path}"))?;
        let host = Self {
            inner: Arc::new(Inner { name: name.to_owned(), netns: netns.to_owned(), ipv4, ipv6, handle }),
        };
        host.run(set_sysctls)??;
        Ok(host)
    }

    /// Name in the lab, such as `client` or `node-1`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Name of the network namespace, for `ip -n NAME ...`.
    #[must_use]
    pub fn netns(&self) -> &str {
        &self.inner.netns
    }

    /// Its IPv4 address.
    #[must_use]
    pub fn ipv4(&self) -> Ipv4Addr {
        self.inner.ipv4
    }

    /// Its IPv6 address.
    #[must_use]
    pub fn ipv6(&self) -> Ipv6Addr {
        self.inner.ipv6
    }

    /// Runs a closure in this network namespace, on a thread of its own. Sockets that it opens stay in the
    /// namespace wherever they are used afterwards.
    ///
    /// # Errors
    /// [`Error::Io`] when the namespace cannot be entered.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let fd = self.inner.handle.as_fd();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_into_link_name_space(fd, Some(LinkNameSpaceType::Network))?;
                Ok::<_, rustix::io::Errno>(work())
            });
            match thread.join() {
                Ok(outcome) => outcome
                    .map_err(std::io::Error::from)
                    .context(|| format!("entering the network namespace {}", self.inner.netns)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Runs a closure in this network namespace on a thread of its own, and does not wait for it.
    ///
    /// # Errors
    /// [`Error::Io`] when there is no thread for it.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<JoinHandle<Result<T>>> {
        let host = self.clone();
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            move_into_link_name_space(host.inner.handle.as_fd(), Some(LinkNameSpaceType::Network))
                .map_err(std::io::Error::from)
                .context(|| format!("entering the network namespace {}", host.inner.netns))?;
            Ok(work())
        });
        thread.context(|| format!("starting the thread {name}"))
    }

    /// Several `ip` commands in this namespace, for example `["link set eth0 down"]`.
    ///
    /// # Errors
    /// [`Error::Command`] with what `ip` said.
    pub fn ip<S: AsRef<str>>(&self, lines: &[S]) -> Result<()> {
        let lines: Vec<_> = lines.iter().map(|line| line.as_ref().to_owned()).collect();
        command::ip(Some(&self.inner.netns), &lines)
    }

    /// The Ethernet address that an interface has now.
    ///
    /// # Errors
    /// [`Error::Command`] when there is no such interface.
    pub fn mac(&self, interface: &str) -> Result<Mac> {
        let args = ["-n", &self.inner.netns, "-oneline", "link", "show", "dev", interface];
        let said = command::run("ip", &args, "")?;
        let words: Vec<_> = said.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "link/ether").map(|at| at + 1);
        let word = at.and_then(|at| words.get(at)).ok_or_else(|| {
            Error::Invalid(format!("{interface} of {} has no Ethernet address", self.inner.name))
        })?;
        word.parse()
    }

    /// How many bytes an interface has received and sent so far.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is no such interface.
    pub fn traffic(&self, interface: &str) -> Result<(u64, u64)> {
        let what = || format!("reading what {} has received", self.inner.name);
        let text = self.run(|| std::fs::read_to_string("/proc/thread-self/net/dev"))?.context(what)?;
        let line = text.lines().find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'));
        let counts = line.map(|line| line.split_whitespace().filter_map(|word| word.parse().ok()).collect());
        match counts.unwrap_or_else(Vec::new).as_slice() {
            // Eight counts of what was received come first.
            [received, _, _, _, _, _, _, _, sent, ..] => Ok((*received, *sent)),
            _ => Err(Error::Invalid(format!("{} has no interface {interface}", self.inner.name))),
        }
    }

    /// A command line that starts `program` in this namespace. It becomes that program, so that its process id
    /// is the program's.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", netns_path(&self.inner.netns))).arg("--").arg(program);
        command
    }

    /// An HTTP GET from this host on a new connection, which must be answered within two seconds.
    ///
    /// # Errors
    /// [`Error::Http`] with the reason when nothing or nonsense came back. Any status is an answer.
    pub async fn http_get(&self, to: SocketAddr, path: &str) -> Result<Response> {
        self.exchange(to, path, None).await
    }

    /// [`Host::http_get`], or a POST of JSON.
    pub(crate) async fn exchange(
        &self,
        to: SocketAddr,
        path: &str,
        body: Option<String>,
    ) -> Result<Response> {
        let url = format!("http://{to}{path}");
        let failed = |reason: String| Error::Http { from: self.inner.name.clone(), url: url.clone(), reason };
        let socket = self
            .run(|| if to.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() })?
            .map_err(|error| failed(format!("no socket: {error}")))?;
        http::exchange(socket, to, path, body).await.map_err(failed)
    }

    /// [`Host::http_get`] of a server that stands behind a Pod: which Pod answered, and whom it saw.
    ///
    /// # Errors
    /// [`Error::Http`] also when it was not a Pod that answered.
    pub async fn get(&self, address: IpAddr, port: u16) -> Result<Answer> {
        let to = SocketAddr::new(address, port);
        let response = self.http_get(to, "/").await?;
        Answer::parse(&response.body).ok_or_else(|| Error::Http {
            from: self.inner.name.clone(),
            url: format!("http://{to}/"),
            reason: format!("not the answer of a Pod's server: {} {}", response.status, response.body.trim()),
        })
    }

    /// [`Host::get`] over UDP: one datagram, which must be answered within two seconds.
    ///
    /// # Errors
    /// As [`Host::get`].
    pub async fn get_udp(&self, address: IpAddr, port: u16) -> Result<Answer> {
        let to = SocketAddr::new(address, port);
        let failed = |reason: String| Error::Http {
            from: self.inner.name.clone(),
            url: format!("udp://{to}"),
            reason,
        };
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = self.run(|| {
            let socket = std::net::UdpSocket::bind(any)?;
            socket.set_nonblocking(true).map(|()| socket)
        })?;
        let answer = async {
            let socket = tokio::net::UdpSocket::from_std(socket?)?;
            socket.connect(to).await?;
            socket.send(b"?").await?;
            let mut buffer = [0; 512];
            let length = socket.recv(&mut buffer).await?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        let answer = tokio::time::timeout(http::TIMEOUT, answer).await;
        let text = answer
            .map_err(|_| failed(format!("no answer within {:?}", http::TIMEOUT)))?
            .map_err(|error| failed(format!("no answer: {error}")))?;
        Answer::parse(&text).ok_or_else(|| failed(format!("not the answer of a Pod's server: {text}")))
    }

    /// The Pods that answer `requests` connections, each with how often it did. Fails at the first one that
    /// nobody answers.
    ///
    /// # Errors
    /// As [`Host::get`].
    pub async fn who_answers(
        &self,
        address: IpAddr,
        port: u16,
        requests: usize,
    ) -> Result<std::collections::BTreeMap<String, usize>> {
        let mut answers = std::collections::BTreeMap::new();
        for _ in 0..requests {
            *answers.entry(self.get(address, port).await?.pod).or_default() += 1;
        }
        Ok(answers)
    }

    /// Pulls the cable to the lab's switch, or puts it back in.
    ///
    /// # Errors
    /// [`Error::Command`] with what `ip` said.
    pub fn set_connected(&self, connected: bool) -> Result<()> {
        self.ip(&[format!("link set eth0 {}", if connected { "up" } else { "down" })])
    }
}

/// Where `ip netns` keeps the name of a namespace.
fn netns_path(netns: &str) -> String {
    format!("/run/netns/{netns}")
}

/// A new namespace inherits the machine's settings; the lab's hosts must not depend on them. Forwarding is on
/// everywhere: only nodes have anything to forward.
fn set_sysctls() -> Result<()> {
    let settings = [
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/conf/all/arp_ignore", "0"),
        ("ipv4/conf/all/arp_announce", "0"),
        ("ipv6/conf/all/disable_ipv6", "0"),
        ("ipv6/conf/default/disable_ipv6", "0"),
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv6/conf/default/forwarding", "1"),
        // Nobody else is on these segments, and an address must be usable at once.
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
    ];
    for (name, value) in settings {
        let path = format!("/proc/sys/net/{name}");
        std::fs::write(&path, value).context(|| format!("writing {value} to {path}"))?;
    }
    Ok(())
}
