//! Journals: each entry counts once, whatever is sent again and by whom.

mod health;
mod once;

use std::time::Duration;

use claviger_core::catalog::{Charge, Credits, Outcome};
use claviger_core::ids::{KeyId, UserId, WorkspaceId};
use claviger_core::journal::{HealthChange, Reported, Use};
use claviger_core::route::Source;
use claviger_core::usage::Counts;

use super::*;
use crate::store::{Batch, Priced, Taken};

const FEE: Credits = Credits::of_micros(1);
const CHARGE: Charge = Charge { credits: Credits::of_micros(1_000), is_unpriced: true };

/// A use of a key of `workspaces/acme`'s that is not stored.
pub(super) fn a_use() -> Use {
    Use {
        workspace: WorkspaceId::parse("acme").unwrap(),
        user: UserId::parse("ann").ok(),
        agent: None,
        session: None,
        key: KeyId::new(Uuid::from_u128(7)),
        secret_version: 1,
        provider: ProviderId::parse("anthropic").unwrap(),
        model: None,
        payer: Source::Workspace,
        time: time(),
    }
}

fn use_of(stored: &StoredKey) -> Use {
    Use { key: stored.key.name.id, secret_version: stored.key.secret_version, ..a_use() }
}

fn resolved(of: &Use) -> Option<Priced> {
    Some(Priced::Resolved(of.clone(), FEE))
}

/// The report on a process's resolution of this number.
fn report(of: &Use, replica: Uuid, number: u64, outcome: Outcome) -> Reported {
    Reported {
        of: of.clone(),
        replica,
        number,
        outcome,
        input_tokens: 10,
        output_tokens: 1,
        duration: Duration::from_millis(1),
        time: of.time + Duration::from_secs(1),
    }
}

fn reported(of: &Use, replica: Uuid, number: u64, outcome: Outcome) -> Option<Priced> {
    Some(Priced::Reported(report(of, replica, number, outcome), CHARGE))
}

fn batch(replica: Uuid, first_offset: u64, entries: Vec<Option<Priced>>) -> Batch {
    Batch { replica, first_offset, entries, now: time() + Duration::from_secs(60) }
}

async fn take(store: &Store, batch: &Batch) -> Taken {
    store.take(batch.clone()).await.unwrap()
}

/// Everything that was ever counted.
async fn all(store: &Store) -> Counts {
    use claviger_core::command::UsageScope;
    let query = crate::store::UsageQuery {
        scope: &UsageScope::All,
        from: OffsetDateTime::UNIX_EPOCH,
        until: time::macros::datetime!(9999-01-01 0:00 UTC),
        group_by: &[],
        filter: &Default::default(),
        after: None,
        limit: 10,
    };
    let mut groups = store.usage(&query).await.unwrap();
    assert_eq!(groups.len(), 1, "one row in all");
    groups.remove(0).counts
}

/// Calls, and reports of each outcome that there are any of.
async fn counted(store: &Store) -> (u64, u64) {
    let counts = all(store).await;
    (counts.calls, counts.outcomes.iter().sum())
}
