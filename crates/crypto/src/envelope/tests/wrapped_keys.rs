//! Workspace keys under a root key.

#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

/// Proves that two workspace keys are the same: what one sealed, the other opens.
fn same(one: &WorkspaceKey, other: &WorkspaceKey) -> bool {
    let sealed = one.seal(1, &context(), b"probe").unwrap();
    other.open(1, &context(), &sealed).is_ok()
}

#[test]
fn a_key_comes_back() {
    let keyring = keyring(ROOT);
    let key = WorkspaceKey::generate().unwrap();
    let wrapped = key.wrap(keyring.primary(), "acme", 1).unwrap();
    assert_eq!(wrapping_root_id(&wrapped).unwrap(), keyring.primary().id());
    assert!(same(&key, &WorkspaceKey::unwrap(keyring.primary(), "acme", 1, &wrapped).unwrap()));
    assert!(!same(&key, &WorkspaceKey::generate().unwrap()));
}

#[test]
fn it_unwraps_in_its_own_place_alone() {
    let keyring = keyring(ROOT);
    let wrapped = WorkspaceKey::generate().unwrap().wrap(keyring.primary(), "acme", 1).unwrap();
    for (tenant, version) in [("acme2", 1), ("", 1), ("acme", 2), ("acme", 0)] {
        let error = WorkspaceKey::unwrap(keyring.primary(), tenant, version, &wrapped).unwrap_err();
        assert_eq!(error, OpenError::Commitment, "{tenant} {version}");
    }
    assert_eq!(ServiceKey::unwrap(keyring.primary(), "acme", &wrapped).unwrap_err(), OpenError::Commitment);
}

#[test]
fn another_root_key_unwraps_nothing() {
    let (right, wrong) = (keyring(ROOT), keyring(OTHER_ROOT));
    let wrapped = WorkspaceKey::generate().unwrap().wrap(right.primary(), "acme", 1).unwrap();
    assert_eq!(WorkspaceKey::unwrap(wrong.primary(), "acme", 1, &wrapped).unwrap_err(), OpenError::OtherKey);

    // Nor does it when the header is made to name it: the two ids are equally long.
    let mut renamed = wrapped;
    let id = wrong.primary().id().as_bytes();
    renamed[3..3 + id.len()].copy_from_slice(id);
    assert_eq!(WorkspaceKey::unwrap(wrong.primary(), "acme", 1, &renamed).unwrap_err(), OpenError::Commitment);
}

#[test]
fn the_root_keys_id_is_authenticated() {
    let wrapper = keyring(ROOT);
    let wrapped = WorkspaceKey::generate().unwrap().wrap(wrapper.primary(), "acme", 1).unwrap();
    // The same secret under another name, in the file as in the header.
    let renamed_id = wrapper.primary().id().replace("root-", "zoot-");
    let text = wrapper.to_text();
    let check = crate::keyring::check_value_of(wrapper.primary(), &renamed_id);
    let text = text.replace(wrapper.primary().id(), &renamed_id);
    let text = text.replace(&hex::encode(wrapper.primary().check_value()), &hex::encode(check));
    let renamed = Keyring::parse(&text).unwrap();
    let mut altered = wrapped;
    altered[3..3 + renamed_id.len()].copy_from_slice(renamed_id.as_bytes());
    assert_eq!(WorkspaceKey::unwrap(renamed.primary(), "acme", 1, &altered).unwrap_err(), OpenError::Tag);
}

#[test]
fn no_bit_can_be_flipped() {
    let keyring = keyring(ROOT);
    let wrapped = WorkspaceKey::generate().unwrap().wrap(keyring.primary(), "acme", 1).unwrap();
    for bit in 0..wrapped.len() * 8 {
        let mut altered = wrapped.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert!(WorkspaceKey::unwrap(keyring.primary(), "acme", 1, &altered).is_err(), "bit {bit}");
    }
    for length in 0..wrapped.len() {
        assert!(WorkspaceKey::unwrap(keyring.primary(), "acme", 1, &wrapped[..length]).is_err(), "length {length}");
    }
}

#[test]
fn only_the_primary_wraps_and_a_retired_one_still_unwraps() {
    let mut keyring = keyring(ROOT);
    let key = WorkspaceKey::generate().unwrap();
    let wrapped = key.wrap(keyring.primary(), "acme", 1).unwrap();
    let old = keyring.primary().id().to_owned();
    let new = keyring.add_pending("2026-11-21T00:00:00Z").unwrap();
    assert_eq!(key.wrap(keyring.get(&new).unwrap(), "acme", 1), Err(SealError::NotPrimary));

    keyring.promote(&new).unwrap();
    let retired = keyring.get(&old).unwrap();
    assert_eq!(key.wrap(retired, "acme", 1), Err(SealError::NotPrimary));
    let unwrapped = WorkspaceKey::unwrap(retired, "acme", 1, &wrapped).unwrap();
    let rewrapped = unwrapped.wrap(keyring.primary(), "acme", 1).unwrap();
    assert_eq!(wrapping_root_id(&rewrapped).unwrap(), new);
    assert!(same(&key, &WorkspaceKey::unwrap(keyring.primary(), "acme", 1, &rewrapped).unwrap()));
}
