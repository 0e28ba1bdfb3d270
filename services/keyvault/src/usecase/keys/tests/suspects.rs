//! Keys that callers say are rejected.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use claviger_core::catalog::Outcome;
use claviger_core::command::{AuditScope, ListEvents, PageRequest, ReplaceSecret, TestKey};
use claviger_core::filter::Filter;
use claviger_core::ids::ModelId;
use claviger_core::journal::{Entry, Part, Reported, Use};
use claviger_core::key::{KeyState, TestResult};
use claviger_core::route::Source;
use tokio::task::JoinHandle;
use uuid::Uuid;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::store::Rejected;
use crate::usecase::journal::Journals;

both! {
    a_liar_cannot_disable_a_key_that_its_provider_accepts,
    what_the_provider_rejects_again_is_invalid_and_the_log_tells_why,
    where_nobody_can_be_asked_three_reports_in_a_row_are_believed,
    a_call_that_went_well_in_between_counts_against_three_reports,
    another_chance_takes_three_more_reports,
    a_platform_s_key_is_not_disabled_by_callers_word,
    what_is_reported_right_after_a_test_is_kept_for_the_next,
    what_is_not_used_is_not_looked_into,
    what_changed_since_the_report_is_left_alone,
}

/// A provider that answers with a status, and how often it was asked.
struct Provider {
    server: MockServer,
    status: Arc<AtomicU16>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    async fn start() -> Self {
        let (server, status, asked) = (MockServer::start().await, Arc::new(AtomicU16::new(200)), Arc::default());
        let provider = Self { server, status, asked };
        let (status, asked) = (provider.status.clone(), provider.asked.clone());
        let answer = move |_: &Request| {
            asked.fetch_add(1, Ordering::SeqCst);
            ResponseTemplate::new(status.load(Ordering::SeqCst)).set_body_json(serde_json::json!({"data": []}))
        };
        Mock::given(any()).respond_with(answer).mount(&provider.server).await;
        provider
    }
}

/// A vault that takes journals and looks into keys.
struct Watched {
    vault: Vault,
    journals: Journals,
    provider: Provider,
    _waiting: JoinHandle<Result<(), std::convert::Infallible>>,
    told: AtomicUsize,
}

const REPLICA: Uuid = Uuid::from_u128(1);

impl Watched {
    async fn open(place: Place) -> Self {
        let provider = Provider::start().await;
        let catalog =
            format!("[[provider]]\nid = \"anthropic\"\nbase_url = {{ default = \"{}\" }}", provider.server.uri());
        let vault = Vault::open_with(place, "", &catalog, "127.0.0.1").await;
        let (suspects, waiting) = suspects();
        let waiting = tokio::spawn(waiting.run(vault.keys.clone(), CancellationToken::new()));
        let journals = Journals::new(vault.keys.store.clone(), vault.keys.catalog.clone(), suspects);
        Self { vault, journals, provider, _waiting: waiting, told: AtomicUsize::new(0) }
    }

    /// Reports on calls with a key, one batch each.
    async fn report(&self, stored: &StoredKey, outcomes: &[Outcome]) {
        for outcome in outcomes {
            let number = self.told.fetch_add(1, Ordering::SeqCst) as u64 + 1;
            let of = Use {
                workspace: claviger_core::ids::WorkspaceId::parse("acme").unwrap(),
                user: None,
                agent: None,
                session: None,
                key: stored.key.name.id,
                secret_version: stored.key.secret_version,
                provider: stored.key.provider.clone(),
                model: ModelId::parse("m").ok(),
                payer: match stored.key.name.owner.tenant {
                    Tenant::Platform => Source::Platform,
                    Tenant::Workspace(_) => Source::Workspace,
                },
                time: now(),
            };
            let reported = Reported {
                time: of.time,
                of,
                replica: REPLICA,
                number,
                outcome: *outcome,
                input_tokens: 0,
                output_tokens: 0,
                duration: Duration::ZERO,
            };
            let part = Part { first_offset: number, entries: vec![Ok(Entry::Reported(reported))] };
            assert_eq!(self.journals.take(REPLICA, part).await.unwrap(), number);
        }
    }

    async fn state(&self, stored: &StoredKey) -> KeyState {
        self.vault.keys.store.key(&stored.key.name).await.unwrap().unwrap().key.state
    }

    async fn until(&self, stored: &StoredKey, state: KeyState) {
        for _ in 0..500 {
            if self.state(stored).await == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        unreachable!("the key is {:?}", self.state(stored).await);
    }

    async fn until_tested(&self, stored: &StoredKey, result: TestResult) {
        for _ in 0..500 {
            let found = self.vault.keys.store.key(&stored.key.name).await.unwrap().unwrap().key;
            if found.last_test.is_some_and(|test| test.result == result) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        unreachable!("the key was not tested");
    }

    /// What would happen in the background has happened.
    async fn settled(&self) {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    /// The newest event: what it tells, of whom.
    async fn newest(&self) -> (String, String, String) {
        let audit = crate::usecase::audit::Audit::new(self.vault.keys.store.clone(), self.vault.keys.custody.clone());
        let page = PageRequest { size: 1, token: None };
        let list = ListEvents { scope: AuditScope::All, filter: Filter::default(), page };
        let event = audit.list(&list).await.unwrap().0.remove(0);
        (event.action, event.actor, event.details)
    }
}

fn untestable() -> NewKey {
    NewKey { provider: ProviderId::parse("luma").unwrap(), ..new("workspaces/acme", None) }
}

async fn a_liar_cannot_disable_a_key_that_its_provider_accepts(place: Place) {
    let watched = Watched::open(place).await;
    let stored = watched.vault.create(new("workspaces/acme", None)).await;
    watched.report(&stored, &[Outcome::InvalidKey; 10]).await;
    watched.until_tested(&stored, TestResult::Valid).await;
    watched.report(&stored, &[Outcome::InvalidKey; 10]).await;
    watched.settled().await;
    assert_eq!(watched.state(&stored).await, KeyState::Active);
    assert_eq!(watched.provider.asked.load(Ordering::SeqCst), 1, "once in 30 s");
    assert_eq!(watched.vault.keys.store.seq().await.unwrap(), 3, "the workspace, the key and one test");
}

async fn what_the_provider_rejects_again_is_invalid_and_the_log_tells_why(place: Place) {
    let watched = Watched::open(place).await;
    let stored = watched.vault.create(new("workspaces/acme", None)).await;
    watched.provider.status.store(500, Ordering::SeqCst);
    watched.report(&stored, &[Outcome::InvalidKey]).await;
    watched.until_tested(&stored, TestResult::Inconclusive).await;
    assert_eq!(watched.state(&stored).await, KeyState::Active, "that proves nothing");

    let other = watched.vault.create(new("workspaces/acme", None)).await;
    watched.provider.status.store(401, Ordering::SeqCst);
    watched.report(&other, &[Outcome::InvalidKey]).await;
    watched.until(&other, KeyState::Invalid).await;
    let (action, actor, details) = watched.newest().await;
    assert_eq!((action.as_str(), actor.as_str()), ("key.tested", "keyvault"));
    let expected = r#"{"cause":"report","key_slug":"anthropic-2","state":"INVALID","test_result":"INVALID"}"#;
    assert_eq!(details, expected);

    watched.provider.status.store(200, Ordering::SeqCst);
    let test = TestKey { name: other.key.name.clone() };
    assert_eq!(done(watched.vault.keys.test(test, by("ann")).await).key.state, KeyState::Active);
}

async fn where_nobody_can_be_asked_three_reports_in_a_row_are_believed(place: Place) {
    let watched = Watched::open(place).await;
    let stored = watched.vault.create(untestable()).await;
    watched.report(&stored, &[Outcome::InvalidKey, Outcome::ServerError, Outcome::InvalidKey]).await;
    watched.settled().await;
    assert_eq!(watched.state(&stored).await, KeyState::Active);
    assert_eq!(watched.vault.keys.store.seq().await.unwrap(), 2, "nothing to tell of");
    watched.report(&stored, &[Outcome::InvalidKey]).await;
    watched.until(&stored, KeyState::Invalid).await;
    let (action, actor, details) = watched.newest().await;
    assert_eq!((action.as_str(), actor.as_str()), ("key.rejected", "keyvault"));
    assert_eq!(details, r#"{"count":"3","key_slug":"luma","secret_version":"1","state":"INVALID"}"#);
    watched.report(&stored, &[Outcome::InvalidKey; 5]).await;
    watched.settled().await;
    assert_eq!(watched.vault.keys.store.seq().await.unwrap(), 3, "once");
    assert_eq!(watched.provider.asked.load(Ordering::SeqCst), 0);
}

async fn a_call_that_went_well_in_between_counts_against_three_reports(place: Place) {
    use Outcome::{InvalidKey, Ok};
    let watched = Watched::open(place).await;
    let stored = watched.vault.create(untestable()).await;
    watched.report(&stored, &[InvalidKey, InvalidKey, Ok, InvalidKey, InvalidKey]).await;
    watched.settled().await;
    assert_eq!(watched.state(&stored).await, KeyState::Active);
}

/// By a test that cannot be made, by switching it off and on, or by another secret.
async fn another_chance_takes_three_more_reports(place: Place) {
    let watched = Watched::open(place).await;
    let keys = &watched.vault.keys;
    let mut stored = watched.vault.create(untestable()).await;
    let name = stored.key.name.clone();
    for chance in 0..4 {
        watched.report(&stored, &[Outcome::InvalidKey; 2]).await;
        watched.settled().await;
        assert_eq!(watched.state(&stored).await, KeyState::Active, "chance {chance}");
        watched.report(&stored, &[Outcome::InvalidKey]).await;
        watched.until(&stored, KeyState::Invalid).await;
        stored = match chance {
            0 => done(keys.test(TestKey { name: name.clone() }, by("ann")).await),
            1 => {
                let switch = async |disabled| {
                    let changes = KeyChanges { disabled: Some(disabled), ..KeyChanges::default() };
                    done(keys.update(UpdateKey { name: name.clone(), changes, etag: None }, by("ann")).await)
                };
                switch(true).await;
                switch(false).await
            }
            _ => {
                let replace = ReplaceSecret {
                    name: name.clone(),
                    secret: secret(),
                    base_url: None,
                    location: None,
                    verification: Verification::Require,
                    etag: None,
                };
                done(keys.replace(replace, by("ann")).await).stored
            }
        };
        assert_eq!(stored.key.state, KeyState::Active, "chance {chance}");
    }
}

/// Any workspace's callers could.
async fn a_platform_s_key_is_not_disabled_by_callers_word(place: Place) {
    let watched = Watched::open(place).await;
    let stored = watched.vault.create(NewKey { owner: new("platform", None).owner, ..untestable() }).await;
    watched.report(&stored, &[Outcome::InvalidKey; 6]).await;
    watched.settled().await;
    assert_eq!(watched.state(&stored).await, KeyState::Active);
}

async fn what_is_reported_right_after_a_test_is_kept_for_the_next(place: Place) {
    let watched = Watched::open(place).await;
    let stored = watched.vault.create(new("workspaces/acme", None)).await;
    watched.report(&stored, &[Outcome::InvalidKey]).await;
    watched.until_tested(&stored, TestResult::Valid).await;
    let again = Rejected { name: stored.key.name.clone(), secret_version: 1, in_a_row: 2 };
    assert!(watched.vault.keys.look_into(again).await.is_some(), "to be tested later");
    assert_eq!(watched.provider.asked.load(Ordering::SeqCst), 1);
}

async fn what_is_not_used_is_not_looked_into(place: Place) {
    let watched = Watched::open(place).await;
    watched.provider.status.store(401, Ordering::SeqCst);
    let disabled = watched.vault.create(NewKey { disabled: true, ..new("workspaces/acme", None) }).await;
    let mut older = watched.vault.create(new("workspaces/acme", None)).await;
    older.key.secret_version = 7;
    for stored in [&disabled, &older] {
        watched.report(stored, &[Outcome::InvalidKey]).await;
    }
    let mut unknown = older.clone();
    unknown.key.name.id = KeyId::new(Uuid::now_v7());
    watched.report(&unknown, &[Outcome::InvalidKey]).await;
    watched.settled().await;
    assert_eq!(watched.provider.asked.load(Ordering::SeqCst), 0);
    assert_eq!(watched.state(&older).await, KeyState::Active);
}

/// Between the report and the look into it, that is.
async fn what_changed_since_the_report_is_left_alone(place: Place) {
    let watched = Watched::open(place).await;
    watched.provider.status.store(401, Ordering::SeqCst);
    let mut rejected = Vec::new();
    for new in [new("workspaces/acme", None), untestable()] {
        let disabled = watched.vault.create(NewKey { disabled: true, ..new.clone() }).await.key;
        let replaced = watched.vault.create(new).await;
        watched.report(&replaced, &[Outcome::ServerError]).await;
        rejected.push(Rejected { name: disabled.name, secret_version: 1, in_a_row: 3 });
        rejected.push(Rejected { name: replaced.key.name, secret_version: 2, in_a_row: 3 });
    }
    let seq = watched.vault.keys.store.seq().await.unwrap();
    for rejected in rejected {
        watched.vault.keys.look_into(rejected).await;
    }
    assert_eq!(
        (watched.provider.asked.load(Ordering::SeqCst), watched.vault.keys.store.seq().await.unwrap()),
        (0, seq)
    );
}
