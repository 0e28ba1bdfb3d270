//! Who holds the keys to the keys: the master keyring, and what it wraps.

use claviger_core::catalog::AuthType;
use claviger_core::ids::{Owner, Tenant};
use claviger_core::key::ProviderKey;
use claviger_crypto::{Keyring, OpenError, RecordContext, RootKey, SealError, ServiceKey, WorkspaceKey};
use time::OffsetDateTime;

use crate::store::{MasterKeyRow, ServiceKeyRow, Store, StoreError, StoredKey, WorkspaceKeyRow};

const FINGERPRINT: &str = "fingerprint";
const PAGE_TOKEN: &str = "page-token";

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
    /// Nothing could be sealed.
    #[error("sealing failed")]
    Seal(#[from] SealError),
    /// The database failed.
    #[error("the database cannot be opened")]
    Store(#[from] StoreError),
}

/// The opened keyring and the vault's own keys. Its `Debug` shows neither.
#[derive(Debug)]
pub struct Custody {
    keyring: Keyring,
    fingerprint: ServiceKey,
    page_token: ServiceKey,
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
    /// Takes up the vault's own keys, making them on the first start.
    ///
    /// # Errors
    /// When one does not open, or the database fails.
    pub async fn load(keyring: Keyring, store: &Store, now: OffsetDateTime) -> Result<Self, CustodyError> {
        let root = keyring.primary();
        let primary = MasterKeyRow { id: root.id().to_owned(), check_value: root.check_value().to_vec() };
        let fresh = [fresh_service_key(root, FINGERPRINT)?, fresh_service_key(root, PAGE_TOKEN)?];
        let take_up = |known: &[MasterKeyRow], rows: &[ServiceKeyRow]| {
            admit(&keyring, known)?; // again: another vault may have come first since the database was looked at
            let fingerprint = open_service_key(&keyring, rows, FINGERPRINT)?;
            Ok((fingerprint, open_service_key(&keyring, rows, PAGE_TOKEN)?))
        };
        let opened: Result<_, CustodyError> = store.service_keys(&primary, &fresh, now, take_up).await;
        let (fingerprint, page_token) = opened?;
        Ok(Self { keyring, fingerprint, page_token })
    }

    /// A new key for a tenant's records.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn new_workspace_key(&self, tenant: &Tenant) -> Result<(WorkspaceKeyRow, WorkspaceKey), SealError> {
        const FIRST: u32 = 1;
        let root = self.keyring.primary();
        let key = WorkspaceKey::generate()?;
        let wrapped = key.wrap(root, &tenant.to_string(), FIRST)?;
        Ok((WorkspaceKeyRow { version: FIRST, master_key: root.id().to_owned(), wrapped }, key))
    }

    /// Opens a tenant's key.
    ///
    /// # Errors
    /// When its master key is not in the keyring, or it does not open.
    pub fn workspace_key(&self, tenant: &Tenant, row: &WorkspaceKeyRow) -> Result<WorkspaceKey, OpenError> {
        let root = self.keyring.get(&row.master_key).ok_or(OpenError::OtherKey)?;
        WorkspaceKey::unwrap(root, &tenant.to_string(), row.version, &row.wrapped)
    }

    /// Finds equal secrets without telling them: keyed, so worthless without the master key.
    #[must_use]
    pub fn fingerprint(&self, secret: &str) -> Vec<u8> {
        self.fingerprint.mac("claviger/fingerprint/v1", &[secret.as_bytes()]).to_vec()
    }

    /// The key that page tokens are authenticated with.
    #[must_use]
    pub fn page_token(&self) -> &ServiceKey {
        &self.page_token
    }
}

fn fresh_service_key(root: &RootKey, purpose: &str) -> Result<ServiceKeyRow, CustodyError> {
    let wrapped = ServiceKey::generate()?.wrap(root, purpose)?;
    Ok(ServiceKeyRow { purpose: purpose.to_owned(), master_key: root.id().to_owned(), wrapped })
}

fn open_service_key(keyring: &Keyring, rows: &[ServiceKeyRow], purpose: &str) -> Result<ServiceKey, CustodyError> {
    let broken = || CustodyError::ServiceKey(purpose.to_owned());
    let row = rows.iter().find(|row| row.purpose == purpose).ok_or_else(broken)?;
    let root = keyring.get(&row.master_key).ok_or_else(|| CustodyError::MissingMasterKey(row.master_key.clone()))?;
    ServiceKey::unwrap(root, purpose, &row.wrapped).map_err(|_| broken())
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
