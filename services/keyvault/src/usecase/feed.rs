//! The feed: what routing is given of a tenant, each credential sealed anew for one subscription.

mod told;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use claviger_core::catalog::AuthType;
use claviger_core::fault::Fault;
use claviger_core::ids::Tenant;
use claviger_core::key::ProviderKey;
use claviger_core::reason::Reason;
use claviger_core::route::Wanted;
use claviger_core::workspace::{AgentRoute, Plans, Policy, SessionBinding};
use claviger_crypto::{OpenError, SessionError, SessionSealer, WorkspaceKey, workspace_key_version};
use futures::future;
use secrecy::{ExposeSecret, SecretString};
use time::OffsetDateTime;
use uuid::Uuid;

use super::custody::{self, Binding, Custody};
use crate::store::{Bound, Kept, Store, StoredKey, TenantRows};
use crate::verify::{AccessToken, TokenFor, Tokens};
use told::Told;

/// The use-cases of the feed.
#[derive(Debug, Clone)]
pub struct Feed {
    store: Store,
    custody: Arc<Custody>,
    plans: Arc<Plans>,
    tokens: Tokens,
    told: Arc<Told>,
}

/// How long a load waits for one service account's access token. The exchange goes on, and the next load finds what came
/// of it.
const LONGEST_MINT: Duration = Duration::from_secs(3);

/// One subscription.
#[derive(Debug)]
pub struct Subscription {
    feed: Feed,
    sealer: SessionSealer,
    /// Names it; bound into its cipher.
    pub session: Uuid,
    /// The history that it tells of; bound into its cipher.
    pub epoch: Uuid,
    /// HPKE's `enc`, for the other side.
    pub encapsulated_key: Vec<u8>,
    /// The key of resolution ids, under its cipher.
    pub resolution_key: Vec<u8>,
}

/// A tenant as routing gets it.
#[derive(Debug)]
pub struct Tenanted {
    /// The audit sequence number that it was read at.
    pub seq: u64,
    /// The workspace has a record. True for the platform.
    pub exists: bool,
    /// The standing order of the agent that was asked for.
    pub route: Option<Kept<AgentRoute>>,
    /// The binding of the session that was asked for.
    pub binding: Option<Kept<SessionBinding>>,
    /// Its policy.
    pub policy: Policy,
    /// Its plan includes own keys.
    pub byok: bool,
    /// Its keys.
    pub keys: Vec<Sealed>,
}

/// A key, sealed for one subscription.
#[derive(Debug)]
pub struct Sealed {
    /// The key.
    pub key: ProviderKey,
    /// Its credential under the session cipher; empty where there is none to hand out.
    pub secret: Vec<u8>,
    /// When that credential ends, for a short-lived one.
    pub expire_time: Option<OffsetDateTime>,
    /// The stored secret does not open under the keyring, or the key's row was altered.
    pub unreadable: bool,
}

impl Feed {
    /// Over a store.
    #[must_use]
    pub fn new(store: Store, custody: Arc<Custody>, plans: Arc<Plans>, tokens: Tokens) -> Self {
        Self { store, custody, plans, tokens, told: Arc::default() }
    }

    /// Opens a subscription for the holder of an ephemeral X25519 key.
    ///
    /// # Errors
    /// `HANDSHAKE_FAILED`; `INTERNAL` when the session cipher fails.
    pub fn subscribe(&self, public_key: &[u8]) -> Result<Subscription, Fault> {
        let (session, epoch) = (Uuid::now_v7(), self.store.epoch());
        let binding = claviger_core::position::session_binding(session, epoch);
        let (encapsulated_key, sealer) = SessionSealer::establish(public_key, &binding)
            .map_err(|_| Fault::new(Reason::HandshakeFailed, "hello.public_key must be an X25519 public key"))?;
        let resolution_key = sealer.seal_resolution_key(self.custody.resolution_key()).map_err(no_cipher)?;
        Ok(Subscription { feed: self.clone(), sealer, session, epoch, encapsulated_key, resolution_key })
    }
}

impl Subscription {
    /// One tenant, as it is now, with those of its standing orders that are asked for.
    ///
    /// # Errors
    /// `WORKSPACE_NOT_FOUND` for a deleted workspace, `WORKSPACE_ALTERED`, `STORAGE_UNAVAILABLE`, or `INTERNAL` when the
    /// session cipher is used up.
    pub async fn load(&self, wanted: &Wanted) -> Result<Tenanted, Fault> {
        let tenant = &wanted.tenant;
        let mut rows = self.feed.store.tenant(wanted).await?;
        for ended in rows.ended.iter().filter(|key| key.auth_type == AuthType::ServiceAccountJson) {
            self.feed.tokens.forget(ended.name.id);
        }
        if rows.workspace.as_ref().is_some_and(|kept| kept.value.delete_time.is_some()) {
            return Err(Fault::new(Reason::WorkspaceNotFound, "the workspace is deleted"));
        }
        let exists = rows.workspace.is_some() || *tenant == Tenant::Platform;
        let opened = self.open_workspace_keys(tenant, &rows);
        let (route, binding) = (
            rows.route.take(),
            binding(std::mem::replace(&mut rows.binding, Bound::Never), OffsetDateTime::now_utc())?,
        );
        let policy = rows.workspace.map(|kept| kept.value.policy).unwrap_or_default();
        let byok = *tenant == Tenant::Platform || self.feed.plans.include(policy.plan.as_ref());
        let usable = future::join_all(rows.keys.into_iter().map(|stored| self.seal(&opened, stored))).await;
        let ended = rows.ended.into_iter().map(|key| Ok(Sealed::without_credential(key, false)));
        let keys = usable.into_iter().chain(ended).collect::<Result<_, Fault>>()?;
        Ok(Tenanted { seq: rows.seq, exists, route, binding, policy, byok, keys })
    }

    fn open_workspace_keys(&self, tenant: &Tenant, rows: &TenantRows) -> HashMap<u32, WorkspaceKey> {
        let open = |row| self.feed.custody.workspace_key(tenant, row).ok().map(|key| (row.version, key));
        rows.workspace_keys.iter().filter_map(open).collect()
    }

    async fn seal(&self, keys: &HashMap<u32, WorkspaceKey>, stored: StoredKey) -> Result<Sealed, Fault> {
        if !stored.intact {
            self.tell(&stored.key, "a key's row is not as its newest audit event left it");
            return Ok(Sealed::without_credential(stored.key, true));
        }
        if custody::is_url_only(&stored) {
            return Ok(Sealed::without_credential(stored.key, false));
        }
        let Ok(plaintext) = open(keys, &stored) else {
            self.tell(&stored.key, "a stored secret does not open");
            return Ok(Sealed::without_credential(stored.key, true));
        };
        if stored.key.auth_type == AuthType::ApiKey {
            return self.sealed(stored.key, &plaintext, None);
        }
        match self.access_token(&stored.key, &plaintext).await {
            Some(token) => self.sealed(stored.key, token.secret.expose_secret().as_bytes(), Some(token.expire_time)),
            None => Ok(Sealed::without_credential(stored.key, false)),
        }
    }

    /// Tells the log of a key that cannot be used.
    fn tell(&self, key: &ProviderKey, what: &str) {
        if self.feed.told.is_news(key.name.id, Instant::now()) {
            tracing::error!(key = %key.name.id, "{what}");
        }
    }

    fn sealed(
        &self,
        key: ProviderKey,
        credential: &[u8],
        expire_time: Option<OffsetDateTime>,
    ) -> Result<Sealed, Fault> {
        let secret = self.sealer.seal(&Binding::of(&key).context(), credential).map_err(no_cipher)?;
        Ok(Sealed { key, secret, expire_time, unreadable: false })
    }

    /// What a service account's private key is good for, which itself never leaves the vault. None where no token is to
    /// be had soon: the tenant's other keys do not wait for it.
    async fn access_token(&self, key: &ProviderKey, account: &[u8]) -> Option<AccessToken> {
        let account = SecretString::from(std::str::from_utf8(account).ok()?);
        let wanted = TokenFor {
            key: key.name.id,
            secret_version: key.secret_version,
            provider: &key.provider,
            account: &account,
        };
        let minted =
            tokio::time::timeout(LONGEST_MINT, self.feed.tokens.token(wanted, OffsetDateTime::now_utc())).await;
        let why = match minted {
            Ok(Ok(token)) => return Some(token),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "its provider takes long".to_owned(),
        };
        tracing::warn!(key = %key.name.id, why, "no access token for a service account");
        None
    }
}

/// A binding whose row is gone before its time is no leave to use other keys.
fn binding(bound: Bound, now: OffsetDateTime) -> Result<Option<Kept<SessionBinding>>, Fault> {
    match bound {
        Bound::To(kept) => Ok(Some(*kept)),
        Bound::Gone(expire_time) if expire_time > now => {
            let altered = "the session's binding is not as its newest audit event left it";
            Err(Fault::new(Reason::WorkspaceAltered, altered))
        }
        Bound::Gone(_) | Bound::Never => Ok(None),
    }
}

impl Sealed {
    fn without_credential(key: ProviderKey, unreadable: bool) -> Self {
        Self { key, secret: Vec::new(), expire_time: None, unreadable }
    }
}

fn no_cipher(error: SessionError) -> Fault {
    tracing::error!(%error, "the session cipher failed");
    Fault::internal()
}

fn open(keys: &HashMap<u32, WorkspaceKey>, stored: &StoredKey) -> Result<zeroize::Zeroizing<Vec<u8>>, OpenError> {
    let version = workspace_key_version(&stored.sealed)?;
    let key = keys.get(&version).ok_or(OpenError::OtherKey)?;
    custody::open(key, version, stored)
}
