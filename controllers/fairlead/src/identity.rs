//! Who this process is, among all that do the same work.

use std::fmt;
use std::fs;

use fairlead_machinery::client::FIELD_MANAGER;

/// The name of this process in the Lease, in Events and in the API server's audit log: as client-go, where it runs and a
/// UUID, which no other process has ever had. Where it runs is the Pod (`POD_NAME`), or else the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity(String);

impl Identity {
    pub(crate) fn of_this_process() -> Self {
        let kernel = |name: &str| {
            let text = fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
            Some(text.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let place = std::env::var("POD_NAME").ok().filter(|pod| !pod.is_empty());
        let place = place.or_else(|| kernel("hostname")).unwrap_or_else(|| "unknown".to_owned());
        let uuid = kernel("random/uuid").unwrap_or_else(|| format!("{:032x}", fastrand::u128(..)));
        Self::new(&place, &uuid)
    }

    fn new(place: &str, uuid: &str) -> Self {
        // It is part of a header. Host names are ASCII, but nobody makes sure.
        let place: String = place.chars().map(|c| if c.is_ascii_graphic() { c } else { '-' }).collect();
        Self(format!("{place}_{uuid}"))
    }

    /// What the API server calls us: the field manager, version and role, and which process it is.
    pub(crate) fn user_agent(&self, role: &str) -> String {
        format!("{FIELD_MANAGER}/{} ({role}; {self})", env!("CARGO_PKG_VERSION"))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_a_place_and_a_uuid() {
        let (one, other) = (Identity::of_this_process(), Identity::of_this_process());
        assert_ne!(one, other);
        let uuid = one.0.rsplit_once('_').unwrap().1;
        assert_eq!(uuid.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{uuid}");
    }

    #[test]
    fn the_user_agent_says_which_process_it_is() {
        let identity = Identity::new("höst\n1", "uuid");
        let agent = identity.user_agent("manager");
        assert_eq!(agent, format!("fairlead/{} (manager; h-st-1_uuid)", env!("CARGO_PKG_VERSION")));
    }
}
