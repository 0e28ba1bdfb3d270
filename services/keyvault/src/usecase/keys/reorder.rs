//! Put a group of an owner's keys in order.

use std::collections::HashMap;

use claviger_core::audit::Origin;
use claviger_core::command::{ReorderGroup, ReorderKeys};
use claviger_core::fault::Fault;
use claviger_core::ids::{KeyName, Owner, ProviderId};
use claviger_core::key::{KeyState, ProviderKey};

use super::update::check_writable;
use super::{Keys, PRIORITY, check_usable, put, updated};
use crate::store::{StoredKey, WriteTxn};
use crate::usecase::{Answer, Call, now, policy};

impl Keys {
    /// Gives a group's ACTIVE keys the priorities 0, 1, 2, … in the order of the names.
    ///
    /// # Errors
    /// `INVALID_FIELD`, `ETAG_MISMATCH` when the names are not exactly the group, `KEY_ALTERED`, `WORKSPACE_READ_ONLY`,
    /// `WORKSPACE_ALTERED`, `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`.
    pub async fn reorder(
        &self,
        command: ReorderKeys,
        call: Call<Vec<StoredKey>>,
    ) -> Result<Answer<Vec<StoredKey>>, Fault> {
        let providers = self.providers_of(&command.group)?;
        let origin = call.origin.clone();
        call.write(&self.store, move |txn| {
            Box::pin(async move {
                check_writable(txn, &command.owner.tenant).await?;
                let in_group = |key: &ProviderKey| providers.contains(&key.provider);
                let keys = group(txn, &command.owner, in_group, &command.names).await?;
                put_in_order(txn, keys, &origin).await
            })
        })
        .await
    }

    fn providers_of(&self, group: &ReorderGroup) -> Result<Vec<ProviderId>, Fault> {
        match group {
            ReorderGroup::Provider(given) => Ok(vec![self.provider_in("provider", given)?.id.clone()]),
            ReorderGroup::Category(category) => {
                let serving = self.catalog.providers().iter().filter(|provider| provider.categories.contains(category));
                Ok(serving.map(|provider| provider.id.clone()).collect())
            }
        }
    }
}

/// The group's keys in the order of the names, which must be exactly theirs.
async fn group(
    txn: &WriteTxn,
    owner: &Owner,
    in_group: impl Fn(&ProviderKey) -> bool,
    names: &[KeyName],
) -> Result<Vec<StoredKey>, Fault> {
    let active = |stored: &StoredKey| stored.key.state == KeyState::Active && in_group(&stored.key);
    let all = txn.keys_of_owner(owner).await?.into_iter().filter(active);
    let mut by_name: HashMap<_, _> = all.map(|stored| (stored.key.name.clone(), stored)).collect();
    let keys: Option<Vec<_>> = names.iter().map(|name| by_name.remove(name)).collect();
    let keys = keys.filter(|_| by_name.is_empty()).ok_or_else(policy::changed)?;
    keys.iter().try_for_each(check_usable)?;
    Ok(keys)
}

async fn put_in_order(txn: &mut WriteTxn, mut keys: Vec<StoredKey>, origin: &Origin) -> Result<Vec<StoredKey>, Fault> {
    let now = now();
    for (priority, stored) in (0..).zip(&mut keys) {
        if stored.key.priority != priority {
            (stored.key.priority, stored.key.update_time) = (priority, now);
            let event = updated(&stored.key, &[PRIORITY], origin);
            put(txn, stored, &event).await?;
        }
    }
    Ok(keys)
}
