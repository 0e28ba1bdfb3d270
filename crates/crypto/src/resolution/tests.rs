//! The ids' promises: an id opens with the key that it was sealed with, as it was sealed, and no nonce comes twice.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::thread;
use std::time::Instant;

use proptest::prelude::*;

use super::*;

/// Computed by another implementation from the module's description.
const GOLDEN: &str = "AQGTTV5vcHAAgAABI0VniasAAAAAAAAAQjC2JFRct-bSRXrY6cdU6JTogMnq0Us-fA";
const GOLDEN_SECOND_RUN: &str = "AQGTTV5vcHAAgAABI0VniasAAAABAAAAQtay8h4SuKBF86Jy2WdV8NCymrGqnKf4HQ";

fn key(byte: u8) -> ResolutionKey {
    ResolutionKey::from_slice(&[byte; 32]).unwrap()
}

/// Whose last number was `last`.
fn sealer(last: u64) -> ResolutionSealer {
    ResolutionSealer { origin: Uuid::from_u128(0x0193_4d5e_6f70_7000_8000_0123_4567_89ab), numbered: last.into() }
}

fn bytes(id: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(id).unwrap()
}

fn open(key: &ResolutionKey, bytes: &[u8]) -> Result<OpenedResolution, NotAResolution> {
    key.open(&URL_SAFE_NO_PAD.encode(bytes))
}

#[test]
fn ids_are_what_they_always_were() {
    for (last, golden) in [(0x41, GOLDEN), (0x1_0000_0041, GOLDEN_SECOND_RUN)] {
        let (id, number) = sealer(last).seal(&key(7), b"what for").unwrap();
        assert_eq!((id.as_str(), number), (golden, last + 1));
        assert_eq!(key(7).open(golden).unwrap().plaintext.as_slice(), b"what for");
    }
}

#[test]
fn an_id_opens_as_it_was_sealed_and_again() {
    let sealer = ResolutionSealer::new(1_800_000_000_000).unwrap();
    for expected in 1..=3 {
        let (id, number) = sealer.seal(&key(7), b"what for").unwrap();
        assert_eq!(number, expected);
        for _ in 0..2 {
            let opened = key(7).open(&id).unwrap();
            assert_eq!((opened.origin, opened.number), (sealer.origin(), number));
            assert_eq!(opened.plaintext.as_slice(), b"what for");
        }
    }
}

#[test]
fn another_key_opens_nothing() {
    let (id, _) = sealer(0).seal(&key(7), b"what for").unwrap();
    assert_eq!(key(8).open(&id).unwrap_err(), NotAResolution);
}

/// The tag, the ciphertext, and whatever stands in front: format, origin and number.
#[test]
fn no_bit_can_be_flipped_and_nothing_cut_off_or_added() {
    let sealed = bytes(&sealer(0).seal(&key(7), b"what for").unwrap().0);
    for bit in 0..sealed.len() * 8 {
        let mut altered = sealed.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&key(7), &altered).unwrap_err(), NotAResolution, "bit {bit}");
    }
    for length in 0..sealed.len() {
        assert_eq!(open(&key(7), &sealed[..length]).unwrap_err(), NotAResolution, "length {length}");
    }
    assert_eq!(open(&key(7), &[sealed.as_slice(), b"x"].concat()).unwrap_err(), NotAResolution);
}

/// An id counts once: with two texts, it would count twice where texts are compared.
#[test]
fn an_id_has_one_text() {
    for plaintext in [b"what for".as_slice(), b"what fo", b"what f"] {
        let (id, _) = sealer(0).seal(&key(7), plaintext).unwrap();
        let (start, last) = id.split_at(id.len() - 1);
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=";
        for other in alphabet.chars().filter(|other| !last.contains(*other)) {
            assert_eq!(key(7).open(&format!("{start}{other}")).unwrap_err(), NotAResolution, "{other}");
        }
        for text in [format!("{id}="), format!("{id}=="), format!(" {id}"), format!("{id}\n"), format!("{id}A")] {
            assert_eq!(key(7).open(&text).unwrap_err(), NotAResolution, "{text:?}");
        }
    }
}

#[test]
fn what_is_no_id_is_refused() {
    for text in ["", "A", "AQ", "?", "ä", "AQ==", "01934d5e-6f70-7000-8000-0123456789ab", &"A".repeat(4_096)] {
        assert_eq!(key(7).open(text).unwrap_err(), NotAResolution, "{text:?}");
    }
}

/// One that fits is opened, so it is the length that is refused, and nothing else.
#[test]
fn ids_are_2_048_characters_at_most() {
    let (id, _) = sealer(0).seal(&key(7), &[1; MAX_PLAINTEXT]).unwrap();
    assert_eq!((id.len(), MAX_PLAINTEXT), (2_048, 1_495));
    assert_eq!(key(7).open(&id).unwrap().plaintext.len(), MAX_PLAINTEXT);
    assert_eq!(sealer(0).seal(&key(7), &[1; MAX_PLAINTEXT + 1]).unwrap_err(), ResolutionError::TooLong);

    let mut longer = sealer(0).origin().as_bytes().to_vec();
    longer.insert(0, FORMAT);
    longer.extend_from_slice(&1_u64.to_be_bytes());
    let place = Place::split(&longer).unwrap().0;
    let cipher = key(7).cipher(&place).unwrap();
    cipher.seal(&place.nonce(), &place.header(), &[1; MAX_PLAINTEXT + 1], &mut longer).unwrap();
    assert_eq!(open(&key(7), &longer).unwrap_err(), NotAResolution);
}

/// Whoever holds two ids learns nothing of one by the other.
#[test]
fn equal_plaintexts_do_not_show() {
    let (one, other) = (sealer(0), ResolutionSealer::new(0).unwrap());
    let ids = [one.seal(&key(7), &[0; 64]), one.seal(&key(7), &[0; 64]), other.seal(&key(7), &[0; 64])];
    // Equal keystreams would show as equal ciphertexts, as the plaintexts are equal.
    let bodies: BTreeSet<_> = ids.map(|id| bytes(&id.unwrap().0)[HEADER_LEN..][..64].to_vec()).into();
    assert_eq!(bodies.len(), 3);
}

#[test]
fn no_number_comes_twice() {
    let sealer = sealer(0);
    // Another key in between takes numbers from the same row.
    let take = || (0..250).chain(0..250).map(|byte| sealer.seal(&key(byte), b"").unwrap().1).collect::<Vec<_>>();
    let all: BTreeSet<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(all, (1..=2_000).collect());
}

#[test]
fn no_two_sealers_share_an_origin() {
    let origins: BTreeSet<_> = (0..100).map(|_| ResolutionSealer::new(1_800_000_000_000).unwrap().origin()).collect();
    assert_eq!(origins.len(), 100);
    for origin in origins {
        assert_eq!(origin.get_version_num(), 7);
        assert_eq!(origin.get_timestamp().unwrap().to_unix(), (1_800_000_000, 0));
    }
}

/// 2^32 ids are as many as one key seals; the next are sealed with another.
#[test]
fn a_key_seals_2_pow_32_ids_at_most() {
    const RUN: u64 = 1 << 32;
    // The keystream of one nonce tells keys apart.
    let under = |number| {
        let mut out = Vec::new();
        let cipher = key(7).cipher(&Place { origin: sealer(0).origin, number }).unwrap();
        cipher.seal(&[0; 12], b"", &[0; 32], &mut out).unwrap();
        out
    };
    assert_eq!(under(0), under(RUN - 1));
    assert_ne!(under(RUN - 1), under(RUN));
    assert_eq!(under(RUN), under(2 * RUN - 1));
    let sealer = sealer(RUN - 2);
    for expected in [RUN - 1, RUN, RUN + 1] {
        let (id, number) = sealer.seal(&key(7), b"on and on").unwrap();
        assert_eq!((number, key(7).open(&id).unwrap().number), (expected, expected));
    }
}

#[test]
fn numbers_end() {
    let sealer = sealer(u64::MAX - 1);
    assert_eq!(sealer.seal(&key(7), b"").unwrap().1, u64::MAX);
    for _ in 0..2 {
        assert_eq!(sealer.seal(&key(7), b"").unwrap_err(), ResolutionError::Exhausted);
    }
}

/// What routing gets tells nothing of the vault's own key.
#[test]
fn the_key_comes_of_its_service_key_and_is_another() {
    let service = ServiceKey::generate().unwrap();
    let (one, same) = (ResolutionKey::of(&service).unwrap(), ResolutionKey::of(&service).unwrap());
    assert_eq!(one.expose(), same.expose());
    assert_ne!(one.expose(), service.expose());
    assert_ne!(one.expose(), ResolutionKey::of(&ServiceKey::generate().unwrap()).unwrap().expose());
}

#[test]
fn debug_shows_nothing() {
    let id = sealer(0).seal(&key(7), b"canary").unwrap().0;
    let shown = format!("{:?} {:?} {:?}", key(7), sealer(0), key(7).open(&id).unwrap());
    assert!(!shown.contains("canary") && !shown.contains(&format!("{:?}", b"canary")), "{shown}");
    assert!(shown.starts_with("ResolutionKey(redacted) ResolutionSealer {"), "{shown}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_was_sealed_opens(plaintext in proptest::collection::vec(any::<u8>(), 0..=MAX_PLAINTEXT), last in 0..u64::MAX) {
        let (id, number) = sealer(last).seal(&key(7), &plaintext).unwrap();
        let opened = key(7).open(&id).unwrap();
        prop_assert_eq!((opened.number, opened.plaintext.as_slice()), (number, plaintext.as_slice()));
    }

    #[test]
    fn no_text_opens_that_was_not_sealed(text in ".{0,200}|[A-Za-z0-9_-]{0,300}|AQ[A-Za-z0-9_-]{50,200}") {
        prop_assert_eq!(key(7).open(&text).unwrap_err(), NotAResolution);
    }
}

/// `cargo test --release -p claviger-crypto -- --ignored --nocapture resolution`
#[test]
#[ignore = "measures"]
#[expect(clippy::print_stdout, reason = "a measurement")]
fn what_an_id_costs() {
    const ROUNDS: u32 = 200_000;
    let (key, sealer) = (key(7), sealer(0));
    let id = sealer.seal(&key, &[1; 200]).unwrap().0;
    let place = Place { origin: sealer.origin, number: 1 };
    let time = |what: &str, work: &dyn Fn()| {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| work());
        println!("{what}: {:?}", start.elapsed() / ROUNDS);
    };
    time("derive the key and schedule it", &|| drop(std::hint::black_box(key.cipher(&place))));
    time("seal 200 bytes", &|| drop(std::hint::black_box(sealer.seal(&key, &[1; 200]))));
    time("open 200 bytes", &|| drop(std::hint::black_box(key.open(&id))));
}
