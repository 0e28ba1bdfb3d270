//! Refused callers, put on record.

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::fault::Fault;
use claviger_core::ids::Tenant;
use time::format_description::well_known::Rfc3339;

use crate::refusals::Refused;
use crate::store::Store;
use crate::usecase::{event, now};

/// Records what was counted, all of it or nothing.
///
/// # Errors
/// `STORAGE_UNAVAILABLE`: then it is not known whether it was done.
pub async fn record_refusals(store: &Store, refused: &[Refused]) -> Result<(), Fault> {
    let events: Vec<Event> = refused.iter().map(of).collect();
    let job = store.write(move |txn| {
        Box::pin(async move {
            for event in &events {
                txn.record(event).await?;
            }
            Ok(())
        })
    });
    job.await.map(drop)
}

fn of(refused: &Refused) -> Event {
    let details = vec![
        (Detail::RefusedPeer, refused.peer.clone()),
        (Detail::Reason, refused.reason.as_str().to_owned()),
        (Detail::Count, refused.count.to_string()),
        (Detail::Minute, refused.minute.format(&Rfc3339).unwrap_or_default()),
    ];
    let target = Tenant::Platform.to_string();
    event(now(), &Tenant::Platform, Action::CallersRefused, target, &Origin::vault(), details)
}
