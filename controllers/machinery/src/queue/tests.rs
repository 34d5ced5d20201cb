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

#[derive(Clone, Debug)]
enum Step {
    Add(usize),
    AddAfter(usize, u64),
    Get,
    Done,
    Retry,
    Sleep(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_usize..4).prop_map(Step::Add),
        (0_usize..4, 0_u64..50).prop_map(|(key, delay)| Step::AddAfter(key, delay)),
        Just(Step::Get),
        Just(Step::Done),
        Just(Step::Retry),
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
                    Step::Sleep(time) => tokio::time::advance(Duration::from_millis(time)).await,
                }
            }
            for (key, dirt) in held {
                owed.entry(key).or_default().retain(|change| !dirt.contains(change));
                queue.done(&key);
            }
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
