//! How many addresses each namespace has of a pool.

use fairlead_objects::Istr;
use hashbrown::HashMap;

/// Addresses by namespace. An address counts once, however many of a namespace's Services share it, and whether it has it or
/// has reserved it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage(HashMap<Istr, u32>);

impl Usage {
    pub(crate) fn of(&self, namespace: &Istr) -> u32 {
        self.0.get(namespace).copied().unwrap_or_default()
    }

    /// Counts an address that these namespaces had, and these have now. True if one has less.
    pub(crate) fn count(&mut self, before: &[Istr], after: &[Istr]) -> bool {
        for namespace in after.iter().filter(|it| !before.contains(it)) {
            *self.0.entry(namespace.clone()).or_default() += 1;
        }
        let mut freed = false;
        for namespace in before.iter().filter(|it| !after.contains(it)) {
            freed = true;
            if let Some(count) = self.0.get_mut(namespace) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.0.remove(namespace);
                }
            }
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_counts_once_for_each_namespace_that_has_it() {
        let (shop, bank): (Istr, Istr) = ("shop".into(), "bank".into());
        let mut usage = Usage::default();
        assert!(!usage.count(&[], &[shop.clone(), bank.clone()]));
        assert!(!usage.count(&[], std::slice::from_ref(&shop)));
        assert_eq!((usage.of(&shop), usage.of(&bank)), (2, 1));
        assert!(usage.count(&[shop.clone(), bank.clone()], std::slice::from_ref(&shop)));
        assert_eq!((usage.of(&shop), usage.of(&bank)), (2, 0));
        assert!(usage.count(std::slice::from_ref(&shop), &[]) && usage.count(&[shop], &[]));
        assert_eq!(usage, Usage::default());
    }
}
