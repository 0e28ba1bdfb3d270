//! Every reason of the contract can be met over the wire, with its own code.

use claviger_core::reason::Reason;
use claviger_proto::keyvault_v1::key_feed_client::KeyFeedClient;
use claviger_proto::keyvault_v1::{
    CreateWorkspaceRequest, GetProviderRequest, GetWorkspaceRequest, LoadTenant, Outcome, ProviderKey,
    PurgeProviderKeyRequest, StartProviderOAuthRequest, SubscribeRequest, Verification, Workspace, secret,
    subscribe_request,
};
use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_proto::status::code;
use claviger_tests::fleet::{create_request, resolve_request};
use claviger_tests::raw::{self, field};
use claviger_tests::{Fleet, database, key, key_for, reason, refuse, wire};
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::flow::{edit, service_account, with_secret};
use crate::mtls::secured::{RUNTIME, Secured};
use crate::routing::report;
use crate::usage::feed::FakeRouting;
use crate::workspaces;

#[tokio::test(flavor = "multi_thread")]
async fn every_reason_can_be_met() {
    let fleet = Fleet::start().await.unwrap();
    for wanted in Reason::ALL {
        let refused = provoke(*wanted, &fleet).await;
        assert_eq!(reason(&refused), wanted.as_str());
        assert_eq!(refused.code(), code(*wanted), "{wanted:?}");
        assert_ne!(refused.code(), Code::Ok);
    }
}

/// Meets one reason. Without a wildcard, so that a new reason does not compile here.
async fn provoke(reason: Reason, fleet: &Fleet) -> Status {
    match reason {
        Reason::InvalidProviderKey => refused_key(fleet, &key("bad"), |_| ()).await,
        Reason::MalformedProviderKey => refused_key(fleet, "short", |_| ()).await,
        Reason::VerificationUnavailable => refused_key(fleet, &key("broken"), |_| ()).await,
        Reason::BaseUrlNotAllowed => refused_key(fleet, &key("good"), |k| k.base_url = "https://10.0.0.1".into()).await,
        Reason::InvalidField => refused_key(fleet, &key("good"), |k| k.key_slug = "No".into()).await,
        Reason::RentabilityNotAvailable => refused_key(fleet, &key("good"), |k| k.rentable = true).await,
        Reason::KeySlugTaken => slug_taken(fleet).await,
        Reason::TooManyKeys => too_many_keys(fleet).await,
        Reason::KeyNotFound => fleet.resolve(pin("nobody-s")).await.unwrap_err(),
        Reason::ProviderNotFound => provider_not_found(fleet).await,
        Reason::WorkspaceNotFound => workspace_not_found(fleet).await,
        Reason::WorkspaceExists => workspace_exists(fleet).await,
        Reason::KeyRevoked => key_revoked(fleet).await,
        Reason::KeyDisabled => key_disabled(fleet).await,
        Reason::WorkspaceReadOnly => {
            refused_by(fleet, "locked", Workspace { read_only: true, ..Default::default() }).await
        }
        Reason::PlanRequired => plan_required().await,
        Reason::ProviderNotAllowed => provider_not_allowed(fleet).await,
        Reason::WorkspaceAltered => workspace_altered(fleet).await,
        Reason::RouteNotFound => workspaces::route(fleet, "acme", "nobody").await.unwrap_err(),
        Reason::BindingNotFound => workspaces::bound(fleet, "acme", "nobody").await.unwrap_err(),
        Reason::EtagMismatch => etag_mismatch(fleet).await,
        Reason::RequestIdReused => request_id_reused(fleet).await,
        Reason::OauthNotAvailable => oauth_not_available(fleet).await,
        Reason::KeyNotRevoked => key_not_revoked(fleet).await,
        Reason::KeyAltered => key_altered(fleet).await,
        Reason::KeyExpired => key_expired(fleet).await,
        Reason::KeyInvalid => key_invalid(fleet).await,
        Reason::KeyUnreadable => altered(fleet, "unreadable", "sealed = zeroblob(length(sealed))").await,
        Reason::CredentialUnavailable => credential_unavailable(fleet).await,
        Reason::ProviderMismatch => {
            mismatch(fleet, ResolveKeyRequest { provider: "openai".into(), ..pin("one") }).await
        }
        Reason::ModelNotAllowed => mismatch(fleet, ResolveKeyRequest { model: "other".into(), ..pin("one") }).await,
        Reason::NeedUnspecified => fleet.resolve(resolve_request("workspaces/nothing")).await.unwrap_err(),
        Reason::NoEligibleKey => no_eligible_key(fleet).await,
        Reason::AllKeysCooling => crate::routing::all_cooling(fleet).await,
        Reason::ResolutionInvalid => report(fleet, "made-up", Outcome::Ok).await.unwrap_err(),
        Reason::ResolutionExpired => resolution_expired(fleet).await,
        Reason::VaultUnavailable => vault_unavailable().await,
        Reason::VaultRewound => vault_rewound(fleet).await,
        Reason::HandshakeFailed => handshake_failed(fleet).await,
        Reason::JournalGap => journal_gap(fleet).await,
        Reason::PayloadTooLarge => get_provider(fleet, &"x".repeat(70 * 1024)).await,
        Reason::MalformedRequest => raw_call(fleet, "GetProviderKey", &[], b"\xff").await,
        Reason::MethodNotFound => raw_call(fleet, "RentProviderKey", &[], b"").await,
        Reason::ServiceNotFound => service_not_found(fleet).await,
        Reason::DeadlineExceeded => deadline_exceeded(fleet).await,
        Reason::StorageUnavailable => storage_unavailable(fleet).await,
        Reason::Internal => internal(fleet).await,
        Reason::CallerUnknown => identified(&[]).await,
        Reason::NotAllowed => identified(&[RUNTIME]).await,
    }
}

async fn key_disabled(fleet: &Fleet) -> Status {
    stored(fleet, "disabled", |k| k.disabled = true).await;
    fleet.resolve(pin("disabled")).await.unwrap_err()
}

async fn provider_not_allowed(fleet: &Fleet) -> Status {
    let openai = Workspace { allowed_providers: vec!["openai".into()], ..Default::default() };
    refused_by(fleet, "narrow", openai).await
}

async fn resolution_expired(fleet: &Fleet) -> Status {
    let earlier = crate::routing::resolved_earlier(fleet, time::Duration::minutes(61)).await;
    report(fleet, &earlier, Outcome::Ok).await.unwrap_err()
}

const WORKSPACE: &str = "workspaces/acme";

async fn refused_key(fleet: &Fleet, secret: &str, change: impl Fn(&mut ProviderKey)) -> Status {
    let mut request = create_request(WORKSPACE, "anthropic", secret);
    change(edit(&mut request));
    fleet.store(request).await.unwrap_err()
}

/// A good key with this slug.
async fn stored(fleet: &Fleet, slug: &str, change: impl Fn(&mut ProviderKey)) -> ProviderKey {
    let mut request = create_request(WORKSPACE, "anthropic", &key("good"));
    edit(&mut request).key_slug = slug.to_owned();
    change(edit(&mut request));
    fleet.store(request).await.unwrap()
}

fn pin(slug: &str) -> ResolveKeyRequest {
    ResolveKeyRequest { key_slug: slug.to_owned(), ..resolve_request(WORKSPACE) }
}

async fn slug_taken(fleet: &Fleet) -> Status {
    stored(fleet, "taken", |_| ()).await;
    refused_key(fleet, &key("good"), |k| k.key_slug = "taken".into()).await
}

/// One real key, and 999 copies of its row.
async fn too_many_keys(fleet: &Fleet) -> Status {
    const SAME: &str = "tenant, owner_user, provider, auth_type, label, masked_secret, last_four, rotation_priority, \
        allowed_models, state, secret_version, sealed, workspace_key, fingerprint, create_time, creator, update_time, last_seq, mac";
    fleet.create("workspaces/full", "anthropic", &key("good")).await.unwrap();
    let sql = format!(
        "INSERT INTO provider_keys (id, key_slug, {SAME}) \
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999) \
         SELECT printf('00000000-0000-7000-8000-%012x', i), 'copy-' || i, {SAME} \
         FROM provider_keys, n WHERE tenant = 'workspaces/full'"
    );
    database::alter(&fleet.database(), &sql).await.unwrap();
    fleet.create("workspaces/full", "anthropic", &key("good")).await.unwrap_err()
}

async fn provider_not_found(fleet: &Fleet) -> Status {
    get_provider(fleet, "providers/nobody").await
}

async fn get_provider(fleet: &Fleet, name: &str) -> Status {
    fleet.catalog().get_provider(GetProviderRequest { name: name.to_owned() }).await.unwrap_err()
}

async fn workspace_not_found(fleet: &Fleet) -> Status {
    let get = GetWorkspaceRequest { name: "workspaces/nobody".into() };
    fleet.workspaces().get_workspace(get).await.unwrap_err()
}

async fn oauth_not_available(fleet: &Fleet) -> Status {
    let start = StartProviderOAuthRequest { parent: WORKSPACE.into(), provider: "claude".into(), ..Default::default() };
    fleet.key_vault().start_provider_o_auth(start).await.unwrap_err()
}

async fn key_not_revoked(fleet: &Fleet) -> Status {
    let name = stored(fleet, "living", |_| ()).await.name;
    fleet.key_vault().purge_provider_key(PurgeProviderKeyRequest { name, ..Default::default() }).await.unwrap_err()
}

async fn key_altered(fleet: &Fleet) -> Status {
    let name = stored(fleet, "relabelled", |_| ()).await.name;
    let sql = "UPDATE provider_keys SET label = 'x' WHERE key_slug = 'relabelled'";
    database::alter(&fleet.database(), sql).await.unwrap();
    fleet.test(&name).await.unwrap_err()
}

async fn workspace_exists(fleet: &Fleet) -> Status {
    fleet.make_workspace("twice", Workspace::default()).await.unwrap();
    fleet.make_workspace("twice", Workspace::default()).await.unwrap_err()
}

/// A policy that admits no key of anthropic's.
async fn refused_by(fleet: &Fleet, id: &str, policy: Workspace) -> Status {
    fleet.make_workspace(id, policy).await.unwrap();
    fleet.create(&format!("workspaces/{id}"), "anthropic", &key("good")).await.unwrap_err()
}

async fn plan_required() -> Status {
    let fleet = workspaces::fleet(&[("CLAVIGER_BYOK_PLANS", "pro")], &[]).await;
    refused_by(&fleet, "free", Workspace { plan: "free".into(), ..Default::default() }).await
}

async fn workspace_altered(fleet: &Fleet) -> Status {
    fleet.make_workspace("altered", Workspace::default()).await.unwrap();
    let sql = "UPDATE workspaces SET plan = 'pro' WHERE id = 'altered'";
    database::alter(&fleet.database(), sql).await.unwrap();
    workspaces::get(fleet, "altered").await.unwrap_err()
}

async fn etag_mismatch(fleet: &Fleet) -> Status {
    fleet.make_workspace("edited", Workspace::default()).await.unwrap();
    let stale = Workspace { etag: "0".into(), ..Default::default() };
    workspaces::update(fleet, workspaces::change("edited", &["plan"], stale)).await.unwrap_err()
}

async fn request_id_reused(fleet: &Fleet) -> Status {
    let request =
        |id: &str| CreateWorkspaceRequest { workspace_id: id.into(), request_id: "twice".into(), ..Default::default() };
    fleet.workspaces().create_workspace(request("first")).await.unwrap();
    fleet.workspaces().create_workspace(request("second")).await.unwrap_err()
}

async fn key_revoked(fleet: &Fleet) -> Status {
    let name = stored(fleet, "revoked", |_| ()).await.name;
    fleet.revoke(&name).await.unwrap();
    fleet.resolve(pin("revoked")).await.unwrap_err()
}

/// Pins a key whose row was changed behind the vault's back.
async fn altered(fleet: &Fleet, slug: &str, change: &str) -> Status {
    stored(fleet, slug, |_| ()).await;
    fleet.resolve(pin(slug)).await.unwrap(); // it is the change that matters
    let sql = format!("UPDATE provider_keys SET {change} WHERE key_slug = '{slug}'");
    database::alter(&fleet.database(), &sql).await.unwrap();
    fleet.resolve(pin(slug)).await.unwrap_err()
}

async fn key_expired(fleet: &Fleet) -> Status {
    let mut soon = stored(fleet, "model", |_| ()).await.create_time.unwrap();
    soon.seconds += 2;
    stored(fleet, "short-lived", |k| k.expire_time = Some(soon)).await;
    let first = fleet.resolve(pin("short-lived")).await.unwrap();
    assert_eq!(first.expire_time, Some(soon), "no longer than the key");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    fleet.resolve(pin("short-lived")).await.unwrap_err()
}

async fn key_invalid(fleet: &Fleet) -> Status {
    let secret = key("good");
    let mut request = create_request(WORKSPACE, "anthropic", &secret);
    edit(&mut request).key_slug = "dropped".into();
    let name = fleet.store(request).await.unwrap().name;
    let _refusing = refuse(&fleet.provider, &secret).await;
    fleet.test(&name).await.unwrap();
    fleet.resolve(pin("dropped")).await.unwrap_err()
}

async fn credential_unavailable(fleet: &Fleet) -> Status {
    let (file, _) = service_account("0123456789abcdef");
    let mut request = with_secret(WORKSPACE, "vertex", secret::Kind::ServiceAccountJson(file));
    request.verification = Verification::Skip.into();
    let slug = fleet.store(request).await.unwrap().key_slug;
    fleet.resolve(pin(&slug)).await.unwrap_err()
}

/// Pins a key that is for another need; made by the first who asks.
async fn mismatch(fleet: &Fleet, ask: ResolveKeyRequest) -> Status {
    if fleet.resolve(pin("one")).await.is_err() {
        stored(fleet, "one", |k| k.allowed_models = vec!["small".into()]).await;
    }
    fleet.resolve(ask).await.unwrap_err()
}

async fn no_eligible_key(fleet: &Fleet) -> Status {
    let ask = ResolveKeyRequest { category: "video".into(), ..resolve_request(WORKSPACE) };
    fleet.resolve(ask).await.unwrap_err()
}

async fn vault_unavailable() -> Status {
    let mut fleet = Fleet::start().await.unwrap();
    fleet.vault.kill().unwrap();
    let ask = ResolveKeyRequest { category: "llm".into(), ..resolve_request(WORKSPACE) };
    fleet.resolve(ask).await.unwrap_err()
}

async fn vault_rewound(fleet: &Fleet) -> Status {
    let token = stored(fleet, "now", |_| ()).await.consistency_token;
    let ask = ResolveKeyRequest { consistency_token: format!("{token}0"), ..pin("now") };
    fleet.resolve(ask).await.unwrap_err()
}

async fn handshake_failed(fleet: &Fleet) -> Status {
    let endpoint = Endpoint::from_shared(format!("http://{}", fleet.vault.address("grpc"))).unwrap();
    let load = LoadTenant { load_id: 1, tenant: "platform".into(), ..Default::default() };
    let first = SubscribeRequest { message: Some(subscribe_request::Message::LoadTenant(load)) };
    let mut client = KeyFeedClient::new(endpoint.connect_lazy());
    client.subscribe(tokio_stream::iter([first])).await.unwrap_err()
}

async fn journal_gap(fleet: &Fleet) -> Status {
    let mut routing = FakeRouting::subscribe(&fleet.vault, uuid::Uuid::now_v7()).await;
    routing.tell(2, vec![Default::default()]).await.unwrap_err()
}

async fn raw_call(fleet: &Fleet, method: &str, headers: &[(&str, &str)], body: &[u8]) -> Status {
    let method = format!("claviger.keyvault.v1.KeyVault/{method}");
    raw::call(fleet.vault.address("grpc"), &method, headers, body).await.unwrap()
}

async fn service_not_found(fleet: &Fleet) -> Status {
    let endpoint = Endpoint::from_shared(format!("http://{}", fleet.vault.address("grpc"))).unwrap();
    let request = HealthCheckRequest { service: "claviger.keyvault.v1.Rent".into() };
    HealthClient::new(endpoint.connect_lazy()).check(request).await.unwrap_err()
}

/// Without a stub, whose own clock would end the call first.
async fn deadline_exceeded(fleet: &Fleet) -> Status {
    let parent = field(1, WORKSPACE.as_bytes());
    let provider_key = field(2, &field(3, b"anthropic"));
    let secret = field(3, &field(1, key_for("sk-ant-api03-", "slow").as_bytes()));
    let request = [parent, provider_key, secret].concat();
    raw_call(fleet, "CreateProviderKey", &[("grpc-timeout", "300m")], &request).await
}

/// The feed of a vault outside of `--dev`, asked by a caller whose certificate has these names.
async fn identified(names: &[&str]) -> Status {
    let secured = Secured::start().await;
    let channel = secured.channel_as(&secured.vault, names);
    wire::call(&channel, "claviger.keyvault.v1.KeyFeed/Subscribe").await.unwrap_err()
}

async fn storage_unavailable(fleet: &Fleet) -> Status {
    database::alter(&fleet.database(), "ALTER TABLE provider_keys RENAME TO hidden").await.unwrap();
    let refused = fleet.keys(WORKSPACE, false).await.unwrap_err();
    database::alter(&fleet.database(), "ALTER TABLE hidden RENAME TO provider_keys").await.unwrap();
    fleet.keys(WORKSPACE, false).await.unwrap(); // it is back as soon as the database is
    refused
}

async fn internal(fleet: &Fleet) -> Status {
    let name = stored(fleet, "corrupt", |_| ()).await.name;
    let sql = "UPDATE provider_keys SET allowed_models = '!' WHERE key_slug = 'corrupt'";
    database::alter(&fleet.database(), sql).await.unwrap();
    fleet.test(&name).await.unwrap_err()
}
