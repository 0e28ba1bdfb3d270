//! The journal's entries, to and from the wire.

use claviger_core::fault::Fault;
use claviger_core::ids::{AgentId, KeyId, ModelId, ProviderId, SessionId, Tenant, UserId, WorkspaceId};
use claviger_core::journal::{Entry, HealthChange, MOST_ENTRIES, Part, Reported, Use};
use claviger_core::route::Source;
use prost::Message;
use prost_types::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::convert::{self, optional, text, time, timestamp};
use crate::keyvault_v1 as kv;

/// An entry as the vault gets it.
#[must_use]
pub fn entry_message(entry: &Entry) -> kv::JournalEntry {
    use kv::journal_entry::Entry as Wire;
    let entry = match entry {
        Entry::Resolved(of) => Wire::Resolved(kv::Resolved { r#use: Some(use_message(of)) }),
        Entry::Reported(reported) => Wire::Reported(reported_message(reported)),
        Entry::Health(change) => Wire::Health(health_message(change)),
    };
    kv::JournalEntry { entry: Some(entry) }
}

fn use_message(of: &Use) -> kv::ResolvedUse {
    kv::ResolvedUse {
        workspace: of.workspace.to_string(),
        user: text(of.user.as_ref()),
        agent: text(of.agent.as_ref()),
        session: text(of.session.as_ref()),
        key_uid: of.key.to_string(),
        secret_version: i32::try_from(of.secret_version).unwrap_or(i32::MAX),
        provider: of.provider.to_string(),
        model: text(of.model.as_ref()),
        payer: payer(of.payer).into(),
        resolve_time: Some(timestamp(of.time)),
    }
}

/// What a key was handed out for, as bytes: the same for the same use.
#[must_use]
pub fn use_bytes(of: &Use) -> Vec<u8> {
    use_message(of).encode_to_vec()
}

/// Reads what [`use_bytes`] wrote.
///
/// # Errors
/// `INVALID_FIELD` when they are no such bytes, or speak of something that this version does not know.
pub fn use_from_bytes(bytes: &[u8]) -> Result<Use, Fault> {
    let message = kv::ResolvedUse::decode(bytes).map_err(|_| Fault::field("use", "must be well-formed"))?;
    use_from(Some(message))
}

fn reported_message(reported: &Reported) -> kv::Reported {
    kv::Reported {
        r#use: Some(use_message(&reported.of)),
        replica: reported.replica.to_string(),
        number: reported.number,
        outcome: convert::outcome(reported.outcome).into(),
        input_tokens: i64::try_from(reported.input_tokens).unwrap_or(i64::MAX),
        output_tokens: i64::try_from(reported.output_tokens).unwrap_or(i64::MAX),
        duration: prost_types::Duration::try_from(reported.duration).ok(),
        report_time: Some(timestamp(reported.time)),
    }
}

fn health_message(change: &HealthChange) -> kv::HealthChange {
    kv::HealthChange {
        tenant: change.tenant.to_string(),
        key_uid: change.key.to_string(),
        secret_version: i32::try_from(change.secret_version).unwrap_or(i32::MAX),
        model: text(change.model.as_ref()),
        cause: convert::outcome(change.cause).into(),
        start_time: Some(timestamp(change.since)),
        end_time: change.until.map(timestamp),
        failures: i32::try_from(change.failures).unwrap_or(i32::MAX),
    }
}

/// A batch as the vault takes it. An entry that cannot be read is told of by itself: it does not keep the others out.
///
/// # Errors
/// `INVALID_FIELD`.
pub fn journal_part(batch: kv::JournalBatch) -> Result<Part, Fault> {
    if !(1..=MOST_ENTRIES).contains(&batch.entries.len()) {
        return Err(Fault::field("journal.entries", format!("must be 1 to {MOST_ENTRIES} entries")));
    }
    let last = batch.first_offset.checked_add(batch.entries.len() as u64).is_some_and(|end| i64::try_from(end).is_ok());
    if batch.first_offset == 0 || !last {
        return Err(Fault::field("journal.first_offset", "must be the number of the first entry, from 1"));
    }
    Ok(Part { first_offset: batch.first_offset, entries: batch.entries.into_iter().map(entry_from).collect() })
}

/// Reads what [`entry_message`] wrote.
///
/// # Errors
/// `INVALID_FIELD` when routing speaks of something that this version does not know.
pub fn entry_from(message: kv::JournalEntry) -> Result<Entry, Fault> {
    use kv::journal_entry::Entry as Wire;
    match message.entry {
        Some(Wire::Resolved(resolved)) => Ok(Entry::Resolved(use_from(resolved.r#use)?)),
        Some(Wire::Reported(reported)) => Ok(Entry::Reported(reported_from(reported)?)),
        Some(Wire::Health(change)) => Ok(Entry::Health(health_from(&change)?)),
        None => Err(Fault::field("entry", "must be set")),
    }
}

fn use_from(message: Option<kv::ResolvedUse>) -> Result<Use, Fault> {
    let message = message.ok_or_else(|| Fault::field("use", "must be set"))?;
    Ok(Use {
        workspace: WorkspaceId::parse(&message.workspace).map_err(Fault::id("use.workspace"))?,
        user: optional("use.user", &message.user, UserId::parse)?,
        agent: optional("use.agent", &message.agent, AgentId::parse)?,
        session: optional("use.session", &message.session, SessionId::parse)?,
        key: KeyId::parse(&message.key_uid).map_err(Fault::id("use.key_uid"))?,
        secret_version: count("use.secret_version", message.secret_version)?,
        provider: ProviderId::parse(&message.provider).map_err(Fault::id("use.provider"))?,
        model: optional("use.model", &message.model, ModelId::parse)?,
        payer: source(message.payer()).ok_or_else(|| convert::unknown_enum("use.payer"))?,
        time: when("use.resolve_time", message.resolve_time.as_ref())?,
    })
}

fn reported_from(message: kv::Reported) -> Result<Reported, Fault> {
    let outcome = convert::outcome_from(message.outcome()).ok_or_else(|| convert::unknown_enum("outcome"))?;
    let tokens = |field, value: i64| u64::try_from(value).map_err(|_| Fault::field(field, "must not be negative"));
    let duration = message.duration.unwrap_or_default();
    if message.number == 0 {
        return Err(Fault::field("number", "must be from 1"));
    }
    Ok(Reported {
        replica: Uuid::try_parse(&message.replica).map_err(|_| Fault::field("replica", "must be a UUID"))?,
        number: message.number,
        outcome,
        input_tokens: tokens("input_tokens", message.input_tokens)?,
        output_tokens: tokens("output_tokens", message.output_tokens)?,
        duration: duration.try_into().map_err(|_| Fault::field("duration", "must not be negative"))?,
        time: when("report_time", message.report_time.as_ref())?,
        of: use_from(message.r#use)?,
    })
}

fn health_from(message: &kv::HealthChange) -> Result<HealthChange, Fault> {
    Ok(HealthChange {
        tenant: Tenant::parse(&message.tenant).map_err(Fault::id("tenant"))?,
        key: KeyId::parse(&message.key_uid).map_err(Fault::id("key_uid"))?,
        secret_version: count("secret_version", message.secret_version)?,
        model: optional("model", &message.model, ModelId::parse)?,
        cause: convert::outcome_from(message.cause()).ok_or_else(|| convert::unknown_enum("cause"))?,
        since: when("start_time", message.start_time.as_ref())?,
        until: message.end_time.as_ref().map(|at| time("end_time", at)).transpose()?,
        failures: count("failures", message.failures)?,
    })
}

fn count(field: &'static str, value: i32) -> Result<u32, Fault> {
    u32::try_from(value).map_err(|_| Fault::field(field, "must not be negative"))
}

fn when(field: &'static str, value: Option<&Timestamp>) -> Result<OffsetDateTime, Fault> {
    time(field, value.ok_or_else(|| Fault::field(field, "must be set"))?)
}

/// Whose key a call used, on the wire.
#[must_use]
pub fn payer(source: Source) -> kv::Payer {
    match source {
        Source::Personal => kv::Payer::PersonalKey,
        Source::Workspace => kv::Payer::WorkspaceKey,
        Source::Platform => kv::Payer::PlatformKey,
    }
}

fn source(payer: kv::Payer) -> Option<Source> {
    match payer {
        kv::Payer::Unspecified => None,
        kv::Payer::PersonalKey => Some(Source::Personal),
        kv::Payer::WorkspaceKey => Some(Source::Workspace),
        kv::Payer::PlatformKey => Some(Source::Platform),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use claviger_core::catalog::Outcome;

    use super::*;

    const NOW: OffsetDateTime = time::macros::datetime!(2030-06-15 12:00 UTC);

    fn a_use() -> Use {
        Use {
            workspace: WorkspaceId::parse("acme").unwrap(),
            user: UserId::parse("ann").ok(),
            agent: None,
            session: SessionId::parse("s1").ok(),
            key: KeyId::new(Uuid::from_u128(7)),
            secret_version: 3,
            provider: ProviderId::parse("openai").unwrap(),
            model: ModelId::parse("gpt-4o").ok(),
            payer: Source::Personal,
            time: NOW,
        }
    }

    #[test]
    fn a_use_comes_back_as_it_went_to_the_microsecond() {
        let bare = Use { user: None, session: None, model: None, payer: Source::Platform, ..a_use() };
        for of in [a_use(), bare, longest_use()] {
            let of = Use { time: NOW + time::Duration::nanoseconds(123_456_789), ..of };
            let back = use_from_bytes(&use_bytes(&of)).unwrap();
            assert_eq!(back, Use { time: NOW + time::Duration::microseconds(123_456), ..of });
        }
    }

    #[test]
    fn bytes_that_are_no_use_are_refused() {
        let bytes = use_bytes(&a_use());
        assert!((0..bytes.len()).all(|length| use_from_bytes(&bytes[..length]).is_err()));
        assert!(use_from_bytes(b"\xff\xff").is_err());
        let unknown = kv::ResolvedUse { payer: 99, ..use_message(&a_use()) };
        assert!(use_from_bytes(&unknown.encode_to_vec()).is_err());
    }

    /// The contract's 2,048 characters (`Resolution.resolution_id`) hold 1,495 bytes, as claviger-crypto seals them; its tests
    /// hold that, and routing's that the two fit together.
    #[test]
    fn the_longest_use_fits_into_a_resolution_id() {
        let bytes = use_bytes(&longest_use()).len();
        assert!((800..=1_495).contains(&bytes), "{bytes}");
    }

    /// Every id as long as it may be.
    fn longest_use() -> Use {
        Use {
            workspace: longest(WorkspaceId::parse),
            user: Some(longest(UserId::parse)),
            agent: Some(longest(AgentId::parse)),
            session: Some(longest(SessionId::parse)),
            key: KeyId::new(Uuid::max()),
            secret_version: i32::MAX.unsigned_abs(),
            provider: longest(ProviderId::parse),
            model: Some(longest(ModelId::parse)),
            payer: Source::Platform,
            time: time::macros::datetime!(9999-12-31 23:59:59.999_999 UTC),
        }
    }

    /// The longest text of one letter that is taken.
    fn longest<T, E>(parse: impl Fn(&str) -> Result<T, E>) -> T {
        (1..10_000).rev().find_map(|length| parse(&"x".repeat(length)).ok()).unwrap()
    }

    #[test]
    fn entries_come_back_as_they_went() {
        let reported = Reported {
            of: a_use(),
            replica: Uuid::from_u128(9),
            number: 12,
            outcome: Outcome::RateLimited,
            input_tokens: 5,
            output_tokens: 6,
            duration: std::time::Duration::from_millis(1_250),
            time: NOW,
        };
        let change = HealthChange {
            tenant: Tenant::Platform,
            key: KeyId::new(Uuid::from_u128(7)),
            secret_version: 3,
            model: None,
            cause: Outcome::QuotaExhausted,
            since: NOW,
            until: Some(NOW + time::Duration::HOUR),
            failures: 2,
        };
        for entry in [Entry::Resolved(a_use()), Entry::Reported(reported), Entry::Health(change)] {
            assert_eq!(entry_from(entry_message(&entry)).unwrap(), entry);
        }
        assert!(entry_from(kv::JournalEntry::default()).is_err());
    }

    #[test]
    fn an_entry_that_cannot_be_read_keeps_no_other_out() {
        let good = entry_message(&Entry::Resolved(a_use()));
        let unknown = kv::JournalEntry::default();
        let broken: [fn(&mut kv::ResolvedUse); 6] = [
            |of| of.workspace = "No".to_owned(),
            |of| of.user = " ".to_owned(),
            |of| of.key_uid = "7".to_owned(),
            |of| of.secret_version = -1,
            |of| of.payer = 99,
            |of| of.resolve_time = None,
        ];
        let broken = broken.map(|change| {
            let mut message = use_message(&a_use());
            change(&mut message);
            let resolved = kv::Resolved { r#use: Some(message) };
            kv::JournalEntry { entry: Some(kv::journal_entry::Entry::Resolved(resolved)) }
        });
        let entries: Vec<_> = [good.clone(), unknown].into_iter().chain(broken).chain([good]).collect();
        let part = journal_part(kv::JournalBatch { first_offset: 7, entries }).unwrap();
        let read: Vec<_> = part.entries.iter().map(Result::is_ok).collect();
        assert_eq!((part.first_offset, read.len()), (7, 9));
        assert!(read[0] && read[8] && read[1..8].iter().all(|read| !read), "{read:?}");
    }

    #[test]
    fn a_batch_has_its_size_and_its_place() {
        let batch = |first_offset, count| {
            let entries = vec![entry_message(&Entry::Resolved(a_use())); count];
            journal_part(kv::JournalBatch { first_offset, entries }).map_err(|fault| fault.field)
        };
        assert!(batch(1, 1).is_ok() && batch(1, MOST_ENTRIES).is_ok() && batch(i64::MAX as u64 - 1, 1).is_ok());
        for (first_offset, count, field) in [
            (1, 0, "journal.entries"),
            (1, MOST_ENTRIES + 1, "journal.entries"),
            (0, 1, "journal.first_offset"),
            (i64::MAX as u64, 1, "journal.first_offset"),
            (u64::MAX, 1, "journal.first_offset"),
        ] {
            assert_eq!(batch(first_offset, count).unwrap_err(), Some(field), "{first_offset} {count}");
        }
    }
}
