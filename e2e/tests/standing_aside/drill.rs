//! `make drill-rivals`: kube-controller-manager's endpoint controllers and Fairlead together for minutes, under churn.

use std::time::{Duration, Instant};

use lab::{Lab, Result};

use crate::support::objects_only;
use crate::world::{
    CONTROLLERS, ROUND, UNANSWERED, at_rest, change, populate, questions, until_aside, upstream, work_of_ours,
};

const MINUTES: u64 = 10;

/// Changes, one after the other, until the time is over; returns how many.
async fn churn(lab: &Lab, from: u64, length: Duration) -> Result<u64> {
    let begun = Instant::now();
    let mut changes = 0;
    while begun.elapsed() < length {
        change(lab, from + changes).await?;
        changes += 1;
    }
    Ok(changes)
}

#[tokio::test]
#[ignore = "takes twelve minutes: make drill-rivals"]
async fn beside_kube_controller_manager_nothing_is_written_for_minutes() -> Result<()> {
    let minutes = std::env::var("MINUTES").ok().and_then(|text| text.parse().ok()).unwrap_or(MINUTES);
    let length = Duration::from_secs(60 * minutes);
    let lab = objects_only().audit().start().await?;
    let rival = upstream(&lab, &CONTROLLERS).await?;
    populate(&lab).await?;
    let ours = lab.manager().start().await?;
    until_aside(&lab, &ours, &CONTROLLERS, UNANSWERED).await?;

    let changes = churn(&lab, 0, length).await?;
    let written = work_of_ours(&lab)?;
    let metrics = ours.metrics().await?;
    println!("{changes} changes in {minutes} minutes beside kube-controller-manager");
    for controller in CONTROLLERS {
        let of = |outcome| questions(&metrics, controller, outcome);
        println!(
            "{controller}: {} questions answered, {} unanswered, {} failed",
            of("answered"),
            of("unanswered"),
            of("failed")
        );
        assert_eq!((of("unanswered"), of("failed")), (0, 0), "{controller}");
    }
    println!("written by Fairlead, apart from the canaries: {}", written.len());
    assert_eq!(written, [""; 0]);

    let before = at_rest(&lab).await?;
    rival.kill().await?;
    let took = until_aside(&lab, &ours, &[], 2 * ROUND + UNANSWERED).await?;
    println!("Fairlead took over {took:.1?} after kube-controller-manager was killed");
    assert_eq!(at_rest(&lab).await?, before, "byte by byte as kube-controller-manager left it");
    assert_eq!(work_of_ours(&lab)?, [""; 0], "written at the switch");
    let changes = churn(&lab, changes, Duration::from_secs(20)).await?;
    println!("{changes} more changes in 20 s, {} writes by Fairlead", work_of_ours(&lab)?.len());
    assert!(!work_of_ours(&lab)?.is_empty());
    Ok(())
}
