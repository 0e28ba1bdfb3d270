//! What a REST caller writes into a URL ends up in the logs of proxies: no secret may go there.

use std::collections::BTreeSet;

use protox::prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor,
};

use super::{methods, pool};

/// What may stand behind a URL's question mark.
const QUERY: [&str; 8] =
    ["category", "etag", "filter", "page_size", "page_token", "request_id", "show_revoked", "update_mask"];

#[test]
fn no_secret_can_be_reached_by_a_query_parameter() {
    let pool = pool();
    let mut queries = BTreeSet::new();
    let mut bindings = 0;
    for method in methods(&pool) {
        for rule in rules(&pool, &method) {
            bindings += 1;
            for field in query(&rule, &method.input()) {
                assert!(!holds_secret(&field), "{}: {}", method.full_name(), field.name());
                queries.insert(field.name().to_owned());
            }
            assert!(!method.output().fields().any(|field| holds_secret(&field)), "{}", method.full_name());
        }
    }
    assert!(bindings > 40, "{bindings}");
    let unknown: Vec<_> = queries.iter().filter(|name| !QUERY.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "names, paging and marks alone: {unknown:?}");
}

/// The check above finds what it is to find.
#[test]
fn secrets_are_known_by_their_marks() {
    let pool = pool();
    let mut held = BTreeSet::new();
    for method in methods(&pool) {
        held.extend(method.input().fields().filter(holds_secret).map(|field| field.full_name().to_owned()));
    }
    let expected = [
        "keyvault.v1.CompleteProviderOAuthRequest.code",
        "keyvault.v1.CreateProviderKeyRequest.secret",
        "keyvault.v1.CreateWorkspaceRequest.first_key",
        "keyvault.v1.ReplaceProviderKeySecretRequest.secret",
        "keyvault.v1.RevokeLeakedSecretRequest.secret",
        "routing.v1.ReportOutcomeRequest.http", // a provider's message may quote the key
    ];
    assert_eq!(held, expected.map(|name| format!("claviger.{name}")).into());
}

/// A method's HTTP bindings.
fn rules(pool: &DescriptorPool, method: &MethodDescriptor) -> Vec<DynamicMessage> {
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    let options = method.options();
    if !options.has_extension(&http) {
        return Vec::new();
    }
    let rule = options.get_extension(&http).as_message().unwrap().clone();
    let more = rule.get_field_by_name("additional_bindings").unwrap();
    let more: Vec<_> = more.as_list().unwrap().iter().map(|rule| rule.as_message().unwrap().clone()).collect();
    [vec![rule], more].concat()
}

/// The fields that are neither in the body nor in the path: by the rules of transcoding, query parameters.
fn query(rule: &DynamicMessage, input: &MessageDescriptor) -> Vec<FieldDescriptor> {
    let text = |name: &str| rule.get_field_by_name(name).unwrap().as_str().unwrap_or_default().to_owned();
    let path = ["get", "put", "post", "delete", "patch"].map(text).concat();
    let body = text("body");
    let elsewhere =
        |field: &FieldDescriptor| body == "*" || body == field.name() || path.contains(&format!("{{{}=", field.name()));
    input.fields().filter(|field| !elsewhere(field)).collect()
}

/// Whether a field, or something within it, is kept out of what is shown.
fn holds_secret(field: &FieldDescriptor) -> bool {
    let redacted = field.options().get_field_by_name("debug_redact").unwrap().as_bool().unwrap();
    let within = |message: &MessageDescriptor| {
        message.full_name().starts_with("claviger.") && message.fields().any(|field| holds_secret(&field))
    };
    redacted || matches!(&field.kind(), Kind::Message(message) if within(message))
}
