//! What is between a live test and its record goes on without the caller.

use claviger_core::key::{KeyTest, TestResult};
use futures::poll;
use tokio::sync::oneshot;

use super::*;
use crate::usecase::keys::live::Tested;
use crate::verify::skipped;

both! {
    a_write_that_fails_when_the_caller_has_gone_leaves_the_test_on_record,
}

async fn a_write_that_fails_when_the_caller_has_gone_leaves_the_test_on_record(place: Place) {
    let vault = Vault::open(place, "").await;
    let new = new("workspaces/acme", None);
    let test = KeyTest { result: TestResult::Valid, ..skipped("", now()) };
    let tested = Tested::new(&new.provider, &new.owner, &test, &origin("ann"));
    let (fail, failing) = oneshot::channel();
    let write = async move { failing.await.unwrap_or_else(|_| Err(Fault::internal())) };
    let mut settling = Box::pin(vault.keys.settle::<()>(tested, write));
    assert!(poll!(settling.as_mut()).is_pending());
    drop(settling);
    assert_eq!(vault.keys.store.seq().await.unwrap(), 0);

    fail.send(Err(Fault::internal())).unwrap();
    vault.keys.live.tasks.close();
    vault.keys.live.tasks.wait().await;
    assert_eq!(vault.keys.store.seq().await.unwrap(), 1);
}
