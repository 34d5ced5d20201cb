//! What stands behind a Pod: a network namespace on a node and HTTP servers in it.

use std::net::{Ipv6Addr, SocketAddr};

use tokio::task::AbortHandle;

use crate::error::{Context, Error, Result};
use crate::host::Host;
use crate::http;
use crate::network;
use crate::node::Node;
use crate::site::Site;

/// The body of one Pod. It stays until [`Body::remove`] or the end of the lab.
pub(crate) struct Body {
    host: Host,
    /// Last part of its addresses.
    number: u8,
    servers: Vec<AbortHandle>,
}

impl Body {
    /// A namespace behind `node` with the address `number`, and a server on each port: of TCP, and of UDP. `pod` is
    /// namespace and name.
    pub(crate) fn make(
        site: &Site,
        node: &Node,
        pod: &(String, String),
        number: u8,
        (tcp, udp): (&[u16], &[u16]),
    ) -> Result<Self> {
        let (ipv4, ipv6) = network::pod_address(node.index(), number);
        let host = site.host(&format!("pod-{}.{}", pod.0, pod.1), ipv4, ipv6)?;
        let mut body = Self { host, number, servers: Vec::new() };
        let outcome = network::plug_pod(node.host(), node.index(), &format!("pod{number}"), &body.host)
            .and_then(|()| {
                for &port in tcp {
                    body.servers.push(listen(site, &body.host, &pod.1, port)?);
                }
                for &port in udp {
                    body.servers.push(listen_to_datagrams(site, &body.host, &pod.1, port)?);
                }
                Ok(())
            });
        match outcome {
            Ok(()) => Ok(body),
            Err(error) => {
                body.dismantle(site);
                Err(error)
            }
        }
    }

    /// Its network namespace.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Takes it away and gives its address back to its node.
    pub(crate) fn remove(self, site: &Site, node: &Node) {
        self.dismantle(site);
        node.release_address(self.number);
    }

    fn dismantle(&self, site: &Site) {
        self.servers.iter().for_each(AbortHandle::abort);
        site.remove_host(&self.host);
    }
}

/// Listens on a host and answers with this name; the task runs in the lab's own runtime.
pub(crate) fn listen(site: &Site, host: &Host, name: &str, port: u16) -> Result<AbortHandle> {
    let what = || format!("listening on port {port} of {name}");
    // One socket for both families.
    let address = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    let listener = host.run(|| std::net::TcpListener::bind(address))?.context(what)?;
    let server = site.serve(listener, |listener| http::serve_pod(name.into(), listener)).context(what)?;
    server.ok_or_else(|| Error::Invalid(format!("{}: the lab has ended", what())))
}

/// [`listen`] for UDP.
fn listen_to_datagrams(site: &Site, host: &Host, name: &str, port: u16) -> Result<AbortHandle> {
    let what = || format!("listening on UDP port {port} of {name}");
    let address = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
    let socket = host.run(|| std::net::UdpSocket::bind(address))?.context(what)?;
    socket.set_nonblocking(true).context(what)?;
    let name = name.into();
    let server = site.in_servers(|servers| {
        let socket = tokio::net::UdpSocket::from_std(socket)?;
        Ok::<_, std::io::Error>(servers.spawn(http::serve_datagrams(name, socket)).abort_handle())
    });
    let server = server.transpose().context(what)?;
    server.ok_or_else(|| Error::Invalid(format!("{}: the lab has ended", what())))
}
