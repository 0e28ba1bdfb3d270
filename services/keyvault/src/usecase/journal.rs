//! What routing did and heard: counted, priced, and acted upon.

use std::sync::Arc;

use claviger_core::catalog::{Catalog, Metered};
use claviger_core::fault::Fault;
use claviger_core::journal::{Entry, Part, Reported};
use claviger_core::route::Source;
use uuid::Uuid;

use super::keys::Suspects;
use super::now;
use crate::store::{Batch, Priced, Store};

/// Takes routing processes' journals.
#[derive(Debug, Clone)]
pub struct Journals {
    store: Store,
    catalog: Arc<Catalog>,
    suspects: Suspects,
}

impl Journals {
    /// Over a store, with a catalog that knows what calls cost.
    #[must_use]
    pub fn new(store: Store, catalog: Arc<Catalog>, suspects: Suspects) -> Self {
        Self { store, catalog, suspects }
    }

    /// Takes a part of a process's journal, all or nothing: the last entry that is taken for good. What was taken before is not
    /// counted again.
    ///
    /// # Errors
    /// `JOURNAL_GAP`, `STORAGE_UNAVAILABLE`.
    pub async fn take(&self, replica: Uuid, part: Part) -> Result<u64, Fault> {
        let Part { first_offset, entries } = part;
        tell_unread(replica, &entries);
        let entries = entries.into_iter().map(|entry| self.priced(entry.ok()?)).collect();
        let taken = self.store.take(Batch { replica, first_offset, entries, now: now() }).await?;
        for rejected in taken.rejected {
            self.suspects.add(rejected);
        }
        Ok(taken.offset)
    }

    /// An entry with what it costs; none for a report that came too late to be counted.
    fn priced(&self, entry: Entry) -> Option<Priced> {
        match entry {
            Entry::Resolved(of) => Some(Priced::Resolved(of, self.catalog.fees().per_call)),
            Entry::Reported(reported) if reported.is_late() => None,
            Entry::Reported(reported) => {
                let charge = self.catalog.charge(&metered(&reported));
                Some(Priced::Reported(reported, charge))
            }
            Entry::Health(change) => Some(Priced::Health(change)),
        }
    }
}

fn metered(reported: &Reported) -> Metered<'_> {
    let of = &reported.of;
    Metered {
        provider: of.provider.as_str(),
        model: of.model.as_ref().map_or("", |model| model.as_str()),
        platform: of.payer == Source::Platform,
        input_tokens: reported.input_tokens,
        output_tokens: reported.output_tokens,
        duration: reported.duration,
    }
}

/// One line for a batch: an entry of a newer routing is passed by, or its journal would end here.
fn tell_unread(replica: Uuid, entries: &[Result<Entry, Fault>]) {
    let mut unread = entries.iter().filter_map(|entry| entry.as_ref().err());
    if let Some(first) = unread.next() {
        let count = unread.count() + 1;
        tracing::warn!(%replica, count, %first, "routing speaks of something that this version does not know: passed by");
    }
}
