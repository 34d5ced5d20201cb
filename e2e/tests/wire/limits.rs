//! What a speaker may do, how soon it answers, and what noise costs it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fairlead_speaker::links::News;
use lab::{Arp, Mac};

use crate::bed::{Bed, Host, Tap, arp_reply, ipv4};
use crate::speaker::Speaker;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 64);

/// What the next test starts as a program of its own, in a network namespace and with the rights that a Pod has.
#[test]
#[ignore = "is started by another test"]
fn as_a_program() {
    let mut speaker = Speaker::start(&Host::of_this_process());
    speaker.want("eth0", &[ADDRESS.into()]);
    speaker.owns(ADDRESS.into());
    thread::sleep(Duration::from_mins(1));
}

#[test]
fn net_raw_is_the_only_right_that_it_takes() {
    let bed = Bed::new();
    let (node, client) = (bed.node(11), bed.node(200));
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", node.netns())).args(["--", "setpriv"]);
    command.args(["--bounding-set=-all,+net_raw", "--inh-caps=-all", "--no-new-privs"]);
    command.arg(std::env::current_exe().expect("this program"));
    command.args(["--exact", "limits::as_a_program", "--ignored", "--nocapture"]);
    let mut child = command.stdin(Stdio::null()).spawn().expect("setpriv");
    let tap = client.tap();
    let answer = tap.ask_until(200, ADDRESS.into(), |_| true);
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("a process that runs");
    child.kill().expect("a process that runs");
    child.wait().expect("a process that was ended");
    assert_eq!(answer, node.mac("eth0"));
    // Capability 13 alone.
    assert!(status.contains("CapEff:\t0000000000002000"), "{status}");
}

/// The middle and the 99th percentile of times until an answer, and how many questions had none.
fn latency(tap: &Tap, address: Ipv4Addr, questions: usize) -> (Duration, Duration, usize) {
    let mut times = Vec::new();
    let request = Arp::request(tap.mac, ipv4(200), address).to_frame(Mac::BROADCAST);
    for _ in 0..questions {
        tap.clear();
        let asked = Instant::now();
        tap.send(&request);
        // Polled without a pause: the scheduler's is not to be measured.
        let found = tap.spin(Duration::from_millis(100), |frame| arp_reply(frame, ipv4(200), address));
        if found.is_some() {
            times.push(asked.elapsed());
        }
    }
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or(Duration::MAX);
    (at(50), at(99), questions - times.len())
}

#[test]
fn answers_come_about_as_soon_as_the_kernels_own() {
    let bed = Bed::new();
    let (node, client) = (bed.node(11), bed.node(200));
    let mut speaker = Speaker::start(&node);
    speaker.want("eth0", &[ADDRESS.into()]);
    speaker.owns(ADDRESS.into());
    let tap = client.tap();
    tap.ask_until(200, ADDRESS.into(), |_| true);
    let kernel = latency(&tap, ipv4(11), 1000);
    let ours = latency(&tap, ADDRESS, 1000);
    println!("kernel: p50 {:?} p99 {:?}; speaker: p50 {:?} p99 {:?}", kernel.0, kernel.1, ours.0, ours.1);
    assert_eq!((kernel.2, ours.2), (0, 0), "unanswered");
    // The kernel answers in the interrupt; we are woken first. The machine may be busy with other tests.
    assert!(ours.0 < kernel.0 * 2 + Duration::from_micros(500), "{ours:?}");
}

/// The CPU time that this process's threads for interfaces have used.
fn cpu_of_wires() -> Duration {
    let mut ticks = 0;
    for task in fs::read_dir("/proc/self/task").expect("threads").flatten() {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        if let Some((name, rest)) = stat.rsplit_once(')')
            && name.contains("(wire ")
        {
            let fields: Vec<_> = rest.split_whitespace().collect();
            ticks += fields[11].parse::<u64>().expect("ticks") + fields[12].parse::<u64>().expect("ticks");
        }
    }
    Duration::from_millis(10 * ticks)
}

#[test]
fn noise_neither_costs_much_nor_keeps_answers_back() {
    let bed = Bed::new();
    let (node, client, noisy) = (bed.node(11), bed.node(200), bed.node(201));
    let speaker = Speaker::start(&node);
    let addresses: Vec<_> = (64..96).map(|last| IpAddr::from(Ipv4Addr::new(198, 51, 100, last))).collect();
    speaker.want("eth0", &addresses);
    let tap = client.tap();
    for address in &addresses {
        tap.ask_until(200, *address, |_| true);
    }
    let loud = noisy.tap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            // 20,000 requests a second for what nobody has.
            let began = Instant::now();
            let mut sent = 0_u32;
            while !stop.load(Ordering::Relaxed) {
                let due = u32::try_from(began.elapsed().as_micros() / 50).unwrap_or(u32::MAX);
                while sent < due {
                    let target = Ipv4Addr::from(0xcb00_7100 + sent % 65536);
                    loud.send(&Arp::request(loud.mac, ipv4(201), target).to_frame(Mac::BROADCAST));
                    sent += 1;
                }
                thread::sleep(Duration::from_millis(1));
            }
            f64::from(sent) / began.elapsed().as_secs_f64()
        });
        thread::sleep(Duration::from_millis(200));
        let (cpu, from) = (cpu_of_wires(), Instant::now());
        thread::sleep(Duration::from_secs(3));
        let share = cpu_of_wires().saturating_sub(cpu).as_secs_f64() / from.elapsed().as_secs_f64();
        let (_, p99, unanswered) = latency(&tap, ADDRESS, 200);
        stop.store(true, Ordering::Relaxed);
        let rate = sender.join().expect("no panic");
        println!("{rate:.0} requests/s: {:.1} % of a core, p99 {p99:?}", share * 100.0);
        assert_eq!(unanswered, 0);
        assert!(rate > 10_000.0, "{rate} requests/s are no noise");
        assert!(share < 0.02, "{share}");
    });
}

#[test]
fn a_flood_of_questions_for_its_own_address_does_not_make_it_lose_that() {
    let bed = Bed::new();
    let (node, other, client, noisy) = (bed.node(11), bed.node(12), bed.node(200), bed.node(201));
    let (mut speaker, mut second) = (Speaker::start(&node), Speaker::start(&other));
    speaker.want("eth0", &[ADDRESS.into()]);
    speaker.owns(ADDRESS.into());
    second.want("eth0", &[ADDRESS.into()]);
    let (asking, owner, loud) = (client.tap(), node.mac("eth0"), noisy.tap());
    let began = Instant::now();
    let request = Arp::request(loud.mac, ipv4(201), ADDRESS).to_frame(Mac::BROADCAST);
    let burst = vec![&request[..]; 64];
    let mut asked = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        let _ = loud.socket.send(&burst);
        thread::sleep(Duration::from_millis(1));
        loud.clear();
        if asked.elapsed() > Duration::from_millis(100) {
            asked = Instant::now();
            // A question or an answer may be lost in the flood, but nobody else may answer.
            assert_eq!(asking.ask_until(200, ADDRESS.into(), |_| true), owner);
        }
    }
    while let Ok(report) = second.reports.try_recv() {
        assert!(!matches!(report.news, News::Owned { .. }), "{report:?}");
    }
}
