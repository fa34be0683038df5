//! `BatchGetSecretValue`.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::filter::Filters;
use super::list::{decode_token, encode_token};
use super::secret::Secret;
use super::{Answer, Caller, Store};
use crate::error::AwsError;

impl Store {
    /// The current values of listed or filtered secrets. What fails for one secret is told in `Errors` and fails nothing else.
    pub(super) fn get_values(&mut self, caller: Caller<'_>, fields: Fields<'_>) -> Answer {
        let ids = fields.texts("SecretIdList", 1, 20)?;
        let filters = fields.has("Filters").then(|| Filters::parse(fields)).transpose()?;
        let size = fields.page_size(20)?;
        let after = fields.text("NextToken", 1, 4096)?.map(|token| decode_token("batch", token)).transpose()?;
        let mut page = Page::default();
        match (ids, filters) {
            (Some(_), Some(_)) | (None, None) => {
                return Err(AwsError::invalid_parameter("Either 'SecretIdList' or 'Filters' must be provided, but not both."));
            }
            (Some(ids), None) => {
                if fields.has("MaxResults") {
                    return Err(AwsError::invalid_parameter(
                        "'Filters' not specified. 'Filters' must also be specified when 'MaxResults' is provided.",
                    ));
                }
                for id in ids {
                    let found = self.find(caller, id);
                    let read = found.and_then(|secret| Ok((secret.read(None, None)?, secret)));
                    page.add(self, caller, id, read);
                }
            }
            (None, Some(filters)) => {
                let matches = self.matching(caller, &filters, false);
                let rest: Vec<Arc<Secret>> =
                    matches.into_iter().filter(|secret| after.as_ref().is_none_or(|after| secret.name > *after)).collect();
                for secret in rest.iter().take(size) {
                    let read = secret.read(None, None).map(|answer| (answer, Arc::clone(secret)));
                    page.add(self, caller, &secret.arn, read);
                }
                if let Some(last) = rest.get(size.saturating_sub(1)).filter(|_| rest.len() > size) {
                    page.next = Some(encode_token("batch", &last.name));
                }
            }
        }
        Ok(page.render())
    }
}

#[derive(Default)]
struct Page {
    values: Vec<Value>,
    errors: Vec<Value>,
    next: Option<String>,
}

impl Page {
    fn add(&mut self, store: &mut Store, caller: Caller<'_>, id: &str, read: Result<(Value, Arc<Secret>), AwsError>) {
        match read {
            Ok((value, secret)) => {
                store.note_access(caller, &secret);
                self.values.push(value);
            }
            Err(error) => self.errors.push(json!({"SecretId": id, "ErrorCode": error.code, "Message": error.message})),
        }
    }

    fn render(self) -> Value {
        let mut answer = Map::new();
        answer.insert("SecretValues".into(), self.values.into());
        answer.insert("Errors".into(), self.errors.into());
        if let Some(next) = self.next {
            answer.insert("NextToken".into(), next.into());
        }
        answer.into()
    }
}
