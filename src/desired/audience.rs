//! The audience of a token for a receiver. A person who may write the object chooses it, the ServiceAccount and the host, so a
//! token must be of no use anywhere but at that host.

use super::location::Location;

/// Whether a token for this audience may be sent to this URL: it names the receiver, and neither the API server nor AWS.
pub fn is_for_receiver(audience: &str, url: &str) -> bool {
    let (Some(of), Some(receiver)) = (Location::parse(audience), Location::parse(url)) else { return false };
    let same_host = (&of.host, of.port) == (&receiver.host, receiver.port);
    let begins = url == audience || url.strip_prefix(audience).is_some_and(|rest| rest.starts_with('/'));
    same_host && begins && !is_known_elsewhere(&of.host)
}

/// Hosts in the audiences of the API server (`https://kubernetes.default.svc`) and of AWS STS.
fn is_known_elsewhere(host: &str) -> bool {
    let mut labels = host.split('.');
    match (labels.next(), labels.next()) {
        (Some("kubernetes"), second) => second.is_none_or(|second| second == "default"),
        (Some("sts"), _) => host.contains("amazonaws"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_is_the_url_or_a_beginning_of_it_and_nothing_that_is_valid_elsewhere() {
        let url = "https://rotate.shop.svc:8443/a/b?c";
        for audience in ["https://rotate.shop.svc:8443", "https://rotate.shop.svc:8443/a", url] {
            assert!(is_for_receiver(audience, url), "{audience}");
        }
        for audience in [
            "",
            "https:",
            "https:/",
            "https://",
            "sts.amazonaws.com",
            "vault",
            "https://rotate.shop.svc",
            "https://rotate.shop.svc:844",
            "https://rotate.shop.svc:8443/",
            "https://rotate.shop.svc:8443/a/b",
            "https://rotate.shop",
            "https://kubernetes.default.svc",
            "http://rotate.shop.svc:8443",
            "https://rotate.shop.svc:8443/a/b?c/d",
        ] {
            assert!(!is_for_receiver(audience, url), "{audience}");
        }
        for known in [
            "https://kubernetes.default.svc",
            "https://kubernetes.default.svc.cluster.local",
            "https://kubernetes.default",
            "https://kubernetes",
            "https://sts.amazonaws.com",
            "https://sts.eu-central-1.amazonaws.com",
            "https://sts.cn-north-1.amazonaws.com.cn",
        ] {
            assert!(!is_for_receiver(known, known) && !is_for_receiver(known, &format!("{known}/x")), "{known}");
        }
        assert!(is_for_receiver("https://kubernetes.shop.svc", "https://kubernetes.shop.svc/x"));
    }
}
