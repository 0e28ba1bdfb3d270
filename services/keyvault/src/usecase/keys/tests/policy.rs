//! What a workspace's policy keeps from being done, and what it never does.

use claviger_core::command::{PurgeKey, ReorderGroup, ReorderKeys, ReplaceSecret, RevokeKey, RevokeLeaked, RevokeUser};
use claviger_core::ids::PlanId;
use claviger_core::key::KeyState;

use super::*;

both! {
    a_read_only_workspace_lets_keys_end_and_nothing_else,
    the_plan_and_the_allowed_providers_gate_new_secrets_alone,
    an_expired_key_connects_nothing,
}

fn replace(name: &KeyName) -> ReplaceSecret {
    ReplaceSecret {
        name: name.clone(),
        secret: secret(),
        base_url: None,
        location: None,
        verification: Verification::Skip,
        etag: None,
    }
}

fn reorder(first: &KeyName, second: &KeyName) -> ReorderKeys {
    let group = ReorderGroup::Provider(ProviderId::parse("anthropic").unwrap());
    ReorderKeys { owner: first.owner.clone(), group, names: vec![first.clone(), second.clone()] }
}

fn reason<T>(answer: Result<Answer<T>, Fault>) -> Reason {
    answer.map(drop).unwrap_err().reason
}

async fn a_read_only_workspace_lets_keys_end_and_nothing_else(place: Place) {
    let vault = Vault::open(place, "").await;
    let keys = &vault.keys;
    let leaked = secret();
    let one = vault.create(new("workspaces/acme", None)).await.key.name;
    let two = vault.create(NewKey { secret: leaked.clone(), ..new("workspaces/acme", None) }).await.key.name;
    vault.create(new("workspaces/acme/users/ann", None)).await;
    vault.set_policy(Policy { read_only: true, ..Policy::default() }).await;
    let seq = keys.store.seq().await.unwrap();

    assert_eq!(reason(keys.update(relabel(&one), by("ann")).await), Reason::WorkspaceReadOnly);
    assert_eq!(reason(keys.replace(replace(&one), by("ann")).await), Reason::WorkspaceReadOnly);
    assert_eq!(reason(keys.reorder(reorder(&two, &one), by("ann")).await), Reason::WorkspaceReadOnly);
    let create = CreateKey { key: new("workspaces/acme", None), validate_only: false };
    assert_eq!(reason(keys.create(create, by("ann")).await), Reason::WorkspaceReadOnly);
    assert_eq!(keys.store.seq().await.unwrap(), seq);

    let note = String::new;
    let revoked = done(keys.revoke(RevokeKey { name: one.clone(), reason: note() }, by("ann")).await);
    assert_eq!(revoked.key.state, KeyState::Revoked);
    let all = done(keys.revoke_leaked(RevokeLeaked { secret: leaked, reason: note() }, by("ann")).await);
    assert_eq!(all.iter().map(|stored| &stored.key.name).collect::<Vec<_>>(), [&two]);
    let ann = Owner::parse("workspaces/acme/users/ann").unwrap();
    assert_eq!(done(keys.revoke_user(RevokeUser { owner: ann, reason: note() }, by("ann")).await), 1);
    assert_eq!(done(keys.purge(PurgeKey { name: one }, by("ann")).await).key.state, KeyState::Purged);
}

async fn the_plan_and_the_allowed_providers_gate_new_secrets_alone(place: Place) {
    let vault = Vault::open(place, "pro").await;
    let keys = &vault.keys;
    let pro = Policy { plan: Some(PlanId::parse("pro").unwrap()), ..Policy::default() };
    // the platform has no plan
    let key = vault.create(new("platform", None)).await.key.name;
    done(keys.replace(replace(&key), by("ann")).await);
    let create = CreateKey { key: new("workspaces/acme", None), validate_only: false };
    assert_eq!(reason(keys.create(create, by("ann")).await), Reason::PlanRequired);

    let acme = Tenant::parse("workspaces/acme").unwrap();
    let workspace = record(acme.workspace().unwrap().clone(), pro.clone(), now(), &origin("ann"));
    let made = keys.store.write(move |txn| {
        Box::pin(async move { crate::usecase::workspaces::created(txn, &workspace, &origin("ann")).await })
    });
    made.await.unwrap();
    let name = vault.create(new("workspaces/acme", None)).await.key.name;
    done(keys.replace(replace(&name), by("ann")).await);
    vault.set_policy(Policy { plan: None, ..pro.clone() }).await;
    assert_eq!(reason(keys.replace(replace(&name), by("ann")).await), Reason::PlanRequired);
    done(keys.update(relabel(&name), by("ann")).await);
    let openai = vec![ProviderId::parse("openai").unwrap()];
    vault.set_policy(Policy { allowed_providers: openai, ..pro }).await;
    assert_eq!(reason(keys.replace(replace(&name), by("ann")).await), Reason::ProviderNotAllowed);
}

async fn an_expired_key_connects_nothing(place: Place) {
    let vault = Vault::open(place, "").await;
    let soon = now() + std::time::Duration::from_millis(500);
    let acme = Owner::parse("workspaces/acme").unwrap();
    vault.create(NewKey { expire_time: Some(soon), ..new("workspaces/acme", None) }).await;
    if now() < soon {
        let connected = vault.keys.connected(&acme).await.unwrap();
        assert!(connected.len() == 1 || now() >= soon, "{connected:?}");
    }
    while now() < soon {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(vault.keys.connected(&acme).await.unwrap(), []);
}
