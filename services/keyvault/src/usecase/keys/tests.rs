//! Use-cases over a real database, without a wire and without asking providers.
#![expect(clippy::unwrap_used, reason = "tests")]

mod live;
mod policy;
mod replay;
mod slugs;
mod suspects;
mod unreadable;

use claviger_core::catalog::EgressAllow;
use claviger_core::command::{CreateKey, KeyChanges, NewKey, UpdateKey, Verification};
use claviger_core::ids::{Owner, Tenant};
use claviger_core::secret::Secret;
use claviger_core::workspace::Policy;
use claviger_crypto::Keyring;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::store::tests::{Place, both};
use crate::store::{Database, Prepared};
use crate::usecase::custody::CustodyError;
use crate::usecase::workspaces::record;
use crate::usecase::{Answer, Call, now};
use crate::verify::{Client, Egress, Outbound};

const OLLAMA: &str = "127.0.0.1:11434";

/// A vault in this process.
struct Vault {
    keys: Keys,
    _place: Place,
}

impl Vault {
    async fn open(place: Place, plans: &str) -> Self {
        Self::open_with(place, plans, "", OLLAMA).await
    }

    /// With an operator's catalog file, and what live tests may reach.
    async fn open_with(place: Place, plans: &str, catalog: &str, egress: &str) -> Self {
        let _already = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let keyring = Keyring::generate("2026-11-21T00:00:00Z").unwrap();
        let database =
            Database::open(&place.location(), Prepared::ByItself, |_| Ok::<_, CustodyError>(())).await.unwrap();
        let (custody, rows) = Custody::load(keyring, &database, now()).await.unwrap();
        let (store, writer) = database.into_store(rows);
        tokio::spawn(writer.run(CancellationToken::new()));
        let catalog = Arc::new(Catalog::builtin().unwrap().with_overrides(catalog).unwrap());
        let client = Client::new(Egress::new(EgressAllow::parse(egress).unwrap()), &Outbound::default()).unwrap();
        let verifier = Verifier::new(catalog.clone(), client);
        let plans = Arc::new(Plans::parse(plans).unwrap());
        let keys = Keys::new(store, Arc::new(custody), catalog, verifier, plans, true, LiveTests::default());
        Self { keys, _place: place }
    }

    async fn create(&self, new: NewKey) -> StoredKey {
        done(self.keys.create(CreateKey { key: new, validate_only: false }, by("ann")).await).stored
    }

    /// Writes acme's policy.
    async fn set_policy(&self, policy: Policy) {
        let acme = Tenant::parse("workspaces/acme").unwrap();
        let workspace = record(acme.workspace().unwrap().clone(), policy, now(), &origin("ann"));
        let written = self.keys.store.write(move |txn| {
            Box::pin(async move {
                let details = Vec::new();
                let told = event(now(), &acme, Action::WorkspaceUpdated, acme.to_string(), &origin("ann"), details);
                let stamp = txn.record(&told).await?;
                Ok(txn.put_workspace(&workspace, &stamp).await?)
            })
        });
        written.await.unwrap();
    }
}

fn origin(actor: &str) -> Origin {
    Origin { actor: actor.to_owned(), ..Origin::vault() }
}

fn by<T: Send + 'static>(actor: &str) -> Call<T> {
    Call::new(origin(actor))
}

/// What a call did, as it was not done before.
fn done<T>(answer: Result<Answer<T>, Fault>) -> T {
    match answer.unwrap() {
        Answer::New(value, _) => value,
        Answer::Again(_) => unreachable!("the call was done before"),
    }
}

fn secret() -> Secret {
    Secret::ApiKey(format!("sk-ant-api03-{}{}", uuid::Uuid::now_v7().simple(), uuid::Uuid::now_v7().simple()).into())
}

fn new(owner: &str, slug: Option<&str>) -> NewKey {
    NewKey {
        owner: Owner::parse(owner).unwrap(),
        provider: ProviderId::parse("anthropic").unwrap(),
        slug: slug.map(|slug| claviger_core::ids::KeySlug::parse(slug).unwrap()),
        label: String::new(),
        priority: 0,
        base_url: None,
        location: None,
        allowed_models: Vec::new(),
        expire_time: None,
        disabled: false,
        secret: secret(),
        verification: Verification::Skip,
    }
}

/// A key of the one kind that has no secret.
fn without_secret(owner: &str) -> NewKey {
    let provider = ProviderId::parse("ollama").unwrap();
    let base_url = Some(format!("http://{OLLAMA}"));
    NewKey { provider, base_url, secret: Secret::UrlOnly, ..new(owner, None) }
}

fn relabel(name: &KeyName) -> UpdateKey {
    let changes = KeyChanges { label: Some("x".to_owned()), ..KeyChanges::default() };
    UpdateKey { name: name.clone(), changes, etag: None }
}
