//! The key of resolution ids: the same for every subscription, through restarts and rotations.

use claviger_core::position::session_binding;
use claviger_crypto::{Handshake, ResolutionKey, ResolutionSealer};
use claviger_proto::keyvault_v1::key_feed_client::KeyFeedClient;
use claviger_proto::keyvault_v1::{Hello, SubscribeRequest, Welcome, subscribe_request, subscribe_response};
use claviger_tests::{Process, key};
use uuid::Uuid;

use super::place::{channel, rewrap, until_primary};
use super::{Kind, Place};

const MADE: &str = "made the vault's resolution-id key";

#[tokio::test(flavor = "multi_thread")]
async fn it_outlives_restarts_and_rotations_on_sqlite() {
    it_outlives_restarts_and_rotations(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_outlives_restarts_and_rotations_on_postgres() {
    it_outlives_restarts_and_rotations(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_it_gets_one_on_sqlite() {
    a_database_without_it_gets_one(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_it_gets_one_on_postgres() {
    a_database_without_it_gets_one(Kind::Postgres).await;
}

async fn it_outlives_restarts_and_rotations(kind: Kind) {
    let place = Place::new(kind).await;
    let mut vault = place.vault().await;
    let first = handed_out(&vault).await;
    assert!(same(&first, &handed_out(&vault).await), "each subscription seals it for itself");
    let (new, old) = place.rotate_file();
    until_primary(&vault, &new).await;
    rewrap(&vault, true).await.unwrap();
    place.keyring_and_database("retire", &["--id", &old]).assert_success();
    vault.kill().unwrap();
    let restarted = place.vault().await;
    assert!(same(&first, &handed_out(&restarted).await));
    assert!(!vault.log().contains(MADE) && !restarted.log().contains(MADE));
    let other = Place::new(kind).await;
    assert!(!same(&first, &handed_out(&other.vault().await).await), "another vault has another");
}

/// One of an earlier release, or one that lost the row: the vault cannot tell, and no more than an hour's reports depend on it.
async fn a_database_without_it_gets_one(kind: Kind) {
    let place = Place::new(kind).await;
    let mut fleet = place.fleet().await;
    fleet.create("workspaces/a", "anthropic", &key("good")).await.unwrap();
    let lost = handed_out(&fleet.vault).await;
    fleet.vault.kill().unwrap();
    place.execute("DELETE FROM service_keys WHERE purpose = 'resolution-id'").await;
    place.keyring_and_database("check", &[]).assert_success();
    let mut vault = place.vault().await;
    assert!(vault.log().contains(MADE), "{}", vault.log());
    let made = handed_out(&vault).await;
    assert!(!same(&lost, &made));
    vault.kill().unwrap();
    assert!(same(&made, &handed_out(&place.vault().await).await));
    place.assert_sound().await;

    place.execute("UPDATE service_keys SET wrapped = (SELECT s.wrapped FROM service_keys s WHERE s.purpose = 'row') WHERE purpose = 'resolution-id'").await;
    place
        .refused()
        .assert_line("the vault's resolution-id key does not open under its master key: the database was altered");
}

/// As routing gets it.
pub(crate) async fn handed_out(vault: &Process) -> ResolutionKey {
    let handshake = Handshake::new().unwrap();
    let hello = Hello { replica: Uuid::now_v7().to_string(), public_key: handshake.public_key().to_vec() };
    let hello = SubscribeRequest { message: Some(subscribe_request::Message::Hello(hello)) };
    let mut client = KeyFeedClient::new(channel(vault));
    let mut answers = client.subscribe(tokio_stream::iter([hello])).await.unwrap().into_inner();
    let welcome = answers.message().await.unwrap().unwrap().message.unwrap();
    let subscribe_response::Message::Welcome(welcome) = welcome else { panic!("{welcome:?}") };
    let Welcome { session, epoch, encapsulated_key, resolution_key, .. } = welcome;
    let binding = session_binding(session.parse().unwrap(), epoch.parse().unwrap());
    handshake.accept(&encapsulated_key, &binding).unwrap().open_resolution_key(&resolution_key).unwrap()
}

fn same(one: &ResolutionKey, other: &ResolutionKey) -> bool {
    let (id, _) = ResolutionSealer::new(0).unwrap().seal(one, b"").unwrap();
    other.open(&id).is_ok()
}
