//! The most addresses that an Endpoints object has (KEP-752).
//!
//! Upstream leaves subsets of which nothing stays in the object without any address, which the API server refuses; here
//! they go.

use fairlead_objects::EndpointSubset;

/// The most addresses in an Endpoints object, ready and not ready ones together. One that is in two subsets counts twice.
pub const CAPACITY: usize = 1000;

/// How much more there is than an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// Addresses that there would be.
    pub wanted: usize,
    /// Those of them that are ready.
    pub ready: usize,
}

/// Cuts subsets down to [`CAPACITY`]. Ready addresses go first: those that are not get what they leave. Each subset gets
/// its share, rounded up as long as there is something left, from the beginning of its sorted list.
pub(crate) fn truncate(subsets: &mut Vec<EndpointSubset>) -> Option<Overflow> {
    let ready: usize = subsets.iter().map(|subset| subset.addresses.len()).sum();
    let not_ready: usize = subsets.iter().map(|subset| subset.not_ready.len()).sum();
    if ready + not_ready <= CAPACITY {
        return None;
    }
    let (mut ready_share, mut not_ready_share) = if ready > CAPACITY {
        (Share::of(CAPACITY, ready), Share::NONE)
    } else {
        (Share::ALL, Share::of(CAPACITY - ready, not_ready))
    };
    for subset in &mut *subsets {
        ready_share.cut(&mut subset.addresses);
        not_ready_share.cut(&mut subset.not_ready);
    }
    subsets.retain(|subset| !subset.addresses.is_empty() || !subset.not_ready.is_empty());
    Some(Overflow { wanted: ready + not_ready, ready })
}

/// What there is for addresses of one kind.
#[derive(Clone, Copy)]
struct Share {
    budget: usize,
    total: usize,
    left: usize,
}

impl Share {
    const NONE: Self = Self { budget: 0, total: 1, left: 0 };
    const ALL: Self = Self { budget: 1, total: 1, left: usize::MAX };

    fn of(budget: usize, total: usize) -> Self {
        Self { budget, total: total.max(1), left: budget }
    }

    fn cut<T: Clone>(&mut self, list: &mut Box<[T]>) {
        let keep = self.of_so_many(list.len()).min(self.left);
        self.left -= keep;
        if keep < list.len() {
            *list = list[..keep].into();
        }
    }

    /// In floating point as upstream, so that both round alike.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and the count"
    )]
    fn of_so_many(&self, count: usize) -> usize {
        (count as f64 / self.total as f64 * self.budget as f64).ceil() as usize
    }
}

#[cfg(test)]
mod tests {
    use fairlead_objects::EndpointAddress;

    use super::*;

    fn addresses(count: usize, of: &str) -> Box<[EndpointAddress]> {
        let address = |number: usize| EndpointAddress {
            ip: format!("{of}-{number:04}").as_str().into(),
            hostname: None,
            node: None,
            target: None,
        };
        (0..count).map(address).collect()
    }

    /// Upstream's `TestTruncateEndpoints`.
    #[test]
    fn ready_addresses_go_first_and_each_subset_gets_its_share() {
        type Counts = &'static [usize];
        let table: [(Counts, Counts, Counts, Counts); 6] = [
            (
                &[50, 100, 100, 100, 100],
                &[50, 100, 100, 100, 100],
                &[50, 100, 100, 100, 100],
                &[50, 100, 100, 100, 100],
            ),
            (&[500], &[500], &[500], &[500]),
            (
                &[90, 110, 50, 10, 20],
                &[101, 200, 200, 201, 298],
                &[90, 110, 50, 10, 20],
                &[73, 144, 144, 145, 214],
            ),
            (
                &[205, 400, 402, 400, 693],
                &[100, 200, 200, 200, 300],
                &[98, 191, 192, 191, 328],
                &[0, 0, 0, 0, 0],
            ),
            (&[1000], &[1], &[1000], &[0]),
            (&[999], &[2], &[999], &[1]),
        ];
        for (ready, not_ready, kept_ready, kept_not_ready) in table {
            let subset = |(ready, not_ready): (&usize, &usize)| EndpointSubset {
                addresses: addresses(*ready, "ready"),
                not_ready: addresses(*not_ready, "not"),
                ..EndpointSubset::default()
            };
            let mut subsets: Vec<_> = ready.iter().zip(not_ready).map(subset).collect();
            let before = subsets.clone();
            let overflow = truncate(&mut subsets);
            let (all_ready, all): (usize, usize) = (ready.iter().sum(), ready.iter().chain(not_ready).sum());
            assert_eq!(overflow, (all > CAPACITY).then_some(Overflow { wanted: all, ready: all_ready }));
            let counts = |of: fn(&EndpointSubset) -> usize| subsets.iter().map(of).collect::<Vec<_>>();
            assert_eq!(counts(|it| it.addresses.len()), kept_ready, "{ready:?} {not_ready:?}");
            assert_eq!(counts(|it| it.not_ready.len()), kept_not_ready, "{ready:?} {not_ready:?}");
            for (subset, whole) in subsets.iter().zip(&before) {
                assert!(whole.addresses.starts_with(&subset.addresses), "from the beginning");
                assert!(whole.not_ready.starts_with(&subset.not_ready));
            }
        }
    }

    #[test]
    fn a_subset_of_which_nothing_stays_is_no_subset() {
        let of_ready = EndpointSubset { addresses: addresses(1000, "ready"), ..EndpointSubset::default() };
        let of_others = EndpointSubset { not_ready: addresses(5, "not"), ..EndpointSubset::default() };
        let mut subsets = vec![of_others, of_ready];
        assert_eq!(truncate(&mut subsets), Some(Overflow { wanted: 1005, ready: 1000 }));
        assert_eq!(subsets.len(), 1);
        assert_eq!(subsets[0].addresses.len(), 1000);
    }
}
