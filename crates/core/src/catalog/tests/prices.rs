//! What calls cost.

use std::time::Duration;

use super::*;
use crate::catalog::Problem;

const PRICES: &str = r#"
[fees]
per_second = "0.000003"

[[provider]]
id = "openai"
price = [
    { models = ["gpt-4o*"], input_per_1000 = "0.25", output_per_1000 = "1" },
    { models = ["gpt-4o-mini*", "gpt-4o-mini-2030"], input_per_1000 = "0.000001", output_per_1000 = "0.0006" },
    { models = ["gpt-4o-mini"], input_per_1000 = "7", output_per_1000 = "0" },
]
"#;

fn metered(model: &str) -> Metered<'_> {
    Metered {
        provider: "openai",
        model,
        platform: true,
        input_tokens: 2_000,
        output_tokens: 1_000,
        duration: Duration::ZERO,
    }
}

fn priced() -> Catalog {
    catalog().with_overrides(PRICES).unwrap()
}

fn cost(catalog: &Catalog, of: &Metered<'_>) -> (String, bool) {
    let charge = catalog.charge(of);
    (charge.credits.to_string(), charge.is_unpriced)
}

#[test]
fn the_longest_pattern_has_the_price_and_a_whole_name_over_a_beginning() {
    let catalog = priced();
    for (model, credits) in [
        ("gpt-4o", "1.5"),
        ("gpt-4o-2024", "1.5"),
        ("gpt-4o-mini", "14"),
        ("gpt-4o-mini-x", "0.000602"),
        ("gpt-4o-mini-2030", "0.000602"),
    ] {
        assert_eq!(cost(&catalog, &metered(model)), (credits.to_owned(), false), "{model}");
    }
    for model in ["gpt-4", "o1", ""] {
        assert_eq!(cost(&catalog, &metered(model)), ("0".to_owned(), true), "{model}");
    }
    let all = "[[provider]]\nid = 'openai'\nprice = [{ models = ['*'], input_per_1000 = '1', output_per_1000 = '0' }]";
    let catalog = catalog.with_overrides(all).unwrap();
    assert_eq!(cost(&catalog, &metered("")), ("2".to_owned(), false), "lists are replaced as a whole");
    assert_eq!(cost(&catalog, &Metered { provider: "gone", ..metered("x") }), ("0".to_owned(), true));
}

#[test]
fn tokens_cost_on_the_platform_s_keys_alone_and_time_on_all() {
    let catalog = priced();
    let long = Duration::from_secs(2);
    let own = Metered { platform: false, duration: long, ..metered("o1") };
    assert_eq!(cost(&catalog, &own), ("0.000006".to_owned(), false));
    let without_tokens = Metered { input_tokens: 0, output_tokens: 0, ..metered("o1") };
    assert_eq!(cost(&catalog, &without_tokens), ("0".to_owned(), false), "nothing to be priced");
    assert_eq!(cost(&catalog, &Metered { duration: long, ..metered("gpt-4o") }), ("1.500006".to_owned(), false));
    assert_eq!(catalog.fees().per_call, Credits::default());
    assert_eq!(super::catalog().fees(), Fees::default());
    assert_eq!(cost(&super::catalog(), &metered("gpt-4o")), ("0".to_owned(), true), "no prices of our own");
}

/// A third of tokens, and a third of time: neither is rounded by itself.
#[test]
fn a_charge_is_rounded_once_half_up() {
    let catalog = priced();
    let report =
        |output_tokens, duration| Metered { input_tokens: 0, output_tokens, duration, ..metered("gpt-4o-mini-x") };
    let cost = |tokens, micros| catalog.charge(&report(tokens, Duration::from_micros(micros))).credits.micros();
    // 0.6 and 3 millionths: of a token, and of a second
    assert_eq!([cost(0, 166_666), cost(0, 166_667), cost(1, 0), cost(4, 0)], [0, 1, 1, 2]);
    assert_eq!([cost(4, 33_333), cost(4, 33_334)], [2, 3], "2.4 and 0.1");
    assert_eq!(cost(1, 300_000), 2, "0.6 and 0.9");
}

#[test]
fn what_is_too_much_to_count_is_the_most_that_can_be_counted() {
    let most = "[fees]\nper_second = '999999999999.999999'\n[[provider]]\nid = 'openai'\n\
        price = [{ models = ['*'], input_per_1000 = '999999999999.999999', output_per_1000 = '999999999999.999999' }]";
    let catalog = catalog().with_overrides(most).unwrap();
    let of = Metered { input_tokens: u64::MAX, output_tokens: u64::MAX, duration: Duration::MAX, ..metered("gpt-4o") };
    assert_eq!(catalog.charge(&of).credits.micros(), u64::MAX);
}

#[test]
fn amounts_are_read_and_written_as_decimal_numbers() {
    for (text, micros) in [
        ("0", 0),
        ("1", 1_000_000),
        ("0.5", 500_000),
        ("12.000001", 12_000_001),
        ("999999999999", 999_999_999_999_000_000),
    ] {
        assert_eq!(Credits::parse(text).map(Credits::micros), Some(micros), "{text}");
        assert_eq!(Credits::of_micros(micros).to_string(), text);
    }
    assert_eq!(Credits::parse("007.10"), Some(Credits::of_micros(7_100_000)));
    assert_eq!(Credits::of_micros(u64::MAX).to_string(), "18446744073709.551615");
    for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "0.0000001", "1000000000000", "1.2.3", " 1", "٣"] {
        assert_eq!(Credits::parse(bad), None, "{bad}");
    }
}

#[test]
fn bad_prices_and_fees_are_named() {
    let price = |models: &str, input: &str, output: &str| {
        format!("price = [{{ models = {models}, input_per_1000 = '{input}', output_per_1000 = '{output}' }}]")
    };
    for (fields, field, problem) in [
        (price("[]", "0", "0"), "price[0].models", Problem::Empty),
        (price("['']", "0", "0"), "price[0].models", Problem::Pattern),
        (price("['a*b']", "0", "0"), "price[0].models", Problem::Pattern),
        (price("['a b']", "0", "0"), "price[0].models", Problem::Pattern),
        (price("['a', 'a']", "0", "0"), "price[0].models", Problem::PricedTwice),
        (price("['a']", "-1", "0"), "price[0].input_per_1000", Problem::Amount),
        (price("['a']", "0", "0.0000001"), "price[0].output_per_1000", Problem::Amount),
    ] {
        let error = catalog().with_overrides(&format!("[[provider]]\nid = 'openai'\n{fields}")).unwrap_err();
        let CatalogError::Invalid { entry, field: at, problem: what } = &error else { unreachable!("{error}") };
        assert_eq!((entry.as_str(), at.as_str(), *what), ("openai", field, problem), "{fields}");
    }
    let fee = catalog().with_overrides("[fees]\nper_call = 'free'").unwrap_err();
    assert!(
        matches!(&fee, CatalogError::Invalid { entry, field, problem: Problem::Amount } if entry == "*" && field == "fees.per_call")
    );
    for (text, entry, field) in [
        ("fees = 1", "*", "fees"),
        ("[fees]\nper_token = '1'", "*", "fees"),
        ("[fees]\nper_call = 1", "*", "fees"),
        ("[[provider]]\nid = 'openai'\nprice = [{ models = ['a'], input_per_1000 = '1' }]", "openai", "price"),
        (
            "[[provider]]\nid = 'openai'\nprice = [{ models = ['a'], input_per_1000 = 1, output_per_1000 = 1 }]",
            "openai",
            "price",
        ),
    ] {
        let error = catalog().with_overrides(text).unwrap_err();
        assert!(
            matches!(&error, CatalogError::Shape { entry: e, field: f, .. } if e == entry && *f == field),
            "{text}"
        );
    }
}

#[test]
fn fees_are_laid_over_one_by_one_and_none_of_it_changes_how_keys_are_chosen() {
    let both = priced().with_overrides("[fees]\nper_call = \"1\"").unwrap();
    let fees = Fees { per_call: Credits::of_micros(1_000_000), per_second: Credits::of_micros(3) };
    assert_eq!(both.fees(), fees);
    assert_eq!(both.canonical_text(), catalog().canonical_text());
    assert!(both.provider("dalle").unwrap().prices.is_empty(), "it is like openai, and has other models");
}

#[test]
fn the_documented_prices_do_what_they_say() {
    let docs = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/catalog.md"));
    let example = docs.split("```toml\n").nth(2).and_then(|rest| rest.split("```").next()).unwrap();
    let catalog = catalog().with_overrides(example).unwrap();
    assert_eq!(catalog.fees().per_call.to_string(), "0.001");
    assert_eq!(cost(&catalog, &metered("gpt-4o-mini")).0, "0.09");
    assert_eq!(cost(&catalog, &metered("gpt-4o")).0, "1.5");
}
