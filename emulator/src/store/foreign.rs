//! Secrets that callers of this account cannot create: those that services of AWS manage, and those of other accounts.

use std::sync::Arc;

use super::arn::ACCOUNT;
use super::fields::Fields;
use super::secret::{CURRENT, PREVIOUS, Secret, Version};
use super::{Caller, Store};
use crate::Payload;
use crate::error::AwsError;

impl Store {
    /// Creates a secret with a name that only a service of AWS may use, such as `rds!db-1`; its ARN.
    pub(crate) fn create_managed(&mut self, caller: Caller<'_>, name: &str, value: &str, token: &str) -> String {
        let suffix = self.draw_suffix();
        let mut secret = Secret::empty(name, caller.region, &suffix, caller.now);
        put(&mut secret, caller, value, token);
        let arn = secret.arn.clone();
        self.save(caller, secret);
        arn
    }

    /// Puts the value of a secret of another account, whose resource policy allows this account to read it; its ARN.
    pub(crate) fn share(&mut self, caller: Caller<'_>, account: &str, name: &str, value: &str, token: &str) -> String {
        let suffix = self.draw_suffix();
        let mut made = Secret::empty(name, caller.region, &suffix, caller.now);
        made.arn = made.arn.replacen(ACCOUNT, account, 1);
        let place = |arn: &str| arn.rsplit_once('-').map(|(place, _)| place.to_owned());
        let before = self.shared.values().find(|before| place(&before.arn) == place(&made.arn));
        let mut secret = before.map_or(made, |before| Secret::clone(before));
        put(&mut secret, caller, value, token);
        let arn = secret.arn.clone();
        self.shared.insert(arn.clone(), Arc::new(secret));
        arn
    }

    /// The secret that a read means. One of another account is found by its full ARN only.
    pub(super) fn find_readable(&self, caller: Caller<'_>, fields: Fields<'_>) -> Result<Arc<Secret>, AwsError> {
        let id = fields.secret_id()?;
        match self.shared.get(id) {
            Some(secret) if id.split(':').nth(3) == Some(caller.region) => Ok(Arc::clone(secret)),
            _ => self.find(caller, id),
        }
    }

    /// Whether this secret is of another account.
    pub(super) fn is_foreign(&self, secret: &Secret) -> bool {
        self.shared.contains_key(&secret.arn)
    }
}

fn put(secret: &mut Secret, caller: Caller<'_>, value: &str, token: &str) {
    let version = Version { value: Some(Payload::String(value.into())), created: caller.now, serial: secret.versions.len() as u64 };
    secret.versions.insert(token.to_owned(), Arc::new(version));
    if let Some(previous) = secret.labels.insert(CURRENT.to_owned(), token.to_owned()) {
        secret.labels.insert(PREVIOUS.to_owned(), previous);
    }
    secret.changed = caller.now;
}
