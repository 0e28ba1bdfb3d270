//! A key must not be sent to an address of the operator's own network.

use claviger_proto::keyvault_v1::{CreateProviderKeyRequest, Verification, secret};
use claviger_tests::fleet::{Options, create_request, environment};
use claviger_tests::{Fleet, key_for};

use super::{assert_no_trace, assert_refused};
use crate::flow::{edit, with_secret};

const NOT_ALLOWED: &str = "BASE_URL_NOT_ALLOWED";

/// Hosts that are not the public internet's.
const INSIDE: [(&str, &str); 4] = [
    (
        "loopback, private, link-local, carrier NAT, this host, metadata",
        "127.0.0.1 127.8.9.1 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 100.100.100.200 \
         0.0.0.0 168.63.129.16 192.0.0.192 255.255.255.255 224.0.0.1",
    ),
    (
        "the same in other notations",
        "2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 127.1 2852039166 \
         \u{ff11}\u{ff12}\u{ff17}.0.0.1 127\u{3002}0\u{3002}0\u{3002}1",
    ),
    (
        "IPv6: loopback, mapped, compatible, NAT64, 6to4, ULA, link-local, metadata",
        "[::1] [::] [::ffff:127.0.0.1] [::ffff:a9fe:a9fe] [::127.0.0.1] [64:ff9b::7f00:1] \
         [64:ff9b:1::a9fe:a9fe] [2002:7f00:1::] [fd00::1] [fe80::1] [fd00:ec2::254] [ff02::1]",
    ),
    (
        "names of the local network",
        "localhost LOCALHOST api.localhost printer vault.svc db.local metadata.google.internal",
    ),
];

/// No allowance: what a deployment starts with.
async fn strict() -> Fleet {
    let vault = environment(&[("CLAVIGER_EGRESS_ALLOW", "")]);
    Fleet::start_with(Options { vault, ..Default::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_url_that_leads_inside_is_refused_even_untested() {
    let fleet = strict().await;
    for (kind, host) in INSIDE.iter().flat_map(|(kind, hosts)| hosts.split_whitespace().map(move |host| (kind, host))) {
        for form in [format!("https://{host}/canary"), format!("https://{host}:8443"), format!("http://{host}")] {
            let refused = fleet.store(untested("custom", &form)).await.unwrap_err();
            assert_refused(&format!("{kind}: {form}"), &refused, NOT_ALLOWED);
        }
    }
    assert_no_trace(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_url_of_another_form_is_refused() {
    let fleet = strict().await;
    let long = format!("https://api.example.com/{}", "canary".repeat(400));
    for url in [
        "https://canary:secret@api.example.com",
        "https://canary@api.example.com",
        "https://api.openai.com@canary.example/v1",
        "https://@api.example.com/canary",
        "https://api.example.com/#canary",
        "https://api.example.com#@canary.example",
        "https://api.example.com/v1?key=canary",
        "https://api.example.com/canary?",
        "http://api.example.com/canary",
        "ftp://api.example.com/canary",
        "file:///etc/canary",
        "gopher://api.example.com/canary",
        "javascript:canary",
        "//api.example.com/canary",
        "https:api.example.com/canary",
        "https:\\\\api.example.com\\canary",
        "https://good.example\\@canary.example",
        "https://api.example.com/canary\r\nx: y",
        "https://api.exa\tmple.com/canary",
        " https://api.example.com/canary",
        "https://localhost./canary",
        "https://api.example.com.:443/canary",
        "https://api.example.com:0/canary",
        "https://exa%00mple.com/canary",
        "canary",
        &long,
    ] {
        assert_refused(url, &fleet.store(untested("custom", url)).await.unwrap_err(), NOT_ALLOWED);
    }
    // a provider whose keys have no base URL of their own
    let request = untested("google", "https://canary.example/v1");
    assert_refused("google", &fleet.store(request).await.unwrap_err(), NOT_ALLOWED);
    assert_no_trace(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_inside_is_asked_without_the_operator_s_leave() {
    let fleet = strict().await;
    let inside = format!("{}/canary", fleet.provider.uri());
    for provider in ["custom", "azure", "openai", "elevenlabs"] {
        let mut request = create_request("workspaces/acme", provider, &key_for("sk-proj-canary-", "good"));
        edit(&mut request).base_url.clone_from(&inside);
        for verification in [Verification::Require, Verification::IfPossible, Verification::Skip] {
            request.verification = verification.into();
            assert_refused(provider, &fleet.store(request.clone()).await.unwrap_err(), NOT_ALLOWED);
        }
    }
    let mut request = with_secret("workspaces/acme", "ollama", secret::Kind::UrlOnly(true));
    edit(&mut request).base_url = "http://localhost:11434/canary".into();
    assert_refused("ollama", &fleet.store(request).await.unwrap_err(), NOT_ALLOWED);
    assert_eq!(fleet.provider.received_requests().await.unwrap().len(), 0);
    assert_no_trace(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leave_for_one_address_is_no_leave_for_others() {
    let fleet = Fleet::start().await.unwrap(); // which allows 127.0.0.1
    for url in [
        "http://api.example.com/canary", // plain HTTP is for listed hosts alone
        "https://127.0.0.2/canary",
        "https://localhost/canary",
        "https://169.254.169.254/canary",
        "https://[::1]/canary",
    ] {
        assert_refused(url, &fleet.store(untested("custom", url)).await.unwrap_err(), NOT_ALLOWED);
    }
    assert_no_trace(&fleet).await;
}

fn untested(provider: &str, base_url: &str) -> CreateProviderKeyRequest {
    let mut request = create_request("workspaces/acme", provider, &key_for("", "canary"));
    edit(&mut request).base_url = base_url.to_owned();
    request.verification = Verification::Skip.into();
    request
}
