//! Give a key another secret: check it, test it live, and put it in the old one's place in one write.

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::command::ReplaceSecret;
use claviger_core::fault::Fault;
use claviger_core::key::ProviderKey;
use claviger_core::reason::Reason;
use claviger_core::workspace::Policy;

use super::draft::{Checked, check_place, duplicate, seal};
use super::live::Tested;
use super::{Created, Keys, about, check_usable, found, not_found, put, state};
use crate::store::{StoredKey, WriteTxn};
use crate::usecase::{Answer, Call, now, policy};

impl Keys {
    /// Replaces a key's secret, and with it its destination if the request names one.
    ///
    /// # Errors
    /// Those of [`Keys::create`] about the secret, its destination, the policy and the workspace's key; `KEY_NOT_FOUND`,
    /// `KEY_REVOKED`, `KEY_ALTERED`, `PROVIDER_NOT_FOUND`; `ETAG_MISMATCH`, also when the secret was replaced meanwhile.
    pub async fn replace(&self, command: ReplaceSecret, call: Call<Created>) -> Result<Answer<Created>, Fault> {
        if let Some(first) = call.recall(&self.store).await? {
            return Ok(first);
        }
        let (owner, origin) = (command.name.owner.clone(), call.origin.clone());
        let seen = self.store.key(&command.name).await?.ok_or_else(|| not_found(&command.name))?;
        self.admit(&seen, policy::of_tenant(&self.store, &owner.tenant).await?.as_ref(), &command)?;
        let checked = self.checked(&seen.key, &command, &origin).await.map_err(flat)?;
        let tested = Tested::new(&seen.key.provider, &owner, &checked.test, &origin);
        let (keys, store) = (self.clone(), self.store.clone());
        let write = async move {
            let job = call.write(&store, move |txn| {
                Box::pin(async move {
                    let stored = found(txn, &command.name).await?;
                    let policy = policy::in_write(txn, &command.name.owner.tenant).await?;
                    keys.admit(&stored, policy.as_ref(), &command)?;
                    // what was tested is bound to the destination that the key had when it was seen
                    if stored.key.secret_version != seen.key.secret_version {
                        return Err(policy::changed());
                    }
                    keys.swap(txn, stored, checked, &origin).await
                })
            });
            job.await
        };
        let done = self.settle(tested, write).await?;
        if matches!(done, Answer::New(..)) {
            self.store.empty_log().await; // the old ciphertext is in it
        }
        Ok(done)
    }

    /// Whether the secret may be replaced so, as far as the vault itself can tell.
    fn admit(&self, stored: &StoredKey, policy: Option<&Policy>, command: &ReplaceSecret) -> Result<(), Fault> {
        let key = &stored.key;
        check_usable(stored)?;
        policy::check_etag(command.etag.as_deref(), stored.seq)?;
        self.check_policy(&key.name.owner.tenant, policy, &key.provider)?;
        if command.secret.auth_type() != key.auth_type {
            return Err(Fault::field("secret", "must be of the same kind as the one that it replaces"));
        }
        let (base_url, location) = place(key, command);
        let models = key.allowed_models.iter().map(|model| ("allowed_models", model.as_str()));
        let fields = [
            ("label", key.label.as_str()),
            ("key_slug", key.slug.as_str()),
            ("base_url", base_url.unwrap_or_default()),
            ("location", location.unwrap_or_default()),
        ];
        check_place(&command.secret, &fields.into_iter().chain(models).collect::<Vec<_>>())
    }

    /// The new secret, checked in every way, at last at its provider.
    async fn checked(&self, key: &ProviderKey, command: &ReplaceSecret, origin: &Origin) -> Result<Checked, Fault> {
        let gone = || Fault::new(Reason::ProviderNotFound, "the key's provider is not in the catalog any more");
        let provider = self.provider(&key.provider).ok_or_else(gone)?;
        let (secret, owner) = (command.secret.clone(), &key.name.owner);
        self.check(provider, secret, place(key, command), command.verification, owner, origin).await
    }

    /// Overwrites the old secret.
    async fn swap(
        &self,
        txn: &mut WriteTxn,
        stored: StoredKey,
        checked: Checked,
        origin: &Origin,
    ) -> Result<Created, Fault> {
        let before = stored.fingerprint;
        let key = with(stored.key, &checked)?;
        let fingerprint = self.fingerprint(&checked.secret)?;
        let neighbours = txn.neighbours(&key.name.owner, &fingerprint).await?;
        let mut warnings = checked.warnings;
        warnings.extend(duplicate(&fingerprint, &neighbours, Some(&before)));
        let under = self.workspace_key(txn, &key.name.owner.tenant, &checked.secret, &neighbours).await?;
        let stored = StoredKey { key, sealed: Vec::new(), workspace_key: 0, fingerprint, seq: 0, intact: true };
        let mut stored = seal(stored, &checked.secret, under.as_ref())?;
        let event = replaced(&stored.key, origin);
        put(txn, &mut stored, &event).await?;
        Ok(Created { stored, warnings })
    }
}

/// Where the key will go: what the request does not name stays.
fn place<'a>(key: &'a ProviderKey, command: &'a ReplaceSecret) -> (Option<&'a str>, Option<&'a str>) {
    let base_url = command.base_url.as_ref().unwrap_or(&key.base_url);
    let location = command.location.as_ref().unwrap_or(&key.location);
    (base_url.as_deref(), location.as_deref())
}

/// The key with another secret.
fn with(key: ProviderKey, checked: &Checked) -> Result<ProviderKey, Fault> {
    Ok(ProviderKey {
        mask: checked.mask.clone(),
        base_url: checked.destination.base_url.clone(),
        location: checked.destination.location.clone(),
        state: key.state.with_new_secret(),
        secret_version: key.secret_version.checked_add(1).ok_or_else(Fault::internal)?,
        last_test: Some(checked.test.clone()),
        update_time: now(),
        ..key
    })
}

/// The request has no provider_key: what is a field of it elsewhere is one of the request's own.
fn flat(mut fault: Fault) -> Fault {
    const KEY: &str = "provider_key.";
    fault.field = fault.field.map(|field| field.strip_prefix(KEY).unwrap_or(field));
    if let Some(message) = fault.message.strip_prefix(KEY) {
        fault.message = message.to_owned().into();
    }
    fault
}

fn replaced(key: &ProviderKey, origin: &Origin) -> Event {
    let mut details = vec![(Detail::SecretVersion, key.secret_version.to_string())];
    details.extend(key.last_test.as_ref().map(|test| (Detail::TestResult, test.result.as_str().to_owned())));
    details.push(state(key));
    about(key, Action::KeySecretReplaced, origin, details)
}
