#![expect(clippy::unwrap_used, reason = "tests")]

use rcgen::{CertificateParams, KeyPair, SanType};

use super::*;

fn identified(names: Vec<SanType>) -> Result<String, IdentityError> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = names;
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let domain = TrustDomain::new("example.org").unwrap();
    identify(&[certificate.der().clone()], &domain).map(|id| id.to_string())
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

#[test]
fn one_uri_among_other_names_is_the_identity() {
    let names =
        vec![SanType::DnsName("routing.example.org".try_into().unwrap()), uri("spiffe://example.org/ns/a/sa/b")];
    assert_eq!(identified(names).unwrap(), "spiffe://example.org/ns/a/sa/b");
}

#[test]
fn none_or_two_uris_are_no_identity() {
    assert_eq!(identified(vec![]), Err(IdentityError::NoUri));
    let dns = SanType::DnsName("example.org".try_into().unwrap());
    assert_eq!(identified(vec![dns]), Err(IdentityError::NoUri));
    let two = vec![uri("spiffe://example.org/a"), uri("spiffe://example.org/a")];
    assert_eq!(identified(two), Err(IdentityError::SeveralUris));
    let foreign_second = vec![uri("spiffe://example.org/a"), uri("https://x/")];
    assert_eq!(identified(foreign_second), Err(IdentityError::SeveralUris));
}

#[test]
fn no_certificate_and_no_der_are_no_identity() {
    let domain = TrustDomain::new("example.org").unwrap();
    assert_eq!(identify(&[], &domain), Err(IdentityError::NoCertificate));
    assert_eq!(identify(&[CertificateDer::from(vec![0x30, 0x03, 1, 2])], &domain), Err(IdentityError::Malformed));
}

#[test]
fn names_are_compared_byte_for_byte() {
    use IdentityError::{ForeignTrustDomain, Path, Scheme, TrustDomain};
    let cases = [
        ("spiffe://example.com/a", ForeignTrustDomain),
        ("spiffe://example.org.evil.com/a", ForeignTrustDomain),
        ("spiffe://example.or/a", ForeignTrustDomain),
        ("spiffe://Example.org/a", TrustDomain),
        ("spiffe://ex%61mple.org/a", TrustDomain),
        ("spiffe://user@example.org/a", TrustDomain),
        ("spiffe://example.org:443/a", TrustDomain),
        ("spiffe:///a", TrustDomain),
        ("spiffe://", TrustDomain),
        ("SPIFFE://example.org/a", Scheme),
        ("spiffe:/example.org/a", Scheme),
        (" spiffe://example.org/a", Scheme),
        ("https://example.org/a", Scheme),
        ("spiffe://example.org", Path),
        ("spiffe://example.org/", Path),
        ("spiffe://example.org/a/", Path),
        ("spiffe://example.org//a", Path),
        ("spiffe://example.org/../a", Path),
        ("spiffe://example.org/a/./b", Path),
        ("spiffe://example.org/a%2fb", Path),
        ("spiffe://example.org/a?b", Path),
        ("spiffe://example.org/a#b", Path),
        ("spiffe://example.org?/a", TrustDomain),
    ];
    for (text, error) in cases {
        assert_eq!(identified(vec![uri(text)]), Err(error), "{text}");
    }
}

#[test]
fn an_id_has_an_end() {
    let long = format!("spiffe://example.org/{}", "a".repeat(MAX_LENGTH));
    assert_eq!(long.parse::<SpiffeId>(), Err(IdentityError::TooLong));
    assert!(super::TrustDomain::new(&"a".repeat(256)).is_err());
    assert!(long[..MAX_LENGTH].parse::<SpiffeId>().is_ok());
}
