//! Where the binaries are that a lab starts.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// A Kubernetes binary or etcd: the user's own (`KUBEBUILDER_ASSETS`) before that of `hack/kubernetes-binaries`.
pub(crate) fn kubernetes(name: &str) -> Result<PathBuf> {
    let folders =
        ["KUBEBUILDER_ASSETS", "FAIRLEAD_LAB_BINARIES"].map(|variable| (variable, env::var_os(variable)));
    for (_, folder) in &folders {
        if let Some(folder) = folder {
            let path = Path::new(folder).join(name);
            if path.is_file() {
                return Ok(path);
            }
        }
    }
    let looked_at = folders
        .iter()
        .map(|(variable, folder)| match folder {
            Some(folder) => format!("not in {variable}={}", folder.display()),
            None => format!("{variable} is not set"),
        })
        .collect::<Vec<_>>()
        .join(", ");
    Err(Error::MissingBinary {
        name: name.to_owned(),
        looked_at,
        remedy: "run `hack/kubernetes-binaries`; `hack/in-namespace` does that by itself",
    })
}

/// The folder of one of the binaries, for a person's `PATH`.
pub(crate) fn folder() -> Result<PathBuf> {
    let kubectl = kubernetes("kubectl")?;
    Ok(kubectl.parent().unwrap_or(Path::new("/")).to_owned())
}

/// The binary under test: `FAIRLEAD_BINARY`, which `hack/in-namespace` sets to the one that it built.
pub(crate) fn fairlead() -> Result<PathBuf> {
    let named = env::var_os("FAIRLEAD_BINARY").filter(|value| !value.is_empty());
    match named.map(PathBuf::from) {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => Err(missing_fairlead(format!("there is no file {}", path.display()))),
        None => Err(missing_fairlead("FAIRLEAD_BINARY is not set".to_owned())),
    }
}

fn missing_fairlead(looked_at: String) -> Error {
    Error::MissingBinary {
        name: "fairlead".to_owned(),
        looked_at,
        remedy: "run `cargo build -p fairlead` and set FAIRLEAD_BINARY to the binary; cargo's runner does that by itself",
    }
}

/// A program that must be in `PATH`.
pub(crate) fn in_path(name: &str, remedy: &'static str) -> Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    if env::split_paths(&path).any(|folder| folder.join(name).is_file()) {
        Ok(())
    } else {
        Err(Error::MissingBinary { name: name.to_owned(), looked_at: "not in PATH".to_owned(), remedy })
    }
}
