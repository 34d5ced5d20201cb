use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use fairlead_machinery::lease::Timing;

use super::*;
use crate::args::endpoints::EndpointsConfig;
use crate::args::endpointslice::EndpointSliceConfig;
use crate::args::loadbalancer::LoadBalancerConfig;
use crate::args::manager::ApiLimit;
use crate::args::mirroring::MirroringConfig;

/// `fairlead manager --leader-elect=false` and these.
fn manager(flags: &[&str]) -> Result<ManagerConfig, Vec<String>> {
    manager_in(flags, &Environment::default())
}

fn manager_in(flags: &[&str], environment: &Environment) -> Result<ManagerConfig, Vec<String>> {
    match fairlead(&[&["manager", "--leader-elect=false"], flags].concat(), environment) {
        Ok(Invocation { role: Role::Manager(config), .. }) => Ok(config),
        Err(Answer::Refused(command, problems)) => {
            assert_eq!(command, "fairlead manager");
            Err(problems)
        }
        other => panic!("{other:?}"),
    }
}

fn fairlead(arguments: &[&str], environment: &Environment) -> Result<Invocation, Answer> {
    parse_from(["fairlead"].iter().chain(arguments).map(OsString::from).collect(), environment)
}

fn asked(arguments: &[&str]) -> String {
    match fairlead(arguments, &Environment::default()) {
        Err(Answer::Asked(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn clap_finds_no_fault_with_the_flags() {
    command().debug_assert();
}

const ALL: &str = "endpoints-controller,endpointslice-controller,endpointslice-mirroring-controller,\
                   loadbalancer-controller";

#[test]
fn defaults_are_those_of_kube_controller_manager_but_for_the_marked_ones() {
    let config = manager(&[]).unwrap();
    assert_eq!(config.kubeconfig, None);
    assert_eq!(config.master, None);
    assert_eq!(config.api_limit, None);
    assert_eq!(config.controllers.to_string(), ALL);
    assert_eq!(config.endpoints, EndpointsConfig { workers: 5, batch_period: Duration::ZERO });
    let endpointslice = EndpointSliceConfig {
        workers: 5,
        max_endpoints_per_slice: 100.try_into().unwrap(),
        batch_period: Duration::ZERO,
    };
    assert_eq!(config.endpointslice, endpointslice);
    let mirroring = MirroringConfig {
        workers: 5,
        max_endpoints_per_subset: 1000.try_into().unwrap(),
        batch_period: Duration::ZERO,
    };
    assert_eq!(config.mirroring, mirroring);
    let load_balancer =
        LoadBalancerConfig { workers: 10, class: None, drain_overlap: Duration::from_mins(1) };
    assert_eq!(config.load_balancer, load_balancer);
    assert!(!config.prune_leftovers);
    assert_eq!(config.recheck_period, Duration::from_mins(10));
    assert!(config.rival_check);
    assert_eq!(config.namespace, "fairlead-system");
    assert_eq!(config.admin_bind_address, "[::]:10270".parse::<SocketAddr>().unwrap());
    assert_eq!(config.notices, [""; 0]);
}

/// One value of one flag, and how the configuration shows it.
type Shown = fn(&ManagerConfig) -> String;

const ACCEPTED: &[(&str, &str, Shown, &str)] = &[
    (
        "kubeconfig",
        "/etc/kubeconfig",
        |c| format!("{:?}", c.kubeconfig.as_deref()),
        "Some(\"/etc/kubeconfig\")",
    ),
    ("kubeconfig", "", |c| format!("{:?}", c.kubeconfig.as_deref()), "None"),
    (
        "master",
        "https://[2001:db8::1]:6443",
        |c| format!("{:?}", c.master),
        "Some(https://[2001:db8::1]:6443/)",
    ),
    ("master", "", |c| format!("{:?}", c.master), "None"),
    ("controllers", "*", |c| c.controllers.to_string(), ALL),
    (
        "controllers",
        "*,-endpointslice,-endpointslicemirroring,-loadbalancer-controller",
        |c| c.controllers.to_string(),
        "endpoints-controller",
    ),
    (
        "controllers",
        "-endpoints-controller,endpointslice",
        |c| c.controllers.to_string(),
        "endpointslice-controller",
    ),
    ("controllers", "endpointslice", |c| c.controllers.to_string(), "endpointslice-controller"),
    ("concurrent-endpoint-syncs", "1", |c| c.endpoints.workers.to_string(), "1"),
    ("concurrent-endpoint-syncs", "51", |c| c.endpoints.workers.to_string(), "51"),
    ("concurrent-endpoint-syncs", "2147483647", |c| c.endpoints.workers.to_string(), "1000"),
    ("endpoint-updates-batch-period", "2s", |c| format!("{:?}", c.endpoints.batch_period), "2s"),
    ("concurrent-service-endpoint-syncs", "1", |c| c.endpointslice.workers.to_string(), "1"),
    ("concurrent-service-endpoint-syncs", "50", |c| c.endpointslice.workers.to_string(), "50"),
    ("concurrent-service-endpoint-syncs", "0x10", |c| c.endpointslice.workers.to_string(), "16"),
    ("mirroring-concurrent-service-endpoint-syncs", "1", |c| c.mirroring.workers.to_string(), "1"),
    ("mirroring-concurrent-service-endpoint-syncs", "50", |c| c.mirroring.workers.to_string(), "50"),
    ("mirroring-max-endpoints-per-subset", "1", |c| c.mirroring.max_endpoints_per_subset.to_string(), "1"),
    (
        "mirroring-max-endpoints-per-subset",
        "1000",
        |c| c.mirroring.max_endpoints_per_subset.to_string(),
        "1000",
    ),
    (
        "mirroring-endpointslice-updates-batch-period",
        "2s",
        |c| format!("{:?}", c.mirroring.batch_period),
        "2s",
    ),
    ("max-endpoints-per-slice", "1", |c| c.endpointslice.max_endpoints_per_slice.to_string(), "1"),
    ("max-endpoints-per-slice", "1000", |c| c.endpointslice.max_endpoints_per_slice.to_string(), "1000"),
    ("endpointslice-updates-batch-period", "0", |c| format!("{:?}", c.endpointslice.batch_period), "0ns"),
    (
        "endpointslice-updates-batch-period",
        "500ms",
        |c| format!("{:?}", c.endpointslice.batch_period),
        "500ms",
    ),
    (
        "endpointslice-updates-batch-period",
        "1h2m3.5s",
        |c| format!("{:?}", c.endpointslice.batch_period),
        "3723.5s",
    ),
    ("concurrent-load-balancer-syncs", "1", |c| c.load_balancer.workers.to_string(), "1"),
    ("concurrent-load-balancer-syncs", "50", |c| c.load_balancer.workers.to_string(), "50"),
    (
        "load-balancer-class",
        "example.com/vip",
        |c| format!("{:?}", c.load_balancer.class),
        "Some(\"example.com/vip\")",
    ),
    ("load-balancer-class", "", |c| format!("{:?}", c.load_balancer.class), "None"),
    ("pool-drain-overlap", "0", |c| format!("{:?}", c.load_balancer.drain_overlap), "0ns"),
    ("pool-drain-overlap", "1h30m", |c| format!("{:?}", c.load_balancer.drain_overlap), "5400s"),
    ("min-resync-period", "1ns", |c| c.notices.len().to_string(), "1"),
    ("min-resync-period", "12h0m0s", |c| c.notices.len().to_string(), "0"),
    ("recheck-period", "1s", |c| format!("{:?}", c.recheck_period), "1s"),
    ("recheck-period", "24h", |c| format!("{:?}", c.recheck_period), "86400s"),
    ("prune-leftovers", "true", |c| c.prune_leftovers.to_string(), "true"),
    ("prune-leftovers", "F", |c| c.prune_leftovers.to_string(), "false"),
    ("rival-check", "false", |c| c.rival_check.to_string(), "false"),
    ("rival-check", "1", |c| c.rival_check.to_string(), "true"),
    ("namespace", "kube-system", |c| c.namespace.clone(), "kube-system"),
    ("admin-bind-address", "127.0.0.1:0", |c| c.admin_bind_address.to_string(), "127.0.0.1:0"),
    ("admin-bind-address", ":8080", |c| c.admin_bind_address.to_string(), "[::]:8080"),
    ("kube-api-qps", "-1", |c| format!("{:?}", c.api_limit), "None"),
    ("kube-api-qps", "0.5", |c| format!("{:?}", c.api_limit), "Some(ApiLimit { qps: 0.5, burst: 10 })"),
    ("kube-api-burst", "30", |c| format!("{:?} {}", c.api_limit, c.notices.len()), "None 1"),
    ("kube-api-burst", "2147483647", |c| c.notices.len().to_string(), "1"),
    ("v", "10", |_| String::new(), ""),
    ("logging-format", "json", |_| String::new(), ""),
    ("leader-elect", "0", |c| format!("{:?}", c.leader_election), "None"),
    ("leader-elect-lease-duration", "1m", |_| String::new(), ""),
    ("leader-elect-renew-deadline", "5s", |_| String::new(), ""),
    ("leader-elect-retry-period", "500ms", |_| String::new(), ""),
    ("leader-elect-resource-lock", "leases", |_| String::new(), ""),
    ("leader-elect-resource-name", "a.b", |_| String::new(), ""),
    ("leader-elect-resource-namespace", "kube-system", |_| String::new(), ""),
];

#[test]
fn every_flag_takes_its_value_with_and_without_an_equals_sign() {
    for (flag, value, shown, expected) in ACCEPTED {
        let config = manager(&[&format!("--{flag}={value}")]);
        assert_eq!(config.as_ref().map(shown), Ok((*expected).to_owned()), "--{flag}={value}");
        // As with pflag, a boolean flag takes no value from the next argument.
        if !["leader-elect", "prune-leftovers", "rival-check"].contains(flag) {
            let config = manager(&[&format!("--{flag}"), value]);
            assert_eq!(config.as_ref().map(shown), Ok((*expected).to_owned()), "--{flag} {value}");
        }
    }
}

const REFUSED: &[(&str, &str, &str)] = &[
    ("concurrent-endpoint-syncs", "0", "must not be less than 1, but got 0 (allowed: 1 or more)"),
    ("concurrent-endpoint-syncs", "-5", "must not be less than 1, but got -5 (allowed: 1 or more)"),
    ("endpoint-updates-batch-period", "-1s", "must not be less than 0s, but got -1s"),
    ("concurrent-service-endpoint-syncs", "0", "must not be less than 1, but got 0 (allowed: 1 to 50)"),
    ("concurrent-service-endpoint-syncs", "51", "must not be more than 50, but got 51 (allowed: 1 to 50)"),
    ("concurrent-service-endpoint-syncs", "-3", "must not be less than 1, but got -3 (allowed: 1 to 50)"),
    ("concurrent-service-endpoint-syncs", "five", "must be a whole number (1 to 50), but got \"five\""),
    ("concurrent-service-endpoint-syncs", "", "must be a whole number (1 to 50), but got \"\""),
    (
        "mirroring-concurrent-service-endpoint-syncs",
        "0",
        "must not be less than 1, but got 0 (allowed: 1 to 50)",
    ),
    (
        "mirroring-concurrent-service-endpoint-syncs",
        "51",
        "must not be more than 50, but got 51 (allowed: 1 to 50)",
    ),
    ("mirroring-max-endpoints-per-subset", "0", "must not be less than 1, but got 0 (allowed: 1 to 1000)"),
    (
        "mirroring-max-endpoints-per-subset",
        "1001",
        "must not be more than 1000, but got 1001 (allowed: 1 to 1000)",
    ),
    ("mirroring-endpointslice-updates-batch-period", "-1s", "must not be less than 0s, but got -1s"),
    ("max-endpoints-per-slice", "0", "must not be less than 1, but got 0 (allowed: 1 to 1000)"),
    ("max-endpoints-per-slice", "1001", "must not be more than 1000, but got 1001 (allowed: 1 to 1000)"),
    (
        "max-endpoints-per-slice",
        "99999999999",
        "must not be more than 1000, but got 99999999999 (allowed: 1 to 1000)",
    ),
    ("endpointslice-updates-batch-period", "-1s", "must not be less than 0s, but got -1s"),
    (
        "endpointslice-updates-batch-period",
        "5",
        "must be a duration such as 500ms, 10s or 1h30m, but got \"5\": a number has no unit",
    ),
    ("concurrent-load-balancer-syncs", "0", "must not be less than 1, but got 0 (allowed: 1 to 50)"),
    ("concurrent-load-balancer-syncs", "51", "must not be more than 50, but got 51 (allowed: 1 to 50)"),
    (
        "load-balancer-class",
        "a b",
        "must be a class such as internal-vip or example.com/internal-vip (at most 63 letters, digits, dashes, dots and \
         underscores, with a letter or digit at either end), but got \"a b\"",
    ),
    ("pool-drain-overlap", "-1s", "must not be less than 0s, but got -1s"),
    ("min-resync-period", "-1ns", "must not be less than 0s, but got -1ns"),
    ("recheck-period", "999999999ns", "must not be less than 1s, but got 999999999ns"),
    ("leader-elect-lease-duration", "-1s", "must not be less than 0s, but got -1s"),
    (
        "leader-elect-renew-deadline",
        "10",
        "must be a duration such as 500ms, 10s or 1h30m, but got \"10\": a number has no unit",
    ),
    ("leader-elect-retry-period", "-2s", "must not be less than 0s, but got -2s"),
    (
        "leader-elect-resource-lock",
        "endpoints",
        "must be \"leases\", the only kind of lock that there is, but got \"endpoints\"",
    ),
    (
        "leader-elect-resource-name",
        "Manager",
        "must be the name of an object (at most 253 lower-case letters, digits, dashes and dots, with a letter or digit \
         at either end and beside each dot), but got \"Manager\"",
    ),
    (
        "leader-elect-resource-namespace",
        "-",
        "must be the name of a namespace (at most 63 lower-case letters, digits and dashes, no dash at either end), \
         but got \"-\"",
    ),
    ("prune-leftovers", "maybe", "must be true or false, but got \"maybe\""),
    ("rival-check", "2", "must be true or false, but got \"2\""),
    ("kube-api-qps", "fast", "must be a number, but got \"fast\""),
    ("kube-api-qps", "NaN", "must be a number, but got \"NaN\""),
    ("kube-api-burst", "-1", "must not be less than 0, but got -1 (allowed: 0 or more)"),
    ("v", "11", "must not be more than 10, but got 11 (allowed: 0 to 10)"),
    ("v", "-1", "must not be less than 0, but got -1 (allowed: 0 to 10)"),
    ("logging-format", "xml", "must be \"text\" or \"json\", but got \"xml\""),
    (
        "controllers",
        "*,endpoints",
        "\"endpoints\" is not a known controller; known are endpoints-controller (endpoint), endpointslice-controller \
         (endpointslice), endpointslice-mirroring-controller (endpointslicemirroring), loadbalancer-controller",
    ),
    ("master", "192.0.2.1", "must be a URL such as https://192.0.2.1:6443, but got \"192.0.2.1\""),
    (
        "admin-bind-address",
        "10270",
        "must be an IP address and a port, such as [::]:10270 or 127.0.0.1:0, but got \"10270\"",
    ),
    (
        "namespace",
        "Kube",
        "must be the name of a namespace (at most 63 lower-case letters, digits and dashes, no dash at either end), \
         but got \"Kube\"",
    ),
];

#[test]
fn a_wrong_value_is_refused_by_flag_value_and_range() {
    for (flag, value, expected) in REFUSED {
        let problems = manager(&[&format!("--{flag}={value}")]).unwrap_err();
        assert_eq!(problems, [format!("--{flag} {expected}")]);
    }
    let problems = manager(&["--leader-elect=maybe"]).unwrap_err();
    assert_eq!(problems, ["--leader-elect must be true or false, but got \"maybe\""]);
}

#[test]
fn all_wrong_values_are_reported_together() {
    let mut flags: Vec<String> = Vec::new();
    let mut expected: Vec<String> = Vec::new();
    for (flag, value, problem) in REFUSED {
        // The last of several values counts, so one per flag.
        if !expected.iter().any(|known: &String| known.starts_with(&format!("--{flag} "))) {
            flags.push(format!("--{flag}={value}"));
            expected.push(format!("--{flag} {problem}"));
        }
    }
    let environment = Environment { rust_log: Some("fairlead=loud".to_owned()), ..Environment::default() };
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut problems = manager_in(&flags, &environment).unwrap_err();
    let rust_log = problems.pop_if(|last| last.starts_with("the environment variable RUST_LOG"));
    assert!(rust_log.is_some(), "{problems:?}");
    problems.sort();
    expected.sort();
    assert_eq!(problems, expected);
}

#[test]
fn leader_election_is_on_with_the_times_of_kube_controller_manager() {
    let of = |flags: &[&str]| fairlead(&[&["manager"], flags].concat(), &Environment::default());
    let Ok(Invocation { role: Role::Manager(config), .. }) = of(&[]) else { panic!("refused") };
    let election = config.leader_election.unwrap();
    assert_eq!((election.namespace, election.name.as_str()), (None, "fairlead-manager"));
    assert_eq!(election.timing, Timing::default());
    for flag in ["--leader-elect=false", "--leader-elect=F", "--leader-elect=0"] {
        let Ok(Invocation { role: Role::Manager(config), .. }) = of(&["--leader-elect", flag]) else {
            panic!("refused")
        };
        assert_eq!(config.leader_election, None);
    }
    for (flags, expected) in [
        (
            &["--leader-elect-renew-deadline=15s"][..],
            "the --leader-elect-* flags do not go together: the lease duration (15s) must be greater than the renew \
             deadline (15s)",
        ),
        (
            &["--leader-elect-retry-period=9s"],
            "the --leader-elect-* flags do not go together: the renew deadline (10s) must be greater than 1.2 times the \
             retry period (9s)",
        ),
        (
            &["--leader-elect-resource-name=kube-controller-manager"],
            "--leader-elect-resource-name must not be \"kube-controller-manager\": holding that lease would stop the \
             cluster's own controllers; leave the flag out",
        ),
    ] {
        let Err(Answer::Refused(_, problems)) = of(flags) else { panic!("{flags:?} was not refused") };
        assert_eq!(problems, [expected]);
    }
    // Without leader election the times do not matter.
    assert!(of(&["--leader-elect=false", "--leader-elect-retry-period=9s"]).is_ok());
}

#[test]
fn the_last_of_several_values_counts_and_lists_add_up() {
    let config = manager(&["--max-endpoints-per-slice=0", "--max-endpoints-per-slice", "7"]).unwrap();
    assert_eq!(config.endpointslice.max_endpoints_per_slice.get(), 7);
    let lists = [
        "--controllers=*",
        "--controllers",
        "-endpointslice",
        "--controllers=-endpoint,-endpointslicemirroring,-loadbalancer-controller",
    ];
    assert!(manager(&lists).unwrap().controllers.is_empty());
}

#[test]
fn limits_need_a_rate() {
    let config = manager(&["--kube-api-qps=20", "--kube-api-burst=30"]).unwrap();
    assert_eq!(config.api_limit, Some(ApiLimit { qps: 20.0, burst: 30 }));
    assert!(config.notices.is_empty());
}

#[test]
fn verbosity_in_all_forms() {
    for (flags, expected) in [
        (&["-v", "4"][..], "kube_runtime=error,kube_client=off,fairlead=debug,info"),
        (&["-v4"], "kube_runtime=error,kube_client=off,fairlead=debug,info"),
        (&["-v=4"], "kube_runtime=error,kube_client=off,fairlead=debug,info"),
        (&["--v", "4"], "kube_runtime=error,kube_client=off,fairlead=debug,info"),
        (&["--v=4"], "kube_runtime=error,kube_client=off,fairlead=debug,info"),
        (&[], "kube_runtime=error,kube_client=off,info"),
    ] {
        let arguments = [&["manager", "--leader-elect=false"], flags].concat();
        let logging = fairlead(&arguments, &Environment::default()).unwrap().logging;
        assert_eq!(logging.filter(), expected, "{flags:?}");
    }
}

#[test]
fn the_namespace_is_that_of_the_flag_then_of_the_pod() {
    let pod = Environment { pod_namespace: Some("services".to_owned()), ..Environment::default() };
    assert_eq!(manager_in(&[], &pod).unwrap().namespace, "services");
    assert_eq!(manager_in(&["--namespace=mine"], &pod).unwrap().namespace, "mine");
    assert_eq!(
        manager_in(&["--kubeconfig=rel/path"], &pod).unwrap().kubeconfig.as_deref(),
        Some(Path::new("rel/path"))
    );
}

#[test]
fn what_is_not_known_is_refused_in_a_sentence() {
    let help = "\"fairlead manager --help\" lists what there is";
    for (arguments, command, expected) in [
        (&["manager", "--nope"][..], "fairlead manager", format!("unknown flag --nope; {help}")),
        (&["manager", "--nope=1"], "fairlead manager", format!("unknown flag --nope; {help}")),
        (
            &["manager", "--max-endpoints-per-slic=1"],
            "fairlead manager",
            format!("unknown flag --max-endpoints-per-slic; did you mean --max-endpoints-per-slice?; {help}"),
        ),
        (&["manager", "-x"], "fairlead manager", format!("unknown flag -x; {help}")),
        (
            &["manager", "--leader-elect", "false"],
            "fairlead manager",
            "does not take any arguments, got \"false\" (write --flag=value for true and false)".to_owned(),
        ),
        (
            &["manager", "--kubeconfig"],
            "fairlead manager",
            format!("--kubeconfig string needs a value; {help}"),
        ),
        (&["manager", "-v"], "fairlead manager", format!("--v Level needs a value; {help}")),
        (&[], "fairlead", "a role is missing; \"fairlead --help\" lists what there is".to_owned()),
        (
            &["manger"],
            "fairlead",
            "unknown role \"manger\"; \"fairlead --help\" lists what there is".to_owned(),
        ),
        (&["--nope"], "fairlead", "unknown flag --nope; \"fairlead --help\" lists what there is".to_owned()),
    ] {
        let answer = fairlead(arguments, &Environment::default()).unwrap_err();
        assert_eq!(answer, Answer::Refused(command, vec![expected]), "{arguments:?}");
    }
}

#[test]
fn help_has_one_entry_per_flag_with_defaults_as_pflag_writes_them() {
    let help = asked(&["manager", "--help"]);
    // The lines that begin a flag, without its short form.
    let is_flag = |line: &str| line.starts_with("      --") || line.starts_with("  -v, --");
    let entry = |flag: &str| {
        let mut lines = help.lines().skip_while(|line| {
            let name = line.split("--").nth(1).unwrap_or_default();
            !(is_flag(line) && name.split([' ', '[']).next() == Some(flag))
        });
        assert!(lines.next().is_some(), "--{flag} is missing in\n{help}");
        lines.take_while(|line| !line.is_empty()).collect::<String>()
    };
    for (flag, default) in [
        ("controllers", Some("(default [*])")),
        ("kube-api-burst", None),
        ("kube-api-qps", None),
        ("leader-elect", Some("(default true)")),
        ("leader-elect-lease-duration", Some("(default 15s)")),
        ("leader-elect-renew-deadline", Some("(default 10s)")),
        ("leader-elect-resource-lock", Some("(default \"leases\")")),
        ("leader-elect-resource-name", Some("(default \"fairlead-manager\")")),
        ("leader-elect-resource-namespace", None),
        ("leader-elect-retry-period", Some("(default 2s)")),
        ("min-resync-period", Some("(default 12h0m0s)")),
        ("concurrent-endpoint-syncs", Some("(default 5)")),
        ("endpoint-updates-batch-period", None),
        ("concurrent-service-endpoint-syncs", Some("(default 5)")),
        ("endpointslice-updates-batch-period", None),
        ("max-endpoints-per-slice", Some("(default 100)")),
        ("mirroring-concurrent-service-endpoint-syncs", Some("(default 5)")),
        ("mirroring-endpointslice-updates-batch-period", None),
        ("mirroring-max-endpoints-per-subset", Some("(default 1000)")),
        ("concurrent-load-balancer-syncs", Some("(default 10)")),
        ("load-balancer-class", None),
        ("pool-drain-overlap", Some("(default 1m0s)")),
        ("admin-bind-address", Some("(default [::]:10270)")),
        ("namespace", None),
        ("prune-leftovers", None),
        ("rival-check", Some("(default true)")),
        ("recheck-period", Some("(default 10m0s)")),
        ("logging-format", Some("(default \"text\")")),
        ("v", None),
        ("kubeconfig", None),
        ("master", None),
    ] {
        let entry = entry(flag);
        match default {
            Some(default) => assert!(entry.ends_with(default), "{entry}"),
            None => assert!(!entry.contains("(default"), "{entry}"),
        }
        assert!(!entry.contains("[default"), "{entry}");
    }
    for flag in ["concurrent-endpoint-syncs", "kube-api-burst", "kube-api-qps", "min-resync-period"] {
        assert!(entry(flag).contains("Differs from kube-controller-manager"), "{flag}");
    }
    let flags = help.lines().filter(|line| is_flag(line)).count();
    assert_eq!(flags, 31, "{help}");
    assert!(asked(&["--help"]).contains("manager"));
}

#[test]
fn version() {
    let version = format!("fairlead {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(asked(&["--version"]), version);
    assert!(asked(&["manager", "--version"]).contains(env!("CARGO_PKG_VERSION")));
}
