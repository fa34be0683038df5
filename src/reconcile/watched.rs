//! What watches show of the Namespace and of the Secret, and the first list of the AWS secret. It may be older than what the API
//! server and AWS have. So the object may rest on it if nothing is to be done and the status stays as it is; otherwise, all of it
//! is read, and the plan is made again.

use crate::facts::AwsSecret;

/// Which facts of this reconcile come from watches and from the first list.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// The Namespace.
    pub(super) namespace: bool,
    /// The Secret.
    pub(super) mirror: bool,
    /// The AWS secret.
    pub(super) listed: bool,
    /// What AWS showed meanwhile, for the first observation after the confirmation.
    described: Option<AwsSecret>,
    /// Everything is read.
    confirmed: bool,
    /// The Namespace said something else, so the reconcile begins again.
    pub(super) is_void: bool,
}

impl Watched {
    /// Whether something was not read.
    pub(super) fn is_used(&self) -> bool {
        self.namespace || self.mirror || self.listed
    }

    /// Whether everything is read from now on.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// AWS was read.
    pub(super) fn described(&mut self, secret: Option<&AwsSecret>) {
        if !self.confirmed {
            self.described = secret.cloned();
        }
    }

    /// Everything is read from now on. Returns whether the Namespace was only known from the watch, and what AWS showed.
    pub(super) fn confirm(&mut self) -> (bool, Option<AwsSecret>) {
        let confirmed = std::mem::replace(self, Self { confirmed: true, ..Self::default() });
        (confirmed.namespace, confirmed.described)
    }
}
