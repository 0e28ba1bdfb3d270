//! Where a key may be sent: public addresses, and what the operator allows beyond them.
//!
//! [`check_host`] looks at a URL before it is stored or called. A name can change its address afterwards, so whoever
//! connects asks [`is_public_address`] and [`EgressAllow`] again about the address that it really connects to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use url::{Host, Url};

use super::base_url::BaseUrlError;

/// Blocks that are not the public internet (IANA special-purpose registry, RFC 6890 and its updates).
const NOT_PUBLIC_V4: &[(Ipv4Addr, u32)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8),        // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // carrier NAT; Alibaba's metadata at 100.100.100.200
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // Azure's host agent, though in a public block
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local; metadata at 169.254.169.254
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocol assignments; Oracle's metadata at 192.0.0.192
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarking
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),      // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),      // reserved, broadcast
];

/// Blocks within 2000::/3 that are not the public internet, or lead to IPv4 addresses.
const NOT_PUBLIC_V6: &[(Ipv6Addr, u32)] = &[
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo, benchmarking, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// Endings of names that only local networks resolve (RFC 6761, RFC 6762, RFC 8375, ICANN's `internal`, and habits).
const LOCAL_SUFFIXES: &[&str] =
    &[".localhost", ".local", ".internal", ".intranet", ".lan", ".home", ".corp", ".home.arpa", ".svc"];

/// Whether an address belongs to the public internet. Everything that is not known to is refused.
#[must_use]
pub fn is_public_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let bits = u32::from(v4);
            !NOT_PUBLIC_V4.iter().any(|(net, len)| (bits ^ u32::from(*net)) >> (32 - len) == 0)
        }
        // 2000::/3 is all the global unicast there is: mapped, compatible, NAT64, ULA, link-local, site-local and
        // multicast addresses lie outside
        IpAddr::V6(v6) => {
            let bits = u128::from(v6);
            bits >> 125 == 1 && !NOT_PUBLIC_V6.iter().any(|(net, len)| (bits ^ u128::from(*net)) >> (128 - len) == 0)
        }
    }
}

/// An item of the operator's list that is neither a host, an address nor a network. Items count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("item {position} must be a host name or an address, with or without a port, or a network such as 10.0.0.0/8")]
pub struct EgressError {
    /// Which item.
    pub position: usize,
}

/// The hosts and networks that the operator allows although they are not public (`CLAVIGER_EGRESS_ALLOW`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EgressAllow {
    networks: Vec<IpNet>,
    hosts: Vec<(Host, Option<u16>)>,
}

impl EgressAllow {
    /// Reads a list such as `ollama.lan, 127.0.0.1:11434, [::1]:11434, 10.20.0.0/16`. Names are exact: no wildcards.
    /// An empty text allows nothing.
    ///
    /// # Errors
    /// Names the first item that has none of these forms; an empty item too.
    pub fn parse(list: &str) -> Result<Self, EgressError> {
        let mut allow = Self::default();
        if list.trim().is_empty() {
            return Ok(allow);
        }
        for (index, item) in list.split(',').map(str::trim).enumerate() {
            let position = index + 1;
            if item.contains('/') {
                allow.networks.push(item.parse().map_err(|_| EgressError { position })?);
            } else {
                allow.hosts.push(parse_host(item).ok_or(EgressError { position })?);
            }
        }
        Ok(allow)
    }

    /// Nothing is allowed beyond the public internet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.hosts.is_empty()
    }

    /// Whether the list has this host, a name or an address, at this port.
    #[must_use]
    pub fn allows_host(&self, host: &str, port: u16) -> bool {
        parse_host(host).is_some_and(|(host, _)| self.allows(&host, port))
    }

    /// Whether the list has this name, at whatever port: for a resolver, which sees no port. The port was
    /// [checked](check_host) with the URL.
    #[must_use]
    pub fn allows_name(&self, name: &str) -> bool {
        parse_host(name).is_some_and(|(host, _)| self.hosts.iter().any(|(h, _)| *h == host))
    }

    /// Whether the list has this address at every port, by itself or in a network.
    #[must_use]
    pub fn allows_ip(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let alone = match address {
            IpAddr::V4(v4) => Host::Ipv4(v4),
            IpAddr::V6(v6) => Host::Ipv6(v6),
        };
        self.networks.iter().any(|net| net.contains(&address)) || self.hosts.contains(&(alone, None))
    }

    fn allows(&self, host: &Host, port: u16) -> bool {
        let by_network = match host {
            Host::Ipv4(v4) => self.allows_ip(IpAddr::V4(*v4)),
            Host::Ipv6(v6) => self.allows_ip(IpAddr::V6(*v6)),
            Host::Domain(_) => false,
        };
        by_network || self.hosts.iter().any(|(h, p)| h == host && p.is_none_or(|p| p == port))
    }
}

/// Checks the host of a [canonical](super::base_url::canonical_base_url) base URL: an address must be public, a name must
/// not be one of a local network, and plain HTTP is for listed hosts alone.
///
/// A name that resolves into an allowed network still has to be listed by name to be called by plain HTTP, since
/// nothing proves who answers.
///
/// # Errors
/// When the host is not on the operator's list and is no public one.
pub fn check_host(base_url: &str, allow: &EgressAllow) -> Result<(), BaseUrlError> {
    let url = Url::parse(base_url).map_err(|_| BaseUrlError::Syntax)?;
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return Err(BaseUrlError::Syntax);
    };
    if allow.allows(&host.to_owned(), port) {
        return Ok(());
    }
    match host {
        Host::Ipv4(v4) if !is_public_address(IpAddr::V4(v4)) => Err(BaseUrlError::PrivateAddress),
        Host::Ipv6(v6) if !is_public_address(IpAddr::V6(v6)) => Err(BaseUrlError::PrivateAddress),
        Host::Domain(name) if is_local_name(name) => Err(BaseUrlError::LocalName),
        _ if url.scheme() != "https" => Err(BaseUrlError::Scheme),
        _ => Ok(()),
    }
}

/// A name without a dot, or with an ending that only local networks resolve.
fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    !name.contains('.') || LOCAL_SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// `host`, `host:port`, `address`, `address:port`, `v6` or `[v6]:port`.
fn parse_host(text: &str) -> Option<(Host, Option<u16>)> {
    if let Ok(v6) = text.parse::<Ipv6Addr>() {
        return Some((Host::Ipv6(v6), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port.parse().ok()?)),
        _ => (text, None),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
    if host.is_empty() || !host.bytes().all(plain) || host.ends_with('.') {
        return None;
    }
    Some((Host::parse(host).ok()?, port))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::super::base_url::canonical_base_url;
    use super::*;

    #[test]
    fn only_public_addresses_are_public() {
        for public in
            ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.0", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"]
        {
            assert!(is_public_address(public.parse().unwrap()), "{public}");
        }
        for not in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.127.255.255",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:8.8.8.8",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public_address(not.parse().unwrap()), "{not}");
        }
    }

    #[test]
    fn hosts_outside_the_public_internet_are_refused() {
        use BaseUrlError::{LocalName, PrivateAddress, Scheme};
        for (url, error) in [
            ("https://127.0.0.1", PrivateAddress),
            ("https://2130706433", PrivateAddress),
            ("https://0x7f000001", PrivateAddress),
            ("https://0177.0.0.01", PrivateAddress),
            ("https://127.1", PrivateAddress),
            ("https://0", PrivateAddress),
            ("https://169.254.169.254/latest/meta-data", PrivateAddress),
            ("https://0xa9fea9fe", PrivateAddress),
            ("https://[::1]:8443", PrivateAddress),
            ("https://[::ffff:169.254.169.254]", PrivateAddress),
            ("https://[::ffff:a9fe:a9fe]", PrivateAddress),
            ("https://[64:ff9b::7f00:1]", PrivateAddress),
            ("https://[fd00:ec2::254]", PrivateAddress),
            ("https://localhost", LocalName),
            ("https://LOCALHOST:8443", LocalName),
            ("https://a.localhost", LocalName),
            ("https://metadata", LocalName),
            ("https://metadata.google.internal", LocalName),
            ("https://vault.default.svc", LocalName),
            ("https://vault.default.svc.cluster.local", LocalName),
            ("https://printer.local", LocalName),
            ("http://api.example.com", Scheme),
            ("http://8.8.8.8", Scheme),
        ] {
            let canonical = canonical_base_url(url, true).unwrap();
            assert_eq!(check_host(&canonical, &EgressAllow::default()), Err(error), "{url}");
        }
        for url in [
            "https://api.example.com/v1",
            "https://8.8.8.8",
            "https://localhost.example.com",
            "https://[2606:4700::1111]",
        ] {
            assert_eq!(check_host(url, &EgressAllow::default()), Ok(()), "{url}");
        }
    }

    #[test]
    fn the_operator_allows_hosts_and_networks() {
        let allow =
            EgressAllow::parse("Ollama.LAN:11434, gpu.internal, 127.0.0.1:8080, [::1]:11434, 10.20.0.0/16,fd12::/16")
                .unwrap();
        for url in [
            "http://ollama.lan:11434",
            "https://gpu.internal",
            "http://gpu.internal:99",
            "http://127.0.0.1:8080",
            "http://[::1]:11434",
            "http://10.20.3.4",
            "https://[fd12::1]:8443",
            "http://[::ffff:10.20.3.4]",
        ] {
            assert_eq!(check_host(url, &allow), Ok(()), "{url}");
        }
        for url in [
            "http://ollama.lan",
            "https://ollama.lan:443",
            "https://x.gpu.internal",
            "http://127.0.0.1:8081",
            "http://[::1]",
            "https://10.21.0.1",
            "https://[fd13::1]",
            "http://example.com",
        ] {
            assert!(check_host(url, &allow).is_err(), "{url}");
        }
        assert!(allow.allows_ip("10.20.255.255".parse().unwrap()));
        assert!(!allow.allows_ip("127.0.0.1".parse().unwrap()), "its entry is for one port");
        assert!(allow.allows_host("ollama.lan", 11434) && !allow.allows_host("ollama.lan", 80));
        assert!(allow.allows_name("OLLAMA.lan") && !allow.allows_name("lan"));
    }

    #[test]
    fn malformed_items_are_named() {
        assert_eq!(EgressAllow::parse(" "), Ok(EgressAllow::default()));
        for (list, position) in [
            ("a,,b", 2),
            ("*.example.com", 1),
            ("a,10.0.0.0/33", 2),
            ("a:99999", 1),
            ("a:", 1),
            ("http://a", 1),
            ("a b", 1),
            ("a,", 2),
            (":80", 1),
            ("a,b,u@c", 3),
            ("[::1", 1),
            ("a.", 1),
        ] {
            assert_eq!(EgressAllow::parse(list), Err(EgressError { position }), "{list}");
        }
    }
}
