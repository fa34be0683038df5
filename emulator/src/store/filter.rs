//! The filters of `ListSecrets` and `BatchGetSecretValue`.

use super::fields::{Fields, check_length};
use super::secret::{Replication, Secret};
use super::words::has_words;
use crate::error::AwsError;

const KEYS: &[&str] = &["description", "name", "tag-key", "tag-value", "primary-region", "owning-service", "all"];

/// All of them must fit; of one filter's values one must.
#[derive(Debug)]
pub(super) struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    /// Checks keys, counts and characters against the API model.
    pub(super) fn parse(fields: Fields<'_>) -> Result<Self, AwsError> {
        let mut filters = Vec::new();
        for filter in fields.structures("Filters", 0, 10)?.into_iter().flatten() {
            let key = filter.required("Key", 1, 64)?;
            if !KEYS.contains(&key) {
                return Err(AwsError::validation(format!(
                    "1 validation error detected: Value '{key}' at 'filters.1.member.key' failed to satisfy constraint: Member must satisfy enum value set: [{}]",
                    KEYS.join(", ")
                )));
            }
            let values = filter.texts("Values", 1, 10)?.ok_or_else(|| super::fields::missing("Values"))?;
            for value in &values {
                check_length("Values", value, 0, 512)?;
                let fits = |c: char| c.is_ascii_alphanumeric() || " :_@/+=.-!".contains(c);
                if !value.chars().all(fits) {
                    return Err(AwsError::invalid_parameter("Invalid filter values."));
                }
            }
            filters.push((key.to_owned(), values.into_iter().map(str::to_owned).collect()));
        }
        Ok(Self(filters))
    }

    pub(super) fn fit(&self, secret: &Secret, region: &str) -> bool {
        self.0.iter().all(|(key, patterns)| patterns.iter().any(|pattern| fits(key, pattern, secret, region)))
    }
}

/// `!` in front of a pattern negates it.
fn fits(key: &str, pattern: &str, secret: &Secret, region: &str) -> bool {
    if let Some(unwanted) = pattern.strip_prefix('!') {
        return !fits(key, unwanted, secret, region);
    }
    let tags = || secret.tags.iter().flatten();
    match key {
        "name" => secret.name.starts_with(pattern),
        "tag-key" => tags().any(|(key, _)| key.starts_with(pattern)),
        "tag-value" => tags().any(|(_, value)| value.starts_with(pattern)),
        // Documented as a prefix of the whole text; recorded to go word by word and without case.
        "description" => secret.description.as_deref().is_some_and(|text| has_words(text, pattern)),
        "primary-region" => match &secret.replication {
            Replication::Alone => false,
            Replication::Primary(_) => region.starts_with(pattern),
            Replication::Replica { primary } => primary.starts_with(pattern),
        },
        // No service of AWS owns a secret here.
        "owning-service" => false,
        _ => {
            let tagged = tags().any(|(key, value)| has_words(key, pattern) || has_words(value, pattern));
            tagged || has_words(&secret.name, pattern) || secret.description.as_deref().is_some_and(|text| has_words(text, pattern))
        }
    }
}
