//! A routing process as the vault sees it: what it tells of its journal.

use std::time::{Duration, SystemTime};

use claviger_crypto::Handshake;
use claviger_proto::keyvault_v1::key_feed_client::KeyFeedClient;
use claviger_proto::keyvault_v1::{
    HealthChange, Hello, JournalBatch, JournalEntry, LoadTenant, Outcome, Payer, ProviderKey, Reported, Resolved,
    ResolvedUse, SubscribeRequest, SubscribeResponse, journal_entry, subscribe_request, subscribe_response,
};
use claviger_tests::{Process, wire};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(10);

/// One subscription of one process.
pub(crate) struct FakeRouting {
    outgoing: mpsc::Sender<SubscribeRequest>,
    incoming: Streaming<SubscribeResponse>,
}

impl FakeRouting {
    pub(crate) async fn subscribe(vault: &Process, replica: Uuid) -> Self {
        Self::over(wire::channel(vault, "grpc"), replica).await
    }

    pub(crate) async fn over(channel: Channel, replica: Uuid) -> Self {
        let (outgoing, requests) = mpsc::channel(256);
        let public_key = Handshake::new().unwrap().public_key().to_vec();
        let hello = subscribe_request::Message::Hello(Hello { replica: replica.to_string(), public_key });
        outgoing.send(SubscribeRequest { message: Some(hello) }).await.unwrap();
        let answers = KeyFeedClient::new(channel).subscribe(ReceiverStream::new(requests)).await.unwrap();
        let mut routing = Self { outgoing, incoming: answers.into_inner() };
        assert!(matches!(routing.next().await.unwrap(), subscribe_response::Message::Welcome(_)));
        routing
    }

    /// Sends entries from an offset on, and waits for nothing.
    pub(crate) async fn send(&self, first_offset: u64, entries: Vec<JournalEntry>) {
        self.ask(subscribe_request::Message::Journal(JournalBatch { first_offset, entries })).await;
    }

    /// Asks for a tenant, and waits for nothing.
    pub(crate) async fn load(&self, load_id: u64) {
        let load = LoadTenant { load_id, tenant: "workspaces/acme".into(), ..Default::default() };
        self.ask(subscribe_request::Message::LoadTenant(load)).await;
    }

    async fn ask(&self, message: subscribe_request::Message) {
        self.outgoing.send(SubscribeRequest { message: Some(message) }).await.unwrap();
    }

    /// The next acknowledgement. Snapshots are passed by.
    pub(crate) async fn acknowledged(&mut self) -> Result<u64, Status> {
        loop {
            if let subscribe_response::Message::JournalAck(ack) = self.next().await? {
                return Ok(ack.offset);
            }
        }
    }

    /// Sends entries, and waits until they are taken.
    pub(crate) async fn tell(&mut self, first_offset: u64, entries: Vec<JournalEntry>) -> Result<u64, Status> {
        self.send(first_offset, entries).await;
        self.acknowledged().await
    }

    async fn next(&mut self) -> Result<subscribe_response::Message, Status> {
        let message = tokio::time::timeout(PATIENCE, self.incoming.message()).await.unwrap()?;
        message.and_then(|message| message.message).ok_or_else(|| Status::cancelled("the stream ended"))
    }
}

/// A use of a workspace's key by `ann`, now.
pub(crate) fn use_of(key: &ProviderKey) -> ResolvedUse {
    ResolvedUse {
        workspace: "acme".into(),
        user: "ann".into(),
        key_uid: key.uid.clone(),
        secret_version: key.secret_version,
        provider: key.provider.clone(),
        model: "claude-x".into(),
        payer: Payer::WorkspaceKey.into(),
        resolve_time: Some(SystemTime::now().into()),
        ..Default::default()
    }
}

pub(crate) fn resolved(of: &ResolvedUse) -> JournalEntry {
    JournalEntry { entry: Some(journal_entry::Entry::Resolved(Resolved { r#use: Some(of.clone()) })) }
}

pub(crate) fn reported(of: &ResolvedUse, replica: Uuid, number: u64, outcome: Outcome) -> JournalEntry {
    let reported = Reported {
        r#use: Some(of.clone()),
        replica: replica.to_string(),
        number,
        outcome: outcome.into(),
        input_tokens: 2_000,
        output_tokens: 1_000,
        duration: Some(Duration::from_secs(2).try_into().unwrap()),
        report_time: Some(SystemTime::now().into()),
    };
    JournalEntry { entry: Some(journal_entry::Entry::Reported(reported)) }
}

/// From now on, for a minute.
pub(crate) fn cooling(key: &ProviderKey, model: &str, cause: Outcome) -> JournalEntry {
    let now = SystemTime::now();
    let change = HealthChange {
        tenant: "workspaces/acme".into(),
        key_uid: key.uid.clone(),
        secret_version: key.secret_version,
        model: model.into(),
        cause: cause.into(),
        start_time: Some(now.into()),
        end_time: Some((now + Duration::from_secs(60)).into()),
        failures: 1,
    };
    JournalEntry { entry: Some(journal_entry::Entry::Health(change)) }
}
