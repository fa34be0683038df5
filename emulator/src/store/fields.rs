//! Reads the members of a request and checks them against the API model (lengths, patterns, enumerations) and the rules of names and ARNs.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::arn::ACCOUNT;
use super::secret::Secret;
use crate::error::AwsError;
use crate::payload::Payload;

/// The most bytes of a value (quota table).
const VALUE_BYTES: usize = 65_536;
/// Tags of one secret (the general AWS quota).
pub(super) const TAGS: usize = 50;

/// The members of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(Option<&'a Map<String, Value>>);

impl<'a> Fields<'a> {
    pub(super) fn of(body: &'a Value) -> Result<Self, AwsError> {
        match body {
            Value::Object(members) => Ok(Self(Some(members))),
            Value::Null => Ok(Self(None)),
            _ => Err(serialization("the request")),
        }
    }

    /// A member; JSON `null` is the same as absent.
    fn get(self, name: &str) -> Option<&'a Value> {
        self.0?.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn str(self, name: &str) -> Result<Option<&'a str>, AwsError> {
        self.get(name).map(|value| value.as_str().ok_or_else(|| serialization(name))).transpose()
    }

    /// A text of `min` to `max` characters.
    pub(super) fn text(self, name: &str, min: usize, max: usize) -> Result<Option<&'a str>, AwsError> {
        let text = self.str(name)?;
        if let Some(text) = text {
            check_length(name, text, min, max)?;
        }
        Ok(text)
    }

    /// A text that must be there.
    pub(super) fn required(self, name: &str, min: usize, max: usize) -> Result<&'a str, AwsError> {
        self.text(name, min, max)?.ok_or_else(|| missing(name))
    }

    pub(super) fn bool(self, name: &str) -> Result<bool, AwsError> {
        Ok(self.optional_bool(name)?.unwrap_or(false))
    }

    pub(super) fn optional_bool(self, name: &str) -> Result<Option<bool>, AwsError> {
        self.get(name).map(|value| value.as_bool().ok_or_else(|| serialization(name))).transpose()
    }

    pub(super) fn integer(self, name: &str) -> Result<Option<i64>, AwsError> {
        self.get(name).map(|value| value.as_i64().ok_or_else(|| serialization(name))).transpose()
    }

    /// A page size between one and `max`; `max` when absent.
    pub(super) fn page_size(self, max: u8) -> Result<usize, AwsError> {
        let size = self.integer("MaxResults")?.unwrap_or(i64::from(max));
        usize::try_from(size)
            .ok()
            .filter(|size| (1..=usize::from(max)).contains(size))
            .ok_or_else(|| AwsError::validation(format!("1 validation error detected: 'maxResults' must be between 1 and {max}")))
    }

    fn array(self, name: &str) -> Result<Option<&'a Vec<Value>>, AwsError> {
        self.get(name).map(|value| value.as_array().ok_or_else(|| serialization(name))).transpose()
    }

    /// A list of `min` to `max` texts.
    pub(super) fn texts(self, name: &str, min: usize, max: usize) -> Result<Option<Vec<&'a str>>, AwsError> {
        let Some(items) = self.array(name)? else {
            return Ok(None);
        };
        check_count(name, items.len(), min, max)?;
        let texts = items.iter().map(|item| item.as_str().ok_or_else(|| serialization(name)));
        texts.collect::<Result<_, _>>().map(Some)
    }

    /// A list of at most `max` structures.
    pub(super) fn structures(self, name: &str, min: usize, max: usize) -> Result<Option<Vec<Fields<'a>>>, AwsError> {
        let Some(items) = self.array(name)? else {
            return Ok(None);
        };
        check_count(name, items.len(), min, max)?;
        items.iter().map(Fields::of).collect::<Result<_, _>>().map(Some)
    }

    pub(super) fn structure(self, name: &str) -> Result<Option<Fields<'a>>, AwsError> {
        self.get(name).map(Fields::of).transpose()
    }

    pub(super) fn value(self, name: &str) -> Option<&'a Value> {
        self.get(name)
    }

    /// The secret the request is about.
    pub(super) fn secret_id(self) -> Result<&'a str, AwsError> {
        self.required("SecretId", 1, 2048)
    }

    /// The token of a write. SDKs add one; a request without it is refused (recorded text).
    pub(super) fn token(self) -> Result<&'a str, AwsError> {
        let Some(token) = self.str("ClientRequestToken")? else {
            return Err(AwsError::invalid_request(NO_TOKEN));
        };
        check_token(token)?;
        Ok(token)
    }

    /// The value of a write: text or bytes, not both, neither empty nor too long (API model, quota table).
    pub(super) fn payload(self) -> Result<Option<Payload>, AwsError> {
        let payload = match (self.str("SecretString")?, self.str("SecretBinary")?) {
            (Some(_), Some(_)) => {
                return Err(AwsError::invalid_parameter(
                    "You can't specify both a binary secret value and a string secret value in the same secret.",
                ));
            }
            (Some(text), None) => Payload::String(text.into()),
            (None, Some(encoded)) => {
                let bytes = STANDARD.decode(encoded).map_err(|_| serialization("SecretBinary"))?;
                Payload::Binary(bytes.into())
            }
            (None, None) => return Ok(None),
        };
        match payload.as_bytes().len() {
            1..=VALUE_BYTES => Ok(Some(payload)),
            // The text says nothing of the value, not even its length.
            _ => Err(AwsError::validation(format!(
                "1 validation error detected: the secret value must have between 1 and {VALUE_BYTES} bytes"
            ))),
        }
    }

    /// Tags, with the rules of the general AWS tagging page.
    pub(super) fn tags(self) -> Result<Option<BTreeMap<String, String>>, AwsError> {
        let Some(items) = self.structures("Tags", 0, usize::MAX)? else {
            return Ok(None);
        };
        let mut tags = BTreeMap::new();
        for item in items {
            let key = item.required("Key", 1, 128)?;
            let value = item.text("Value", 0, 256)?.unwrap_or_default();
            check_tag_key(key)?;
            if tags.insert(key.to_owned(), value.to_owned()).is_some() {
                return Err(AwsError::invalid_parameter("The tag list has the same key more than once."));
            }
        }
        check_tag_count(tags.len())?;
        Ok(Some(tags))
    }
}

/// The text for a missing token (recorded; the code differs between operations).
pub(super) const NO_TOKEN: &str = "You must provide a ClientRequestToken value. We recommend a UUID-type value.";

/// A token is 32 to 64 characters long (API model).
pub(super) fn check_token(token: &str) -> Result<(), AwsError> {
    match token.chars().count() {
        32..=64 => Ok(()),
        _ => Err(AwsError::invalid_parameter("ClientRequestToken must be 32-64 characters long.")),
    }
}

pub(super) fn check_tag_count(count: usize) -> Result<(), AwsError> {
    if count > TAGS {
        return Err(AwsError::invalid_parameter(format!("A secret can have at most {TAGS} tags.")));
    }
    Ok(())
}

/// Keys that begin with `aws:` are AWS's own.
pub(super) fn check_tag_key(key: &str) -> Result<(), AwsError> {
    if key.to_ascii_lowercase().starts_with("aws:") {
        return Err(AwsError::invalid_parameter("Tag keys that start with aws: are reserved."));
    }
    Ok(())
}

/// The name of a new secret (recorded text, which lists a character that is refused).
pub(super) fn check_name(name: &str) -> Result<(), AwsError> {
    check_characters(name, "/_+=.@-")
}

/// The name of an existing secret: also one that a service of AWS owns, such as `rds!db-1`.
fn check_existing_name(name: &str) -> Result<(), AwsError> {
    check_characters(name, "/_+=.@-!")
}

fn check_characters(name: &str, special: &str) -> Result<(), AwsError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || special.contains(c);
    if name.is_empty() || name.len() > 512 || !name.chars().all(fits) {
        return Err(AwsError::validation(
            "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!",
        ));
    }
    Ok(())
}

pub(super) fn check_length(name: &str, text: &str, min: usize, max: usize) -> Result<(), AwsError> {
    check_count(name, text.chars().count(), min, max)
}

fn check_count(name: &str, count: usize, min: usize, max: usize) -> Result<(), AwsError> {
    if (min..=max).contains(&count) {
        return Ok(());
    }
    let (bound, word) = if count < min { (min, "greater") } else { (max, "less") };
    Err(AwsError::validation(format!(
        "1 validation error detected: Value at '{}' failed to satisfy constraint: Member must have length {word} than or equal to {bound}",
        lower_first(name)
    )))
}

pub(super) fn missing(name: &str) -> AwsError {
    AwsError::validation(format!(
        "1 validation error detected: Value null at '{}' failed to satisfy constraint: Member must not be null",
        lower_first(name)
    ))
}

fn serialization(name: &str) -> AwsError {
    AwsError::new("SerializationException", format!("{name} has the wrong type."))
}

fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

/// What a `SecretId` means.
#[derive(Debug)]
pub(super) enum SecretId<'a> {
    Name(&'a str),
    /// The last part of an ARN: a name with its suffix, or a name alone.
    Arn(&'a str),
}

/// Takes a `SecretId` apart: a name, a whole ARN, or an ARN without its suffix.
pub(super) fn parse_secret_id<'a>(id: &'a str, region: &str) -> Result<SecretId<'a>, AwsError> {
    if !id.starts_with("arn:") {
        check_existing_name(id)?;
        return Ok(SecretId::Name(id));
    }
    let parts: Vec<&str> = id.splitn(7, ':').collect();
    let [_, _, service, arn_region, account, kind, rest] = parts.as_slice() else {
        return Err(AwsError::validation("Invalid ARN."));
    };
    check_existing_name(rest)?;
    if (*service, *kind) != ("secretsmanager", "secret") {
        return Err(AwsError::validation("Invalid ARN."));
    }
    if *account != ACCOUNT {
        return Err(AwsError::new(
            "AccessDeniedException",
            "The caller may not perform this operation on a secret of another account: no resource-based policy allows it.",
        ));
    }
    if *arn_region != region {
        return Err(AwsError::no_secret());
    }
    Ok(SecretId::Arn(rest))
}

impl<'a> SecretId<'a> {
    /// The names that it can have.
    pub(super) fn names(&self) -> Vec<&'a str> {
        match *self {
            Self::Name(name) => vec![name],
            // AWS takes a hyphen and six characters for the suffix of a whole ARN, also where they end a name: the hazard it warns of.
            Self::Arn(rest) => vec![split_suffix(rest).unwrap_or(rest)],
        }
    }

    /// Whether it means this secret.
    pub(super) fn means(&self, secret: &Secret) -> bool {
        match *self {
            Self::Name(name) => secret.name == name,
            Self::Arn(rest) => match split_suffix(rest) {
                Some(_) => secret.arn.rsplit(':').next() == Some(rest),
                None => secret.name == rest,
            },
        }
    }
}

/// The name before something that looks like an ARN's suffix.
fn split_suffix(rest: &str) -> Option<&str> {
    let (name, suffix) = rest.rsplit_once('-')?;
    (suffix.len() == 6 && suffix.chars().all(|c| c.is_ascii_alphanumeric()) && !name.is_empty()).then_some(name)
}
