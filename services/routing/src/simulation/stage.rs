//! A workspace of a few keys, as the vault would tell routing of it.

use claviger_core::catalog::AuthType;
use claviger_core::ids::{KeyId, KeySlug, ProviderId, Tenant, WorkspaceId};
use claviger_core::key::KeyState;
use claviger_core::route::{CredentialState, RouteKey, WorkspaceView};
use claviger_core::workspace::{Consent, Policy};
use claviger_proto::routing::Ask;
use claviger_proto::routing_v1::ResolveKeyRequest;
use uuid::Uuid;

use super::START;
use crate::feed::TenantView;
use crate::resolve::Scene;

/// Keys of one provider in the order of preference. Nobody pays but the workspace.
pub(crate) fn scene(keys: usize) -> Scene {
    let policy = Policy { consent: Consent::Never, ..Policy::default() };
    let keys = (0..keys).map(key).collect();
    let view = WorkspaceView { policy, keys, ..WorkspaceView::default() };
    let workspace = Tenant::Workspace(WorkspaceId::parse("acme").unwrap());
    Scene::of(TenantView::of(workspace, view), TenantView::of(Tenant::Platform, WorkspaceView::default()))
}

fn key(number: usize) -> RouteKey {
    RouteKey {
        id: KeyId::new(Uuid::from_u128(number as u128 + 1)),
        user: None,
        provider: ProviderId::parse("openai").unwrap(),
        auth_type: AuthType::ApiKey,
        slug: KeySlug::parse(&format!("key-{number}")).unwrap(),
        label: String::new(),
        masked: String::new(),
        priority: i32::try_from(number).unwrap(),
        base_url: None,
        location: None,
        allowed_models: Vec::new(),
        state: KeyState::Active,
        secret_version: 1,
        create_time: START,
        expire_time: None,
        last_test: None,
        credential: CredentialState::Ready,
        credential_expire_time: None,
    }
}

/// A call that has tried some keys.
pub(crate) fn ask(tried: &[usize]) -> Ask {
    let exclude_key_ids = tried.iter().map(|key| Uuid::from_u128(*key as u128 + 1).to_string()).collect();
    let request = ResolveKeyRequest {
        workspace: "workspaces/acme".into(),
        provider: "openai".into(),
        model: "gpt-5".into(),
        exclude_key_ids,
        ..ResolveKeyRequest::default()
    };
    request.try_into().unwrap()
}
