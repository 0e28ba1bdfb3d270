//! How keys fare.

use claviger_core::key_health::{Cooldown, HealthStatus, KeyHealth};

use crate::convert::{self, text, timestamp};
use crate::keyvault_v1 as kv;

/// A key's health as callers see it; none where nothing was reported.
#[must_use]
pub fn health_message(health: &KeyHealth) -> Option<kv::KeyHealth> {
    Some(kv::KeyHealth {
        status: status(health.status())?.into(),
        cooldowns: health.cooldowns.iter().map(cooldown_message).collect(),
        last_outcome: health.last_outcome.map_or(kv::Outcome::Unspecified, |(said, _)| convert::outcome(said)).into(),
        last_outcome_time: health.last_outcome.map(|(_, at)| timestamp(at)),
    })
}

fn cooldown_message(cooldown: &Cooldown) -> kv::Cooldown {
    kv::Cooldown {
        model: text(cooldown.model.as_ref()),
        cause: convert::outcome(cooldown.cause).into(),
        start_time: Some(timestamp(cooldown.since)),
        end_time: Some(timestamp(cooldown.until)),
    }
}

fn status(status: HealthStatus) -> Option<kv::key_health::Status> {
    use kv::key_health::Status;
    Some(match status {
        HealthStatus::Unknown => return None,
        HealthStatus::Healthy => Status::Healthy,
        HealthStatus::PartlyCooling => Status::PartlyCooling,
        HealthStatus::Cooling => Status::Cooling,
    })
}
