//! What each step does to the world, as AWS and Kubernetes do it, and what the status keeps of a reconcile.

use super::*;

/// Moves a staging label of AWS.
pub(super) fn relabelled(secret: &mut SecretState, label: &str, version: VersionId) {
    secret.labels.insert(label.to_owned(), version);
}

/// Makes a version current, as `PutSecretValue` and `UpdateSecretVersionStage` do.
pub(super) fn promoted(secret: &mut SecretState, version: &VersionId) {
    let before = secret.labels.insert("AWSCURRENT".to_owned(), version.clone());
    secret.labels.extend(before.map(|before| ("AWSPREVIOUS".to_owned(), before)));
    secret.current = Some(Current { version: version.clone(), changed: at(NOW), schedule_base: at(NOW), matches: Some(true) });
    secret.last_changed = Some(at(NOW));
}

/// The report of a reconcile, as far as the plan reads it, and the end of its journal.
pub(super) fn end_reconcile(want: &Desired, world: &mut Observation, rest: &Rest) {
    world.journal = Journal::default();
    let current = world.secret.as_ref().and_then(|secret| secret.current.as_ref());
    if let (true, Some(current)) = (rest.adopting, current) {
        world.status.history = vec![HistoryFact { version: current.version.clone(), time: at(NOW), cause: Cause::Adopted }];
        world.status.schedule = None;
        world.status.declared.hash = None;
    }
    if rest.rotate_handled.is_some() {
        world.status.requests.rotate.clone_from(&rest.rotate_handled);
    }
    if rest.rollback_handled.is_some() {
        world.status.requests.rollback.clone_from(&rest.rollback_handled);
    }
    if !rest.examined || rest.awaiting {
        return;
    }
    let pending = world.secret.as_ref().map(|secret| secret.pending.clone());
    let target = want.strategy.as_ref().map(crate::desired::Strategy::record);
    let announced = match (&rest.staging, pending) {
        (Some(StagingNews::Announced(version)), _) => {
            let from = current.map(|current| current.version.clone());
            Some(Announced { version: version.clone(), target, from })
        }
        (_, Some(Pending::Ours(version, _) | Pending::Overtaken(version, _))) => {
            let recorded = world.status.staging.announced.clone().filter(|recorded| recorded.version == version);
            let recorded = recorded.unwrap_or_else(|| Announced { target: target.clone(), ..announcement(version) });
            Some(Announced { target: target.or(recorded.target), ..recorded })
        }
        _ => None,
    };
    world.status.staging.announced = announced;
    if let Some(StagingNews::Abandoned(version, why)) = &rest.staging {
        world.status.staging.abandoned.insert(0, AbandonedFact { version: version.clone(), time: at(NOW), why: *why });
    }
    if let Some(current) = current.filter(|current| world.status.newest() != Some(&current.version)) {
        world.status.history.insert(0, HistoryFact { version: current.version.clone(), time: at(NOW), cause: Cause::External });
    }
    if let (None, Some(value)) = (&rest.provisioned, &want.value) {
        world.status.declared.hash = Some(value.hash());
    }
    if let (Rotation::Scheduled { expression, .. }, false) = (&want.rotation, rest.first_pending) {
        let since = world.status.schedule_since(expression, at(NOW));
        world.status.schedule = Some(ReportedSchedule { expression: expression.clone(), since });
    }
}

pub(super) fn carry_out(world: &mut Observation, step: &Step) {
    world.journal.record(step.clone(), Effect::Applied { at: at(NOW) });
    match step {
        Step::AddFinalizer => world.finalizer = true,
        Step::RemoveFinalizer => world.finalizer = false,
        Step::RecordPlace => {}
        Step::Create { version } => {
            let labels = BTreeMap::from([("AWSCURRENT".to_owned(), version.clone())]);
            world.secret = Some(SecretState { labels, ..secret() });
            promoted(world.secret.as_mut().unwrap(), version);
            world.secret.as_mut().unwrap().labels.remove("AWSPREVIOUS");
        }
        Step::CreateMirror { version } | Step::ReplaceMirror { version, .. } | Step::AdoptMirror { version } => {
            world.mirror =
                MirrorState::Ours { version: Some(version.clone()), intact: true, written: Some(at(NOW)), changed: None, revision: None };
        }
        Step::ReleaseMirror => world.mirror = MirrorState::Foreign,
        Step::Check { .. } => world.check_due = Some(at(NOW + PERIOD)),
        step => in_aws(world.secret.as_mut().unwrap(), step),
    }
}

fn in_aws(secret: &mut SecretState, step: &Step) {
    let drift = &mut secret.drift;
    match step {
        Step::Put { version, stage: Stage::Current, label, .. } => {
            promoted(secret, version);
            secret.labels.extend(label.clone().map(|label| (label, version.clone())));
            secret.pending = Pending::None;
        }
        Step::Put { version, stage: Stage::Pending, cause, label, .. } => {
            secret.pending = Pending::Ours(version.clone(), *cause);
            secret.labels.extend(label.clone().map(|label| (label, version.clone())));
        }
        Step::Promote { version, from } => {
            assert_eq!(secret.labels.get("AWSCURRENT"), Some(from), "AWS compares");
            promoted(secret, version);
            secret.pending = Pending::Current(version.clone());
        }
        Step::Apply { version, from } => {
            assert!(matches!(&secret.pending, Pending::Ours(staged, _) if staged == version), "AWS has it first");
            assert_eq!(secret.labels.get("AWSCURRENT"), Some(from), "what the target accepts has a label");
        }
        Step::Verify { version } => assert!(matches!(&secret.pending, Pending::Ours(staged, _) if staged == version)),
        Step::Abandon { version, current } => {
            assert!(matches!(&secret.pending, Pending::Ours(staged, _) | Pending::Overtaken(staged, _) if staged == version));
            assert_eq!(secret.labels.get("AWSCURRENT"), Some(current), "the target gets what is current");
            secret.labels.insert(crate::api::ABANDONED_LABEL.to_owned(), version.clone());
            secret.labels.remove(crate::api::STAGED_LABEL);
            secret.pending = Pending::None;
        }
        Step::Settle { version } => {
            assert_eq!(secret.pending, Pending::Current(version.clone()));
            secret.pending = Pending::None;
        }
        Step::MoveLabel { label, from, to } => {
            assert_eq!(secret.labels.get(label), from.as_ref(), "labels are moved from where they are");
            match to {
                Some(to) => drop(secret.labels.insert(label.clone(), to.clone())),
                None => drop(secret.labels.remove(label)),
            }
        }
        Step::RestoreCurrent { to, from } => {
            assert_eq!(secret.current.as_ref().map(|current| &current.version), Some(from));
            promoted(secret, to);
        }
        Step::SetDescription { .. } => drift.description = false,
        Step::SetKey { .. } => drift.key = None,
        Step::Tag { .. } => drift.missing_tags.clear(),
        Step::Untag { .. } => drift.surplus_tags.clear(),
        Step::PutPolicy => drift.policy = PolicyState::AsDeclared("declared".to_owned()),
        Step::DeletePolicy => drift.policy = PolicyState::Unset,
        Step::Replicate { .. } => drift.add_replicas.clear(),
        Step::StopReplicating { .. } => {
            drift.remove_replicas.clear();
            secret.replicas.clear();
        }
        Step::SetReplicaKey { region, .. } => drop(drift.replica_keys.remove(region)),
        Step::Restore => secret.deleted = false,
        Step::Adopt { .. } => {
            secret.ownership = Ownership::Ours;
            secret.drift.missing_tags.clear();
        }
        Step::Delete { .. } => secret.deleted = true,
        step => super::lambda_rotation::carry_out(secret, step),
    }
}
