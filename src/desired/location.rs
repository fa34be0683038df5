//! Where a receiver is.

use http::Uri;

/// The parts of a URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Location {
    /// Name or address, an address of IPv6 without brackets.
    pub(super) host: String,
    /// Port; 443 if the URL has none.
    pub(super) port: u16,
    /// Path and query.
    pub(super) path: String,
}

/// In bytes.
const LONGEST: usize = 2048;

impl Location {
    /// `None`: it is no URL with `https`, or has a user, a password or a fragment.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let uri: Uri = Some(url).filter(|url| url.len() <= LONGEST && !url.contains('#'))?.parse().ok()?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        if uri.scheme_str() != Some("https") {
            return None;
        }
        // `Authority::port` gives none for a port that is none.
        let port = match authority.as_str().strip_prefix(authority.host())? {
            "" => 443,
            port => port.strip_prefix(':').and_then(|port| port.parse().ok()).filter(|port| *port != 0)?,
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port, path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_url_with_https_and_without_a_user_is_one() {
        let parsed = |url: &str| Location::parse(url).map(|Location { host, port, path }| (host, port, path));
        let of = |host: &str, port, path: &str| Some((host.to_owned(), port, path.to_owned()));
        assert_eq!(parsed("https://rotate.shop.svc"), of("rotate.shop.svc", 443, "/"));
        assert_eq!(parsed("https://rotate.shop.svc:8443/a/b?c=d"), of("rotate.shop.svc", 8443, "/a/b?c=d"));
        assert_eq!(parsed("https://10.0.0.7/x"), of("10.0.0.7", 443, "/x"));
        assert_eq!(parsed("https://[2001:db8::1]:8443/x"), of("2001:db8::1", 8443, "/x"));
        for url in [
            "",
            "rotate.shop.svc",
            "/path",
            "http://rotate.shop.svc",
            "ftp://rotate.shop.svc",
            "https://",
            "https://:443/",
            "https://user@rotate.shop.svc/",
            "https://user:password@rotate.shop.svc/",
            "https://rotate.shop.svc:0/",
            "https://rotate.shop.svc:/",
            "https://rotate.shop.svc:70000/",
            "https://rotate.shop.svc/#fragment",
            "https://rotate.shop.svc/a b",
            &format!("https://rotate.shop.svc/{}", "a".repeat(LONGEST)),
        ] {
            assert_eq!(parsed(url), None, "{url}");
        }
    }
}
