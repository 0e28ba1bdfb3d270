//! What the built-in file says.

use super::super::rule::{Ruling, StatusMatch};
use super::*;

const IDS: [&str; 34] = [
    "anthropic",
    "openai",
    "openrouter",
    "groq",
    "google",
    "vertex",
    "azure",
    "custom",
    "ollama",
    "mistral",
    "cohere",
    "deepseek",
    "xai",
    "together",
    "fireworks",
    "cerebras",
    "bedrock",
    "dalle",
    "stability",
    "fal",
    "replicate",
    "runway",
    "luma",
    "pika",
    "fal-video",
    "elevenlabs",
    "openai-tts",
    "cartesia",
    "deepgram",
    "perplexity",
    "tavily",
    "serper",
    "brave",
    "exa",
];

#[test]
fn it_holds_the_providers_in_order() {
    let catalog = catalog();
    let ids: Vec<_> = catalog.providers().iter().map(|p| p.id.as_str()).collect();
    assert_eq!(ids, IDS);
    assert_eq!(catalog.categories(), Category::ALL);
    for (category, count) in Category::ALL.into_iter().zip([17, 4, 4, 4, 5]) {
        assert_eq!(
            catalog.providers().iter().filter(|p| p.categories.contains(&category)).count(),
            count,
            "{category:?}"
        );
    }
}

#[test]
fn aliases_find_their_provider() {
    let catalog = catalog();
    for (alias, id) in [
        ("claude", "anthropic"),
        ("gemini", "google"),
        ("google-ai-studio", "google"),
        ("google-vertex", "vertex"),
        ("azure-openai", "azure"),
        ("openai-compatible", "custom"),
        ("grok", "xai"),
        ("aws-bedrock", "bedrock"),
        ("amazon-bedrock", "bedrock"),
        ("openai-images", "dalle"),
        ("runwayml", "runway"),
        ("lumalabs", "luma"),
        ("pika-labs", "pika"),
        ("anthropic", "anthropic"),
    ] {
        assert_eq!(catalog.provider(alias).unwrap().id.as_str(), id, "{alias}");
    }
    for unknown in ["", "Claude", "claude ", "sk-"] {
        assert!(catalog.provider(unknown).is_none(), "{unknown}");
    }
}

#[test]
fn models_imply_providers() {
    let catalog = catalog();
    for (model, providers) in [
        ("claude-sonnet-5", vec!["anthropic"]),
        ("gemini-2.5-pro", vec!["google", "vertex"]),
        ("models/gemini-2.5-pro", vec!["google"]),
        ("gpt-5.5", vec!["openai"]),
        ("gpt-oss-20b", vec![]),
        ("openai/gpt-oss-20b", vec![]),
        ("o1", vec!["openai"]),
        ("o1-mini", vec!["openai"]),
        ("o10", vec![]),
        ("o3x", vec![]),
        ("gpt-image-2", vec!["openai", "dalle"]),
        ("chatgpt-image-1", vec!["openai", "dalle"]),
        ("tts-1-hd", vec!["openai", "openai-tts"]),
        ("gpt-4o-mini-tts", vec!["openai", "openai-tts"]),
        ("gpt-4o-mini", vec!["openai"]),
        ("anthropic.claude-3-haiku", vec!["bedrock"]),
        ("us-gov.anthropic.claude-3-haiku", vec!["bedrock"]),
        ("anthropic/claude-3-haiku", vec![]),
        ("mistral-large-latest", vec!["mistral"]),
        ("open-mixtral-8x22b", vec!["mistral"]),
        ("command-a-03-2025", vec!["cohere"]),
        ("commander", vec![]),
        ("deepseek-v4-flash", vec!["deepseek"]),
        ("deepseek-ai/DeepSeek-V3", vec!["deepseek"]),
        ("grok-latest", vec!["xai"]),
        ("fal-ai/flux/dev", vec!["fal"]),
        ("fal-ai/veo3/fast", vec!["fal-video"]),
        ("fal-ai/pika/v2.2/text-to-video", vec!["fal-video"]),
        ("gen4_turbo", vec!["runway"]),
        ("sonar-pro", vec!["perplexity"]),
        ("eleven_multilingual_v2", vec!["elevenlabs"]),
        ("openrouter/auto", vec!["openrouter"]),
        ("~openrouter/auto", vec!["openrouter"]),
        ("accounts/fireworks/models/x", vec!["fireworks"]),
        ("llama3:8b", vec![]),
        ("Claude-sonnet-5", vec![]),
        ("", vec![]),
    ] {
        let implied: Vec<_> = catalog.providers_for_model(model).into_iter().map(|id| id.as_str()).collect();
        assert_eq!(implied, providers, "{model}");
    }
}

#[test]
fn a_default_model_never_leads_to_another_provider() {
    let catalog = catalog();
    for provider in catalog.providers() {
        for (category, model) in &provider.default_models {
            let implied = catalog.providers_for_model(model);
            let hosted = implied.is_empty() || implied.contains(&&provider.id);
            assert!(hosted, "{} {category:?}", provider.id);
        }
    }
    assert_eq!(catalog.provider("claude").unwrap().default_model(Category::Llm), Some("claude-sonnet-5"));
    assert_eq!(catalog.provider("claude").unwrap().default_model(Category::Image), None);
}

#[test]
fn limits_and_failures_never_condemn_a_key() {
    let catalog = catalog();
    let condemns = |rule: &&Rule| rule.ruling == Ruling::Outcome(Outcome::InvalidKey);
    let tests = catalog.providers().iter().flat_map(|p| match &p.test {
        LiveTest::Http(test) => test.rules.iter(),
        LiveTest::TokenExchange(test) => test.rules.iter(),
        LiveTest::None { .. } => [].iter(),
    });
    let all = catalog.providers().iter().flat_map(|p| &p.rules).chain(tests).chain(&catalog.rules);
    for rule in all.filter(condemns) {
        assert!(!matches!(rule.status, StatusMatch::ServerErrors | StatusMatch::Exactly(429 | 500..)), "{rule:?}");
    }
    for provider in catalog.providers() {
        for status in [0, 100, 302, 418, 429, 500, 502, 503, 529] {
            let verdict = catalog.test_verdict(provider, &HttpFacts { status, ..HttpFacts::default() });
            let expected_live =
                status == 429 && matches!(&provider.test, LiveTest::Http(t) if t.rate_limited_proves_live);
            match verdict {
                TestVerdict::RateLimitedLive => assert!(expected_live, "{} {status}", provider.id),
                TestVerdict::Inconclusive { .. } => assert!(!expected_live, "{} {status}", provider.id),
                other => unreachable!("{} {status}: {other:?}", provider.id),
            }
        }
    }
}

#[test]
fn shared_keys_are_known() {
    let catalog = catalog();
    for (id, like) in [("dalle", "openai"), ("openai-tts", "openai"), ("fal-video", "fal")] {
        let (provider, base) = (catalog.provider(id).unwrap(), catalog.provider(like).unwrap());
        assert_eq!(provider.like.as_ref(), Some(&base.id));
        assert_eq!(provider.rules, base.rules);
        assert_eq!(provider.headers, base.headers);
        assert_eq!(provider.test, base.test);
        assert_ne!(provider.categories, base.categories);
    }
}
