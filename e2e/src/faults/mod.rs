//! Faults between a client and the API server.
//!
//! [`Faults`] is an HTTPS proxy in the process of the test, at an address of the control plane. Bearer tokens pass
//! through it as they are, so a manager is the same ServiceAccount with and without it. Without rules it changes
//! nothing; rules say which requests meet which [`Fault`], by chance or a number of times, and [`Faults::calm`] ends
//! all of them.

mod proxy;
mod request;
mod rules;
mod watching;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

pub use fairlead_fake_api::Weather;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

pub use self::request::{Requests, Verb};
pub use self::rules::Fault;

use self::proxy::Proxy;
use self::rules::Rules;
use crate::api_server::{ApiServer, Endpoint};
use crate::error::{Context, Error, Result};
use crate::lab::Shared;
use crate::network;

/// A layer of faults in front of the API servers of a lab: see [`crate::Lab::faults`]. Clones are the same layer; it
/// works until the lab ends.
#[derive(Clone)]
pub struct Faults {
    inner: Arc<Inner>,
}

struct Inner {
    lab: Arc<Shared>,
    proxy: Arc<Proxy>,
    address: SocketAddr,
    /// Accepts connections; none while the layer is down.
    accepting: Mutex<Option<AbortHandle>>,
}

impl Faults {
    pub(crate) fn start(lab: Arc<Shared>, seed: u64) -> Result<Self> {
        let (_, management) = network::management(lab.site.number());
        let listener = listen(&lab, SocketAddr::new(management.into(), 0))?;
        let address = listener.local_addr().context(|| "asking for the port of the faults".into())?;
        let servers = lab.control_plane.api_servers.iter();
        let servers = servers.map(|server| stranger(&lab, server.url())).collect::<Result<_>>()?;
        let proxy = Proxy {
            rules: Mutex::new(Rules::new(seed)),
            calm: watch::Sender::new(0),
            breaks: watch::Sender::new(0),
            tls: acceptor(&lab)?,
            servers,
            routes: parking_lot::RwLock::default(),
        };
        let inner = Inner { lab, proxy: Arc::new(proxy), address, accepting: Mutex::new(None) };
        inner.accept(listener)?;
        Ok(Self { inner: Arc::new(inner) })
    }

    /// A fault that befalls so many percent of these requests or watches.
    pub fn often(&self, fault: Fault, requests: Requests, percent: u8) {
        self.inner.proxy.rules.lock().often(fault, requests, percent);
    }

    /// A fault that befalls the next of these requests that it can befall. [`Fault::Cut`], [`Fault::Silence`] and
    /// [`Fault::Expired`] befall the next event of a watch, also of one that is open.
    pub fn next(&self, fault: Fault, requests: Requests) {
        self.times(fault, requests, 1);
    }

    /// [`Faults::next`] for so many.
    pub fn times(&self, fault: Fault, requests: Requests, times: u32) {
        self.inner.proxy.rules.lock().times(fault, requests, times);
    }

    /// All faults of a weather with its percentages, on top of what is. A watch that is open throws its dice at its next
    /// event.
    pub fn weather(&self, weather: &Weather, requests: &Requests) {
        self.inner.proxy.rules.lock().weather(weather, requests);
    }

    /// Ends all faults: no rules, late events come at once, and what hangs or is silent breaks.
    ///
    /// # Errors
    /// [`Error::Io`] when the layer was down and its port cannot be had again.
    pub fn calm(&self) -> Result<()> {
        self.inner.proxy.rules.lock().clear();
        self.inner.proxy.calm.send_modify(|count| *count += 1);
        self.set_down(false)
    }

    /// Refuses connections and breaks those that are open, as an API server that ended; or accepts them again.
    ///
    /// # Errors
    /// [`Error::Io`] when the port cannot be had again.
    pub fn set_down(&self, down: bool) -> Result<()> {
        let accepting = self.inner.accepting.lock().take();
        match accepting {
            Some(accepting) if down => {
                accepting.abort();
                self.inner.proxy.breaks.send_modify(|count| *count += 1);
                self.inner.proxy.count(Fault::Down);
                Ok(())
            }
            None if !down => self.inner.accept(listen(&self.inner.lab, self.inner.address)?),
            unchanged => {
                *self.inner.accepting.lock() = unchanged;
                Ok(())
            }
        }
    }

    /// From now on sends these requests to another API server than the first one.
    pub fn route(&self, requests: Requests, server: &ApiServer) {
        self.inner.proxy.routes.write().push((requests, server.index()));
    }

    /// How often a fault really happened.
    #[must_use]
    pub fn made(&self, fault: Fault) -> u64 {
        self.inner.proxy.rules.lock().made().get(&fault).copied().unwrap_or_default()
    }

    /// All faults that happened, each with how often.
    #[must_use]
    pub fn all_made(&self) -> BTreeMap<Fault, u64> {
        self.inner.proxy.rules.lock().made().clone()
    }

    fn url(&self) -> String {
        format!("https://{}", self.inner.address)
    }
}

impl From<&Faults> for Endpoint {
    fn from(faults: &Faults) -> Self {
        Self {
            name: format!("faults-{}", faults.inner.address.port()),
            url: faults.url(),
            certificates: false,
        }
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Faults").field("made", &self.all_made()).finish_non_exhaustive()
    }
}

impl Inner {
    fn accept(&self, listener: TcpListener) -> Result<()> {
        let proxy = Arc::clone(&self.proxy);
        let accepting = self
            .lab
            .site
            .serve(listener, |listener| proxy::serve(proxy, listener))
            .context(|| format!("serving on {}", self.address))?;
        *self.accepting.lock() = Some(accepting.ok_or_else(ended)?);
        Ok(())
    }
}

fn ended() -> Error {
    Error::Invalid("the faults have no lab any more: it has ended".into())
}

/// Listens on the host of the control plane, where its certificate is valid.
fn listen(lab: &Shared, address: SocketAddr) -> Result<TcpListener> {
    lab.control_plane_host
        .run(|| TcpListener::bind(address))?
        .context(|| format!("listening on {address} of the control plane"))
}

/// A client that says nothing about who it is.
fn stranger(lab: &Shared, url: &str) -> Result<kube::Client> {
    let what = || format!("preparing a client for {url}");
    let uri = url.parse().map_err(std::io::Error::other).context(what)?;
    let ca = lab.pki.path("ca.crt");
    let authority = CertificateDer::from_pem_file(&ca).map_err(std::io::Error::other).context(what)?;
    let mut config = kube::Config::new(uri);
    config.root_cert = Some(vec![authority.to_vec()]);
    config.default_retry = false;
    let client = lab.site.in_servers(|_| kube::Client::try_from(config)).ok_or_else(ended)?;
    client.context(what)
}

/// TLS with the certificate of the API server.
fn acceptor(lab: &Shared) -> Result<TlsAcceptor> {
    let what = || "reading the certificate of the API server".to_owned();
    let chain = CertificateDer::pem_file_iter(lab.pki.path("apiserver.crt"))
        .and_then(Iterator::collect)
        .map_err(std::io::Error::other)
        .context(what)?;
    let key = PrivateKeyDer::from_pem_file(lab.pki.path("apiserver.key"))
        .map_err(std::io::Error::other)
        .context(what)?;
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(std::io::Error::other)
        .context(what)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
