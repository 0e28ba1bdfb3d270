//! `Debug` for the messages that carry a secret, a secret's seal or a provider's words: the type's name and nothing else.

use std::fmt;

use crate::{keyvault_v1 as kv, routing_v1 as rt};

macro_rules! redacted {
    ($($message:ty),+ $(,)?) => {
        $(impl fmt::Debug for $message {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($message), "(redacted)"))
            }
        })+
    };
}

redacted!(
    kv::Secret,
    kv::secret::Kind,
    kv::CreateProviderKeyRequest,
    kv::ReplaceProviderKeySecretRequest,
    kv::RevokeLeakedSecretRequest,
    kv::CompleteProviderOAuthRequest,
    kv::FirstKey,
    kv::CreateWorkspaceRequest,
    kv::SealedKey,
    kv::Welcome,
    rt::Credential,
    rt::Header,
    rt::QueryParameter,
    rt::HttpFacts,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_messages_with_secrets_shows_none() {
        let canary = "sk-canary-0123456789";
        let kind = kv::secret::Kind::ApiKey(canary.into());
        let secret = kv::Secret { kind: Some(kind.clone()) };
        let header = rt::Header { name: "x-api-key".into(), value: canary.into() };
        let credential = rt::Credential { headers: vec![header.clone()], secret: canary.into(), ..Default::default() };
        let sealed = kv::SealedKey { sealed_secret: canary.into(), ..Default::default() };
        let snapshot = kv::TenantSnapshot { keys: vec![sealed.clone()], ..Default::default() };
        let request = kv::CreateProviderKeyRequest { secret: Some(secret.clone()), ..Default::default() };
        let resolution = rt::Resolution { credential: Some(credential.clone()), ..Default::default() };
        let query = rt::QueryParameter { name: "key".into(), value: canary.into() };
        let welcome = kv::Welcome { resolution_key: canary.into(), ..Default::default() };
        let feed = kv::subscribe_response::Message::Welcome(welcome.clone());
        let http = rt::HttpFacts { error_message: canary.into(), headers: vec![header.clone()], ..Default::default() };
        let result = Some(rt::report_outcome_request::Result::Http(http.clone()));
        let report = rt::ReportOutcomeRequest { result, ..Default::default() };
        let shown = format!(
            "{kind:?} {secret:?} {header:?} {credential:?} {sealed:?} {snapshot:?} {request:?} {resolution:?} {query:?} \
             {welcome:?} {feed:?} {http:?} {report:?}"
        );
        assert!(!shown.contains("canary"), "{shown}");
        assert!(!shown.contains(&format!("{:?}", canary.as_bytes())), "{shown}");
    }
}
