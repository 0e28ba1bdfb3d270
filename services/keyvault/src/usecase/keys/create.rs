//! Store a key: check its form, test it live, seal it, store it with its audit event.

use std::collections::HashSet;

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::catalog::{AuthType, KeyFormatError, Provider};
use claviger_core::command::{CreateKey, Verification};
use claviger_core::fault::Fault;
use claviger_core::ids::{KeyId, KeyName, KeySlug, Owner, ProviderId};
use claviger_core::key::{KeyState, KeyTest, Mask, ProviderKey};
use claviger_core::position::Position;
use claviger_core::reason::Reason;
use claviger_core::secret::Secret;
use claviger_crypto::{SealError, WorkspaceKey};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::Keys;
use crate::store::{StoreError, StoredKey, WriteTxn};
use crate::usecase::custody::Binding;
use crate::usecase::destination::{self, Destination};
use crate::usecase::workspaces::{created, not_found, record};
use crate::usecase::{event, now};
use crate::verify::{self, Subject};

/// How many unrevoked keys a tenant may have, its members' included: what one resolve may have to look at.
const MOST_KEYS: u64 = 1_000;

/// What came of a create.
#[derive(Debug)]
pub struct Created {
    /// The key; without a place in the vault when the call only validated.
    pub key: ProviderKey,
    /// Hints about the key as given.
    pub warnings: Vec<String>,
    /// The point of history that the create made; none when the call only validated.
    pub at: Option<Position>,
}

/// What a secret's form tells, before anyone is asked.
struct Form {
    mask: Mask,
    warnings: Vec<String>,
}

/// A key that has passed every check and lacks only its place: slug, id and time.
struct Draft<'a> {
    command: &'a CreateKey,
    provider: &'a Provider,
    mask: Mask,
    destination: Destination,
    test: KeyTest,
}

impl Keys {
    /// Stores a key.
    ///
    /// # Errors
    /// `INVALID_FIELD`, `MALFORMED_PROVIDER_KEY`, `BASE_URL_NOT_ALLOWED`, `INVALID_PROVIDER_KEY`,
    /// `VERIFICATION_UNAVAILABLE`, `KEY_SLUG_TAKEN`, `WORKSPACE_NOT_FOUND`, `STORAGE_UNAVAILABLE`.
    pub async fn create(&self, command: CreateKey, origin: &Origin) -> Result<Created, Fault> {
        let provider = self.known_provider(&command.provider)?;
        let form = check_form(provider, &command.secret)?;
        check_place(&command)?;
        check_expiry(&command)?;
        let destination = destination::check(
            provider,
            command.base_url.as_deref(),
            command.location.as_deref(),
            self.verifier.egress(),
        )
        .await?;
        self.check_workspace(&command.owner).await?;
        let test = self.verify(provider, &command, &destination).await?;
        let draft = Draft { command: &command, provider, mask: form.mask, destination, test };
        let (key, at) = if command.validate_only {
            let slug = slug(&draft, self.store.slugs(&command.owner).await?)?;
            (draft.into_key(slug, origin), None)
        } else {
            let (key, at) = self.store_key(draft, origin).await?;
            (key, Some(at))
        };
        Ok(Created { key, warnings: form.warnings, at })
    }

    fn known_provider(&self, id: &ProviderId) -> Result<&Provider, Fault> {
        let unknown = || Fault::field("provider_key.provider", "is not in the catalog; ListProviders lists what is");
        self.catalog.provider(id.as_str()).ok_or_else(unknown)
    }

    async fn check_workspace(&self, owner: &Owner) -> Result<(), Fault> {
        match owner.tenant.workspace() {
            Some(id) if !self.implicit_workspaces && self.store.workspace(id).await?.is_none() => Err(not_found(id)),
            _ => Ok(()),
        }
    }

    async fn verify(
        &self,
        provider: &Provider,
        command: &CreateKey,
        destination: &Destination,
    ) -> Result<KeyTest, Fault> {
        if command.verification == Verification::Skip {
            return Ok(verify::skipped("not tested: the request asked for no test", now()));
        }
        let subject = Subject {
            provider,
            auth_type: command.secret.auth_type(),
            secret: command.secret.text(),
            base_url: destination.base_url.as_deref(),
            location: destination.location.as_deref(),
        };
        let test = self.verifier.test(&subject).await?;
        verify::accept(provider, &test, command.verification)?;
        Ok(test)
    }

    /// One transaction: the workspace's record and key if they are missing, the sealed key, the events.
    async fn store_key(&self, draft: Draft<'_>, origin: &Origin) -> Result<(ProviderKey, Position), Fault> {
        let command = draft.command;
        let txn = self.store.begin().await?;
        if txn.count_keys(&command.owner.tenant).await? >= MOST_KEYS {
            let message = "1000 unrevoked keys are as many as a workspace, or the platform, may have";
            return Err(Fault::new(Reason::TooManyKeys, message));
        }
        let slug = slug(&draft, txn.slugs(&command.owner).await?)?;
        let key = draft.into_key(slug, origin);
        let workspace_created = self.ensure_workspace(&txn, &key, origin).await?;
        let (sealed, fingerprint) = self.seal(&txn, &key, &command.secret).await?;
        let stored = StoredKey { key, sealed, fingerprint };
        txn.insert_key(&stored).await?;
        let key_created = key_created(&stored.key, origin);
        let at = match workspace_created {
            Some(first) => txn.commit(first, vec![key_created]).await?,
            None => txn.commit(key_created, Vec::new()).await?,
        };
        Ok((stored.key, at))
    }

    async fn ensure_workspace(
        &self,
        txn: &WriteTxn,
        key: &ProviderKey,
        origin: &Origin,
    ) -> Result<Option<Event>, Fault> {
        let Some(id) = key.name.owner.tenant.workspace() else { return Ok(None) };
        if txn.workspace(id).await?.is_some() {
            return Ok(None);
        }
        if !self.implicit_workspaces {
            return Err(not_found(id));
        }
        let workspace = record(id.clone(), Default::default(), key.create_time, origin);
        txn.insert_workspace(&workspace).await?;
        Ok(Some(created(&workspace, origin)))
    }

    async fn seal(&self, txn: &WriteTxn, key: &ProviderKey, secret: &Secret) -> Result<(Vec<u8>, Vec<u8>), Fault> {
        let Some(text) = secret.text() else { return Ok((Vec::new(), Vec::new())) };
        let (version, workspace_key) = self.workspace_key(txn, key).await?;
        let plaintext = text.expose_secret();
        let sealed =
            workspace_key.seal(version, &Binding::of(key).context(), plaintext.as_bytes()).map_err(sealing_failed)?;
        Ok((sealed, self.custody.fingerprint(plaintext)))
    }

    /// The newest key of the tenant, made if it has none.
    async fn workspace_key(&self, txn: &WriteTxn, key: &ProviderKey) -> Result<(u32, WorkspaceKey), Fault> {
        let tenant = &key.name.owner.tenant;
        if let Some(row) = txn.newest_workspace_key(tenant).await? {
            let opened = self.custody.workspace_key(tenant, &row).map_err(|_| {
                tracing::error!(tenant = %tenant, version = row.version, "a workspace key does not open");
                Fault::internal()
            })?;
            return Ok((row.version, opened));
        }
        let (row, fresh) = self.custody.new_workspace_key(tenant).map_err(sealing_failed)?;
        txn.insert_workspace_key(tenant, &row, key.create_time).await?;
        Ok((row.version, fresh))
    }
}

fn sealing_failed(error: SealError) -> Fault {
    tracing::error!(%error, "sealing failed");
    Fault::internal()
}

fn check_form(provider: &Provider, secret: &Secret) -> Result<Form, Fault> {
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
            Ok(Form { mask: Mask::of(text.expose_secret()), warnings })
        }
        Secret::ServiceAccountJson(text) => {
            let account = provider.check_service_account(text.expose_secret()).map_err(malformed)?;
            Ok(Form { mask: Mask::of(&account.private_key_id), warnings: Vec::new() })
        }
        Secret::UrlOnly => Ok(Form { mask: Mask::none(), warnings: Vec::new() }),
    }
}

/// The secret must be in its own field alone: the others are stored and shown in clear.
fn check_place(command: &CreateKey) -> Result<(), Fault> {
    const TELLING: usize = 8; // a shorter text may be there by chance
    let secret = command.secret.text().map(ExposeSecret::expose_secret).unwrap_or_default();
    if secret.len() < TELLING {
        return Ok(());
    }
    let models = command.allowed_models.iter().map(|model| ("provider_key.allowed_models", model.as_str()));
    let fields = [
        ("provider_key.label", command.label.as_str()),
        ("provider_key.key_slug", command.slug.as_ref().map_or("", KeySlug::as_str)),
        ("provider_key.base_url", command.base_url.as_deref().unwrap_or_default()),
        ("provider_key.location", command.location.as_deref().unwrap_or_default()),
    ];
    match fields.into_iter().chain(models).find(|(_, text)| text.contains(secret)) {
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

fn check_expiry(command: &CreateKey) -> Result<(), Fault> {
    match command.expire_time {
        Some(at) if at <= now() => Err(Fault::field("provider_key.expire_time", "must lie in the future")),
        _ => Ok(()),
    }
}

impl Draft<'_> {
    fn into_key(self, slug: KeySlug, origin: &Origin) -> ProviderKey {
        let (command, now) = (self.command, now());
        ProviderKey {
            name: KeyName { owner: command.owner.clone(), id: KeyId::new(Uuid::now_v7()) },
            provider: self.provider.id.clone(),
            auth_type: command.secret.auth_type(),
            slug,
            label: command.label.clone(),
            mask: self.mask,
            priority: command.priority,
            base_url: self.destination.base_url,
            location: self.destination.location,
            allowed_models: command.allowed_models.clone(),
            state: KeyState::Active,
            secret_version: 1,
            last_test: Some(self.test),
            create_time: now,
            creator: origin.actor.clone(),
            update_time: now,
            expire_time: command.expire_time,
            revocation: None,
        }
    }
}

/// The asked-for slug if it is free, else the first free one made from the provider.
fn slug(draft: &Draft<'_>, taken: Vec<String>) -> Result<KeySlug, Fault> {
    let taken: HashSet<String> = taken.into_iter().collect();
    let is_taken = |slug: &str| taken.contains(slug);
    match &draft.command.slug {
        Some(slug) if is_taken(slug.as_str()) => Err(StoreError::SlugTaken.into()),
        Some(slug) => Ok(slug.clone()),
        None => {
            let free = (1_usize..=taken.len() + 1).map(|n| slug_of(&draft.provider.id, n)).find(|s| !is_taken(s));
            free.and_then(|slug| KeySlug::parse(&slug).ok()).ok_or_else(Fault::internal)
        }
    }
}

fn slug_of(provider: &ProviderId, n: usize) -> String {
    const LONGEST: usize = 63;
    if n == 1 {
        return provider.to_string();
    }
    let suffix = format!("-{n}");
    let stem: String = provider.as_str().chars().take(LONGEST - suffix.len()).collect();
    format!("{stem}{suffix}")
}

fn key_created(key: &ProviderKey, origin: &Origin) -> Event {
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
