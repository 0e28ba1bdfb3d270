//! The session's promises: a record opens at the other end of its own session, under its own context.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::thread;

use proptest::prelude::*;

use super::*;

const BINDING: &[u8] = b"session-1/epoch-9";

fn session() -> (SessionSealer, SessionOpener) {
    let handshake = Handshake::new().unwrap();
    let (encapsulated, sealer) = SessionSealer::establish(&handshake.public_key(), BINDING).unwrap();
    (sealer, handshake.accept(&encapsulated, BINDING).unwrap())
}

fn context() -> RecordContext<'static> {
    RecordContext {
        tenant: "acme",
        owner: "",
        key_id: [7; 16],
        version: 1,
        provider: "vertex",
        auth_type: "service_account",
        base_url: None,
        location: Some("europe-west1"),
    }
}

#[test]
fn records_open_in_any_order_and_again() {
    let (sealer, opener) = session();
    let first = sealer.seal(&context(), b"first").unwrap();
    let second = sealer.seal(&context(), b"").unwrap();
    assert_eq!((first.len(), second.len()), (5 + 24, 24));
    for _ in 0..2 {
        assert_eq!(opener.open(&context(), &second).unwrap().as_slice(), b"");
        assert_eq!(opener.open(&context(), &first).unwrap().as_slice(), b"first");
    }
}

#[test]
fn a_record_opens_under_its_own_context_alone() {
    let (sealer, opener) = session();
    let sealed = sealer.seal(&context(), b"secret").unwrap();
    let others = [
        RecordContext { tenant: "acme2", ..context() },
        RecordContext { owner: "user-7", ..context() },
        RecordContext { key_id: [8; 16], ..context() },
        RecordContext { version: 2, ..context() },
        RecordContext { provider: "openai", ..context() },
        RecordContext { auth_type: "api_key", ..context() },
        RecordContext { base_url: Some("https://evil.example"), ..context() },
        RecordContext { location: None, ..context() },
    ];
    for other in others {
        assert_eq!(opener.open(&other, &sealed).unwrap_err(), SessionError::Record, "{other:?}");
    }
}

#[test]
fn swapped_records_do_not_open() {
    let (sealer, opener) = session();
    let other = RecordContext { key_id: [8; 16], ..context() };
    let mine = sealer.seal(&context(), b"mine").unwrap();
    let theirs = sealer.seal(&other, b"their").unwrap();
    assert!(opener.open(&context(), &theirs).is_err());
    assert!(opener.open(&other, &mine).is_err());
    // Nor does a record behind another one's counter.
    assert!(opener.open(&context(), &[&theirs[..8], &mine[8..]].concat()).is_err());
}

#[test]
fn the_resolution_key_comes_over_and_opens_as_nothing_else() {
    let key = ResolutionKey::from_slice(&[9; 32]).unwrap();
    let (sealer, opener) = session();
    let sealed = sealer.seal_resolution_key(&key).unwrap();
    assert_eq!(opener.open_resolution_key(&sealed).unwrap().expose(), key.expose());
    assert_eq!(opener.open(&context(), &sealed).unwrap_err(), SessionError::Record, "no record");
    let record = sealer.seal(&context(), &[9; 32]).unwrap();
    assert_eq!(opener.open_resolution_key(&record).unwrap_err(), SessionError::Record, "nor is a record the key");
    assert_eq!(session().1.open_resolution_key(&sealed).unwrap_err(), SessionError::Record, "another session's");
    for bit in 0..sealed.len() * 8 {
        let mut altered = sealed.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(opener.open_resolution_key(&altered).unwrap_err(), SessionError::Record, "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert_eq!(opener.open_resolution_key(&sealed[..length]).unwrap_err(), SessionError::Record, "length {length}");
    }
    for short_or_long in [&[9; 31][..], &[9; 33]] {
        let sealed = sealer.seal_as(RESOLUTION_KEY, short_or_long).unwrap();
        assert_eq!(opener.open_resolution_key(&sealed).unwrap_err(), SessionError::Record);
    }
}

#[test]
fn no_bit_can_be_flipped_and_nothing_cut_off() {
    let (sealer, opener) = session();
    let sealed = sealer.seal(&context(), b"secret").unwrap();
    for bit in 0..sealed.len() * 8 {
        let mut altered = sealed.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(opener.open(&context(), &altered).unwrap_err(), SessionError::Record, "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert_eq!(opener.open(&context(), &sealed[..length]).unwrap_err(), SessionError::Record, "length {length}");
    }
}

#[test]
fn another_sessions_record_does_not_open() {
    let (sealer, _) = session();
    let (_, opener) = session();
    assert!(opener.open(&context(), &sealer.seal(&context(), b"secret").unwrap()).is_err());
}

#[test]
fn another_handshake_does_not_join() {
    let (encapsulated, sealer) = SessionSealer::establish(&Handshake::new().unwrap().public_key(), BINDING).unwrap();
    let opener = Handshake::new().unwrap().accept(&encapsulated, BINDING).unwrap();
    assert!(opener.open(&context(), &sealer.seal(&context(), b"secret").unwrap()).is_err());
}

#[test]
fn another_binding_does_not_join() {
    for other in [b"session-1/epoch-8".as_slice(), b"", b"session-1/epoch-9 "] {
        let handshake = Handshake::new().unwrap();
        let (encapsulated, sealer) = SessionSealer::establish(&handshake.public_key(), BINDING).unwrap();
        let opener = handshake.accept(&encapsulated, other).unwrap();
        assert!(opener.open(&context(), &sealer.seal(&context(), b"secret").unwrap()).is_err());
    }
}

#[test]
fn unusable_keys_and_long_bindings_are_refused() {
    // The all-zero point has a low order: every exchange with it ends in zero (RFC 9180, section 7.1.4).
    for key in [[0; 32].as_slice(), &[9; 31], &[9; 33], &[]] {
        assert_eq!(SessionSealer::establish(key, BINDING).unwrap_err(), SessionError::PeerKey);
        assert_eq!(Handshake::new().unwrap().accept(key, BINDING).unwrap_err(), SessionError::PeerKey);
    }
    let public = Handshake::new().unwrap().public_key();
    assert!(SessionSealer::establish(&public, &[0; MAX_BINDING]).is_ok());
    for length in [MAX_BINDING + 1, 1 << 17] {
        let binding = vec![0; length];
        assert_eq!(SessionSealer::establish(&public, &binding).unwrap_err(), SessionError::Binding);
        assert_eq!(Handshake::new().unwrap().accept(&public, &binding).unwrap_err(), SessionError::Binding);
    }
}

#[test]
fn no_counter_comes_twice() {
    let (sealer, _) = session();
    let take = || (0..500).map(|_| sealer.seal(&context(), b"").unwrap()[..8].to_vec()).collect::<Vec<_>>();
    let all: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 2000);
}

#[test]
fn the_counter_ends_at_its_limit() {
    let (sealer, opener) = session();
    sealer.sealed.store(MAX_RECORDS - 1, Ordering::Relaxed);
    let last = sealer.seal(&context(), b"last").unwrap();
    assert_eq!(last[..8], (MAX_RECORDS - 1).to_be_bytes());
    assert_eq!(opener.open(&context(), &last).unwrap().as_slice(), b"last");
    for _ in 0..2 {
        assert_eq!(sealer.seal(&context(), b"past").unwrap_err(), SessionError::Exhausted);
    }
}

#[test]
fn debug_shows_nothing() {
    let (sealer, opener) = session();
    assert_eq!(format!("{:?}", Handshake::new().unwrap()), "Handshake(redacted)");
    assert_eq!(format!("{sealer:?}"), "SessionSealer { sealed: 0, .. }");
    assert_eq!(format!("{opener:?}"), "SessionOpener(redacted)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_sealed_opens(plaintext: Vec<u8>, tenant: String, key_id: [u8; 16]) {
        let (sealer, opener) = session();
        let place = RecordContext { tenant: &tenant, key_id, ..context() };
        let sealed = sealer.seal(&place, &plaintext).unwrap();
        let opened = opener.open(&place, &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), plaintext.as_slice());
    }
}
