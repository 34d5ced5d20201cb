//! A wall clock that steps, for the manager alone: libfaketime reads the difference from a file.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use lab::{Error, Result};

use crate::churn::Churn;

/// What says how far the manager's wall clock is off. On the lab's own tmpfs.
const OFFSET: &str = "/run/fairlead-clock";
/// Where distributions put the library.
const FOLDERS: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib/aarch64-linux-gnu/faketime",
    "/usr/lib/faketime",
    "/usr/lib64/faketime",
];
/// Forward and backward, by a little and by much: a leap second, a machine that slept, a wrong year.
const STEPS: [&str; 6] = ["+1s", "+2h", "-2h", "+3650d", "-3650d", "+0"];

/// The library.
pub(crate) struct Clock {
    library: PathBuf,
}

impl Clock {
    /// Finds it, at `FAIRLEAD_FAKETIME` or where it is installed.
    pub(crate) fn find() -> Option<Self> {
        let given = env::var_os("FAIRLEAD_FAKETIME").map(PathBuf::from);
        let installed = FOLDERS.iter().map(|folder| PathBuf::from(folder).join("libfaketimeMT.so.1"));
        let library = given.into_iter().chain(installed).find(|it| it.exists())?;
        fs::write(OFFSET, "+0").ok()?;
        Some(Self { library })
    }

    /// Whether a process really has its clock from here.
    pub(crate) fn is_that_of(&self, pid: i32) -> bool {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        self.library.canonicalize().is_ok_and(|it| maps.contains(&*it.to_string_lossy()))
    }

    /// The environment of a process whose clock can be stepped. The clock that measures durations goes on as it is, as
    /// it does when somebody sets a machine's clock.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", OFFSET.to_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}

/// Steps the clock while things change.
pub(crate) async fn steps(churn: &mut Churn<'_>, rounds: usize) -> Result<()> {
    for _ in 0..rounds {
        for step in STEPS {
            fs::write(OFFSET, step).map_err(|error| Error::Invalid(format!("writing {OFFSET}: {error}")))?;
            churn.steps(3).await?;
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
    }
    Ok(())
}
