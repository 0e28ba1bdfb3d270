//! What narrows an unpinned request.

use crate::catalog::{Catalog, Category};
use crate::ids::{ModelId, ProviderId};
use crate::route::{AgentOrder, Need, RouteKey, Verdict};
use crate::workspace::Policy;

/// What narrows an unpinned request: the provider, else the model, else the category.
pub(super) struct Filter<'r> {
    provider: Option<&'r ProviderId>,
    pub(super) model: Option<&'r ModelId>,
    implied: Vec<&'r ProviderId>,
    pub(super) category: Option<Category>,
}

impl<'r> Filter<'r> {
    /// What the request names; where that leaves something open, what the agent's order names, if the two fit each other;
    /// then the workspace's defaults, and at last the operator's: for a request that names nothing, or no more than the
    /// provider that the model is of.
    pub(super) fn of(catalog: &'r Catalog, need: &'r Need, order: Option<&'r AgentOrder>, policy: &'r Policy) -> Self {
        let named = (need.provider.as_ref(), need.model.as_ref());
        let ordered = order.map_or((None, None), |order| (order.provider.as_ref(), order.model.as_ref()));
        let defaults = if need.category.is_none() { defaults(catalog, policy) } else { [(None, None); 2] };
        let chosen = match named {
            (None, None) if ordered != (None, None) && serves(catalog, ordered, need.category) => ordered,
            (None, None) => defaults.into_iter().find(|pair| *pair != (None, None)).unwrap_or_default(),
            (None, Some(model)) => {
                let implied = implied(catalog, model);
                (ordered.0.filter(|provider| implied.is_empty() || implied.contains(provider)), Some(model))
            }
            named => named,
        };
        let (provider, model) = match chosen {
            (Some(provider), None) => {
                let fits = |(of, model): (_, Option<&'r ModelId>)| model.filter(|m| has(catalog, of, provider, m));
                (Some(provider), [ordered].into_iter().chain(defaults).find_map(fits))
            }
            chosen => chosen,
        };
        let implied = match (provider, model) {
            (None, Some(model)) => implied(catalog, model),
            _ => Vec::new(),
        };
        Self { provider, model, implied, category: need.category }
    }

    pub(super) fn is_open(&self) -> bool {
        self.provider.is_none() && self.model.is_none() && self.category.is_none()
    }

    /// Why a key is not for this need at all, if so.
    pub(super) fn misses(&self, key: &RouteKey, categories: &[Category]) -> Option<Verdict> {
        match (self.provider, self.model, self.category) {
            (Some(provider), _, _) => (key.provider != *provider).then_some(Verdict::WrongProvider),
            (None, Some(model), _) => (!self.implied.contains(&&key.provider) && !key.allowed_models.contains(model))
                .then_some(Verdict::WrongProvider),
            (None, None, Some(category)) => (!categories.contains(&category)).then_some(Verdict::WrongCategory),
            (None, None, None) => None,
        }
    }
}

/// A provider and a model, where they are named.
type Pair<'r> = (Option<&'r ProviderId>, Option<&'r ModelId>);

/// The workspace's defaults, then the operator's.
fn defaults<'r>(catalog: &'r Catalog, policy: &'r Policy) -> [Pair<'r>; 2] {
    let operator = catalog.defaults();
    [
        (policy.default_provider.as_ref(), policy.default_model.as_ref()),
        (operator.provider.as_ref(), operator.model.as_ref()),
    ]
}

fn implied<'r>(catalog: &'r Catalog, model: &ModelId) -> Vec<&'r ProviderId> {
    catalog.providers_for_model(model.as_str())
}

/// Whether what an order names can do what the request asks for.
fn serves(catalog: &Catalog, (provider, model): Pair<'_>, category: Option<Category>) -> bool {
    let Some(category) = category else { return true };
    let in_category = |id: &ProviderId| catalog.provider(id.as_str()).is_some_and(|p| p.categories.contains(&category));
    match (provider, model) {
        (Some(provider), _) => in_category(provider),
        (None, Some(model)) => implied(catalog, model).into_iter().any(in_category),
        (None, None) => true,
    }
}

/// Whether an order's model is one of the provider that the request names.
fn has(catalog: &Catalog, ordered: Option<&ProviderId>, named: &ProviderId, model: &ModelId) -> bool {
    ordered.map_or_else(|| implied(catalog, model).contains(&named), |ordered| ordered == named)
}
