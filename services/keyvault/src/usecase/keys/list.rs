//! List an owner's keys, a page at a time.

use claviger_core::command::ListKeys;
use claviger_core::fault::Fault;
use claviger_core::ids::KeyId;
use claviger_core::key::ProviderKey;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Keys, Shown};
use crate::store::{After, StoredKey};
use crate::usecase::page::{self, Page};

const KIND: &str = "keys";

impl Keys {
    /// Lists an owner's keys by priority and age, a page at a time.
    ///
    /// # Errors
    /// `INVALID_FIELD` for a token of another listing, `STORAGE_UNAVAILABLE`.
    pub async fn list(&self, list: &ListKeys) -> Result<Page<Shown>, Fault> {
        let (key, query) = (self.custody.page_token(), query(list));
        let cursor = list.page.token.as_ref().map(|token| page::cursor(key, KIND, &query, token)).transpose()?;
        let after = cursor.map(|bytes| read(&bytes).ok_or_else(page::foreign)).transpose()?;
        let at = self.position().await?;
        let one_more = u64::from(list.page.size) + 1;
        let found = self.store.keys(&list.owner, list.show_revoked, &list.filter, after.as_ref(), one_more).await?;
        let token = |last: &StoredKey| page::token(key, KIND, &query, &cursor_of(&last.key));
        let page = Page::cut(found, list.page.size, at, token);
        let mut health = self.health(&page.items).await?;
        Ok(page.map(|stored| {
            let health = health.remove(&stored.key.name.id).unwrap_or_default();
            Shown { stored, health }
        }))
    }
}

fn query(list: &ListKeys) -> String {
    format!("{} {} {:?}", list.owner, list.show_revoked, list.filter)
}

fn cursor_of(last: &ProviderKey) -> Vec<u8> {
    let time = last.create_time.unix_timestamp_nanos();
    [&last.priority.to_be_bytes()[..], &time.to_be_bytes(), last.name.id.uuid().as_bytes()].concat()
}

/// Reads what [`cursor_of`] wrote.
fn read(cursor: &[u8]) -> Option<After> {
    let (priority, rest) = cursor.split_first_chunk::<4>()?;
    let (time, rest) = rest.split_first_chunk::<16>()?;
    let id = Uuid::from_slice(rest).ok()?;
    Some(After {
        priority: i32::from_be_bytes(*priority),
        create_time: OffsetDateTime::from_unix_timestamp_nanos(i128::from_be_bytes(*time)).ok()?,
        id: KeyId::new(id).to_string(),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use claviger_core::command::PageRequest;
    use claviger_core::filter::Filter;
    use claviger_core::ids::Owner;

    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let mut last = crate::store::tests::key("workspaces/a", "anthropic").key;
        last.priority = -7;
        let after = read(&cursor_of(&last)).unwrap();
        assert_eq!(after, After { priority: -7, create_time: last.create_time, id: last.name.id.to_string() });
        assert_eq!(read(b"short"), None);
    }

    #[test]
    fn whatever_narrows_a_listing_makes_it_another() {
        let list = |owner: &str, show_revoked, filter: &str| ListKeys {
            owner: Owner::parse(owner).unwrap(),
            show_revoked,
            filter: Filter::parse(filter, &ListKeys::FIELDS).unwrap(),
            page: PageRequest { size: 1, token: None },
        };
        let mut queries: Vec<_> = [
            list("workspaces/a", false, ""),
            list("workspaces/b", false, ""),
            list("workspaces/a/users/b", false, ""),
            list("workspaces/a", true, ""),
            list("workspaces/a", false, "provider = anthropic"),
            list("workspaces/a", false, "provider = openai"),
            list("workspaces/a", false, "provider != openai"),
        ]
        .iter()
        .map(query)
        .collect();
        queries.sort();
        queries.dedup();
        assert_eq!(queries.len(), 7);
    }
}
