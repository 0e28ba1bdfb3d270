//! Someone writes to the database: what was moved, exchanged or altered does not open.

mod every_edit;
mod seeded;
mod stored;
mod together;

use claviger_core::audit::Origin;
use claviger_core::command::{CreateKey, NewKey, TestKey, Verification};
use claviger_core::ids::{Owner, ProviderId};
use claviger_core::reason::Reason;
use claviger_core::secret::Secret;
use claviger_keyvault::usecase::{Answer, Call};
use claviger_proto::keyvault_v1::TestProviderKeyRequest;
use claviger_tests::fleet::resolve_request;
use claviger_tests::{Fleet, key, reason};

use crate::database::{Database, Inside};
use stored::{Stored, store};

/// Makes the keys, alters the database while both services are down, and starts them again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_altered_in_the_database_opens_no_more() {
    let mut fleet = Fleet::start().await.unwrap();
    let untouched = store(&fleet, "workspaces/rows", "anthropic", "untouched").await;
    let mut victims = exchange(&fleet).await;
    victims.extend(edited(&fleet).await);
    victims.extend(moved(&fleet).await);
    for victim in &victims {
        victim.before.assert_resolves(&fleet).await;
    }

    fleet.vault.kill().unwrap();
    let database = Database::open(&fleet.database()).await;
    for victim in &victims {
        for sql in &victim.alterations {
            database.change(sql).await;
        }
    }
    swap_sealed(&database, &victims).await;
    swap_wrapped(&database, "workspaces/wrapped-1", "workspaces/wrapped-2").await;
    database.close().await;
    fleet.restart().await.unwrap();

    for victim in &victims {
        assert_unreadable(&fleet, victim).await;
    }
    untouched.assert_resolves(&fleet).await;
    let asked = fleet.provider.received_requests().await.unwrap();
    assert!(asked.is_empty(), "a live test of an altered key was sent: {asked:?}");
}

/// A key that is altered, and how it is called then.
struct Victim {
    what: &'static str,
    before: Stored,
    after: Stored,
    alterations: Vec<String>,
    /// What the vault says to whoever would use it.
    reason: &'static str,
    /// Its sealed secret becomes the one of this key.
    sealed_of: Option<String>,
}

impl Victim {
    fn new(what: &'static str, before: Stored, sets: &[&str]) -> Self {
        let update = |set: &&str| format!("UPDATE provider_keys SET {set} WHERE id = '{}'", before.uid);
        let alterations = sets.iter().map(update).collect();
        Self { what, after: before.clone(), before, alterations, reason: "KEY_ALTERED", sealed_of: None }
    }

    /// Altered in what the row's tag leaves out: the ciphertext, or what it is sealed under.
    fn sealed(self) -> Self {
        Self { reason: "KEY_UNREADABLE", ..self }
    }

    fn pair(what: &'static str, [one, other]: [Stored; 2]) -> [Self; 2] {
        let (first, second) = (one.uid.clone(), other.uid.clone());
        let mut pair = [Self::new(what, one, &[]).sealed(), Self::new(what, other, &[]).sealed()];
        (pair[0].sealed_of, pair[1].sealed_of) = (Some(second), Some(first));
        pair
    }
}

/// Pairs whose sealed secrets change places.
async fn exchange(fleet: &Fleet) -> Vec<Victim> {
    let key = async |parent: &str, slug: &str| store(fleet, parent, "anthropic", slug).await;
    let rows = [key("workspaces/rows", "one").await, key("workspaces/rows", "two").await];
    let tenants = [key("workspaces/left", "one").await, key("workspaces/right", "two").await];
    let users = [key("workspaces/users/users/ann", "one").await, key("workspaces/users/users/bob", "two").await];
    let owners = [key("workspaces/owners", "one").await, key("workspaces/owners/users/ann", "two").await];
    let urls = [
        store(fleet, "workspaces/urls", "custom", "one").await,
        store(fleet, "workspaces/urls", "custom", "two").await,
    ];
    let mut victims = Vec::new();
    victims.extend(Victim::pair("two rows", rows));
    victims.extend(Victim::pair("two tenants", tenants));
    victims.extend(Victim::pair("two users", users));
    victims.extend(Victim::pair("a user and its workspace", owners));
    victims.extend(Victim::pair("two base URLs", urls));
    for workspace in ["workspaces/wrapped-1", "workspaces/wrapped-2"] {
        victims.push(Victim::new("the wrapped workspace keys", key(workspace, "one").await, &[]).sealed());
    }
    victims
}

/// Single columns of what the secret is bound to.
async fn edited(fleet: &Fleet) -> Vec<Victim> {
    let mut victims = Vec::new();
    for (what, provider, set) in [
        ("version", "anthropic", "secret_version = 2"),
        ("base URL", "custom", "base_url = 'http://127.0.0.1:9/thief'"),
        ("provider", "anthropic", "provider = 'openai'"),
        ("auth type json", "anthropic", "auth_type = 'service_account_json'"),
        ("auth type none", "custom", "auth_type = 'none'"),
        ("location", "bedrock", "location = 'us-east-2'"),
        ("emptied", "anthropic", "sealed = x''"),
        ("cut", "anthropic", "sealed = substr(sealed, 1, length(sealed) - 1)"),
        ("grown", "anthropic", "sealed = CAST(sealed || x'00' AS BLOB)"),
    ] {
        let workspace = format!("workspaces/edited-{}", victims.len());
        let stored = store(fleet, &workspace, provider, "one").await;
        let victim = Victim::new(what, stored, &[set]);
        victims.push(if set.starts_with("sealed") { victim.sealed() } else { victim });
    }
    victims
}

/// Rows under another tenant, user or id.
async fn moved(fleet: &Fleet) -> Vec<Victim> {
    store(fleet, "workspaces/thief", "anthropic", "own").await.assert_resolves(fleet).await;
    let mut victims = Vec::new();
    for (what, to, set) in [
        ("moved to another tenant", "workspaces/thief", "tenant = 'workspaces/thief'"),
        ("moved to a tenant without keys", "workspaces/nobody", "tenant = 'workspaces/nobody'"),
        ("moved to the platform", "platform", "tenant = 'platform'"),
        ("moved to a user", "workspaces/moved-3/users/eve", "owner_user = 'eve'"),
    ] {
        let from = format!("workspaces/moved-{}", victims.len());
        let mut victim = Victim::new(what, store(fleet, &from, "anthropic", "stolen").await, &[set]);
        victim.after = victim.before.under(to);
        victims.push(victim);
    }
    let uid = "0198c0de-0000-7000-8000-000000000001";
    let before = store(fleet, "workspaces/renamed", "anthropic", "one").await;
    let mut renamed = Victim::new("given another id", before, &[&format!("id = '{uid}'")]);
    renamed.after = Stored { uid: uid.to_owned(), ..renamed.before.clone() };
    victims.push(renamed);
    victims
}

async fn swap_sealed(database: &Database, victims: &[Victim]) {
    let mut values = Vec::new();
    for victim in victims {
        let Some(other) = &victim.sealed_of else { continue };
        let sealed = database.bytes(&format!("SELECT sealed FROM provider_keys WHERE id = '{other}'")).await;
        values.push((&victim.before.uid, sealed));
    }
    assert_eq!(values.len(), 10);
    for (uid, sealed) in values {
        database.put("provider_keys", "sealed", &format!("id = '{uid}'"), &sealed).await;
    }
}

async fn swap_wrapped(database: &Database, one: &str, other: &str) {
    let wrapped = async |tenant: &str| {
        database.bytes(&format!("SELECT wrapped FROM workspace_keys WHERE tenant = '{tenant}'")).await
    };
    let (first, second) = (wrapped(one).await, wrapped(other).await);
    database.put("workspace_keys", "wrapped", &format!("tenant = '{one}'"), &second).await;
    database.put("workspace_keys", "wrapped", &format!("tenant = '{other}'"), &first).await;
}

async fn assert_unreadable(fleet: &Fleet, victim: &Victim) {
    let Victim { what, after, .. } = victim;
    let request = TestProviderKeyRequest { name: after.name(), ..Default::default() };
    let tested = fleet.key_vault().test_provider_key(request).await.unwrap_err();
    assert_eq!(reason(&tested), victim.reason, "{what}: {tested:?}");
    let Some(pinned) = after.request() else {
        return assert_platform_is_not_handed_out(fleet, victim).await;
    };
    let refused = fleet.routing().resolve_key(pinned.clone()).await.map(drop).unwrap_err();
    assert_eq!(reason(&refused), "KEY_UNREADABLE", "{what}: {refused:?}");
    let mut unpinned = pinned;
    unpinned.key_slug.clear();
    unpinned.category = "llm".into();
    if let Ok(other) = fleet.routing().resolve_key(unpinned).await {
        let other = other.into_inner();
        assert_ne!(other.key.unwrap().uid, after.uid, "{what}");
        assert_ne!(other.credential.unwrap().secret, victim.before.secret, "{what}");
    }
}

/// A platform key cannot be pinned: whoever has no own key would get it.
async fn assert_platform_is_not_handed_out(fleet: &Fleet, victim: &Victim) {
    let mut request = resolve_request("workspaces/without-keys");
    request.provider = "anthropic".into();
    let refused = fleet.routing().resolve_key(request).await.map(drop).unwrap_err();
    assert_eq!(reason(&refused), "NO_ELIGIBLE_KEY", "{}: {refused:?}", victim.what);
}

/// One bit of every byte, of the record and of the key that it is sealed under.
#[tokio::test(flavor = "multi_thread")]
async fn no_bit_of_a_record_can_be_flipped() {
    let folder = tempfile::tempdir().unwrap();
    let inside = Inside::open(folder.path()).await;
    let secret = key("good");
    let Answer::New(created, _) = inside.keys.create(create(&secret), Call::new(origin())).await.unwrap() else {
        panic!("a first call has no answer from before");
    };
    let name = created.stored.key.name;
    let database = Database::open(&folder.path().join("keyvault.db")).await;
    for (table, column) in [("provider_keys", "sealed"), ("workspace_keys", "wrapped")] {
        let good = database.bytes(&format!("SELECT {column} FROM {table}")).await;
        assert!(good.len() > 82);
        for index in 0..good.len() {
            let mut bad = good.clone();
            bad[index] ^= 1 << (index % 8);
            database.put(table, column, "TRUE", &bad).await;
            let opened = inside.opened("workspaces/acme").await;
            assert_eq!(opened.len(), 1);
            assert_eq!(opened[0].1, None, "{column}: byte {index}");
            let tested = inside.keys.test(TestKey { name: name.clone() }, Call::new(origin())).await.unwrap_err();
            assert_eq!(tested.reason, Reason::KeyUnreadable, "{column}: byte {index}");
        }
        database.put(table, column, "TRUE", &good).await;
        assert_eq!(inside.opened("workspaces/acme").await[0].1.as_ref(), Some(&secret));
    }
}

fn create(secret: &str) -> CreateKey {
    let key = NewKey {
        owner: Owner::parse("workspaces/acme").unwrap(),
        provider: ProviderId::parse("anthropic").unwrap(),
        slug: None,
        label: String::new(),
        priority: 0,
        base_url: None,
        location: None,
        allowed_models: Vec::new(),
        expire_time: None,
        disabled: false,
        secret: Secret::ApiKey(secret.to_owned().into()),
        verification: Verification::Skip,
    };
    CreateKey { key, validate_only: false }
}

fn origin() -> Origin {
    let text = || "test".to_owned();
    Origin { actor: text(), on_behalf_of: String::new(), peer: text(), request_id: text(), trace_id: text() }
}
