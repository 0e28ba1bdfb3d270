//! Make a workspace's record, with its first key or without.

use claviger_core::command::CreateWorkspace;
use claviger_core::fault::Fault;
use claviger_core::ids::WorkspaceId;
use claviger_core::reason::Reason;
use claviger_core::workspace::{Policy, Workspace};

use super::{Workspaces, check_default, created, record};
use crate::store::Kept;
use crate::usecase::keys::Created;
use crate::usecase::{Answer, Call, now, policy};

/// A workspace's record with the key that it was made with.
pub type Made = (Kept<Workspace>, Option<Created>);

impl Workspaces {
    /// Makes a workspace's record and, if there is one, its first key: both or neither. The policy rules the key already.
    ///
    /// # Errors
    /// `WORKSPACE_EXISTS`, `WORKSPACE_ALTERED`, `INVALID_FIELD`, `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`; with a key
    /// those of [`Keys::create`](crate::usecase::keys::Keys::create).
    pub async fn create(&self, command: CreateWorkspace, call: Call<Made>) -> Result<Answer<Made>, Fault> {
        if let Some(first) = call.recall(&self.store).await? {
            return Ok(first);
        }
        let CreateWorkspace { id, policy, first_key } = command;
        let policy = self.checked(policy)?;
        let Some(new) = first_key else { return self.create_alone(id, policy, call).await };
        refuse_another(policy::living(self.store.workspace(&id).await?))?; // before anyone is asked about the key
        let origin = call.origin.clone();
        let draft = self.keys.first_draft(&policy, new, &origin).await?;
        let (tested, keys, store) = (draft.tested(&origin), self.keys.clone(), self.store.clone());
        let write = async move {
            let job = call.write(&store, move |txn| {
                Box::pin(async move {
                    refuse_another(policy::living(txn.workspace(&id).await?))?;
                    let kept = created(txn, &record(id, policy, now(), &origin), &origin).await?;
                    Ok((kept, Some(keys.place_first(txn, draft, &origin).await?)))
                })
            });
            job.await
        };
        self.keys.settle(tested, write).await
    }

    async fn create_alone(&self, id: WorkspaceId, policy: Policy, call: Call<Made>) -> Result<Answer<Made>, Fault> {
        let origin = call.origin.clone();
        call.write(&self.store, move |txn| {
            Box::pin(async move {
                refuse_another(policy::living(txn.workspace(&id).await?))?;
                Ok((created(txn, &record(id, policy, now(), &origin), &origin).await?, None))
            })
        })
        .await
    }

    /// A policy as it is stored: its providers by their own ids.
    fn checked(&self, given: Policy) -> Result<Policy, Fault> {
        let allowed_providers = self.allowed_providers(&given.allowed_providers)?;
        let default_provider = self.default_provider(given.default_provider.as_ref())?;
        let policy = Policy { allowed_providers, default_provider, ..given };
        check_default(&policy)?;
        Ok(policy)
    }
}

fn refuse_another(found: Option<Kept<Workspace>>) -> Result<(), Fault> {
    found.map_or(Ok(()), |kept| Err(exists(&kept.value.id)))
}

fn exists(id: &WorkspaceId) -> Fault {
    Fault::new(Reason::WorkspaceExists, "the workspace has a record already")
        .resource("claviger.dev/Workspace", format!("workspaces/{id}"))
}
