//! Delete a workspace: its keys are shredded, its standing orders end, its record is marked.
//!
//! One write does all of it, so that a workspace is either as it was or gone. What may be without bound (revoked keys,
//! routes, bindings) is reduced to a batch each beforehand, in writes of their own: no write holds the audit head for longer
//! than others should wait. A deletion that is interrupted there leaves a workspace that can be deleted again.

use claviger_core::audit::{Action, Detail, Origin};
use claviger_core::command::DeleteWorkspace;
use claviger_core::fault::Fault;
use claviger_core::ids::{Tenant, WorkspaceId};
use claviger_core::workspace::{Policy, Workspace};

use super::routes::end_route;
use super::sessions::end_binding;
use super::{Workspaces, record, told};
use crate::store::{StoreError, StoredKey, WriteTxn};
use crate::usecase::keys::shred;
use crate::usecase::{Answer, Call, now, policy};

/// How many rows of a kind one write ends, beside the unrevoked keys, of which there are at most a thousand.
const AT_ONCE: usize = 256;
const REASON: &str = "the workspace was deleted";

impl Workspaces {
    /// Deletes a workspace, a read-only or altered one too: how many keys this destroyed. Deleting a deleted workspace
    /// changes nothing.
    ///
    /// # Errors
    /// `WORKSPACE_NOT_FOUND`, `ETAG_MISMATCH`, `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`; `WORKSPACE_ALTERED` when an etag
    /// is given, to which an altered record has no answer.
    pub async fn delete(&self, command: DeleteWorkspace, call: Call<usize>) -> Result<Answer<usize>, Fault> {
        if let Some(first) = call.recall(&self.store).await? {
            return Ok(first);
        }
        let (origin, tenant) = (call.origin.clone(), Tenant::Workspace(command.id.clone()));
        let reduced = self.reduce(&command, &origin).await?;
        let done = call.write(&self.store, move |txn| {
            Box::pin(async move { Ok(reduced + finish(txn, &command, &origin).await?) })
        });
        let answer = done.await?;
        self.keys.forget_purged(&tenant).await;
        self.store.empty_log().await;
        Ok(answer)
    }

    /// Ends batches of rows until one write can end the rest: how many keys this destroyed.
    async fn reduce(&self, command: &DeleteWorkspace, origin: &Origin) -> Result<usize, Fault> {
        let mut destroyed = 0;
        loop {
            let (command, origin) = (command.clone(), origin.clone());
            let reduced = self.store.write(move |txn| {
                Box::pin(async move {
                    match ending(txn, &command, &origin).await? {
                        None => Ok(None),
                        Some(_) => end_a_batch(txn, &command.id, &origin).await,
                    }
                })
            });
            match reduced.await? {
                (Some(keys), _) => destroyed += keys,
                (None, _) => return Ok(destroyed),
            }
        }
    }
}

/// The record to be marked, and whether it was altered; none when that is done.
async fn ending(
    txn: &WriteTxn,
    command: &DeleteWorkspace,
    origin: &Origin,
) -> Result<Option<(Workspace, bool)>, Fault> {
    match txn.workspace(&command.id).await {
        Ok(None) => Err(policy::not_found(&command.id)),
        Ok(Some(kept)) if kept.value.delete_time.is_some() => Ok(None),
        Ok(Some(kept)) => {
            policy::check_etag(command.etag.as_deref(), kept.seq)?;
            Ok(Some((kept.value, false)))
        }
        Err(StoreError::Altered(..)) if command.etag.is_none() => {
            Ok(Some((record(command.id.clone(), Policy::default(), now(), origin), true)))
        }
        Err(error) => Err(error.into()),
    }
}

/// Ends a batch of whatever is more than a batch: how many keys that destroyed. None when nothing is.
async fn end_a_batch(txn: &mut WriteTxn, id: &WorkspaceId, origin: &Origin) -> Result<Option<usize>, Fault> {
    const ONE_MORE: u64 = AT_ONCE as u64 + 1;
    let mut keys = txn.revoked_keys(&Tenant::Workspace(id.clone()), ONE_MORE).await?;
    if keys.len() > AT_ONCE {
        keys.truncate(AT_ONCE);
        return Ok(Some(shred_all(txn, keys, origin).await?));
    }
    let agents = txn.routed_agents(id, ONE_MORE).await?;
    if agents.len() > AT_ONCE {
        for agent in &agents[..AT_ONCE] {
            end_route(txn, id, agent, origin).await?;
        }
        return Ok(Some(0));
    }
    let sessions = txn.bound_sessions(id, ONE_MORE).await?;
    if sessions.len() > AT_ONCE {
        for session in &sessions[..AT_ONCE] {
            end_binding(txn, id, session, origin).await?;
        }
        return Ok(Some(0));
    }
    Ok(None)
}

/// Ends all that is left, and the record: how many keys that destroyed.
async fn finish(txn: &mut WriteTxn, command: &DeleteWorkspace, origin: &Origin) -> Result<usize, Fault> {
    // others may have revoked keys or set orders since the batches were counted: few, but none may stay
    const ALL: u64 = i64::MAX as u64;
    let Some((workspace, altered)) = ending(txn, command, origin).await? else { return Ok(0) };
    let tenant = Tenant::Workspace(workspace.id.clone());
    let mut keys = txn.keys_of_tenant(&tenant).await?;
    keys.extend(txn.revoked_keys(&tenant, ALL).await?);
    let destroyed = shred_all(txn, keys, origin).await?;
    for agent in txn.routed_agents(&workspace.id, ALL).await? {
        end_route(txn, &workspace.id, &agent, origin).await?;
    }
    for session in txn.bound_sessions(&workspace.id, ALL).await? {
        end_binding(txn, &workspace.id, &session, origin).await?;
    }
    let now = now();
    let workspace = Workspace { update_time: now, delete_time: Some(now), ..workspace };
    let mut details = vec![(Detail::Count, destroyed.to_string())];
    details.extend(altered.then(|| (Detail::Altered, true.to_string())));
    let stamp = told(txn, &workspace, Action::WorkspaceDeleted, origin, details).await?;
    txn.put_workspace(&workspace, &stamp).await?;
    txn.destroy_workspace_keys(&tenant, &stamp).await?;
    Ok(destroyed)
}

async fn shred_all(txn: &mut WriteTxn, keys: Vec<StoredKey>, origin: &Origin) -> Result<usize, Fault> {
    let count = keys.len();
    for stored in keys {
        shred(txn, stored, REASON, origin).await?;
    }
    Ok(count)
}
