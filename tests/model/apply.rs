//! Each call made at the vault and at the model: both must say the same.

mod reads;
mod workspaces;

use claviger_proto::keyvault_v1 as kv;
use claviger_proto::keyvault_v1::key_vault_server::KeyVault;
use claviger_proto::status;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use tonic::{Request, Response, Status};

use crate::expect::{Key, Model, Reason, State};
use crate::ops::{Etag, Op, PROVIDERS};
use crate::world::World;

pub(crate) use reads::compare;
use reads::{connected, list};
use workspaces::{bind, delete_route, delete_workspace, set_policy, set_route, unbind};

type Outcome = Result<(), TestCaseError>;

/// A mutation that was done, as it can be sent again, and its answer.
#[derive(Debug, Clone)]
pub(crate) enum Sent {
    Create(kv::CreateProviderKeyRequest, kv::ProviderKey),
    Update(kv::UpdateProviderKeyRequest, kv::ProviderKey),
    Replace(kv::ReplaceProviderKeySecretRequest, kv::ProviderKey),
    Revoke(kv::RevokeProviderKeyRequest, kv::RevokeProviderKeyResponse),
}

/// Makes one call.
pub(crate) async fn apply(world: &World, model: &mut Model, op: &Op, number: usize) -> Outcome {
    let id = format!("{}-{number}", model.workspace.replace('/', "."));
    match op {
        Op::Create { .. } => create(world, model, op, id).await,
        Op::Update { .. } => update(world, model, op, id).await,
        Op::Replace { key, secret, etag } => replace(world, model, *key, *secret, *etag, id).await,
        Op::Reorder { owner, provider, turn, lacking } => {
            reorder(world, model, *owner, *provider, *turn, *lacking).await
        }
        Op::Revoke { key } => revoke(world, model, *key, id).await,
        Op::Purge { key } => purge(world, model, *key).await,
        Op::RevokeUser { owner } => revoke_user(world, model, *owner).await,
        Op::RevokeLeaked { secret } => revoke_leaked(world, model, *secret).await,
        Op::SetPolicy { read_only, provider, stale } => set_policy(world, model, *read_only, *provider, *stale).await,
        Op::SetRoute { agent, provider, slug } => set_route(world, model, *agent, *provider, *slug).await,
        Op::DeleteRoute { agent } => delete_route(world, model, *agent).await,
        Op::Bind { session, owner, slug } => bind(world, model, *session, *owner, slug).await,
        Op::Unbind { session } => unbind(world, model, *session).await,
        Op::DeleteWorkspace => delete_workspace(world, model).await,
        Op::List { owner, provider, show_revoked, size } => {
            list(world, model, *owner, *provider, *show_revoked, *size).await
        }
        Op::Connected { owner } => connected(world, model, *owner).await,
        Op::Again { other_body } => again(world, model, *other_body).await,
    }
}

/// The answer, if the vault answers where the model does, or refuses for the same reason.
fn same<T>(
    what: &str,
    got: Result<Response<T>, Status>,
    expected: Result<(), Reason>,
) -> Result<Option<T>, TestCaseError> {
    match (got, expected) {
        (Ok(answer), Ok(())) => Ok(Some(answer.into_inner())),
        (Err(refused), Err(reason)) => {
            let why = status::reason(&refused).unwrap_or_default();
            prop_assert_eq!(why, reason, "{}: {}", what, refused.message());
            Ok(None)
        }
        (Ok(_), Err(reason)) => Err(TestCaseError::fail(format!("{what}: done, the model refuses: {reason}"))),
        (Err(refused), Ok(())) => Err(TestCaseError::fail(format!("{what}: refused: {refused:?}"))),
    }
}

async fn create(world: &World, model: &mut Model, op: &Op, id: String) -> Outcome {
    let Op::Create { owner, provider, slug, secret, priority, disabled } = *op else { unreachable!() };
    let text = model.secret(secret, provider);
    let request = kv::CreateProviderKeyRequest {
        parent: model.parent(owner),
        provider_key: Some(kv::ProviderKey {
            provider: PROVIDERS[provider].to_owned(),
            key_slug: slug.unwrap_or_default().to_owned(),
            rotation_priority: priority,
            disabled,
            ..Default::default()
        }),
        secret: Some(kv::Secret { kind: Some(kv::secret::Kind::ApiKey(text)) }),
        verification: kv::Verification::Skip.into(),
        request_id: id,
        ..Default::default()
    };
    let expected = model.admits(provider).and_then(|()| model.slug_for(owner, provider, slug));
    let got = world.keys.create_provider_key(Request::new(request.clone())).await;
    let Some(key) = same("create", got, expected.clone().map(drop))? else { return Ok(()) };
    (model.exists, model.deleted) = (true, false);
    model.keys.push(Key {
        name: key.name.clone(),
        etag: key.etag.clone(),
        owner,
        provider,
        slug: expected.unwrap_or_default(),
        label: String::new(),
        secret,
        version: 1,
        priority,
        state: if disabled { State::Disabled } else { State::Active },
    });
    let newest = model.keys.len() - 1;
    matches(&key, model, newest)?;
    model.newest = Some(Sent::Create(request, key));
    Ok(())
}

/// A key's message says what the model has.
fn matches(key: &kv::ProviderKey, model: &Model, index: usize) -> Outcome {
    use kv::provider_key::State as Wire;
    let expected = &model.keys[index];
    let state = match key.state() {
        Wire::Active => State::Active,
        Wire::Disabled => State::Disabled,
        Wire::Revoked => State::Revoked,
        Wire::Purged => State::Purged,
        other => return Err(TestCaseError::fail(format!("{other:?}"))),
    };
    let provider = PROVIDERS.iter().position(|id| *id == key.provider);
    prop_assert_eq!(
        (&key.name, provider, &key.key_slug, &key.label, key.secret_version, key.rotation_priority, state, key.altered),
        (
            &expected.name,
            Some(expected.provider),
            &expected.slug,
            &expected.label,
            expected.version,
            expected.priority,
            expected.state,
            false
        )
    );
    Ok(())
}

fn etag_of(key: &Key, etag: Etag) -> String {
    match etag {
        Etag::None => String::new(),
        Etag::Present => key.etag.clone(),
        Etag::Stale => "0".to_owned(),
    }
}

/// What must hold of a key that is changed.
fn changeable(model: &Model, index: usize, etag: Etag) -> Result<(), Reason> {
    if model.keys[index].state.ended() {
        return Err("KEY_REVOKED");
    }
    if etag == Etag::Stale { Err("ETAG_MISMATCH") } else { Ok(()) }
}

async fn update(world: &World, model: &mut Model, op: &Op, id: String) -> Outcome {
    let Op::Update { key, label, priority, disabled, etag } = *op else { unreachable!() };
    let Some(index) = model.pick(key) else { return Ok(()) };
    let named =
        [("label", label.is_some()), ("rotation_priority", priority.is_some()), ("disabled", disabled.is_some())];
    let paths: Vec<_> = named.into_iter().filter(|(_, given)| *given).map(|(path, _)| path.to_owned()).collect();
    let expected = if paths.is_empty() {
        Err("INVALID_FIELD")
    } else {
        changeable(model, index, etag).and_then(|()| model.writable())
    };
    let label = label.map(|number| format!("label {number}"));
    let request = kv::UpdateProviderKeyRequest {
        provider_key: Some(kv::ProviderKey {
            name: model.keys[index].name.clone(),
            label: label.clone().unwrap_or_default(),
            rotation_priority: priority.unwrap_or_default(),
            disabled: disabled.unwrap_or_default(),
            etag: etag_of(&model.keys[index], etag),
            ..Default::default()
        }),
        update_mask: Some(claviger_proto::FieldMask { paths }),
        request_id: id,
    };
    let got = world.keys.update_provider_key(Request::new(request.clone())).await;
    let Some(answer) = same("update", got, expected)? else { return Ok(()) };
    let key = &mut model.keys[index];
    key.label = label.unwrap_or_else(|| key.label.clone());
    key.priority = priority.unwrap_or(key.priority);
    key.state = match disabled {
        Some(true) => State::Disabled,
        Some(false) => State::Active,
        None => key.state,
    };
    key.etag.clone_from(&answer.etag);
    matches(&answer, model, index)?;
    model.newest = Some(Sent::Update(request, answer));
    Ok(())
}

async fn replace(world: &World, model: &mut Model, key: usize, secret: u8, etag: Etag, id: String) -> Outcome {
    let Some(index) = model.pick(key) else { return Ok(()) };
    let provider = model.keys[index].provider;
    let expected = changeable(model, index, etag).and_then(|()| model.admits(provider));
    let request = kv::ReplaceProviderKeySecretRequest {
        name: model.keys[index].name.clone(),
        secret: Some(kv::Secret { kind: Some(kv::secret::Kind::ApiKey(model.secret(secret, provider))) }),
        verification: kv::Verification::Skip.into(),
        etag: etag_of(&model.keys[index], etag),
        request_id: id,
        ..Default::default()
    };
    let got = world.keys.replace_provider_key_secret(Request::new(request.clone())).await;
    let Some(answer) = same("replace", got, expected)? else { return Ok(()) };
    let key = &mut model.keys[index];
    (key.secret, key.version) = (secret, key.version + 1);
    key.etag.clone_from(&answer.etag);
    matches(&answer, model, index)?;
    model.newest = Some(Sent::Replace(request, answer));
    Ok(())
}

async fn reorder(
    world: &World,
    model: &mut Model,
    owner: usize,
    provider: usize,
    turn: usize,
    lacking: bool,
) -> Outcome {
    let mut group = model.group(owner, provider);
    if group.is_empty() {
        return Ok(());
    }
    let turn = turn % group.len();
    group.rotate_left(turn);
    let mut names: Vec<_> = group.iter().map(|index| model.keys[*index].name.clone()).collect();
    let lacking = lacking && names.len() > 1;
    names.truncate(names.len() - usize::from(lacking));
    let expected = model.writable().and(if lacking { Err("ETAG_MISMATCH") } else { Ok(()) });
    let request = kv::ReorderProviderKeysRequest {
        parent: model.parent(owner),
        group: Some(kv::reorder_provider_keys_request::Group::Provider(PROVIDERS[provider].to_owned())),
        names,
        ..Default::default()
    };
    let got = world.keys.reorder_provider_keys(Request::new(request)).await;
    let Some(answer) = same("reorder", got, expected)? else { return Ok(()) };
    prop_assert_eq!(answer.provider_keys.len(), group.len());
    for (place, (index, key)) in (0..).zip(group.into_iter().zip(&answer.provider_keys)) {
        model.keys[index].priority = place;
        model.keys[index].etag.clone_from(&key.etag);
        matches(key, model, index)?;
    }
    Ok(())
}

async fn revoke(world: &World, model: &mut Model, key: usize, id: String) -> Outcome {
    let Some(index) = model.pick(key) else { return Ok(()) };
    let name = model.keys[index].name.clone();
    let request = kv::RevokeProviderKeyRequest { name, request_id: id, ..Default::default() };
    let got = world.keys.revoke_provider_key(Request::new(request.clone())).await;
    let Some(answer) = same("revoke", got, Ok(()))? else { return Ok(()) };
    end(model, index, State::Revoked);
    matches(&answer.provider_key.clone().unwrap_or_default(), model, index)?;
    model.newest = Some(Sent::Revoke(request, answer));
    Ok(())
}

fn end(model: &mut Model, index: usize, state: State) {
    let key = &mut model.keys[index];
    if !key.state.ended() || state == State::Purged {
        key.state = state;
    }
}

async fn purge(world: &World, model: &mut Model, key: usize) -> Outcome {
    let Some(index) = model.pick(key) else { return Ok(()) };
    let expected = if model.keys[index].state.ended() { Ok(()) } else { Err("KEY_NOT_REVOKED") };
    let request = kv::PurgeProviderKeyRequest { name: model.keys[index].name.clone(), ..Default::default() };
    let got = world.keys.purge_provider_key(Request::new(request)).await;
    let Some(answer) = same("purge", got, expected)? else { return Ok(()) };
    end(model, index, State::Purged);
    matches(&answer, model, index)
}

/// Ends the keys that are alive and meant; answers how many.
fn end_all(model: &mut Model, meant: impl Fn(&Key) -> bool) -> usize {
    let chosen: Vec<_> =
        (0..model.keys.len()).filter(|index| !model.keys[*index].state.ended() && meant(&model.keys[*index])).collect();
    chosen.iter().for_each(|index| end(model, *index, State::Revoked));
    chosen.len()
}

async fn revoke_user(world: &World, model: &mut Model, owner: usize) -> Outcome {
    let request = kv::RevokeUserKeysRequest { parent: model.parent(owner), ..Default::default() };
    let got = world.keys.revoke_user_keys(Request::new(request)).await;
    let Some(answer) = same("revoke a user's", got, Ok(()))? else { return Ok(()) };
    let count = end_all(model, |key| key.owner == owner);
    prop_assert_eq!(answer.revoked_count, i32::try_from(count).unwrap_or(-1));
    Ok(())
}

async fn revoke_leaked(world: &World, model: &mut Model, secret: u8) -> Outcome {
    let text = model.secret(secret, 0);
    let secret_message = Some(kv::Secret { kind: Some(kv::secret::Kind::ApiKey(text)) });
    let request = kv::RevokeLeakedSecretRequest { secret: secret_message, ..Default::default() };
    let got = world.keys.revoke_leaked_secret(Request::new(request)).await;
    let Some(answer) = same("revoke leaked", got, Ok(()))? else { return Ok(()) };
    let count = end_all(model, |key| key.provider == 0 && key.secret == secret);
    prop_assert_eq!(answer.provider_keys.len(), count);
    Ok(())
}

/// The very same request gets the very same answer; another body under its id is refused. Neither changes anything.
async fn again(world: &World, model: &Model, other_body: bool) -> Outcome {
    let expected = if other_body { Err("REQUEST_ID_REUSED") } else { Ok(()) };
    match model.newest.clone() {
        None => Ok(()),
        Some(Sent::Create(mut request, first)) => {
            request.validate_only = false;
            request.provider_key.get_or_insert_default().rotation_priority += i32::from(other_body);
            repeated(world.keys.create_provider_key(Request::new(request)).await, &first, expected)
        }
        Some(Sent::Update(mut request, first)) => {
            let mask = request.update_mask.get_or_insert_default();
            let another = mask.paths.first().cloned().unwrap_or_default();
            mask.paths.extend(other_body.then_some(another));
            repeated(world.keys.update_provider_key(Request::new(request)).await, &first, expected)
        }
        Some(Sent::Replace(mut request, first)) => {
            request.etag.push_str(if other_body { "7" } else { "" });
            repeated(world.keys.replace_provider_key_secret(Request::new(request)).await, &first, expected)
        }
        Some(Sent::Revoke(mut request, first)) => {
            request.reason.push_str(if other_body { "another" } else { "" });
            repeated(world.keys.revoke_provider_key(Request::new(request)).await, &first, expected)
        }
    }
}

fn repeated<T: PartialEq + std::fmt::Debug>(
    got: Result<Response<T>, Status>,
    first: &T,
    expected: Result<(), Reason>,
) -> Outcome {
    if let Some(answer) = same("again", got, expected)? {
        prop_assert_eq!(&answer, first);
    }
    Ok(())
}
