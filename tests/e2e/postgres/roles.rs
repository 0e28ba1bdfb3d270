//! What the service's role may do on the server: no more than it needs, and to the audit log nothing but to add.

use claviger_proto::keyvault_v1 as kv;
use claviger_proto::keyvault_v1::key_vault_client::KeyVaultClient;
use claviger_proto::keyvault_v1::master_keys_client::MasterKeysClient;
use claviger_proto::keyvault_v1::usage_client::UsageClient;
use claviger_proto::keyvault_v1::workspaces_client::WorkspacesClient;
use claviger_proto::keyvault_v1::{
    CreateWorkspaceRequest, ListProviderKeysRequest, RevokeProviderKeyRequest, TestProviderKeyRequest,
};
use claviger_tests::fleet::{create_request, environment, vault_environment};
use claviger_tests::{Fleet, Options, key, postgres};
use sea_orm::{ConnectionTrait, Database};
use tonic::transport::Channel;
use uuid::Uuid;

use crate::mtls::secured::{ROUTING, RUNTIME, Secured};
use crate::startup::place::{Refusal, run};
use crate::usage::feed::{FakeRouting, cooling, reported, resolved, use_of};

const PASSWORD: &str = "a-password";

/// A schema whose service has a role of its own.
struct Prepared {
    schema: postgres::Schema,
    role: String,
}

impl Prepared {
    /// The role is there, and nothing else.
    async fn new() -> Self {
        let schema = postgres::schema().await.unwrap();
        let role = format!("keyvault_{}", Uuid::now_v7().simple());
        schema.alter(&format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")).await.unwrap();
        Self { schema, role }
    }

    fn migrate(&self, more: &[&str]) -> Refusal {
        let owner = environment(&[("CLAVIGER_DATABASE_URL", &self.schema.url)]);
        run(&[&["migrate"], more].concat(), &owner)
    }

    fn url(&self) -> String {
        self.schema.url_as(&self.role, PASSWORD)
    }

    /// Runs a statement as the service could; what the server says when it refuses.
    async fn refused(&self, sql: &str) -> Option<String> {
        let database = Database::connect(self.url()).await.unwrap();
        let done = database.execute_unprepared(sql).await;
        database.close().await.unwrap();
        done.err().map(|error| error.to_string())
    }
}

impl Drop for Prepared {
    /// Roles are the server's and not the schema's: they would stay.
    fn drop(&mut self) {
        let (schema, role) = (self.schema.clone(), self.role.clone());
        let forget = async move { schema.alter(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _ = std::thread::spawn(move || runtime.block_on(forget)).join(); // it is not what is tested
    }
}

/// Outside `--dev`, where the role is looked at, from the first start on.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_runs_whole_with_the_least_role() {
    let prepared = Prepared::new().await;
    let migrated = prepared.migrate(&["--service-role", &prepared.role]);
    migrated.assert_success();
    assert!(migrated.log.contains("ran now") && migrated.log.contains(&prepared.role), "{}", migrated.log);

    let provider = claviger_tests::provider::start().await;
    let folder = tempfile::tempdir().unwrap();
    let catalog = folder.path().join("catalog.toml");
    let text = format!("[[provider]]\nid = \"anthropic\"\nbase_url = {{ default = \"{}\" }}\n", provider.uri());
    std::fs::write(&catalog, text).unwrap();
    let both = environment(&[("CLAVIGER_CATALOG_FILE", &catalog.to_string_lossy())]);
    let vault = environment(&[("CLAVIGER_DATABASE_URL", &prepared.url()), ("CLAVIGER_EGRESS_ALLOW", "127.0.0.1")]);
    let secured = Secured::start_with(&both, &vault).await;
    use_all_of_it(&secured).await;

    assert!(!secured.folder.path().join("data/keyvault.db").exists(), "the server is in its place");
    for table in ["key_uses", "key_health"] {
        assert_eq!(prepared.schema.number(&format!("SELECT COUNT(*) FROM {table}")).await.unwrap(), 0, "{table}");
    }
    let keys = "SELECT COUNT(*) FROM provider_keys WHERE state = 'REVOKED'";
    assert_eq!(prepared.schema.number(keys).await.unwrap(), 1);
    assert!(!secured.vault.log().contains("may change or delete"), "{}", secured.vault.log());
}

async fn use_all_of_it(secured: &Secured) {
    let channel = secured.channel_as(&secured.vault, &[RUNTIME]);
    let mut workspaces = WorkspacesClient::new(channel.clone());
    let request = CreateWorkspaceRequest {
        workspace_id: "acme".into(),
        workspace: Some(Default::default()),
        request_id: Uuid::now_v7().to_string(),
        ..Default::default()
    };
    for _ in 0..2 {
        workspaces.create_workspace(request.clone()).await.unwrap();
    }
    let mut vault = KeyVaultClient::new(channel);
    let mut create = create_request("workspaces/acme", "anthropic", &key("good"));
    create.request_id = Uuid::now_v7().to_string();
    let first = vault.create_provider_key(create.clone()).await.unwrap().into_inner();
    let again = vault.create_provider_key(create).await.unwrap().into_inner();
    assert_eq!(first.name, again.name);
    let name = first.name;
    vault.test_provider_key(TestProviderKeyRequest { name: name.clone(), ..Default::default() }).await.unwrap();
    let list = ListProviderKeysRequest { parent: "workspaces/acme".into(), ..Default::default() };
    assert_eq!(vault.list_provider_keys(list).await.unwrap().into_inner().provider_keys.len(), 1);
    tell_of_it(secured, &mut vault).await;
    change_all_of_it(&mut vault, &mut workspaces).await;
    rotate(&mut MasterKeysClient::new(secured.channel_as(&secured.vault, &[RUNTIME]))).await;
    vault.revoke_provider_key(RevokeProviderKeyRequest { name, ..Default::default() }).await.unwrap();
    let doomed = CreateWorkspaceRequest {
        workspace_id: "doomed".into(),
        workspace: Some(Default::default()),
        ..Default::default()
    };
    workspaces.create_workspace(doomed).await.unwrap();
    vault.create_provider_key(create_request("workspaces/doomed", "anthropic", &key("good"))).await.unwrap();
    let deletion = kv::DeleteWorkspaceRequest { name: "workspaces/doomed".into(), ..Default::default() };
    assert_eq!(workspaces.delete_workspace(deletion).await.unwrap().into_inner().purged_key_count, 1);
}

/// A journal is taken, a reported key tested again, usage summed up, and a key's health forgotten with it.
async fn tell_of_it(secured: &Secured, vault: &mut KeyVaultClient<Channel>) {
    let (replica, channel) = (Uuid::now_v7(), secured.channel_as(&secured.vault, &[ROUTING]));
    let mut routing = FakeRouting::over(channel, replica).await;
    let stored = vault.create_provider_key(create_request("workspaces/acme", "anthropic", &key("good"))).await.unwrap();
    let stored = stored.into_inner();
    let of = use_of(&stored);
    let entries = vec![
        resolved(&of),
        reported(&of, replica, 1, kv::Outcome::InvalidKey),
        cooling(&stored, "", kv::Outcome::RateLimited),
    ];
    for _ in 0..2 {
        assert_eq!(routing.tell(1, entries.clone()).await.unwrap(), 3);
    }
    let get = kv::GetProviderKeyRequest { name: stored.name.clone() };
    let mut shown = stored.clone();
    while shown.last_test == stored.last_test {
        shown = vault.get_provider_key(get.clone()).await.unwrap().into_inner();
    }
    assert_eq!((shown.state(), shown.health.unwrap().cooldowns.len()), (kv::provider_key::State::Active, 0));
    let mut usage = UsageClient::new(secured.channel_as(&secured.vault, &[RUNTIME]));
    let query = kv::QueryUsageRequest { parent: "workspaces/acme".into(), ..Default::default() };
    assert_eq!(usage.query_usage(query).await.unwrap().into_inner().rows[0].calls, 1);
    let callers = kv::ListCallersRequest { key: stored.name.clone(), ..Default::default() };
    assert_eq!(usage.list_callers(callers).await.unwrap().into_inner().callers.len(), 1);
    vault
        .revoke_provider_key(RevokeProviderKeyRequest { name: stored.name.clone(), ..Default::default() })
        .await
        .unwrap();
    vault.purge_provider_key(kv::PurgeProviderKeyRequest { name: stored.name, ..Default::default() }).await.unwrap();
}

/// Each kind of row is changed and, where that can be, deleted.
async fn change_all_of_it(vault: &mut KeyVaultClient<Channel>, workspaces: &mut WorkspacesClient<Channel>) {
    let stored = vault.create_provider_key(create_request("workspaces/acme", "anthropic", &key("good"))).await.unwrap();
    let stored = stored.into_inner();
    let name = stored.name.clone();
    let update = kv::UpdateProviderKeyRequest {
        provider_key: Some(kv::ProviderKey { label: "other".into(), ..stored }),
        update_mask: Some(claviger_proto::FieldMask { paths: vec!["label".into()] }),
        ..Default::default()
    };
    vault.update_provider_key(update).await.unwrap();
    let secret = create_request("", "anthropic", &key("good")).secret;
    let replace = kv::ReplaceProviderKeySecretRequest { name: name.clone(), secret, ..Default::default() };
    vault.replace_provider_key_secret(replace).await.unwrap();

    let route = "workspaces/acme/agents/a/route".to_owned();
    let agent_route = kv::AgentRoute { name: route.clone(), mode: kv::AgentMode::Metered.into(), ..Default::default() };
    for _ in 0..2 {
        let set = kv::SetAgentRouteRequest { agent_route: Some(agent_route.clone()), ..Default::default() };
        workspaces.set_agent_route(set).await.unwrap();
    }
    workspaces.delete_agent_route(kv::DeleteAgentRouteRequest { name: route, ..Default::default() }).await.unwrap();
    let binding = "workspaces/acme/sessions/s/binding".to_owned();
    let session_binding =
        kv::SessionBinding { name: binding.clone(), key_slug: "anthropic".into(), ..Default::default() };
    for _ in 0..2 {
        let bind = kv::BindSessionRequest { session_binding: Some(session_binding.clone()), ..Default::default() };
        workspaces.bind_session(bind).await.unwrap();
    }
    workspaces.unbind_session(kv::UnbindSessionRequest { name: binding, ..Default::default() }).await.unwrap();
    let workspace = kv::Workspace { name: "workspaces/acme".into(), plan: "pro".into(), ..Default::default() };
    let update = kv::UpdateWorkspaceRequest {
        workspace: Some(workspace),
        update_mask: Some(claviger_proto::FieldMask { paths: vec!["plan".into()] }),
        ..Default::default()
    };
    workspaces.update_workspace(update).await.unwrap();

    vault.revoke_provider_key(RevokeProviderKeyRequest { name: name.clone(), ..Default::default() }).await.unwrap();
    vault.purge_provider_key(kv::PurgeProviderKeyRequest { name, ..Default::default() }).await.unwrap();
}

/// New workspace keys, their records sealed anew, the old ones destroyed.
async fn rotate(master_keys: &mut MasterKeysClient<Channel>) {
    let request = kv::RewrapKeysRequest { reseal_made_before: Some(std::time::SystemTime::now().into()) };
    let mut progress = master_keys.rewrap_keys(request).await.unwrap().into_inner();
    let mut last = kv::RewrapKeysResponse::default();
    while let Some(message) = progress.message().await.unwrap() {
        last = message;
    }
    assert!(last.done && last.resealed_records > 0, "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_s_role_cannot_touch_what_was_recorded_and_public_has_nothing() {
    let prepared = Prepared::new().await;
    prepared.migrate(&[]).assert_success();
    let schema = &prepared.schema;
    schema
        .alter(&format!("GRANT ALL ON ALL TABLES IN SCHEMA {} TO PUBLIC, {}", schema.name, prepared.role))
        .await
        .unwrap();
    schema.alter(&format!("GRANT CREATE ON SCHEMA {} TO PUBLIC", schema.name)).await.unwrap();
    prepared.migrate(&["--service-role", &prepared.role]).assert_success();

    for statement in [
        "UPDATE audit_events SET actor = 'x'",
        "UPDATE audit_events SET hash = hash WHERE FALSE",
        "DELETE FROM audit_events",
        "TRUNCATE audit_events",
        "ALTER TABLE audit_events ADD COLUMN x INTEGER",
        "DROP TABLE audit_events",
        "CREATE RULE x AS ON INSERT TO audit_events DO INSTEAD NOTHING",
        "INSERT INTO audit_segments SELECT * FROM audit_segments",
        "UPDATE audit_segments SET last_seq = 9",
        "DELETE FROM audit_segments",
        "DELETE FROM audit_head",
        "DELETE FROM provider_keys",
        "DELETE FROM workspaces",
        "DELETE FROM usage_hours",
        "DELETE FROM journals",
        "UPDATE vault SET epoch = 'x'",
        "DELETE FROM seaql_migrations",
        "INSERT INTO seaql_migrations VALUES ('x', 0)",
        "CREATE TABLE x (y INTEGER)",
    ] {
        let refusal = prepared.refused(statement).await.unwrap_or_else(|| unreachable!("{statement} was done"));
        assert!(refusal.contains("permission denied") || refusal.contains("must be owner"), "{statement}: {refusal}");
    }
    for statement in ["SELECT 1 FROM audit_events", "SELECT 1 FROM audit_segments", "SELECT 1 FROM seaql_migrations"] {
        assert_eq!(prepared.refused(statement).await, None, "{statement}");
    }
    let of_public = format!(
        "SELECT COUNT(*) FROM information_schema.table_privileges WHERE grantee = 'PUBLIC' AND table_schema = '{}'",
        schema.name
    );
    assert_eq!(schema.number(&of_public).await.unwrap(), 0);
}

/// Before it exports anything.
#[tokio::test(flavor = "multi_thread")]
async fn the_service_s_role_cannot_seal_and_is_told_so_at_once() {
    let prepared = Prepared::new().await;
    prepared.migrate(&["--service-role", &prepared.role]).assert_success();
    let fleet = Fleet::start_with(Options { database: Some(prepared.url()), ..Default::default() }).await.unwrap();
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
    let out = fleet.folder.path().join("sealed.jsonl");
    let seal = |url: &str| {
        let place = claviger_tests::fleet::database_environment(fleet.folder.path(), url).unwrap();
        run(&["audit", "seal", "--before", "0h", "--out", &out.to_string_lossy()], &place)
    };
    std::fs::write(&out, "another's").unwrap();
    seal(&prepared.url()).assert_line("the database role may not move events out");
    assert_eq!(std::fs::read(&out).unwrap(), b"another's");
    std::fs::remove_file(&out).unwrap();
    seal(&prepared.url()).assert_line("the database role may not move events out");
    assert!(!out.exists());
    assert_eq!(prepared.schema.number("SELECT COUNT(*) FROM audit_segments").await.unwrap(), 0);

    seal(&prepared.schema.url).assert_success();
    assert_eq!(prepared.schema.number("SELECT COUNT(*) FROM audit_segments").await.unwrap(), 1);
}

/// Each by one line, before anything is made; in development mode a warning is enough.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_with_a_mighty_role_or_without_the_schema_is_refused() {
    let prepared = Prepared::new().await;
    let role = &prepared.role;
    let folder = tempfile::tempdir().unwrap();
    let start = |url: &str| outside_dev(folder.path(), url);
    start(&prepared.schema.url).assert_line("run `claviger-keyvault migrate`");
    assert_pending(&prepared.migrate(&["--check"]));
    prepared.migrate(&["--service-role", "nobody_of_that_name"]).assert_line("no such role");
    prepared.migrate(&["--service-role", role]).assert_success();
    prepared.migrate(&["--check"]).assert_success();
    start(&prepared.schema.url).assert_line("may change or delete audit events");

    let grants = [
        "GRANT UPDATE ON audit_events TO",
        "GRANT UPDATE (actor) ON audit_events TO",
        "GRANT DELETE ON audit_events TO",
        "GRANT TRUNCATE ON audit_events TO",
        "GRANT DELETE ON audit_segments TO",
        "GRANT INSERT ON audit_segments TO",
        "GRANT claviger TO", // a member of the owner can become the owner
    ];
    for grant in grants {
        prepared.schema.alter(&format!("{grant} {role}")).await.unwrap();
        start(&prepared.url()).assert_line("may change or delete audit events");
        if grant == "GRANT claviger TO" {
            prepared.migrate(&["--service-role", role]).assert_line("may change or delete audit events");
            prepared.schema.alter(&format!("REVOKE claviger FROM {role}")).await.unwrap();
        }
        prepared.migrate(&["--service-role", role]).assert_success(); // takes it away again
    }
    prepared.schema.alter("INSERT INTO seaql_migrations VALUES ('m20260101_000001_past', 0)").await.unwrap();
    start(&prepared.url()).assert_line("a version of claviger-keyvault that this one does not know");
    prepared
        .migrate(&["--service-role", role])
        .assert_line("a version of claviger-keyvault that this one does not know");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_mighty_whatever_rights_it_has_now() {
    let prepared = Prepared::new().await;
    let (schema, role) = (&prepared.schema, &prepared.role);
    let folder = tempfile::tempdir().unwrap();
    prepared.migrate(&["--service-role", role]).assert_success();
    for (what, rights) in [
        (format!("SCHEMA {}", schema.name), String::new()),
        ("TABLE audit_events".to_owned(), format!("REVOKE ALL ON audit_events FROM {role}")),
    ] {
        schema.alter(&format!("ALTER {what} OWNER TO {role}; {rights}")).await.unwrap();
        outside_dev(folder.path(), &prepared.url()).assert_line("may change or delete audit events");
        prepared.migrate(&["--service-role", role]).assert_line("may change or delete audit events");
        schema.alter(&format!("ALTER {what} OWNER TO CURRENT_USER")).await.unwrap();
        prepared.migrate(&["--service-role", role]).assert_success();
    }
}

fn assert_pending(checked: &Refusal) {
    assert_eq!(checked.code, Some(1), "{}", checked.log);
    assert!(checked.log.contains("pending: run `claviger-keyvault migrate`"), "{}", checked.log);
}

fn outside_dev(folder: &std::path::Path, url: &str) -> Refusal {
    let key = claviger_tests::fleet::database_environment(folder, url).unwrap();
    crate::mtls::secured::refused(folder, &key)
}

#[tokio::test(flavor = "multi_thread")]
async fn in_development_mode_any_role_serves_and_a_mighty_one_is_warned_of() {
    let prepared = Prepared::new().await;
    let mighty = Options { database: Some(prepared.schema.url.clone()), ..Default::default() };
    let fleet = Fleet::start_with(mighty).await.unwrap();
    assert!(fleet.vault.log().contains("the database role may change or delete audit events"), "{}", fleet.vault.log());
    drop(fleet);

    prepared.schema.alter("DELETE FROM service_keys; DELETE FROM master_keys").await.unwrap();
    prepared.migrate(&["--service-role", &prepared.role]).assert_success();
    let least = Options { database: Some(prepared.url()), ..Default::default() };
    let fleet = Fleet::start_with(least).await.unwrap();
    assert!(!fleet.vault.log().contains("may change or delete"), "{}", fleet.vault.log());
    fleet.create("workspaces/acme", "anthropic", &key("good")).await.unwrap();
}

/// The embedded database has no roles, and one of an unknown release is left as it is.
#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_database_is_migrated_by_the_same_command() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("catalog.toml"), "").unwrap();
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let migrate = |more: &[&str]| run(&[&["migrate", "--data-dir", &data], more].concat(), &[]);
    assert_pending(&migrate(&["--check"]));
    assert!(!folder.path().join("data").exists(), "looking makes nothing");
    let first = migrate(&[]);
    first.assert_success();
    assert!(first.log.contains("m20261121_000002_vault") && first.log.contains("ran now"), "{}", first.log);
    let again = migrate(&[]);
    assert!(again.code == Some(0) && again.log.contains("ran before"), "{}", again.log);
    migrate(&["--service-role", "x"]).assert_line("the embedded database has no roles");

    let file = folder.path().join("data/keyvault.db");
    claviger_tests::database::alter(
        &file,
        "UPDATE seaql_migrations SET version = 'm20261121_000001_unreleased' WHERE version LIKE '%_vault'",
    )
    .await
    .unwrap();
    let before = std::fs::read(&file).unwrap();
    migrate(&[]).assert_line("a version of claviger-keyvault that this one does not know");
    let key_file = folder.path().join("data/master.key");
    run(&["keyring", "generate", "--out", &key_file.to_string_lossy()], &[]).assert_success();
    let started = crate::startup::place::refuse(&vault_environment(folder.path()));
    started.assert_line("use that version, or another (or no) database");
    assert_eq!(std::fs::read(&file).unwrap(), before);
}
