//! What pins sessions to keys.

use std::time::Duration;

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::command::{BindSession, UnbindSession};
use claviger_core::fault::Fault;
use claviger_core::ids::{Owner, SessionId, Tenant, WorkspaceId};
use claviger_core::position::Position;
use claviger_core::reason::Reason;
use claviger_core::workspace::{SessionBinding, session_binding_name};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Workspaces;
use super::routes::about;
use crate::store::{Kept, StoreError, WriteTxn};
use crate::usecase::keys::check_pin;
use crate::usecase::{Answer, Call, now, policy};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const USUAL: Duration = DAY;
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Expired rows removed with each new one, so that no one has to tidy up.
const FORGOTTEN_AT_ONCE: u64 = 4;

impl Workspaces {
    /// Pins a session to a key until a time, in place of the binding before.
    ///
    /// # Errors
    /// `WORKSPACE_NOT_FOUND`, `WORKSPACE_READ_ONLY`, `INVALID_FIELD`, `KEY_NOT_FOUND`, `PROVIDER_MISMATCH`, `KEY_ALTERED`,
    /// `WORKSPACE_ALTERED`, `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`.
    pub async fn bind(
        &self,
        mut command: BindSession,
        call: Call<SessionBinding>,
    ) -> Result<Answer<SessionBinding>, Fault> {
        let provider = command.provider.map(|given| self.provider("session_binding.provider", &given)).transpose()?;
        command.provider = provider;
        let origin = call.origin.clone();
        call.write(&self.store, move |txn| Box::pin(async move { bind(txn, command, &origin).await })).await
    }

    /// Shows a session's binding.
    ///
    /// # Errors
    /// `BINDING_NOT_FOUND`, also for an expired one; `WORKSPACE_ALTERED`, `STORAGE_UNAVAILABLE`.
    pub async fn binding(
        &self,
        workspace: &WorkspaceId,
        session: &SessionId,
    ) -> Result<(SessionBinding, Position), Fault> {
        let at = self.position().await?;
        let found = self.store.session_binding(workspace, session).await?;
        Ok((living(found, now()).ok_or_else(not_found)?, at))
    }

    /// Ends a session's binding, an altered one too. As with revoking, a read-only workspace does not stand in the way.
    ///
    /// # Errors
    /// `BINDING_NOT_FOUND`, also for an expired one; `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`.
    pub async fn unbind(&self, command: UnbindSession, call: Call<()>) -> Result<Answer<()>, Fault> {
        let origin = call.origin.clone();
        call.write(&self.store, move |txn| {
            Box::pin(async move {
                let UnbindSession { workspace, session } = command;
                match txn.session_binding(&workspace, &session).await {
                    Ok(found) => living(found, now()).map(drop).ok_or_else(not_found)?,
                    Err(StoreError::Altered(..)) => {}
                    Err(error) => return Err(error.into()),
                }
                end_binding(txn, &workspace, &session, &origin).await
            })
        })
        .await
    }
}

fn living(found: Option<Kept<SessionBinding>>, now: OffsetDateTime) -> Option<SessionBinding> {
    found.map(|kept| kept.value).filter(|binding| binding.expire_time > now)
}

async fn bind(txn: &mut WriteTxn, command: BindSession, origin: &Origin) -> Result<SessionBinding, Fault> {
    let BindSession { workspace, session, slug, user, provider, model, expire_time } = command;
    let now = now();
    let expire_time = check_expiry(expire_time, now)?;
    policy::check_writable(&policy::workspace(txn, &workspace).await?.value.policy)?;
    let owner = |user| Owner { tenant: Tenant::Workspace(workspace.clone()), user };
    let personal = user.clone().map(|user| owner(Some(user)));
    let owners: Vec<Owner> = personal.into_iter().chain([owner(None)]).collect();
    check_pin(txn, &owners, &slug, provider.as_ref()).await?;
    let creator = origin.actor.clone();
    let binding =
        SessionBinding { workspace, session, slug, user, provider, model, create_time: now, creator, expire_time };
    txn.forget_expired_bindings(now - DAY, FORGOTTEN_AT_ONCE).await?;
    let stamp = txn.record(&bound(&binding, origin)).await?;
    txn.put_session_binding(&binding, &stamp).await?;
    Ok(binding)
}

fn check_expiry(given: Option<OffsetDateTime>, now: OffsetDateTime) -> Result<OffsetDateTime, Fault> {
    match given {
        None => Ok(now + USUAL),
        Some(at) if at > now && at <= now + LONGEST => Ok(at),
        Some(_) => Err(Fault::field("session_binding.expire_time", "must lie in the future, at most 30 days away")),
    }
}

/// Ends a session's binding, with the event that tells of it.
pub(super) async fn end_binding(
    txn: &mut WriteTxn,
    workspace: &WorkspaceId,
    session: &SessionId,
    origin: &Origin,
) -> Result<(), Fault> {
    let name = session_binding_name(workspace, session);
    let stamp = txn.record(&about(workspace, now(), Action::SessionUnbound, name, origin, Vec::new())).await?;
    let ended = txn.delete_session_binding(workspace, session, &stamp).await?;
    if ended { Ok(()) } else { Err(not_found()) }
}

fn bound(binding: &SessionBinding, origin: &Origin) -> Event {
    let details = vec![
        (Detail::KeySlug, binding.slug.to_string()),
        (Detail::ExpireTime, binding.expire_time.format(&Rfc3339).unwrap_or_default()),
    ];
    about(&binding.workspace, binding.create_time, Action::SessionBound, binding.name(), origin, details)
}

fn not_found() -> Fault {
    Fault::new(Reason::BindingNotFound, "the session has no binding, or its binding has expired")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn bindings_end_within_thirty_days() {
        let now = OffsetDateTime::UNIX_EPOCH;
        assert_eq!(check_expiry(None, now).unwrap(), now + time::Duration::DAY);
        for away in [1, 30 * 86_400] {
            let at = now + time::Duration::seconds(away);
            assert_eq!(check_expiry(Some(at), now).unwrap(), at);
        }
        for away in [-1, 0, 30 * 86_400 + 1] {
            assert!(check_expiry(Some(now + time::Duration::seconds(away)), now).is_err(), "{away}");
        }
    }
}
