//! Test a stored key live, and keep what came of it.

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::fault::Fault;
use claviger_core::ids::KeyName;
use claviger_core::key::{KeyTest, ProviderKey};
use claviger_core::position::Position;
use claviger_core::reason::Reason;
use claviger_crypto::workspace_key_version;
use secrecy::SecretString;

use super::{Keys, not_found};
use crate::store::StoredKey;
use crate::usecase::{custody, event, now};
use crate::verify::Subject;

impl Keys {
    /// Tests a stored key live. A clear yes or no moves its state; anything else only its newest test.
    ///
    /// # Errors
    /// `KEY_NOT_FOUND`, `KEY_REVOKED`, `KEY_UNREADABLE`, `BASE_URL_NOT_ALLOWED`, `STORAGE_UNAVAILABLE`.
    pub async fn test(&self, name: &KeyName, origin: &Origin) -> Result<(ProviderKey, Position), Fault> {
        let stored = self.store.key(name).await?.ok_or_else(|| not_found(name))?;
        usable(&stored.key)?;
        let test = self.ask_provider(&stored).await?;
        self.keep(name, stored.key.secret_version, test, origin).await
    }

    async fn ask_provider(&self, stored: &StoredKey) -> Result<KeyTest, Fault> {
        let key = &stored.key;
        let provider = self
            .provider(&key.provider)
            .ok_or_else(|| Fault::new(Reason::ProviderNotFound, "the key's provider is not in the catalog any more"))?;
        let secret = self.open(stored).await?;
        let subject = Subject {
            provider,
            auth_type: key.auth_type,
            secret: secret.as_ref(),
            base_url: key.base_url.as_deref(),
            location: key.location.as_deref(),
        };
        self.verifier.test(&subject).await
    }

    /// Opens a stored secret.
    async fn open(&self, stored: &StoredKey) -> Result<Option<SecretString>, Fault> {
        if custody::is_url_only(stored) {
            return Ok(None);
        }
        let name = &stored.key.name;
        let unreadable = || {
            tracing::error!(key = %name.id, "a stored secret does not open");
            Fault::new(Reason::KeyUnreadable, "the stored secret does not open under the vault's keyring")
        };
        let tenant = &name.owner.tenant;
        let version = workspace_key_version(&stored.sealed).map_err(|_| unreadable())?;
        let row = self.store.workspace_key(tenant, version).await?.ok_or_else(unreadable)?;
        let key = self.custody.workspace_key(tenant, &row).map_err(|_| unreadable())?;
        let plaintext = custody::open(&key, version, stored).map_err(|_| unreadable())?;
        let text = std::str::from_utf8(&plaintext).map_err(|_| unreadable())?;
        Ok(Some(SecretString::from(text)))
    }

    /// Writes the test down, unless the key was revoked, got another secret or a newer test meanwhile.
    async fn keep(
        &self,
        name: &KeyName,
        tested_version: u32,
        test: KeyTest,
        origin: &Origin,
    ) -> Result<(ProviderKey, Position), Fault> {
        let txn = self.store.begin().await?;
        let mut key = txn.key(name).await?.ok_or_else(|| not_found(name))?.key;
        usable(&key)?;
        let newer = key.last_test.as_ref().is_some_and(|known| known.time > test.time);
        if key.secret_version != tested_version || newer {
            return Ok((key, txn.base()));
        }
        key.state = key.state.after_test(test.result);
        key.update_time = now();
        key.last_test = Some(test);
        txn.update_key(&key).await?;
        let at = txn.commit(tested(&key, origin), Vec::new()).await?;
        Ok((key, at))
    }
}

fn usable(key: &ProviderKey) -> Result<(), Fault> {
    if key.state.is_revoked() {
        return Err(Fault::new(Reason::KeyRevoked, "the key is revoked; store it anew to use it again"));
    }
    Ok(())
}

fn tested(key: &ProviderKey, origin: &Origin) -> Event {
    let result = key.last_test.as_ref().map(|t| (Detail::TestResult, t.result.as_str().to_owned()));
    let mut details = vec![(Detail::KeySlug, key.slug.to_string())];
    details.extend(result);
    details.push((Detail::State, key.state.as_str().to_owned()));
    event(key.update_time, &key.name.owner.tenant, Action::KeyTested, key.name.to_string(), origin, details)
}
