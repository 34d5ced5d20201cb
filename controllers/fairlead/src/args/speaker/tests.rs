use super::*;
use crate::args::{Answer, Invocation, Role, parse_from};

fn speaker_in(flags: &[&str], environment: &Environment) -> Result<SpeakerConfig, Vec<String>> {
    let arguments = ["fairlead", "speaker"].iter().chain(flags).map(Into::into).collect();
    match parse_from(arguments, environment) {
        Ok(Invocation { role: Role::Speaker(config), .. }) => Ok(config),
        Err(Answer::Refused(command, problems)) => {
            assert_eq!(command, "fairlead speaker");
            Err(problems)
        }
        other => panic!("{other:?}"),
    }
}

/// `fairlead speaker --node-name=node-1` and these.
fn speaker(flags: &[&str]) -> Result<SpeakerConfig, Vec<String>> {
    speaker_in(&[&["--node-name=node-1"], flags].concat(), &Environment::default())
}

#[test]
fn defaults() {
    let config = speaker(&[]).unwrap();
    assert_eq!(config.kubeconfig, None);
    assert_eq!(config.master, None);
    assert_eq!(config.namespace, "fairlead-system");
    assert_eq!(config.node, "node-1");
    assert_eq!(config.weight, 100);
    assert!(!config.ignore_exclude_lb && !config.respect_cordon);
    assert_eq!(config.beacon_period, Duration::from_millis(200));
    assert_eq!(config.key_directory, Some(PathBuf::from("/etc/fairlead/beacon-key")));
    assert_eq!(config.excluded, Patterns::default());
    assert_eq!(config.drain_limit, Duration::from_secs(5));
    assert_eq!(config.admin_bind_address.to_string(), "127.0.0.1:10271");
}

#[test]
fn values() {
    let config = speaker(&[
        "--kubeconfig=/etc/kubeconfig",
        "--namespace=mine",
        "--weight",
        "0",
        "--ignore-exclude-lb",
        "--respect-cordon=true",
        "--beacon-period=1s",
        "--insecure-beacons",
        "--excluded-interfaces=",
        "--drain-limit=0",
        "--admin-bind-address=[::]:0",
    ])
    .unwrap();
    assert_eq!(config.kubeconfig, Some(PathBuf::from("/etc/kubeconfig")));
    assert_eq!(config.namespace, "mine");
    assert_eq!(config.weight, 0);
    assert!(config.ignore_exclude_lb && config.respect_cordon);
    assert_eq!(config.beacon_period, Duration::from_secs(1));
    assert_eq!(config.key_directory, None);
    assert_eq!(config.excluded.to_string(), "");
    assert_eq!(config.drain_limit, Duration::ZERO);
    assert_eq!(config.admin_bind_address.port(), 0);
}

#[test]
fn wrong_values_are_refused_together() {
    for (flag, expected) in [
        ("--weight=10001", "--weight must not be more than 10000, but got 10001 (allowed: 0 to 10000)"),
        ("--beacon-period=49ms", "--beacon-period must not be less than 50ms, but got 49ms"),
        ("--beacon-period=2001ms", "--beacon-period must not be more than 2s, but got 2001ms"),
        ("--drain-limit=61s", "--drain-limit must not be more than 1m, but got 61s"),
        ("--insecure-beacons=maybe", "--insecure-beacons must be true or false, but got \"maybe\""),
        ("--beacon-key-dir=", "--beacon-key-dir must be a directory; --insecure-beacons does without keys"),
    ] {
        assert_eq!(speaker(&[flag]).unwrap_err(), [expected], "{flag}");
    }
    let several =
        speaker(&["--node-name=Node_1", "--excluded-interfaces=^veth", "--admin-bind-address=here", "-v=11"]);
    let problems = several.unwrap_err();
    let of =
        ["--node-name must be", "--excluded-interfaces must be", "--admin-bind-address must be", "--v must"];
    assert_eq!(problems.len(), of.len(), "{problems:?}");
    assert!(problems.iter().zip(of).all(|(problem, of)| problem.starts_with(of)), "{problems:?}");
}

#[test]
fn the_node_is_that_of_the_flag_then_of_the_environment_then_of_the_host() {
    let host = Environment { host_name: Some("Host-1.example.com\n".to_owned()), ..Environment::default() };
    let pod = Environment { node_name: Some("node-1".to_owned()), ..host };
    assert_eq!(speaker_in(&["--node-name=node-2"], &pod).unwrap().node, "node-2");
    assert_eq!(speaker_in(&[], &pod).unwrap().node, "node-1");
    let host = Environment { node_name: None, ..pod };
    assert_eq!(speaker_in(&[], &host).unwrap().node, "host-1.example.com");
    let problems = speaker_in(&[], &Environment::default()).unwrap_err();
    assert_eq!(problems, ["--node-name must be given: this host has no name"]);
}

#[test]
fn what_is_not_known_is_refused_in_a_sentence() {
    let help = "\"fairlead speaker --help\" lists what there is";
    assert_eq!(speaker(&["--controllers=*"]).unwrap_err(), [format!("unknown flag --controllers; {help}")]);
}

#[test]
fn help_shows_defaults_as_those_of_the_manager_are_shown() {
    let arguments = ["fairlead", "speaker", "--help"].iter().map(Into::into).collect();
    let Err(Answer::Asked(help)) = parse_from(arguments, &Environment::default()) else { panic!("no help") };
    for default in [
        "(default 200ms)",
        "(default 5s)",
        "(default 100)",
        "(default 127.0.0.1:10271)",
        "(default \"/etc/fairlead/beacon-key\")",
    ] {
        assert!(help.contains(default), "{default} is missing in\n{help}");
    }
    assert!(!help.contains("[default"), "{help}");
}
