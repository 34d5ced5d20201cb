//! The lab's segment itself: who answers for an address, what a client misses, and what faults do to both. Strangers stand
//! in for speakers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lab::{Frames, Lab, LabBuilder, Observer, ProxyMode, Result, Stranger, Traffic};

/// An address that nobody has of its own, in each family.
const ADDRESSES: [&str; 2] = ["198.51.100.99", "2001:db8:1::99"];
const PATIENCE: Duration = Duration::from_secs(10);

fn bare() -> LabBuilder {
    Lab::builder().nodes(2).proxy(ProxyMode::None)
}

fn addresses() -> [IpAddr; 2] {
    ADDRESSES.map(|address| address.parse().expect("an address"))
}

async fn until_answered(lab: &Lab, observer: &Observer, address: IpAddr) -> Result<()> {
    lab.wait_until(format!("{address} to be answered for"), PATIENCE, async || {
        let macs = observer.who_has(address, Duration::from_millis(30))?;
        if macs.is_empty() { Err("nobody answers".into()) } else { Ok(()) }
    })
    .await
}

#[tokio::test]
async fn a_census_counts_all_who_answer_and_the_time_without_an_answer() -> Result<()> {
    let lab = bare().start().await?;
    let observer = lab.observer("observer").await?;
    let (one, two) = (lab.stranger("one").await?, lab.stranger("two").await?);
    for address in addresses() {
        one.take(address)?;
        until_answered(&lab, &observer, address).await?;
    }
    let census = observer.census(&addresses())?;
    let phases: [fn(&Stranger, IpAddr); 2] = [|it, address| it.take_silently(address), Stranger::leave];
    for phase in phases {
        tokio::time::sleep(Duration::from_millis(300)).await;
        for address in addresses() {
            phase(&two, address);
        }
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    for address in addresses() {
        one.leave(address);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    for address in addresses() {
        two.take_silently(address);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let record = census.end()?;
    for address in addresses() {
        assert_eq!(record.owners(address), [one.mac(), two.mac()], "{address}");
        let (contested, silence) = (record.contested(address), record.silence(address));
        assert!((600..1400).contains(&contested.as_millis()), "{address}: contested {contested:?}");
        assert!((350..1000).contains(&silence.as_millis()), "{address}: silence {silence:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_counts_what_it_misses_while_a_node_is_without_power() -> Result<()> {
    let lab = bare().start().await?;
    let server = lab.outside_server("server", 80).await?;
    let to = SocketAddr::new(server.ipv4().into(), 80);
    let requests = lab.client().requests(to)?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let segment = lab.segment();
    segment.set_plugged(&server, false)?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    segment.set_plugged(&server, true)?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let tally = requests.end().await?;
    let outage = tally.outage().expect("answers");
    let said = format!("{outage:?}, {} of {} failed", tally.failed(), tally.requests.len());
    // On a busy machine fewer are begun than one in 10 ms, and the cable goes back in later.
    assert!((350..3000).contains(&outage.as_millis()) && tally.failed() >= 10, "{said}");
    Ok(())
}

#[tokio::test]
async fn the_switch_loses_what_it_is_told_to() -> Result<()> {
    let lab = bare().start().await?;
    let [one, two] = [lab.nodes()[0].host(), lab.nodes()[1].host()];
    let (address, address6) = (addresses()[0], addresses()[1]);
    let stranger = Stranger::on(one)?;
    stranger.take(address)?;
    stranger.take(address6)?;
    let (observer, segment) = (lab.observer("observer").await?, lab.segment());
    let seen = async |address| -> Result<bool> {
        for _ in 0..3 {
            if !observer.who_has(address, Duration::from_millis(100))?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    };
    assert!(seen(address).await? && seen(address6).await?);

    segment.cut(one, observer.host(), Traffic::Arp)?;
    assert!(!seen(address).await? && seen(address6).await?);
    segment.heal()?;
    segment.cut(one, observer.host(), Traffic::Ndp)?;
    assert!(seen(address).await? && !seen(address6).await?);
    segment.heal()?;
    segment.part(&[one], &[two], Traffic::All)?;
    assert!(seen(address).await?, "others are not concerned");
    let tap = lab::Tap::open(two, two.ipv4(), Frames::Arp)?;
    stranger.announce(address)?;
    let deadline = std::time::Instant::now() + Duration::from_millis(200);
    assert_eq!(tap.find(deadline, lab::Frame::claim)?, None);
    segment.heal()?;
    stranger.announce(address)?;
    let deadline = std::time::Instant::now() + PATIENCE;
    assert_eq!(tap.find(deadline, lab::Frame::claim)?, Some((address, stranger.mac())));
    Ok(())
}
