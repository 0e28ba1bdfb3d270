//! What keys of each provider look like.

use proptest::prelude::*;

use super::super::key_format::MAX_API_KEY;
use super::*;

#[test]
fn keys_of_the_known_forms_raise_no_warning() {
    let catalog = catalog();
    let hex = |n: usize| "0a".repeat(n / 2);
    for (id, key) in [
        ("anthropic", format!("{}AA", fake("sk-ant-api03-", 106))),
        ("openai", format!("{}T3BlbkFJ{}", fake("sk-proj-", 80), "a".repeat(70))),
        ("dalle", format!("{}T3BlbkFJ{}", fake("sk-", 23), "a".repeat(20))),
        ("openai-tts", format!("{}T3BlbkFJ{}", fake("sk-svcacct-", 80), "a".repeat(70))),
        ("openrouter", format!("sk-or-v1-{}", hex(64))),
        ("groq", fake("gsk_", 56)),
        ("google", fake("AIza", 39)),
        ("google", fake("AQ.Ab8R", 53)),
        ("azure", hex(32)),
        ("azure", "A1".repeat(42)),
        ("custom", "x".to_owned()),
        ("ollama", "x".to_owned()),
        ("mistral", "aB3d".repeat(8)),
        ("cohere", "aB3d".repeat(10)),
        ("deepseek", format!("sk-{}", hex(32))),
        ("xai", fake("xai-", 84)),
        ("together", fake("tgp_v1_", 50)),
        ("together", hex(64)),
        ("fireworks", fake("fw_", 25)),
        ("cerebras", fake("csk-", 52)),
        ("bedrock", format!("{}=", fake("ABSK", 132))),
        ("stability", fake("sk-", 51)),
        ("fal", format!("00000000-0000-0000-0000-000000000000:{}", hex(32))),
        ("fal-video", format!("00000000-0000-0000-0000-000000000000:{}", hex(32))),
        ("replicate", fake("r8_", 40)),
        ("runway", format!("key_{}", hex(128))),
        ("luma", fake("luma-api-", 40)),
        ("pika", "dk_x".to_owned()),
        ("elevenlabs", format!("sk_{}", hex(48))),
        ("cartesia", fake("sk_car_", 40)),
        ("deepgram", hex(40)),
        ("perplexity", fake("pplx-", 53)),
        ("tavily", fake("tvly-dev-", 41)),
        ("serper", hex(40)),
        ("brave", fake("BSA", 31)),
        ("exa", "00000000-0000-0000-0000-000000000000".to_owned()),
    ] {
        assert_eq!(catalog.provider(id).unwrap().check_api_key(&key), Ok(Vec::new()), "{id}");
    }
}

#[test]
fn what_providers_promise_is_enforced() {
    let catalog = catalog();
    let enforced: Vec<_> = catalog.providers().iter().filter(|p| p.key.enforce).map(|p| p.id.as_str()).collect();
    assert_eq!(
        enforced,
        [
            "anthropic",
            "openai",
            "openrouter",
            "groq",
            "deepseek",
            "xai",
            "cerebras",
            "dalle",
            "replicate",
            "runway",
            "openai-tts",
            "perplexity",
            "tavily"
        ]
    );
    for provider in catalog.providers().iter().filter(|p| p.key.enforce) {
        let other = provider.check_api_key(&fake("zz-", 200));
        assert_eq!(other, Err(KeyFormatError::Prefix(provider.key.prefixes.clone())), "{}", provider.id);
        let min = provider.key.min_length;
        let short = fake(&provider.key.prefixes[0], min - 1);
        assert_eq!(provider.check_api_key(&short), Err(KeyFormatError::TooShort(min)), "{}", provider.id);
        assert!(provider.check_api_key(&fake(&provider.key.prefixes[0], min)).is_ok(), "{}", provider.id);
    }
}

#[test]
fn what_was_only_observed_warns() {
    let catalog = catalog();
    for (id, key, warning) in [
        ("anthropic", fake("sk-ant-", 40), KeyWarning::Unusual),
        ("google", fake("zz", 39), KeyWarning::Prefix(vec!["AIza".to_owned(), "AQ.".to_owned()])),
        ("mistral", "short".to_owned(), KeyWarning::Short(32)),
        ("fal", "a".repeat(60), KeyWarning::Lacks(":".to_owned())),
        ("exa", "not-a-uuid-but-long-enough".to_owned(), KeyWarning::Unusual),
    ] {
        let warnings = catalog.provider(id).unwrap().check_api_key(&key).unwrap();
        assert_eq!(warnings, std::slice::from_ref(&warning), "{id}");
        assert!(!warning.to_string().contains(&key));
    }
    let warnings =
        catalog.provider("bedrock").unwrap().check_api_key(&fake("bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29t", 99));
    assert!(matches!(warnings.unwrap().as_slice(), [KeyWarning::Note(note)] if note.contains("12 hours")));
}

#[test]
fn keys_of_another_kind_or_provider_are_refused_with_a_reason() {
    let catalog = catalog();
    for (id, prefix, reason) in [
        ("anthropic", "sk-ant-admin01-", "admin key"),
        ("anthropic", "sk-ant-oat01-", "Claude Code"),
        ("openai", "sk-admin-", "admin key"),
        ("openai", "sk-ant-api03-", "key for Anthropic"),
        ("openai", "sk-or-v1-", "key for OpenRouter"),
        ("openai-tts", "sk-or-v1-", "key for OpenRouter"),
        ("deepseek", "sk-ant-api03-", "key for Anthropic"),
        ("stability", "sk-ant-api03-", "key for Anthropic"),
        ("xai", "xai-token-", "management key"),
        ("cartesia", "sk_car_admin_", "admin key"),
        ("elevenlabs", "sk_car_", "key for Cartesia"),
    ] {
        let error = catalog.provider(id).unwrap().check_api_key(&fake(prefix, 110)).unwrap_err();
        assert!(matches!(&error, KeyFormatError::Rejected(why) if why.contains(reason)), "{id} {prefix}: {error:?}");
    }
    // sk- alone says nothing: DeepSeek's, OpenAI's and Stability's look alike
    assert!(catalog.provider("deepseek").unwrap().check_api_key(&fake("sk-", 51)).is_ok());
    let vertex = catalog.provider("vertex").unwrap().check_api_key("x");
    assert_eq!(vertex, Err(KeyFormatError::WrongKind(AuthType::ApiKey)));
}

#[test]
fn nothing_is_trimmed_or_folded() {
    let catalog = catalog();
    let good = fake("sk-ant-", 60);
    for provider in catalog.providers().iter().filter(|p| p.auth_types.contains(&AuthType::ApiKey)) {
        for bad in [
            " {}",
            "{} ",
            "{}\n",
            "{}\r\n",
            "{}\r\nx-evil: 1",
            "{}\t",
            "{}\0",
            "{}\u{7f}",
            "{}\u{a0}",
            "{}\u{200b}",
            "{}\u{e9}",
        ] {
            let key = bad.replace("{}", &good);
            assert_eq!(provider.check_api_key(&key), Err(KeyFormatError::Character), "{} {bad:?}", provider.id);
        }
        assert_eq!(provider.check_api_key(""), Err(KeyFormatError::Empty));
        let long = Err(KeyFormatError::TooLong(MAX_API_KEY));
        assert_eq!(provider.check_api_key(&fake("sk-ant-", MAX_API_KEY + 1)), long, "{}", provider.id);
    }
    assert!(catalog.provider("custom").unwrap().check_api_key(&fake("k", MAX_API_KEY)).is_ok());
}

#[test]
fn an_id_that_looks_like_a_key_is_told_from_one_that_does_not() {
    let catalog = catalog();
    for prefix in ["sk-", "sk-ant-api03-", "gsk_", "AIza", "xai-", "r8_"] {
        assert!(catalog.resembles_key(&fake(prefix, 40)), "{prefix}");
        assert!(
            !catalog.resembles_key(&fake(prefix, 20)) && !catalog.resembles_key(&format!("user-{}", fake(prefix, 40)))
        );
    }
    for id in
        ["ann", "ann@example.org", "01a20093-199c-71e9-af21-41f72e736cfc", "claude-sonnet-4-5-20250929-v1:0-and-more"]
    {
        assert!(!catalog.resembles_key(id), "{id}");
    }
    let models = catalog.providers().iter().flat_map(|p| &p.model_prefixes);
    assert!(models.into_iter().all(|model| !catalog.resembles_key(&format!("{model}-{}", "x".repeat(60)))));
}

proptest! {
    #[test]
    fn no_message_repeats_the_key(
        secret in prop_oneof![".{20,60}", "(sk-|sk-ant-|sk-ant-oat|xai-token-|AIza|gsk_)[!-~]{20,80}"],
    ) {
        let catalog = catalog();
        for provider in catalog.providers() {
            let said = match provider.check_api_key(&secret) {
                Ok(warnings) => warnings.iter().map(|w| format!("{w} {w:?}")).collect::<String>(),
                Err(error) => format!("{error} {error:?}"),
            };
            prop_assert!(!said.contains(&secret) && !said.contains(&secret[secret.ceil_char_boundary(secret.len() - 12)..]));
        }
    }
}
