//! A key on its way in: its form, its destination, its live test, and its place in the vault.

use std::collections::HashSet;

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::catalog::{AuthType, KeyFormatError, Provider};
use claviger_core::command::{NewKey, Verification};
use claviger_core::fault::Fault;
use claviger_core::ids::{KeyId, KeyName, KeySlug, Owner, ProviderId, Tenant};
use claviger_core::key::{KeyState, KeyTest, Mask, ProviderKey};
use claviger_core::reason::Reason;
use claviger_core::secret::Secret;
use claviger_crypto::{SealError, WorkspaceKey};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::Keys;
use super::live::{Question, Tested};
use crate::store::{Neighbours, StoreError, StoredKey, WorkspaceKeyRow, WriteTxn};
use crate::usecase::custody::Binding;
use crate::usecase::destination::{self, Destination};
use crate::usecase::{event, now};
use crate::verify;

/// How many unrevoked keys a tenant may have, its members' included: what one resolve may have to look at.
pub(super) const MOST_KEYS: u64 = 1_000;

/// A secret that has passed every check: what it is for, and what its live test showed.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) secret: Secret,
    pub(super) mask: Mask,
    pub(super) warnings: Vec<String>,
    pub(super) destination: Destination,
    pub(super) test: KeyTest,
}

/// A key that has passed every check and lacks only its place: slug, id and time.
#[derive(Debug)]
pub(in crate::usecase) struct Draft {
    new: NewKey,
    provider: ProviderId,
    checked: Checked,
}

/// A key as it was stored, with hints about what was given.
#[derive(Debug)]
pub struct Created {
    /// The key.
    pub stored: StoredKey,
    /// Hints.
    pub warnings: Vec<String>,
}

impl Keys {
    /// Checks a new key in every way, at last at its provider.
    pub(in crate::usecase) async fn draft(&self, new: NewKey, origin: &Origin) -> Result<Draft, Fault> {
        let provider = self.known_provider(&new.provider)?;
        check_place(&new.secret, &in_clear(&new))?;
        check_expiry(&new)?;
        let place = (new.base_url.as_deref(), new.location.as_deref());
        let checked = self.check(provider, new.secret.clone(), place, new.verification, &new.owner, origin).await?;
        Ok(Draft { provider: provider.id.clone(), new, checked })
    }

    /// Checks a secret and where it may go. A test that the secret fails is on record.
    pub(super) async fn check(
        &self,
        provider: &Provider,
        secret: Secret,
        (base_url, location): (Option<&str>, Option<&str>),
        verification: Verification,
        owner: &Owner,
        origin: &Origin,
    ) -> Result<Checked, Fault> {
        let (mask, warnings) = check_form(provider, &secret)?;
        let destination = destination::check(provider, base_url, location, self.verifier.egress()).await?;
        let test = match verification {
            Verification::Skip => verify::skipped("not tested: the request asked for no test", now()),
            Verification::Require | Verification::IfPossible => {
                let question = Question {
                    provider: provider.id.clone(),
                    auth_type: secret.auth_type(),
                    secret: secret.text().cloned(),
                    base_url: destination.base_url.clone(),
                    location: destination.location.clone(),
                    owner: owner.clone(),
                    origin: origin.clone(),
                };
                self.ask(question).await?
            }
        };
        if let Err(refused) = verify::accept(provider, &test, verification) {
            self.on_record(Tested::new(&provider.id, owner, &test, origin)).await?;
            return Err(refused);
        }
        Ok(Checked { secret, mask, warnings, destination, test })
    }

    /// Gives the first key of a workspace that the same write makes its place.
    pub(in crate::usecase) async fn place_first(
        &self,
        txn: &mut WriteTxn,
        draft: Draft,
        origin: &Origin,
    ) -> Result<Created, Fault> {
        let fingerprint = self.fingerprint(draft.secret())?;
        let neighbours = txn.neighbours(draft.owner(), &fingerprint).await?;
        self.place(txn, &draft, neighbours, fingerprint, origin).await
    }

    /// Gives a draft its place, in a write that has made sure of the workspace: seals it, stores it, tells of it.
    pub(super) async fn place(
        &self,
        txn: &mut WriteTxn,
        draft: &Draft,
        neighbours: Neighbours,
        fingerprint: Vec<u8>,
        origin: &Origin,
    ) -> Result<Created, Fault> {
        let created = draft.placed(&neighbours, &fingerprint, origin)?;
        let under = self.workspace_key(txn, &draft.new.owner.tenant, draft.secret(), &neighbours).await?;
        let mut stored = seal(created.stored, draft.secret(), under.as_ref())?;
        let event = key_created(&stored.key, origin);
        txn.insert_key(&mut stored, &event).await?;
        Ok(Created { stored, ..created })
    }

    /// The fingerprint of a secret whose form was checked.
    pub(super) fn fingerprint(&self, secret: &Secret) -> Result<Vec<u8>, Fault> {
        self.custody.fingerprint(secret).map_err(|_| Fault::internal())
    }

    /// The newest key of the tenant for a secret to be sealed under, made if it has none.
    pub(super) async fn workspace_key(
        &self,
        txn: &WriteTxn,
        tenant: &Tenant,
        secret: &Secret,
        neighbours: &Neighbours,
    ) -> Result<Option<(u32, WorkspaceKey)>, Fault> {
        if secret.text().is_none() {
            return Ok(None);
        }
        if let Some(newest) = &neighbours.workspace_key {
            return Ok(Some(self.opened(tenant, newest)?));
        }
        // behind those of an earlier life of the workspace, which were destroyed with it
        let version = txn.highest_version_in_use(tenant).await?.saturating_add(1);
        let (row, under, fresh) = self.custody.new_workspace_key(tenant, version).map_err(sealing_failed)?;
        txn.insert_workspace_key(tenant, &row, &under, now()).await?;
        Ok(Some((row.version, fresh)))
    }

    /// A key of the tenant with its version.
    pub(super) fn opened(&self, tenant: &Tenant, row: &WorkspaceKeyRow) -> Result<(u32, WorkspaceKey), Fault> {
        let opened = self.custody.workspace_key(tenant, row).map_err(|_| {
            let (version, master_key) = (row.version, &row.master_key);
            tracing::error!(tenant = %tenant, version, master_key, "a workspace key does not open");
            Fault::new(Reason::KeyUnreadable, "the workspace's key does not open under the vault's keyring")
        })?;
        Ok((row.version, opened))
    }

    pub(super) fn known_provider(&self, id: &ProviderId) -> Result<&Provider, Fault> {
        self.provider_in("provider_key.provider", id)
    }
}

/// Warns of another key with the same secret. `own` is the fingerprint that the key is stored with, if it is stored.
pub(super) fn duplicate(fingerprint: &[u8], neighbours: &Neighbours, own: Option<&[u8]>) -> Option<String> {
    const DUPLICATE: &str = "another key of this workspace has the same secret: revoking one does not stop the other";
    let itself = u64::from(own == Some(fingerprint));
    (neighbours.same_secret > itself && !fingerprint.is_empty()).then(|| DUPLICATE.to_owned())
}

/// Seals a secret, if there is one, as a key's, under a key of its tenant.
pub(super) fn seal(
    stored: StoredKey,
    secret: &Secret,
    under: Option<&(u32, WorkspaceKey)>,
) -> Result<StoredKey, Fault> {
    let Some(text) = secret.text() else { return Ok(stored) };
    let (version, key) = under.ok_or_else(Fault::internal)?;
    let context = Binding::of(&stored.key);
    let sealed = key.seal(*version, &context.context(), text.expose_secret().as_bytes()).map_err(sealing_failed)?;
    Ok(StoredKey { sealed, workspace_key: *version, ..stored })
}

fn sealing_failed(error: SealError) -> Fault {
    tracing::error!(%error, "sealing failed");
    Fault::internal()
}

fn check_form(provider: &Provider, secret: &Secret) -> Result<(Mask, Vec<String>), Fault> {
    if !provider.auth_types.contains(&secret.auth_type()) {
        return Err(Fault::field("secret", format!("must be {} for {}", wanted(provider), provider.name)));
    }
    let malformed = |error: KeyFormatError| {
        Fault::new(Reason::MalformedProviderKey, format!("Malformed {} key: {error}", provider.name)).at("secret")
    };
    match secret {
        Secret::ApiKey(text) => {
            let warnings = provider.check_api_key(text.expose_secret()).map_err(malformed)?;
            let warnings = warnings.iter().map(ToString::to_string).collect();
            Ok((Mask::of(text.expose_secret()), warnings))
        }
        Secret::ServiceAccountJson(text) => {
            let account = provider.check_service_account(text.expose_secret()).map_err(malformed)?;
            Ok((Mask::of(&account.private_key_id), Vec::new()))
        }
        Secret::UrlOnly => Ok((Mask::none(), Vec::new())),
    }
}

/// The fields that are stored and shown in clear.
fn in_clear(new: &NewKey) -> Vec<(&'static str, &str)> {
    let models = new.allowed_models.iter().map(|model| ("provider_key.allowed_models", model.as_str()));
    let fields = [
        ("provider_key.label", new.label.as_str()),
        ("provider_key.key_slug", new.slug.as_ref().map_or("", KeySlug::as_str)),
        ("provider_key.base_url", new.base_url.as_deref().unwrap_or_default()),
        ("provider_key.location", new.location.as_deref().unwrap_or_default()),
    ];
    fields.into_iter().chain(models).collect()
}

/// The secret must be in its own field alone.
pub(super) fn check_place(secret: &Secret, in_clear: &[(&'static str, &str)]) -> Result<(), Fault> {
    const TELLING: usize = 8; // a shorter text may be there by chance
    let secret = secret.text().map(ExposeSecret::expose_secret).unwrap_or_default();
    if secret.len() < TELLING {
        return Ok(());
    }
    match in_clear.iter().find(|(_, text)| text.contains(secret)) {
        Some((field, _)) => Err(Fault::field(field, "must not hold the secret, which belongs in secret alone")),
        None => Ok(()),
    }
}

fn wanted(provider: &Provider) -> String {
    let name = |kind: AuthType| match kind {
        AuthType::ApiKey => "api_key",
        AuthType::ServiceAccountJson => "service_account_json",
        AuthType::None => "url_only",
    };
    provider.auth_types.iter().copied().map(name).collect::<Vec<_>>().join(" or ")
}

fn check_expiry(new: &NewKey) -> Result<(), Fault> {
    match new.expire_time {
        Some(at) if at <= now() => Err(Fault::field("provider_key.expire_time", "must lie in the future")),
        _ => Ok(()),
    }
}

impl Draft {
    /// Whose it will be.
    pub(super) fn owner(&self) -> &Owner {
        &self.new.owner
    }

    /// The key's provider.
    pub(in crate::usecase) fn provider(&self) -> &ProviderId {
        &self.provider
    }

    /// Its live test, for the record.
    pub(in crate::usecase) fn tested(&self, origin: &Origin) -> Tested {
        Tested::new(&self.provider, &self.new.owner, &self.checked.test, origin)
    }

    /// Its secret.
    pub(super) fn secret(&self) -> &Secret {
        &self.checked.secret
    }

    /// What is stored beside these keys of the tenant, if there is room, but for what is sealed.
    pub(super) fn placed(
        &self,
        neighbours: &Neighbours,
        fingerprint: &[u8],
        origin: &Origin,
    ) -> Result<Created, Fault> {
        if neighbours.count >= MOST_KEYS {
            let message = "1000 unrevoked keys are as many as a workspace, or the platform, may have";
            return Err(Fault::new(Reason::TooManyKeys, message));
        }
        self.created(neighbours, fingerprint, origin)
    }

    /// What would be stored, were these the tenant's other keys and this its secret's fingerprint.
    pub(super) fn created(
        &self,
        neighbours: &Neighbours,
        fingerprint: &[u8],
        origin: &Origin,
    ) -> Result<Created, Fault> {
        let key = self.key(slug(self, &neighbours.slugs)?, origin);
        let mut warnings = self.checked.warnings.clone();
        warnings.extend(duplicate(fingerprint, neighbours, None));
        let (sealed, fingerprint) = (Vec::new(), fingerprint.to_vec());
        Ok(Created { stored: StoredKey { key, sealed, workspace_key: 0, fingerprint, seq: 0, intact: true }, warnings })
    }

    fn key(&self, slug: KeySlug, origin: &Origin) -> ProviderKey {
        let Self { new, provider, checked } = self;
        let now = now();
        ProviderKey {
            name: KeyName { owner: new.owner.clone(), id: KeyId::new(Uuid::now_v7()) },
            provider: provider.clone(),
            auth_type: new.secret.auth_type(),
            slug,
            label: new.label.clone(),
            mask: checked.mask.clone(),
            priority: new.priority,
            base_url: checked.destination.base_url.clone(),
            location: checked.destination.location.clone(),
            allowed_models: new.allowed_models.clone(),
            state: if new.disabled { KeyState::Disabled } else { KeyState::Active },
            secret_version: 1,
            last_test: Some(checked.test.clone()),
            create_time: now,
            creator: origin.actor.clone(),
            update_time: now,
            expire_time: new.expire_time,
            revocation: None,
        }
    }
}

/// The asked-for slug if it is free, else the first free one made from the provider.
fn slug(draft: &Draft, taken: &HashSet<String>) -> Result<KeySlug, Fault> {
    let is_taken = |slug: &str| taken.contains(slug);
    match &draft.new.slug {
        Some(slug) if is_taken(slug.as_str()) => Err(StoreError::SlugTaken.into()),
        Some(slug) => Ok(slug.clone()),
        None => {
            let free = (1_usize..=taken.len() + 1).map(|n| slug_of(&draft.provider, n)).find(|s| !is_taken(s));
            free.and_then(|slug| KeySlug::parse(&slug).ok()).ok_or_else(Fault::internal)
        }
    }
}

pub(super) fn slug_of(provider: &ProviderId, n: usize) -> String {
    const LONGEST: usize = 63;
    if n == 1 {
        return provider.to_string();
    }
    let suffix = format!("-{n}");
    let stem: String = provider.as_str().chars().take(LONGEST - suffix.len()).collect();
    format!("{stem}{suffix}")
}

pub(super) fn key_created(key: &ProviderKey, origin: &Origin) -> Event {
    let test = key.last_test.as_ref().map(|t| (Detail::TestResult, t.result.as_str().to_owned()));
    let mut details = vec![
        (Detail::Provider, key.provider.to_string()),
        (Detail::KeySlug, key.slug.to_string()),
        (Detail::AuthType, key.auth_type.as_str().to_owned()),
        (Detail::SecretVersion, key.secret_version.to_string()),
    ];
    details.extend(test);
    event(key.create_time, &key.name.owner.tenant, Action::KeyCreated, key.name.to_string(), origin, details)
}
