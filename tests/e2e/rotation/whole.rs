//! A whole rotation, step by step, by the commands and calls of docs/keyring.md.

use std::collections::BTreeMap;

use claviger_proto::keyvault_v1::{
    ListProviderKeysRequest, MasterKey, ProviderKey, RewrapKeysResponse, Verification, master_key,
};
use claviger_tests::fleet::{create_request, resolve_request};
use claviger_tests::{Fleet, key};

use super::place::{list, rewrap, rewrapped, until_primary};
use super::{Kind, Place};

const DUPLICATE: &str = "another key of this workspace has the same secret";

#[tokio::test(flavor = "multi_thread")]
async fn everything_moves_to_a_new_master_key_on_sqlite() {
    everything_moves_to_a_new_master_key(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_moves_to_a_new_master_key_on_postgres() {
    everything_moves_to_a_new_master_key(Kind::Postgres).await;
}

async fn everything_moves_to_a_new_master_key(kind: Kind) {
    let place = Place::new(kind).await;
    let mut fleet = place.fleet().await;
    let before = Before::make(&fleet).await;
    let (new, old) = place.rotate_file();
    until_primary(&fleet.vault, &new).await;

    let [first, second] = <[MasterKey; 2]>::try_from(list(&fleet.vault).await).unwrap();
    assert_eq!((&first.id, first.state()), (&new, master_key::State::Primary));
    assert_eq!((&second.id, second.state()), (&old, master_key::State::DecryptOnly));
    assert_eq!(counts(&first), [0, 0, 0]);
    assert_eq!(counts(&second), [3, 5, 5]);
    assert_a_new_workspace_makes_its_master_key_known(&place, &fleet, &new).await;
    let refusal = place.keyring_and_database("retire", &["--id", &old]);
    refusal.assert_line("3 workspace keys and 5 service keys are still wrapped under");
    assert_eq!(place.number(&format!("SELECT count(*) FROM master_keys WHERE id = '{old}'")).await, 1, "not forgotten");

    let done = rewrap(&fleet.vault, true).await.unwrap();
    assert_eq!((done.rewrapped_keys, done.remaining_keys), (8, 0));
    assert_eq!((done.resealed_records, done.remaining_records, done.unreadable_records), (6, 0, 0));
    assert_eq!(place.rows_under(&old).await, 0);
    assert_eq!(place.rows_under(&new).await, 4 + 5);
    assert_eq!(place.number("SELECT count(*) FROM master_keys").await, 1);
    assert_eq!(place.number("SELECT count(*) FROM workspace_keys WHERE version = 1").await, 0, "all are destroyed");
    let audited = "SELECT count(*) FROM audit_events WHERE action = ";
    for (action, count) in [
        ("master_key.rewrapped", 2),
        ("workspace_key.rotated", 4),
        ("keys.resealed", 1),
        ("workspace_key.destroyed", 4),
        ("master_key.released", 1),
    ] {
        assert_eq!(place.number(&format!("{audited}'{action}'")).await, count, "{action}");
    }

    before.assert_survived(&fleet).await;
    place.keyring_and_database("retire", &["--id", &old]).assert_success();
    assert_eq!(place.ids(), [new]);
    fleet.restart().await.unwrap();
    before.assert_survived(&fleet).await;
    place.assert_sound().await;
}

/// SQLite's write-ahead log keeps older pages until their place is needed.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_wrapped_or_sealed_before_is_in_no_file_any_more() {
    let place = Place::new(Kind::Sqlite).await;
    let fleet = place.fleet().await;
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let (new, _) = place.rotate_file();
    until_primary(&fleet.vault, &new).await;
    for reseal in [false, true] {
        let mut old = vec![end_of(&place, "wrapped FROM workspace_keys").await];
        match reseal {
            false => old.push(end_of(&place, "wrapped FROM service_keys WHERE purpose = 'row'").await),
            true => old.push(end_of(&place, "sealed FROM provider_keys").await),
        }
        assert_eq!(held(&place, &old), [true, true], "the search finds what is there");
        rewrap(&fleet.vault, reseal).await.unwrap();
        assert_eq!(held(&place, &old), [false, false], "reseal: {reseal}");
        assert_eq!(held(&place, &[end_of(&place, "wrapped FROM workspace_keys").await]), [true]);
    }
}

/// The end of a ciphertext.
async fn end_of(place: &Place, what: &str) -> Vec<u8> {
    let database = place.database().await;
    let mut bytes = database.bytes(&format!("SELECT {what}")).await;
    database.close().await;
    bytes.split_off(bytes.len() - 24)
}

/// Which of them are in the database's files.
fn held(place: &Place, all: &[Vec<u8>]) -> Vec<bool> {
    let files = place.bytes();
    let holds = |bytes: &Vec<u8>| files.values().any(|file| file.windows(bytes.len()).any(|window| window == bytes));
    all.iter().map(holds).collect()
}

fn counts(key: &MasterKey) -> [i64; 3] {
    [key.workspace_key_count, key.service_key_count, key.record_count]
}

/// Even if its row was lost: what is wrapped under a key that the database does not know could not be missed at a start.
async fn assert_a_new_workspace_makes_its_master_key_known(place: &Place, fleet: &Fleet, new: &str) {
    place.execute(&format!("DELETE FROM master_keys WHERE id = '{new}'")).await;
    fleet.create("workspaces/new", "anthropic", &key("good")).await.unwrap();
    let known = place.number(&format!("SELECT count(*) FROM master_keys WHERE id = '{new}'")).await;
    assert_eq!((known, place.rows_under(new).await), (1, 1));
}

/// What must be after a rotation as it was before.
struct Before {
    /// The secret of each key with a slug of its own.
    secrets: BTreeMap<String, String>,
    remembered: ProviderKey,
    page_token: String,
}

const REQUEST_ID: &str = "before-the-rotation";

impl Before {
    async fn make(fleet: &Fleet) -> Self {
        let mut secrets = BTreeMap::new();
        for (parent, slug) in
            [("workspaces/a", "one"), ("workspaces/a", "two"), ("workspaces/b", "three"), ("platform", "four")]
        {
            let secret = key("good");
            let mut request = create_request(parent, "anthropic", &secret);
            request.provider_key.as_mut().unwrap().key_slug = slug.into();
            request.set_verification(Verification::Skip);
            fleet.store(request).await.unwrap();
            secrets.insert(slug.to_owned(), secret);
        }
        let listed = fleet.key_vault().list_provider_keys(first_page()).await.unwrap().into_inner();
        let remembered = fleet.store(Self::remembered(&secrets["three"])).await.unwrap();
        fleet.revoke(&remembered.name).await.unwrap();
        Self { secrets, remembered, page_token: listed.next_page_token }
    }

    fn remembered(secret: &str) -> claviger_proto::keyvault_v1::CreateProviderKeyRequest {
        let mut request = create_request("workspaces/b", "anthropic", secret);
        request.request_id = REQUEST_ID.into();
        request
    }

    async fn assert_survived(&self, fleet: &Fleet) {
        for (slug, secret) in self.secrets.iter().filter(|(slug, _)| *slug != "four") {
            let workspace = if slug == "three" { "workspaces/b" } else { "workspaces/a" };
            let mut request = resolve_request(workspace);
            request.key_slug.clone_from(slug);
            let resolved = fleet.resolve(request).await.unwrap();
            assert_eq!(&resolved.credential.unwrap().secret, secret, "{slug}");
        }
        let mut platform = resolve_request("workspaces/none");
        platform.provider = "anthropic".into();
        assert_eq!(fleet.resolve(platform).await.unwrap().credential.unwrap().secret, self.secrets["four"]);
        for stored in fleet.keys("workspaces/a", false).await.unwrap() {
            fleet.test(&stored.name).await.unwrap(); // its row is as its newest event left it
        }
        let again = fleet.store(Self::remembered(&self.secrets["three"])).await.unwrap();
        assert_eq!(again.name, self.remembered.name, "the request is known by its id");
        let next = ListProviderKeysRequest { page_token: self.page_token.clone(), ..first_page() };
        let listed = fleet.key_vault().list_provider_keys(next).await.unwrap().into_inner();
        assert_eq!(listed.provider_keys.len(), 1, "the page token is good");
        let mut copy = create_request("workspaces/a", "anthropic", &self.secrets["one"]);
        copy.set_verification(Verification::Skip);
        let copy = fleet.store(copy).await.unwrap();
        assert!(copy.warnings.iter().any(|warning| warning.starts_with(DUPLICATE)), "{:?}", copy.warnings);
        fleet.revoke(&copy.name).await.unwrap();
    }
}

fn first_page() -> ListProviderKeysRequest {
    ListProviderKeysRequest { parent: "workspaces/a".into(), page_size: 1, ..Default::default() }
}

/// More workspaces than one write takes.
#[tokio::test(flavor = "multi_thread")]
async fn the_keys_are_rewrapped_some_at_a_time_and_each_time_is_told() {
    const WORKSPACES: u64 = 300;
    const AT_ONCE: u64 = 256;
    let place = Place::new(Kind::Sqlite).await;
    let fleet = place.fleet().await;
    let create = async |n: u64| fleet.create(&format!("workspaces/w{n}"), "anthropic", &key("good")).await.unwrap();
    futures::future::join_all((0..WORKSPACES).map(create)).await;
    let (new, old) = place.rotate_file();
    until_primary(&fleet.vault, &new).await;

    let told = rewrapped(&fleet.vault, true).await.unwrap();
    let steps = |count: fn(&RewrapKeysResponse) -> i64| {
        let counts: Vec<_> = std::iter::once(0).chain(told.iter().map(count)).collect();
        counts.windows(2).map(|pair| u64::try_from(pair[1] - pair[0]).unwrap()).collect::<Vec<_>>()
    };
    for (done, all) in
        [(steps(|told| told.rewrapped_keys), WORKSPACES + 5), (steps(|told| told.resealed_records), WORKSPACES)]
    {
        assert!(
            done.iter().all(|step| *step <= AT_ONCE) && done.iter().filter(|step| **step > 0).count() > 1,
            "{done:?}"
        );
        assert_eq!(done.iter().sum::<u64>(), all);
    }
    let last = told.last().unwrap();
    assert_eq!((last.done, last.remaining_keys, last.remaining_records), (true, 0, 0));
    assert_eq!(place.rows_under(&old).await, 0);
}
