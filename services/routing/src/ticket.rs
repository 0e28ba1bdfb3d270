//! The sealed id of a resolution: what a key was handed out for, as only routing can have said it.

use claviger_core::fault::Fault;
use claviger_core::journal::Use;
use claviger_core::reason::Reason;
use claviger_crypto::{ResolutionKey, ResolutionSealer};
use claviger_proto::keyvault::{use_bytes, use_from_bytes};
use uuid::Uuid;

/// What an id says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The replica that resolved.
    pub replica: Uuid,
    /// The number of the resolution there, from 1.
    pub number: u64,
    /// What the key was handed out for.
    pub of: Use,
}

/// The id of a resolution made now, and its number.
///
/// # Errors
/// `INTERNAL` when it cannot be sealed, which only a defect brings about.
pub fn seal(sealer: &ResolutionSealer, key: &ResolutionKey, of: &Use) -> Result<(String, u64), Fault> {
    sealer.seal(key, &use_bytes(of)).map_err(|error| {
        tracing::error!(%error, "a resolution id cannot be sealed");
        Fault::internal()
    })
}

/// Reads an id that any replica sealed with this key.
///
/// # Errors
/// `RESOLUTION_INVALID`, whatever is wrong.
pub fn open(key: &ResolutionKey, id: &str) -> Result<Ticket, Fault> {
    let invalid = || Fault::new(Reason::ResolutionInvalid, "resolution_id must be as ResolveKey returned it");
    let opened = key.open(id).map_err(|_| invalid())?;
    let of = use_from_bytes(&opened.plaintext).map_err(|_| invalid())?;
    Ok(Ticket { replica: opened.origin, number: opened.number, of })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use claviger_core::ids::{AgentId, KeyId, ModelId, ProviderId, SessionId, UserId, WorkspaceId};
    use claviger_core::route::Source;
    use claviger_crypto::ServiceKey;

    use super::*;

    fn key() -> ResolutionKey {
        ResolutionKey::of(&ServiceKey::generate().unwrap()).unwrap()
    }

    /// Every id as long as it may be.
    fn longest() -> Use {
        let x = |length| "x".repeat(length);
        Use {
            workspace: WorkspaceId::parse(&x(63)).unwrap(),
            user: UserId::parse(&x(128)).ok(),
            agent: AgentId::parse(&x(128)).ok(),
            session: SessionId::parse(&x(128)).ok(),
            key: KeyId::new(Uuid::max()),
            secret_version: i32::MAX.unsigned_abs(),
            provider: ProviderId::parse(&x(63)).unwrap(),
            model: ModelId::parse(&x(256)).ok(),
            payer: Source::Platform,
            time: time::macros::datetime!(9999-12-31 23:59:59.999_999 UTC),
        }
    }

    #[test]
    fn any_replica_reads_the_id_of_any_resolution_in_2_048_characters() {
        let (key, sealer) = (key(), ResolutionSealer::new(0).unwrap());
        let (id, number) = seal(&sealer, &key, &longest()).unwrap();
        assert!(id.len() <= 2_048, "{}", id.len());
        let ticket = Ticket { replica: sealer.origin(), number, of: longest() };
        assert_eq!(open(&key, &id).unwrap(), ticket);
        assert_eq!(id.len(), 1_179, "the contract's limit leaves room");
    }

    #[test]
    fn what_routing_did_not_say_is_one_refusal() {
        let (key, sealer) = (key(), ResolutionSealer::new(0).unwrap());
        let (others, _) = seal(&sealer, &self::key(), &longest()).unwrap();
        let (no_use, _) = sealer.seal(&key, b"no use").unwrap();
        let refused = open(&key, "").unwrap_err();
        assert_eq!(refused.reason, Reason::ResolutionInvalid);
        for id in [&others, &no_use, "AQ", &Uuid::now_v7().to_string(), &"A".repeat(10_000)] {
            assert_eq!(open(&key, id).unwrap_err(), refused);
        }
    }
}
