//! What this process uses: the `process_*` metrics, with the names, help texts and meanings that every Go
//! binary of Kubernetes serves, so that existing dashboards and alerts keep working.
//!
//! Everything is read from `/proc/self` at the moment of the scrape. A file that cannot be read or has another
//! form leaves its metrics out; it never fails the scrape.

use std::collections::HashMap;
use std::fs;

use prometheus::Registry;
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter, Gauge, Metric, MetricFamily, MetricType};

/// Clock ticks per second in `/proc/self/stat`: `USER_HZ`, which is 100 on every architecture that Linux still
/// supports with this binary. `sysconf` would need a C call.
const TICKS_PER_SECOND: f64 = 100.0;

/// Registers the `process_*` metrics of this process. Fails if they are registered already.
pub fn register(registry: &Registry) -> prometheus::Result<()> {
    registry.register(Box::new(ProcessCollector::new()?))
}

/// One metric: its name and help text as in client_golang's process collector, its type, and where it is in a
/// [`Sample`].
struct Definition {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    value: fn(&Sample) -> Option<f64>,
}

const DEFINITIONS: [Definition; 9] = [
    Definition {
        name: "process_cpu_seconds_total",
        help: "Total user and system CPU time spent in seconds.",
        kind: MetricType::COUNTER,
        value: |sample| sample.cpu_seconds,
    },
    Definition {
        name: "process_open_fds",
        help: "Number of open file descriptors.",
        kind: MetricType::GAUGE,
        value: |sample| sample.open_fds,
    },
    Definition {
        name: "process_max_fds",
        help: "Maximum number of open file descriptors.",
        kind: MetricType::GAUGE,
        value: |sample| sample.max_fds,
    },
    Definition {
        name: "process_virtual_memory_bytes",
        help: "Virtual memory size in bytes.",
        kind: MetricType::GAUGE,
        value: |sample| sample.virtual_memory_bytes,
    },
    Definition {
        name: "process_virtual_memory_max_bytes",
        help: "Maximum amount of virtual memory available in bytes.",
        kind: MetricType::GAUGE,
        value: |sample| sample.virtual_memory_max_bytes,
    },
    Definition {
        name: "process_resident_memory_bytes",
        help: "Resident memory size in bytes.",
        kind: MetricType::GAUGE,
        value: |sample| sample.resident_memory_bytes,
    },
    Definition {
        name: "process_start_time_seconds",
        help: "Start time of the process since unix epoch in seconds.",
        kind: MetricType::GAUGE,
        value: |sample| sample.start_time_seconds,
    },
    Definition {
        name: "process_network_receive_bytes_total",
        help: "Number of bytes received by the process over the network.",
        kind: MetricType::COUNTER,
        value: |sample| sample.received_bytes,
    },
    Definition {
        name: "process_network_transmit_bytes_total",
        help: "Number of bytes sent by the process over the network.",
        kind: MetricType::COUNTER,
        value: |sample| sample.sent_bytes,
    },
];

struct ProcessCollector {
    descriptions: Vec<Desc>,
}

impl ProcessCollector {
    fn new() -> prometheus::Result<Self> {
        let descriptions = DEFINITIONS
            .iter()
            .map(|metric| {
                Desc::new(metric.name.to_owned(), metric.help.to_owned(), Vec::new(), HashMap::new())
            })
            .collect::<prometheus::Result<_>>()?;
        Ok(Self { descriptions })
    }
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        families(&Sample::parse(&Files::read()))
    }
}

fn families(sample: &Sample) -> Vec<MetricFamily> {
    DEFINITIONS
        .iter()
        .filter_map(|definition| {
            let value = (definition.value)(sample)?;
            let mut metric = Metric::default();
            if definition.kind == MetricType::COUNTER {
                let mut counter = Counter::default();
                counter.set_value(value);
                metric.set_counter(counter);
            } else {
                let mut gauge = Gauge::default();
                gauge.set_value(value);
                metric.set_gauge(gauge);
            }
            let mut family = MetricFamily::default();
            family.set_name(definition.name.to_owned());
            family.set_help(definition.help.to_owned());
            family.set_field_type(definition.kind);
            family.set_metric(vec![metric]);
            Some(family)
        })
        .collect()
}

/// The texts that a [`Sample`] is taken from; empty where a file could not be read.
#[derive(Default)]
struct Files {
    /// `/proc/self/stat`
    stat: String,
    /// `/proc/self/status`
    status: String,
    /// `/proc/self/limits`
    limits: String,
    /// `/proc/self/net/netstat`: the counters of the network namespace, as upstream takes them.
    netstat: String,
    /// `/proc/stat`, for the boot time.
    machine: String,
    /// Number of entries of `/proc/self/fd`.
    open_fds: Option<usize>,
}

impl Files {
    fn read() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self {
            stat: read("/proc/self/stat"),
            status: read("/proc/self/status"),
            limits: read("/proc/self/limits"),
            netstat: read("/proc/self/net/netstat"),
            machine: read("/proc/stat"),
            // Reading the directory opens one more descriptor, which is gone afterwards.
            open_fds: fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count().saturating_sub(1)),
        }
    }
}

/// Values in the units of the metrics' names.
#[derive(Debug, Default, PartialEq)]
struct Sample {
    cpu_seconds: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
    virtual_memory_bytes: Option<f64>,
    virtual_memory_max_bytes: Option<f64>,
    resident_memory_bytes: Option<f64>,
    start_time_seconds: Option<f64>,
    received_bytes: Option<f64>,
    sent_bytes: Option<f64>,
}

impl Sample {
    fn parse(files: &Files) -> Self {
        let stat = stat_fields(&files.stat);
        // Numbers as proc(5) counts them, from 1.
        let field = |number: usize| stat.get(number - 3).and_then(|text| text.parse::<f64>().ok());
        let kib = |key| line_value(&files.status, key)?.strip_suffix("kB")?.trim().parse::<f64>().ok();
        Self {
            cpu_seconds: field(14).zip(field(15)).map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            #[expect(clippy::cast_precision_loss, reason = "no process has 2^53 descriptors")]
            open_fds: files.open_fds.map(|count| count as f64),
            max_fds: soft_limit(&files.limits, "Max open files"),
            virtual_memory_bytes: field(23),
            virtual_memory_max_bytes: soft_limit(&files.limits, "Max address space"),
            resident_memory_bytes: kib("VmRSS:").map(|kib| kib * 1024.0),
            start_time_seconds: field(22)
                .zip(line_value(&files.machine, "btime").and_then(|text| text.parse::<f64>().ok()))
                .map(|(since_boot, boot)| boot + since_boot / TICKS_PER_SECOND),
            received_bytes: netstat(&files.netstat, "InOctets"),
            sent_bytes: netstat(&files.netstat, "OutOctets"),
        }
    }
}

/// The fields of `/proc/self/stat` from the third on. The second, the command's name, may hold blanks and
/// parentheses, so everything up to the last parenthesis is skipped.
fn stat_fields(stat: &str) -> Vec<&str> {
    stat.rsplit_once(')').map(|(_, rest)| rest.split_ascii_whitespace().collect()).unwrap_or_default()
}

/// What follows `key` on the line that begins with it.
fn line_value<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

/// The soft limit of that name; no limit is the largest 64-bit number, as in client_golang.
fn soft_limit(limits: &str, name: &str) -> Option<f64> {
    match line_value(limits, name)?.split_ascii_whitespace().next()? {
        #[expect(clippy::cast_precision_loss, reason = "a stand-in for infinity")]
        "unlimited" => Some(u64::MAX as f64),
        number => number.parse().ok(),
    }
}

/// A counter of the `IpExt` group, whose first line holds the names and the second the values.
fn netstat(text: &str, name: &str) -> Option<f64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("IpExt:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let column = names.split_ascii_whitespace().position(|candidate| candidate == name)?;
    values.split_ascii_whitespace().nth(column)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use prometheus::TextEncoder;

    use super::*;

    fn files() -> Files {
        let mut stat: Vec<String> = (3..=52).map(|number| number.to_string()).collect();
        stat[0] = "S".to_owned();
        stat[14 - 3] = "250".to_owned();
        stat[15 - 3] = "50".to_owned();
        stat[22 - 3] = "12345".to_owned();
        stat[23 - 3] = "3133440".to_owned();
        Files {
            stat: format!("4711 (we) ird (name) {}\n", stat.join(" ")),
            status: "Name:\tx\nVmSize:\t 3060 kB\nVmRSS:\t    1936 kB\nThreads:\t1\n".to_owned(),
            limits: "Limit                     Soft Limit           Hard Limit           Units     \n\
                     Max open files            20000                40000                files     \n\
                     Max address space         unlimited            unlimited            bytes     \n"
                .to_owned(),
            netstat: "TcpExt: SyncookiesSent InOctets\nTcpExt: 1 2\n\
                      IpExt: InNoRoutes InOctets OutOctets\nIpExt: 7 370319852 2239467\n"
                .to_owned(),
            machine: "cpu  1 2 3\nbtime 1795274224\nprocesses 9\n".to_owned(),
            open_fds: Some(11),
        }
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "a stand-in for infinity")]
    fn every_value_comes_from_its_own_field() {
        assert_eq!(
            Sample::parse(&files()),
            Sample {
                cpu_seconds: Some(3.0),
                open_fds: Some(11.0),
                max_fds: Some(20000.0),
                virtual_memory_bytes: Some(3_133_440.0),
                virtual_memory_max_bytes: Some(u64::MAX as f64),
                resident_memory_bytes: Some(1_982_464.0),
                start_time_seconds: Some(1_795_274_347.45),
                received_bytes: Some(370_319_852.0),
                sent_bytes: Some(2_239_467.0),
            }
        );
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        assert_eq!(Sample::parse(&Files::default()), Sample::default());
        assert!(families(&Sample::default()).is_empty());

        let cut = Files { stat: "1 (x) S 1 2".to_owned(), netstat: "IpExt: InOctets".to_owned(), ..files() };
        let sample = Sample::parse(&cut);
        assert_eq!((sample.cpu_seconds, sample.received_bytes), (None, None));
        assert_eq!(sample.max_fds, Some(20000.0));
    }

    #[test]
    fn a_scrape_of_this_very_process_has_plausible_values() {
        let registry = Registry::new();
        register(&registry).unwrap();
        let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
        let value = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<f64>().ok())
                .unwrap_or_else(|| panic!("{name} is missing in:\n{text}"))
        };
        for definition in &DEFINITIONS {
            assert!(value(definition.name) >= 0.0, "{}", definition.name);
            assert!(text.contains(&format!("# HELP {} {}\n", definition.name, definition.help)));
        }
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_open_fds") >= 1.0 && value("process_open_fds") <= value("process_max_fds"));
        assert!(text.contains("# TYPE process_cpu_seconds_total counter\n"));
        assert!(text.contains("# TYPE process_start_time_seconds gauge\n"));

        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - value("process_start_time_seconds");
        assert!((-2.0..3600.0).contains(&age), "started {age} s ago");
    }

    #[test]
    fn registering_twice_is_refused() {
        let registry = Registry::new();
        register(&registry).unwrap();
        assert!(register(&registry).is_err());
    }
}
