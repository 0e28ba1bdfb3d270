//! Who holds the keys to the keys: the master keyring, and what it wraps.

use std::sync::Arc;

use arc_swap::ArcSwap;
use claviger_core::audit::Origin;
use claviger_core::catalog::{AuthType, KeyFormatError, ServiceAccount};
use claviger_core::ids::{Owner, Tenant};
use claviger_core::key::ProviderKey;
use claviger_core::secret::Secret;
use claviger_crypto::{
    Keyring, OpenError, RecordContext, ResolutionError, ResolutionKey, RootKey, SealError, ServiceKey, WorkspaceKey,
};
use secrecy::ExposeSecret;
use time::OffsetDateTime;

use crate::store::{Database, FreshKeys, MasterKeyRow, Once, ServiceKeyRow, StoreError, StoredKey, WorkspaceKeyRow};

const FINGERPRINT: &str = "fingerprint";
const PAGE_TOKEN: &str = "page-token";
const REQUEST_ID: &str = "request-id";
const ROW: &str = "row";
/// What another key cannot take the place of: they are made with the database, and never again.
const KEPT: [&str; 4] = [FINGERPRINT, PAGE_TOKEN, REQUEST_ID, ROW];
/// Made whenever it is missing: databases are in use that never had it, and what it sealed is worth nothing after an hour.
const RESOLUTION_ID: &str = "resolution-id";

/// Why the vault cannot take up its keys. Each names the key id and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// The database was used with a master key that the keyring lacks.
    #[error(
        "the database is sealed under master key {0}, which the key file does not hold: give the vault the key file that it was started with (CLAVIGER_MASTER_KEY_FILE); nothing was touched"
    )]
    MissingMasterKey(String),
    /// The keyring's key of that id is another one.
    #[error(
        "master key {0} of the key file is not the one that the database is sealed under: give the vault the key file that it was started with (CLAVIGER_MASTER_KEY_FILE); nothing was touched"
    )]
    WrongMasterKey(String),
    /// One of the vault's own keys does not open.
    #[error("the vault's {0} key does not open under its master key: the database was altered")]
    ServiceKey(String),
    /// One of the vault's own keys is not there, although the vault was used with it.
    #[error(
        "the vault's {0} key is missing: the database was altered; put its row of service_keys back from a backup, as no other key can take its place"
    )]
    MissingServiceKey(String),
    /// Nothing could be sealed.
    #[error("sealing failed")]
    Seal(#[from] SealError),
    /// The key of resolution ids could not be derived.
    #[error("the key of resolution ids cannot be derived")]
    Resolution(#[from] ResolutionError),
    /// The database failed.
    #[error("the database cannot be opened")]
    Store(#[from] StoreError),
}

/// The keyring and the vault's own keys. Its `Debug` shows neither.
#[derive(Debug)]
pub struct Custody {
    keyring: ArcSwap<Keyring>,
    fingerprint: ServiceKey,
    page_token: ServiceKey,
    request_id: ServiceKey,
    resolution: ResolutionKey,
}

/// Compares the keyring with the master keys that a database was used with.
///
/// # Errors
/// Names the first key that is missing or another one.
pub fn admit(keyring: &Keyring, known: &[MasterKeyRow]) -> Result<(), CustodyError> {
    for row in known {
        match keyring.get(&row.id) {
            None => return Err(CustodyError::MissingMasterKey(row.id.clone())),
            Some(key) if key.check_value()[..] != row.check_value[..] => {
                return Err(CustodyError::WrongMasterKey(row.id.clone()));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

impl Custody {
    /// Takes up the vault's own keys, making them on the first start; with them, the key that binds rows to their events.
    ///
    /// # Errors
    /// When one is missing or does not open, or the database fails.
    pub async fn load(
        keyring: Keyring,
        database: &Database,
        now: OffsetDateTime,
    ) -> Result<(Self, ServiceKey), CustodyError> {
        let root = keyring.primary();
        let primary = master_key_row(root);
        let kept = KEPT.map(|purpose| fresh_service_key(root, purpose));
        let kept = kept.into_iter().collect::<Result<Vec<_>, _>>()?;
        let resolution = fresh_service_key(root, RESOLUTION_ID)?;
        let fresh = FreshKeys { kept: &kept, remade: std::slice::from_ref(&resolution) };
        let take_up = |known: &[MasterKeyRow], rows: &[ServiceKeyRow]| {
            admit(&keyring, known)?; // again: another vault may have come first since the database was looked at
            let keys = open_service_keys(&keyring, rows)?;
            let remade = rows.contains(&resolution) && !kept.iter().any(|fresh| rows.contains(fresh));
            Ok((keys, remade))
        };
        let opened: Result<_, CustodyError> = database.service_keys(&primary, fresh, now, take_up).await;
        let (([fingerprint, page_token, request_id, row], resolution), remade) = opened?;
        if remade {
            tracing::warn!("made the vault's resolution-id key: what was resolved before cannot be reported any more");
        }
        let resolution = ResolutionKey::of(&resolution)?;
        Ok((Self { keyring: ArcSwap::from_pointee(keyring), fingerprint, page_token, request_id, resolution }, row))
    }

    /// The keyring, as it is now.
    #[must_use]
    pub fn keyring(&self) -> Arc<Keyring> {
        self.keyring.load_full()
    }

    /// Takes another keyring, which was compared with the database's master keys.
    pub fn take(&self, keyring: Arc<Keyring>) {
        self.keyring.store(keyring);
    }

    /// A new key for a tenant's records, of a version, and the master key that it is wrapped under.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new_workspace_key(
        &self,
        tenant: &Tenant,
        version: u32,
    ) -> Result<(WorkspaceKeyRow, MasterKeyRow, WorkspaceKey), SealError> {
        let keyring = self.keyring();
        let root = keyring.primary();
        let key = WorkspaceKey::generate()?;
        let wrapped = key.wrap(root, &tenant.to_string(), version)?;
        Ok((WorkspaceKeyRow { version, master_key: root.id().to_owned(), wrapped }, master_key_row(root), key))
    }

    /// Opens a tenant's key.
    ///
    /// # Errors
    /// When its master key is not in the keyring, or it does not open.
    pub fn workspace_key(&self, tenant: &Tenant, row: &WorkspaceKeyRow) -> Result<WorkspaceKey, OpenError> {
        unwrapped(&self.keyring(), tenant, row)
    }

    /// Finds equal secrets without telling them: keyed, so worthless without the master key. A service account's is of its
    /// private key, however its file is written. Empty where there is no secret.
    ///
    /// # Errors
    /// For a service account that is no key file.
    pub fn fingerprint(&self, secret: &Secret) -> Result<Vec<u8>, KeyFormatError> {
        let mac = |text: &str| self.fingerprint.mac("claviger/fingerprint/v1", &[text.as_bytes()]).to_vec();
        Ok(match secret {
            Secret::ApiKey(text) => mac(text.expose_secret()),
            Secret::ServiceAccountJson(file) => {
                let account = ServiceAccount::parse(file.expose_secret())?;
                mac(account.expose_bare_private_key().expose_secret())
            }
            Secret::UrlOnly => Vec::new(),
        })
    }

    /// The key that page tokens are authenticated with.
    #[must_use]
    pub fn page_token(&self) -> &ServiceKey {
        &self.page_token
    }

    /// The key that routing seals resolution ids with.
    #[must_use]
    pub fn resolution_key(&self) -> &ResolutionKey {
        &self.resolution
    }

    /// What a request is known by when it is sent again: its sender and id, and all that it says, for whom included. Keyed, as
    /// the body may hold a secret and the id whatever a caller put there.
    #[must_use]
    pub fn once(&self, origin: &Origin, id: &str, method: &str, body: &[u8]) -> Once {
        let key = &self.request_id;
        let said = [method.as_bytes(), origin.on_behalf_of.as_bytes(), body];
        Once {
            id: key.mac("claviger/request-id/v1", &[origin.actor.as_bytes(), id.as_bytes()]),
            body: key.mac("claviger/request-body/v1", &said),
        }
    }
}

/// A master key as the database knows it.
pub(super) fn master_key_row(root: &RootKey) -> MasterKeyRow {
    MasterKeyRow { id: root.id().to_owned(), check_value: root.check_value().to_vec() }
}

/// Opens a tenant's key.
pub(super) fn unwrapped(keyring: &Keyring, tenant: &Tenant, row: &WorkspaceKeyRow) -> Result<WorkspaceKey, OpenError> {
    let root = keyring.get(&row.master_key).ok_or(OpenError::OtherKey)?;
    WorkspaceKey::unwrap(root, &tenant.to_string(), row.version, &row.wrapped)
}

/// Opens one of the vault's own keys.
pub(super) fn unwrapped_service_key(keyring: &Keyring, row: &ServiceKeyRow) -> Result<ServiceKey, OpenError> {
    let root = keyring.get(&row.master_key).ok_or(OpenError::OtherKey)?;
    ServiceKey::unwrap(root, &row.purpose, &row.wrapped)
}

fn fresh_service_key(root: &RootKey, purpose: &str) -> Result<ServiceKeyRow, CustodyError> {
    let wrapped = ServiceKey::generate()?.wrap(root, purpose)?;
    Ok(ServiceKeyRow { purpose: purpose.to_owned(), master_key: root.id().to_owned(), wrapped })
}

/// Those that are kept, in their order, and the one that may be another than before.
fn open_service_keys(
    keyring: &Keyring,
    rows: &[ServiceKeyRow],
) -> Result<([ServiceKey; KEPT.len()], ServiceKey), CustodyError> {
    let [a, b, c, d] = KEPT.map(|purpose| open_service_key(keyring, rows, purpose));
    Ok(([a?, b?, c?, d?], open_service_key(keyring, rows, RESOLUTION_ID)?))
}

fn open_service_key(keyring: &Keyring, rows: &[ServiceKeyRow], purpose: &str) -> Result<ServiceKey, CustodyError> {
    let missing = || CustodyError::MissingServiceKey(purpose.to_owned());
    let row = rows.iter().find(|row| row.purpose == purpose).ok_or_else(missing)?;
    let root = keyring.get(&row.master_key).ok_or_else(|| CustodyError::MissingMasterKey(row.master_key.clone()))?;
    ServiceKey::unwrap(root, purpose, &row.wrapped).map_err(|_| CustodyError::ServiceKey(purpose.to_owned()))
}

/// Whether all of the vault's own keys are there that cannot be made anew.
///
/// # Errors
/// Names the first that is missing.
pub(super) fn check_complete(rows: &[ServiceKeyRow]) -> Result<(), CustodyError> {
    let is_missing = |purpose: &&str| !rows.iter().any(|row| row.purpose == *purpose);
    let missing = KEPT.into_iter().find(is_missing);
    missing.map_or(Ok(()), |purpose| Err(CustodyError::MissingServiceKey(purpose.to_owned())))
}

/// What a key's sealed secret is bound to.
pub(super) struct Binding<'a> {
    key: &'a ProviderKey,
    tenant: String,
}

impl<'a> Binding<'a> {
    pub(super) fn of(key: &'a ProviderKey) -> Self {
        let Owner { tenant, .. } = &key.name.owner;
        Self { key, tenant: tenant.to_string() }
    }

    pub(super) fn context(&self) -> RecordContext<'_> {
        RecordContext {
            tenant: &self.tenant,
            owner: self.key.name.owner.user_str(),
            key_id: *self.key.name.id.uuid().as_bytes(),
            version: self.key.secret_version,
            provider: self.key.provider.as_str(),
            auth_type: self.key.auth_type.as_str(),
            base_url: self.key.base_url.as_deref(),
            location: self.key.location.as_deref(),
        }
    }
}

/// Whether a key has no secret, and its row nothing sealed. A row whose two halves disagree was altered.
pub(super) fn is_url_only(stored: &StoredKey) -> bool {
    stored.key.auth_type == AuthType::None && stored.sealed.is_empty()
}

/// Opens a stored secret under one of its tenant's keys.
pub(super) fn open(
    key: &WorkspaceKey,
    version: u32,
    stored: &StoredKey,
) -> Result<zeroize::Zeroizing<Vec<u8>>, OpenError> {
    key.open(version, &Binding::of(&stored.key).context(), &stored.sealed)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::store::tests::Place;
    use crate::store::{Location, Prepared};

    async fn custody(location: &Location) -> Custody {
        let keyring = Keyring::generate("2026-11-21T00:00:00Z").unwrap();
        let database = Database::open(location, Prepared::ByItself, |_| Ok::<_, CustodyError>(())).await.unwrap();
        Custody::load(keyring, &database, OffsetDateTime::UNIX_EPOCH).await.unwrap().0
    }

    /// A digest alone could be tried out by whoever has the database.
    #[tokio::test]
    async fn what_is_kept_of_a_secret_and_of_a_request_is_keyed() {
        let (one, other) = (Place::sqlite(), Place::sqlite());
        let (one, other) = (custody(&one.location()).await, custody(&other.location()).await);
        let secret = Secret::ApiKey("sk-ant-api03-0123456789".into());
        assert_ne!(one.fingerprint(&secret).unwrap(), other.fingerprint(&secret).unwrap());
        assert_eq!(one.fingerprint(&secret).unwrap(), one.fingerprint(&secret).unwrap());
        let once = |custody: &Custody| custody.once(&Origin::vault(), "retry-1", "CreateProviderKey", b"body");
        assert_ne!(once(&one).id, once(&other).id);
        assert_ne!(once(&one).body, once(&other).body);
        assert_eq!(once(&one).id, once(&one).id);
    }
}
