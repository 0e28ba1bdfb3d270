//! What all clients were answered, put in the order of the audit log: each event is somebody's acknowledged change of the
//! key as the event before left it, and of nothing else of it.

use std::collections::{BTreeMap, HashMap};

use claviger_core::key::Mask;
use claviger_core::position::etag;
use claviger_proto::keyvault_v1::ProviderKey;
use claviger_proto::keyvault_v1::key_test::Result as Tested;
use claviger_proto::keyvault_v1::provider_key::State;

use super::calls::{Change, Kind, Log, Order};
use crate::crash::chain::Event;

/// The end of the history, by the keys' names.
#[derive(Default)]
pub(super) struct History {
    pub(super) keys: BTreeMap<String, ProviderKey>,
    pub(super) secrets: BTreeMap<String, String>,
}

/// A key's name, and its etag.
type At = (String, String);

impl History {
    pub(super) fn of(events: &[Event], logs: &[Log]) -> Self {
        let (mut history, mut made, shown) = (Self::default(), made(logs), shown(logs));
        let (mut known, mut tests) = (0, 0);
        for (seq, event) in (1..).zip(events) {
            match event.action.as_str() {
                "workspace.created" => {}
                "secret.tested" => tests += 1,
                action => {
                    let at = (event.target.clone(), etag(seq));
                    let changes = made.remove(&at).unwrap_or_else(|| unreachable!("{seq} was answered to nobody"));
                    assert_eq!(history.follow(&changes), action, "{seq}");
                    known += usize::from(shown.contains_key(&at));
                }
            }
            let orders = logs.iter().flat_map(|log| &log.orders).filter(|order| order.seq == seq);
            orders.for_each(|order| history.assert_ordered(order));
        }
        assert!(made.is_empty(), "without events: {made:?}");
        assert_eq!(known, shown.len(), "what was shown is of an event of its key");
        let refused = logs.iter().flat_map(|log| &log.refusals).filter(|refusal| refusal.call == "replace").count();
        assert!(tests <= refused, "secrets that were tested and not stored");
        history
    }

    /// Takes in an event's change, and answers the action that the event must have.
    fn follow(&mut self, changes: &[&Change]) -> &'static str {
        let after = lasting(&changes[0].after);
        let before = self.keys.get(&after.name);
        let (repeatable, once): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.kind.may_change_nothing());
        assert!(once.len() <= 1, "acknowledged twice: {once:?}");
        let nothing_else = |change: &&&Change| change.explains(before, &after);
        let change = match once.first() {
            Some(change) => Some(change).filter(|change| nothing_else(change)),
            None => repeatable.iter().find(|change| nothing_else(change)),
        };
        let change = change.unwrap_or_else(|| unreachable!("{before:?}\n{changes:?}"));
        assert!(repeatable.iter().all(|change| change.kind.holds(&after)), "{changes:?}");
        if let Kind::Created(secret) | Kind::Replaced(secret) = &change.kind {
            self.secrets.insert(after.name.clone(), secret.clone());
        }
        self.keys.insert(after.name.clone(), after);
        change.kind.action()
    }

    /// The active keys are just those that were asked for, in that order.
    fn assert_ordered(&self, order: &Order) {
        let mut active: Vec<_> = self.keys.values().filter(|key| key.state() == State::Active).collect();
        active.sort_by_key(|key| key.rotation_priority);
        assert!(active.iter().map(|key| key.rotation_priority).eq(0..i32::try_from(active.len()).unwrap()));
        assert!(active.iter().map(|key| &key.name).eq(&order.names), "the order at {}", order.seq);
    }
}

impl Change {
    /// Whether it makes of the key as it was what it is now. An etag must have been the key's.
    fn explains(&self, before: Option<&ProviderKey>, after: &ProviderKey) -> bool {
        let Some(before) = before else {
            return matches!(&self.kind, Kind::Created(secret) if after.secret_version == 1 && shows(after, secret));
        };
        let mut key = ProviderKey { etag: after.etag.clone(), update_time: after.update_time, ..before.clone() };
        match &self.kind {
            Kind::Created(_) => return false,
            Kind::Counted => key.label = (before.label.parse::<u32>().unwrap() + 1).to_string(),
            Kind::Placed(priority) | Kind::Ordered(priority) => key.rotation_priority = *priority,
            Kind::Replaced(secret) => {
                let Mask { masked, last_four } = Mask::of(secret);
                (key.masked_secret, key.last_four) = (masked, last_four);
                (key.secret_version, key.last_test) = (before.secret_version + 1, after.last_test.clone());
            }
            Kind::Tested if after.last_test.as_ref().is_some_and(|test| test.result() == Tested::Valid) => {
                key.last_test = after.last_test.clone();
            }
            Kind::Tested => {} // of a secret that was replaced meanwhile
            Kind::Revoked => {
                key.set_state(State::Revoked);
                (key.revoke_time, key.revoker) = (after.revoke_time, after.revoker.clone());
            }
        }
        (self.etag.is_empty() || self.etag == before.etag) && key == *after
    }
}

impl Kind {
    /// Who asks for what is so already, is answered with the key as it is.
    fn may_change_nothing(&self) -> bool {
        matches!(self, Self::Ordered(_) | Self::Revoked)
    }

    fn holds(&self, after: &ProviderKey) -> bool {
        match self {
            Self::Ordered(place) => after.rotation_priority == *place,
            Self::Revoked => after.state() == State::Revoked,
            _ => true,
        }
    }

    fn action(&self) -> &'static str {
        match self {
            Self::Created(_) => "key.created",
            Self::Counted | Self::Placed(_) | Self::Ordered(_) => "key.updated",
            Self::Replaced(_) => "key.secret_replaced",
            Self::Tested => "key.tested",
            Self::Revoked => "key.revoked",
        }
    }
}

/// The changes by what they left.
fn made(logs: &[Log]) -> HashMap<At, Vec<&Change>> {
    let mut made: HashMap<At, Vec<&Change>> = HashMap::new();
    for change in logs.iter().flat_map(|log| &log.changes) {
        made.entry(at(&change.after)).or_default().push(change);
    }
    made
}

/// All that was answered and read: whoever was shown an etag was shown the same key.
fn shown(logs: &[Log]) -> HashMap<At, ProviderKey> {
    let mut shown = HashMap::new();
    for log in logs {
        for key in log.changes.iter().map(|change| &change.after).chain(&log.reads) {
            let first = shown.entry(at(key)).or_insert_with(|| lasting(key));
            assert_eq!(*first, lasting(key));
        }
    }
    shown
}

fn at(key: &ProviderKey) -> At {
    (key.name.clone(), key.etag.clone())
}

fn shows(key: &ProviderKey, secret: &str) -> bool {
    key.last_four == Mask::of(secret).last_four
}

/// What of an answer stays true.
pub(super) fn lasting(key: &ProviderKey) -> ProviderKey {
    ProviderKey { consistency_token: String::new(), warnings: Vec::new(), ..key.clone() }
}
