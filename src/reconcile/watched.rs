//! What watches show of the Namespace and of the Secret, and the first list of the AWS secret. It may be older than what the API
//! server and AWS have. So the object may rest on it if nothing is to be done and the status stays as it is; otherwise, all of it
//! is read, and the plan is made again.

use crate::facts::AwsSecret;
use crate::kubernetes::mirror::MirrorMetadata;

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

/// What the reconcile knows without another read after a write of the Secret: AWS did not change by it, and the API
/// server answered with the metadata as they are now. It may end with that; before another step, both are read.
#[derive(Debug, Default)]
pub(super) struct Answered {
    /// What AWS showed last, for the observation that follows.
    described: Option<AwsSecret>,
    /// The Secret as it was written, until the observation that follows.
    written: Option<MirrorMetadata>,
    /// The observation rests on it.
    used: bool,
}

impl Answered {
    /// AWS was read.
    pub(super) fn described(&mut self, secret: Option<&AwsSecret>) {
        self.described = secret.cloned();
    }

    /// The Secret was written, with this answer.
    pub(super) fn written(&mut self, answer: Option<MirrorMetadata>) {
        self.written = answer;
    }

    /// AWS and the Secret after the write, once. `None`: they must be read.
    pub(super) fn take(&mut self) -> Option<(AwsSecret, MirrorMetadata)> {
        self.used = false;
        let both = self.written.take().and_then(|written| Some((self.described.take()?, written)));
        self.used = both.is_some();
        both
    }

    /// Whether the observation rests on it. The next one does not.
    pub(super) fn was_used(&mut self) -> bool {
        std::mem::take(&mut self.used)
    }
}
