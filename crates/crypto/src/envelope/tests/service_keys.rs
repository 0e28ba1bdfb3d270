//! Service keys.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

#[test]
fn a_key_comes_back_for_its_purpose_alone() {
    let keyring = keyring(ROOT);
    let key = ServiceKey::generate().unwrap();
    let wrapped = key.wrap(keyring.primary(), "fingerprint").unwrap();
    let back = ServiceKey::unwrap(keyring.primary(), "fingerprint", &wrapped).unwrap();
    assert_eq!(back.mac("d", &[b"x"]), key.mac("d", &[b"x"]));

    let other = super::keyring(OTHER_ROOT);
    assert_eq!(ServiceKey::unwrap(keyring.primary(), "page", &wrapped).unwrap_err(), OpenError::Commitment);
    assert_eq!(ServiceKey::unwrap(other.primary(), "fingerprint", &wrapped).unwrap_err(), OpenError::OtherKey);
}

#[test]
fn a_tag_belongs_to_its_key_domain_and_parts() {
    let key = ServiceKey::generate().unwrap();
    let tag = key.mac("page", &[b"ab", b"c"]);
    assert!(key.verify("page", &[b"ab", b"c"], &tag));

    assert!(!ServiceKey::generate().unwrap().verify("page", &[b"ab", b"c"], &tag));
    let others: [(&str, &[&[u8]]); 6] = [
        ("pagea", &[b"b", b"c"]),
        ("pag", &[b"ab", b"c"]),
        ("page", &[b"a", b"bc"]),
        ("page", &[b"abc"]),
        ("page", &[b"ab", b"c", b""]),
        ("page", &[b"c", b"ab"]),
    ];
    for (domain, parts) in others {
        assert!(!key.verify(domain, parts, &tag), "{domain} {parts:?}");
    }
}

#[test]
fn a_shortened_longer_or_altered_tag_is_refused() {
    let key = ServiceKey::generate().unwrap();
    let tag = key.mac("page", &[b"x"]);
    for length in 0..tag.len() {
        assert!(!key.verify("page", &[b"x"], &tag[..length]));
    }
    assert!(!key.verify("page", &[b"x"], &[tag.as_slice(), &[0]].concat()));
    for bit in 0..256 {
        let mut altered = tag;
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(!key.verify("page", &[b"x"], &altered), "bit {bit}");
    }
}

#[test]
fn debug_shows_nothing() {
    assert_eq!(format!("{:#?}", ServiceKey::generate().unwrap()), "ServiceKey(redacted)");
}
