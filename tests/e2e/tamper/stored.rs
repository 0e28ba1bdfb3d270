//! A stored key, as its owner knows it.

use claviger_proto::keyvault_v1::{CreateProviderKeyRequest, Verification};
use claviger_proto::routing_v1::ResolveKeyRequest;
use claviger_tests::fleet::{create_request, resolve_request};
use claviger_tests::{Fleet, key_for};

/// A key, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) parent: String,
    pub(super) uid: String,
    pub(super) slug: String,
    pub(super) secret: String,
}

/// Stores a key without a live test: none of the secrets has been sent anywhere.
pub(super) async fn store(fleet: &Fleet, parent: &str, provider: &str, slug: &str) -> Stored {
    let prefix = match provider {
        "anthropic" => "sk-ant-api03-",
        "bedrock" => "ABSK",
        _ => "sk-",
    };
    let secret = key_for(prefix, "good");
    let request = request(fleet, parent, provider, slug, &secret);
    let key = fleet.key_vault().create_provider_key(request).await.unwrap().into_inner();
    Stored { parent: parent.to_owned(), uid: key.uid, slug: slug.to_owned(), secret }
}

fn request(fleet: &Fleet, parent: &str, provider: &str, slug: &str, secret: &str) -> CreateProviderKeyRequest {
    let mut request = create_request(parent, provider, secret);
    request.set_verification(Verification::Skip);
    let key = request.provider_key.get_or_insert_default();
    key.key_slug = slug.to_owned();
    match provider {
        "custom" => key.base_url = format!("{}/{slug}", fleet.provider.uri()),
        "bedrock" => key.location = "us-east-1".to_owned(),
        _ => {}
    }
    request
}

impl Stored {
    /// Its resource name.
    pub(super) fn name(&self) -> String {
        format!("{}/keys/{}", self.parent, self.uid)
    }

    /// The same key under another owner.
    pub(super) fn under(&self, parent: &str) -> Self {
        Self { parent: parent.to_owned(), ..self.clone() }
    }

    /// Asks for exactly this key; none for a platform key.
    pub(super) fn request(&self) -> Option<ResolveKeyRequest> {
        let (workspace, user) = self.parent.rsplit_once("/users/").unwrap_or((&self.parent, ""));
        let mut request = resolve_request(workspace);
        request.user = user.to_owned();
        request.key_slug = self.slug.clone();
        (workspace != "platform").then_some(request)
    }

    /// Its owner gets it.
    pub(super) async fn assert_resolves(&self, fleet: &Fleet) {
        let resolution = fleet.routing().resolve_key(self.request().unwrap()).await.unwrap().into_inner();
        assert_eq!(resolution.credential.unwrap().secret, self.secret, "{self:?}");
    }
}
