//! One tenant as the vault told it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use claviger_core::fault::Fault;
use claviger_core::ids::{KeyId, Tenant};
use claviger_core::position::Position;
use claviger_core::route::{RouteKey, WorkspaceView};
use claviger_crypto::{RecordContext, SessionOpener};
use claviger_proto::keyvault::TenantPart;
use secrecy::SecretString;

/// One tenant at one moment: policy and keys in the clear, secrets sealed.
pub struct TenantView {
    /// Whose.
    pub tenant: Tenant,
    /// The moment.
    pub at: Position,
    /// The tenant has a record.
    pub exists: bool,
    /// Its policy and keys.
    pub view: WorkspaceView,
    sealed: HashMap<KeyId, Vec<u8>>,
    opener: Arc<SessionOpener>,
}

impl fmt::Debug for TenantView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantView").field("tenant", &self.tenant).field("at", &self.at).finish_non_exhaustive()
    }
}

impl TenantView {
    /// An empty view, to which parts are added.
    pub(super) fn empty(tenant: Tenant, at: Position, opener: Arc<SessionOpener>) -> Self {
        Self { tenant, at, exists: false, view: WorkspaceView::default(), sealed: HashMap::new(), opener }
    }

    /// Of keys without secrets.
    #[cfg(test)]
    #[expect(clippy::unwrap_used, reason = "tests")]
    pub(crate) fn of(tenant: Tenant, view: WorkspaceView) -> Self {
        use claviger_crypto::{Handshake, SessionSealer};
        let handshake = Handshake::new().unwrap();
        let (encapsulated, _) = SessionSealer::establish(&handshake.public_key(), b"").unwrap();
        let opener = Arc::new(handshake.accept(&encapsulated, b"").unwrap());
        let at = Position { epoch: uuid::Uuid::nil(), seq: 0 };
        Self { view, ..Self::empty(tenant, at, opener) }
    }

    pub(super) fn add(&mut self, part: TenantPart) {
        self.at.seq = part.seq;
        self.exists = part.exists;
        self.view.policy = part.policy;
        self.view.byok_excluded = !part.byok;
        self.view.agents.extend(part.order);
        self.view.sessions.extend(part.pin);
        for (key, sealed) in part.keys {
            if !sealed.is_empty() {
                self.sealed.insert(key.id, sealed);
            }
            self.view.keys.push(key);
        }
    }

    /// Opens one key's secret; none for a key that has none.
    ///
    /// # Errors
    /// `INTERNAL` when the record does not open.
    pub fn expose(&self, key: &RouteKey) -> Result<Option<SecretString>, Fault> {
        let Some(sealed) = self.sealed.get(&key.id) else { return Ok(None) };
        let broken = || {
            tracing::error!(key = %key.id, "a record of the feed does not open");
            Fault::internal()
        };
        let tenant = self.tenant.to_string();
        let plaintext = self.opener.open(&context(key, &tenant), sealed).map_err(|_| broken())?;
        let text = std::str::from_utf8(&plaintext).map_err(|_| broken())?;
        Ok(Some(SecretString::from(text)))
    }
}

fn context<'a>(key: &'a RouteKey, tenant: &'a str) -> RecordContext<'a> {
    RecordContext {
        tenant,
        owner: key.user.as_ref().map_or("", |user| user.as_str()),
        key_id: *key.id.uuid().as_bytes(),
        version: key.secret_version,
        provider: key.provider.as_str(),
        auth_type: key.auth_type.as_str(),
        base_url: key.base_url.as_deref(),
        location: key.location.as_deref(),
    }
}
