//! The audit log: listed, exported, verified; its oldest part moved out; refused callers put into it.

mod export;
mod refused;
mod seal;
mod secrets;
mod verify;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_core::command::ListEvents;
use claviger_core::fault::Fault;
use claviger_crypto::ServiceKey;
use tokio::sync::Mutex;

use super::custody::Custody;
use crate::audit_file::Head;
use crate::store::{Store, StoredEvent};

pub use export::{Export, ExportError};
pub use refused::record_refusals;
pub use seal::{Oldest, Out, SealError, Sealed, seal};
pub use verify::{Finding, Kind, Progress};

const DOMAIN: &str = "claviger/event-page-token/v1";
const POSITION: usize = 8;

/// The use-cases of the audit log.
#[derive(Debug, Clone)]
pub struct Audit {
    store: Store,
    custody: Arc<Custody>,
    /// Held by the one verification that runs.
    verifying: Arc<Mutex<()>>,
}

impl Audit {
    /// Over a store.
    #[must_use]
    pub fn new(store: Store, custody: Arc<Custody>) -> Self {
        Self { store, custody, verifying: Arc::default() }
    }

    /// Lists events, the newest first, a page at a time; with the token of the next page, if there is one.
    ///
    /// # Errors
    /// `INVALID_FIELD` for a token of another listing, `STORAGE_UNAVAILABLE`.
    pub async fn list(&self, list: &ListEvents) -> Result<(Vec<StoredEvent>, Option<String>), Fault> {
        let before = before(self.custody.page_token(), list)?;
        let size = list.page.size as usize;
        let one_more = u64::from(list.page.size) + 1;
        let mut events = self.store.events(&list.scope, &list.filter, before, one_more).await?;
        let more = events.len() > size;
        events.truncate(size);
        let last = events.last().filter(|_| more);
        let next = last.map(|last| token(self.custody.page_token(), list, last.seq));
        Ok((events, next))
    }
}

/// How an event and the one before it fit.
fn follow(at: &mut Head, event: &StoredEvent) -> Result<(), Finding> {
    let expected = at.seq.saturating_add(1);
    if event.seq != expected {
        return Err(Finding::of_event(Kind::EventMissing, expected));
    }
    if event.hash_after(&at.hash) != event.hash {
        return Err(Finding::of_event(Kind::EventAltered, event.seq));
    }
    *at = Head { seq: event.seq, hash: event.hash };
    Ok(())
}

fn token(key: &ServiceKey, list: &ListEvents, last: i64) -> String {
    let position = last.to_be_bytes();
    let tag = key.mac(DOMAIN, &[query(list).as_bytes(), &position]);
    URL_SAFE_NO_PAD.encode([&position[..], &tag].concat())
}

/// The event that a listing goes on behind.
fn before(key: &ServiceKey, list: &ListEvents) -> Result<Option<i64>, Fault> {
    let Some(token) = &list.page.token else { return Ok(None) };
    let bad = || Fault::field("page_token", "must be the next_page_token of the same listing");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
    let (position, tag) = bytes.split_first_chunk::<POSITION>().ok_or_else(bad)?;
    if !key.verify(DOMAIN, &[query(list).as_bytes(), position], tag) {
        return Err(bad());
    }
    Ok(Some(i64::from_be_bytes(*position)))
}

fn query(list: &ListEvents) -> String {
    format!("{} {:?}", list.scope, list.filter)
}

#[cfg(test)]
pub(crate) mod tests;
