//! No call without an end, and nothing stored after it.

use std::time::{Duration, Instant};

use claviger_proto::keyvault_v1::ProviderKey;
use claviger_tests::fleet::create_request;
use claviger_tests::{Fleet, audit, key, reason};
use tonic::{Code, Request, Status};

use super::until;

#[tokio::test(flavor = "multi_thread")]
async fn after_the_caller_s_deadline_nothing_is_stored() {
    let fleet = Fleet::start().await.unwrap();
    let start = Instant::now();
    let error = create(&fleet, "pause", Some(Duration::from_millis(500))).await.unwrap_err();
    assert!(matches!(error.code(), Code::DeadlineExceeded | Code::Cancelled), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());

    let recorded = async || audit::events(&fleet.database()).await.unwrap();
    until("the test is on record", async || !recorded().await.is_empty()).await;
    assert!(start.elapsed() > Duration::from_secs(2), "the provider has answered: {:?}", start.elapsed());
    assert_eq!(fleet.keys("workspaces/acme", true).await.unwrap(), []);
    let events = recorded().await;
    assert_eq!((events.len(), events[0].action.as_str()), (1, "secret.tested"), "{events:?}");
    create(&fleet, "good", None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_deadline_a_call_is_answered_within_ten_seconds() {
    let fleet = Fleet::start().await.unwrap();
    let start = Instant::now();
    let error = create(&fleet, "slow", None).await.unwrap_err();
    assert!(start.elapsed() < Duration::from_millis(10_500), "{:?}", start.elapsed());
    assert_eq!((error.code(), reason(&error).as_str()), (Code::Unavailable, "VERIFICATION_UNAVAILABLE"));
    assert_eq!(fleet.keys("workspaces/acme", true).await.unwrap(), []);
}

async fn create(fleet: &Fleet, kind: &str, deadline: Option<Duration>) -> Result<ProviderKey, Status> {
    let mut request = Request::new(create_request("workspaces/acme", "anthropic", &key(kind)));
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    Ok(fleet.key_vault().create_provider_key(request).await?.into_inner())
}
