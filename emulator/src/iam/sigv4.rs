//! Signature Version 4, as a verifier. Written from AWS's description and not with the SDK's own crate, so that it is a second opinion.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use ::http::{HeaderMap, Method, Uri};
use aws_lc_rs::hmac;
use sha2::{Digest as _, Sha256};

/// The `Authorization` header, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Authorization<'a> {
    pub(crate) access_key: &'a str,
    date: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    /// Reads it. `None`: it is not whole.
    pub(crate) fn parse(header: &'a str) -> Option<Self> {
        let rest = header.strip_prefix("AWS4-HMAC-SHA256")?;
        let part = |name: &str| rest.split([',', ' ']).find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
        let scope: Vec<&str> = part("Credential")?.split('/').collect();
        let [access_key, date, region, service, "aws4_request"] = scope.as_slice() else { return None };
        Some(Self {
            access_key,
            date,
            region,
            service,
            signed_headers: part("SignedHeaders").unwrap_or_default(),
            signature: part("Signature").unwrap_or_default(),
        })
    }

    /// Whether the request was signed with this secret key.
    pub(crate) fn is_by(&self, secret: &str, method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> bool {
        let Some(time) = text(headers, "x-amz-date") else { return false };
        let signed: Vec<&str> = self.signed_headers.split(';').collect();
        // What makes the request what it is must be under the signature.
        if !["host", "x-amz-date"].iter().all(|name| signed.contains(name))
            || (headers.contains_key("x-amz-security-token") && !signed.contains(&"x-amz-security-token"))
        {
            return false;
        }
        let mut canonical = format!("{method}\n{}\n{}\n", uri.path(), uri.query().unwrap_or_default());
        for name in &signed {
            let Some(value) = text(headers, name) else { return false };
            let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
            canonical.extend([name, ":", &value, "\n"]);
        }
        canonical.extend(["\n", self.signed_headers, "\n", &hex::encode(Sha256::digest(body))]);
        let scope = format!("{}/{}/{}/aws4_request", self.date, self.region, self.service);
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex::encode(Sha256::digest(canonical.as_bytes())));
        let mut key = format!("AWS4{secret}").into_bytes();
        for part in [self.date, self.region, self.service, "aws4_request"] {
            key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
        }
        let Ok(given) = hex::decode(self.signature) else { return false };
        time.starts_with(self.date) && hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &key), to_sign.as_bytes(), &given).is_ok()
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
