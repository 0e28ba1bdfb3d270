//! One client, which does now this and now that.

use std::sync::{Arc, Mutex};

use claviger_core::position::Position;
use claviger_proto::keyvault::encoded;
use claviger_proto::keyvault_v1::key_vault_client::KeyVaultClient;
use claviger_proto::keyvault_v1::provider_key::State;
use claviger_proto::keyvault_v1::{
    GetProviderKeyRequest, ListProviderKeysRequest, ProviderKey, RevokeProviderKeyRequest, TestProviderKeyRequest,
    Verification,
};
use claviger_tests::key;
use tonic::transport::Channel;

use super::super::load::WORKSPACE;
use super::calls::{Asked, Kind, Log, Order, creation, increment, order, placement, replacement};
use super::{LASTING, STEPS};

const LATE: &str = "ETAG_MISMATCH";
const ENDED: &str = "KEY_REVOKED";

pub(super) struct Caller {
    number: usize,
    step: usize,
    random: u64,
    /// The vault that it mostly asks.
    vault: KeyVaultClient<Channel>,
    other: KeyVaultClient<Channel>,
    /// All keys that there ever were; the first are those that last.
    names: Arc<Mutex<Vec<String>>>,
    /// The active ones when it looked last.
    active: Vec<String>,
    pub(super) log: Log,
}

impl Caller {
    pub(super) fn new(number: usize, vaults: &[KeyVaultClient<Channel>; 2], names: Arc<Mutex<Vec<String>>>) -> Self {
        let (vault, other) = (vaults[number % 2].clone(), vaults[1 - number % 2].clone());
        let (random, active, log) = (number as u64, Vec::new(), Log::default());
        Self { number, step: 0, random, vault, other, names, active, log }
    }

    pub(super) async fn work(&mut self) {
        for step in 0..STEPS {
            self.step = step;
            match self.below(12) {
                0..2 => self.count_as_rivals().await,
                2..4 => self.count_twice().await,
                4..6 => self.place().await,
                6 => self.replace(true, Verification::Skip).await,
                7 => self.replace(false, Verification::Skip).await,
                8 => self.replace(false, Verification::Require).await,
                9 => self.reorder().await,
                10 => self.test().await,
                _ if self.below(3) == 0 => self.create().await,
                _ => self.revoke().await,
            }
        }
    }

    /// Asks both vaults for the same with the same request_id: one key is made.
    pub(super) async fn create(&mut self) {
        let secret = key("good");
        let request = creation(&secret, self.request_id());
        let (one, two) =
            tokio::join!(self.vault.create_provider_key(request.clone()), self.other.create_provider_key(request));
        let (one, two) = (one.unwrap().into_inner(), two.unwrap().into_inner());
        assert_eq!(encoded(&one), encoded(&two));
        self.names.lock().unwrap().push(one.name.clone());
        self.log.changed(Kind::Created(secret), "", one);
    }

    /// Two updates with one etag, one at each vault: at most one is done.
    async fn count_as_rivals(&mut self) {
        let read = self.read().await;
        let request = increment(&read);
        let (one, two) =
            tokio::join!(self.vault.update_provider_key(request.clone()), self.other.update_provider_key(request));
        assert!(one.is_err() || two.is_err(), "both had {}", read.etag);
        for result in [one, two] {
            match result {
                Ok(answer) => self.log.changed(Kind::Counted, &read.etag, answer.into_inner()),
                Err(status) => self.log.refused("count", Some(&asked(&read)), &status, &[LATE, ENDED]),
            }
        }
    }

    /// The same update twice, once at each vault: both answer the same, and it is done once.
    async fn count_twice(&mut self) {
        let read = self.read().await;
        let mut request = increment(&read);
        request.request_id = self.request_id();
        let (one, two) =
            tokio::join!(self.vault.update_provider_key(request.clone()), self.other.update_provider_key(request));
        match (one, two) {
            (Ok(one), Ok(two)) => {
                let (one, two) = (one.into_inner(), two.into_inner());
                assert_eq!(encoded(&one), encoded(&two));
                self.log.changed(Kind::Counted, &read.etag, one);
            }
            (Err(one), Err(two)) => {
                for status in [one, two] {
                    self.log.refused("count", Some(&asked(&read)), &status, &[LATE, ENDED]);
                }
            }
            (one, two) => unreachable!("{one:?} {two:?}"),
        }
    }

    async fn place(&mut self) {
        let priority = i32::try_from(1_000 + self.number * STEPS + self.step).unwrap(); // another one in each call
        let asked = Asked { name: self.pick(), etag: String::new() };
        match self.vault.update_provider_key(placement(&asked.name, priority)).await {
            Ok(answer) => self.log.changed(Kind::Placed(priority), "", answer.into_inner()),
            Err(status) => self.log.refused("place", Some(&asked), &status, &[ENDED]),
        }
    }

    async fn replace(&mut self, with_etag: bool, verification: Verification) {
        let (secret, read) = (key("good"), self.read().await);
        let asked = if with_etag { asked(&read) } else { Asked { etag: String::new(), ..asked(&read) } };
        match self.vault.replace_provider_key_secret(replacement(&asked, &secret, verification)).await {
            Ok(answer) => self.log.changed(Kind::Replaced(secret), &asked.etag, answer.into_inner()),
            Err(status) => self.log.refused("replace", Some(&asked), &status, &[LATE, ENDED]),
        }
    }

    async fn test(&mut self) {
        let asked = Asked { name: self.pick(), etag: String::new() };
        let request = TestProviderKeyRequest { name: asked.name.clone(), ..Default::default() };
        match self.vault.test_provider_key(request).await {
            Ok(answer) => self.log.changed(Kind::Tested, "", answer.into_inner().provider_key.unwrap()),
            Err(status) => self.log.refused("test", Some(&asked), &status, &[ENDED]),
        }
    }

    /// One that was revoked before is revoked again, which changes nothing.
    async fn revoke(&mut self) {
        let names = self.names.lock().unwrap()[LASTING..].to_vec();
        let Some(name) = self.one_of(&names) else { return };
        let request = RevokeProviderKeyRequest { name, ..Default::default() };
        let answer = self.vault.revoke_provider_key(request).await.unwrap().into_inner();
        self.log.changed(Kind::Revoked, "", answer.provider_key.unwrap());
    }

    /// Every other order is one of the keys that there were some time ago.
    async fn reorder(&mut self) {
        if self.active.is_empty() || self.below(2) == 0 {
            self.list().await;
        }
        self.shuffle();
        match self.vault.reorder_provider_keys(order(&self.active)).await {
            Ok(answer) => {
                let answer = answer.into_inner();
                let seq = Position::parse(&answer.consistency_token).unwrap().seq;
                self.log.orders.push(Order { seq, names: self.active.clone() });
                for (place, key) in (0..).zip(answer.provider_keys) {
                    self.log.changed(Kind::Ordered(place), "", key);
                }
            }
            Err(status) => self.log.refused("reorder", None, &status, &[LATE]),
        }
    }

    /// Nothing else goes on: an order of its own, which cannot be too late.
    pub(super) async fn reorder_at_last(&mut self) {
        self.active.clear();
        let before = self.log.orders.len();
        self.reorder().await;
        assert_eq!(self.log.orders.len(), before + 1);
    }

    async fn read(&mut self) -> ProviderKey {
        let request = GetProviderKeyRequest { name: self.pick() };
        let read = self.vault.get_provider_key(request).await.unwrap().into_inner();
        self.log.reads.push(read.clone());
        read
    }

    async fn list(&mut self) {
        let request = ListProviderKeysRequest { parent: WORKSPACE.into(), page_size: 500, ..Default::default() };
        let keys = self.vault.list_provider_keys(request).await.unwrap().into_inner().provider_keys;
        self.active = keys.iter().filter(|key| key.state() == State::Active).map(|key| key.name.clone()).collect();
        self.log.reads.extend(keys);
    }

    /// Mostly one of those that last.
    fn pick(&mut self) -> String {
        let mut names = self.names.lock().unwrap().clone();
        if self.below(4) > 0 {
            names.truncate(LASTING);
        }
        self.one_of(&names).unwrap()
    }

    fn one_of(&mut self, names: &[String]) -> Option<String> {
        (!names.is_empty()).then(|| names[self.below(names.len())].clone())
    }

    fn shuffle(&mut self) {
        for last in (1..self.active.len()).rev() {
            let other = self.below(last + 1);
            self.active.swap(last, other);
        }
    }

    /// Knuth's generator: the same numbers each time.
    fn below(&mut self, end: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) as usize % end
    }

    fn request_id(&self) -> String {
        format!("{}-{}-{}", self.number, self.step, self.log.changes.len())
    }
}

fn asked(read: &ProviderKey) -> Asked {
    Asked { name: read.name.clone(), etag: read.etag.clone() }
}
