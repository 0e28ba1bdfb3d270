//! Pages of listings, and their tokens: where a listing goes on, opaque, authenticated and bound to the listing that made
//! them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_core::fault::Fault;
use claviger_core::position::Position;
use claviger_crypto::ServiceKey;

const DOMAIN: &str = "claviger/page-token/v1";
const TAG: usize = 32;

/// One page of a listing.
#[derive(Debug)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Gets the next page, if there is one.
    pub next: Option<String>,
    /// The point of history that the page is no older than.
    pub at: Position,
}

impl<T> Page<T> {
    /// The first `size` of what was found; one more shows that another page follows, which `token` leads to from the last.
    pub(super) fn cut(mut found: Vec<T>, size: u32, at: Position, token: impl FnOnce(&T) -> String) -> Self {
        let size = size as usize;
        let more = found.len() > size;
        found.truncate(size);
        let next = found.last().filter(|_| more).map(token);
        Self { items: found, next, at }
    }

    /// The same page of other things.
    pub(super) fn map<U>(self, other: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(other).collect(), next: self.next, at: self.at }
    }
}

/// The token of what lies behind `cursor` in a listing. `query` is all that narrows the listing but its page.
pub(super) fn token(key: &ServiceKey, kind: &str, query: &str, cursor: &[u8]) -> String {
    let tag = key.mac(DOMAIN, &[kind.as_bytes(), query.as_bytes(), cursor]);
    URL_SAFE_NO_PAD.encode([cursor, &tag].concat())
}

/// The cursor of a token that [`token`] made for the same listing.
///
/// # Errors
/// `INVALID_FIELD`.
pub(super) fn cursor(key: &ServiceKey, kind: &str, query: &str, token: &str) -> Result<Vec<u8>, Fault> {
    let mut bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| foreign())?;
    let length = bytes.len().checked_sub(TAG).ok_or_else(foreign)?;
    let tag = bytes.split_off(length);
    if !key.verify(DOMAIN, &[kind.as_bytes(), query.as_bytes(), &bytes], &tag) {
        return Err(foreign());
    }
    Ok(bytes)
}

/// The same for listings that go on behind a text, such as an id.
pub(super) fn text_cursor(
    key: &ServiceKey,
    kind: &str,
    query: &str,
    token: Option<&str>,
) -> Result<Option<String>, Fault> {
    let bytes = token.map(|token| cursor(key, kind, query, token)).transpose()?;
    bytes.map(|bytes| String::from_utf8(bytes).map_err(|_| foreign())).transpose()
}

/// A token that is not of this listing.
pub(super) fn foreign() -> Fault {
    Fault::field("page_token", "must be the next_page_token of the same listing")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_token_serves_its_own_listing_alone() {
        let key = ServiceKey::generate().unwrap();
        let token = token(&key, "keys", "workspaces/a", b"behind this");
        assert_eq!(cursor(&key, "keys", "workspaces/a", &token).unwrap(), b"behind this");
        assert!(cursor(&key, "keys", "workspaces/b", &token).is_err());
        assert!(cursor(&key, "routes", "workspaces/a", &token).is_err());
        assert!(cursor(&key, "key", "sworkspaces/a", &token).is_err());
        assert!(cursor(&ServiceKey::generate().unwrap(), "keys", "workspaces/a", &token).is_err());
        for hostile in ["", "AA", "not base64!", &token[1..], &token[..token.len() - 1], &format!("{token}A")] {
            assert!(cursor(&key, "keys", "workspaces/a", hostile).is_err(), "{hostile}");
        }
    }

    #[test]
    fn no_byte_of_a_token_can_be_changed() {
        let key = ServiceKey::generate().unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(token(&key, "keys", "", b"k")).unwrap();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert!(cursor(&key, "keys", "", &URL_SAFE_NO_PAD.encode(changed)).is_err(), "byte {index}");
        }
    }

    #[test]
    fn a_page_has_a_token_if_another_one_follows() {
        let at = Position { epoch: uuid::Uuid::nil(), seq: 1 };
        let page = |found: &[u8]| {
            let page = Page::cut(found.to_vec(), 2, at, |last| format!("behind {last}"));
            (page.items, page.next)
        };
        assert_eq!(page(&[]), (vec![], None));
        assert_eq!(page(&[1, 2]), (vec![1, 2], None));
        assert_eq!(page(&[1, 2, 3]), (vec![1, 2], Some("behind 2".to_owned())));
    }
}
