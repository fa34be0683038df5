//! One reconcile in progress: what it knows and what it did.

use std::sync::Arc;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;

use super::memory::Memory;
use super::watched::{Answered, Watched};
#[cfg(feature = "weakened")]
use super::weakness::Weakness;
use super::weakness::Weaknesses;
use crate::api::{RotatedSecret, TargetStatus};
use crate::audit::{Audit, Entry};
use crate::aws::{Aws, SecretsManager};
use crate::desired::Policy;
use crate::facts::{Access, AwsSecret, Place, Reads, Workload};
use crate::failure::Failure;
use crate::feed::{EventIndex, Feed};
use crate::journal::Journal;
use crate::kubernetes::known::Known;
use crate::kubernetes::mirror::MirrorMetadata;
use crate::kubernetes::namespace::NamespacePolicy;
use crate::kubernetes::publisher::Events;
use crate::metrics::Metrics;
use crate::version_id::VersionId;

/// What every reconcile needs.
pub struct Context {
    /// Kubernetes.
    pub client: Client,
    /// AWS.
    pub aws: Aws,
    /// The administrator's decisions.
    pub policy: Policy,
    /// The time, in whole seconds: the API server keeps no more.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Events for the owners of objects.
    pub events: Events,
    /// Metrics for the owners of the operator.
    pub metrics: Metrics,
    /// The audit stream.
    pub audit: Audit,
    /// The resync period.
    pub refresh_interval: SignedDuration,
    /// Lists of what changes in AWS. `None`: objects are read one by one.
    pub feed: Option<Feed>,
    /// What events are compared with. `None`: there is no event queue.
    pub event_index: Option<EventIndex>,
    /// The resync period of objects that the feed covers.
    pub sweep_interval: SignedDuration,
    /// After this time, an object whose deletion does not succeed is released and its AWS secret kept.
    pub deletion_timeout: SignedDuration,
    /// What this process remembers of objects.
    pub memory: Arc<Memory>,
    /// What the watches of this process show.
    pub known: Arc<Known>,
    /// A mechanism that a test takes away.
    #[cfg(feature = "weakened")]
    pub weakness: Option<Weakness>,
}

impl Context {
    /// Writes entries about the object with this metadata to the audit stream.
    pub fn record(&self, object: &ObjectMeta, entries: &[Entry]) {
        self.audit.record(object, &self.policy.cluster, (self.clock)(), entries);
    }
}

/// One reconcile in progress.
pub(super) struct Reconciler<'a> {
    pub(super) ctx: &'a Context,
    /// When it began.
    pub(super) began: Instant,
    /// The object, with the finalizer as it is now.
    pub(super) object: RotatedSecret,
    /// The Namespace. Read once.
    pub(super) namespace: Option<NamespacePolicy>,
    /// What the namespace may do. Decided once.
    pub(super) access: Option<Access>,
    /// Where the AWS secret is. Decided before the first observation.
    pub(super) place: Place,
    /// What was read there, for the first observation.
    pub(super) located: Option<AwsSecret>,
    /// What of this is known from watches only.
    pub(super) watched: Watched,
    /// What the answer to a write of the Secret tells.
    pub(super) answered: Answered,
    /// AWS, as the identity that acts for this object.
    pub(super) aws: Option<SecretsManager>,
    /// The Secret, as last read.
    pub(super) mirror: Option<MirrorMetadata>,
    /// The field manager that changed what the operator had written in the Secret.
    pub(super) rival: Option<String>,
    /// Facts that never change, read so far.
    pub(super) reads: Reads,
    /// The workloads that use the Secret, once they are read.
    pub(super) workloads: Option<Vec<Workload>>,
    /// What was done.
    pub(super) journal: Journal,
    /// The last read of a value in AWS failed.
    pub(super) value_unread: bool,
    /// Hash of the annotations that decide about access.
    pub(super) access_hash: Option<String>,
    /// The version that this reconcile made the target accept, and since when.
    pub(super) applied_version: Option<(VersionId, Instant)>,
    /// `Apply` changes the only password of the user that pods have.
    pub(super) changes_user_in_use: bool,
    /// What the target answered in this reconcile.
    pub(super) target_answer: Option<TargetStatus>,
    pub(super) weaknesses: Weaknesses,
}

impl<'a> Reconciler<'a> {
    pub(super) fn new(object: &RotatedSecret, ctx: &'a Context) -> Self {
        Self {
            ctx,
            began: Instant::now(),
            object: object.clone(),
            namespace: None,
            access: None,
            place: Place::AsConfigured,
            located: None,
            watched: Watched::default(),
            answered: Answered::default(),
            aws: None,
            mirror: None,
            rival: None,
            reads: Reads::default(),
            workloads: None,
            journal: Journal::default(),
            value_unread: false,
            access_hash: None,
            applied_version: None,
            changes_user_in_use: false,
            target_answer: None,
            #[cfg(feature = "weakened")]
            weaknesses: Weaknesses::of(ctx.weakness),
            #[cfg(not(feature = "weakened"))]
            weaknesses: Weaknesses::default(),
        }
    }

    /// This reconcile has written this revision of the Secret.
    pub(super) fn wrote_secret(&self, revision: Option<&str>) {
        let ObjectMeta { namespace, name, .. } = &self.object.metadata;
        if let (Some(namespace), Some(name)) = (namespace, name) {
            self.ctx.known.own_writes.wrote(namespace, name, revision);
        }
    }

    /// AWS, as the identity that acts for this object.
    pub(super) fn aws(&self) -> Result<&SecretsManager, Failure> {
        self.aws.as_ref().ok_or_else(|| Failure::bug("AWS was called before the identity was known"))
    }
}
