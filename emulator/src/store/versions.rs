//! `ListSecretVersionIds`.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::list::{decode_token, encode_token};
use super::secret::{Version, epoch};
use super::{Answer, Caller, Store};

impl Store {
    /// Versions that hold a value: the labelled ones, and with `IncludeDeprecated` the others, which then have no `VersionStages`.
    pub(super) fn list_versions(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let id = fields.secret_id()?;
        let size = fields.page_size(100)?;
        let after = fields.text("NextToken", 1, 4096)?.map(|token| decode_token("versions", token)).transpose()?;
        let deprecated = fields.bool("IncludeDeprecated")?;
        let secret = self.find(caller, id)?;
        let labelled = secret.labelled_ids();
        let mut rows: Vec<(String, &String, &Arc<Version>)> = secret
            .versions
            .iter()
            .filter(|(id, version)| version.value.is_some() && (deprecated || labelled.contains(id.as_str())))
            .map(|(id, version)| (position(version.created, version.serial), id, version))
            .collect();
        rows.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        let rows: Vec<_> = rows.into_iter().filter(|(place, ..)| after.as_ref().is_none_or(|after| place > after)).collect();
        let mut answer = json!({"ARN": secret.arn, "Name": secret.name});
        let page: Vec<Value> = rows.iter().take(size).map(|(_, id, version)| render(id, version, &secret.labels_of(id))).collect();
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("Versions".into(), page.into());
            if let Some((place, ..)) = rows.get(size.saturating_sub(1)).filter(|_| rows.len() > size) {
                answer.insert("NextToken".into(), encode_token("versions", place).into());
            }
        }
        Ok(answer)
    }
}

fn position(created: Timestamp, serial: u64) -> String {
    format!("{:020}{serial:020}", created.as_millisecond())
}

fn render(id: &str, version: &Version, labels: &[&str]) -> Value {
    let mut entry = Map::new();
    entry.insert("VersionId".into(), id.into());
    entry.insert("CreatedDate".into(), epoch(version.created));
    entry.insert("KmsKeyIds".into(), json!(["DefaultEncryptionKey"]));
    if !labels.is_empty() {
        entry.insert("VersionStages".into(), labels.into());
    }
    entry.into()
}
