//! Records under a workspace key.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

const SECRET: &[u8] = b"sk-live-0123456789";

#[test]
fn the_header_names_the_key_version() {
    let sealed = WorkspaceKey::generate().unwrap().seal(0x0102_0304, &context(), SECRET).unwrap();
    assert_eq!(sealed[..6], [1, 1, 1, 2, 3, 4]);
    assert_eq!(sealed.len(), SECRET.len() + 82);
    assert_eq!(workspace_key_version(&sealed).unwrap(), 0x0102_0304);
}

#[test]
fn two_seals_share_neither_salt_nor_key_nor_nonce() {
    let key = WorkspaceKey::generate().unwrap();
    let first = key.seal(1, &context(), SECRET).unwrap();
    let second = key.seal(1, &context(), SECRET).unwrap();
    for part in [6..22, 22..54, 54..66, 66..first.len()] {
        assert_ne!(first[part.clone()], second[part.clone()], "bytes {part:?}");
    }
}

#[test]
fn no_bit_can_be_flipped() {
    let key = WorkspaceKey::generate().unwrap();
    let sealed = key.seal(1, &context(), SECRET).unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut altered = sealed.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let error = key.open(1, &context(), &altered).unwrap_err();
        let expected = match bit / 8 {
            0 => OpenError::Format,
            1 => OpenError::Algorithm,
            2..6 => OpenError::OtherKey,
            6..54 => OpenError::Commitment,
            _ => OpenError::Tag,
        };
        assert_eq!(error, expected, "bit {bit}");
    }
}

#[test]
fn nothing_can_be_cut_off_or_added() {
    let key = WorkspaceKey::generate().unwrap();
    let sealed = key.seal(1, &context(), SECRET).unwrap();
    for length in 0..sealed.len() {
        let error = key.open(1, &context(), &sealed[..length]).unwrap_err();
        assert!(matches!(error, OpenError::Truncated | OpenError::OtherKey | OpenError::Tag), "{length}: {error:?}");
    }
    let longer = [sealed.as_slice(), &[0]].concat();
    assert_eq!(key.open(1, &context(), &longer).unwrap_err(), OpenError::Tag);
}

#[test]
fn a_record_opens_in_its_own_place_alone() {
    let key = WorkspaceKey::generate().unwrap();
    let sealed = key.seal(1, &context(), SECRET).unwrap();
    assert_eq!(key.open(1, &context(), &sealed).unwrap().as_slice(), SECRET);

    let mut other_id = context();
    other_id.key_id[15] ^= 1;
    let derived = [RecordContext { tenant: "acme2", ..context() }, other_id, RecordContext { version: 2, ..context() }];
    for place in derived {
        assert_eq!(key.open(1, &place, &sealed).unwrap_err(), OpenError::Commitment, "{place:?}");
    }
    let authenticated = [
        RecordContext { owner: "user-8", ..context() },
        RecordContext { owner: "", ..context() },
        RecordContext { provider: "openai2", ..context() },
        RecordContext { auth_type: "bearer", ..context() },
        RecordContext { base_url: Some("https://evil.example/v1"), ..context() },
        RecordContext { base_url: None, ..context() },
        RecordContext { location: Some("europe-west1"), ..context() },
        RecordContext { location: Some(""), ..context() },
        RecordContext { base_url: None, location: context().base_url, ..context() },
    ];
    for place in authenticated {
        assert_eq!(key.open(1, &place, &sealed).unwrap_err(), OpenError::Tag, "{place:?}");
    }
}

#[test]
fn fields_that_run_together_stay_apart() {
    let key = WorkspaceKey::generate().unwrap();
    let pairs = [
        (
            RecordContext { tenant: "a", owner: "bc", ..context() },
            RecordContext { tenant: "ab", owner: "c", ..context() },
        ),
        (
            RecordContext { provider: "a", auth_type: "bc", ..context() },
            RecordContext { provider: "ab", auth_type: "c", ..context() },
        ),
        (
            RecordContext { base_url: Some("a"), location: Some("bc"), ..context() },
            RecordContext { base_url: Some("ab"), location: Some("c"), ..context() },
        ),
        (
            RecordContext { base_url: None, location: Some(""), ..context() },
            RecordContext { base_url: Some(""), location: None, ..context() },
        ),
    ];
    for (one, other) in pairs {
        let sealed = key.seal(1, &one, SECRET).unwrap();
        assert!(key.open(1, &one, &sealed).is_ok());
        assert!(key.open(1, &other, &sealed).is_err(), "{one:?} opened as {other:?}");
        // The derivation alone would tell tenants apart: the authenticated data must too.
        assert_ne!(one.aad(), other.aad());
    }
}

#[test]
fn storage_and_feed_never_share_authenticated_data() {
    assert_ne!(Purpose::Storage.label(), Purpose::Feed.label());
}

#[test]
fn the_key_version_is_checked_and_authenticated() {
    let key = WorkspaceKey::generate().unwrap();
    let mut sealed = key.seal(1, &context(), SECRET).unwrap();
    assert_eq!(key.open(2, &context(), &sealed).unwrap_err(), OpenError::OtherKey);
    // Under the same key, a record that claims another version does not open as that version either.
    sealed[5] = 2;
    assert_eq!(key.open(2, &context(), &sealed).unwrap_err(), OpenError::Tag);
}

#[test]
fn another_workspace_key_opens_nothing() {
    let sealed = WorkspaceKey::generate().unwrap().seal(1, &context(), SECRET).unwrap();
    let other = WorkspaceKey::generate().unwrap();
    assert_eq!(other.open(1, &context(), &sealed).unwrap_err(), OpenError::Commitment);
}

#[test]
fn the_commitment_is_checked_before_anything_is_opened() {
    let key = WorkspaceKey::generate().unwrap();
    let mut sealed = key.seal(1, &context(), SECRET).unwrap();
    // Ciphertext and tag are sound, only the commitment is not.
    sealed[22..54].fill(0);
    assert_eq!(key.open(1, &context(), &sealed).unwrap_err(), OpenError::Commitment);
}

#[test]
fn debug_shows_nothing() {
    assert_eq!(format!("{:#?}", WorkspaceKey::generate().unwrap()), "WorkspaceKey(redacted)");
}

proptest! {
    #[test]
    fn what_was_sealed_opens(
        plaintext: Vec<u8>,
        tenant: String,
        owner: String,
        key_id: [u8; 16],
        version: u32,
        workspace_key_version: u32,
        base_url: Option<String>,
    ) {
        let place = RecordContext {
            tenant: &tenant, owner: &owner, key_id, version, base_url: base_url.as_deref(), ..context()
        };
        let key = WorkspaceKey::generate().unwrap();
        let sealed = key.seal(workspace_key_version, &place, &plaintext).unwrap();
        let opened = key.open(workspace_key_version, &place, &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), plaintext.as_slice());
    }

    #[test]
    fn bytes_from_anywhere_are_refused(mut bytes: Vec<u8>, real_start: bool) {
        if real_start {
            bytes.splice(..0, [1, 1, 0, 0, 0, 1]);
        }
        let key = WorkspaceKey::generate().unwrap();
        prop_assert!(key.open(1, &context(), &bytes).is_err());
        let _ = (workspace_key_version(&bytes), wrapping_root_id(&bytes));
    }
}
