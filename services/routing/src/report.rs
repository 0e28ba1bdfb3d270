//! Taking in what came of calls.

use std::sync::Arc;

use claviger_core::catalog::{AnswerFacts, Catalog, HttpFacts, Outcome, Provider};
use claviger_core::fault::Fault;
use claviger_core::health::{Change, Report as Finding};
use claviger_core::ids::Tenant;
use claviger_core::journal::{Entry, HealthChange, Reported, Use};
use claviger_core::reason::Reason;
use claviger_core::route::Source;
use claviger_proto::routing::{Answer, CallResult, Report};
use time::OffsetDateTime;

use crate::counted::{Counted, Counting};
use crate::feed::{self, Feed};
use crate::health::HealthBook;
use crate::journal::Journal;
use crate::ticket::{self, Ticket};

/// The use-cases of reports.
#[derive(Debug, Clone)]
pub struct Reports {
    feed: Feed,
    catalog: Arc<Catalog>,
    health: Arc<HealthBook>,
    journal: Arc<Journal>,
    counted: Arc<Counted>,
}

/// A report that was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// How it was read.
    pub outcome: Outcome,
    /// The resolution was reported before: nothing changed.
    pub is_repeated: bool,
    /// Until when the key cools for the call's model, if it does.
    pub cools_until: Option<OffsetDateTime>,
}

impl Reports {
    /// Over what this process knows.
    #[must_use]
    pub fn new(feed: Feed, catalog: Arc<Catalog>, health: Arc<HealthBook>, journal: Arc<Journal>) -> Self {
        Self { feed, catalog, health, journal, counted: Arc::default() }
    }

    /// Takes in what came of a call: once for each resolution.
    ///
    /// # Errors
    /// `RESOLUTION_INVALID`, `RESOLUTION_EXPIRED`, `VAULT_UNAVAILABLE`.
    pub fn take(&self, report: &Report, now: OffsetDateTime) -> Result<Taken, Fault> {
        let key = self.feed.resolution_key().ok_or_else(feed::unavailable)?;
        let ticket = ticket::open(&key, &report.resolution_id)?;
        let of = &ticket.of;
        let (outcome, reset) = self.read(of, &report.result, now);
        let is_repeated = match self.counted.first(ticket.replica, ticket.number, of.time, now) {
            Counting::First => {
                self.journal.append(Entry::Reported(reported(&ticket, report, outcome, now))).inspect_err(|_| {
                    self.counted.forget(ticket.replica, ticket.number, of.time);
                })?;
                self.heed(of, outcome, reset, now);
                false
            }
            Counting::Repeated => true,
            Counting::TooOld => {
                return Err(Fault::new(Reason::ResolutionExpired, "the key was handed out more than an hour ago"));
            }
            Counting::TooNew => {
                return Err(Fault::new(
                    Reason::ResolutionInvalid,
                    "the key was handed out later than now by this replica's clock",
                ));
            }
        };
        let cools_until = self.health.cools_until(of.key, of.model.as_ref(), now);
        Ok(Taken { outcome, is_repeated, cools_until })
    }

    /// The outcome, and when the provider says that the key can be used again.
    fn read(&self, of: &Use, result: &CallResult, now: OffsetDateTime) -> (Outcome, Option<OffsetDateTime>) {
        let answer = match result {
            CallResult::Outcome(outcome) => return (*outcome, None),
            CallResult::Answer(answer) => answer,
        };
        match self.catalog.provider(of.provider.as_str()) {
            Some(provider) => read(&self.catalog, provider, answer, now),
            None => (Outcome::BadRequest, None), // a provider that was taken out of the catalog since
        }
    }

    /// Lets the outcome do to the key's health what it does.
    fn heed(&self, of: &Use, outcome: Outcome, reset: Option<OffsetDateTime>, now: OffsetDateTime) {
        let (key, secret_version, model) = (of.key, of.secret_version, of.model.as_ref());
        let is_shared = of.payer == Source::Platform;
        let finding = Finding { key, secret_version, model, resolved: of.time, outcome, reset, is_shared };
        let changes = self.health.report(&finding, now);
        self.journal.note(changes.into_iter().map(|change| Entry::Health(health_change(of, change))));
    }
}

/// The catalog's reading of an answer.
fn read(
    catalog: &Catalog,
    provider: &Provider,
    answer: &Answer,
    now: OffsetDateTime,
) -> (Outcome, Option<OffsetDateTime>) {
    let texts: Vec<_> = answer.texts.iter().map(String::as_str).collect();
    let http = HttpFacts { status: answer.status, body: None, texts: &texts };
    let headers: Vec<_> = answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let retry_after = answer.retry_after.as_deref().unwrap_or_default();
    let outcome = match catalog.classify(provider, &http).outcome {
        Outcome::Ok if !texts.is_empty() => Outcome::ServerError, // an error inside an answer that began well: a stream's
        outcome => outcome,
    };
    match catalog.reset(provider, &AnswerFacts { http, retry_after, headers: &headers }, outcome, now) {
        Some(reset) => (reset.outcome, Some(reset.until)),
        None => (outcome, None),
    }
}

fn reported(ticket: &Ticket, report: &Report, outcome: Outcome, now: OffsetDateTime) -> Reported {
    Reported {
        of: ticket.of.clone(),
        replica: ticket.replica,
        number: ticket.number,
        outcome,
        input_tokens: report.input_tokens,
        output_tokens: report.output_tokens,
        duration: report.duration,
        time: now,
    }
}

fn health_change(of: &Use, change: Change) -> HealthChange {
    let tenant = match of.payer {
        Source::Platform => Tenant::Platform,
        Source::Personal | Source::Workspace => Tenant::Workspace(of.workspace.clone()),
    };
    HealthChange {
        tenant,
        key: of.key,
        secret_version: of.secret_version,
        model: change.model,
        cause: change.cause,
        since: change.since,
        until: change.until,
        failures: change.times,
    }
}

#[cfg(test)]
mod tests;
