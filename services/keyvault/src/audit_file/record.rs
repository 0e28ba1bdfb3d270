//! One line's fields: what the format knows of them, each at most once.

use std::borrow::Cow;
use std::fmt;

use claviger_core::ids::Tenant;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use uuid::Uuid;

use super::{ExportedEvent, FORMAT, Head, Header, Problem, Scope, Trailer, head};

const KNOWN: [&str; 20] = [
    "seq",
    "event_time",
    "tenant",
    "action",
    "target",
    "actor",
    "on_behalf_of",
    "peer",
    "request_id",
    "trace_id",
    "details",
    "previous_hash",
    "hash",
    "format",
    "epoch",
    "scope",
    "first_seq",
    "events",
    "last_seq",
    "last_hash",
];

/// The fields of a line. What the format does not have there is in no hash, and anyone could have added it.
pub(super) struct Record<'a> {
    fields: Vec<(&'static str, Scalar<'a>)>,
    twice: Option<&'static str>,
    /// Whether there is a field of another name.
    foreign: bool,
}

enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(i64),
    Other,
}

impl<'a> Record<'a> {
    pub(super) fn parse(line: &'a str) -> Result<Self, Problem> {
        serde_json::from_str(line).map_err(|_| Problem::NotJson) // its words quote the line
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(field, _)| *field == name)
    }

    /// The line as a file's first.
    pub(super) fn header(mut self) -> Result<Header, Problem> {
        match self.text("format") {
            Ok(format) if format == FORMAT => self.once()?,
            _ => return Err(Problem::Format),
        }
        let text = self.text("epoch")?;
        let epoch = Uuid::try_parse(&text).ok().filter(|epoch| epoch.to_string() == text);
        let epoch = epoch.ok_or(Problem::Field("epoch"))?;
        let scope = match &*self.text("scope")? {
            "all" => Scope::All { after: self.after()? },
            tenant => Scope::Tenant(Tenant::parse(tenant).map_err(|_| Problem::Field("scope"))?),
        };
        self.nothing_else()?;
        Ok(Header { epoch, scope })
    }

    fn after(&mut self) -> Result<Head, Problem> {
        let first = self.number("first_seq")?;
        let hash = self.hash("previous_hash")?;
        if first < 1 {
            return Err(Problem::Field("first_seq"));
        }
        Ok(Head { seq: first - 1, hash })
    }

    /// The event's number, for whoever must name it although the rest of it is broken.
    pub(super) fn seq(&self) -> Option<i64> {
        self.fields.iter().find_map(|field| match field {
            ("seq", Scalar::Number(seq)) => Some(*seq),
            _ => None,
        })
    }

    /// The line as an event.
    pub(super) fn event(mut self) -> Result<ExportedEvent<'a>, Problem> {
        self.once()?;
        let event = ExportedEvent {
            seq: self.number("seq")?,
            event_time: self.number("event_time")?,
            tenant: self.text("tenant")?,
            action: self.text("action")?,
            target: self.text("target")?,
            actor: self.text("actor")?,
            on_behalf_of: self.text("on_behalf_of")?,
            peer: self.text("peer")?,
            request_id: self.text("request_id")?,
            trace_id: self.text("trace_id")?,
            details: self.text("details")?,
            previous_hash: self.hash("previous_hash")?,
            hash: self.hash("hash")?,
        };
        self.nothing_else()?;
        Ok(event)
    }

    /// The line as a file's last.
    pub(super) fn trailer(mut self) -> Result<Trailer, Problem> {
        self.once()?;
        let events = u64::try_from(self.number("events")?).map_err(|_| Problem::Field("events"))?;
        let last = match events {
            0 => None,
            _ => Some(Head { seq: self.number("last_seq")?, hash: self.hash("last_hash")? }),
        };
        self.nothing_else()?;
        Ok(Trailer { events, last })
    }

    fn once(&self) -> Result<(), Problem> {
        self.twice.map_or(Ok(()), |name| Err(Problem::Twice(name)))
    }

    /// All of the line was taken.
    fn nothing_else(&self) -> Result<(), Problem> {
        match self.fields.first() {
            Some((name, _)) => Err(Problem::Field(name)),
            None if self.foreign => Err(Problem::Foreign),
            None => Ok(()),
        }
    }

    fn text(&mut self, name: &'static str) -> Result<Cow<'a, str>, Problem> {
        match self.take(name)? {
            Scalar::Text(text) => Ok(text),
            _ => Err(Problem::Field(name)),
        }
    }

    fn number(&mut self, name: &'static str) -> Result<i64, Problem> {
        match self.take(name)? {
            Scalar::Number(number) => Ok(number),
            _ => Err(Problem::Field(name)),
        }
    }

    fn hash(&mut self, name: &'static str) -> Result<[u8; 32], Problem> {
        head::hash(&self.text(name)?).ok_or(Problem::Field(name))
    }

    fn take(&mut self, name: &'static str) -> Result<Scalar<'a>, Problem> {
        let at = self.fields.iter().position(|(field, _)| *field == name).ok_or(Problem::Missing(name))?;
        Ok(self.fields.remove(at).1)
    }
}

impl<'de> Deserialize<'de> for Record<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(RecordVisitor)
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Record<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record<'de>, A::Error> {
        let mut record = Record { fields: Vec::with_capacity(KNOWN.len()), twice: None, foreign: false };
        while let Some(key) = map.next_key::<Scalar<'de>>()? {
            let Scalar::Text(key) = key else { continue };
            let Some(name) = KNOWN.into_iter().find(|name| *name == key) else {
                map.next_value::<IgnoredAny>()?;
                record.foreign = true;
                continue;
            };
            let value = map.next_value()?;
            if record.has(name) {
                record.twice.get_or_insert(name); // the first stands, so that the line can be named
            } else {
                record.fields.push((name, value));
            }
        }
        Ok(record)
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
        Ok(i64::try_from(number).map_or(Scalar::Other, Scalar::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}
