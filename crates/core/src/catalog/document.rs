//! A catalog file as TOML, before its meaning is looked at: entries, overrides, `like`.

use std::fmt::Write as _;

use toml::{Table, Value};

use super::error::{CatalogError, Problem};

/// What an entry takes over from the one that it is like: how keys look and travel, and how answers are read.
const SHARED: &[&str] =
    &["auth_types", "dashboard_url", "key", "headers", "base_url", "location", "test", "rules", "resets"];

/// What of an entry tells nothing of how keys are chosen, tested and sent.
const PRICES: &str = "price";

/// The tables of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Document {
    /// With their ids, in order.
    entries: Vec<(String, Table)>,
    /// The rules for any provider.
    pub(super) rules: Option<Value>,
    /// The resets of any provider.
    pub(super) resets: Option<Value>,
    /// What calls need that nothing else says anything of.
    pub(super) defaults: Option<Table>,
    /// The platform's fees.
    pub(super) fees: Option<Table>,
}

impl Document {
    pub(super) fn parse(text: &str) -> Result<Self, CatalogError> {
        let mut top: Table = toml::from_str(text).map_err(|e| CatalogError::Syntax(Box::new(e)))?;
        let entries = match top.remove("provider") {
            None => Vec::new(),
            Some(value) => value.try_into().map_err(|e| shape("*", "provider", e))?,
        };
        let (rules, resets) = (top.remove("rules"), top.remove("resets"));
        let defaults =
            top.remove("defaults").map(Value::try_into).transpose().map_err(|e| shape("*", "defaults", e))?;
        let fees = top.remove("fees").map(Value::try_into).transpose().map_err(|e| shape("*", "fees", e))?;
        match top.keys().next() {
            Some(field) => Err(CatalogError::UnknownSection { field: field.clone() }),
            None => Ok(Self { entries: with_ids(entries)?, rules, resets, defaults, fees }),
        }
    }

    /// Overrides entries by id and adds the others.
    pub(super) fn lay_over(&mut self, over: Self) {
        for (id, table) in over.entries {
            match self.entries.iter_mut().find(|(known, _)| *known == id) {
                Some((_, base)) => merge(base, table),
                None => self.entries.push((id, table)),
            }
        }
        self.rules = over.rules.or(self.rules.take());
        self.resets = over.resets.or(self.resets.take());
        merge(self.defaults.get_or_insert_default(), over.defaults.unwrap_or_default());
        merge(self.fees.get_or_insert_default(), over.fees.unwrap_or_default());
    }

    /// The entries, each complete with what it takes over.
    pub(super) fn effective_entries(&self) -> Result<Vec<(String, Table)>, CatalogError> {
        self.entries.iter().map(|(id, table)| Ok((id.clone(), self.effective(id, table)?))).collect()
    }

    fn effective(&self, id: &str, table: &Table) -> Result<Table, CatalogError> {
        let problem = |problem| CatalogError::Invalid { entry: id.to_owned(), field: "like".to_owned(), problem };
        let Some(like) = table.get("like").and_then(Value::as_str) else { return Ok(table.clone()) };
        let (_, base) = self.entries.iter().find(|(id, _)| id == like).ok_or(problem(Problem::NoSuchEntry))?;
        if base.contains_key("like") {
            return Err(problem(Problem::Chained));
        }
        let shared = base.iter().filter(|(field, _)| SHARED.contains(&field.as_str()));
        let mut effective: Table = shared.map(|(field, value)| (field.clone(), value.clone())).collect();
        merge(&mut effective, table.clone());
        Ok(effective)
    }

    pub(super) fn canonical_text(&self) -> String {
        let mut out = String::new();
        for (_, table) in &self.entries {
            write_table(table, &[PRICES], &mut out);
            out.push('\n');
        }
        for list in [&self.rules, &self.resets] {
            if let Some(list) = list {
                write_value(list, &mut out);
            }
            out.push('\n');
        }
        write_table(self.defaults.as_ref().unwrap_or(&Table::new()), &[], &mut out);
        out
    }
}

pub(super) fn shape(entry: &str, field: &'static str, source: toml::de::Error) -> CatalogError {
    CatalogError::Shape { entry: entry.to_owned(), field, source: Box::new(source) }
}

fn with_ids(tables: Vec<Table>) -> Result<Vec<(String, Table)>, CatalogError> {
    let mut entries: Vec<(String, Table)> = Vec::with_capacity(tables.len());
    for (index, table) in tables.into_iter().enumerate() {
        let id = table.get("id").and_then(Value::as_str).ok_or(CatalogError::NoId { position: index + 1 })?;
        if entries.iter().any(|(known, _)| known == id) {
            let problem = Problem::Taken;
            return Err(CatalogError::Invalid { entry: id.to_owned(), field: "id".to_owned(), problem });
        }
        entries.push((id.to_owned(), table));
    }
    Ok(entries)
}

/// Tables field by field, everything else as a whole.
fn merge(base: &mut Table, over: Table) {
    for (field, value) in over {
        match (base.get_mut(&field), value) {
            (Some(Value::Table(base)), Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(field, value);
            }
        }
    }
}

/// Fields in the order of their names, texts escaped: one text for one meaning.
fn write_table(table: &Table, without: &[&str], out: &mut String) {
    let mut fields: Vec<_> = table.iter().filter(|(name, _)| !without.contains(&name.as_str())).collect();
    fields.sort_unstable_by_key(|(name, _)| name.as_str());
    out.push('{');
    for (name, value) in fields {
        write_text(name, out);
        out.push('=');
        write_value(value, out);
        out.push(',');
    }
    out.push('}');
}

fn write_value(value: &Value, out: &mut String) {
    match value {
        Value::Table(table) => write_table(table, &[], out),
        Value::Array(list) => {
            out.push('[');
            for item in list {
                write_value(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::String(text) => write_text(text, out),
        other => out.push_str(&other.to_string()),
    }
}

fn write_text(text: &str, out: &mut String) {
    // writing to a String cannot fail
    let _ = write!(out, "\"{}\"", text.escape_default());
}
