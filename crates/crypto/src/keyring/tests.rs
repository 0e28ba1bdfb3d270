//! The keyring's promises: a whole and sound file or a named error, and no secret in any message.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// The base64 of the bytes 0 to 31, and what an independent HMAC says of it.
const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const ID: &str = "root-7b68e49b7619";
const CHECK: &str = "7512f25469cb0f71e5eec8ba58a95dfe";
const TIME: &str = "2026-11-21T09:30:00Z";

fn table(id: &str, state: &str, secret: &str, check: &str) -> String {
    format!(
        "[[key]]\nid = \"{id}\"\nstate = \"{state}\"\ncreate_time = \"{TIME}\"\nsecret = \"{secret}\"\ncheck = \"{check}\"\n"
    )
}

fn file() -> String {
    format!("format = 1\n{}", table(ID, "primary", SECRET, CHECK))
}

fn problem_of(text: &str) -> KeyProblem {
    match Keyring::parse(text).unwrap_err() {
        KeyringError::Key { id, problem } => {
            assert_eq!(id, ID);
            problem
        }
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn a_file_is_read() {
    let keyring = Keyring::parse(&file()).unwrap();
    let key = keyring.primary();
    assert_eq!((key.id(), key.state(), key.create_time()), (ID, KeyState::Primary, TIME));
    assert_eq!(hex::encode(key.check_value()), CHECK);
    assert_eq!(STANDARD.encode(key.expose()), SECRET);
    assert!(keyring.get("root-0").is_none());
}

#[test]
fn what_is_written_is_read_again() {
    let mut keyring = Keyring::generate(TIME).unwrap();
    let second = keyring.add_pending(TIME).unwrap();
    keyring.promote(&second).unwrap();
    keyring.add_pending("2026-11-21T10:00:00.5+01:00").unwrap();

    let text = keyring.to_text();
    let again = Keyring::parse(&text).unwrap();
    let facts = |keyring: &Keyring| {
        let fact = |key: &RootKey| (key.id().to_owned(), key.state(), key.create_time().to_owned(), *key.expose());
        keyring.iter().map(fact).collect::<Vec<_>>()
    };
    assert_eq!(facts(&keyring), facts(&again));
    assert_eq!(again.primary().id(), second);
    assert_eq!(*again.to_text(), *text);
}

#[test]
fn the_text_is_written_into_one_allocation() {
    let longest = "a".repeat(63);
    let secret = decode_secret(SECRET).unwrap();
    let key = RootKey::from_parts(&longest, KeyState::DecryptOnly, &"0".repeat(40), secret).unwrap();
    let text = file::write(std::iter::repeat_n(&key, 9));
    let empty = file::write(std::iter::empty());
    // A `String` that had to grow would have doubled.
    assert_eq!(text.capacity(), empty.capacity() + 9 * file::TABLE_LEN);
}

#[test]
fn two_generated_keys_differ() {
    let (one, other) = (Keyring::generate(TIME).unwrap(), Keyring::generate(TIME).unwrap());
    assert_ne!(one.primary().expose(), other.primary().expose());
    assert_ne!(one.primary().id(), other.primary().id());
}

#[test]
fn a_bare_key_is_read_and_keeps_its_id_in_a_file() {
    let keyring = Keyring::from_base64(&format!(" {SECRET}\n")).unwrap();
    assert_eq!((keyring.primary().id(), hex::encode(keyring.primary().check_value())), (ID, CHECK.to_owned()));
    assert_eq!(Keyring::parse(&keyring.to_text()).unwrap().primary().id(), ID);
}

#[test]
fn bad_secrets_are_refused_bare_and_in_a_file() {
    let cases = [
        ("", KeyProblem::SecretLength),
        ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", KeyProblem::SecretLength),
        ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g", KeyProblem::SecretLength),
        (&SECRET.repeat(9).replace('=', "A"), KeyProblem::SecretLength),
        (SECRET.trim_end_matches('='), KeyProblem::SecretEncoding),
        ("!AECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", KeyProblem::SecretEncoding),
        ("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", KeyProblem::SecretEncoding),
        ("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", KeyProblem::WeakSecret),
        ("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=", KeyProblem::WeakSecret),
    ];
    for (secret, problem) in cases {
        assert_eq!(Keyring::from_base64(secret).unwrap_err(), KeyringError::Bare(problem), "{secret}");
        assert_eq!(problem_of(&file().replace(SECRET, secret)), problem, "{secret}");
    }
}

#[test]
fn each_field_is_checked() {
    let cases = [
        ("\"primary\"", "\"Primary\"", KeyProblem::State),
        ("\"primary\"", "\"\"", KeyProblem::State),
        (TIME, "yesterday, \\\"about\\\" noon", KeyProblem::CreateTime),
        (TIME, "", KeyProblem::CreateTime),
        (CHECK, "7512f25469cb0f71e5eec8ba58a95d", KeyProblem::CheckEncoding),
        (CHECK, "zz12f25469cb0f71e5eec8ba58a95dfe", KeyProblem::CheckEncoding),
        (CHECK, "7512f25469cb0f71e5eec8ba58a95dff", KeyProblem::CheckMismatch),
        ("check = ", "checks = \"\"\ncheck = ", KeyProblem::UnknownField),
        ("state = ", "# ", KeyProblem::Field("state")),
        ("create_time = ", "# ", KeyProblem::Field("create_time")),
        ("secret = ", "# ", KeyProblem::Field("secret")),
        ("check = ", "# ", KeyProblem::Field("check")),
        ("\"primary\"", "1", KeyProblem::Field("state")),
    ];
    for (from, to, problem) in cases {
        let text = file().replace(from, to);
        assert_ne!(text, file());
        assert_eq!(problem_of(&text), problem, "{from} -> {to}");
    }
}

#[test]
fn a_check_value_belongs_to_its_id() {
    let error = Keyring::parse(&file().replace(ID, "renamed")).unwrap_err();
    assert_eq!(error, KeyProblem::CheckMismatch.of("renamed"));
}

#[test]
fn the_files_frame_is_checked() {
    let cases = [
        ("", KeyringError::Format),
        ("format = 1\n", KeyringError::NoKeys),
        ("format = 1\nkey = 5\n", KeyringError::NoKeys),
        ("format = 1\nkey = [5]\n", KeyringError::NoKeys),
        ("format = 1\nkey = []\n", KeyringError::NoPrimary),
        (&file().replace("= 1", "= 2"), KeyringError::Format),
        (&file().replace("= 1", "= \"1\""), KeyringError::Format),
        (&format!("colour = 3\n{}", file()), KeyringError::UnknownSetting),
        (&file().replace("\"primary\"", "\"pending\""), KeyringError::NoPrimary),
        (&file().replace("\"primary\"", "\"decrypt-only\""), KeyringError::NoPrimary),
        (&file().replace("check = \"", "check = "), KeyringError::Syntax { line: 7 }),
        (&file().replace("id = \"root", "id = \"Root"), KeyringError::Id { position: 1 }),
        (&file().replace("id = \"root", "id = \"-root"), KeyringError::Id { position: 1 }),
        (&file().replace(ID, ""), KeyringError::Id { position: 1 }),
        (&file().replace(ID, &"a".repeat(64)), KeyringError::Id { position: 1 }),
        (&file().replace("id = ", "# "), KeyringError::Id { position: 1 }),
    ];
    for (text, error) in cases {
        assert_eq!(Keyring::parse(text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn keys_are_checked_against_each_other() {
    let other = Keyring::generate(TIME).unwrap();
    let (id, check) = (other.primary().id(), hex::encode(other.primary().check_value()));
    let secret = STANDARD.encode(other.primary().expose());

    let second = file() + &table(id, "primary", &secret, &check);
    assert_eq!(Keyring::parse(&second).unwrap_err(), KeyProblem::SecondPrimary.of(id));
    let fine = second.replacen("primary", "decrypt-only", 1);
    assert_eq!(Keyring::parse(&fine).unwrap().primary().id(), id);

    let same_id = file() + &table(ID, "pending", SECRET, CHECK);
    assert_eq!(Keyring::parse(&same_id).unwrap_err(), KeyProblem::DuplicateId.of(ID));
    let check = hex::encode(check_value_of(Keyring::parse(&file()).unwrap().primary(), "twin"));
    let same_secret = file() + &table("twin", "pending", SECRET, &check);
    assert_eq!(Keyring::parse(&same_secret).unwrap_err(), KeyProblem::DuplicateSecret.of("twin"));
}

#[test]
fn rotation_steps_leave_one_primary() {
    let mut keyring = Keyring::parse(&file()).unwrap();
    assert_eq!(keyring.promote("root-0"), Err(KeyringError::NotPending));
    assert_eq!(keyring.promote(ID), Err(KeyringError::NotPending));
    let next = keyring.add_pending(TIME).unwrap();
    assert_eq!((keyring.primary().id(), keyring.get(&next).unwrap().state()), (ID, KeyState::Pending));

    keyring.promote(&next).unwrap();
    assert_eq!((keyring.primary().id(), keyring.primary().state()), (next.as_str(), KeyState::Primary));
    assert_eq!(keyring.get(ID).unwrap().state(), KeyState::DecryptOnly);
    assert_eq!(keyring.promote(ID), Err(KeyringError::NotPending));
    assert_eq!(keyring.iter().count(), 2);
}

#[test]
fn any_key_but_the_primary_one_retires() {
    let mut keyring = Keyring::parse(&file()).unwrap();
    assert_eq!(keyring.retire(ID).unwrap_err(), KeyringError::RetiresPrimary);
    let (dropped, next) = (keyring.add_pending(TIME).unwrap(), keyring.add_pending(TIME).unwrap());
    assert_eq!(keyring.retire(&dropped).unwrap().id(), dropped);
    assert_eq!(keyring.retire(&dropped).unwrap_err(), KeyringError::NoSuchKey);
    keyring.promote(&next).unwrap();
    assert_eq!(keyring.retire(&next).unwrap_err(), KeyringError::RetiresPrimary);
    assert_eq!(keyring.retire(ID).unwrap().id(), ID);
    assert_eq!(keyring.iter().map(RootKey::id).collect::<Vec<_>>(), [next]);
}

#[test]
fn a_time_that_needs_escaping_is_refused() {
    for time in ["", "to\"day", "a\nb", &"0".repeat(41)] {
        assert!(matches!(Keyring::generate(time), Err(KeyringError::Key { problem: KeyProblem::CreateTime, .. })));
    }
}

#[test]
fn messages_and_debug_show_nothing_of_a_secret() {
    let broken = [
        file().replace("secret = \"", "secret = "),
        file().replace("secret = \"", "secret = \"!"),
        file().replace("secret = ", &format!("{} = 1\nsecret = ", SECRET.trim_end_matches('='))),
        file().replace(ID, SECRET),
        file().replace(CHECK, SECRET),
        file().replace("\"primary\"", &format!("\"{SECRET}\"")),
        file().replace(TIME, SECRET),
        format!("{} = 1\n{}", SECRET.trim_end_matches('='), file()),
        format!("secret = \"{SECRET}\n"),
        file().replace(SECRET, &SECRET[4..]),
    ];
    for text in broken {
        let error = Keyring::parse(&text).unwrap_err();
        let shown = format!("{error} {error:?} {error:#?}");
        // No run of six characters out of the secret.
        for part in SECRET.as_bytes().windows(6) {
            assert!(!shown.contains(str::from_utf8(part).unwrap()), "{shown}");
        }
    }
    assert_eq!(
        format!("{:?}", Keyring::parse(&file()).unwrap()),
        format!(
            "Keyring {{ primary: RootKey {{ id: {ID:?}, state: Primary, create_time: {TIME:?}, .. }}, others: [] }}"
        )
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,400}") {
        let _ = (Keyring::parse(&text), Keyring::from_base64(&text));
    }

    #[test]
    fn no_damage_to_a_file_panics(start in 0_usize..240, length in 0_usize..40, put in "[ -~\n]{0,12}") {
        let mut text = file();
        let start = start.min(text.len());
        let end = (start + length).min(text.len());
        text.replace_range(start..end, &put);
        let _ = Keyring::parse(&text);
    }
}
