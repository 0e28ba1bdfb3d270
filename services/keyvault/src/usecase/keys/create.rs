//! Store a key: check it, test it live, seal it, store it with its audit event.

use claviger_core::audit::Origin;
use claviger_core::command::{CreateKey, NewKey, Verification};
use claviger_core::fault::Fault;
use claviger_core::ids::{ProviderId, Tenant};
use claviger_core::workspace::{Policy, Workspace};

use super::draft::{Draft, key_created, seal};
use super::{Created, Keys};
use crate::store::{Access, Beside, Kept, WriteTxn};
use crate::usecase::workspaces::{created, record};
use crate::usecase::{Answer, Call, now, policy};

impl Keys {
    /// Stores a key.
    ///
    /// # Errors
    /// `INVALID_FIELD`, `MALFORMED_PROVIDER_KEY`, `BASE_URL_NOT_ALLOWED`, `INVALID_PROVIDER_KEY`,
    /// `VERIFICATION_UNAVAILABLE`, `KEY_SLUG_TAKEN`, `WORKSPACE_NOT_FOUND`, `WORKSPACE_READ_ONLY`, `PLAN_REQUIRED`,
    /// `PROVIDER_NOT_ALLOWED`, `WORKSPACE_ALTERED`, `KEY_UNREADABLE` when the workspace's key does not open,
    /// `TOO_MANY_KEYS`, `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`.
    pub async fn create(&self, command: CreateKey, call: Call<Created>) -> Result<Answer<Created>, Fault> {
        if let Some(first) = call.recall(&self.store).await? {
            return Ok(first);
        }
        let origin = call.origin.clone();
        if command.key.verification != Verification::Skip || command.key.base_url.is_some() {
            self.admit_new(&command.key).await?;
        }
        let draft = self.draft(command.key, &origin).await?;
        let (tested, keys, store) = (draft.tested(&origin), self.clone(), self.store.clone());
        let write = async move {
            let job = call.write_with(&store, move |access| {
                Box::pin(async move {
                    let fingerprint = keys.fingerprint(draft.secret())?;
                    if let Some(created) = keys.add_alone(access, &draft, &fingerprint, &origin).await? {
                        return Ok(created);
                    }
                    let txn = access.hold().await?;
                    let Beside { workspace, neighbours, .. } = txn.beside(draft.owner(), &fingerprint).await?;
                    keys.ensure_workspace(txn, &draft, workspace, &origin).await?;
                    keys.place(txn, &draft, neighbours, fingerprint, &origin).await
                })
            });
            job.await
        };
        self.settle(tested, write).await
    }

    /// Stores a key without a transaction; none where that is no gain, where more than the key is to be made, or where
    /// someone else wrote meanwhile.
    async fn add_alone(
        &self,
        access: &mut Access,
        draft: &Draft,
        fingerprint: &[u8],
        origin: &Origin,
    ) -> Result<Option<Created>, Fault> {
        let Some(Beside { head, workspace, neighbours }) = access.look(draft.owner(), fingerprint).await? else {
            return Ok(None);
        };
        let tenant = &draft.owner().tenant;
        let policy = policy::living(workspace).map(|kept| kept.value.policy);
        self.check_policy(tenant, policy.as_ref(), draft.provider())?;
        if tenant.workspace().is_some() && policy.is_none() {
            return Ok(None);
        }
        let created = draft.placed(&neighbours, fingerprint, origin)?;
        let under = match (draft.secret().text(), &neighbours.workspace_key) {
            (None, _) => None,
            (Some(_), Some(row)) => Some(self.opened(tenant, row)?),
            (Some(_), None) => return Ok(None),
        };
        let mut stored = seal(created.stored, draft.secret(), under.as_ref())?;
        let event = key_created(&stored.key, origin);
        let done = access.insert_key(head, &mut stored, &event).await?;
        Ok(done.then_some(Created { stored, ..created }))
    }

    /// Does all that [`Keys::create`] does but store: shows what would be stored.
    ///
    /// # Errors
    /// As [`Keys::create`].
    pub async fn validate(&self, new: NewKey, origin: &Origin) -> Result<Created, Fault> {
        let owner = new.owner.clone();
        self.admit_new(&new).await?;
        let draft = self.draft(new, origin).await?;
        self.on_record(draft.tested(origin)).await?;
        let fingerprint = self.fingerprint(draft.secret())?;
        draft.created(&self.store.neighbours(&owner, &fingerprint).await?, &fingerprint, origin)
    }

    /// Whether a tenant's policy admits a key. The write looks again: this is for no one to be asked about a key that could
    /// not be stored.
    async fn admit_new(&self, new: &NewKey) -> Result<(), Fault> {
        let policy = policy::of_tenant(&self.store, &new.owner.tenant).await?;
        self.check_policy(&new.owner.tenant, policy.as_ref(), &self.known_provider(&new.provider)?.id)
    }

    /// A draft of the first key of a workspace that is about to have this policy.
    pub(in crate::usecase) async fn first_draft(
        &self,
        policy: &Policy,
        new: NewKey,
        origin: &Origin,
    ) -> Result<Draft, Fault> {
        policy::check_new_key(policy, &self.plans, &self.known_provider(&new.provider)?.id)?;
        self.draft(new, origin).await
    }

    /// Whether a tenant's policy admits another secret for a provider.
    pub(super) fn check_policy(
        &self,
        tenant: &Tenant,
        found: Option<&Policy>,
        provider: &ProviderId,
    ) -> Result<(), Fault> {
        match (tenant.workspace(), found) {
            (None, _) => Ok(()),
            (Some(_), Some(found)) => policy::check_new_key(found, &self.plans, provider),
            (Some(_), None) if self.implicit_workspaces => {
                policy::check_new_key(&Policy::default(), &self.plans, provider)
            }
            (Some(id), None) => Err(policy::not_found(id)),
        }
    }

    /// The workspace's policy admits it, as the write finds it; its record is made if it is missing.
    async fn ensure_workspace(
        &self,
        txn: &mut WriteTxn,
        draft: &Draft,
        found: Option<Kept<Workspace>>,
        origin: &Origin,
    ) -> Result<(), Fault> {
        let tenant = &draft.owner().tenant;
        let found = policy::living(found).map(|kept| kept.value.policy);
        self.check_policy(tenant, found.as_ref(), draft.provider())?;
        if let (Some(id), None) = (tenant.workspace(), found) {
            let workspace = record(id.clone(), Policy::default(), now(), origin);
            created(txn, &workspace, origin).await?;
        }
        Ok(())
    }
}
