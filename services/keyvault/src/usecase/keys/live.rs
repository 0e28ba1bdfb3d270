//! Live tests, and that each is on record: by the write that keeps what was tested, or else by itself.
//!
//! A secret that went to a provider is told of, whether or not the caller still waits. So whatever lies between the
//! question and its record runs in tasks of its own, and the process does not end before they do.

use claviger_core::audit::{Action, Detail, Event, Origin};
use claviger_core::catalog::AuthType;
use claviger_core::fault::Fault;
use claviger_core::ids::{Owner, ProviderId};
use claviger_core::key::{KeyTest, TestResult};
use claviger_core::reason::Reason;
use secrecy::SecretString;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use super::Keys;
use crate::usecase::{Answer, event, now};
use crate::verify::{self, Subject};

const SHUT_DOWN: &str = "the vault shut down before the provider answered";

/// The live tests of a process, until they are on record. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct LiveTests {
    pub(super) tasks: TaskTracker,
    stop: CancellationToken,
}

impl LiveTests {
    /// None yet. At `stop` nobody waits for a provider any longer.
    #[must_use]
    pub fn until(stop: CancellationToken) -> Self {
        Self { tasks: TaskTracker::new(), stop }
    }

    /// Waits for the stop, and then until every test is on record.
    pub async fn ended(self) {
        self.stop.cancelled().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Runs steps to their end, also when the caller goes.
    async fn finish<T: Send + 'static>(
        &self,
        steps: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        self.tasks.spawn(steps.in_current_span()).await.map_err(|_| Fault::internal())?
    }
}

/// What a provider is asked, and for whom.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) provider: ProviderId,
    pub(super) auth_type: AuthType,
    pub(super) secret: Option<SecretString>,
    pub(super) base_url: Option<String>,
    pub(super) location: Option<String>,
    pub(super) owner: Owner,
    pub(super) origin: Origin,
}

/// A live test as it is put on record by itself.
#[derive(Debug, Clone)]
pub(in crate::usecase) struct Tested {
    provider: ProviderId,
    owner: Owner,
    result: TestResult,
    origin: Origin,
}

impl Tested {
    pub(in crate::usecase) fn new(provider: &ProviderId, owner: &Owner, test: &KeyTest, origin: &Origin) -> Self {
        Self { provider: provider.clone(), owner: owner.clone(), result: test.result, origin: origin.clone() }
    }

    fn event(&self) -> Event {
        let Self { provider, owner, result, origin } = self;
        let details = vec![(Detail::Provider, provider.to_string()), (Detail::TestResult, result.as_str().to_owned())];
        event(now(), &owner.tenant, Action::SecretTested, format!("{owner}/keys/-"), origin, details)
    }
}

impl Keys {
    /// Tests a secret live. When the caller is gone before the answer, the test is put on record here. Who gets the
    /// answer goes on to [`Keys::settle`] or [`Keys::on_record`] without waiting for anything else.
    pub(super) async fn ask(&self, question: Question) -> Result<KeyTest, Fault> {
        let (answer, answered) = oneshot::channel();
        let (taken, is_taken) = oneshot::channel::<()>();
        let keys = self.clone();
        let asking = async move {
            let test = keys.answer(&question).await;
            let _ = answer.send(test.clone()); // the caller may have gone
            if let (Ok(test), Err(_)) = (test, is_taken.await) {
                let tested = Tested::new(&question.provider, &question.owner, &test, &question.origin);
                keys.write_tested(&tested).await.unwrap_or_else(|fault| lost(&fault));
            }
        };
        self.live.tasks.spawn(asking.in_current_span());
        let test = answered.await.map_err(|_| Fault::internal())?;
        let _ = taken.send(());
        test
    }

    async fn answer(&self, question: &Question) -> Result<KeyTest, Fault> {
        let gone = || Fault::new(Reason::ProviderNotFound, "the key's provider is not in the catalog any more");
        let subject = Subject {
            provider: self.provider(&question.provider).ok_or_else(gone)?,
            auth_type: question.auth_type,
            secret: question.secret.as_ref(),
            base_url: question.base_url.as_deref(),
            location: question.location.as_deref(),
        };
        match self.live.stop.run_until_cancelled(self.verifier.test(&subject)).await {
            Some(test) => test,
            None => Ok(KeyTest { result: TestResult::Inconclusive, ..verify::skipped(SHUT_DOWN, now()) }),
        }
    }

    /// Does the write that keeps what was tested. If nothing comes of it, the test is on record by itself.
    pub(in crate::usecase) async fn settle<T: Send + 'static>(
        &self,
        tested: Tested,
        write: impl Future<Output = Result<Answer<T>, Fault>> + Send + 'static,
    ) -> Result<Answer<T>, Fault> {
        if tested.result == TestResult::Skipped {
            return write.await;
        }
        let keys = self.clone();
        let steps = async move {
            match write.await {
                Ok(Answer::New(done, at)) => Ok(Answer::New(done, at)),
                otherwise => {
                    keys.write_tested(&tested).await?;
                    otherwise
                }
            }
        };
        self.live.finish(steps).await
    }

    /// Puts a live test on record of which nothing is kept.
    pub(super) async fn on_record(&self, tested: Tested) -> Result<(), Fault> {
        let keys = self.clone();
        self.live.finish(async move { keys.write_tested(&tested).await }).await
    }

    async fn write_tested(&self, tested: &Tested) -> Result<(), Fault> {
        if tested.result == TestResult::Skipped {
            return Ok(());
        }
        let event = tested.event();
        let record = self.store.write(move |txn| Box::pin(async move { Ok(txn.record(&event).await.map(drop)?) }));
        record.await.map(drop)
    }
}

fn lost(fault: &Fault) {
    tracing::error!(reason = fault.reason.as_str(), "a live test is not on record: the database did not take it");
}
