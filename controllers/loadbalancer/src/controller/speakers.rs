//! Watching for speakers that fall silent without a word.

use std::sync::Arc;
use std::time::Duration;

use fairlead_objects::{Presence, Record};

use super::Controller;

/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_secs(5);

impl Controller {
    /// Looks all the time whether the Leases of speakers are renewed.
    pub(super) async fn watch_speakers(&self) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            look.tick().await;
            let is_late = self.ledger.lock().has_late_speakers(self.now());
            if is_late && !self.ask_for_leases().await {
                self.update(crate::Ledger::doubt_speakers);
            }
            let now = self.now();
            self.update(|ledger| ledger.watch_speakers(now));
        }
    }

    /// Looks at the Leases past the cache; false if the API server does not answer.
    async fn ask_for_leases(&self) -> bool {
        let namespace = &self.settings.namespace;
        let leases =
            self.writer.read_labelled::<Presence>(&Presence::RESOURCE, namespace, &[Presence::LABEL]).await;
        match leases {
            Ok(leases) => {
                self.update(|ledger| leases.into_iter().for_each(|it| ledger.put_presence(&Arc::new(it))));
                true
            }
            Err(error) => {
                tracing::debug!(%error, "speakers are late, and it is not known whether that is their fault");
                false
            }
        }
    }
}
