//! Keys that callers say are rejected. The vault asks the provider itself: whoever lies to it disables nothing.
//!
//! Where the provider cannot be asked, three such reports in a row, without one of a call that went well in between, are taken
//! for its word.

use std::collections::HashSet;
use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

use claviger_core::audit::{Action, Detail, Origin};
use claviger_core::command::TestKey;
use claviger_core::fault::Fault;
use claviger_core::ids::{KeyId, Tenant};
use claviger_core::key::{KeyState, ProviderKey};
use claviger_core::key_health::REJECTIONS;
use claviger_core::reason::Reason;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Keys, about, found, put, state};
use crate::store::{Rejected, StoredKey};
use crate::usecase::{Call, now};
use crate::verify::Verifier;

/// What made the vault act, as the audit log tells it.
const CAUSE: &str = "report";
/// Keys that wait at most. Of those beyond, the next report tells again.
const QUEUE: usize = 256;
/// Keys looked into at once.
const AT_ONCE: usize = 8;
/// A key is tested no more often, whichever vault does so. A test takes less, so that there is one at a time.
const PAUSE: Duration = Duration::from_secs(30);

/// Takes keys that callers say are rejected. Clones share the queue.
#[derive(Debug, Clone)]
pub struct Suspects(mpsc::Sender<Rejected>);

/// Where they wait.
#[derive(Debug)]
pub struct Waiting(mpsc::Receiver<Rejected>);

/// A queue of keys to be looked into.
#[must_use]
pub fn suspects() -> (Suspects, Waiting) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (Suspects(sender), Waiting(receiver))
}

impl Suspects {
    /// Has a key looked into, unless too many wait.
    pub fn add(&self, rejected: Rejected) {
        let key = rejected.name.id;
        if self.0.try_send(rejected).is_err() {
            tracing::warn!(%key, "a key that callers report as rejected is not looked into now: too many wait");
        }
    }
}

impl Waiting {
    /// Looks into keys as they come, until nobody is left who could send one, or until `stop`.
    ///
    /// # Errors
    /// Never; it is a supervised task.
    pub async fn run(mut self, keys: Keys, stop: CancellationToken) -> Result<(), Infallible> {
        let mut running = FuturesUnordered::new();
        let mut later = Later::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(again) = running.next(), if !running.is_empty() => later.add(again),
                Some(rejected) = later.next(), if running.len() < AT_ONCE => running.push(keys.look_into(rejected)),
                next = self.0.recv(), if running.len() < AT_ONCE => match next {
                    Some(rejected) => running.push(keys.look_into(rejected)),
                    None => return Ok(()),
                },
            }
        }
    }
}

/// Keys that were tested a moment ago: what was reported since is looked into when the pause is over, once for each.
#[derive(Default)]
struct Later {
    keys: HashSet<KeyId>,
    waiting: FuturesUnordered<Pin<Box<dyn Future<Output = Rejected> + Send>>>,
}

impl Later {
    fn add(&mut self, again: Option<Rejected>) {
        let Some(rejected) = again else { return };
        if self.keys.len() < QUEUE && self.keys.insert(rejected.name.id) {
            self.waiting.push(Box::pin(async move {
                tokio::time::sleep(PAUSE).await;
                rejected
            }));
        }
    }

    /// The next whose pause is over; none while there are none.
    async fn next(&mut self) -> Option<Rejected> {
        let rejected = self.waiting.next().await?;
        self.keys.remove(&rejected.name.id);
        Some(rejected)
    }
}

impl Keys {
    /// Gives the key back if it was tested too short a time ago.
    pub(super) async fn look_into(&self, rejected: Rejected) -> Option<Rejected> {
        let key = rejected.name.id;
        match self.question_rejected(rejected).await {
            Ok(again) => again,
            // what ended or was replaced meanwhile needs no test
            Err(fault) if matches!(fault.reason, Reason::KeyNotFound | Reason::KeyRevoked) => None,
            Err(fault) => {
                tracing::warn!(%key, reason = fault.reason.as_str(), "a key that callers report as rejected cannot be tested");
                None
            }
        }
    }

    async fn question_rejected(&self, rejected: Rejected) -> Result<Option<Rejected>, Fault> {
        let Some(stored) = self.store.key(&rejected.name).await? else { return Ok(None) };
        if !is_suspect(&stored, rejected.secret_version) {
            return Ok(None);
        }
        if !self.can_ask(&stored.key) {
            return self.reject(rejected).await.map(|()| None);
        }
        if !self.store.claim_retest(rejected.name.id, now(), PAUSE).await? {
            return Ok(Some(rejected));
        }
        let test = TestKey { name: rejected.name };
        self.test_for(Some(CAUSE), test, Call::new(Origin::vault())).await.map(|_| None)
    }

    fn can_ask(&self, key: &ProviderKey) -> bool {
        let (base_url, location) = (key.base_url.as_deref(), key.location.as_deref());
        self.provider(&key.provider)
            .is_some_and(|provider| Verifier::can_test(provider, key.auth_type, base_url, location))
    }

    /// Takes reports for the word of a provider that cannot be asked, if they are enough.
    async fn reject(&self, Rejected { name, secret_version, in_a_row }: Rejected) -> Result<(), Fault> {
        // any workspace's callers could: a key that all of them depend on is not disabled by their word
        if name.owner.tenant == Tenant::Platform
            || in_a_row < REJECTIONS
            || !self.store.claim_rejections(name.id, secret_version, REJECTIONS).await?
        {
            return Ok(());
        }
        let write = self.store.write(move |txn| {
            Box::pin(async move {
                let mut stored = found(txn, &name).await?;
                if !is_suspect(&stored, secret_version) {
                    return Ok(());
                }
                stored.key.state = stored.key.state.after_rejections();
                stored.key.update_time = now();
                let details = vec![
                    (Detail::SecretVersion, secret_version.to_string()),
                    (Detail::Count, REJECTIONS.to_string()),
                    state(&stored.key),
                ];
                let event = about(&stored.key, Action::KeyRejected, &Origin::vault(), details);
                put(txn, &mut stored, &event).await
            })
        });
        write.await.map(drop)
    }
}

/// Only what is used can be rejected, and only the secret that it is used with.
fn is_suspect(stored: &StoredKey, secret_version: u32) -> bool {
    stored.intact && stored.key.state == KeyState::Active && stored.key.secret_version == secret_version
}
