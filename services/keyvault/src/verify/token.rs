//! Access tokens of service accounts: asked for when they are needed, kept in memory, renewed while they are used.
//!
//! The key file is needed for an exchange alone and is not kept between two. So nothing renews a token that nobody asks
//! for: whoever asks in the second half of its life gets it at once, while one exchange for the next runs aside.

mod assertion;
mod mint;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use claviger_core::ids::{KeyId, ProviderId};
use secrecy::SecretString;
use time::{Duration, OffsetDateTime};
use tokio::sync::{Semaphore, watch};
use tracing::Instrument;

use super::{Finding, Verifier};

/// What is left of a token's life when it is handed out, at least; a third of its life if that is shorter.
const LEAST_LEFT: Duration = Duration::minutes(10);
/// How long a failed exchange is not tried again.
const FAILURE_KEPT: Duration = Duration::seconds(10);
/// Callers take the time each for itself; more than this apart, the clock was set back.
const CLOCK_STEP: Duration = Duration::minutes(1);
/// Keys whose tokens are kept, at most. The one that was asked for least recently goes first.
const MOST: usize = 10_000;
/// Exchanges under way, at most.
const EXCHANGES: usize = 64;

/// An access token. It is a bearer's: whoever has it may use it.
#[derive(Debug, Clone)]
pub struct AccessToken {
    /// The token: 1 byte to 16 KiB of `0x21`–`0x7E`.
    pub secret: SecretString,
    /// When the provider stops accepting it.
    pub expire_time: OffsetDateTime,
}

/// Why there is no access token: what the exchange showed of the key, read as a live test is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.detail)]
pub struct MintError(pub Finding);

/// Whose token is wanted.
#[derive(Debug, Clone, Copy)]
pub struct TokenFor<'a> {
    /// The key.
    pub key: KeyId,
    /// Which of its secrets.
    pub secret_version: u32,
    /// The key's provider.
    pub provider: &'a ProviderId,
    /// The account's key file.
    pub account: &'a SecretString,
}

/// The access tokens of all keys. Clones share them.
#[derive(Debug, Clone)]
pub struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    verifier: Verifier,
    exchanges: Semaphore,
    most: usize,
    slots: Mutex<HashMap<SlotId, Slot>>,
}

type SlotId = (KeyId, u32);
/// An exchange under way. What it brings is in the slot before it is in here.
type Flight = watch::Receiver<Option<Result<AccessToken, MintError>>>;

/// What is known of one secret.
#[derive(Debug)]
struct Slot {
    minted: Option<Minted>,
    failed: Option<(OffsetDateTime, MintError)>,
    flight: Option<Flight>,
    used: OffsetDateTime,
}

#[derive(Debug)]
struct Minted {
    token: AccessToken,
    time: OffsetDateTime,
}

/// How a kept token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// In the first half of its life.
    Fresh,
    /// In the second half: good, and time for the next.
    Due,
    /// Too short-lived to be handed out.
    Short,
}

enum Found {
    Now(Result<AccessToken, MintError>),
    Soon(Flight),
}

impl Tokens {
    /// None yet; exchanges go where live tests go.
    #[must_use]
    pub fn new(verifier: Verifier) -> Self {
        Self::with_room(verifier, MOST)
    }

    fn with_room(verifier: Verifier, most: usize) -> Self {
        let (exchanges, slots) = (Semaphore::new(EXCHANGES), Mutex::default());
        Self(Arc::new(Inner { verifier, exchanges, most, slots }))
    }

    /// A token with at least 10 minutes left, or a third of its life if it lives less than half an hour.
    ///
    /// A kept one comes at once. Otherwise there is one exchange, for however many callers; it takes 8 s at most, once 64
    /// others leave room for it. It goes on without the callers: one that gives up early finds what came of it next time.
    /// A failure is remembered for 10 s.
    ///
    /// # Errors
    /// What the exchange showed: `Invalid` when the provider rejects the account or its key file cannot sign;
    /// `Inconclusive` when there was no answer, or one that proves nothing.
    pub async fn token(&self, wanted: TokenFor<'_>, now: OffsetDateTime) -> Result<AccessToken, MintError> {
        match self.find(&wanted, now) {
            Found::Now(known) => known,
            Found::Soon(mut flight) => {
                let landed = flight.wait_for(Option::is_some).await.ok().and_then(|landed| landed.clone());
                landed.unwrap_or_else(|| Err(mint::unclear("the exchange broke off", None)))
            }
        }
    }

    /// Drops whatever is known of a key: it was revoked, or its secret replaced. What an exchange under way brings goes to
    /// those who wait for it, and is not kept.
    pub fn forget(&self, key: KeyId) {
        self.slots().retain(|(known, _), _| *known != key);
    }

    fn find(&self, wanted: &TokenFor<'_>, now: OffsetDateTime) -> Found {
        let id = (wanted.key, wanted.secret_version);
        let mut slots = self.slots();
        make_room(&mut slots, self.0.most, &id);
        let slot = slots.entry(id).or_insert_with(|| Slot::new(now));
        slot.used = now;
        let token = match slot.minted.as_ref().map(|minted| (minted.standing(now), &minted.token)) {
            Some((Standing::Fresh, token)) => return Found::Now(Ok(token.clone())),
            Some((Standing::Due, token)) => Some(token.clone()),
            Some((Standing::Short, _)) | None => None,
        };
        if let Some(failure) = slot.failure(now) {
            return Found::Now(token.ok_or_else(|| failure.clone()));
        }
        let flight = slot.flight().unwrap_or_else(|| self.start(id, wanted, now));
        slot.flight = Some(flight.clone());
        token.map_or(Found::Soon(flight), |token| Found::Now(Ok(token)))
    }

    /// Starts an exchange. It is spawned, as it serves more than the caller; it ends by its own time limit and holds
    /// nothing that must be saved, so that nothing waits for it at the end of the process.
    fn start(&self, id: SlotId, wanted: &TokenFor<'_>, now: OffsetDateTime) -> Flight {
        let (sender, flight) = watch::channel(None);
        let (tokens, provider, account) = (self.clone(), wanted.provider.clone(), wanted.account.clone());
        let exchange = async move {
            let start = Instant::now();
            let landed = tokens.exchange(&provider, account, now).await;
            if let Err(MintError(finding)) = &landed {
                let (result, http_status) = (finding.result.as_str(), finding.http_status);
                tracing::warn!(key = %id.0, result, http_status, detail = finding.detail, "no access token");
            }
            tokens.land(id, &sender, &landed, now, now + start.elapsed());
            sender.send_replace(Some(landed));
        };
        tokio::spawn(exchange.in_current_span());
        flight
    }

    async fn exchange(
        &self,
        provider: &ProviderId,
        account: SecretString,
        now: OffsetDateTime,
    ) -> Result<AccessToken, MintError> {
        let inner = &self.0;
        let _slot = inner.exchanges.acquire().await;
        match inner.verifier.catalog.provider(provider.as_str()) {
            Some(provider) => inner.verifier.mint(provider, &account, now).await,
            None => Err(mint::unclear("the key's provider is not in the catalog any more", None)),
        }
    }

    /// Keeps what came of an exchange, unless the key was forgotten meanwhile.
    fn land(
        &self,
        id: SlotId,
        sender: &watch::Sender<Option<Result<AccessToken, MintError>>>,
        landed: &Result<AccessToken, MintError>,
        started: OffsetDateTime,
        ended: OffsetDateTime,
    ) {
        let mut slots = self.slots();
        let own = |flight: &Flight| flight.same_channel(&sender.subscribe());
        let Some(slot) = slots.get_mut(&id).filter(|slot| slot.flight.as_ref().is_some_and(own)) else { return };
        slot.flight = None;
        match landed {
            Ok(token) => (slot.minted, slot.failed) = (Some(Minted { token: token.clone(), time: started }), None),
            Err(error) => slot.failed = Some((ended, error.clone())),
        }
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<SlotId, Slot>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(slots: &mut HashMap<SlotId, Slot>, most: usize, wanted: &SlotId) {
    if slots.len() < most || slots.contains_key(wanted) {
        return;
    }
    let oldest = slots.iter().min_by_key(|(_, slot)| slot.used).map(|(id, _)| *id);
    if let Some(oldest) = oldest {
        slots.remove(&oldest);
    }
}

impl Slot {
    fn new(now: OffsetDateTime) -> Self {
        Self { minted: None, failed: None, flight: None, used: now }
    }

    fn failure(&self, now: OffsetDateTime) -> Option<&MintError> {
        let (time, error) = self.failed.as_ref()?;
        (-CLOCK_STEP..FAILURE_KEPT).contains(&(now - *time)).then_some(error)
    }

    /// The exchange under way. One that panicked has no sender any more.
    fn flight(&self) -> Option<Flight> {
        self.flight.clone().filter(|flight| flight.has_changed().is_ok())
    }
}

impl Minted {
    fn standing(&self, now: OffsetDateTime) -> Standing {
        let life = self.token.expire_time - self.time;
        let left = self.token.expire_time - now;
        if left < LEAST_LEFT.min(life / 3) || left > life + CLOCK_STEP {
            Standing::Short
        } else if left < life / 2 {
            Standing::Due
        } else {
            Standing::Fresh
        }
    }
}

#[cfg(test)]
mod tests;
