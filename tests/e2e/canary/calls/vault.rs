//! The calls of keyvault.

use claviger_proto::keyvault_v1::key_feed_client::KeyFeedClient;
use claviger_proto::keyvault_v1::{
    CompleteProviderOAuthRequest, CreateProviderKeyRequest, CreateWorkspaceRequest, FirstKey, GetProviderKeyRequest,
    GetProviderRequest, GetWorkspaceRequest, Hello, ListCategoriesRequest, ListProviderKeysRequest,
    ListProvidersRequest, LoadTenant, ProviderKey, PurgeProviderKeyRequest, ReorderProviderKeysRequest,
    ReplaceProviderKeySecretRequest, RevokeLeakedSecretRequest, RevokeProviderKeyRequest, RevokeUserKeysRequest,
    Secret, StartProviderOAuthRequest, SubscribeRequest, TestProviderKeyRequest, UpdateProviderKeyRequest,
    Verification, Workspace, secret, subscribe_request,
};
use claviger_tests::fleet::create_request;
use tonic::{Response, Status};
use uuid::Uuid;

use super::{Calls, WORKSPACE, with};

/// What a create asks, besides its secret.
type Change = fn(&mut CreateProviderKeyRequest);

impl Calls<'_> {
    /// Every way that storing a key can end.
    pub(super) async fn store_keys(&mut self) {
        for kind in ["good", "bad", "narrow", "limited", "broken", "redirect"] {
            for verification in [Verification::Require, Verification::IfPossible, Verification::Skip] {
                let mut request = create_request(WORKSPACE, "claude", &self.secret(kind));
                request.set_verification(verification);
                self.create(request.clone()).await;
                request.validate_only = true;
                self.create(request).await;
            }
        }
        self.create_labelled().await;
        self.create_malformed().await;
        self.create_service_accounts().await;
        self.create_with_passwords().await;
    }

    async fn create(&mut self, request: CreateProviderKeyRequest) -> Option<ProviderKey> {
        let answer = self.fleet.key_vault().create_provider_key(self.with_id(request)).await;
        self.keep(answer)
    }

    async fn create_labelled(&mut self) {
        let mut request = create_request(WORKSPACE, "claude", &self.secret("good"));
        let key = request.provider_key.get_or_insert_default();
        key.label = self.canaries.label.text().to_owned();
        key.key_slug = "labelled".to_owned();
        assert!(self.create(request.clone()).await.is_some());
        assert!(self.create(request).await.is_none(), "the slug is taken");
    }

    async fn create_malformed(&mut self) {
        let secret = self.secret("good");
        for malformed in [
            format!("{secret}\r\n"),
            format!(" {secret}"),
            format!("{secret}\u{e9}"),
            format!("x{secret}"),
            format!("sk-ant-admin01-{secret}"),
            secret.repeat(300),
            secret.repeat(1_000),
            secret.repeat(2_000),
        ] {
            let request = create_request(WORKSPACE, "claude", &malformed);
            assert!(self.create(request).await.is_none(), "{} bytes", malformed.len());
        }
        for (provider, other) in [("openai", &secret), ("vertex", &secret), ("nobody", &secret), (&*secret, &secret)] {
            assert!(self.create(create_request(WORKSPACE, provider, other)).await.is_none(), "{provider}");
        }
    }

    async fn create_service_accounts(&mut self) {
        let body = self.canaries.private_key.text();
        let json = |kind: &str, token_uri: &str| {
            let pem = format!("-----BEGIN PRIVATE KEY-----\\n{body}\\n-----END PRIVATE KEY-----\\n");
            format!(
                r#"{{"type":"{kind}","project_id":"p-1","private_key_id":"0123456789abcdef0123","private_key":"{pem}","client_email":"a@p-1.example","token_uri":"{token_uri}"}}"#
            )
        };
        let google = "https://oauth2.googleapis.com/token";
        let good = json("service_account", google);
        let cut = good.get(..good.len() - 1).unwrap_or_default().to_owned();
        let plain = good.replace("-----BEGIN PRIVATE KEY-----", "");
        let refused = [json("user", google), json("service_account", "https://thief.example"), cut, plain];
        for (text, accepted) in [(good.clone(), true)].into_iter().chain(refused.map(|text| (text, false))) {
            let stored = self.create(service_account("vertex", text)).await;
            assert_eq!(stored.is_some(), accepted);
        }
        assert!(self.create(service_account("claude", good.clone())).await.is_none(), "of another kind");
        assert!(self.create(create_request(WORKSPACE, "claude", &good)).await.is_none(), "as an API key");
    }

    async fn create_with_passwords(&mut self) {
        let password = self.canaries.password.text();
        for url in [
            format!("https://user:{password}@gateway.example/v1"),
            format!("https://{password}@gateway.example/v1"),
            format!("https://gateway.example/v1?key={password}"),
            format!("https://gateway.example/v1#{password}"),
            format!("ftp://user:{password}@gateway.example/v1"),
            format!("https://user:{password}@[::1"),
            format!("https://{password}.internal:99999/"),
            format!("http://169.254.169.254/{password}"),
            format!("https://10.0.0.1/{password}"),
            password.to_owned(),
        ] {
            let mut request = create_request(WORKSPACE, "custom", &self.secret("good"));
            request.provider_key.get_or_insert_default().base_url = url.clone();
            assert!(self.create(request).await.is_none(), "{url}");
        }
    }

    /// The secret in fields that are not for it.
    pub(super) async fn misplace_in_the_vault(&mut self) {
        let secret = self.secret("good");
        let changes: [(&str, Change); 6] = [
            ("parent", |request| request.parent = text(request)),
            ("workspace", |request| request.parent = format!("workspaces/{}", text(request))),
            ("provider", |request| key(request).provider = text(request)),
            ("key_slug", |request| key(request).key_slug = text(request)),
            ("location", |request| key(request).location = text(request)),
            ("base_url", |request| key(request).base_url = text(request)),
        ];
        for (field, change) in changes {
            let mut request = create_request(WORKSPACE, "custom", &secret);
            change(&mut request);
            assert!(self.create(request).await.is_none(), "{field}");
        }
        self.misplace_in_names(&secret).await;
        self.misplace_in_other_services(&secret).await;
    }

    async fn misplace_in_names(&mut self, secret: &str) {
        let fleet = self.fleet;
        for name in [secret.to_owned(), format!("{WORKSPACE}/keys/{secret}"), format!("platform/keys/{secret}")] {
            let (mut shown, mut tested) = (fleet.key_vault(), fleet.key_vault());
            self.refused("name", shown.get_provider_key(GetProviderKeyRequest { name: name.clone() }).await);
            self.refused(
                "name",
                tested.test_provider_key(TestProviderKeyRequest { name: name.clone(), ..Default::default() }).await,
            );
            let revoke = RevokeProviderKeyRequest { name, reason: format!("\n{secret}"), ..Default::default() };
            self.refused("name", fleet.key_vault().revoke_provider_key(revoke).await);
        }
        let revoke =
            RevokeProviderKeyRequest { name: some_name(), reason: format!("\n{secret}"), ..Default::default() };
        self.refused("reason", fleet.key_vault().revoke_provider_key(revoke).await);
        for (parent, page_token) in [(WORKSPACE, secret), (secret, "")] {
            let list =
                ListProviderKeysRequest { parent: parent.into(), page_token: page_token.into(), ..Default::default() };
            self.refused("list", fleet.key_vault().list_provider_keys(list).await);
        }
    }

    async fn misplace_in_other_services(&mut self, secret: &str) {
        let fleet = self.fleet;
        self.keep(fleet.catalog().list_categories(ListCategoriesRequest {}).await);
        let list = ListProvidersRequest { category: secret.to_owned() };
        self.refused("category", fleet.catalog().list_providers(list).await);
        for name in [secret.to_owned(), format!("providers/{secret}")] {
            self.refused("provider", fleet.catalog().get_provider(GetProviderRequest { name }).await);
        }
        for name in [secret.to_owned(), format!("workspaces/{secret}")] {
            self.refused("workspace", fleet.workspaces().get_workspace(GetWorkspaceRequest { name }).await);
        }
        let policies = [
            (secret, Workspace::default()),
            ("beta", Workspace { default_provider: secret.to_owned(), ..Default::default() }),
            ("beta", Workspace { default_model: format!("a {secret}"), ..Default::default() }),
        ];
        for (id, workspace) in policies {
            let create = CreateWorkspaceRequest {
                workspace_id: id.to_owned(),
                workspace: Some(workspace),
                ..Default::default()
            };
            self.refused("policy", fleet.workspaces().create_workspace(create).await);
        }
    }

    /// The feed, by someone who is not routing.
    pub(super) async fn open_the_feed(&mut self) {
        let secret = self.secret("good");
        let public_key = claviger_crypto::Handshake::new().unwrap().public_key().to_vec();
        for key in [secret.clone().into_bytes(), public_key] {
            let hello = Hello { replica: secret.clone(), public_key: key };
            let load = |tenant: &str, id: &str| LoadTenant {
                load_id: 1,
                tenant: tenant.into(),
                traceparent: secret.clone(),
                agent: id.into(),
                session: id.into(),
            };
            let messages = [
                subscribe_request::Message::Hello(hello),
                subscribe_request::Message::LoadTenant(load(&secret, "")),
                subscribe_request::Message::LoadTenant(load(WORKSPACE, &secret)),
                subscribe_request::Message::LoadTenant(load(WORKSPACE, "")),
            ];
            let messages = messages.map(|message| SubscribeRequest { message: Some(message) });
            let address = format!("http://{}", self.fleet.vault.address("grpc"));
            let mut client = KeyFeedClient::connect(address).await.unwrap();
            let Ok(answers) = client.subscribe(tokio_stream::iter(messages)).await else { continue };
            let mut answers = answers.into_inner();
            while let Ok(Some(answer)) = answers.message().await {
                self.keep(Ok(Response::new(answer)));
            }
        }
    }

    /// A create that is all right but for its metadata.
    pub(super) async fn call_vault(
        &self,
        metadata: &[(&'static str, String)],
    ) -> Result<Response<ProviderKey>, Status> {
        let mut request = create_request(WORKSPACE, "claude", &self.secret("good"));
        request.set_verification(Verification::Skip);
        self.fleet.key_vault().create_provider_key(with(request, metadata)).await
    }

    /// Every other way for a secret to come in.
    pub(super) async fn hand_over_elsewhere(&mut self) {
        let fleet = self.fleet;
        let stored = self.create(create_request(WORKSPACE, "claude", &self.secret("good"))).await.unwrap();
        for kind in ["good", "bad", "narrow", "broken", "redirect"] {
            let secret = self.secret(kind);
            for (base_url, verification) in [(None, Verification::Require), (Some(secret.clone()), Verification::Skip)]
            {
                let replace = ReplaceProviderKeySecretRequest {
                    name: stored.name.clone(),
                    secret: Some(api_key(&secret)),
                    base_url,
                    verification: verification.into(),
                    ..Default::default()
                };
                self.keep(fleet.key_vault().replace_provider_key_secret(self.with_id(replace)).await);
            }
        }
        let secret = self.secret("good");
        for (label, path) in [(secret.as_str(), "label"), ("x", &secret), (&secret, "allowed_models")] {
            let key = ProviderKey {
                name: stored.name.clone(),
                label: label.to_owned(),
                allowed_models: vec![format!("a {secret}")],
                ..Default::default()
            };
            let mut update = UpdateProviderKeyRequest { provider_key: Some(key), ..Default::default() };
            update.update_mask.get_or_insert_default().paths.push(path.to_owned());
            self.replace_with(&stored.name, &secret).await; // the label is compared with what is stored
            self.refused("update", fleet.key_vault().update_provider_key(update).await);
        }
        self.lose(&secret).await;
        let order =
            ReorderProviderKeysRequest { parent: secret.clone(), names: vec![secret.clone()], ..Default::default() };
        self.refused("order", fleet.key_vault().reorder_provider_keys(order).await);
        let start = StartProviderOAuthRequest {
            parent: WORKSPACE.into(),
            provider: secret.clone(),
            redirect_uri: secret.clone(),
            ..Default::default()
        };
        self.refused("oauth", fleet.key_vault().start_provider_o_auth(start).await);
        let complete =
            CompleteProviderOAuthRequest { state: secret.clone(), code: secret.clone(), request_id: "o".into() };
        self.refused("oauth", fleet.key_vault().complete_provider_o_auth(complete).await);
        let first_key = FirstKey {
            provider_key: Some(ProviderKey { provider: "claude".into(), ..Default::default() }),
            secret: Some(api_key(&secret)),
            ..Default::default()
        };
        let create = CreateWorkspaceRequest {
            workspace_id: "first".into(),
            workspace: Some(Workspace::default()),
            first_key: Some(first_key),
            ..Default::default()
        };
        self.keep(fleet.workspaces().create_workspace(create).await);
        self.create_labelled().await; // purging has emptied the write-ahead log, which is to be searched
    }

    async fn replace_with(&mut self, name: &str, secret: &str) {
        let request = ReplaceProviderKeySecretRequest {
            name: name.to_owned(),
            secret: Some(api_key(secret)),
            verification: Verification::Skip.into(),
            request_id: Uuid::now_v7().to_string(),
            ..Default::default()
        };
        assert!(self.keep(self.fleet.key_vault().replace_provider_key_secret(request).await).is_some());
    }

    /// Secrets that leaked: one that some keys have, one of another form, and with a reason that tells it.
    async fn lose(&mut self, secret: &str) {
        for (secret, reason, accepted) in [
            (secret.to_owned(), format!("found {secret}"), false),
            (format!("{secret} "), String::new(), false),
            (format!("{secret}-unknown"), "unknown".to_owned(), true),
            (secret.to_owned(), "found".to_owned(), true),
        ] {
            let leaked = RevokeLeakedSecretRequest {
                secret: Some(api_key(&secret)),
                reason,
                request_id: Uuid::now_v7().to_string(),
            };
            let answer = self.fleet.key_vault().revoke_leaked_secret(self.with_id(leaked)).await;
            assert_eq!(self.keep(answer).is_some(), accepted);
        }
        let user = RevokeUserKeysRequest { parent: secret.to_owned(), reason: secret.to_owned(), ..Default::default() };
        self.refused("user", self.fleet.key_vault().revoke_user_keys(user).await);
    }

    /// Shows, lists, tests, revokes and purges every key.
    pub(super) async fn end_keys(&mut self) {
        let fleet = self.fleet;
        let list = ListProviderKeysRequest { parent: WORKSPACE.into(), page_size: 500, ..Default::default() };
        let listed = self.keep(fleet.key_vault().list_provider_keys(list).await).unwrap();
        assert!(listed.provider_keys.len() > 20);
        for ProviderKey { name, .. } in listed.provider_keys {
            self.keep(fleet.key_vault().get_provider_key(GetProviderKeyRequest { name: name.clone() }).await);
            self.keep(
                fleet
                    .key_vault()
                    .test_provider_key(TestProviderKeyRequest { name: name.clone(), ..Default::default() })
                    .await,
            );
            let revoke = RevokeProviderKeyRequest { name: name.clone(), reason: "done".into(), ..Default::default() };
            self.keep(fleet.key_vault().revoke_provider_key(revoke).await);
            self.keep(
                fleet
                    .key_vault()
                    .purge_provider_key(PurgeProviderKeyRequest { name: name.clone(), ..Default::default() })
                    .await,
            );
            let again =
                fleet.key_vault().test_provider_key(TestProviderKeyRequest { name, ..Default::default() }).await;
            self.refused("a test of a revoked key", again);
        }
    }
}

fn service_account(provider: &str, json: String) -> CreateProviderKeyRequest {
    let mut request = create_request(WORKSPACE, provider, "");
    request.secret = Some(Secret { kind: Some(secret::Kind::ServiceAccountJson(json)) });
    request.verification = Verification::Skip.into(); // a test would ask Google
    request
}

/// The secret of a request.
fn text(request: &CreateProviderKeyRequest) -> String {
    match request.secret.as_ref().and_then(|secret| secret.kind.as_ref()) {
        Some(secret::Kind::ApiKey(text)) => text.clone(),
        _ => String::new(),
    }
}

fn key(request: &mut CreateProviderKeyRequest) -> &mut ProviderKey {
    request.provider_key.get_or_insert_default()
}

fn api_key(secret: &str) -> Secret {
    Secret { kind: Some(secret::Kind::ApiKey(secret.to_owned())) }
}

fn some_name() -> String {
    format!("{WORKSPACE}/keys/{}", Uuid::now_v7())
}
