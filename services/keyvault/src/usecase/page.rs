//! Page tokens: where a listing goes on, authenticated and bound to the listing that made them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_core::command::ListKeys;
use claviger_core::fault::Fault;
use claviger_core::ids::KeyId;
use claviger_core::key::ProviderKey;
use claviger_crypto::ServiceKey;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::store::After;

const DOMAIN: &str = "claviger/page-token/v1";
const POSITION: usize = 4 + 16 + 16;

/// The token of the page behind `last`.
pub(super) fn token(key: &ServiceKey, list: &ListKeys, last: &ProviderKey) -> String {
    let mut bytes = Vec::with_capacity(POSITION + 32);
    bytes.extend(last.priority.to_be_bytes());
    bytes.extend(last.create_time.unix_timestamp_nanos().to_be_bytes());
    bytes.extend(last.name.id.uuid().as_bytes());
    let tag = key.mac(DOMAIN, &parts(&query(list), &bytes));
    bytes.extend(tag);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a token that [`token`] made for the same listing.
pub(super) fn after(key: &ServiceKey, list: &ListKeys) -> Result<Option<After>, Fault> {
    let Some(token) = &list.page_token else { return Ok(None) };
    let bad = || Fault::field("page_token", "must be the next_page_token of the same listing");
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| bad())?;
    let (position, tag) = bytes.split_at_checked(POSITION).ok_or_else(bad)?;
    if !key.verify(DOMAIN, &parts(&query(list), position), tag) {
        return Err(bad());
    }
    read(position).map(Some).ok_or_else(bad)
}

fn read(position: &[u8]) -> Option<After> {
    let (priority, rest) = position.split_first_chunk::<4>()?;
    let (time, rest) = rest.split_first_chunk::<16>()?;
    let id = Uuid::from_slice(rest).ok()?;
    Some(After {
        priority: i32::from_be_bytes(*priority),
        create_time: OffsetDateTime::from_unix_timestamp_nanos(i128::from_be_bytes(*time)).ok()?,
        id: KeyId::new(id).to_string(),
    })
}

fn query(list: &ListKeys) -> String {
    format!("{} {}", list.owner, list.show_revoked)
}

fn parts<'a>(query: &'a str, position: &'a [u8]) -> [&'a [u8]; 2] {
    [query.as_bytes(), position]
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use claviger_core::ids::Owner;

    fn list(owner: &str, show_revoked: bool, page_token: Option<String>) -> ListKeys {
        ListKeys { owner: Owner::parse(owner).unwrap(), show_revoked, page_size: 1, page_token }
    }

    #[test]
    fn a_token_serves_its_own_listing_alone() {
        let key = ServiceKey::generate().unwrap();
        let last = crate::store::tests::key("workspaces/a", "anthropic").key;
        let token = token(&key, &list("workspaces/a", false, None), &last);
        let same = after(&key, &list("workspaces/a", false, Some(token.clone()))).unwrap().unwrap();
        assert_eq!((same.priority, same.id), (last.priority, last.name.id.to_string()));
        assert!(after(&key, &list("workspaces/b", false, Some(token.clone()))).is_err());
        assert!(after(&key, &list("workspaces/a", true, Some(token.clone()))).is_err());
        let other = ServiceKey::generate().unwrap();
        assert!(after(&other, &list("workspaces/a", false, Some(token.clone()))).is_err());
        for hostile in ["", "AA", "not base64!", &token[1..]] {
            assert!(after(&key, &list("workspaces/a", false, Some(hostile.into()))).is_err(), "{hostile}");
        }
    }
}
