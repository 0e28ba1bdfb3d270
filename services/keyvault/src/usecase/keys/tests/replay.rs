//! Whose request an id stands for, and for how long.

use std::time::Duration;

use claviger_core::command::TestKey;

use super::*;
use crate::store::{Once, StoreError};

both! {
    an_id_is_its_callers_own,
    an_answer_is_kept_for_a_day_and_its_id_is_free_again_then,
}

const ID: &str = "retry-1";

fn once<T: Send + 'static>(vault: &Vault, origin: Origin, method: &str, body: &[u8]) -> Call<T> {
    let once = vault.keys.custody.once(&origin, ID, method, body);
    Call::once(origin, once, |_, at| at.to_string().into_bytes())
}

async fn an_id_is_its_callers_own(place: Place) {
    let vault = Vault::open(place, "").await;
    let create_for = async |origin: Origin, body: &[u8]| {
        let command = CreateKey { key: new("workspaces/acme", None), validate_only: false };
        vault.keys.create(command, once(&vault, origin, "CreateProviderKey", body)).await
    };
    let create = async |actor: &str, body: &[u8]| create_for(origin(actor), body).await;
    let Answer::New(_, at) = create("ann", b"1").await.unwrap() else { unreachable!("nothing was done before") };
    done(create("bob", b"1").await);
    done(create("eve", b"2").await);
    let again = create("ann", b"1").await.unwrap();
    assert!(matches!(again, Answer::Again(first) if first == at.to_string().into_bytes()), "the first answer's bytes");
    assert_eq!(create("ann", b"2").await.unwrap_err().reason, Reason::RequestIdReused);
    for person in ["workspaces/acme/users/lena", "workspaces/acme/users/max"] {
        let for_person = Origin { on_behalf_of: person.to_owned(), ..origin("ann") };
        assert_eq!(create_for(for_person, b"1").await.unwrap_err().reason, Reason::RequestIdReused, "{person}");
    }
    let name =
        KeyName { owner: Owner::parse("platform").unwrap(), id: claviger_core::ids::KeyId::new(uuid::Uuid::nil()) };
    let other = vault.keys.test(TestKey { name }, once(&vault, origin("ann"), "TestProviderKey", b"1")).await;
    assert_eq!(other.unwrap_err().reason, Reason::RequestIdReused, "another method with the same bytes");
    let owner = Owner { tenant: Tenant::parse("workspaces/acme").unwrap(), user: None };
    assert_eq!(vault.keys.store.neighbours(&owner, b"").await.unwrap().count, 3);
}

async fn an_answer_is_kept_for_a_day_and_its_id_is_free_again_then(place: Place) {
    let vault = Vault::open(place, "").await;
    let store = &vault.keys.store;
    let request = Once { id: [1; 32], body: [2; 32] };
    let other = Once { body: [3; 32], ..request.clone() };
    let remember = async |once: &Once, answer: &[u8], at| {
        let (once, answer) = (once.clone(), answer.to_vec());
        store.write(move |txn| Box::pin(async move { Ok(txn.remember(&once, answer, at).await?) })).await.unwrap();
    };
    let start = now();
    let day = Duration::from_secs(24 * 60 * 60);
    remember(&request, b"first", start).await;
    let last = start + day - Duration::from_micros(1);
    assert_eq!(store.recall(&request, last).await.unwrap(), Some(b"first".to_vec()));
    assert!(matches!(store.recall(&other, last).await, Err(StoreError::RequestIdReused)));
    assert_eq!(store.recall(&request, start + day).await.unwrap(), None);
    assert_eq!(store.recall(&other, start + day).await.unwrap(), None);
    remember(&other, b"second", start + day).await;
    assert_eq!(store.recall(&other, start + day).await.unwrap(), Some(b"second".to_vec()));
    assert!(matches!(store.recall(&request, start + day).await, Err(StoreError::RequestIdReused)));
}
