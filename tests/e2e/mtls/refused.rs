//! Who was refused for its identity is on record, counted and not call by call.

use std::time::Duration;

use claviger_tests::{Signal, audit, database, wire};

use super::secured::Secured;

#[tokio::test(flavor = "multi_thread")]
async fn refused_callers_are_recorded_at_the_latest_when_the_vault_stops() {
    let mut secured = Secured::start().await;
    let nobody = secured.channel_as(&secured.vault, &["spiffe://other.org/claviger/routing"]);
    for _ in 0..5 {
        wire::call(&nobody, "claviger.keyvault.v1.KeyVault/GetProviderKey").await.unwrap_err();
    }
    secured.vault.signal(Signal::TERM).unwrap();
    assert!(secured.vault.wait(Duration::from_secs(10)).unwrap().success(), "{}", secured.vault.log());

    let file = secured.folder.path().join("data/keyvault.db");
    let events = audit::events(&file).await.unwrap();
    assert!(events.iter().all(|event| event.action == "callers.refused" && event.actor == "keyvault"), "{events:?}");
    let counted = "SELECT CAST(SUM(json_extract(details, '$.count')) AS INTEGER) FROM audit_events \
                   WHERE json_extract(details, '$.refused_peer') = '127.0.0.1' \
                   AND json_extract(details, '$.reason') = 'CALLER_UNKNOWN' \
                   AND json_extract(details, '$.minute') LIKE '20%:00Z'";
    assert_eq!(database::number(&file, counted).await.unwrap(), 5);
    assert!(events.len() <= 2, "one event a minute: {events:?}");
    let head = format!("{}:", events.len());
    assert!(secured.vault.log().lines().any(|line| line.contains("audit head") && line.contains(&head)), "after them");
}
