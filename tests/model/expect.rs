//! The plain model: what the vault should answer and keep. Written from the contract, by other means than the vault.

use std::collections::BTreeMap;

use crate::ops::{OWNERS, PROVIDERS};

/// A refusal's reason.
pub(crate) type Reason = &'static str;

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Active,
    Disabled,
    Revoked,
    Purged,
}

impl State {
    pub(crate) fn ended(self) -> bool {
        matches!(self, Self::Revoked | Self::Purged)
    }
}

/// A key, as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) etag: String,
    pub(crate) owner: usize,
    pub(crate) provider: usize,
    pub(crate) slug: String,
    pub(crate) label: String,
    pub(crate) secret: u8,
    pub(crate) version: i32,
    pub(crate) priority: i32,
    pub(crate) state: State,
}

/// A workspace, as it should be.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) workspace: String,
    pub(crate) exists: bool,
    /// It existed, and was deleted.
    pub(crate) deleted: bool,
    pub(crate) read_only: bool,
    pub(crate) allowed: Option<usize>,
    /// In the order of their creation.
    pub(crate) keys: Vec<Key>,
    pub(crate) routes: BTreeMap<u8, (usize, Option<String>)>,
    pub(crate) bindings: BTreeMap<u8, (usize, String)>,
    /// What can be sent again: the newest mutation that was done, with its answer.
    pub(crate) newest: Option<crate::apply::Sent>,
}

impl Model {
    pub(crate) fn new(workspace: &str) -> Self {
        Self {
            workspace: format!("workspaces/{workspace}"),
            exists: false,
            deleted: false,
            read_only: false,
            allowed: None,
            keys: Vec::new(),
            routes: BTreeMap::new(),
            bindings: BTreeMap::new(),
            newest: None,
        }
    }

    pub(crate) fn parent(&self, owner: usize) -> String {
        format!("{}{}", self.workspace, OWNERS[owner])
    }

    /// Each sequence has secrets of its own: a leaked one is revoked wherever it is.
    pub(crate) fn secret(&self, number: u8, provider: usize) -> String {
        let prefix = ["sk-ant-api03-", "sk-proj-", ""][provider];
        format!("{prefix}{}-secret-{number}-0123456789abcdef0123456789abcdef", self.workspace.replace('/', "-"))
    }

    /// A key by its number, if there is any.
    pub(crate) fn pick(&self, number: usize) -> Option<usize> {
        (!self.keys.is_empty()).then(|| number % self.keys.len())
    }

    pub(crate) fn writable(&self) -> Result<(), Reason> {
        if self.read_only { Err("WORKSPACE_READ_ONLY") } else { Ok(()) }
    }

    pub(crate) fn admits(&self, provider: usize) -> Result<(), Reason> {
        self.writable()?;
        if self.allowed.is_none_or(|allowed| allowed == provider) { Ok(()) } else { Err("PROVIDER_NOT_ALLOWED") }
    }

    pub(crate) fn slug_for(&self, owner: usize, provider: usize, wanted: Option<&str>) -> Result<String, Reason> {
        let taken = |slug: &str| self.living(owner).any(|key| key.slug == slug);
        match wanted {
            Some(slug) if taken(slug) => Err("KEY_SLUG_TAKEN"),
            Some(slug) => Ok(slug.to_owned()),
            None => {
                let stem = PROVIDERS[provider];
                let mut candidates = std::iter::once(stem.to_owned()).chain((2..).map(|n| format!("{stem}-{n}")));
                Ok(candidates.find(|slug| !taken(slug)).unwrap())
            }
        }
    }

    pub(crate) fn living(&self, owner: usize) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| key.owner == owner && !key.state.ended())
    }

    /// An owner's keys as a listing orders them: by priority, then age.
    pub(crate) fn listed(&self, owner: usize, show_revoked: bool, provider: Option<usize>) -> Vec<&Key> {
        let shown = |key: &&Key| {
            key.owner == owner
                && (show_revoked || !key.state.ended())
                && provider.is_none_or(|provider| key.provider == provider)
        };
        let mut keys: Vec<_> = self.keys.iter().filter(shown).collect();
        keys.sort_by_key(|key| key.priority); // stable: age decides between equals
        keys
    }

    /// The keys that a new order of a provider's must name.
    pub(crate) fn group(&self, owner: usize, provider: usize) -> Vec<usize> {
        let of_group = |key: &Key| key.owner == owner && key.provider == provider && key.state == State::Active;
        (0..self.keys.len()).filter(|index| of_group(&self.keys[*index])).collect()
    }

    /// The key that a slug names for an owner: its own, or the workspace's.
    pub(crate) fn named(&self, owner: usize, slug: &str) -> Option<&Key> {
        self.living(owner).find(|key| key.slug == slug).or_else(|| self.living(0).find(|key| key.slug == slug))
    }
}
