//! What holds for every workspace, platform and request.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::seen::{
    eligible, is_pinned, kind, last_that_bars_the_platform, meant, own_keys_for_the_need, own_winner,
    reachable_platform, remaining, winner,
};
use super::world::{World, catalog, pinning_world, world};
use super::*;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(6_500))]

    #[test]
    fn a_winner_can_be_used_and_is_the_callers(world in world()) {
        if let Ok(choice) = world.decide().outcome {
            prop_assert_eq!(choice.key.state, KeyState::Active);
            prop_assert!(choice.key.expire_time.is_none_or(|at| at > NOW));
            prop_assert_eq!(choice.key.credential, CredentialState::Ready);
            prop_assert!(!world.need.exclude.contains(&choice.key.id));
            prop_assert!(choice.key.user.is_none() || choice.key.user.as_ref() == world.person());
            prop_assert!(catalog().provider(choice.key.provider.as_str()).is_some());
            prop_assert!(world.need.provider.as_ref().is_none_or(|p| *p == choice.key.provider));
            let source = if world.platform.contains(choice.key) {
                Source::Platform
            } else if choice.key.user.is_some() {
                Source::Personal
            } else {
                Source::Workspace
            };
            prop_assert_eq!(choice.source, source);
            prop_assert_eq!(choice.fallback.is_some(), source == Source::Platform);
        }
    }

    #[test]
    fn a_named_model_is_the_answers_and_the_key_allows_it(world in world()) {
        if let (Ok(choice), Some(model)) = (world.decide().outcome, &world.need.model) {
            prop_assert_eq!(choice.model.as_deref(), Some(model.as_str()));
            prop_assert!(choice.key.allowed_models.is_empty() || choice.key.allowed_models.contains(model));
        }
    }

    #[test]
    fn the_answers_model_is_one_that_the_key_allows(world in world()) {
        let Ok(choice) = world.decide().outcome else { return Ok(()) };
        if let Some(model) = choice.model {
            let allowed = &choice.key.allowed_models;
            prop_assert!(allowed.is_empty() || allowed.iter().any(|m| m.as_str() == model));
        }
    }

    #[test]
    fn other_users_keys_leave_no_trace(world in world()) {
        let without = world.retain(|key| key.user.is_none() || key.user.as_ref() == world.person());
        prop_assert_eq!(world.decide(), without.decide());
    }

    #[test]
    fn a_pin_gets_that_slug_or_a_refusal_and_never_the_platform(world in pinning_world()) {
        let decision = world.decide();
        prop_assert_eq!(decision.directive, Some(Directive::Pinned), "whatever the session is bound to");
        prop_assert!(decision.candidates.iter().all(|c| c.source != Source::Platform));
        for candidate in &decision.candidates {
            let named = Some(&candidate.key.slug) == world.need.slug.as_ref();
            prop_assert!(named || candidate.verdict == Verdict::NotPinned);
        }
        match &decision.outcome {
            Ok(choice) => {
                prop_assert_eq!(Some(&choice.key.slug), world.need.slug.as_ref());
                prop_assert_ne!(choice.source, Source::Platform);
                prop_assert_eq!(choice.remaining, 0);
            }
            Err(refusal) => prop_assert!(matches!(refusal, Refusal::PinnedNotFound | Refusal::Pinned(_))),
        }
    }

    #[test]
    fn a_pin_means_one_key_whatever_else_is_asked(world in pinning_world(), other in world()) {
        let bare = Need { user: world.need.user.clone(), slug: world.need.slug.clone(), ..Need::default() };
        let asked = Need { user: bare.user.clone(), slug: bare.slug.clone(), ..other.need };
        let (bare, asked) = (world.decide_for(&bare), world.decide_for(&asked));
        prop_assert_eq!(meant(&bare), meant(&asked));
        // what else is asked can only refuse it
        prop_assert!(bare.outcome.is_ok() || asked.outcome.is_err());
    }

    #[test]
    fn a_pin_slides_neither_to_another_owner_nor_past_a_key_that_cannot_be_used(world in pinning_world()) {
        let named: Vec<_> = world.workspace.keys.iter().filter(|k| Some(&k.slug) == world.need.slug.as_ref()).collect();
        let mine = |key: &&RouteKey| key.user.is_some() && key.user == world.need.user;
        let owned: Vec<_> = match named.iter().copied().filter(mine).collect::<Vec<_>>() {
            mine if !mine.is_empty() => mine,
            _ => named.into_iter().filter(|key| key.user.is_none()).collect(),
        };
        let decision = world.decide();
        let target = owned.iter().find(|key| Some(key.id) == meant(&decision));
        prop_assert_eq!(target.is_some(), !owned.is_empty());
        if let Some(key) = target {
            prop_assert!(!key.state.is_revoked() || owned.iter().all(|key| key.state.is_revoked()));
        }
        prop_assert_eq!(meant(&decision), meant(&world.mended().decide()));
    }

    #[test]
    fn a_binding_pins_as_the_slug_of_whom_it_is_for_does(world in world()) {
        let Some(bound) = world.binding().cloned() else { return Ok(()) };
        let decision = world.decide();
        prop_assert_eq!(decision.directive, Some(Directive::SessionBinding));
        let person = bound.user.clone().filter(|user| world.need.user.as_ref().is_none_or(|other| other == user));
        let need = world.need.clone();
        let model = need.model.clone().or(bound.model);
        let lent = person.is_none() && bound.user.is_some();
        if lent {
            prop_assert_eq!(decision.outcome, Err(Refusal::PinnedNotFound), "it slides to no other owner's");
            return Ok(());
        }
        let as_slug = Need { user: person, slug: Some(bound.slug), model, session: None, ..need };
        let pinned = world.decide_for(&as_slug);
        match bound.provider {
            None => prop_assert_eq!((&decision.outcome, &decision.candidates), (&pinned.outcome, &pinned.candidates)),
            Some(provider) => {
                prop_assert!(winner(&decision).is_none() || winner(&decision) == winner(&pinned));
                prop_assert!(decision.outcome.is_err_and(|_| true) || pinned.outcome.is_ok_and(|c| c.key.provider == provider));
            }
        }
    }

    #[test]
    fn a_binding_that_is_over_is_none(world in world()) {
        let mut without = world.clone();
        without.workspace.sessions.retain(|_, bound| bound.expire_time > NOW);
        prop_assert_eq!(world.decide(), without.decide());
    }

    #[test]
    fn metered_calls_use_no_own_key_and_others_do_not_notice(world in world()) {
        let decision = world.decide();
        if is_pinned(&decision) {
            return Ok(());
        }
        let mode = world.order().map(|order| order.mode);
        let default_mode = world.workspace.policy.default_mode;
        let metered = match mode {
            Some(AgentMode::Metered) => true,
            Some(AgentMode::Byok) => false,
            Some(AgentMode::Auto) | None => default_mode == DefaultMode::Metered,
        };
        prop_assert!(metered || decision.candidates.iter().all(|c| c.verdict != Verdict::Metered));
        if let (true, Ok(choice)) = (metered, &decision.outcome) {
            prop_assert_eq!((choice.source, choice.fallback), (Source::Platform, Some(Fallback::Metered)));
        }
    }

    #[test]
    fn an_order_takes_nothing_from_a_call_but_by_metering(world in world()) {
        let mut without = world.clone();
        without.workspace.agents.clear();
        without.workspace.policy.default_mode = DefaultMode::Auto;
        let (with, without) = (world.decide(), without.decide());
        // it may narrow what is open, reorder and tighten: what wins with it could be used without it
        if let (Ok(choice), true) = (&with.outcome, world.need.provider.is_some()) {
            let same = without.candidates.iter().find(|c| c.key.id == choice.key.id);
            prop_assert!(same.is_some_and(|c| c.verdict != Verdict::WrongProvider && c.verdict != Verdict::WrongCategory));
        }
    }

    #[test]
    fn tightening_consent_never_opens_the_platform_nor_moves_an_own_winner(world in world()) {
        for (tight, loose) in [(Consent::Never, Consent::NoKey), (Consent::NoKey, Consent::Any)] {
            for (tight, loose) in [
                (world.consenting(tight, Some(Consent::Any)), world.consenting(loose, Some(Consent::Any))),
                (world.consenting(Consent::Any, Some(tight)), world.consenting(Consent::Any, Some(loose))),
                (world.consenting(Consent::Any, Some(tight)), world.consenting(Consent::Any, None)),
                (world.consenting(loose, Some(tight)), world.consenting(loose, Some(loose))),
            ] {
                let (tight, loose) = (tight.decide(), loose.decide());
                prop_assert!(eligible(&tight).iter().all(|id| eligible(&loose).contains(id)), "no candidate is added");
                let open = reachable_platform(&loose);
                prop_assert!(reachable_platform(&tight).iter().all(|id| open.contains(id)));
                prop_assert_eq!(own_winner(&tight), own_winner(&loose));
                prop_assert!(tight.outcome.is_err() || winner(&tight) == winner(&loose));
            }
        }
    }

    #[test]
    fn the_tighter_of_two_consents_rules(world in world()) {
        for policy in [Consent::Never, Consent::NoKey, Consent::Any] {
            for asked in [Consent::Never, Consent::NoKey, Consent::Any] {
                let both = world.consenting(policy, Some(asked));
                let tightest = world.consenting(policy.min(asked), None);
                prop_assert_eq!(both.decide(), tightest.decide());
            }
        }
    }

    #[test]
    fn never_is_never_and_no_key_is_only_without_own_keys(world in world()) {
        let never = world.consenting(Consent::Never, None);
        prop_assert!(reachable_platform(&never.decide()).is_empty());
        let no_key = world.consenting(Consent::NoKey, None);
        let decision = no_key.decide();
        prop_assert!(reachable_platform(&decision).is_empty() || own_keys_for_the_need(&decision) == 0);
    }

    #[test]
    fn losers_do_not_matter(world in world()) {
        let before = world.decide();
        for loser in before.candidates.iter().filter(|c| c.verdict != Verdict::Chosen) {
            let smaller = world.retain(|key| key.id != loser.key.id);
            let after = smaller.decide();
            if last_that_bars_the_platform(&before, loser) {
                // under NO_KEY the platform opens with the last own key for the need, and never otherwise
                prop_assert!(before.outcome.is_err());
                let is_barred = |c: &&Candidate<'_>| c.verdict == Verdict::NoConsent && !c.standing.is_cooling();
                let barred = before.candidates.iter().find(is_barred);
                prop_assert_eq!(winner(&after), barred.map(|c| c.key.id));
            } else if matches!(before.outcome, Err(Refusal::Pinned(verdict)) if verdict == loser.verdict) {
                // a pin that is refused hides other keys of its slug; nothing else comes up in its place
                prop_assert!(after.outcome.is_err() || own_winner(&after).is_some());
            } else {
                prop_assert_eq!(winner(&after), winner(&before));
                let next = usize::from(loser.verdict == Verdict::Eligible);
                prop_assert_eq!(remaining(&after) + next, remaining(&before));
            }
        }
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(world in world(), seed in any::<u64>()) {
        let mut shuffled = world.clone();
        let position = |key: &RouteKey| key.id.uuid().as_u128().wrapping_mul(u128::from(seed) | 1) % 251;
        shuffled.workspace.keys.sort_by_key(position);
        shuffled.platform.sort_by_key(position);
        shuffled.need.exclude.reverse();
        prop_assert_eq!(world.decide(), shuffled.decide());
    }

    #[test]
    fn candidates_are_in_the_order_of_preference(world in world()) {
        let decision = world.decide();
        let rank = |c: &Candidate<'_>| {
            let is_preferred = !is_pinned(&decision) && world.prefers(c.key);
            (!is_preferred, c.source, c.key.priority, c.key.create_time, c.key.id)
        };
        prop_assert!(decision.candidates.is_sorted_by(|a, b| rank(a) < rank(b)));
        if !is_pinned(&decision) {
            let usable = |c: &&Candidate<'_>| matches!(c.verdict, Verdict::Chosen | Verdict::Eligible);
            let first = decision.candidates.iter().find(usable);
            prop_assert!(first.is_none_or(|c| c.verdict == Verdict::Chosen));
        }
    }

    #[test]
    fn remaining_counts_what_exclusion_still_gets(world in world()) {
        let mut need = world.need.clone();
        let mut left = None;
        while let Ok(choice) = world.decide_for(&need).outcome {
            prop_assert!(!need.exclude.contains(&choice.key.id));
            prop_assert!(left.is_none_or(|left| left == choice.remaining + 1), "{left:?}, then {}", choice.remaining);
            left = Some(choice.remaining);
            need.exclude.push(choice.key.id);
        }
        prop_assert!(left.is_none_or(|left| left == 0), "{left:?}, then none");
    }

    #[test]
    fn what_cools_wins_only_if_it_is_pinned(world in world()) {
        let decision = world.decide();
        for candidate in decision.candidates.iter().filter(|c| c.standing.is_cooling()) {
            prop_assert!(is_pinned(&decision) || !matches!(candidate.verdict, Verdict::Chosen | Verdict::Eligible));
        }
        if let Ok(choice) = &decision.outcome {
            let chosen = decision.candidates.iter().find(|c| c.verdict == Verdict::Chosen);
            let is_half_open = chosen.is_some_and(|c| c.standing == Standing::HalfOpen);
            prop_assert_eq!(choice.is_probe, is_half_open && !is_pinned(&decision));
        }
    }

    #[test]
    fn a_pin_does_not_mind_cooldowns(world in pinning_world()) {
        let well = World { health: Health::default(), ..world.clone() };
        let (asked, well) = (world.decide(), well.decide());
        prop_assert_eq!(asked.outcome, well.outcome);
    }

    #[test]
    fn cooldowns_take_keys_away_and_change_nothing_else(world in world()) {
        let well = World { health: Health::default(), ..world.clone() };
        let (now, well) = (world.decide(), well.decide());
        prop_assert_eq!(now.candidates.len(), well.candidates.len());
        for (now, well) in now.candidates.iter().zip(&well.candidates) {
            prop_assert_eq!(now.key.id, well.key.id);
            let usable = matches!(well.verdict, Verdict::Chosen | Verdict::Eligible);
            let same = matches!(now.verdict, Verdict::Chosen | Verdict::Eligible) == usable;
            prop_assert!(now.verdict == well.verdict || (usable && (same || now.verdict == Verdict::Cooling)));
        }
        // refused for the time being exactly if it is the cooldowns that refuse it
        let for_now = matches!(now.outcome, Err(Refusal::AllCooling(_)));
        prop_assert_eq!(for_now, now.outcome.is_err() && well.outcome.is_ok());
        if let Err(Refusal::AllCooling(until)) = now.outcome {
            let cooling = now.candidates.iter().filter(|c| c.verdict == Verdict::Cooling);
            let ends = cooling.filter_map(|c| match c.standing {
                Standing::Cooling(cooling) => Some(cooling.until),
                _ => None,
            });
            prop_assert_eq!(ends.min(), Some(until), "the first of them");
            prop_assert!(until > NOW);
        }
    }

    #[test]
    fn what_an_explanation_names_would_change_the_answer(world in world()) {
        let decision = world.decide();
        let named = changes(world.facts(), &world.health, &world.need, NOW, &decision);
        prop_assert!(named.len() <= 20);
        for change in &named {
            let changed = world.without(change);
            let after = changed.decide();
            prop_assert_eq!(winner(&after), Some(change.key.id), "{:?}", change);
            prop_assert_ne!(winner(&decision), Some(change.key.id));
            prop_assert!(!change.advice.is_empty());
            for left in &change.obstacles {
                let but_one = change.obstacles.iter().copied().filter(|obstacle| obstacle != left).collect();
                let half_changed = world.without(&Change { obstacles: but_one, ..change.clone() });
                prop_assert_ne!(winner(&half_changed.decide()), Some(change.key.id), "{:?} but {:?}", change, left);
            }
        }
        if decision.outcome.is_ok() {
            let first = &decision.candidates[0];
            let is_first = first.verdict == Verdict::Chosen;
            prop_assert!(!is_first || named.is_empty(), "nothing is preferred to the first");
        }
    }

    #[test]
    fn one_is_chosen_exactly_if_there_is_an_answer(world in world()) {
        let decision = world.decide();
        let chosen: Vec<_> = decision.candidates.iter().filter(|c| c.verdict == Verdict::Chosen).collect();
        match &decision.outcome {
            Ok(choice) => {
                prop_assert_eq!(chosen.len(), 1);
                prop_assert_eq!((chosen[0].key, chosen[0].source), (choice.key, choice.source));
            }
            Err(_) => {
                prop_assert!(chosen.is_empty());
                prop_assert!(decision.candidates.iter().all(|c| c.verdict != Verdict::Eligible));
            }
        }
    }
}

/// Properties of what never comes up hold of anything.
#[test]
fn the_worlds_meet_every_kind_of_outcome() {
    let mut runner = TestRunner::deterministic();
    let decisions: Vec<_> = (0..4_000).map(|_| world().new_tree(&mut runner).unwrap().current()).collect();
    let kinds = decisions.iter().map(|world| kind(&world.decide())).collect::<Vec<_>>();
    for expected in [
        "pinned personal",
        "pinned workspace",
        "pin refused",
        "pin not found",
        "personal",
        "workspace",
        "metered",
        "bound",
        "platform without own keys",
        "platform past own keys",
        "barred by own keys",
        "none eligible",
        "all cooling",
        "unspecified",
    ] {
        let count = kinds.iter().filter(|kind| **kind == expected).count();
        assert!(count >= 15, "{expected}: {count} of 4000");
    }
}
