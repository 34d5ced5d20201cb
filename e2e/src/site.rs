//! The ground that a lab stands on: its number, folder, processes and namespaces, and their removal.

use std::env;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::AbortHandle;

use crate::command;
use crate::error::{Context, Error, Result};
use crate::host::Host;
use crate::process::Process;

/// Where all labs live: on the tmpfs that `hack/in-namespace` mounts over /run.
const LABS: &str = "/run/fairlead/labs";

/// More labs than the management network has pairs of addresses for (198.18.0.0/15, four addresses each).
const TOO_MANY: u32 = 1 << 15;

/// What belongs to one lab and vanishes with it.
pub(crate) struct Site {
    number: u32,
    folder: PathBuf,
    namespaces: Mutex<Vec<String>>,
    processes: Mutex<Vec<Process>>,
    /// Runs the servers behind Pods and the faults, so that they answer while a test's own thread is busy.
    servers: Mutex<Option<Runtime>>,
}

impl Site {
    /// Takes the first free number. A folder is made by one process only, so labs of several processes in the
    /// same namespaces never share one.
    pub(crate) fn reserve() -> Result<Self> {
        if env::var_os("FAIRLEAD_LAB_PID").is_none() {
            return Err(Error::Outside);
        }
        fs::create_dir_all(LABS).context(|| format!("making {LABS}"))?;
        for number in 0..TOO_MANY {
            let folder = Path::new(LABS).join(number.to_string());
            match fs::create_dir(&folder) {
                Ok(()) => return Self::set_up(number, folder),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error).context(|| format!("making {}", folder.display())),
            }
        }
        Err(Error::Invalid(format!("there are {TOO_MANY} labs in {LABS} already")))
    }

    fn set_up(number: u32, folder: PathBuf) -> Result<Self> {
        let servers = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("lab-servers")
            .enable_all()
            .build()
            .context(|| "starting a thread for the lab's own servers".into())?;
        let site = Self {
            number,
            folder,
            namespaces: Mutex::default(),
            processes: Mutex::default(),
            servers: Mutex::new(Some(servers)),
        };
        let logs = site.folder.join("logs");
        fs::create_dir(&logs).context(|| format!("making {}", logs.display()))?;
        Ok(site)
    }

    /// Number of the lab, unique while it exists.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// What the names of its network namespaces begin with.
    pub(crate) fn prefix(&self) -> String {
        format!("lab{}", self.number)
    }

    /// Where its files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes hosts, given as name and addresses. They are not connected to anything yet.
    pub(crate) fn hosts(&self, wanted: &[(String, Ipv4Addr, Ipv6Addr)]) -> Result<Vec<Host>> {
        let prefix = self.prefix();
        let wanted: Vec<_> = wanted
            .iter()
            .map(|(name, ipv4, ipv6)| (name.clone(), format!("{prefix}-{name}"), *ipv4, *ipv6))
            .collect();
        self.namespaces.lock().extend(wanted.iter().map(|(_, netns, ..)| netns.clone()));
        Host::create(&wanted)
    }

    /// [`Site::hosts`] for one.
    pub(crate) fn host(&self, name: &str, ipv4: Ipv4Addr, ipv6: Ipv6Addr) -> Result<Host> {
        let mut hosts = self.hosts(&[(name.to_owned(), ipv4, ipv6)])?;
        hosts.pop().ok_or_else(|| Error::Invalid(format!("the host {name} was not made")))
    }

    /// Removes a host before its lab ends. After the end there is nothing to remove, and the name may be another
    /// lab's by then.
    pub(crate) fn remove_host(&self, host: &Host) {
        let mut namespaces = self.namespaces.lock();
        if let Some(at) = namespaces.iter().position(|netns| netns == host.netns()) {
            namespaces.swap_remove(at);
            if let Err(error) = command::ip(None, &[format!("netns delete {}", host.netns())]) {
                eprintln!("lab {}: {error}", self.number);
            }
        }
    }

    /// Starts a process of the lab.
    pub(crate) fn start(
        &self,
        name: &str,
        command: impl Fn() -> Command + Send + Sync + 'static,
    ) -> Result<Process> {
        let log = self.folder.join("logs").join(format!("{name}.log"));
        let process = Process::start(format!("{name} of lab {}", self.number), log, command)?;
        self.processes.lock().push(process.clone());
        Ok(process)
    }

    /// Fails if a process ended unasked.
    pub(crate) fn check(&self) -> Result<()> {
        self.processes.lock().iter().try_for_each(Process::check)
    }

    /// Runs a server until the lab ends; none when it has ended already. Its listener is of any of the lab's hosts.
    pub(crate) fn serve<F: Future<Output = ()> + Send + 'static>(
        &self,
        listener: std::net::TcpListener,
        server: impl FnOnce(TcpListener) -> F,
    ) -> std::io::Result<Option<AbortHandle>> {
        listener.set_nonblocking(true)?;
        self.in_servers(|servers| {
            let listener = TcpListener::from_std(listener)?;
            Ok(servers.spawn(server(listener)).abort_handle())
        })
        .transpose()
    }

    /// Does something in the runtime of the servers, so that what it spawns runs there; nothing after the end.
    pub(crate) fn in_servers<T>(&self, work: impl FnOnce(&Runtime) -> T) -> Option<T> {
        let servers = self.servers.lock();
        let servers = servers.as_ref()?;
        let _entered = servers.enter();
        Some(work(servers))
    }

    /// The management leg's name in the namespaces of the caller.
    pub(crate) fn management_link(&self) -> String {
        format!("mgmt{}", self.number)
    }

    /// Ends everything, blocking, and leaves nothing. The second call finds nothing to do.
    pub(crate) fn clean_up(&self) {
        let processes = std::mem::take(&mut *self.processes.lock());
        processes.iter().for_each(Process::destroy);
        processes.iter().for_each(Process::reap);
        if let Some(servers) = self.servers.lock().take() {
            // Waiting is not allowed where async code drops a lab; the sockets close on the way out.
            servers.shutdown_background();
        }
        let namespaces = std::mem::take(&mut *self.namespaces.lock());
        if !namespaces.is_empty() {
            let mut lines: Vec<_> = namespaces.iter().map(|name| format!("netns delete {name}")).collect();
            // The kernel would remove it with the other end, but some moments later.
            lines.push(format!("link delete {}", self.management_link()));
            // -force goes on after a line that fails: a start that broke off has made only some of them.
            let _ = command::run("ip", &["-force", "-batch", "-"], &(lines.join("\n") + "\n"));
        }
        if let Err(error) = fs::remove_dir_all(&self.folder)
            && error.kind() != ErrorKind::NotFound
        {
            eprintln!("lab {}: {} could not be removed: {error}", self.number, self.folder.display());
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.clean_up();
    }
}
