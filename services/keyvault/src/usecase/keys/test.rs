//! Test a stored key live, and keep what came of it.

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::command::TestKey;
use claviger_core::fault::Fault;
use claviger_core::key::{KeyTest, ProviderKey};
use claviger_core::reason::Reason;
use claviger_crypto::workspace_key_version;
use secrecy::SecretString;

use super::live::{Question, Tested};
use super::{Keys, about, check_usable, found, not_found, put, state};
use crate::store::{StoredKey, WorkspaceKeyRow};
use crate::usecase::{Answer, Call, custody, now};

impl Keys {
    /// Tests a stored key live. A clear yes or no moves its state, and where no test can be made it gives a key another chance
    /// that reports alone speak against; anything else moves only its newest test.
    ///
    /// # Errors
    /// `KEY_NOT_FOUND`, `KEY_REVOKED`, `KEY_ALTERED`, `KEY_UNREADABLE`, `PROVIDER_NOT_FOUND`, `BASE_URL_NOT_ALLOWED`,
    /// `REQUEST_ID_REUSED`, `STORAGE_UNAVAILABLE`.
    pub async fn test(&self, command: TestKey, call: Call<StoredKey>) -> Result<Answer<StoredKey>, Fault> {
        self.test_for(None, command, call).await
    }

    /// The same, with what made the vault do so by itself.
    pub(super) async fn test_for(
        &self,
        cause: Option<&'static str>,
        command: TestKey,
        call: Call<StoredKey>,
    ) -> Result<Answer<StoredKey>, Fault> {
        if let Some(first) = call.recall(&self.store).await? {
            return Ok(first);
        }
        let name = command.name;
        let (stored, under) = self.store.key_to_open(&name).await?.ok_or_else(|| not_found(&name))?;
        check_usable(&stored)?;
        let origin = call.origin.clone();
        let test = self.ask(self.question(&stored, &under, &origin)?).await?;
        let alone = Tested::new(&stored.key.provider, &name.owner, &test, &origin);
        let tested_version = stored.key.secret_version;
        let store = self.store.clone();
        let write = async move {
            let job = call.write(&store, move |txn| {
                Box::pin(async move {
                    let mut stored = found(txn, &name).await?;
                    check_usable(&stored)?;
                    keep(&mut stored.key, tested_version, test.clone());
                    let event = tested(&stored.key, &test, &origin, cause);
                    put(txn, &mut stored, &event).await?;
                    Ok(stored)
                })
            });
            job.await
        };
        self.settle(alone, write).await
    }

    fn question(&self, stored: &StoredKey, under: &[WorkspaceKeyRow], origin: &Origin) -> Result<Question, Fault> {
        let key = &stored.key;
        Ok(Question {
            provider: key.provider.clone(),
            auth_type: key.auth_type,
            secret: self.open(stored, under)?,
            base_url: key.base_url.clone(),
            location: key.location.clone(),
            owner: key.name.owner.clone(),
            origin: origin.clone(),
        })
    }

    /// Opens a stored secret under one of its tenant's keys.
    fn open(&self, stored: &StoredKey, under: &[WorkspaceKeyRow]) -> Result<Option<SecretString>, Fault> {
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
        let row = under.iter().find(|row| row.version == version).ok_or_else(unreadable)?;
        let key = self.custody.workspace_key(tenant, row).map_err(|_| unreadable())?;
        let plaintext = custody::open(&key, version, stored).map_err(|_| unreadable())?;
        let text = std::str::from_utf8(&plaintext).map_err(|_| unreadable())?;
        Ok(Some(SecretString::from(text)))
    }
}

/// Keeps a test with the key, unless the key got another secret or a newer test meanwhile.
fn keep(key: &mut ProviderKey, tested_version: u32, test: KeyTest) {
    key.update_time = now();
    let newer = key.last_test.as_ref().is_some_and(|known| known.time > test.time);
    if key.secret_version == tested_version && !newer {
        key.state = key.state.after_test(test.result, key.last_test.as_ref().map(|known| known.result));
        key.last_test = Some(test);
    }
}

fn tested(key: &ProviderKey, test: &KeyTest, origin: &Origin, cause: Option<&str>) -> Event {
    let result = (Detail::TestResult, test.result.as_str().to_owned());
    let cause = cause.map(|cause| (Detail::Cause, cause.to_owned()));
    about(key, Action::KeyTested, origin, [result, state(key)].into_iter().chain(cause).collect())
}

#[cfg(test)]
mod tests {
    use claviger_core::key::{KeyState, TestResult};

    use super::*;
    use crate::verify::skipped;

    #[test]
    fn a_test_counts_for_the_secret_that_was_tested_and_the_newest_one_stays() {
        let invalid = KeyTest { result: TestResult::Invalid, ..skipped("", now()) };
        let after = |version, known: Option<KeyTest>| {
            let stored = crate::store::tests::key("workspaces/acme", "main");
            let mut key = ProviderKey { secret_version: 2, last_test: known, ..stored.key };
            keep(&mut key, version, invalid.clone());
            (key.state, key.last_test.map(|test| test.result))
        };
        let newer = skipped("", invalid.time + std::time::Duration::from_secs(1));
        assert_eq!(after(2, None), (KeyState::Invalid, Some(TestResult::Invalid)));
        assert_eq!(after(1, None), (KeyState::Active, None), "another secret's");
        assert_eq!(after(2, Some(newer)), (KeyState::Active, Some(TestResult::Skipped)), "an older one");
    }
}
