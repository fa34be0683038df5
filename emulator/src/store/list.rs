//! `ListSecrets`, and the opaque tokens of all lists.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::cmp::Ordering;
use std::sync::Arc;

use super::fields::Fields;
use super::filter::Filters;
use super::secret::{Secret, epoch};
use super::{Answer, Caller, Store};
use crate::error::AwsError;

impl Store {
    pub(super) fn list(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let filters = Filters::parse(fields)?;
        let size = fields.page_size(100)?;
        let planned = fields.bool("IncludePlannedDeletion")?;
        let sort_by = one_of(fields, "SortBy", &["created-date", "last-accessed-date", "last-changed-date", "name"])?;
        let order = one_of(fields, "SortOrder", &["asc", "desc"])?;
        // Lists lag behind everything else, by up to five minutes at AWS.
        let caller = Caller { age: caller.age.max(self.lags.list), ..caller };
        let kind = format!("list {sort_by} {order}");
        let after = fields.text("NextToken", 1, 4096)?.map(|token| decode_token(&kind, token)).transpose()?;
        let mut rows: Vec<(String, Arc<Secret>)> =
            self.matching(caller, &filters, planned).into_iter().map(|secret| (self.place(caller, &secret, sort_by), secret)).collect();
        let compare = |a: &str, b: &str| if order == "desc" { b.cmp(a) } else { a.cmp(b) };
        rows.sort_by(|(a, _), (b, _)| compare(a, b));
        rows.retain(|(place, _)| after.as_ref().is_none_or(|after| compare(place, after) == Ordering::Greater));
        let page: Vec<Value> = rows.iter().take(size).map(|(_, secret)| self.entry(caller, secret)).collect();
        let page = match self.lags.lie {
            Some(lie) => lie.told(page),
            None => page,
        };
        let mut answer = json!({"SecretList": page});
        if let (Some((last, _)), Some(answer)) = (rows.get(size.saturating_sub(1)).filter(|_| rows.len() > size), answer.as_object_mut()) {
            answer.insert("NextToken".into(), encode_token(&kind, last).into());
        }
        Ok(answer)
    }

    /// The secrets that fit, by name.
    pub(super) fn matching(&self, caller: Caller<'_>, filters: &Filters, planned: bool) -> Vec<Arc<Secret>> {
        let shelves = self.shelves.get(caller.region).into_iter().flat_map(|names| names.values());
        let seen = shelves.filter_map(|shelf| shelf.at(caller.sees()));
        seen.filter(|secret| (planned || secret.deletion.is_none()) && filters.fit(secret, caller.region)).cloned().collect()
    }

    /// Where a secret stands in the order: a text that sorts like it. The name breaks ties.
    fn place(&self, caller: Caller<'_>, secret: &Secret, sort_by: &str) -> String {
        let by_time = |at: Timestamp| format!("{:020}", at.as_millisecond().max(0));
        let accessed = || self.shelf(caller.region, &secret.name).and_then(|shelf| shelf.accessed);
        let first = match sort_by {
            "name" => String::new(),
            "last-changed-date" => by_time(secret.changed),
            "last-accessed-date" => by_time(accessed().unwrap_or(Timestamp::UNIX_EPOCH)),
            _ => by_time(secret.created),
        };
        format!("{first} {}", secret.name)
    }

    fn entry(&self, caller: Caller<'_>, secret: &Secret) -> Value {
        let accessed = self.shelf(caller.region, &secret.name).and_then(|shelf| shelf.accessed);
        let mut entry = secret.details(caller.region, "SecretVersionsToStages", accessed, caller.now);
        if let Some(deletion) = secret.deletion {
            entry.insert("DeletedDate".into(), epoch(deletion.requested));
        }
        // An entry has no such member; only DescribeSecret has.
        entry.remove("ReplicationStatus");
        entry.into()
    }
}

/// An enumeration's value; the first is the default.
fn one_of<'a>(fields: Fields<'a>, name: &str, values: &[&'a str]) -> Result<&'a str, AwsError> {
    match fields.str(name)? {
        None => Ok(values.first().copied().unwrap_or_default()),
        Some(value) if values.contains(&value) => Ok(value),
        Some(value) => Err(AwsError::validation(format!(
            "1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: Member must satisfy enum value set: [{}]",
            values.join(", ")
        ))),
    }
}

/// A token that says where the next page begins. Callers cannot read meaning into it and must not.
pub(super) fn encode_token(kind: &str, place: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{kind}\n{place}"))
}

/// Refuses a token of another list, or none of ours.
pub(super) fn decode_token(kind: &str, token: &str) -> Result<String, AwsError> {
    let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| AwsError::bad_next_token())?;
    let text = String::from_utf8(bytes).map_err(|_| AwsError::bad_next_token())?;
    let place = text.strip_prefix(kind).and_then(|rest| rest.strip_prefix('\n'));
    place.map(str::to_owned).ok_or_else(AwsError::bad_next_token)
}
