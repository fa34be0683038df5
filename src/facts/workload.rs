//! Workloads that use the mirrored Secret, as Kubernetes shows them.

use jiff::SignedDuration;

use crate::api::{WorkloadRef, WorkloadState};
use crate::version_id::VersionId;

/// A workload, and how far the replacement of its pods is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Kind and name.
    pub workload: WorkloadRef,
    /// Its uid, so that a restart changes no other one of the same name; `None`: it does not exist.
    pub uid: Option<String>,
    /// The version that the annotation on its pod template names.
    pub version: Option<VersionId>,
    /// How long its pods may take to end. Pods in termination are not counted everywhere.
    pub grace: SignedDuration,
    /// Its pods.
    pub pods: Pods,
}

/// The pods of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pods {
    /// Its controller has seen the newest pod template.
    pub observed: bool,
    /// How many there should be.
    pub desired: i32,
    /// How many there are, of any pod template.
    pub total: i32,
    /// How many are of the newest pod template.
    pub updated: i32,
    /// How many are available, of any pod template.
    pub available: i32,
    /// How many are being terminated; 0 if the API server does not tell.
    pub terminating: i32,
    /// How they are replaced.
    pub replacement: Replacement,
}

/// How the pods of a workload are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Replacement {
    /// By its controller.
    #[default]
    Automatic,
    /// By its controller, once it is resumed.
    Paused,
    /// By a user, at least some of them.
    Manual,
    /// Its controller reports that it makes no progress.
    Stuck,
}

impl Pods {
    /// Whether all of them are of the newest pod template and available, and no earlier one is left.
    fn settled(&self) -> bool {
        self.observed
            && self.updated == self.desired
            && self.total == self.desired
            && self.available >= self.desired
            && self.terminating == 0
    }

    fn state(&self) -> WorkloadState {
        match self.replacement {
            _ if self.settled() && self.desired == 0 => WorkloadState::ScaledToZero,
            _ if self.settled() => WorkloadState::Healthy,
            Replacement::Automatic => WorkloadState::Progressing,
            Replacement::Paused => WorkloadState::Paused,
            Replacement::Manual => WorkloadState::Manual,
            Replacement::Stuck => WorkloadState::Stuck,
        }
    }
}

impl Workload {
    /// How far it is with this version.
    pub fn state(&self, version: &VersionId) -> WorkloadState {
        match &self.uid {
            None => WorkloadState::Missing,
            Some(_) if self.version.as_ref() != Some(version) => WorkloadState::Outdated,
            Some(_) => self.pods.state(),
        }
    }

    /// Why it is not healthy, whatever its version; `None`: it is. What a user has paused or replaces is not unhealthy.
    pub fn unhealthy(&self) -> Option<WorkloadState> {
        self.uid.as_ref()?;
        Some(self.pods.state()).filter(|state| matches!(state, WorkloadState::Progressing | WorkloadState::Stuck))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::WorkloadKind;

    fn three() -> Pods {
        Pods { observed: true, desired: 3, total: 3, updated: 3, available: 3, terminating: 0, replacement: Replacement::Automatic }
    }

    fn workload(pods: Pods) -> Workload {
        let workload = WorkloadRef { kind: WorkloadKind::Deployment, name: "api".to_owned() };
        Workload { workload, uid: Some("u".to_owned()), version: Some("v2".into()), grace: SignedDuration::ZERO, pods }
    }

    #[test]
    fn a_workload_is_healthy_only_without_any_earlier_pod() {
        use WorkloadState::{Healthy, Manual, Paused, Progressing, ScaledToZero, Stuck};
        let none = Pods { desired: 0, total: 0, updated: 0, available: 0, ..three() };
        for (pods, state) in [
            (three(), Healthy),
            (Pods { available: 4, ..three() }, Healthy),
            (Pods { observed: false, ..three() }, Progressing),
            (Pods { updated: 2, ..three() }, Progressing),
            (Pods { total: 4, ..three() }, Progressing),
            (Pods { available: 2, ..three() }, Progressing),
            (Pods { terminating: 1, ..three() }, Progressing),
            (none.clone(), ScaledToZero),
            (Pods { total: 1, ..none }, Progressing),
            (Pods { replacement: Replacement::Paused, ..three() }, Healthy),
            (Pods { replacement: Replacement::Paused, updated: 0, ..three() }, Paused),
            (Pods { replacement: Replacement::Manual, updated: 0, ..three() }, Manual),
            (Pods { replacement: Replacement::Stuck, updated: 1, ..three() }, Stuck),
        ] {
            let found = workload(pods.clone());
            assert_eq!(found.state(&"v2".into()), state, "{pods:?}");
            assert_eq!(found.unhealthy().is_some(), matches!(state, Progressing | Stuck), "{pods:?}");
            assert_eq!(found.state(&"v3".into()), WorkloadState::Outdated);
        }
        let missing = Workload { uid: None, ..workload(Pods::default()) };
        assert_eq!((missing.state(&"v2".into()), missing.unhealthy()), (WorkloadState::Missing, None));
    }
}
