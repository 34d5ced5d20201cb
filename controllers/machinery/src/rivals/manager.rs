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

impl FieldManagers {
    /// The manager other than ourselves that changed the object last. `None` if all fields are ours: what the other
    /// one set is overwritten, was put in by admission, or was written under our name.
    #[must_use]
    pub fn newest_other(&self) -> Option<&str> {
        let others = self.metadata.managed_fields.iter().filter(|it| it.manager != FIELD_MANAGER);
        others.max_by_key(|entry| &entry.time).map(|entry| entry.manager.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_entry_that_is_not_ours_counts() {
        let newest = |entries: serde_json::Value| {
            let object = serde_json::json!({ "metadata": { "name": "s", "managedFields": entries } });
            let managers: FieldManagers = serde_json::from_value(object).unwrap();
            managers.newest_other().map(str::to_owned)
        };
        let entry = |manager: &str, time: &str| serde_json::json!({ "manager": manager, "operation": "Update", "time": time });
        let ours = || entry(FIELD_MANAGER, "2026-01-02T03:04:09Z");
        assert_eq!(newest(serde_json::json!([ours()])), None);
        let (old, new) = (entry("kubectl", "2026-01-02T03:04:05Z"), entry("tenant", "2026-01-02T03:04:06Z"));
        assert_eq!(newest(serde_json::json!([new, old, ours()])).as_deref(), Some("tenant"));
        assert_eq!(FieldManagers::default().newest_other(), None);
    }
}
