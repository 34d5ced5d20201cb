//! What a process has used so far, as the kernel counts it.

use std::fs;
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::process::Process;

/// Clock ticks per second in /proc, which Linux has fixed for user space (USER_HZ).
const TICKS_PER_SECOND: u64 = 100;

/// What a process has used since it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// User and system time of all of its threads, ended ones included.
    pub cpu: Duration,
    /// Bytes of memory that are resident now (VmRSS).
    pub resident: u64,
}

impl Process {
    /// What its present run has used.
    ///
    /// # Errors
    /// [`Error::Io`] when it does not run.
    pub fn usage(&self) -> Result<Usage> {
        let pid = self.pid();
        let read = |file: &str| {
            fs::read_to_string(format!("/proc/{pid}/{file}"))
                .context(|| format!("reading what {} has used", self.name()))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        let strange =
            |file: &str| Error::Invalid(format!("/proc/{pid}/{file} is not as proc(5) describes it"));
        let ticks = ticks(&stat).ok_or_else(|| strange("stat"))?;
        let resident = resident(&status).ok_or_else(|| strange("status"))?;
        Ok(Usage { cpu: ticks.max(self.threads()), resident })
    }

    /// CPU time of the threads that it has now, to the nanosecond; nothing where the kernel does not keep it
    /// (`CONFIG_SCHED_INFO`). Ticks are too coarse for a process that uses some milliseconds in a second, but know of
    /// threads that have ended.
    fn threads(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).into_iter().flatten().flatten();
        tasks
            .filter_map(|task| {
                let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
                text.split_whitespace().next()?.parse().ok()
            })
            .map(Duration::from_nanos)
            .sum()
    }
}

/// `utime` and `stime` of /proc/PID/stat, its fields 14 and 15. The name in field 2 may contain anything.
fn ticks(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * (1000 / TICKS_PER_SECOND)))
}

/// `VmRSS` of /proc/PID/status, in bytes.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_a_name_with_brackets_and_blanks() {
        let stat = "71 (a) b (c) S 1 71 71 0 -1 4194304 500 0 0 0 123 45 6 7 20 0 9 0 100 1 2";
        assert_eq!(ticks(stat), Some(Duration::from_millis(1680)));
        assert_eq!(ticks("71 no name"), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(resident("Name:\tx\nVmHWM:\t  90 kB\nVmRSS:\t  20 kB\n"), Some(20_480));
        assert_eq!(resident("Name:\tx\n"), None);
    }
}
