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

/// Who wrote, in turn: nobody does any more once another has begun. What arrives late nevertheless, because its process was
/// frozen with one foot out of the door, must be refused by its resourceVersion; the second number counts that.
pub(crate) fn check(lab: &Lab) -> Result<(Vec<String>, usize)> {
    let (mut terms, mut over, mut refused) = (Vec::new(), HashSet::new(), 0);
    for (identity, write) in work(&lab.audited_writes()?) {
        if terms.last() == Some(&identity) {
            continue;
        }
        if over.contains(&identity) {
            assert_eq!(write.code, 409, "{identity} wrote after its term was over: {write:?}");
            refused += 1;
            continue;
        }
        if let Some(last) = terms.last() {
            over.insert(String::clone(last));
        }
        terms.push(identity);
    }
    Ok((terms, refused))
}
