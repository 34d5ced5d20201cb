use proptest::prelude::*;

use super::*;
use crate::metrics::Workqueues;

impl Dirt for Vec<u32> {
    fn merge(&mut self, other: Self) {
        self.extend(other);
    }
}

fn queue() -> Queue<&'static str, Vec<u32>> {
    Queue::new(Workqueues::new(&prometheus::Registry::new()).of("test"))
}

async fn next(queue: &Queue<&'static str, Vec<u32>>) -> Option<(&'static str, Vec<u32>)> {
    tokio::time::timeout(Duration::ZERO, queue.get()).await.ok().flatten()
}

#[tokio::test(start_paused = true)]
async fn keys_are_served_in_order_and_once() {
    let queue = queue();
    queue.add("a", vec![1]);
    queue.add("b", vec![2]);
    queue.add("a", vec![3]);
    assert_eq!(next(&queue).await, Some(("a", vec![1, 3])));
    assert_eq!(next(&queue).await, Some(("b", vec![2])));
    assert_eq!(next(&queue).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_added_while_a_worker_has_the_key_comes_back_afterwards() {
    let queue = queue();
    queue.add("a", vec![1]);
    assert_eq!(next(&queue).await, Some(("a", vec![1])));
    queue.add("a", vec![2]);
    assert_eq!(next(&queue).await, None, "never two workers on a key");
    queue.done(&"a");
    assert_eq!(next(&queue).await, Some(("a", vec![2])));
    queue.done(&"a");
    assert!(queue.is_settled());
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_a_window_that_begins_with_the_first_change() {
    let queue = queue();
    let second = Duration::from_secs(1);
    queue.add_after("a", vec![1], second);
    tokio::time::advance(second / 2).await;
    queue.add_after("a", vec![2], second);
    assert_eq!(next(&queue).await, None);
    tokio::time::advance(second / 2).await;
    assert_eq!(next(&queue).await, Some(("a", vec![1, 2])));
}

#[tokio::test(start_paused = true)]
async fn an_immediate_add_brings_a_delayed_key_forward() {
    let queue = queue();
    queue.add_after("a", vec![1], Duration::from_mins(1));
    queue.add("a", vec![2]);
    assert_eq!(next(&queue).await, Some(("a", vec![1, 2])));
    queue.done(&"a");
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(next(&queue).await, None);
}

#[tokio::test(start_paused = true)]
async fn failures_double_the_wait_up_to_a_minute_and_success_forgets_them() {
    let queue = queue();
    queue.add("a", vec![0]);
    let mut waited = Vec::new();
    for _ in 0..16 {
        let begun = Instant::now();
        let (key, dirt) = queue.get().await.unwrap();
        waited.push(begun.elapsed());
        queue.retry(&key, dirt, Duration::ZERO);
    }
    let expected: Vec<_> = std::iter::once(0)
        .chain((0..15).map(|n| (5_u64 << n).min(60_000)))
        .map(Duration::from_millis)
        .collect();
    assert_eq!(waited, expected);
    let (key, _) = queue.get().await.unwrap();
    queue.done(&key);
    queue.add("a", vec![1]);
    let (key, dirt) = queue.get().await.unwrap();
    queue.retry(&key, dirt, Duration::ZERO);
    let begun = Instant::now();
    queue.get().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_millis(5));
}

#[tokio::test(start_paused = true)]
async fn a_change_brings_a_failing_key_forward_and_nothing_is_lost() {
    let queue = queue();
    queue.add("a", vec![1]);
    for _ in 0..12 {
        let (key, dirt) = queue.get().await.unwrap();
        queue.retry(&key, dirt, Duration::ZERO);
    }
    let begun = Instant::now();
    queue.add("a", vec![2]);
    assert_eq!(queue.get().await, Some(("a", vec![1, 2])));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_was_asked_for_is_kept_and_another_look_is_no_failure() {
    let queue = queue();
    queue.add("a", vec![1]);
    let (key, dirt) = queue.get().await.unwrap();
    queue.retry(&key, dirt, Duration::from_secs(7));
    let begun = Instant::now();
    let (key, dirt) = queue.get().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(7));
    queue.later(&key, dirt, Duration::from_secs(3));
    let (key, dirt) = queue.get().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
    queue.retry(&key, dirt, Duration::ZERO);
    queue.get().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_millis(10_005));
}

#[tokio::test(start_paused = true)]
async fn every_waiting_worker_ends_when_the_queue_is_closed() {
    let queue = std::sync::Arc::new(queue());
    let workers: Vec<_> = (0..5)
        .map(|_| {
            let queue = std::sync::Arc::clone(&queue);
            tokio::spawn(async move { queue.get().await })
        })
        .collect();
    tokio::task::yield_now().await;
    queue.close();
    for worker in workers {
        assert_eq!(worker.await.unwrap(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_served_after_close() {
    let queue = queue();
    queue.add("a", vec![1]);
    let (key, dirt) = queue.get().await.unwrap();
    queue.add("a", vec![2]);
    queue.close();
    queue.retry(&key, dirt, Duration::ZERO);
    assert_eq!(queue.get().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_parked_key_waits_for_a_change_and_is_then_planned_anew() {
    let queue = queue();
    queue.add("a", vec![1]);
    let (key, dirt) = queue.get().await.unwrap();
    queue.park(&key, dirt);
    tokio::time::advance(Duration::from_hours(1)).await;
    assert_eq!(next(&queue).await, None);
    queue.add("a", vec![2]);
    let (key, dirt) = next(&queue).await.unwrap();
    assert_eq!(dirt, [1, 2]);
    queue.done(&key);
    queue.unpark();
    assert_eq!(next(&queue).await, None);
    assert!(queue.is_settled());
}

#[tokio::test(start_paused = true)]
async fn unparked_keys_are_first_in_line_each_once_and_in_order() {
    let queue = queue();
    for key in ["a", "b", "c", "d"] {
        queue.add(key, vec![1]);
        let (key, dirt) = queue.get().await.unwrap();
        queue.park(&key, dirt);
    }
    queue.add("e", vec![1]);
    // In line behind it, because of a change; and one whose change could wait.
    queue.add("b", vec![2]);
    queue.add_after("c", vec![2], Duration::from_mins(1));
    queue.unpark();
    let mut served = Vec::new();
    while let Some((key, dirt)) = next(&queue).await {
        queue.done(&key);
        served.push((key, dirt.len()));
    }
    assert_eq!(served, [("a", 1), ("c", 2), ("d", 1), ("e", 1), ("b", 2)]);
    assert!(queue.is_settled());
}

#[tokio::test(start_paused = true)]
async fn parking_does_not_miss_what_happened_while_the_worker_had_the_key() {
    let queue = queue();
    queue.add("a", vec![1]);
    let (key, dirt) = queue.get().await.unwrap();
    queue.add("a", vec![2]);
    queue.park(&key, dirt);
    assert_eq!(next(&queue).await, Some(("a", vec![1, 2])), "the change was added before it was parked");

    // The worker had asked for the permit before it was granted.
    queue.unpark();
    queue.park(&"a", vec![1, 2]);
    assert_eq!(next(&queue).await, Some(("a", vec![1, 2])));

    queue.add_after("a", vec![3], Duration::from_mins(1));
    queue.park(&"a", vec![1, 2]);
    assert_eq!(next(&queue).await, None, "the change can wait");
    queue.unpark();
    assert_eq!(next(&queue).await, Some(("a", vec![1, 2, 3])));
}

#[tokio::test(start_paused = true)]
async fn a_standby_holds_one_entry_for_a_key_however_often_it_is_parked() {
    let queue = queue();
    for round in 0..1000 {
        queue.add("a", vec![round]);
        let (key, _) = queue.get().await.unwrap();
        queue.add_after("a", vec![round], Duration::from_secs(1));
        queue.park(&key, vec![round]);
    }
    let state = queue.state.lock();
    assert_eq!((state.parked.len(), state.delayed.len(), state.ready.len()), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn parking_is_no_failure_and_forgets_none() {
    let queue = queue();
    queue.add("a", vec![1]);
    for _ in 0..3 {
        let (key, dirt) = queue.get().await.unwrap();
        queue.retry(&key, dirt, Duration::ZERO);
    }
    let (key, dirt) = queue.get().await.unwrap();
    queue.park(&key, dirt);
    queue.unpark();
    let (key, dirt) = queue.get().await.unwrap();
    let begun = Instant::now();
    queue.retry(&key, dirt, Duration::ZERO);
    queue.get().await.unwrap();
    assert_eq!(begun.elapsed(), Duration::from_millis(40), "the fourth failure");
}

#[derive(Clone, Debug)]
enum Step {
    Add(usize),
    AddAfter(usize, u64),
    Get,
    Done,
    Retry,
    Park,
    Unpark,
    Sleep(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_usize..4).prop_map(Step::Add),
        (0_usize..4, 0_u64..50).prop_map(|(key, delay)| Step::AddAfter(key, delay)),
        Just(Step::Get),
        Just(Step::Done),
        Just(Step::Retry),
        Just(Step::Park),
        Just(Step::Unpark),
        (0_u64..50).prop_map(Step::Sleep),
    ]
}

proptest! {
    /// Whatever happens, every change reaches a worker that then succeeds, and no key is held twice.
    #[test]
    fn nothing_is_lost_and_no_key_is_held_twice(steps in proptest::collection::vec(step(), 1..80)) {
        const KEYS: [&str; 4] = ["a", "b", "c", "d"];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let queue = queue();
            let mut owed: HashMap<&str, Vec<u32>> = HashMap::new();
            let mut held: Vec<(&str, Vec<u32>)> = Vec::new();
            let mut count = 0;
            for step in steps {
                match step {
                    Step::Add(key) | Step::AddAfter(key, _) => {
                        count += 1;
                        owed.entry(KEYS[key]).or_default().push(count);
                        let delay = if let Step::AddAfter(_, delay) = step { delay } else { 0 };
                        queue.add_after(KEYS[key], vec![count], Duration::from_millis(delay));
                    }
                    Step::Get => if let Some((key, dirt)) = next(&queue).await {
                        prop_assert!(held.iter().all(|(other, _)| *other != key));
                        held.push((key, dirt));
                    },
                    Step::Done => if let Some((key, dirt)) = held.pop() {
                        owed.entry(key).or_default().retain(|change| !dirt.contains(change));
                        queue.done(&key);
                    },
                    Step::Retry => if let Some((key, dirt)) = held.pop() {
                        queue.retry(&key, dirt, Duration::ZERO);
                    },
                    Step::Park => if let Some((key, dirt)) = held.pop() {
                        queue.park(&key, dirt);
                    },
                    Step::Unpark => queue.unpark(),
                    Step::Sleep(time) => tokio::time::advance(Duration::from_millis(time)).await,
                }
            }
            for (key, dirt) in held {
                owed.entry(key).or_default().retain(|change| !dirt.contains(change));
                queue.done(&key);
            }
            queue.unpark();
            while !queue.is_settled() {
                let (key, dirt) = queue.get().await.unwrap();
                owed.entry(key).or_default().retain(|change| !dirt.contains(change));
                queue.done(&key);
            }
            prop_assert!(owed.values().all(Vec::is_empty), "{owed:?}");
            Ok(())
        })?;
    }
}
