//! What the audit log says about who led.

use std::collections::HashSet;

use lab::{AuditedWrite, Lab, Result};

/// The identity of the process behind a user agent, if it has this role.
pub(crate) fn identity(write: &AuditedWrite, role: &str) -> Option<String> {
    let (_, rest) = write.user_agent.split_once(&format!("({role}; "))?;
    Some(rest.trim_end_matches(')').to_owned())
}

/// The writes of managers but for those about their leader election, by time, with the identity of the process.
pub(crate) fn work(writes: &[AuditedWrite]) -> impl Iterator<Item = (String, &AuditedWrite)> {
    writes.iter().filter_map(|write| Some((identity(write, "manager")?, write)))
}

/// Who wrote, in turn: nobody writes any more once another has begun.
pub(crate) fn check(lab: &Lab) -> Result<Vec<String>> {
    let (mut terms, mut over) = (Vec::new(), HashSet::new());
    for (identity, write) in work(&lab.audited_writes()?) {
        if terms.last() == Some(&identity) {
            continue;
        }
        assert!(!over.contains(&identity), "{identity} wrote after its term was over: {write:?}");
        if let Some(last) = terms.last() {
            over.insert(String::clone(last));
        }
        terms.push(identity);
    }
    Ok(terms)
}
