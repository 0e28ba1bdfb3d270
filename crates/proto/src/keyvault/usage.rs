//! Usage.

use claviger_core::catalog::Outcome;
use claviger_core::command::{Dimension, ListCallers, QueryUsage, UsageScope};
use claviger_core::fault::Fault;
use claviger_core::ids::{KeyName, Owner, Tenant};
use claviger_core::usage::{CallerUse, Grouped, Mark};
use prost_types::Timestamp;
use time::OffsetDateTime;

use super::listing;
use crate::convert::{self, time, timestamp, unknown_enum};
use crate::keyvault_v1 as kv;

const DEFAULT_PAGE: u32 = 100;
const LARGEST_PAGE: u32 = 1_000;

impl TryFrom<kv::QueryUsageRequest> for QueryUsage {
    type Error = Fault;

    fn try_from(request: kv::QueryUsageRequest) -> Result<Self, Fault> {
        Ok(Self {
            scope: scope(&request.parent)?,
            interval: request.interval.as_ref().map(interval).transpose()?,
            group_by: group_by(&request.group_by)?,
            filter: listing::filter(&request.filter, &Self::FIELDS)?,
            page: listing::page_of(DEFAULT_PAGE, LARGEST_PAGE, request.page_size, &request.page_token)?,
        })
    }
}

fn scope(parent: &str) -> Result<UsageScope, Fault> {
    let Owner { tenant, user } = Owner::parse(parent).map_err(Fault::id("parent"))?;
    Ok(match (tenant, user) {
        (Tenant::Platform, _) => UsageScope::All,
        (Tenant::Workspace(workspace), None) => UsageScope::Workspace(workspace),
        (Tenant::Workspace(workspace), Some(user)) => UsageScope::User(workspace, user),
    })
}

fn interval(given: &kv::UsageInterval) -> Result<(OffsetDateTime, Option<OffsetDateTime>), Fault> {
    let start = given.start_time.as_ref().ok_or_else(|| Fault::field("interval.start_time", "must be set"))?;
    let end = given.end_time.as_ref().map(|end| time("interval.end_time", end)).transpose()?;
    Ok((time("interval.start_time", start)?, end))
}

fn group_by(numbers: &[i32]) -> Result<Vec<Dimension>, Fault> {
    let mut dimensions = Vec::with_capacity(numbers.len());
    for number in numbers {
        let dimension = dimension(*number).ok_or_else(|| unknown_enum("group_by"))?;
        if dimensions.contains(&dimension) {
            return Err(Fault::field("group_by", "must name each dimension at most once"));
        }
        dimensions.push(dimension);
    }
    if dimensions.contains(&Dimension::Hour) && dimensions.contains(&Dimension::Day) {
        return Err(Fault::field("group_by", "must name hours or days, not both"));
    }
    Ok(dimensions)
}

fn dimension(number: i32) -> Option<Dimension> {
    use kv::UsageDimension as Wire;
    Some(match Wire::try_from(number).ok()? {
        Wire::Unspecified => return None,
        Wire::Workspace => Dimension::Workspace,
        Wire::User => Dimension::User,
        Wire::Agent => Dimension::Agent,
        Wire::Session => Dimension::Session,
        Wire::Key => Dimension::Key,
        Wire::Provider => Dimension::Provider,
        Wire::Model => Dimension::Model,
        Wire::Payer => Dimension::Payer,
        Wire::Hour => Dimension::Hour,
        Wire::Day => Dimension::Day,
    })
}

impl TryFrom<kv::ListCallersRequest> for ListCallers {
    type Error = Fault;

    fn try_from(request: kv::ListCallersRequest) -> Result<Self, Fault> {
        let key = KeyName::parse(&request.key).map_err(Fault::id("key"))?;
        Ok(Self { key, page: listing::page(request.page_size, &request.page_token)? })
    }
}

/// A group's usage as callers see it.
#[must_use]
pub fn usage_row(group_by: &[Dimension], Grouped { marks, counts }: Grouped) -> kv::UsageRow {
    let outcomes = Outcome::ALL.into_iter().zip(counts.outcomes).filter(|(_, count)| *count > 0);
    let mut row = kv::UsageRow {
        calls: signed(counts.calls),
        outcomes: outcomes.map(|(outcome, count)| outcome_count(outcome, count)).collect(),
        input_tokens: signed(counts.input_tokens),
        output_tokens: signed(counts.output_tokens),
        credits: counts.credits.to_string(),
        duration: prost_types::Duration::try_from(counts.duration).ok(),
        unpriced_calls: signed(counts.unpriced_calls),
        ..Default::default()
    };
    for (dimension, mark) in group_by.iter().zip(marks) {
        match mark {
            Mark::Text(text) => name(&mut row, *dimension, text),
            Mark::Time(micros) => row.start_time = start(micros),
        }
    }
    row
}

fn name(row: &mut kv::UsageRow, dimension: Dimension, text: String) {
    match dimension {
        Dimension::Workspace => row.workspace = workspace(&text),
        Dimension::User => row.user = text,
        Dimension::Agent => row.agent = text,
        Dimension::Session => row.session = text,
        Dimension::Key => row.key_uid = text,
        Dimension::Provider => row.provider = text,
        Dimension::Model => row.model = text,
        Dimension::Payer => {
            row.payer = kv::Payer::from_str_name(&format!("PAYER_{text}")).unwrap_or_default().into();
        }
        Dimension::Hour | Dimension::Day => {}
    }
}

fn workspace(id: &str) -> String {
    format!("workspaces/{id}")
}

fn outcome_count(outcome: Outcome, count: u64) -> kv::OutcomeCount {
    kv::OutcomeCount { outcome: convert::outcome(outcome).into(), count: signed(count) }
}

fn start(micros: i64) -> Option<Timestamp> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).ok().map(timestamp)
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Who used a key, as callers see it.
#[must_use]
pub fn caller_message(row: CallerUse) -> kv::Caller {
    let CallerUse { caller: [id, user, agent, session], calls, first_use, last_use } = row;
    kv::Caller {
        workspace: workspace(&id),
        user,
        agent,
        session,
        calls: signed(calls),
        first_use_time: Some(timestamp(first_use)),
        last_use_time: Some(timestamp(last_use)),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use claviger_core::route::Source;
    use claviger_core::usage::{Counts, payer};

    use super::*;

    fn request() -> kv::QueryUsageRequest {
        kv::QueryUsageRequest { parent: "workspaces/acme".to_owned(), ..Default::default() }
    }

    #[test]
    fn a_query_is_read_and_what_is_none_is_refused() {
        let query = QueryUsage::try_from(kv::QueryUsageRequest { group_by: vec![8, 10], ..request() }).unwrap();
        assert_eq!((query.group_by, query.page.size), (vec![Dimension::Payer, Dimension::Day], 100));
        let parents =
            [("platform", "all"), ("workspaces/a", "workspaces/a"), ("workspaces/a/users/u", "workspaces/a/users/u")];
        for (parent, scope) in parents {
            let query = QueryUsage::try_from(kv::QueryUsageRequest { parent: parent.into(), ..request() }).unwrap();
            assert_eq!(query.scope.to_string(), scope);
        }
        let start = |seconds| Some(Timestamp { seconds, nanos: 0 });
        for (bad, field) in [
            (kv::QueryUsageRequest { parent: "workspaces".into(), ..request() }, "parent"),
            (kv::QueryUsageRequest { group_by: vec![0], ..request() }, "group_by"),
            (kv::QueryUsageRequest { group_by: vec![11], ..request() }, "group_by"),
            (kv::QueryUsageRequest { group_by: vec![1, 2, 1], ..request() }, "group_by"),
            (kv::QueryUsageRequest { group_by: vec![9, 10], ..request() }, "group_by"),
            (kv::QueryUsageRequest { filter: "hour = 1".into(), ..request() }, "filter"),
            (kv::QueryUsageRequest { page_size: -1, ..request() }, "page_size"),
            (
                kv::QueryUsageRequest { interval: Some(kv::UsageInterval::default()), ..request() },
                "interval.start_time",
            ),
            (
                kv::QueryUsageRequest {
                    interval: Some(kv::UsageInterval { start_time: start(1), end_time: start(-1) }),
                    ..request()
                },
                "interval.end_time",
            ),
        ] {
            assert_eq!(QueryUsage::try_from(bad).unwrap_err().field, Some(field));
        }
    }

    #[test]
    fn a_row_names_what_was_asked_for() {
        let dimensions = [
            Dimension::Workspace,
            Dimension::User,
            Dimension::Agent,
            Dimension::Session,
            Dimension::Key,
            Dimension::Provider,
            Dimension::Model,
            Dimension::Payer,
            Dimension::Hour,
        ];
        let mut marks: Vec<_> = ["w", "u", "a", "s", "k", "p", "m"].map(|text| Mark::Text(text.to_owned())).to_vec();
        marks.extend([Mark::Text(payer(Source::Personal).to_owned()), Mark::Time(3_600_000_000)]);
        let mut counts = Counts::default();
        counts.outcomes[9] = 3;
        let row = usage_row(&dimensions, Grouped { marks, counts });
        let names = [row.user, row.agent, row.session, row.key_uid, row.provider, row.model];
        assert_eq!((row.workspace.as_str(), names.concat().as_str()), ("workspaces/w", "uaskpm"));
        assert_eq!(row.payer, i32::from(kv::Payer::PersonalKey));
        assert_eq!(row.start_time, Some(Timestamp { seconds: 3_600, nanos: 0 }));
        assert_eq!((row.credits.as_str(), row.outcomes.len(), row.outcomes[0].count), ("0", 1, 3));
        for source in [Source::Personal, Source::Workspace, Source::Platform] {
            assert!(kv::Payer::from_str_name(&format!("PAYER_{}", payer(source))).is_some());
        }
    }
}
