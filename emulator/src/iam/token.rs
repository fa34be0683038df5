//! Tokens of ServiceAccounts, verified as STS does: against the keys that the issuer publishes.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// An OIDC issuer as the account knows it.
#[derive(Debug, Clone)]
pub(crate) struct Provider {
    /// As in the tokens, with its scheme.
    pub(crate) issuer: String,
    /// Audiences that are taken (client ids).
    pub(crate) audiences: Vec<String>,
    /// The keys by id.
    keys: Vec<(String, Vec<u8>)>,
}

/// What a token says, once it is verified.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Claims {
    iss: String,
    pub(crate) sub: String,
    #[serde(deserialize_with = "one_or_many")]
    pub(crate) aud: Vec<String>,
    exp: i64,
    #[serde(default)]
    nbf: i64,
}

/// Why a token is not taken: STS's code and words.
pub(crate) type Refused = (&'static str, String);

impl Provider {
    /// From the document at the issuer's `jwks_uri`. Keys of other kinds than P-256 are left out.
    pub(crate) fn new(issuer: &str, jwks: &Value, audiences: &[&str]) -> Self {
        let key = |jwk: &Value| {
            let part = |name: &str| URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok();
            let fits = jwk.get("kty")?.as_str()? == "EC" && jwk.get("crv")?.as_str()? == "P-256";
            let point = [vec![4], part("x")?, part("y")?].concat();
            fits.then(|| (jwk.get("kid").and_then(Value::as_str).unwrap_or_default().to_owned(), point))
        };
        let keys = jwks.get("keys").and_then(Value::as_array).into_iter().flatten().filter_map(key).collect();
        Self { issuer: issuer.to_owned(), audiences: audiences.iter().map(|audience| (*audience).to_owned()).collect(), keys }
    }

    /// The issuer as in ARNs and condition keys.
    pub(crate) fn host(&self) -> &str {
        self.issuer.split_once("://").map_or(self.issuer.as_str(), |(_, host)| host)
    }
}

/// The provider that issued the token, and what it says. `audience`: instead of those that the provider is known with. The time is the machine's: the issuer knows no other.
pub(crate) fn verify<'a>(token: &str, providers: &'a [Provider], audience: Option<&str>) -> Result<(&'a Provider, Claims), Refused> {
    let broken = || {
        (
            "InvalidIdentityToken",
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)".to_owned(),
        )
    };
    let (signed, signature) = token.rsplit_once('.').ok_or_else(broken)?;
    let (head, body) = signed.split_once('.').ok_or_else(broken)?;
    let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| broken());
    let head: Value = serde_json::from_slice(&decoded(head)?).map_err(|_| broken())?;
    let claims: Claims = serde_json::from_slice(&decoded(body)?).map_err(|_| broken())?;
    let unknown = || ("InvalidIdentityToken", format!("No OpenIDConnect provider found in your account for {}", claims.iss));
    let provider = providers.iter().find(|provider| provider.issuer == claims.iss).ok_or_else(unknown)?;
    let forged =
        || ("InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider, or the signature is wrong".to_owned());
    // The algorithm is ours to choose, never the token's.
    let kid = head.get("kid").and_then(Value::as_str).unwrap_or_default();
    let (_, key) = provider.keys.iter().find(|(id, _)| id == kid).ok_or_else(forged)?;
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key);
    key.verify(signed.as_bytes(), &decoded(signature)?).map_err(|_| forged())?;
    let now = Timestamp::now().as_second();
    if claims.exp <= now || claims.nbf > now + 60 {
        return Err(("ExpiredTokenException", "Token expired".to_owned()));
    }
    let fine = |found: &String| audience.map_or(provider.audiences.contains(found), |wanted| wanted == found);
    if !claims.aud.iter().any(fine) {
        return Err(("InvalidIdentityToken", "Incorrect token audience".to_owned()));
    }
    Ok((provider, claims))
}

fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    Ok(match Value::deserialize(from)? {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    })
}
