//! What callers may do, drawn from few names, so that calls meet.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Whose keys: the workspace's, or one of two users'.
pub(crate) const OWNERS: [&str; 3] = ["", "/users/ann", "/users/bob"];
/// Two serve language models, one voices.
pub(crate) const PROVIDERS: [&str; 3] = ["anthropic", "openai", "elevenlabs"];
const SLUGS: [&str; 3] = ["main", "spare", "anthropic"];

/// How a call knows the resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Etag {
    None,
    Present,
    Stale,
}

/// One call. Keys are named by their place in the order of creation, modulo how many there are.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Create {
        owner: usize,
        provider: usize,
        slug: Option<&'static str>,
        secret: u8,
        priority: i32,
        disabled: bool,
    },
    Update {
        key: usize,
        label: Option<u8>,
        priority: Option<i32>,
        disabled: Option<bool>,
        etag: Etag,
    },
    Replace {
        key: usize,
        secret: u8,
        etag: Etag,
    },
    Reorder {
        owner: usize,
        provider: usize,
        turn: usize,
        lacking: bool,
    },
    Revoke {
        key: usize,
    },
    Purge {
        key: usize,
    },
    RevokeUser {
        owner: usize,
    },
    RevokeLeaked {
        secret: u8,
    },
    SetPolicy {
        read_only: Option<bool>,
        provider: Option<usize>,
        stale: bool,
    },
    SetRoute {
        agent: u8,
        provider: usize,
        slug: Option<&'static str>,
    },
    DeleteRoute {
        agent: u8,
    },
    Bind {
        session: u8,
        owner: usize,
        slug: &'static str,
    },
    Unbind {
        session: u8,
    },
    DeleteWorkspace,
    List {
        owner: usize,
        provider: Option<usize>,
        show_revoked: bool,
        size: i32,
    },
    Connected {
        owner: usize,
    },
    /// The newest mutation is sent again, with its request id; or with that id and another body.
    Again {
        other_body: bool,
    },
}

pub(crate) fn sequence() -> impl Strategy<Value = Vec<Op>> {
    vec(op(), 1..16)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => create(),
        5 => update(),
        4 => (any::<usize>(), 0..4_u8, etag()).prop_map(|(key, secret, etag)| Op::Replace { key, secret, etag }),
        3 => (owner(), provider(), any::<usize>(), any::<bool>())
            .prop_map(|(owner, provider, turn, lacking)| Op::Reorder { owner, provider, turn, lacking: lacking && turn % 4 == 0 }),
        4 => any::<usize>().prop_map(|key| Op::Revoke { key }),
        3 => any::<usize>().prop_map(|key| Op::Purge { key }),
        1 => (1..3_usize).prop_map(|owner| Op::RevokeUser { owner }),
        1 => (0..4_u8).prop_map(|secret| Op::RevokeLeaked { secret }),
        2 => policy(),
        2 => (0..2_u8, provider(), slug()).prop_map(|(agent, provider, slug)| Op::SetRoute { agent, provider, slug }),
        1 => (0..2_u8).prop_map(|agent| Op::DeleteRoute { agent }),
        2 => (0..2_u8, owner(), select(&SLUGS[..])).prop_map(|(session, owner, slug)| Op::Bind { session, owner, slug }),
        1 => (0..2_u8).prop_map(|session| Op::Unbind { session }),
        1 => Just(Op::DeleteWorkspace),
        3 => (owner(), proptest::option::of(provider()), any::<bool>(), 1..4_i32)
            .prop_map(|(owner, provider, show_revoked, size)| Op::List { owner, provider, show_revoked, size }),
        1 => owner().prop_map(|owner| Op::Connected { owner }),
        4 => prop::bool::weighted(0.3).prop_map(|other_body| Op::Again { other_body }),
    ]
}

fn create() -> impl Strategy<Value = Op> {
    (owner(), provider(), slug(), 0..4_u8, 0..3_i32, prop::bool::weighted(0.15)).prop_map(
        |(owner, provider, slug, secret, priority, disabled)| Op::Create {
            owner,
            provider,
            slug,
            secret,
            priority,
            disabled,
        },
    )
}

fn update() -> impl Strategy<Value = Op> {
    let some = |weight| prop::bool::weighted(weight);
    (any::<usize>(), (some(0.4), 0..9_u8), (some(0.4), 0..3_i32), (some(0.5), any::<bool>()), etag()).prop_map(
        |(key, label, priority, disabled, etag)| Op::Update {
            key,
            label: label.0.then_some(label.1),
            priority: priority.0.then_some(priority.1),
            disabled: disabled.0.then_some(disabled.1),
            etag,
        },
    )
}

fn policy() -> impl Strategy<Value = Op> {
    (
        proptest::option::of(prop::bool::weighted(0.3)),
        proptest::option::weighted(0.3, provider()),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(read_only, provider, stale)| Op::SetPolicy { read_only, provider, stale })
}

fn owner() -> impl Strategy<Value = usize> {
    0..OWNERS.len()
}

fn provider() -> impl Strategy<Value = usize> {
    prop_oneof![3 => Just(0), 2 => Just(1), 1 => Just(2_usize)]
}

fn slug() -> impl Strategy<Value = Option<&'static str>> {
    proptest::option::weighted(0.6, select(&SLUGS[..]))
}

fn etag() -> impl Strategy<Value = Etag> {
    prop_oneof![3 => Just(Etag::None), 2 => Just(Etag::Present), 1 => Just(Etag::Stale)]
}
