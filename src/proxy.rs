//! The HTTP proxy of the environment, by the rules of kubectl and other Go programs: `HTTPS_PROXY` for https, without
//! loopback addresses and the hosts in `NO_PROXY`.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// The variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ProxyVariables {
    https: String,
    no: String,
}

impl ProxyVariables {
    /// From the environment of the process.
    pub(crate) fn read() -> Self {
        let first = |names: [&str; 2]| names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        Self { https: first(["HTTPS_PROXY", "https_proxy"]).unwrap_or_default(), no: first(["NO_PROXY", "no_proxy"]).unwrap_or_default() }
    }

    /// The proxy for requests to `server`. `None`: they are sent directly.
    pub(crate) fn for_server(&self, server: &Uri) -> Option<Uri> {
        let host = server.host()?.trim_matches(['[', ']']);
        let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if server.scheme_str() != Some("https") || loopback {
            return None;
        }
        let proxy = self.proxy()?;
        (!self.excludes(server)).then_some(proxy)
    }

    /// The proxy of `HTTPS_PROXY`. Without a scheme it is http.
    fn proxy(&self) -> Option<Uri> {
        let scheme = if self.https.contains("://") { "" } else { "http://" };
        format!("{scheme}{}", self.https).parse().ok().filter(|proxy: &Uri| proxy.host().is_some())
    }

    /// Whether `NO_PROXY` lists the server.
    fn excludes(&self, server: &Uri) -> bool {
        let port = server.port_u16().unwrap_or(443);
        let entries: Vec<&str> = self.no.split(',').map(str::trim).filter_map(|entry| of_port(entry, port)).collect();
        // The library decides about names, addresses and CIDRs. Its `*` matches names only.
        entries.contains(&"*") || Matcher::builder().https("http://proxy").no(entries.join(",")).build().intercept(server).is_none()
    }

    /// For messages about failed connections: the proxy, if one is set.
    pub(crate) fn shown(&self) -> Option<String> {
        self.proxy().as_ref().map(shown)
    }
}

/// The entry of `NO_PROXY` without its port; `None` if it is for another port.
fn of_port(entry: &str, port: u16) -> Option<&str> {
    let address = entry.parse::<std::net::IpAddr>().is_ok() || entry.contains('/');
    match entry.rsplit_once(':') {
        Some((host, of)) if !address => of.parse().is_ok_and(|of: u16| of == port).then(|| host.trim_matches(['[', ']'])),
        _ => Some(entry.trim_matches(['[', ']'])),
    }
}

/// The proxy without the credentials that it may contain.
pub(crate) fn shown(proxy: &Uri) -> String {
    let port = proxy.port().map_or_else(String::new, |port| format!(":{port}"));
    let (scheme, host) = (proxy.scheme_str().unwrap_or("http"), proxy.host().unwrap_or_default());
    format!("{scheme}://{host}{port}").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(https: &str, no: &str, server: &str) -> Option<String> {
        let variables = ProxyVariables { https: https.to_owned(), no: no.to_owned() };
        variables.for_server(&server.parse().unwrap()).map(|proxy| proxy.to_string())
    }

    const PROXY: &str = "http://user:secret@proxy:3128/";

    #[test]
    fn requests_go_through_the_proxy_unless_no_proxy_lists_the_host() {
        for (no, server) in [
            ("", "https://10.1.2.3:6443"),
            ("10.2.0.0/16", "https://10.1.2.3"),
            (".svc,localhost", "https://api.example.com"),
            ("ample.com", "https://api.notexample.org"),
            ("api.example.com:443", "https://api.example.com:6443"),
            ("other, , 10.1.2.4", "https://10.1.2.3:6443"),
            ("fd00::/8", "https://[2001:db8::1]:6443"),
        ] {
            assert_eq!(of(PROXY, no, server).as_deref(), Some(PROXY), "{no} {server}");
        }
        for (no, server) in [
            ("10.1.0.0/16", "https://10.1.2.3:6443"),
            ("10.1.2.3", "https://10.1.2.3:6443"),
            (" .svc , .example.com", "https://api.example.com"),
            ("example.com", "https://API.example.com"),
            ("api.example.com:6443", "https://api.example.com:6443"),
            ("a,*", "https://10.1.2.3"),
            ("*", "https://api.example.com"),
            ("fd00::/8", "https://[fd00::1]:6443"),
            ("[fd00::1]:6443", "https://[fd00::1]:6443"),
        ] {
            assert_eq!(of(PROXY, no, server), None, "{no} {server}");
        }
    }

    #[test]
    fn loopback_and_plain_http_are_never_sent_through_the_proxy() {
        for server in ["https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443", "http://10.1.2.3:8080"] {
            assert_eq!(of(PROXY, "", server), None, "{server}");
        }
        assert_eq!(of("", "", "https://api.example.com"), None);
    }

    #[test]
    fn a_proxy_needs_no_scheme_and_is_shown_without_its_credentials() {
        assert_eq!(of("proxy:3128", "", "https://api.example.com").as_deref(), Some("http://proxy:3128/"));
        let variables = ProxyVariables { https: PROXY.to_owned(), no: String::new() };
        assert_eq!(variables.shown().as_deref(), Some("http://proxy:3128"));
        assert_eq!(ProxyVariables::default().shown(), None);
    }
}
