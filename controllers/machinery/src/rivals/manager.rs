//! Who changed an object, as far as the object tells.

use serde::Deserialize;

use crate::client::FIELD_MANAGER;

/// The `managedFields` of an object, to be read from the API server: records in the cache do not keep them.
#[derive(Debug, Default, Deserialize)]
pub struct FieldManagers {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    managed_fields: Vec<Entry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    manager: String,
    /// RFC 3339 in UTC to the second, so that text sorts by time.
    time: String,
}

/// Who wrote an object last, as far as its `managedFields` tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWriter<'a> {
    /// The manager of this name: none is newer, and neither are we.
    Other(&'a str),
    /// All fields are ours: what others did was put in by admission, was written under our name, or only took fields away.
    Ourselves,
    /// It cannot be told: others have fields, but we wrote after them (who only takes fields away may leave no trace),
    /// or there are no `managedFields`.
    Unknown,
}

impl FieldManagers {
    /// Who wrote the object last. Times are exact to the second; within the same one, it was not us.
    #[must_use]
    pub fn last_writer(&self) -> LastWriter<'_> {
        let (ours, others): (Vec<_>, Vec<_>) =
            self.metadata.managed_fields.iter().partition(|it| it.manager == FIELD_MANAGER);
        let our_last = ours.iter().map(|entry| &entry.time).max();
        match others.into_iter().max_by_key(|entry| &entry.time) {
            Some(entry) if our_last.is_none_or(|ours| *ours <= entry.time) => {
                LastWriter::Other(&entry.manager)
            }
            None if our_last.is_some() => LastWriter::Ourselves,
            _ => LastWriter::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_manager_is_named_unless_we_wrote_after_it() {
        let entry = |manager: &str, time: &str| serde_json::json!({ "manager": manager, "operation": "Update", "time": time });
        let ours = |second| entry(FIELD_MANAGER, &format!("2026-01-02T03:04:0{second}Z"));
        let (old, new) = (entry("kubectl", "2026-01-02T03:04:05Z"), entry("tenant", "2026-01-02T03:04:06Z"));
        for (entries, expected) in [
            (vec![], LastWriter::Unknown),
            (vec![ours(9)], LastWriter::Ourselves),
            (vec![ours(4), ours(9)], LastWriter::Ourselves),
            (vec![new.clone(), old.clone(), ours(5)], LastWriter::Other("tenant")),
            (vec![new.clone(), old.clone(), ours(6)], LastWriter::Other("tenant")),
            (vec![new.clone(), old.clone()], LastWriter::Other("tenant")),
            // An old one that has nothing to do with it must not be accused.
            (vec![new.clone(), old.clone(), ours(7)], LastWriter::Unknown),
            (vec![new, old, ours(5), ours(7)], LastWriter::Unknown),
        ] {
            let object = serde_json::json!({ "metadata": { "name": "s", "managedFields": entries } });
            let managers: FieldManagers = serde_json::from_value(object).unwrap();
            assert_eq!(managers.last_writer(), expected, "{entries:?}");
        }
        assert_eq!(FieldManagers::default().last_writer(), LastWriter::Unknown);
    }
}
