//! What this process did and heard, until the vault has it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use claviger_core::fault::Fault;
use claviger_core::journal::Entry;
use claviger_core::reason::Reason;
use claviger_proto::keyvault::{encoded_len, entry_message};
use claviger_proto::keyvault_v1::{JournalBatch, JournalEntry};

/// Entries that wait for the vault, at most: more are refused, with what they tell of.
const MOST: usize = 100_000;
/// Entries in a batch, at most: the vault takes twice as many.
const BATCH: usize = 1_000;
/// A batch, encoded, in bytes at most: the vault takes four times as much.
const LARGEST_BATCH: usize = 512 * 1024;
/// What an entry takes beside its own bytes.
const FRAME: usize = 8;
/// Entries that are worth shipping at once.
const ENOUGH: usize = 100;

/// The journal. It is in memory: what has not been shipped goes with the process.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    /// How many were taken before them.
    taken: u64,
}

impl Journal {
    /// Appends what must be on record before it is answered.
    ///
    /// # Errors
    /// `VAULT_UNAVAILABLE` when too much waits for the vault.
    pub fn append(&self, entry: Entry) -> Result<(), Fault> {
        let mut waiting = self.waiting();
        if waiting.entries.len() >= MOST {
            let message = "the vault has not taken this replica's journal for too long; try again";
            return Err(Fault::new(Reason::VaultUnavailable, message).retry_after(Duration::from_secs(1)));
        }
        waiting.entries.push_back(entry);
        Ok(())
    }

    /// Appends what follows from something that is on record.
    pub fn note(&self, entries: impl IntoIterator<Item = Entry>) {
        self.waiting().entries.extend(entries);
    }

    /// The oldest entries that wait, as many as fit a batch; none when all are taken.
    #[must_use]
    pub fn batch(&self) -> Option<JournalBatch> {
        let waiting = self.waiting();
        let mut room = LARGEST_BATCH;
        let fits = |entry: &JournalEntry| {
            let length = encoded_len(entry) + FRAME;
            room.checked_sub(length).inspect(|left| room = *left).is_some()
        };
        let entries: Vec<_> = waiting.entries.iter().take(BATCH).map(entry_message).take_while(fits).collect();
        (!entries.is_empty()).then(|| JournalBatch { first_offset: waiting.taken + 1, entries })
    }

    /// Whether enough waits to fill a batch, more or less.
    #[must_use]
    pub fn has_a_batch(&self) -> bool {
        self.waiting().entries.len() >= ENOUGH
    }

    /// The vault has taken all up to this offset.
    pub fn taken(&self, offset: u64) {
        let mut waiting = self.waiting();
        let known = usize::try_from(offset.saturating_sub(waiting.taken)).unwrap_or(usize::MAX);
        let count = known.min(waiting.entries.len());
        waiting.entries.drain(..count);
        waiting.taken += count as u64;
    }

    /// Begins to count from 1 again, with what waits: what a vault has forgotten is not lost by that.
    pub fn begin_anew(&self) {
        self.waiting().taken = 0;
    }

    /// How many entries were taken since the journal began.
    #[must_use]
    pub fn shipped_count(&self) -> u64 {
        self.waiting().taken
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting().entries.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting().entries.is_empty()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use claviger_core::catalog::Outcome;
    use claviger_core::ids::{KeyId, Tenant};
    use claviger_core::journal::HealthChange;
    use claviger_proto::keyvault::entry_from;
    use time::OffsetDateTime;

    use super::*;

    fn entry(number: u32) -> Entry {
        Entry::Health(HealthChange {
            tenant: Tenant::Platform,
            key: KeyId::new(uuid::Uuid::nil()),
            secret_version: number,
            model: None,
            cause: Outcome::Ok,
            since: OffsetDateTime::UNIX_EPOCH,
            until: None,
            failures: 0,
        })
    }

    fn batch(journal: &Journal) -> (u64, Vec<Entry>) {
        let batch = journal.batch().unwrap_or_default();
        (batch.first_offset, batch.entries.into_iter().map(|entry| entry_from(entry).unwrap()).collect())
    }

    #[test]
    fn entries_are_shipped_in_order_and_again_until_they_are_taken() {
        let journal = Journal::default();
        assert!(journal.batch().is_none() && journal.is_empty());
        journal.append(entry(1)).unwrap();
        journal.note([entry(2), entry(3)]);
        for _ in 0..2 {
            assert_eq!(batch(&journal), (1, vec![entry(1), entry(2), entry(3)]));
        }
        journal.taken(2);
        journal.append(entry(4)).unwrap();
        assert_eq!(batch(&journal), (3, vec![entry(3), entry(4)]));
        journal.taken(1); // a late one
        assert_eq!(batch(&journal).0, 3);
        journal.taken(u64::MAX); // a vault that is mistaken
        assert!(journal.is_empty());
        journal.append(entry(5)).unwrap();
        assert_eq!(batch(&journal), (5, vec![entry(5)]));
    }

    #[test]
    fn a_journal_that_is_full_refuses() {
        let journal = Journal::default();
        (0..MOST).for_each(|_| journal.append(entry(0)).unwrap());
        assert_eq!(journal.append(entry(0)).unwrap_err().reason, Reason::VaultUnavailable);
        let batch = journal.batch().unwrap();
        assert!((ENOUGH..=BATCH).contains(&batch.entries.len()) && encoded_len(&batch) <= LARGEST_BATCH);
        journal.taken(1);
        assert!(journal.append(entry(0)).is_ok());
    }
}
