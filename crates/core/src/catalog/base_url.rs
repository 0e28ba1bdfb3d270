//! The syntax of a key's own base URL: one canonical form, or a refusal.
//!
//! Parsing is that of the `url` crate (WHATWG), as the HTTP client will parse it again: what is checked is what is
//! connected to. Where the host may be is the business of [`super::egress`].

use url::Url;

/// The longest base URL, in bytes, before and after it is made canonical.
pub const MAX_BASE_URL: usize = 2048;

/// Why a base URL is refused. It never holds the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// The provider's keys have no base URL of their own.
    #[error("must not be set: this provider's keys have none of their own")]
    NotTaken,
    /// The provider has no default, and the key names none.
    #[error("must be set for this provider")]
    Required,
    /// Longer than [`MAX_BASE_URL`].
    #[error("must not be longer than 2048 bytes")]
    TooLong,
    /// Not an absolute URL of the form `https://host/path`.
    #[error("must be an absolute URL of the form https://host[:port][/path]")]
    Syntax,
    /// Neither HTTPS nor, where that is permitted, HTTP.
    #[error("must use https")]
    Scheme,
    /// A user name or password before the host.
    #[error("must not hold a user name or password")]
    UserInfo,
    /// A `?query`.
    #[error("must not have a query")]
    Query,
    /// A `#fragment`.
    #[error("must not have a fragment")]
    Fragment,
    /// The host is an address that is not reachable from the public internet, and the operator has not allowed it.
    #[error("leads to an address that is not public; the operator can allow it")]
    PrivateAddress,
    /// The host is a name of a local network, and the operator has not allowed it.
    #[error("leads to a name of a local network; the operator can allow it")]
    LocalName,
}

/// The canonical form of a base URL: lower-case scheme and host, names in punycode, addresses in their usual notation,
/// default port and trailing slashes left out. Applied twice it changes nothing.
///
/// # Errors
/// When the URL is longer than [`MAX_BASE_URL`], not of the form `https://host[:port][/path]`, or has userinfo, a query,
/// a fragment, white space, control characters or a backslash. `http` passes only with `permit_http`; then
/// [`super::egress::check_host`] must still find its host on the operator's list.
pub fn canonical_base_url(text: &str, permit_http: bool) -> Result<String, BaseUrlError> {
    if text.len() > MAX_BASE_URL {
        return Err(BaseUrlError::TooLong);
    }
    check_raw(text)?;
    let url = Url::parse(text).map_err(|_| BaseUrlError::Syntax)?;
    check_parsed(&url, permit_http)?;
    let canonical = url.as_str().trim_end_matches('/');
    if canonical.len() > MAX_BASE_URL { Err(BaseUrlError::TooLong) } else { Ok(canonical.to_owned()) }
}

/// What a WHATWG parser would repair in silence is refused before it gets to: missing slashes, tabs and newlines,
/// backslashes, an empty userinfo.
fn check_raw(text: &str) -> Result<(), BaseUrlError> {
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(BaseUrlError::Syntax);
    }
    let (_, rest) = text.split_once("://").ok_or(BaseUrlError::Syntax)?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(BaseUrlError::UserInfo);
    }
    if authority.is_empty() { Err(BaseUrlError::Syntax) } else { Ok(()) }
}

fn check_parsed(url: &Url, permit_http: bool) -> Result<(), BaseUrlError> {
    match url.scheme() {
        "https" => {}
        "http" if permit_http => {}
        _ => return Err(BaseUrlError::Scheme),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BaseUrlError::UserInfo);
    }
    if url.query().is_some() {
        return Err(BaseUrlError::Query);
    }
    if url.fragment().is_some() {
        return Err(BaseUrlError::Fragment);
    }
    // a trailing dot names the same host by another text, which lists of names would miss
    match url.host_str() {
        Some(host) if !host.is_empty() && !host.ends_with('.') && url.port() != Some(0) => Ok(()),
        _ => Err(BaseUrlError::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn forms_become_one() {
        for (given, canonical) in [
            ("https://api.example.com", "https://api.example.com"),
            ("https://api.example.com/", "https://api.example.com"),
            ("https://api.example.com/v1//", "https://api.example.com/v1"),
            ("HTTPS://API.Example.COM:443/V1", "https://api.example.com/V1"),
            ("https://api.example.com:8443/v1", "https://api.example.com:8443/v1"),
            ("https://b\u{fc}cher.example/v1", "https://xn--bcher-kva.example/v1"),
            ("https://api.example.com/a/../b", "https://api.example.com/b"),
            ("https://api.example.com/a/%2e%2e/b", "https://api.example.com/b"),
            ("https://2130706433/", "https://127.0.0.1"),
            ("https://0x7f.1/", "https://127.0.0.1"),
            ("https://0177.0.0.1/", "https://127.0.0.1"),
            ("https://127.1/", "https://127.0.0.1"),
            ("https://[0:0:0:0:0:0:0:1]/", "https://[::1]"),
            ("https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/", "https://127.0.0.1"),
        ] {
            assert_eq!(canonical_base_url(given, false).as_deref(), Ok(canonical), "{given}");
        }
    }

    #[test]
    fn hostile_forms_are_refused() {
        use BaseUrlError::{Fragment, Query, Scheme, Syntax, TooLong, UserInfo};
        let long = format!("https://example.com/{}", "a".repeat(MAX_BASE_URL));
        for (given, error) in [
            ("", Syntax),
            ("api.example.com", Syntax),
            ("https:api.example.com", Syntax),
            ("https:/api.example.com", Syntax),
            ("https:///api.example.com", Syntax),
            ("https://", Syntax),
            ("//api.example.com", Syntax),
            ("https:\\\\api.example.com", Syntax),
            ("https://good.example\\@evil.example", Syntax),
            (" https://api.example.com", Syntax),
            ("https://api.example.com\r\n", Syntax),
            ("https://api.exa\tmple.com", Syntax),
            ("https://api.example.com/a b", Syntax),
            ("https://api.example.com.", Syntax),
            ("https://api.example.com:0", Syntax),
            ("https://api.example.com:99999", Syntax),
            ("https://exa%00mple.com", Syntax),
            ("https://[::1", Syntax),
            ("https://user:pass@api.example.com", UserInfo),
            ("https://api.openai.com@evil.example/v1", UserInfo),
            ("https://@api.example.com", UserInfo),
            ("https://api.example.com?x=1", Query),
            ("https://api.example.com/?", Query),
            ("https://api.example.com/#", Fragment),
            ("https://api.example.com#@evil.example", Fragment),
            ("http://api.example.com", Scheme),
            ("ftp://api.example.com", Scheme),
            ("file:///etc/passwd", Syntax),
            ("file://host/etc/passwd", Scheme),
            ("gopher://host/_x", Scheme),
            (long.as_str(), TooLong),
        ] {
            assert_eq!(canonical_base_url(given, false), Err(error), "{given:?}");
        }
    }

    #[test]
    fn http_passes_only_where_it_is_permitted() {
        assert_eq!(canonical_base_url("http://localhost:11434/", true).as_deref(), Ok("http://localhost:11434"));
        assert_eq!(canonical_base_url("http://localhost:11434/", false), Err(BaseUrlError::Scheme));
        assert_eq!(canonical_base_url("ws://localhost:11434/", true), Err(BaseUrlError::Scheme));
    }

    #[test]
    fn growing_beyond_the_limit_is_noticed() {
        let grows = format!("https://example.com/{}", "\u{fc}".repeat(1000)); // each becomes six bytes
        assert_eq!(canonical_base_url(&grows, false), Err(BaseUrlError::TooLong));
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_has_one_form(
            text in prop_oneof![".{0,80}", "(https?|HTTPS)://[a-z0-9.:@\\[\\]%/?#\\\\-]{0,60}"],
            permit_http: bool,
        ) {
            match canonical_base_url(&text, permit_http) {
                Ok(once) => {
                    prop_assert_eq!(canonical_base_url(&once, permit_http), Ok(once.clone()));
                    prop_assert!(once.is_ascii() && !once.contains(['@', '?', '#', '\\', ' ']) || once.contains("/"));
                }
                Err(error) => prop_assert!(text.len() < 20 || !error.to_string().contains(&text)),
            }
        }
    }
}
