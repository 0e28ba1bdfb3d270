//! Clients that create, test and revoke keys, and remember what was acknowledged to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use claviger_proto::keyvault_v1::key_vault_client::KeyVaultClient;
use claviger_proto::keyvault_v1::{RevokeProviderKeyRequest, TestProviderKeyRequest, Verification};
use claviger_tests::fleet::{create_request, key_vault_of};
use claviger_tests::{Process, key, reason};
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::crash::chain;
use crate::database::Database;

pub(super) const WORKSPACE: &str = "workspaces/acme";

/// A key whose creation was acknowledged.
#[derive(Debug, Clone)]
pub(super) struct Done {
    pub(super) name: String,
    pub(super) secret: String,
    tested: bool,
    revoked: bool,
    /// The revoke was sent and failed: it may have been done.
    maybe_revoked: bool,
}

impl Done {
    /// Nobody asked for its end.
    pub(super) fn is_live(&self) -> bool {
        !self.revoked && !self.maybe_revoked
    }
}

/// Clients at work.
pub(super) struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    clients: JoinSet<Vec<Done>>,
}

impl Load {
    /// Starts clients, each at one of the vaults.
    pub(super) fn start(vaults: &[&Process], clients: usize) -> Self {
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut set = JoinSet::new();
        for number in 0..clients {
            let client = key_vault_of(vaults[number % vaults.len()]);
            set.spawn(work(client, stop.clone(), acknowledged.clone()));
        }
        Self { stop, acknowledged, clients: set }
    }

    /// Waits until so many more keys were created.
    pub(super) async fn until_more(&self, more: usize) {
        let enough = self.acknowledged.load(Ordering::Relaxed) + more;
        let wait = async {
            while self.acknowledged.load(Ordering::Relaxed) < enough {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
    }

    /// Ends it; answers what was acknowledged.
    pub(super) async fn finish(self) -> Vec<Done> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.join_all().await.into_iter().flatten().collect()
    }
}

/// Creates a key, tests it and, of three, revokes two. A vault without its database is asked again.
async fn work(mut client: KeyVaultClient<Channel>, stop: Arc<AtomicBool>, count: Arc<AtomicUsize>) -> Vec<Done> {
    let mut all = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let secret = key("good");
        let mut create = create_request(WORKSPACE, "anthropic", &secret);
        create.set_verification(Verification::Skip);
        let Some(created) = unless_away(client.create_provider_key(create).await).await else { continue };
        count.fetch_add(1, Ordering::Relaxed);
        let name = created.into_inner().name;
        let test = TestProviderKeyRequest { name: name.clone(), ..Default::default() };
        let tested = unless_away(client.test_provider_key(test).await).await.is_some();
        let revoke = (all.len() % 3 > 0).then(|| RevokeProviderKeyRequest { name: name.clone(), ..Default::default() });
        let revoked = match revoke {
            None => None,
            Some(revoke) => Some(unless_away(client.revoke_provider_key(revoke).await).await.is_some()),
        };
        all.push(Done { name, secret, tested, revoked: revoked == Some(true), maybe_revoked: revoked == Some(false) });
    }
    all
}

/// Any other error than that of a vault without its database fails the test.
async fn unless_away<T>(result: Result<T, Status>) -> Option<T> {
    match result {
        Ok(answer) => Some(answer),
        Err(status) => {
            assert_eq!(
                (status.code(), reason(&status).as_str()),
                (Code::Unavailable, "STORAGE_UNAVAILABLE"),
                "{status:?}"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
            None
        }
    }
}

/// The chain is whole, each row is as its newest event says, and everything acknowledged is there.
pub(super) async fn assert_whole(database: &Database, acknowledged: &[Done]) {
    let events = chain::verified(database).await.unwrap();
    let newest: HashMap<_, _> =
        (1..).zip(&events).map(|(seq, event)| (event.target.as_str(), (seq, &event.action))).collect();
    let sql = "SELECT tenant || '/keys/' || id AS name, state, last_seq, test_result FROM provider_keys";
    let mut rows = HashMap::new();
    for row in database.rows(sql).await {
        let name: String = row.try_get("", "name").unwrap();
        let (state, seq): (String, i64) = (row.try_get("", "state").unwrap(), row.try_get("", "last_seq").unwrap());
        let (newest_seq, action) = newest[name.as_str()];
        assert_eq!(newest_seq, seq, "{name}: an update was lost");
        assert_eq!(action == "key.revoked", state == "REVOKED", "{name}: {action}, {state}");
        rows.insert(name, (state, row.try_get::<Option<String>>("", "test_result").unwrap()));
    }
    let created = events.iter().filter(|event| event.action == "key.created").count();
    assert_eq!(created, rows.len(), "each key has its row");
    for done in acknowledged {
        let (state, tested) = rows.get(&done.name).unwrap_or_else(|| unreachable!("{} is lost", done.name));
        assert!(!done.revoked || state == "REVOKED", "{}: the revoke is lost", done.name);
        assert!(!done.is_live() || state == "ACTIVE", "{}: nobody revoked it", done.name);
        assert!(!done.tested || tested.as_deref() == Some("VALID"), "{}: the test is lost", done.name);
    }
}
