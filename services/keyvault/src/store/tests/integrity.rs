//! Rows that someone wrote to behind the vault's back, and rows that hold what the schema does not promise.

use claviger_core::catalog::AuthType;
use claviger_core::ids::{AgentId, ModelId, PlanId, SessionId, UserId};
use claviger_core::key::{KeyTest, TestResult};
use claviger_core::workspace::{AgentMode, AgentRoute, Consent, SessionBinding};
use sea_orm::{ColumnTrait, ColumnType, EntityTrait, IdenStatic, Iterable};

use super::*;
use crate::store::bound::{Bound, checked};
use crate::store::entity::{agent_routes, provider_keys, session_bindings, workspaces};

both! {
    a_change_of_any_column_is_found,
    an_older_row_put_back_is_found,
    a_row_of_another_resource_is_found,
    a_row_is_bound_to_what_its_event_says,
    a_record_that_was_deleted_is_missed,
    another_key_binds_nothing,
    a_corrupt_key_row_is_a_typed_error_and_never_a_guess,
    a_corrupt_head_workspace_or_epoch_is_a_typed_error,
    whoever_does_not_admit_the_master_keys_opens_nothing,
}

/// All four kinds of bound rows: with every column filled, or with none that can be empty.
async fn one_of_each(store: &Store, filled: bool) {
    let mut acme = workspace("acme");
    let mut stored = key("workspaces/acme/users/ann", "main");
    if filled {
        fill(&mut stored);
        acme.policy.plan = Some(PlanId::parse("pro").unwrap());
        acme.policy.default_provider = Some(ProviderId::parse("openai").unwrap());
        acme.policy.default_model = Some(ModelId::parse("gpt-5").unwrap());
        acme.delete_time = Some(time());
    }
    put_workspace(store, &acme).await.unwrap();
    put(store, &stored).await.unwrap();
    let (route, binding) = (route(&acme.id, filled), binding(&acme.id, filled));
    let job = store.write(move |txn| {
        Box::pin(async move {
            let of = |action, name| event(&tenant("workspaces/acme"), action, name);
            let stamp = txn.record(&of(Action::AgentRouteSet, route.name())).await?;
            txn.put_agent_route(&route, &stamp).await?;
            let name = "workspaces/acme/sessions/s/binding".to_owned();
            let stamp = txn.record(&of(Action::SessionBound, name)).await?;
            Ok(txn.put_session_binding(&binding, &stamp).await?)
        })
    });
    job.await.unwrap();
}

fn fill(stored: &mut StoredKey) {
    stored.key.auth_type = AuthType::ApiKey;
    stored.key.base_url = Some("https://gateway.example".into());
    stored.key.location = Some("eu-west-1".into());
    stored.key.expire_time = Some(time());
    stored.key.revocation = Some(Revocation { time: time(), actor: "ann".into(), reason: "left".into() });
    stored.key.last_test = Some(KeyTest {
        result: TestResult::Valid,
        detail: "fine".into(),
        time: time(),
        http_status: Some(200),
        duration: std::time::Duration::from_millis(5),
    });
}

fn route(workspace: &WorkspaceId, filled: bool) -> AgentRoute {
    AgentRoute {
        workspace: workspace.clone(),
        agent: AgentId::parse("a").unwrap(),
        mode: AgentMode::Auto,
        provider: filled.then(|| ProviderId::parse("openai").unwrap()),
        slug: filled.then(|| KeySlug::parse("main").unwrap()),
        model: filled.then(|| ModelId::parse("gpt-5").unwrap()),
        consent: filled.then_some(Consent::Never),
        create_time: time(),
        update_time: time(),
        updater: "test".into(),
    }
}

fn binding(workspace: &WorkspaceId, filled: bool) -> SessionBinding {
    SessionBinding {
        workspace: workspace.clone(),
        session: SessionId::parse("s").unwrap(),
        slug: KeySlug::parse("main").unwrap(),
        user: filled.then(|| UserId::parse("ann").unwrap()),
        provider: filled.then(|| ProviderId::parse("openai").unwrap()),
        model: filled.then(|| ModelId::parse("gpt-5").unwrap()),
        create_time: time(),
        creator: "test".into(),
        expire_time: time(),
    }
}

async fn a_change_of_any_column_is_found(place: Place) {
    let opened = place.open().await;
    for filled in [true, false] {
        one_of_each(&opened.store, filled).await;
        let changed = walk::<provider_keys::Entity>(&opened, filled).await
            + walk::<workspaces::Entity>(&opened, filled).await
            + walk::<agent_routes::Entity>(&opened, filled).await
            + walk::<session_bindings::Entity>(&opened, filled).await;
        assert!(changed > 60, "{changed} changes are no test");
        for table in ["provider_keys", "workspaces", "agent_routes", "session_bindings"] {
            opened.raw.execute(&format!("DELETE FROM {table}")).await;
        }
    }
}

/// Changes each column of a table's one row, and puts it back; answers how many changes were found.
async fn walk<E>(opened: &Opened, filled: bool) -> usize
where
    E: EntityTrait<Model: Bound>,
{
    let table = E::default().as_str();
    let mut found = 0;
    for column in E::Column::iter() {
        let name = column.as_str();
        for value in others(&column, name, filled, matches!(opened.place, Place::Postgres(_))) {
            opened.raw.execute(&format!("CREATE TABLE good AS SELECT * FROM {table}")).await;
            opened.raw.change(&format!("UPDATE {table} SET {name} = {value}")).await;
            let free = E::Model::FREE.contains(&name);
            assert_eq!(is_intact::<E>(opened).await, free, "{table}.{name} = {value}");
            opened
                .raw
                .execute(&format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM good; DROP TABLE good"))
                .await;
            assert!(is_intact::<E>(opened).await, "{table} is as it was");
            found += usize::from(!free);
        }
    }
    found
}

async fn is_intact<E: EntityTrait<Model: Bound>>(opened: &Opened) -> bool {
    let checked = checked(&opened.raw.0, &opened.store.binder, E::find()).await.unwrap();
    assert_eq!(checked.len(), 1);
    checked[0].1
}

/// Other values for a column, of which none is the one that it has.
fn others(column: &impl ColumnTrait, name: &str, filled: bool, postgres: bool) -> Vec<String> {
    let nothing = column.def().is_null();
    let empty = nothing && !filled;
    let more = match column.def().get_column_type() {
        ColumnType::Boolean => format!("NOT {name}"),
        ColumnType::Integer | ColumnType::BigInteger if empty => "0".into(),
        ColumnType::Integer | ColumnType::BigInteger => format!("{name} + 1"),
        ColumnType::VarBinary(_) | ColumnType::Binary(_) | ColumnType::Blob if postgres => {
            format!("{name} || '\\x00'::bytea")
        }
        ColumnType::VarBinary(_) | ColumnType::Binary(_) | ColumnType::Blob => format!("CAST({name} || 'x' AS BLOB)"),
        _ if empty => "''".into(),
        _ => format!("{name} || 'x'"),
    };
    let mut others = vec![more];
    others.extend((nothing && filled).then(|| "NULL".to_owned()));
    others
}

async fn an_older_row_put_back_is_found(place: Place) {
    let opened = place.open().await;
    let (store, raw) = (&opened.store, &opened.raw);
    let mut acme = workspace("acme");
    put_workspace(store, &acme).await.unwrap();
    let stored = put(store, &key("workspaces/acme", "main")).await.unwrap();
    raw.execute("CREATE TABLE old_keys AS SELECT * FROM provider_keys").await;
    raw.execute("CREATE TABLE old_workspaces AS SELECT * FROM workspaces").await;
    revoke(store, stored.clone()).await;
    acme.policy.read_only = true;
    let newer = acme.clone();
    let job = store.write(move |txn| {
        Box::pin(async move {
            let stamp = txn.record(&of_workspace(&newer, Action::WorkspaceUpdated)).await?;
            Ok(txn.put_workspace(&newer, &stamp).await?)
        })
    });
    job.await.unwrap();
    assert_eq!(store.workspace(&acme.id).await.unwrap().unwrap().value, acme);

    raw.execute("DELETE FROM provider_keys; INSERT INTO provider_keys SELECT * FROM old_keys").await;
    let back = store.key(&stored.key.name).await.unwrap().unwrap();
    assert_eq!((back.key.state, back.intact), (KeyState::Active, false));
    raw.execute("DELETE FROM workspaces; INSERT INTO workspaces SELECT * FROM old_workspaces").await;
    assert!(matches!(store.workspace(&acme.id).await, Err(StoreError::Altered("workspaces", _))));
    assert!(matches!(store.tenant(&tenant("workspaces/acme").into()).await.map(drop), Err(StoreError::Altered(..))));
}

/// The hashes of a log have no key: whoever writes it anew makes them fit, and the rows tell.
async fn a_row_is_bound_to_what_its_event_says(place: Place) {
    let opened = place.open().await;
    let stored = put(&opened.store, &key("workspaces/acme", "main")).await.unwrap();
    if matches!(opened.place, Place::Sqlite(_)) {
        opened.raw.execute("DROP TRIGGER audit_events_no_update").await;
    }
    let own = format!("UPDATE audit_events SET hash = (SELECT mac FROM provider_keys) WHERE seq = {}", stored.seq);
    opened.raw.change(&own).await;
    assert!(!opened.store.key(&stored.key.name).await.unwrap().unwrap().intact);
}

/// The whole of one row under the name of another.
async fn a_row_of_another_resource_is_found(place: Place) {
    let opened = place.open().await;
    let one = put(&opened.store, &key("workspaces/acme", "one")).await.unwrap();
    let two = put(&opened.store, &key("workspaces/acme", "two")).await.unwrap();
    let (one, two) = (one.key.name, two.key.name);
    opened.raw.execute(&format!("DELETE FROM provider_keys WHERE id = '{}'", two.id)).await;
    opened.raw.change(&format!("UPDATE provider_keys SET id = '{}' WHERE id = '{}'", two.id, one.id)).await;
    assert_eq!(opened.store.key(&one).await.unwrap(), None);
    assert!(!opened.store.key(&two).await.unwrap().unwrap().intact);
}

async fn a_record_that_was_deleted_is_missed(place: Place) {
    let opened = place.open().await;
    let acme = workspace("acme");
    assert!(opened.store.workspace(&acme.id).await.unwrap().is_none());
    put_workspace(&opened.store, &acme).await.unwrap();
    let beside = async |name: &str| {
        let owner = owner(name);
        opened.store.write(|txn| Box::pin(async move { Ok(txn.beside(&owner, b"").await?.workspace.is_some()) })).await
    };
    assert!(beside("workspaces/acme").await.unwrap().0);
    opened.raw.change("DELETE FROM workspaces").await;
    assert!(matches!(opened.store.workspace(&acme.id).await, Err(StoreError::Altered("workspaces", _))));
    assert_eq!(beside("workspaces/acme/users/ann").await.unwrap_err().reason, Reason::WorkspaceAltered);
    assert!(!beside("workspaces/other").await.unwrap().0);
    assert!(!beside("platform").await.unwrap().0);
}

async fn another_key_binds_nothing(place: Place) {
    let opened = place.open().await;
    let stored = put(&opened.store, &key("workspaces/acme", "main")).await.unwrap();
    let database = opened.place.database().await.unwrap();
    let (other, _writer) = database.into_store(ServiceKey::generate().unwrap());
    assert!(!other.key(&stored.key.name).await.unwrap().unwrap().intact);
}

async fn a_corrupt_key_row_is_a_typed_error_and_never_a_guess(place: Place) {
    const BAD: [(&str, &str); 11] = [
        ("state", "'ACTIVATED'"),
        ("state", "''"),
        ("auth_type", "'PASSWORD'"),
        ("provider", "'Not A Slug'"),
        ("key_slug", "'../x'"),
        ("allowed_models", "'{}'"),
        ("allowed_models", "'[\"a b\"]'"),
        ("secret_version", "-1"),
        ("create_time", "9223372036854775807"),
        ("revoke_time", "9223372036854775807"),
        ("test_result", "'GOOD'"),
    ];
    let opened = place.open().await;
    let (store, raw) = (&opened.store, &opened.raw);
    let stored = put(store, &key("workspaces/acme", "main")).await.unwrap();
    raw.execute("CREATE TABLE good AS SELECT * FROM provider_keys").await;
    for (column, value) in BAD {
        raw.change(&format!("UPDATE provider_keys SET {column} = {value}")).await;
        let read = store.key(&stored.key.name).await;
        assert!(matches!(read, Err(StoreError::Corrupt("provider_keys"))), "{column} = {value}: {read:?}");
        raw.execute("DELETE FROM provider_keys; INSERT INTO provider_keys SELECT * FROM good").await;
        assert_eq!(store.key(&stored.key.name).await.unwrap().as_ref(), Some(&stored));
    }
    // a row that lost its name is nobody's
    for (column, value) in [("tenant", "'workspaces/'"), ("owner_user", "'an n'")] {
        raw.change(&format!("UPDATE provider_keys SET {column} = {value}")).await;
        assert_eq!(store.key(&stored.key.name).await.unwrap(), None);
        raw.execute("DELETE FROM provider_keys; INSERT INTO provider_keys SELECT * FROM good").await;
    }
}

async fn a_corrupt_head_workspace_or_epoch_is_a_typed_error(place: Place) {
    let opened = place.open().await;
    let (store, raw) = (&opened.store, &opened.raw);
    let acme = workspace("acme");
    put_workspace(store, &acme).await.unwrap();
    raw.change("UPDATE workspaces SET fallback_consent = 'ALWAYS'").await;
    assert!(matches!(store.workspace(&acme.id).await, Err(StoreError::Altered("workspaces", _))));

    raw.execute("INSERT INTO workspace_keys VALUES ('workspaces/other', -1, 'root-1', 'x', 0)").await;
    let read = store.tenant(&tenant("workspaces/other").into()).await.map(drop);
    assert!(matches!(read, Err(StoreError::Corrupt("workspace_keys"))), "{read:?}");

    for head in ["hash = 'x'", "seq = -1"] {
        raw.change(&format!("UPDATE audit_head SET {head}")).await;
        assert!(put(store, &key("workspaces/acme", "main")).await.is_err(), "{head}: nothing is written behind it");
        assert!(store.ping().await.is_err(), "{head}: the vault is not ready");
    }
    raw.change("UPDATE vault SET epoch = 'x'").await;
    assert!(matches!(opened.place.database().await.map(drop), Err(StoreError::Corrupt("vault"))));
}

async fn whoever_does_not_admit_the_master_keys_opens_nothing(place: Place) {
    let refuse = |_: &[MasterKeyRow]| Err(StoreError::Corrupt("test"));
    let refused = Database::open(&place.location(), Prepared::ByItself, refuse).await.map(drop);
    assert!(matches!(refused, Err(StoreError::Corrupt("test"))), "{refused:?}");
    match &place {
        Place::Sqlite(folder) => assert!(!folder.path().join("keyvault.db").exists(), "no database was made"),
        Place::Postgres(schema) => {
            let tables = "SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema()";
            assert_eq!(schema.number(tables).await.unwrap(), 0, "no table was made");
        }
    }
}
